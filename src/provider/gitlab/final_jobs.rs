//! Final jobs that run a command: what it needs is restored, and then the user's command runs in the same shell, whose end is the
//! job's.
//!
//! The command and its variables are untrusted text. They are in the script alone, which GitLab leaves as it is, and variables are
//! quoted for the shell.

use anyhow::Result;

use super::bodies;
use super::options::Options;
use super::places::PLACES;
use crate::delivery::Reuse;
use crate::plan::final_job::FinalJob;
use crate::provider::job_script::Task;
use crate::provider::job_script::kinds::Kind;
use crate::provider::restored_variables;
use crate::provider::shell::quote;
use crate::provider::yaml::Yaml;

/// Where a command goes that names its own interpreter.
const PROGRAM: &str = ".nixdag/command";

/// What the job says beside its name, needs and machine.
pub fn entries(job: &FinalJob, command: &str, kind: &Kind, options: &Options) -> Result<Vec<(&'static str, Yaml)>> {
    let mut script = bodies::script(kind, options, Reuse::Off, Task::Restore)?;
    if options.setup.bundle.is_some() {
        script.push(Yaml::Script(restored_variables::exports(job, &format!("$CI_PROJECT_DIR/{}", PLACES.restored))?));
        script.push(bodies::record_end(kind, options)?);
        script.extend(call(command)?);
    }
    let strategy = Yaml::text(if job.checkout { "fetch" } else { "empty" });
    let mut entries = vec![
        // What deploys is not to be stopped in between.
        ("interruptible", Yaml::Bool(false)),
        ("variables", Yaml::map([("NIXDAG_JOB", Yaml::text(&job.job.id)), ("GIT_STRATEGY", strategy)])),
    ];
    // GitLab would expand a `$`: the name of a group holds none.
    entries.extend(job.resource_group.as_deref().map(|group| ("resource_group", Yaml::text(group))));
    entries.push(("script", Yaml::List(script)));
    Ok(entries)
}

/// The items that run the command.
fn call(command: &str) -> Result<Vec<Yaml>> {
    if !command.starts_with("#!") {
        return Ok(vec![Yaml::Script(command.to_owned())]);
    }
    let write = format!("printf %s {} > {PROGRAM}\nchmod +x {PROGRAM}\n", quote(command)?);
    Ok(vec![Yaml::Script(write), Yaml::text(PROGRAM)])
}
