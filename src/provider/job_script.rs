//! What a generated job does, whatever CI system runs it: it checks the bundle, installs Nix and nixdag where the machine lacks them, calls
//! the runner, and ends with the runner's verdict.
//!
//! In: the kind of machine, how results travel, and where the jobs of a provider have their things. Out: a [`JobScript`], lines and
//! commands of a POSIX shell that no other language has been applied to. A provider escapes them for its configuration, puts them
//! into steps, and adds what only it has: caches, workspaces, artifacts.

pub mod calls;
pub mod kinds;
pub mod worker;

use anyhow::Result;

use super::shell::{ShellCommand, Word, quote};
use crate::choice::Choice;
use crate::delivery::downloads::NixRelease;
use crate::delivery::{
    BuildLogs, BundleReference, Delivery, HandOff, HandOffKind, OnPushFailure, PUSH_TIMEOUT, Push, Reuse, Sign, Signing,
};
use crate::fleet::executor::brings_nix;
use crate::fleet::size::Machine;
use crate::handoff::bundle::{INSTALLER, PROGRAM};
use crate::history::store::KeptIn;
use kinds::{Kind, Program};

/// Makes an installed Nix visible.
const PATH: &str = "export PATH=\"$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH\"";

/// Where the jobs of a provider have their things, each as a shell reads it: `~/.nixdag/results`, `"$NIXDAG_JOB"`.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The bundle's folder, whose contents nobody has checked yet.
    pub bundle: &'static str,
    /// A folder made afresh, with copies of what was checked and nothing else; [`INSTALLER`] puts a nixdag that it downloads there, too.
    pub program: &'static str,
    /// Hand-offs, a folder a job.
    pub workspace: &'static str,
    /// What an earlier run of the job left, and what this one leaves for later ones.
    pub reuse: &'static str,
    /// Verdict, JUnit file, records and logs.
    pub results: &'static str,
    /// Where records are left for the job that puts them together; empty where none does, or it takes them from the results.
    pub records: &'static str,
    /// The version of a package that NARs go into; empty where there is no registry of packages.
    pub packages: &'static str,
    /// The version of a package that signed results of all pipelines are in; empty where the CI keeps them otherwise.
    pub signed: &'static str,
    /// Links to what a final job's command finds.
    pub restored: &'static str,
    /// The job's id.
    pub job: &'static str,
}

/// What all jobs of a configuration have in common.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// What they build from.
    pub bundle: &'a BundleReference,
    /// The Nix for machines that have none.
    pub nix: &'a NixRelease,
    /// How their results travel.
    pub delivery: &'a Delivery,
    /// What they take from earlier pipelines.
    pub reuse: Reuse,
    /// Where they leave what they have recorded, where that is a store.
    pub records: Option<&'a KeptIn>,
}

/// What the runner is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Builds what the job owns, and passes it on.
    Build,
    /// Brings in what a final job's command finds.
    Restore,
    /// Brings in what all jobs have built, signs it and pushes it.
    Deliver,
    /// Fails with what could not be planned; needs no Nix.
    Report,
}

/// Where the verdict becomes the job's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The runner's call fails: for providers that keep results of failed jobs.
    AtOnce,
    /// The runner's call ends well; [`JobScript::verdict`], behind all that hands on, fails.
    Last,
}

/// A job, less what only its provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobScript {
    /// Scripts of the user's own, which run before everything else.
    pub prepare: Vec<String>,
    /// Checks what the bundle has to run before anything of it is run, and then installs: lines for a shell of their own under `set -e`, since
    /// they enter the bundle's folder.
    pub set_up: Vec<String>,
    /// A line without which the commands below, and a user's, do not find an installed Nix.
    pub path: Option<&'static str>,
    /// The call of the runner.
    pub build: ShellCommand,
    /// Prints what failed, and ends with the verdict that the runner has recorded.
    pub verdict: ShellCommand,
}

