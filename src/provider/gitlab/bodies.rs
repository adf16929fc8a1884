//! What jobs have in common, as hidden jobs that they extend: one for each machine, and one for what is built on each kind of it.

use anyhow::Result;

use super::expand;
use super::limits::JOB_HOURS;
use super::machines::NIX_IMAGE;
use super::names::{COMMENT, REPORT, STAGE};
use super::options::Options;
use super::places::{HISTORY, JOB, PLACES, REUSE, WORKSPACE};
use crate::delivery::{BundleReference, HandOffKind, Reuse};
use crate::fleet::executor::Executor;
use crate::fleet::offers::TAG_SEPARATOR;
use crate::fleet::size::Machine;
use crate::page::folder;
use crate::provider::job_script::calls::{self, collect, forget};
use crate::provider::job_script::kinds::Kind;
use crate::provider::job_script::{Common, Failing, JobScript, Places, Task, verify};
use crate::provider::job_setup::CommentJob;
use crate::provider::shell;
use crate::provider::yaml::Yaml;

/// How long artifacts are kept: reruns need them.
const EXPIRES: &str = "1 week";

/// What is tried again: a machine's end, never a build's.
const RETRIED: [&str; 4] =
    ["runner_system_failure", "stuck_or_timeout_failure", "scheduler_failure", "data_integrity_failure"];

/// GitLab's runner unpacks without a umask: builders that are other users could put a folder of their own in the place of nixdag's.
const CLOSE: &str = "chmod go-w .. . .nixdag 2>/dev/null || :\n";

/// What a job hands off and the registry has.
const NARS: &str = ".nixdag/handoff/*/nar/**/*";

/// Where a job's records are.
const RESULTS: &str = ".nixdag/results/$NIXDAG_JOB";

/// The hidden job of a machine. `own` are a kind's variables.
pub fn machine(kind: &Kind, defined: Option<&Executor>) -> Result<Yaml> {
    let mut entries = runs_on(kind)?;
    entries.extend([
        ("stage", Yaml::text(STAGE)),
        ("interruptible", Yaml::Bool(true)),
        ("timeout", Yaml::text(format!("{JOB_HOURS}h"))),
        ("retry", retry()),
    ]);
    let own = defined.into_iter().flat_map(|executor| &executor.environment);
    let own = own.map(|(name, value)| (name.as_str(), expand::variable(value)));
    entries.push(("variables", Yaml::map([("GIT_STRATEGY", Yaml::text("empty"))].into_iter().chain(own))));
    entries.push(("artifacts", artifacts(&[], &[])));
    Ok(Yaml::map(entries))
}

/// When a job is tried again.
fn retry() -> Yaml {
    Yaml::map([("max", Yaml::Integer(2)), ("when", Yaml::texts(RETRIED))])
}

/// Where a job runs: image and tags.
pub fn runs_on(kind: &Kind) -> Result<Vec<(&'static str, Yaml)>> {
    let mut entries = Vec::new();
    match kind.machine {
        Machine::SelfHosted => {}
        // What other providers call a VM's image means nothing here.
        Machine::LinuxVm => entries.push(("image", Yaml::text(NIX_IMAGE))),
        Machine::Docker | Machine::MacOs => entries.push(("image", expand::plain(&kind.image, "the image")?)),
    }
    let tags = kind.resource_class.split(TAG_SEPARATOR).map(|tag| expand::plain(tag, "the tag"));
    entries.push(("tags", Yaml::List(tags.collect::<Result<_>>()?)));
    Ok(entries)
}

/// What a job leaves, failed or not: its records, and more.
fn artifacts(more: &[String], less: &[String]) -> Yaml {
    let paths = [format!("{RESULTS}/")].into_iter().chain(more.iter().cloned());
    let mut entries = vec![
        ("when", Yaml::text("always")),
        ("expire_in", Yaml::text(EXPIRES)),
        ("paths", Yaml::texts(paths)),
        ("reports", Yaml::entry("junit", Yaml::text(format!("{RESULTS}/junit.xml")))),
    ];
    if !less.is_empty() {
        entries.push(("exclude", Yaml::texts(less.iter().cloned())));
    }
    Yaml::map(entries)
}

