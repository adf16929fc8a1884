//! Kinds of machines: all jobs that run on the same machine under the same conditions share one body in a configuration.
//!
//! In: jobs of a plan and the machines that they may run on. Out: the [`Kind`]s, in the order of the first job of each.

use std::fmt::Write;

use anyhow::{Context, Result, anyhow, ensure};
use ring::digest;

use crate::delivery::BundleReference;
use crate::delivery::downloads::Download;
use crate::fleet::executor::{self, COMMON_FEATURES, Executor};
use crate::fleet::keep::Keep;
use crate::fleet::offers::Offers;
use crate::fleet::size::Machine;
use crate::plan::{Job, JobOptions};

/// One kind of machine in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What plans call the executor.
    pub name: String,
    /// What the configuration calls the machine; several kinds may have the same one.
    pub executor: String,
    /// What the configuration calls the body that jobs of this kind share.
    pub job: String,
    /// How the machine comes into being.
    pub machine: Machine,
    /// What it starts from; empty for a self-hosted machine.
    pub image: String,
    /// Its size.
    pub resource_class: String,
    /// The Nix system that the machine itself is.
    pub system: String,
    /// Where a container's cores are known: Nix would see the host's.
    pub cores: Option<u32>,
    /// What a job says about itself beside its machine; contexts apart, which stand where the job is invoked.
    pub options: JobOptions,
    /// Commands that run before everything else.
    pub setup: Vec<String>,
    /// Settings of Nix for what the machine is said to offer, by name.
    pub nix_settings: Vec<(&'static str, String)>,
    /// What stays in its store behind jobs.
    pub keep: Vec<Keep>,
    /// How nixdag gets there.
    pub program: Program,
}

/// How nixdag gets onto a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// It is in the bundle.
    Bundled,
    /// From a release.
    Download(Download),
    /// The image has it.
    OnPath,
}

/// What jobs can run on, and how nixdag gets there.
#[derive(Clone, Copy, Debug)]
pub struct Machines<'a> {
    /// The kinds of machine that jobs may name.
    pub executors: &'a [Executor],
    /// The sizes that the provider offers.
    pub offers: &'a Offers,
    /// The bundle, whose nixdag runs on one system.
    pub bundle: Option<&'a BundleReference>,
    /// The nixdag for others.
    pub downloads: &'a [Download],
}

impl Machines<'_> {
    /// The kind of machine that a job runs on, added to `kinds` if it is the first such job.
    pub fn kind_of<'k>(&self, job: &Job, kinds: &'k mut Vec<Kind>) -> Result<&'k Kind> {
        let executor = self.executor_of(job).map_err(|error| {
            let system = job.system.escape_debug();
            anyhow!(
                "{error}: plan again with this nixdag.yml, or give it the executor for `{system}` that the plan was made with"
            )
        })?;
        let name = &executor.name;
        let plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        ensure!(
            plain(name) && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()),
            "`{}` cannot be the name of an executor (expected `[a-z][a-z0-9_-]*`)",
            name.escape_debug()
        );
        let image = job.image.as_ref().unwrap_or(&executor.image);
        let class = job.resource_class.as_ref().unwrap_or(&executor.resource_class);
        // Contexts are named where a job is invoked, so that one body serves jobs with and without; whether a job may fail concerns the gate.
        let own = JobOptions { context: Vec::new(), allow_failure: false, retries: None, ..job.options.clone() };
        let same_machine = |kind: &Kind| {
            kind.machine == executor.machine
                && kind.image == *image
                && kind.resource_class == *class
                && kind.name == *name
        };
        if let Some(at) = kinds.iter().position(|kind| same_machine(kind) && kind.options == own) {
            return Ok(&kinds[at]);
        }
        // GitLab has machines and bodies in one place, and an executor may be called what another one's body would be.
        let taken = |key: &str| kinds.iter().any(|kind| kind.executor == key || kind.job == key);
        let key = match kinds.iter().find(|kind| same_machine(kind)) {
            Some(kind) => kind.executor.clone(),
            None => executor_key(executor, image, class, taken),
        };
        let job_key = unused(&format!("build-{key}"), taken);
        let system = executor.system().to_owned();
        kinds.push(Kind {
            name: name.clone(),
            job: job_key,
            executor: key,
            machine: executor.machine,
            image: image.clone(),
            resource_class: class.clone(),
            cores: self.offers.cores(executor, class),
            program: self.program(&system, executor),
            options: own,
            setup: executor.setup.clone(),
            nix_settings: nix_settings(executor),
            keep: executor.keep.clone(),
            system,
        });
        Ok(&kinds[kinds.len() - 1])
    }

    /// The executor that the plan gives to a job, if it is still what it was.
    fn executor_of(&self, job: &Job) -> Result<&Executor> {
        let name = job.executor.as_ref().context("it has no executor")?;
        let executor = executor::find(self.executors, name)?;
        ensure!(executor.builds(&job.system), "executor `{name}` does not build `{}`", job.system.escape_debug());
        Ok(executor)
    }

    /// How nixdag gets onto machines of this system.
    fn program(&self, system: &str, executor: &Executor) -> Program {
        let bundled = self.bundle.is_some_and(|bundle| {
            // A processor for x86_64 runs i686 programs too.
            bundle.system == system
                || (executor.builds(&bundle.system) && !executor.emulated().any(|emulated| emulated == bundle.system))
        });
        match self.downloads.iter().find(|file| file.system == *system) {
            _ if bundled => Program::Bundled,
            Some(file) => Program::Download(file.clone()),
            None => Program::OnPath,
        }
    }
}

/// Names what a job builds, on what: two jobs with the same hash build the same outputs, whatever pipeline they are in.
pub fn reuse_hash(job: &Job, kind: &Kind) -> String {
    let mut derivations: Vec<&str> = job.builds().collect();
    derivations.sort_unstable();
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [&*job.id, &*kind.image].into_iter().chain(derivations) {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.finish().as_ref()[..16].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

/// A key under `executors`: the executor as it is defined keeps its name, others get the size and, where that is not enough, a number.
fn executor_key(executor: &Executor, image: &str, class: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut key = executor.name.clone();
    if *class != executor.resource_class {
        let size = class.replace('+', "-plus").to_lowercase();
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
        key = format!("{key}-{}", size.chars().map(plain).collect::<String>());
    }
    if image != executor.image { unused(&format!("{key}-2"), taken) } else { unused(&key, taken) }
}

/// The key, with a number behind it if it is taken.
fn unused(key: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(key) {
        return key.to_owned();
    }
    let base = key.strip_suffix("-2").unwrap_or(key);
    let numbered = |number: u32| format!("{base}-{number}");
    (2..).map(numbered).find(|key| !taken(key)).expect("numbers do not end")
}

/// What Nix has to know about a machine: features that it would not find out, and systems that it only emulates.
fn nix_settings(executor: &Executor) -> Vec<(&'static str, String)> {
    // Nix looks for `/dev/kvm` itself: without it a build is better refused than begun.
    let own = |feature: &&String| *feature != "kvm" && !COMMON_FEATURES.contains(&feature.as_str());
    let features: Vec<&str> = executor.features.iter().filter(own).map(String::as_str).collect();
    let emulated: Vec<&str> = executor.emulated().collect();
    let settings = [("extra-system-features", features), ("extra-platforms", emulated)];
    settings.into_iter().filter(|(_, words)| !words.is_empty()).map(|(name, words)| (name, words.join(" "))).collect()
}
