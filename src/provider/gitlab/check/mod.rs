//! Checks a child pipeline against what GitLab demands: its text goes in, one sentence a problem comes out. GitLab's schema and runners
//! on other machines find few of these.

mod jobs;
mod language;
mod order;
mod read;

use anyhow::{Context, Result, ensure};
use serde_yaml::Value;

use super::limits::{FILE_BYTES, LIMITS};
use crate::provider::limits::Limits;
use crate::usage::usage;
use crate::yaml::{MAX_BRACKETS, check_nesting, check_repetition};

/// The same for a pipeline of anybody's, who may use variables wherever GitLab expands them. One that includes others says too little by itself, which is an error.
pub fn check_any(pipeline: &str) -> Result<Vec<String>> {
    let problems = problems(pipeline, &LIMITS, &|_| true)?;
    ensure!(
        !problems.iter().any(|problem| problem == language::INCLUDES),
        usage(
            "it includes other files, which nixdag does not read, so nothing is said about it (GitLab's editor shows all of it under *Full \
             configuration*, and that can be checked)"
        )
    );
    Ok(problems)
}

/// All problems, in the order of the pipeline; none for one that GitLab takes. `own` are names of the user's own jobs, which may use variables
/// where GitLab expands them. An error is text that is not YAML at all.
pub fn check(pipeline: &str, limits: &Limits, own: &[&str]) -> Result<Vec<String>> {
    problems(pipeline, limits, &|name| own.contains(&name))
}

fn problems(pipeline: &str, limits: &Limits, is_own: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    if pipeline.len() as u64 > FILE_BYTES {
        problems.push(format!(
            "the pipeline has {:.1} MB, {:.1} MB more than the {:.1} MB that GitLab takes from an artifact (let jobs build more each: `--max-jobs` \
             with a lower number, or `--granularity auto`)",
            pipeline.len() as f64 / 1e6,
            (pipeline.len() as u64 - FILE_BYTES) as f64 / 1e6,
            FILE_BYTES as f64 / 1e6
        ));
        return Ok(problems);
    }
    check_nesting(pipeline, MAX_BRACKETS).context("the pipeline")?;
    check_repetition(pipeline).context("the pipeline")?;
    let value: Value = serde_yaml::from_str(pipeline).context("the pipeline is not YAML")?;
    let Some(top) = value.as_mapping() else { return Ok(vec!["the pipeline is not a mapping".to_owned()]) };
    language::check(&value, top, is_own, &mut problems);
    let stages = read::stages(top, &mut problems);
    let found = read::jobs(top, &mut problems);
    jobs::check(&found, &stages, limits, is_own, &mut problems);
    order::check(&found, &stages, &mut problems);
    Ok(problems)
}
