//! The steps of the job that signs and pushes where no job that builds may. What jobs have built is in the workspace; the runner takes from
//! each folder what the plan says that its job owns.

use anyhow::Result;

use super::super::job_script::Task;
use super::super::job_script::kinds::Kind;
use super::super::yaml::Yaml;
use super::options::Options;
use super::steps;
use super::transport::Transport;
use crate::plan::delivery_job;

/// The job's steps.
pub fn steps(kind: &Kind, options: &Options, transport: Transport) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(vec![steps::no_bundle()]) };
    let script = steps::script(kind, bundle, options, transport, Task::Deliver)?;
    let mut list = steps::start(&script, bundle, transport, &[]);
    list.push(steps::run("Sign and push", &steps::lines(&steps::call(&script, delivery_job::JOB)?)));
    list.extend(steps::keep_results());
    list.push(steps::fail(&script)?);
    Ok(list)
}
