//! The steps of a generated job. Their text is counted once for every job against the size of the compiled configuration,
//! so they are few and short: what can be done by the nixdag in the bundle is done there.
//!
//! A step that fails ends the job, and caches and workspaces are not saved behind it. So the build records its verdict and
//! ends well, everything is handed on, and a step near the end fails with that verdict; what only a complete job may save
//! stands behind it.

use anyhow::Result;

use super::super::shell;
use super::super::yaml::Yaml;
use super::options::Options;
use super::template;
use crate::build::record;
use crate::delivery::downloads::Download;
use crate::delivery::{BundleReference, HandOff, OnPushFailure, Push, Signing};
use crate::fleet::size::Machine;
use crate::handoff::bundle::{INSTALLER, PROGRAM};
use crate::handoff::reuse::{COMPLETE, PARTIAL};
use crate::plan::JobOptions;

/// Where the setup job writes the bundle, and where the generated jobs find it. CircleCI's caches come back at the absolute
/// path that they were saved from, and home directories differ between images: hence a path that all of them have.
pub const BUNDLE_DIR: &str = "/tmp/nixdag/bundle";

/// Holds the SHA-256 of the bundle's manifest, in hexadecimal, and a newline. The setup job and each generated job write the
/// same file, so that both derive the same cache key from it.
pub const BUNDLE_HASH_FILE: &str = "/tmp/nixdag/bundle.sha256";

/// The key under which the setup job saves [`BUNDLE_DIR`]: the pipeline, and the hash of [`BUNDLE_HASH_FILE`].
pub const BUNDLE_KEY: &str = "nixdag-bundle-<< pipeline.id >>-{{ checksum \"/tmp/nixdag/bundle.sha256\" }}";

/// One folder a job, named by its id.
const WORKSPACE: &str = "~/.nixdag/workspace";

/// Verdict, JUnit file, timings and logs.
const RESULTS: &str = "~/.nixdag/results";

/// What an earlier run of the job left, and what this one leaves for later ones.
const REUSE: &str = "~/.nixdag/reuse";

/// One kind of machine in the configuration: all jobs of a kind share their body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What plans call the executor.
    pub name: String,
    /// Key under `executors`.
    pub executor: String,
    /// Key under `jobs`.
    pub job: String,
    /// How the machine comes into being.
    pub machine: Machine,
    /// Docker image, VM image or Xcode version.
    pub image: String,
    /// Size of the machine.
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

/// The steps of one kind's job.
pub fn of(kind: &Kind, options: &Options) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.bundle else { return Ok(vec![no_bundle()]) };
    let (workspace, reuse, signed) = (options.has_workspace(), options.has_reuse(), options.has_signed_reuse());

    let mut steps = start(kind, bundle, options)?;
    if reuse {
        let keys = if signed { vec![SIGNED_KEY.to_owned()] } else { branch_keys(options) };
        let name = Yaml::text("Restore earlier results");
        steps.push(step("restore_cache", [("name", name), ("keys", Yaml::texts(keys))]));
    }
    if workspace {
        // A job without ancestors has no workspace to attach.
        steps.push(step(
            "when",
            [("condition", Yaml::text("<< parameters.attach >>")), ("steps", Yaml::List(vec![attach()]))],
        ));
    }
    let mut script = prepare(kind, "<< parameters.id >>");
    let mut more = if reuse { format!("--reuse {REUSE} ") } else { String::new() };
    if signed {
        more.push_str("--signed-reuse ");
    }
    script.push_str(&build(kind, options, &format!("{more}{}", push(options)?))?);
    if kind.options.retries.is_some() {
        script.push_str(&fail_for_a_rerun(kind));
    }
    steps.push(build_step(kind, script));
    if workspace {
        let own = Yaml::texts(["<< parameters.id >>"]);
        steps.push(step("persist_to_workspace", [("root", Yaml::text(WORKSPACE)), ("paths", own)]));
    }
    steps.extend(keep_results());
    if reuse && !signed {
        let key = format!("{}{{{{ .BuildNum }}}}", partial_key());
        steps.push(save("Save incomplete results", key, &format!("{REUSE}/{PARTIAL}")));
    }
    if signed {
        let script = format!(
            "[ -e {RESULTS}/{} ] || {{ {} build --verdict {RESULTS} && circleci-agent step halt; }}\n",
            record::TO_SAVE,
            program(kind)
        );
        steps.push(run("End where there is nothing to save", &script));
        steps.push(save("Save results", format!("{SIGNED_KEY}{{{{ .BuildNum }}}}"), REUSE));
    }
    steps.push(verdict(kind));
    if reuse && !signed {
        steps.push(save("Save results", complete_key("{{ .Branch }}"), &format!("{REUSE}/{COMPLETE}")));
    }
    Ok(steps)
}

/// The only step where there is nothing to build from.
pub(super) fn no_bundle() -> Yaml {
    let command =
        "echo 'nothing to build from: make this configuration with `nixdag generate --bundle DIR`' >&2\nexit 1\n";
    run("Build", command)
}

