//! The steps of the job that reports what could not be planned: attributes that do not evaluate, targets that no executor builds. It runs
//! the bundle's nixdag, builds nothing, and fails.

use anyhow::Result;

use super::super::job_script::Task;
use super::super::job_script::kinds::Kind;
use super::super::yaml::Yaml;
use super::options::Options;
use super::steps;
use super::transport::Transport;
use crate::plan::failures;

/// The job's steps.
pub fn steps(kind: &Kind, options: &Options, transport: Transport) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(vec![steps::no_bundle()]) };
    let script = steps::script(kind, bundle, options, transport, Task::Report)?;
    let mut list = steps::start(&script, bundle, transport, &[]);
    list.push(steps::run("Report", &steps::lines(&steps::call(&script, failures::JOB)?)));
    list.extend(steps::keep_results());
    list.push(steps::fail(&script)?);
    Ok(list)
}