impl JobScript {
    /// The job of one kind of machine.
    pub fn new(kind: &Kind, common: &Common, places: &Places, task: Task, failing: Failing) -> Result<Self> {
        let verdict = [program(kind, places), "build".into(), "--verdict".into(), Word::shell(places.results)];
        Ok(JobScript {
            prepare: kind.setup.clone(),
            set_up: set_up(kind, common, places, task)?,
            path: (!brings_nix(kind.machine, &kind.image)).then_some(PATH),
            build: build(kind, common, places, task, failing),
            verdict: ShellCommand::new(verdict),
        })
    }
}

/// Each check stands on a line of its own, so that `set -e` sees it.
fn set_up(kind: &Kind, common: &Common, places: &Places, task: Task) -> Result<Vec<String>> {
    let sum = sum(kind);
    let Places { bundle, program, .. } = places;
    let mut lines = vec![
        format!("[ -f {bundle}/manifest ] || {{ echo 'no bundle: start a new pipeline' >&2; exit 1; }}"),
        format!("rm -rf {program}"),
        format!("mkdir -m 700 {program}"),
        format!("cp {bundle}/manifest {bundle}/{INSTALLER} {bundle}/{PROGRAM} {program}"),
        format!("cd {program}"),
        format!("echo '{}  manifest' | {sum} -c -", common.bundle.manifest_sha256),
        format!("grep -E ' ({INSTALLER}|{PROGRAM})$' manifest | {sum} -c -"),
    ];
    let nix = common.nix;
    let tarball = nix.tarballs.iter().find(|(system, _)| *system == kind.system);
    let sha256 = tarball.filter(|_| !brings_nix(kind.machine, &kind.image)).map(|(_, sha256)| &**sha256);
    let file = format!("nix-{}-{}.tar.xz", nix.version, kind.system);
    let cores = kind.cores.filter(|_| kind.machine == Machine::Docker);
    if task != Task::Report {
        lines.push(install("nix", &nix.version, &nix.url, sha256.map(|sha256| (sha256, &*file)), cores)?);
    }
    if let Program::Download(file) = &kind.program {
        lines.push(install("nixdag", &file.version, &file.url, Some((&file.sha256, &file.name)), None)?);
    }
    Ok(lines)
}

/// Lines that check every file of a bundle in a folder.
pub fn verify(kind: &Kind, bundle: &BundleReference, folder: &str) -> Vec<String> {
    let sum = sum(kind);
    vec![
        format!("cd {folder} || {{ echo 'no bundle: start a new pipeline' >&2; exit 1; }}"),
        format!("echo '{}  manifest' | {sum} -c -", bundle.manifest_sha256),
        format!("{sum} -c manifest"),
    ]
}

/// What computes a SHA-256 on a machine.
fn sum(kind: &Kind) -> &'static str {
    // macOS has no `sha256sum` of its own.
    if kind.system.ends_with("-darwin") { "shasum -a 256" } else { "sha256sum" }
}

/// The call of the script that installs; see there for what the variables mean.
fn install(what: &str, version: &str, url: &str, pinned: Option<(&str, &str)>, cores: Option<u32>) -> Result<String> {
    let mut line = format!("NIXDAG_INSTALL={what} NIXDAG_VERSION={}", quote(version)?);
    if let Some((sha256, file)) = pinned {
        let checksum = quote(&format!("{sha256}  {file}"))?;
        line.push_str(&format!(" NIXDAG_URL={} NIXDAG_CHECKSUMS={checksum}", quote(url)?));
    }
    if let Some(cores) = cores {
        line.push_str(&format!(" NIXDAG_CORES={cores}"));
    }
    Ok(format!("{line} sh {INSTALLER}"))
}