/// The steps that every job begins with: the bundle, Nix, and nixdag where the bundle's does not run. What a job before this one
/// has left on a machine that is used again goes first.
pub(super) fn start(kind: &Kind, bundle: &BundleReference, options: &Options) -> Result<Vec<Yaml>> {
    let hash = &bundle.manifest_sha256;
    let name = format!("rm -rf /tmp/nixdag ~/.nixdag\nmkdir -p /tmp/nixdag\necho {hash} > {BUNDLE_HASH_FILE}\n");
    let mut steps: Vec<Yaml> =
        kind.setup.iter().map(|command| run("Prepare the machine", &template::escape(command))).collect();
    steps.extend([
        run("Name the bundle", &name),
        step("restore_cache", [("name", Yaml::text("Restore the bundle")), ("key", Yaml::text(BUNDLE_KEY))]),
        run("Set up", &set_up(kind, bundle, options)?),
    ]);
    Ok(steps)
}

/// The script that checks what the bundle has to run before anything of it is run, and then installs. `set -e` is in force, so each
/// check stands on a line of its own.
fn set_up(kind: &Kind, bundle: &BundleReference, options: &Options) -> Result<String> {
    let sum = sha256sum(kind);
    let mut script = format!(
        "cd {BUNDLE_DIR} || {{ echo 'no bundle: start a new pipeline' >&2; exit 1; }}\n\
         echo '{}  manifest' | {sum} -c -\n\
         grep -E ' ({INSTALLER}|{PROGRAM})$' manifest | {sum} -c -\n",
        bundle.manifest_sha256
    );
    let nix = &options.nix;
    let tarball = nix.tarballs.iter().find(|(system, _)| *system == kind.system);
    let sha256 = tarball.filter(|_| !has_nix(kind)).map(|(_, sha256)| &**sha256);
    let file = format!("nix-{}-{}.tar.xz", nix.version, kind.system);
    let cores = kind.cores.filter(|_| kind.machine == Machine::Docker);
    script.push_str(&install("nix", &nix.version, &nix.url, sha256.map(|sha256| (sha256, &*file)), cores)?);
    if let Program::Download(file) = &kind.program {
        script.push_str(&install("nixdag", &file.version, &file.url, Some((&file.sha256, &file.name)), None)?);
    }
    Ok(script)
}

/// The call of the script that installs; see there for what the variables mean.
fn install(what: &str, version: &str, url: &str, pinned: Option<(&str, &str)>, cores: Option<u32>) -> Result<String> {
    let mut line = format!("NIXDAG_INSTALL={what} NIXDAG_VERSION={}", shell::quote(version)?);
    if let Some((sha256, file)) = pinned {
        let checksum = shell::quote(&format!("{sha256}  {file}"))?;
        line.push_str(&format!(" NIXDAG_URL={} NIXDAG_CHECKSUMS={checksum}", template::escape(&shell::quote(url)?)));
    }
    if let Some(cores) = cores {
        line.push_str(&format!(" NIXDAG_CORES={cores}"));
    }
    Ok(format!("{line} sh {INSTALLER}\n"))
}

/// The step that brings in what other jobs handed off.
pub(super) fn attach() -> Yaml {
    step("attach_workspace", [("at", Yaml::text(WORKSPACE))])
}

/// The steps that keep what the runner has recorded, for a failed job too.
pub(super) fn keep_results() -> [Yaml; 2] {
    [
        step("store_test_results", [("path", Yaml::text(format!("{RESULTS}/junit.xml")))]),
        step("store_artifacts", [("path", Yaml::text(RESULTS)), ("destination", Yaml::text("nixdag"))]),
    ]
}

/// The step that fails with the runner's verdict.
pub(super) fn verdict(kind: &Kind) -> Yaml {
    run("Verdict", &format!("{} build --verdict {RESULTS}\n", program(kind)))
}

/// Beginning of the keys of signed results: of any branch, the newest first, complete or not, since each path is signed by itself.
/// The number of the job behind it makes a new entry possible where somebody has saved rubbish.
const SIGNED_KEY: &str = "nixdag-signed-<< parameters.reuse >>-";

/// Key of a complete result on a branch. No branch's name holds `..`, so no key is the beginning of another.
fn complete_key(branch: &str) -> String {
    format!("nixdag-complete-<< parameters.reuse >>-{branch}..")
}

/// Where results of the same branch are, and of the default branch, the best first.
fn branch_keys(options: &Options) -> Vec<String> {
    let mut keys = vec![complete_key("{{ .Branch }}")];
    keys.extend(options.default_branch.as_deref().map(|branch| complete_key(&template::escape(branch))));
    keys.push(partial_key());
    keys
}

/// Beginning of the keys of incomplete results on the job's branch.
fn partial_key() -> String {
    "nixdag-partial-<< parameters.reuse >>-{{ .Branch }}..".to_owned()
}

