//! Checks a child pipeline against what GitLab demands: its text goes in, one sentence a problem comes out. GitLab's schema and runners
//! on other machines find few of these.

mod includes;
mod jobs;
mod language;
mod order;
mod read;

use std::path::Path;

use anyhow::{Context, Result};
use includes::Whole;
use jobs::Scope;
use serde_yaml::Value;

use super::limits::{FILE_BYTES, LIMITS};
use crate::provider::checked::Checked;
use crate::provider::limits::Limits;
use crate::yaml::{MAX_BRACKETS, check_nesting, check_repetition};

/// The same for a pipeline of anybody's, who may use variables wherever GitLab expands them, with what it includes, as far as that is at hand. `file` is where it is.
pub fn check_any(pipeline: &str, file: &Path) -> Result<Checked> {
    check_nesting(pipeline, MAX_BRACKETS).context("the pipeline")?;
    check_repetition(pipeline).context("the pipeline")?;
    let Whole { top, mut problems, unseen, .. } = Whole::read(pipeline, file)?;
    if problems.is_empty() || !top.is_empty() {
        let is_part = !unseen.is_empty();
        check_value(without_references(Value::Mapping(top)), &LIMITS, &|_| true, is_part, &mut problems);
    }
    Ok(Checked { problems, unseen })
}

/// With the names that `!reference` has in place of what it refers to.
fn without_references(value: Value) -> Value {
    match value {
        Value::Tagged(tagged) if tagged.tag == "!reference" => without_references(tagged.value),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(without_references).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (key, without_references(value))).collect())
        }
        other => other,
    }
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
    check_value(value, limits, is_own, false, &mut problems);
    Ok(problems)
}

/// Checks a whole pipeline. Of a part the rest is not at hand: names that it lacks may be there.
fn check_value(
    value: Value,
    limits: &Limits,
    is_own: &dyn Fn(&str) -> bool,
    is_part: bool,
    problems: &mut Vec<String>,
) {
    let Some(top) = value.as_mapping() else {
        problems.push("the pipeline is not a mapping".to_owned());
        return;
    };
    language::check(&value, top, is_own, problems);
    let stages = read::stages(top, problems);
    let found = read::jobs(top, is_part, problems);
    jobs::check(&found, &stages, limits, &Scope { is_own, is_part }, problems);
    order::check(&found, &stages, problems);
}
