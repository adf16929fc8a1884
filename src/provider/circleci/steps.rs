//! The steps of a generated job: what every provider's job does, and CircleCI's own caches, workspace and artifacts between. Their text is
//! counted once for every job against the size of the compiled configuration, so they are few and short: what can be done by the
//! nixdag in the bundle is done there.
//!
//! A step that fails ends the job, and caches and workspaces are not saved behind it. So the build records its verdict and
//! ends well, everything is handed on, and a step near the end fails with that verdict; what only a complete job may save
//! stands behind it.

use anyhow::Result;

use super::super::job_script::kinds::Kind;
use super::super::job_script::{Common, Failing, JobScript, Task};
use super::super::shell::ShellCommand;
use super::super::yaml::Yaml;
use super::options::Options;
use super::template;
use super::transport::{RECORDS_DIR, REUSE_DIR, REUSE_IN_WORKSPACE, Transport, WORKSPACE};
use crate::build::record;
use crate::delivery::{BundleReference, Reuse};
use crate::handoff::reuse::{COMPLETE, PARTIAL};

/// Holds the SHA-256 of the bundle's manifest, in hexadecimal, and a newline. The setup job and each generated job write the
/// same file, so that both derive the same cache key from it.
pub const BUNDLE_HASH_FILE: &str = "/tmp/nixdag/bundle.sha256";

/// The key under which the setup job saves [`BUNDLE_DIR`]: the pipeline, and the hash of [`BUNDLE_HASH_FILE`].
pub const BUNDLE_KEY: &str = "nixdag-bundle-<< pipeline.id >>-{{ checksum \"/tmp/nixdag/bundle.sha256\" }}";

/// The folder of what the runner records.
const RESULTS: &str = "~/.nixdag/results";

/// The steps of one kind's job.
pub fn of(kind: &Kind, options: &Options, transport: Transport) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(vec![no_bundle()]) };
    let script = script(kind, bundle, options, transport, Task::Build)?;
    let workspace = options.has_workspace();
    let verdict = line(&script.verdict)?;

    let keys = match transport.reuse {
        Reuse::Branch => branch_keys(options),
        Reuse::Signed => vec![signed_key(PARAMETER)],
        Reuse::Off => Vec::new(),
    };
    let mut steps = start(&script, bundle, transport, &keys);
    if transport.is_guarded && transport.reuse == Reuse::Signed {
        steps.push(take_results());
    }
    if workspace && !transport.is_guarded {
        // A job without ancestors has no workspace to attach.
        steps.push(step(
            "when",
            [("condition", Yaml::text("<< parameters.attach >>")), ("steps", Yaml::List(vec![attach()]))],
        ));
    }
    steps.push(build_step(kind, call(&script, "<< parameters.id >>")?));
    if workspace {
        let own = Yaml::texts(["<< parameters.id >>"]);
        steps.push(step("persist_to_workspace", [("root", Yaml::text(WORKSPACE)), ("paths", own)]));
    }
    steps.extend(keep_results());
    if transport.leaves_records {
        steps.push(save_records("<< parameters.id >>"));
    }
    if transport.reuse == Reuse::Branch {
        let key = format!("{}{{{{ .BuildNum }}}}", partial_key());
        steps.push(save("Save incomplete results", key, &format!("{REUSE_DIR}/{PARTIAL}")));
    }
    if transport.reuse == Reuse::Signed {
        let script = format!("[ -e {RESULTS}/{} ] || {{ {verdict} && circleci-agent step halt; }}\n", record::TO_SAVE);
        steps.push(run("End where there is nothing to save", &script));
        steps.push(save("Save results", format!("{}{{{{ .BuildNum }}}}", signed_key(PARAMETER)), REUSE_DIR));
    }
    steps.push(fail(&script)?);
    if transport.reuse == Reuse::Branch {
        let key = complete_key("{{ .Branch }}");
        steps.push(save("Save results", key, &format!("{REUSE_DIR}/{COMPLETE}")));
    }
    Ok(steps)
}