/// The call of the runner.
fn build(kind: &Kind, common: &Common, places: &Places, task: Task, failing: Failing) -> ShellCommand {
    let mut call =
        ShellCommand::new([program(kind, places), "build".into(), "--bundle".into(), Word::shell(places.bundle)]);
    call.extend(["--bundle-sha256".into(), common.bundle.manifest_sha256.as_str().into()]);
    if task != Task::Report {
        work(kind, common, places, task, &mut call);
    }
    call.extend(["--results".into(), Word::shell(places.results)]);
    match common.records {
        // A job that restores for a user's command has no credentials to write to a store.
        Some(_) if task != Task::Build => {}
        None if !matches!(task, Task::Build | Task::Restore) => {}
        Some(stored) => {
            call.extend(["--records".into(), stored.url.as_str().into()]);
            call.extend(["--records-of".into(), stored.of.text().into()]);
        }
        None if places.records.is_empty() => {}
        None => call.extend(["--records".into(), Word::shell(places.records)]),
    }
    if failing == Failing::Last {
        call.extend(["--record-verdict".into()]);
    }
    call.extend(["--job".into(), Word::shell(places.job)]);
    call
}

/// How the runner gets what it needs, builds, and passes results on.
fn work(kind: &Kind, common: &Common, places: &Places, task: Task, call: &mut ShellCommand) {
    match &common.delivery.handoff {
        HandOff::Workspace | HandOff::Artifacts | HandOff::ArtifactsOrPackages | HandOff::Packages => {
            call.extend(["--workspace".into(), Word::shell(places.workspace)]);
            if common.delivery.handoff == HandOff::Packages {
                call.extend(["--packages".into(), Word::shell(places.packages)]);
            }
        }
        HandOff::Cache(url) => call.extend(["--cache".into(), url.text().into()]),
    }
    sign(&common.delivery.signing, call);
    match task {
        Task::Build => {
            if common.delivery.handoff.kind() != HandOffKind::Cache {
                reuse(common.reuse, places, call);
            }
            if common.delivery.sign == Sign::Jobs {
                push(&common.delivery.push, call);
            }
            if common.delivery.build_logs != BuildLogs::default() {
                call.extend(["--build-logs".into(), common.delivery.build_logs.name().into()]);
            }
        }
        Task::Restore => call.extend(["--restore".into(), Word::shell(places.restored)]),
        Task::Deliver => push(&common.delivery.push, call),
        Task::Report => {}
    }
    for name in &common.delivery.build_variables {
        call.extend(["--build-env".into(), name.to_string().into()]);
    }
    if let Some(seconds) = kind.options.timeout {
        call.extend(["--timeout".into(), seconds.to_string().into()]);
    }
    for (name, value) in &kind.nix_settings {
        call.extend(["--nix-option".into(), (*name).into(), value.as_str().into()]);
    }
    for keep in &kind.keep {
        call.extend(["--keep".into(), keep.to_string().into()]);
    }
}

/// Where results of earlier pipelines are, and what of them counts.
fn reuse(reuse: Reuse, places: &Places, call: &mut ShellCommand) {
    if reuse != Reuse::Off {
        call.extend(["--reuse".into(), Word::shell(places.reuse)]);
    }
    if reuse == Reuse::Signed {
        call.extend(["--signed-reuse".into()]);
        if !places.signed.is_empty() {
            call.extend(["--reuse-packages".into(), Word::shell(places.signed)]);
        }
    }
}

/// Whose signatures count, and the name of the variable with the secret key.
fn sign(signing: &Signing, call: &mut ShellCommand) {
    let Signing { public_keys, variable, is_named } = signing;
    if *is_named {
        call.extend(["--signing-key-variable".into(), variable.to_string().into()]);
    }
    for key in public_keys.iter() {
        call.extend(["--signing-public-key".into(), key.to_string().into()]);
    }
}

/// Where else what is built goes.
fn push(push: &Push, call: &mut ShellCommand) {
    let Push { destinations, credentials, on_failure, timeout } = push;
    for destination in destinations {
        call.extend(["--push".into(), destination.to_string().into()]);
    }
    for name in credentials {
        call.extend(["--push-credential".into(), name.to_string().into()]);
    }
    if *on_failure == OnPushFailure::Fail {
        call.extend(["--push-failure".into(), "fail".into()]);
    }
    if *timeout != PUSH_TIMEOUT {
        call.extend(["--push-timeout".into(), timeout.to_string().into()]);
    }
}

