//! What jobs run, as text for `bash -e`: it reaches them in a variable, never in the text of a step, so that nothing of it is an expression.

use anyhow::Result;

use crate::delivery::Reuse;
use crate::plan::Job;
use crate::plan::final_job::FinalJob;
use crate::provider::job_script::calls;
use crate::provider::job_script::kinds::{Kind, reuse_hash};
use crate::provider::job_script::worker::{Talk, gate, worker};
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

/// Workers talk through the action that runs the script. Another attempt of a run begins anew: what failed in the first one is to be built.
const TALK: Talk = Talk { names: "pipe", run: "\"$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT\"" };

/// The pipe to the action, for nixdag alone: what it starts does not inherit it.
const PIPE: &str = "<&3 >&4 3<&- 4>&-";

/// For a plan without derivations.
const NO_BUNDLE: &str = "echo 'nothing to build from: plan with `nixdag generate --bundle DIR`' >&2; exit 1\n";

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
        let Some(common) = self.common() else { return Ok(NO_BUNDLE.into()) };
        let mut script = JobScript::new(kind, &common, &PLACES, task, Failing::AtOnce)?;
        if task == Task::Build {
            // A wave starts although jobs of those before have failed: what these lack is not built once more.
            script.build.extend(["--on-missing".into(), "fail".into()]);
        }
        Ok(format!("{}{}\n", self.before(kind, &script)?, script.build.line()?))
    }

    /// The script of a worker, which has a pipe to the action.
    pub fn of_worker(&self, kind: &Kind, hands_on: bool) -> Result<String> {
        let Some(common) = self.common() else { return Ok(NO_BUNDLE.into()) };
        let script = JobScript::new(kind, &common, &PLACES, Task::Build, Failing::AtOnce)?;
        let call = worker(kind, &common, &PLACES, &TALK, "\"${NIXDAG_JOB##*-}\"", hands_on);
        Ok(format!("{}{} {PIPE}\n", self.before(kind, &script)?, call.line()?))
    }

    /// The script that fails unless workers have built everything; it needs no Nix.
    pub fn of_gate(&self, kind: &Kind) -> Result<String> {
        let Some(common) = self.common() else { return Ok(NO_BUNDLE.into()) };
        let script = JobScript::new(kind, &common, &PLACES, Task::Report, Failing::AtOnce)?;
        let set_up = script.set_up.join("\n");
        Ok(format!("(\nset -e\n{set_up}\n)\n{} {PIPE}\n", gate(kind, &common, &PLACES, &TALK).line()?))
    }

    fn common(&self) -> Option<Common<'_>> {
        let Self { setup, reuse } = self;
        let bundle = setup.bundle.as_ref()?;
        Some(Common { bundle, nix: &setup.nix, delivery: &setup.delivery, reuse: *reuse, records: None })
    }

    /// What a script does before nixdag is called.
    fn before(&self, kind: &Kind, script: &JobScript) -> Result<String> {
        let executor = self.setup.executors.iter().find(|executor| executor.name == kind.name);
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
        Ok(text)
    }

    /// The script of a final job that runs a command.
    pub fn of_final(&self, job: &FinalJob, command: &str, kind: &Kind) -> Result<String> {
        let mut text = self.of(kind, Task::Restore)?;
        text.push_str(&restored_variables::exports(job, &format!("$PWD/{}", PLACES.restored))?);
        if self.setup.bundle.is_some() {
            text.push_str(&calls::record_end(kind, &PLACES)?);
        }
        if command.starts_with("#!") {
            text.push_str(&format!("printf %s {} > {PROGRAM}\nchmod +x {PROGRAM}\n{PROGRAM}\n", quote(command)?));
        } else {
            text.push_str(&format!("{command}\n"));
        }
        Ok(text)
    }
}