/// What a job of this kind does, CircleCI's own part apart.
pub(super) fn script(
    kind: &Kind,
    bundle: &BundleReference,
    options: &Options,
    transport: Transport,
    task: Task,
) -> Result<JobScript> {
    let (nix, delivery) = (&options.setup.nix, &options.setup.delivery);
    let records = options.setup.records_in.as_ref();
    let common = Common { bundle, nix, delivery, reuse: transport.reuse, records };
    JobScript::new(kind, &common, &transport.places(), task, Failing::Last)
}

/// The only step where there is nothing to build from.
pub(super) fn no_bundle() -> Yaml {
    let command =
        "echo 'nothing to build from: make this configuration with `nixdag generate --bundle DIR`' >&2\nexit 1\n";
    run("Build", command)
}

/// The steps that every job begins with: the bundle, earlier results, and only behind all that is restored checks, Nix, and nixdag
/// where the bundle's does not run. `keys` name earlier results.
pub(super) fn start(script: &JobScript, bundle: &BundleReference, transport: Transport, keys: &[String]) -> Vec<Yaml> {
    let mut steps: Vec<Yaml> =
        script.prepare.iter().map(|command| run("Prepare the machine", &template::escape(command))).collect();
    let mut set_up = lines(&script.set_up);
    if transport.is_guarded {
        steps.extend([clean(None), attach()]);
    } else {
        steps.extend([clean(Some(bundle)), restore_bundle()]);
        if !keys.is_empty() {
            let name = Yaml::text("Restore earlier results");
            steps.push(step("restore_cache", [("name", name), ("keys", Yaml::texts(keys.iter().cloned()))]));
        }
        // Whoever saved what was restored may have put something there too.
        set_up = format!("rm -rf ~/.nixdag\nmkdir -m 700 ~/.nixdag\n{set_up}");
    }
    steps.push(run("Set up", &template::escape(&set_up)));
    steps
}

/// The first step: what a job before this one has left on a machine that is used again goes. Names the bundle where it is to be
/// restored.
pub(super) fn clean(bundle: Option<&BundleReference>) -> Yaml {
    const CLEAN: &str = "rm -rf /tmp/nixdag ~/.nixdag\n";
    match bundle {
        Some(BundleReference { manifest_sha256, .. }) => run(
            "Name the bundle",
            &format!("{CLEAN}mkdir -m 700 /tmp/nixdag\necho {manifest_sha256} > {BUNDLE_HASH_FILE}\n"),
        ),
        None => run("Clean up", &format!("{CLEAN}mkdir -m 700 /tmp/nixdag ~/.nixdag\n")),
    }
}

/// The step that restores the bundle.
pub(super) fn restore_bundle() -> Yaml {
    step("restore_cache", [("name", Yaml::text("Restore the bundle")), ("key", Yaml::text(BUNDLE_KEY))])
}

/// The step that puts earlier results, as another job has restored them, where the runner looks for them.
fn take_results() -> Yaml {
    let from = format!("from={WORKSPACE}/{REUSE_IN_WORKSPACE}/{PARAMETER}");
    run("Take earlier results", &format!("{from}\nif [ -d $from ]; then mv $from {REUSE_DIR}; fi\n"))
}

/// The step that brings in what other jobs handed off.
pub(super) fn attach() -> Yaml {
    step("attach_workspace", [("at", Yaml::text(WORKSPACE))])
}

/// The lines that call the runner for a job; it takes the shell's place, whose environment the system would go on showing.
pub(super) fn call(script: &JobScript, id: &str) -> Result<Vec<String>> {
    let path = script.path.map(str::to_owned);
    Ok([format!("id={id}")].into_iter().chain(path).chain([format!("exec {}", line(&script.build)?)]).collect())
}

/// The steps that keep what the runner has recorded, for a failed job too.
pub(super) fn keep_results() -> [Yaml; 2] {
    [step("store_test_results", [("path", Yaml::text(format!("{RESULTS}/junit.xml")))]), keep_files()]
}