/// How scripts call nixdag: by the path of the file that was checked, which is in no folder on PATH.
pub(super) fn program(kind: &Kind, places: &Places) -> Word {
    match kind.program {
        Program::Bundled | Program::Download(_) => Word::Shell(format!("{}/{PROGRAM}", places.program)),
        Program::OnPath => PROGRAM.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::JobOptions;

    /// As a provider would have it whose configuration names the job by a variable.
    const PLACES: Places = Places {
        bundle: "\"$NIXDAG_BUNDLE\"",
        program: ".nixdag/program",
        workspace: ".nixdag/handoff",
        reuse: ".nixdag/reuse",
        packages: "",
        signed: "",
        results: "\".nixdag/results/$NIXDAG_JOB\"",
        records: "",
        restored: ".nixdag/restored",
        job: "\"$NIXDAG_JOB\"",
    };

    fn kind(image: &str) -> Kind {
        Kind {
            name: "docker".into(),
            executor: "docker".into(),
            job: "build-docker".into(),
            machine: Machine::Docker,
            image: image.into(),
            resource_class: "small".into(),
            system: "x86_64-linux".into(),
            cores: Some(4),
            options: JobOptions { timeout: Some(60), ..JobOptions::default() },
            setup: Vec::new(),
            nix_settings: vec![("extra-platforms", "i686-linux riscv64-linux".into())],
            keep: Vec::new(),
            program: Program::Bundled,
        }
    }

    fn script(kind: &Kind, reuse: Reuse, task: Task, failing: Failing) -> JobScript {
        let bundle = BundleReference { manifest_sha256: "0".repeat(64), system: "x86_64-linux".into() };
        let (nix, delivery) = (NixRelease::default(), Delivery::default());
        let common = Common { bundle: &bundle, nix: &nix, delivery: &delivery, reuse, records: None };
        JobScript::new(kind, &common, &PLACES, task, failing).unwrap()
    }

    #[test]
    fn a_job_that_its_provider_names_by_a_variable_is_one_call() {
        let kind = kind("nixos/nix:2.34.7");
        let built = script(&kind, Reuse::Branch, Task::Build, Failing::AtOnce);
        let sha256 = "0".repeat(64);
        let before = format!(
            ".nixdag/program/nixdag build --bundle \"$NIXDAG_BUNDLE\" --bundle-sha256 {sha256} --workspace .nixdag/handoff"
        );
        let after = "--timeout 60 --nix-option extra-platforms 'i686-linux riscv64-linux' --results \".nixdag/results/$NIXDAG_JOB\"";
        let line = format!("{before} --reuse .nixdag/reuse {after} --job \"$NIXDAG_JOB\"");
        assert_eq!(built.build.line().unwrap(), line);
        assert_eq!(built.path, None);
        let restored = script(&kind, Reuse::Branch, Task::Restore, Failing::Last);
        let line = format!("{before} --restore .nixdag/restored {after} --record-verdict --job \"$NIXDAG_JOB\"");
        assert_eq!(restored.build.line().unwrap(), line);
        let verdict = ".nixdag/program/nixdag build --verdict \".nixdag/results/$NIXDAG_JOB\"";
        assert_eq!(restored.verdict.line().unwrap(), verdict);
    }

    #[test]
    fn what_reuses_nothing_names_no_folder_and_an_image_without_nix_gets_one() {
        let built = script(&kind("debian:12"), Reuse::Off, Task::Build, Failing::AtOnce);
        assert!(!built.build.line().unwrap().contains("reuse"));
        assert!(built.path.is_some());
        assert!(
            built.set_up[7].contains("NIXDAG_CHECKSUMS='") && built.set_up[7].ends_with("NIXDAG_CORES=4 sh install.sh")
        );
    }
}
