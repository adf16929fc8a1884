//! The job `report`, behind all others: it puts together what jobs have recorded, for the plan of the next pipeline and as pages for people.
//!
//! Where jobs hand on through a store, records are in it. Else each job saves its few kilobytes under a key of the pipeline and the job. This job restores these by name, not the workspace, which
//! holds all that was built; where branches trust one another it also keeps them for later pipelines. It has no secrets, builds nothing, nothing waits for it, and it succeeds whatever it finds. So that it runs
//! after failures too, it waits for its jobs to end, however they do.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::job_script::calls::{collect, collect_in_store};
use super::super::job_script::kinds::Kind;
use super::super::job_script::{Task, verify};
use super::super::yaml::Yaml;
use super::names::GATE;
use super::options::Options;
use super::steps::{self, records_key, run, save, step};
use super::template;
use super::transport::{BUNDLE_DIR, RECORDS_DIR, Transport};
use crate::delivery::{BundleReference, Reuse};
use crate::history::store::KeptIn;
use crate::plan::Plan;

/// Where records of earlier pipelines are, and these are added; a path that all images have, as the bundle's.
pub const HISTORY_DIR: &str = "/tmp/nixdag/history";

/// Beginning of the key of what a branch's pipelines have recorded. No branch's name holds `..`, so no key is the beginning of another.
fn history_key(branch: &str) -> String {
    format!("nixdag-history-1-{branch}..")
}

/// The job's steps.
pub fn steps(
    kind: &Kind,
    bundle: &BundleReference,
    plan: &Plan,
    options: &Options,
    transport: Transport,
) -> Result<Vec<Yaml>> {
    let script = steps::script(kind, bundle, options, Transport { is_guarded: false, ..transport }, Task::Report)?;
    let mut list: Vec<Yaml> =
        script.prepare.iter().map(|command| run("Prepare the machine", &template::escape(command))).collect();
    list.extend([steps::clean(Some(bundle)), steps::restore_bundle()]);
    let own = history_key("{{ .Branch }}");
    let keeps = options.setup.keeps_records;
    if keeps {
        let default = options.setup.default_branch.as_deref().map(|branch| history_key(&template::escape(branch)));
        let keys = Yaml::texts([own.clone()].into_iter().chain(default));
        let name = ("name", Yaml::text("Restore earlier records"));
        list.push(step("restore_cache", [name, ("keys", keys)]));
    }
    for job in plan.all_jobs() {
        let name = ("name", Yaml::text("Restore records"));
        list.push(step("restore_cache", [name, ("keys", Yaml::texts([records_key(&job.id)]))]));
    }
    let places = Transport { is_guarded: false, ..transport }.places();
    let mut lines = vec![format!("rm -rf ~/.nixdag\nmkdir -m 700 ~/.nixdag\nmkdir -p {HISTORY_DIR}")];
    let mut checked = script.set_up.clone();
    checked.extend(verify(kind, bundle, BUNDLE_DIR));
    let call = collect(kind, &places, RECORDS_DIR, HISTORY_DIR).line()?;
    checked.push(call);
    lines.extend(attempt(checked));
    lines.push("circleci-agent step halt".to_owned());
    list.push(run("Put records together", &template::escape(&steps::lines(&lines))));
    list.push(steps::keep_files());
    if keeps {
        list.push(save("Save records", format!("{own}{{{{ .BuildNum }}}}"), HISTORY_DIR));
    }
    Ok(list)
}

/// Lines that end with the first of these that fails, and say so; behind them nothing else is run where none fails. In the condition of an `if`
/// a shell would go on behind a check that fails, whatever `set -e` says.
fn attempt(lines: Vec<String>) -> Vec<String> {
    let mut all = vec!["set +e\n(\nset -e".to_owned()];
    all.extend(lines);
    all.push(
        ")\nif [ $? = 0 ]; then exit; fi\necho 'the records of this pipeline are not put together' >&2".to_owned(),
    );
    all
}

/// The job's steps where records are in the store that jobs hand on through: like any job it gets the bundle from the workspace, which holds
/// nothing else, and the credentials of the store, and restores nothing from the CI's cache.
pub fn steps_in_store(kind: &Kind, bundle: &BundleReference, stored: &KeptIn, options: &Options) -> Result<Vec<Yaml>> {
    let transport = Transport { reuse: Reuse::Off, is_guarded: true, leaves_records: false };
    let script = steps::script(kind, bundle, options, transport, Task::Restore)?;
    let mut list = steps::start(&script, bundle, transport, &[]);
    let places = transport.places();
    let mut lines: Vec<String> = script.path.map(str::to_owned).into_iter().collect();
    // The plan says where tokens go.
    let mut checked = verify(kind, bundle, places.bundle);
    checked.push(collect_in_store(kind, &places, stored).line()?);
    lines.extend(attempt(checked));
    list.push(run("Put records together", &template::escape(&steps::lines(&lines))));
    list.push(steps::keep_files());
    Ok(list)
}

/// What the job waits for. CircleCI takes a status only with plain names; for another one stands a job that costs nothing and runs or
/// does not as soon as that has ended.
pub struct Waits {
    /// Jobs of type `no-op`: name, and the name of the job that each requires.
    pub no_ops: Vec<(String, String)>,
    /// The names that `requires` has, each with the status `terminal`.
    pub requires: Vec<String>,
}

impl Waits {
    /// For the jobs of a plan behind which no other runs, final jobs among them.
    pub fn new(plan: &Plan) -> Self {
        let mut taken: BTreeSet<String> = plan.all_jobs().map(|job| job.name.to_lowercase()).collect();
        let required: BTreeSet<_> = plan.all_jobs().flat_map(|job| &job.requires).map(|index| index.at()).collect();
        let (mut no_ops, mut requires) = (Vec::new(), Vec::new());
        for (_, job) in plan.all_jobs().enumerate().filter(|(at, _)| !required.contains(at)) {
            if is_plain(&job.name) {
                requires.push(job.name.clone());
                continue;
            }
            let names = (1u32..).map(|number| match number {
                1 => format!("after-{}", job.id),
                _ => format!("after-{}-{number}", job.id),
            });
            let name = names.into_iter().find(|name| !taken.contains(name)).expect("numbers do not end");
            taken.insert(name.clone());
            no_ops.push((name.clone(), template::label(&job.name)));
            requires.push(name);
        }
        Self { no_ops, requires }
    }

    /// The places of the jobs without steps in the workflow, and then the value of `requires`.
    pub fn yaml(self, filters: &str) -> (Vec<Yaml>, Yaml) {
        let no_op = |(name, required): (String, String)| {
            let entries =
                [("name", Yaml::Text(name)), ("requires", Yaml::texts([required])), ("filters", Yaml::text(filters))];
            Yaml::entry(GATE, Yaml::map(entries))
        };
        let no_ops = self.no_ops.into_iter().map(no_op).collect();
        let requires = self.requires.into_iter().map(|name| Yaml::map([(name, Yaml::text("terminal"))]));
        (no_ops, Yaml::List(requires.collect()))
    }
}

/// True for a name that CircleCI takes as a key.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain)
}