/// The script before the runner is called.
pub(super) fn prepare(kind: &Kind, id: &str) -> String {
    format!("id={id}\nnixdag={}\n{}", program(kind), path(kind))
}

/// The step that builds, with the limits that only a step can have.
fn build_step(kind: &Kind, script: String) -> Yaml {
    let mut body = vec![("name", Yaml::text("Build"))];
    body.extend(kind.options.timeout.map(|seconds| ("no_output_timeout", Yaml::Text(format!("{seconds}s")))));
    body.extend(kind.options.retries.map(|times| ("max_auto_reruns", Yaml::Integer(i64::from(times)))));
    body.push(("command", Yaml::Script(script)));
    Yaml::entry("run", Yaml::map(body))
}

/// Only a step that fails is run again, and only one that ends well is followed by those that hand on: so it fails on purpose as long
/// as there is a rerun left.
fn fail_for_a_rerun(kind: &Kind) -> String {
    let reruns = kind.options.retries.unwrap_or_default();
    format!(
        "echo >> ~/.nixdag/tries\n[ $(wc -l < ~/.nixdag/tries) -gt {reruns} ] || $nixdag build --verdict {RESULTS} >/dev/null\n"
    )
}

/// The call of the runner; `more` are arguments.
pub(super) fn build(kind: &Kind, options: &Options, more: &str) -> Result<String> {
    let mut more = more.to_owned();
    if let Some(seconds) = kind.options.timeout {
        more.push_str(&format!("--timeout {seconds} "));
    }
    for (name, value) in &kind.nix_settings {
        more.push_str(&format!("--nix-option {name} {} ", template::escape(&shell::quote(value)?)));
    }
    let through = match &options.handoff {
        HandOff::Workspace => format!("--workspace {WORKSPACE}"),
        HandOff::Cache(url) => format!("--cache {}", word(url.text())?),
    };
    let keys = signing(options)?;
    Ok(format!(
        "$nixdag build --bundle {BUNDLE_DIR} {through} {keys}{more}--results {RESULTS} --record-verdict --job $id\n"
    ))
}

/// The arguments that say whose signatures count, and the name of the variable with the secret key.
fn signing(options: &Options) -> Result<String> {
    let Signing { public_keys, variable, is_named } = &options.signing;
    let mut arguments = String::new();
    if *is_named {
        arguments.push_str(&format!("--signing-key-variable {variable} "));
    }
    if !public_keys.is_empty() {
        let keys: Vec<String> = public_keys.iter().map(|key| word(&key.to_string())).collect::<Result<_>>()?;
        arguments.push_str(&format!("--signing-public-key {} ", keys.join(" ")));
    }
    Ok(arguments)
}

/// The arguments that say where else what is built goes.
fn push(options: &Options) -> Result<String> {
    let Push { destinations, credentials, on_failure } = &options.push;
    let mut arguments = String::new();
    for destination in destinations {
        arguments.push_str(&format!("--push {} ", word(&destination.to_string())?));
    }
    for name in credentials {
        arguments.push_str(&format!("--push-credential {name} "));
    }
    if *on_failure == OnPushFailure::Fail {
        arguments.push_str("--push-failure fail ");
    }
    Ok(arguments)
}

/// One word of a script.
fn word(text: &str) -> Result<String> {
    Ok(template::escape(&shell::quote(text)?))
}

/// How scripts call nixdag. The bundle itself is not put on PATH: only the file that was checked is run.
fn program(kind: &Kind) -> &'static str {
    match kind.program {
        Program::Bundled => "/tmp/nixdag/bundle/nixdag",
        Program::Download(_) => DOWNLOADED,
        Program::OnPath => "nixdag",
    }
}

/// Where [`INSTALLER`] puts a nixdag.
const DOWNLOADED: &str = "~/.nixdag/bin/nixdag";

/// The line that makes an installed Nix visible.
pub(super) fn path(kind: &Kind) -> &'static str {
    if has_nix(kind) { "" } else { "export PATH=\"$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH\"\n" }
}

/// True for the images that are known to bring Nix.
fn has_nix(kind: &Kind) -> bool {
    kind.machine == Machine::Docker && kind.image.split([':', '@']).next() == Some("nixos/nix")
}

/// macOS has no `sha256sum` of its own.
fn sha256sum(kind: &Kind) -> &'static str {
    if kind.system.ends_with("-darwin") { "shasum -a 256" } else { "sha256sum" }
}

pub(super) fn run(name: &str, command: &str) -> Yaml {
    step("run", [("name", Yaml::text(name)), ("command", Yaml::Script(command.to_owned()))])
}

fn save(name: &str, key: String, path: &str) -> Yaml {
    step("save_cache", [("name", Yaml::text(name)), ("key", Yaml::Text(key)), ("paths", Yaml::texts([path]))])
}

pub(super) fn step<const N: usize>(kind: &str, body: [(&str, Yaml); N]) -> Yaml {
    Yaml::entry(kind, Yaml::map(body))
}
