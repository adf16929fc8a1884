//! The runner inside a job: brings in what the job needs, builds what it owns, hands it on.
//!
//! In: a [`JobRequest`], run by [`stages::run`]. Out: a [`record::Record`] of everything that happened, whatever the outcome; lines for people meanwhile.

pub mod attempts;
pub mod builder_log;
pub mod built_by_evaluation;
pub mod class;
pub mod clean_up;
pub mod closure_record;
mod closures;
pub mod command_end;
pub mod compared;
pub mod credentials;
pub mod deliveries;
pub mod destination;
mod download;
pub mod evaluation;
pub mod evidence;
pub mod failed_evaluation;
mod fetch_and_build;
pub mod garbage_lock;
pub mod guard;
pub mod hand_offs;
pub mod interrupt;
pub mod job_store;
pub mod junit;
pub mod ledger;
mod machine_memory;
pub mod naming;
mod nix_words;
pub mod outcome;
pub mod output_lock;
mod plausible;
mod printer;
pub mod progress;
pub mod push;
pub mod realisation;
pub mod realise;
pub mod record;
pub mod record_files;
pub mod records_place;
pub mod report;
pub mod restore;
pub mod results;
mod room;
pub mod round;
mod running;
mod same_outputs;
pub mod sizes;
pub mod stages;
pub mod stored_records;
mod summary;
pub mod trust;
pub mod usage;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::choice::choice;
use crate::delivery::BuildLogs;
use crate::duration::in_words;
use crate::fleet::keep::Keep;
use crate::handoff::bundle::Bundle;
use crate::handoff::registry::Registry;
use crate::handoff::reuse::ReuseFolder;
use crate::handoff::signed_results::SignedResults;
use crate::nix::signature::{PublicKeys, SecretKey};
use crate::plan::{Job, JobIndex, Plan};
use crate::secret::VariableName;
use push::Pushes;
use records_place::RecordsPlace;

choice! {
    /// What to do about an output that should have been delivered and was not.
    pub enum OnMissing {
        /// Stop before anything is built
        Fail = "fail",
        /// Build it here, and say so
        Build = "build",
    }
}

/// Where the job's derivations come from.
#[derive(Debug)]
pub enum Derivations {
    /// A bundle.
    Bundle(Bundle),
    /// A folder of `.drv` files by their base names.
    Folder(PathBuf),
    /// The store, which has them already.
    Store,
}

/// How results travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOffPlace {
    /// Each job writes a folder, `<workspace>/<job id>`, and reads those of its inputs.
    Workspace(PathBuf),
    /// Each job copies its results to this store, see [`push::Pushes::hand_off`], and later ones fetch them from there.
    Cache(String),
    /// Results stay in the store of this machine.
    None,
}

/// How long the CI lets the job run.
#[derive(Clone, Copy, Debug)]
pub struct JobTime {
    /// Altogether.
    pub allowed: Duration,
    /// When builds are ended, so that there is time left to hand on what is there and to say what was too long.
    pub over: Instant,
}

impl JobTime {
    /// True where builds are to be ended.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.over
    }

    /// Why they are.
    pub fn text(&self) -> String {
        let allowed = in_words(u64::try_from(self.allowed.as_millis()).unwrap_or(u64::MAX));
        format!(
            "the {allowed} that the CI gives this job are nearly over (if it allows another time, set `limits: {{job_seconds: …}}` in nixdag.yml)"
        )
    }
}

/// Keys of this CI.
#[derive(Debug, Default)]
pub struct JobKeys {
    /// Whose signatures count.
    pub trusted: PublicKeys,
    /// Signs what the job leaves for later ones; it is one of the trusted keys.
    pub secret: Option<SecretKey>,
}

/// What to run.
#[derive(Debug)]
pub struct JobRequest {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The job.
    pub job: JobIndex,
    /// Where its derivations come from.
    pub derivations: Derivations,
    /// How results travel.
    pub hand_off: HandOffPlace,
    /// Where the NARs of a workspace are in place of it; none where they are in it.
    pub registry: Option<Registry>,
    /// What an earlier run of the job left, and where this one leaves its results for later ones; goes with a workspace.
    pub reuse: Option<ReuseFolder>,
    /// Where signed results of earlier pipelines are, and where this job leaves its own, in place of what the CI keeps of that folder.
    pub signed_results: Option<SignedResults>,
    /// Where records are left for the job that puts them together.
    pub records: Option<RecordsPlace>,
    /// Where logs of failed builds go: into its folder `logs`.
    pub results: Option<PathBuf>,
    /// Where links to what a final job's command finds go.
    pub restore: Option<PathBuf>,
    /// True for a job that builds nothing and pushes what its inputs own.
    pub delivers_all: bool,
    /// What to do about missing outputs.
    pub on_missing: OnMissing,
    /// Whose signatures count, and what this job signs with.
    pub signing: JobKeys,
    /// Where else what is built goes.
    pub pushes: Pushes,
    /// What is printed of builders' logs.
    pub build_logs: BuildLogs,
    /// Variables that builders may have.
    pub build_variables: Vec<VariableName>,
    /// How much stays in the store of a machine that outlives the job; empty where nothing is removed.
    pub keep: Vec<Keep>,
    /// How long the job may take, where the CI limits it.
    pub time: Option<JobTime>,
    /// Settings for Nix, beside the user's own.
    pub options: Vec<(String, String)>,
}

impl JobRequest {
    /// The job to run.
    pub fn job(&self) -> &Job {
        self.plan.job(self.job)
    }

    /// The same for another job that does not build in a store of its own: its derivations are there, and it keeps nothing for later pipelines.
    #[must_use]
    pub fn beside(&self, job: JobIndex) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            job,
            derivations: Derivations::Store,
            hand_off: self.hand_off.clone(),
            registry: None,
            reuse: None,
            signed_results: None,
            records: None,
            results: self.results.clone(),
            restore: None,
            delivers_all: false,
            on_missing: self.on_missing,
            signing: JobKeys { trusted: self.signing.trusted.clone(), secret: None },
            pushes: self.pushes.clone(),
            build_logs: self.build_logs,
            build_variables: self.build_variables.clone(),
            keep: Vec::new(),
            time: self.time,
            options: self.options.clone(),
        }
    }

    /// The derivations whose outputs the job pushes although others have built them.
    pub fn delivered(&self) -> impl Iterator<Item = &str> {
        let inputs = self.job().inputs.iter().filter(|_| self.delivers_all);
        inputs.flat_map(|&input| &self.plan.job(input).derivations).map(|drv| &**drv)
    }
}