/// The step that keeps the files of a job's results.
pub(super) fn keep_files() -> Yaml {
    step("store_artifacts", [("path", Yaml::text(RESULTS)), ("destination", Yaml::text("nixdag"))])
}

/// The step that fails with the runner's verdict.
pub(super) fn fail(script: &JobScript) -> Result<Yaml> {
    Ok(run("Verdict", &format!("{}\n", line(&script.verdict)?)))
}

/// The hash of what a job builds, as the job's body names it.
const PARAMETER: &str = "<< parameters.reuse >>";

/// Beginning of the keys of signed results: of any branch, the newest first, complete or not, since each path is signed by itself.
/// The number of the job behind it makes a new entry possible where somebody has saved rubbish.
pub(super) fn signed_key(hash: &str) -> String {
    format!("nixdag-signed-{hash}-")
}

/// Beginning of the key of what a job has recorded; behind it is the number of its run, so that a rerun can record again.
pub(super) fn records_key(id: &str) -> String {
    format!("nixdag-records-<< pipeline.id >>-{id}..")
}

/// The step of a job that saves what it has recorded.
pub(super) fn save_records(id: &str) -> Yaml {
    save("Save records", format!("{}{{{{ .BuildNum }}}}", records_key(id)), &format!("{RECORDS_DIR}/{id}"))
}

/// The same once more, when the job knows more: what is saved last is restored.
pub(super) fn save_records_again(id: &str) -> Yaml {
    let key = format!("{}{{{{ .BuildNum }}}}.ended", records_key(id));
    save("Save records", key, &format!("{RECORDS_DIR}/{id}"))
}

/// A step that runs behind what has failed, too.
pub(super) fn always(step: Yaml) -> Yaml {
    let with_when = |body: Yaml| match body {
        Yaml::Map(mut entries) => {
            entries.push(("when".to_owned(), Yaml::text("always")));
            Yaml::Map(entries)
        }
        other => other,
    };
    match step {
        Yaml::Map(kinds) => Yaml::Map(kinds.into_iter().map(|(kind, body)| (kind, with_when(body))).collect()),
        other => other,
    }
}

/// Where results of the same branch are, and of the default branch, the best first.
fn branch_keys(options: &Options) -> Vec<String> {
    let mut keys = vec![complete_key("{{ .Branch }}")];
    keys.extend(options.setup.default_branch.as_deref().map(|branch| complete_key(&template::escape(branch))));
    keys.push(partial_key());
    keys
}

/// Key of a complete result on a branch. No branch's name holds `..`, so no key is the beginning of another.
fn complete_key(branch: &str) -> String {
    format!("nixdag-complete-<< parameters.reuse >>-{branch}..")
}

/// Beginning of the keys of incomplete results on the job's branch.
fn partial_key() -> String {
    "nixdag-partial-<< parameters.reuse >>-{{ .Branch }}..".to_owned()
}

/// The step that builds, with the limits that only a step can have.
fn build_step(kind: &Kind, script: Vec<String>) -> Yaml {
    let mut body = vec![("name", Yaml::text("Build"))];
    body.extend(kind.options.timeout.map(|seconds| ("no_output_timeout", Yaml::Text(format!("{seconds}s")))));
    body.push(("command", Yaml::Script(lines(&script))));
    Yaml::entry("run", Yaml::map(body))
}

/// A command as a line of a step.
fn line(command: &ShellCommand) -> Result<String> {
    Ok(template::escape(&command.line()?))
}

/// Lines as a script.
pub(super) fn lines(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

pub(super) fn run(name: &str, command: &str) -> Yaml {
    step("run", [("name", Yaml::text(name)), ("command", Yaml::Script(command.to_owned()))])
}

pub(super) fn save(name: &str, key: String, path: &str) -> Yaml {
    step("save_cache", [("name", Yaml::text(name)), ("key", Yaml::Text(key)), ("paths", Yaml::texts([path]))])
}

pub(super) fn step<const N: usize>(kind: &str, body: [(&str, Yaml); N]) -> Yaml {
    Yaml::entry(kind, Yaml::map(body))
}