/// The hidden job of what is built on a kind of machine.
pub fn building(kind: &Kind, options: &Options, handoff: HandOffKind, reuse: Reuse) -> Result<Yaml> {
    let mut entries = vec![("extends", Yaml::text(hidden(&kind.executor)))];
    if !kind.options.environment.is_empty() {
        let own = kind.options.environment.iter();
        entries.push(("variables", Yaml::map(own.map(|(name, value)| (name, expand::variable(value))))));
    }
    entries.push(("script", Yaml::List(script(kind, options, reuse, Task::Build)?)));
    entries.extend(cache(reuse, options).map(|cache| ("cache", cache)));
    match handoff {
        HandOffKind::Artifacts => entries.push(("artifacts", artifacts(&[format!("{WORKSPACE}/${JOB}/")], &[]))),
        // What it delivers, by digest: the NARs are in the registry. Not what others do: a builder may have been at their folders.
        HandOffKind::Packages => {
            entries.push(("artifacts", artifacts(&[format!("{WORKSPACE}/${JOB}/")], &[NARS.to_owned()])));
        }
        HandOffKind::Workspace | HandOffKind::Cache => {}
    }
    Ok(Yaml::map(entries))
}

/// The hidden job of relays: what jobs before it have left, passed on as it is. Nothing else runs there.
pub fn relay(kind: &Kind) -> Result<Yaml> {
    let mut entries = runs_on(kind)?;
    entries.extend([
        ("stage", Yaml::text("nixdag")),
        ("interruptible", Yaml::Bool(true)),
        ("retry", retry()),
        ("variables", Yaml::entry("GIT_STRATEGY", Yaml::text("empty"))),
        ("script", Yaml::texts(["true"])),
        (
            "artifacts",
            Yaml::map([
                ("expire_in", Yaml::text(EXPIRES)),
                ("paths", Yaml::texts([format!("{WORKSPACE}/")])),
                ("exclude", Yaml::texts([NARS])),
            ]),
        ),
    ]);
    Ok(Yaml::map(entries))
}

/// The job that puts together what jobs have recorded, for the plan of the next pipeline: it runs whatever the others have come to, and decides
/// about nothing. Records come through the registry of packages, since an artifact is everything that its job has left.
pub fn report(kind: &Kind, options: &Options, needs: Vec<Yaml>) -> Result<Yaml> {
    let script = match &options.setup.bundle {
        None => no_bundle(),
        Some(bundle) => {
            let mut script = job_script(kind, bundle, options, Reuse::Off, Task::Report)?;
            script.set_up.extend(verify(kind, bundle, "\"$CI_PROJECT_DIR/.nixdag/bundle\""));
            let mut call = collect(kind, &PLACES, PLACES.records, HISTORY);
            call.extend(["--remove".into()]);
            vec![set_up(&script), Yaml::text(call.line()?)]
        }
    };
    let branches = history_keys(options);
    Ok(Yaml::map([
        ("extends", Yaml::Text(hidden(&kind.executor))),
        ("stage", Yaml::text(REPORT)),
        ("needs", Yaml::List(needs)),
        ("when", Yaml::text("always")),
        ("allow_failure", Yaml::Bool(true)),
        ("variables", Yaml::entry(JOB, Yaml::text(REPORT))),
        ("script", Yaml::List(script)),
        (
            "cache",
            Yaml::map([
                ("key", Yaml::text(&branches[0])),
                ("fallback_keys", Yaml::texts(&branches[1..])),
                ("paths", Yaml::texts([format!("{HISTORY}/")])),
                ("policy", Yaml::text("pull-push")),
            ]),
        ),
    ]))
}

/// The job that comments on the merge request: it takes the finished Markdown from the job before it, and nothing else.
pub fn comment(
    kind: &Kind,
    options: &Options,
    job: &CommentJob,
    needs: Vec<Yaml>,
) -> Result<Vec<(&'static str, Yaml)>> {
    let script = match &options.setup.bundle {
        None => no_bundle(),
        Some(bundle) => {
            let script = job_script(kind, bundle, options, Reuse::Off, Task::Report)?;
            let file = format!(".nixdag/results/{REPORT}/{}", folder::COMMENT);
            let call = calls::comment(kind, &PLACES, "gitlab", job.token_variable.as_str(), &file);
            vec![set_up(&script), Yaml::text(call.line()?)]
        }
    };
    Ok(vec![
        ("extends", Yaml::Text(hidden(&kind.executor))),
        ("stage", Yaml::text(REPORT)),
        ("needs", Yaml::List(needs)),
        ("when", Yaml::text("always")),
        ("allow_failure", Yaml::Bool(true)),
        ("variables", Yaml::entry(JOB, Yaml::text(COMMENT))),
        ("script", Yaml::List(script)),
    ])
}

