//! The steps of a final job that runs a command: what it needs is restored, and then the user's command runs in a step of its own, whose
//! end is the job's. Steps behind it record how it ended.
//!
//! The command and its variables are untrusted text. They pass through [`template::escape`] on their way into the configuration,
//! and nothing else: YAML quotes them, and no shell reads them before the one that runs the command.

use anyhow::Result;

use super::super::job_script::kinds::Kind;
use super::super::job_script::{Task, calls};
use super::super::yaml::Yaml;
use super::options::Options;
use super::steps::{self, run, step};
use super::template;
use super::transport::{RESTORED_DIR, Transport};
use crate::build::command_end::CommandEnd;
use crate::choice::Choice;
use crate::plan::final_job::{FinalJob, RESTORED_VARIABLE, RestoredOutput};

/// The steps; `command` is the job's.
pub fn of(job: &FinalJob, command: &str, kind: &Kind, options: &Options, transport: Transport) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(vec![steps::no_bundle()]) };
    let script = steps::script(kind, bundle, options, transport, Task::Restore)?;
    let mut list = steps::start(&script, bundle, transport, &[]);
    if !transport.is_guarded && options.has_workspace() && !job.job.inputs.is_empty() {
        list.push(steps::attach());
    }
    if job.checkout {
        list.push(Yaml::text("checkout"));
    }
    list.push(run("Restore", &steps::lines(&steps::call(&script, &job.job.id)?)));
    if transport.leaves_records {
        // A machine may end with the command.
        list.push(steps::save_records(&job.job.id));
    }
    list.push(steps::fail(&script)?);
    let variables = [(RESTORED_VARIABLE, RESTORED_DIR.to_owned())].into_iter();
    let value = |output: &RestoredOutput| match &output.path {
        Some(path) => path.clone(),
        None => format!("{RESTORED_DIR}/{}", output.link),
    };
    let outputs = job.outputs().filter_map(|output| Some((output.variable.as_deref()?, value(output))));
    let own = job.environment.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let environment =
        variables.chain(outputs).chain(own).map(|(name, value)| (name, Yaml::Text(template::escape(&value))));
    // What names its own interpreter has to begin with it.
    let path = script.path.filter(|_| !command.starts_with("#!")).map_or(String::new(), |path| format!("{path}\n"));
    list.push(step(
        "run",
        [
            ("name", Yaml::Text(template::label(&job.job.name))),
            ("environment", Yaml::map(environment)),
            ("command", Yaml::Script(format!("{path}{}", template::escape(command)))),
        ],
    ));
    for (when, ended) in [("on_success", CommandEnd::Success), ("on_fail", CommandEnd::Failure)] {
        let call = calls::command_ended(kind, &transport.places(), ended.name().into()).line()?;
        list.push(step(
            "run",
            [
                ("name", Yaml::text("Record how the command ended")),
                ("when", Yaml::text(when)),
                // The command's end is the job's, whatever happens here.
                ("command", Yaml::Script(format!("{} || :\n", template::escape(&call)))),
            ],
        ));
    }
    // The command may have failed.
    list.extend(steps::keep_results().map(steps::always));
    if transport.leaves_records {
        list.push(steps::always(steps::save_records_again(&job.job.id)));
    }
    Ok(list)
}
