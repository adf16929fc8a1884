//! Jobs that restore for all others, where some job has secrets. They have none themselves; the others get from them through the
//! workspace what they check by digest or signature.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::job_script::kinds::Kind;
use super::super::job_script::verify;
use super::super::small_job;
use super::super::yaml::Yaml;
use super::machines::OFFERS;
use super::names::RESTORE;
use super::options::Options;
use super::steps::{self, run, step};
use super::transport::{BUNDLE_DIR, BUNDLE_IN_WORKSPACE, REUSE_DIR, REUSE_IN_WORKSPACE, WORKSPACE};
use crate::delivery::BundleReference;
use crate::plan::{Job, Plan};

/// Most jobs whose earlier results one job restores: each is a step, and each of these jobs attaches the results of all.
const MOST_RESTORED: usize = 16;

/// The jobs that restore for all others.
#[derive(Clone, Debug)]
pub struct Restores {
    /// Names of jobs that are taken, in lower case.
    taken: BTreeSet<String>,
    /// The jobs: name, and the hashes of what their entries are the results of.
    jobs: Vec<(String, Vec<String>)>,
}

impl Restores {
    /// One that restores the bundle.
    pub fn new(plan: &Plan) -> Self {
        let taken = plan.all_jobs().map(|job| job.name.to_lowercase()).collect();
        Self { taken, jobs: vec![(RESTORE.to_owned(), Vec::new())] }
    }

    /// The jobs that a job waits for, as others restore for it; `hash` names its earlier results, where it takes any.
    pub fn before(&mut self, job: &Job, hash: Option<String>) -> Vec<String> {
        // What it requires has waited for the bundle.
        let mut names: Vec<String> = if job.requires.is_empty() { vec![RESTORE.to_owned()] } else { Vec::new() };
        if let Some(hash) = hash {
            let at = self.with_room();
            self.jobs[at].1.push(hash);
            if at > 0 {
                names.push(self.jobs[at].0.clone());
            }
        }
        names
    }

    /// The job that can restore for one more.
    fn with_room(&mut self) -> usize {
        let last = self.jobs.len() - 1;
        if self.jobs[last].1.len() < MOST_RESTORED {
            return last;
        }
        let names = (self.jobs.len() + 1..).map(|number| format!("{RESTORE}-{number}"));
        let name = names.into_iter().find(|name| !self.taken.contains(name)).expect("numbers do not end");
        self.taken.insert(name.clone());
        self.jobs.push((name, Vec::new()));
        last + 1
    }

    /// What the jobs would be in a plan, each with what it restores.
    pub fn jobs(&self, options: &Options) -> Result<Vec<(Job, &[String])>> {
        self.jobs
            .iter()
            .map(|(name, hashes)| Ok((small_job::of(name, &options.setup, &OFFERS)?, hashes.as_slice())))
            .collect()
    }
}

/// The steps of a job that restores the bundle, if it is the first one, and these results. All checks come behind all that is restored.
pub fn steps_of(kind: &Kind, bundle: &BundleReference, job: &Job, hashes: &[String]) -> Vec<Yaml> {
    let is_first = job.name == RESTORE;
    let mut list = vec![steps::clean(Some(bundle))];
    list.extend(is_first.then(steps::restore_bundle));
    let mut paths = Vec::new();
    if !hashes.is_empty() {
        paths.push(REUSE_IN_WORKSPACE);
        list.push(run("Make room", &format!("mkdir -p {WORKSPACE}/{REUSE_IN_WORKSPACE}\n")));
    }
    for hash in hashes {
        let key = Yaml::texts([steps::signed_key(hash)]);
        list.push(step("restore_cache", [("name", Yaml::text("Restore earlier results")), ("keys", key)]));
        let into = format!("{WORKSPACE}/{REUSE_IN_WORKSPACE}/{hash}");
        list.push(run("Keep them apart", &format!("if [ -d {REUSE_DIR} ]; then mv {REUSE_DIR} {into}; fi\n")));
    }
    if is_first {
        paths.push(BUNDLE_IN_WORKSPACE);
        let mut lines = verify(kind, bundle, BUNDLE_DIR);
        lines.push(format!("mkdir -p {WORKSPACE}"));
        lines.push(format!("cp -R {BUNDLE_DIR} {WORKSPACE}/{BUNDLE_IN_WORKSPACE}"));
        list.push(run("Check the bundle", &steps::lines(&lines)));
    }
    list.push(step("persist_to_workspace", [("root", Yaml::text(WORKSPACE)), ("paths", Yaml::texts(paths))]));
    list
}
