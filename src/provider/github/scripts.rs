//! What jobs run, as text for `bash -e`: it reaches them in a variable, never in the text of a step, so that nothing of it is an expression.

use anyhow::Result;

use crate::delivery::Reuse;
use crate::plan::Job;
use crate::plan::final_job::FinalJob;
use crate::provider::job_script::kinds::{Kind, reuse_hash};
use crate::provider::job_script::{Common, Failing, JobScript, Places, Task};
use crate::provider::job_setup::JobSetup;
use crate::provider::restored_variables;
use crate::provider::shell::{in_a_subshell, quote};

/// Where a job has its things: below the folder that steps start in.
const PLACES: Places = Places {
    bundle: ".nixdag/bundle",
    program: ".nixdag/program",
    workspace: ".nixdag/handoff",
    reuse: ".nixdag/reuse",
    results: ".nixdag/results",
    records: "",
    packages: "",
    signed: "",
    restored: ".nixdag/restored",
    job: "\"$NIXDAG_JOB\"",
};

/// Where a command goes that names its own interpreter.
const PROGRAM: &str = ".nixdag/command";

/// What scripts are made from.
pub struct Scripts<'a> {
    pub setup: &'a JobSetup,
    /// What jobs take from earlier workflows.
    pub reuse: Reuse,
}

impl Scripts<'_> {
    /// The key in GitHub's cache of what a job builds; empty where nothing is reused. GitHub itself keeps branches apart.
    pub fn key(&self, job: &Job, kind: &Kind) -> String {
        match self.reuse {
            Reuse::Off => String::new(),
            Reuse::Branch => format!("nixdag-{}", reuse_hash(job, kind)),
            Reuse::Signed => format!("nixdag-signed-{}", reuse_hash(job, kind)),
        }
    }

    /// The script of a kind of machine.
    pub fn of(&self, kind: &Kind, task: Task) -> Result<String> {
        let setup = self.setup;
        let Some(bundle) = &setup.bundle else {
            return Ok("echo 'nothing to build from: plan with `nixdag generate --bundle DIR`' >&2; exit 1\n".into());
        };
        let common = Common { bundle, nix: &setup.nix, delivery: &setup.delivery, reuse: self.reuse, records: None };
        let mut script = JobScript::new(kind, &common, &PLACES, task, Failing::AtOnce)?;
        if task == Task::Build {
            // A wave starts although jobs of those before have failed: what these lack is not built once more.
            script.build.extend(["--on-missing".into(), "fail".into()]);
        }
        let executor = setup.executors.iter().find(|executor| executor.name == kind.name);
        let own = executor.into_iter().flat_map(|executor| &executor.environment).chain(&kind.options.environment);
        let mut text =
            own.map(|(name, value)| Ok(format!("export {name}={}\n", quote(value)?))).collect::<Result<String>>()?;
        for command in &script.prepare {
            text.push_str(&in_a_subshell(command));
        }
        text.push_str(&format!("(\nset -e\n{}\n)\n", script.set_up.join("\n")));
        if let Some(path) = script.path {
            text.push_str(&format!("{path}\n"));
        }
        text.push_str(&format!("{}\n", script.build.line()?));
        Ok(text)
    }

    /// The script of a final job that runs a command.
    pub fn of_final(&self, job: &FinalJob, command: &str, kind: &Kind) -> Result<String> {
        let mut text = self.of(kind, Task::Restore)?;
        text.push_str(&restored_variables::exports(job, &format!("$PWD/{}", PLACES.restored))?);
        if command.starts_with("#!") {
            text.push_str(&format!("printf %s {} > {PROGRAM}\nchmod +x {PROGRAM}\n{PROGRAM}\n", quote(command)?));
        } else {
            text.push_str(&format!("{command}\n"));
        }
        Ok(text)
    }
}