/// The key of what a branch's pipelines have recorded, and where a new branch begins.
fn history_keys(options: &Options) -> [String; 2] {
    [String::from("$CI_COMMIT_REF_SLUG"), default_branch(options)].map(|branch| format!("nixdag-history-1-{branch}"))
}

fn default_branch(options: &Options) -> String {
    options.setup.default_branch.as_deref().map_or_else(|| "$CI_DEFAULT_BRANCH".to_owned(), slug)
}

/// The cache with what earlier pipelines left. GitLab keeps those of protected branches apart from others. The last job that ends
/// overwrites it: a job that fails leaves what it has built.
fn cache(reuse: Reuse, options: &Options) -> Option<Yaml> {
    let default = default_branch(options);
    let (key, fallback) = match reuse {
        // Signed results are in the registry, which branches of either protection read.
        Reuse::Off | Reuse::Signed => return None,
        Reuse::Branch => (format!("nixdag-${REUSE}-$CI_COMMIT_REF_SLUG"), vec![format!("nixdag-${REUSE}-{default}")]),
    };
    let mut entries = vec![("key", Yaml::text(key))];
    if !fallback.is_empty() {
        entries.push(("fallback_keys", Yaml::texts(fallback)));
    }
    entries.extend([
        ("paths", Yaml::texts([format!("{}/", PLACES.reuse)])),
        ("when", Yaml::text("always")),
        ("policy", Yaml::text("pull-push")),
    ]);
    Some(Yaml::map(entries))
}

/// A branch as `CI_COMMIT_REF_SLUG` has it.
fn slug(branch: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = branch.chars().map(plain).take(63).collect();
    slug.trim_matches('-').to_owned()
}

/// The name of a hidden job.
pub fn hidden(name: &str) -> String {
    format!(".{name}")
}

/// The script that removes what the pipeline has put into the registry of packages.
pub fn forgetting(kind: &Kind, options: &Options) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(no_bundle()) };
    let script = job_script(kind, bundle, options, Reuse::Off, Task::Report)?;
    Ok(vec![set_up(&script), Yaml::text(forget(kind, &PLACES).line()?)])
}

/// The check of the bundle, and what has to be installed.
fn set_up(script: &JobScript) -> Yaml {
    let lines: String = script.set_up.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Yaml::Script(format!("(\nset -e\n{CLOSE}{lines})\n"))
}

/// The items of a job's script: the user's own commands, the check of the bundle and what has to be installed, the runner's call.
pub fn script(kind: &Kind, options: &Options, reuse: Reuse, task: Task) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(no_bundle()) };
    let script = job_script(kind, bundle, options, reuse, task)?;
    let mut items: Vec<Yaml> =
        script.prepare.iter().map(|command| Yaml::Script(shell::in_a_subshell(command))).collect();
    items.push(set_up(&script));
    items.extend(script.path.map(Yaml::text));
    items.push(Yaml::text(script.build.line()?));
    Ok(items)
}

/// The item behind which a final job's command may come: how it ends is recorded.
pub fn record_end(kind: &Kind, options: &Options) -> Result<Yaml> {
    Ok(Yaml::Script(calls::record_end(kind, &places(options))?))
}

fn places(options: &Options) -> Places {
    Places { records: if options.setup.keeps_records { PLACES.records } else { "" }, ..PLACES }
}

fn job_script(kind: &Kind, bundle: &BundleReference, options: &Options, reuse: Reuse, task: Task) -> Result<JobScript> {
    let (nix, delivery) = (&options.setup.nix, &options.setup.delivery);
    let common = Common { bundle, nix, delivery, reuse, records: None };
    JobScript::new(kind, &common, &places(options), task, Failing::AtOnce)
}

/// The only script where there is nothing to build from.
fn no_bundle() -> Vec<Yaml> {
    let command = "echo 'nothing to build from: make this pipeline with `nixdag generate --bundle DIR`' >&2; exit 1";
    vec![Yaml::text(command)]
}
