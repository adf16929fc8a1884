//! Brings what a task needs: the results of other workers, into the folders that the job's hand-offs are read from.
//!
//! In: the derivation graph, results that were listed. Out: a folder for each job whose results are needed and not in this machine's store. What they refer to comes with them. Which of it counts,
//! [`crate::build::deliveries`] decides, as for any hand-off.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::courier::patiently;
use super::maker::StoredName;
use super::package;
use super::planned::PlannedTasks;
use super::results::Results;
use super::stores::NameStore;
use super::tasks::Task;
use crate::build::interrupt;
use crate::build::outcome::known_outputs;
use crate::graph::{DrvId, Graph};
use crate::handoff::{merge, partial_cache};
use crate::nix::store::Store;
use crate::plan::Plan;

/// Most bytes of one result.
const MAX_RESULT: u64 = 16 << 30;

/// How long a result that was listed is looked for: reads may be later than listings.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where results come from and go to.
pub struct Inputs<'a> {
    store: &'a dyn NameStore,
    plan: &'a Plan,
    planned: &'a PlannedTasks,
    graph: &'a Graph,
    results: &'a Results,
    /// Where hand-offs are read from; none where Nix fetches everything by itself.
    workspace: Option<&'a Path>,
    /// The task of each derivation and of each output whose path is known.
    owner: HashMap<DrvId, Task>,
    producers: HashMap<String, Vec<Task>>,
    /// True where some outputs have no known path: then all results that a task may need are brought.
    has_floating: bool,
    /// Tasks whose results are here, with what they refer to.
    here: Mutex<BTreeSet<Task>>,
}

impl<'a> Inputs<'a> {
    /// Nothing is here yet.
    pub fn new(
        store: &'a dyn NameStore,
        plan: &'a Plan,
        planned: &'a PlannedTasks,
        graph: &'a Graph,
        results: &'a Results,
        workspace: Option<&'a Path>,
    ) -> Self {
        let mut inputs = Self {
            store,
            plan,
            planned,
            graph,
            results,
            workspace,
            owner: HashMap::new(),
            producers: HashMap::new(),
            has_floating: false,
            here: Mutex::default(),
        };
        for task in planned.tasks.all() {
            for id in inputs.derivations(task) {
                inputs.owner.insert(id, task);
                inputs.has_floating |= graph.node(id).is_floating();
                for path in known_outputs(graph, id) {
                    inputs.producers.entry(path).or_default().push(task);
                }
            }
        }
        for (drv, stands) in &plan.same_as {
            if let (Some(drv), Some(&task)) =
                (graph.find(drv), graph.find(stands).and_then(|stands| inputs.owner.get(&stands)))
            {
                inputs.owner.insert(drv, task);
            }
        }
        inputs
    }

    fn derivations(&self, task: Task) -> Vec<DrvId> {
        self.plan.job(self.planned.job(task)).builds().filter_map(|drv| self.graph.find(drv)).collect()
    }

    /// Outputs of a task, as far as their paths are known.
    pub fn outputs(&self, task: Task) -> Vec<String> {
        self.derivations(task).into_iter().flat_map(|id| known_outputs(self.graph, id)).collect()
    }

    /// True where an output of the task has no known path.
    pub fn is_floating(&self, task: Task) -> bool {
        self.derivations(task).into_iter().any(|id| self.graph.node(id).is_floating())
    }

    /// The folder that a task's job hands off, where there are such folders.
    pub fn folder(&self, task: Task) -> Option<PathBuf> {
        Some(self.workspace?.join(&self.plan.job(self.planned.job(task)).id))
    }

    /// The task was built here.
    pub fn is_here(&self, task: Task) {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).insert(task);
    }

    /// Brings everything that a task needs and that is not in the store of this machine; one task at a time.
    pub fn bring(&self, task: Task, nix: &Store, say: &mut dyn FnMut(&str)) -> Result<()> {
        let Some(workspace) = self.workspace else { return Ok(()) };
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = if self.has_floating { self.all(task) } else { self.direct(task) };
        while let Some(input) = wanted.pop_first() {
            if here.contains(&input) {
                continue;
            }
            let outputs = self.outputs(input);
            let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
            // What is valid has what it refers to.
            let is_valid = || Ok::<_, anyhow::Error>(nix.invalid(&outputs)?.is_empty());
            if self.is_floating(input) || outputs.is_empty() || !is_valid()? {
                wanted.extend(self.fetch(input, workspace, say)?);
            }
            here.insert(input);
        }
        Ok(())
    }

    /// The tasks whose derivations those of this task take something from.
    fn direct(&self, task: Task) -> BTreeSet<Task> {
        let inputs = self.derivations(task).into_iter().flat_map(|id| self.graph.inputs(id));
        inputs.filter_map(|input| self.owner.get(&input.drv).copied()).filter(|&input| input != task).collect()
    }

    /// All tasks that must have ended before this one.
    fn all(&self, task: Task) -> BTreeSet<Task> {
        let inputs = &self.plan.job(self.planned.job(task)).inputs;
        inputs.iter().filter_map(|input| Some(self.planned.jobs.binary_search(input).ok()? as Task)).collect()
    }

    /// Fetches the result of a task; gives the tasks that it refers to. What is damaged or cannot be had is left out, and missed by whoever needs it.
    fn fetch(&self, task: Task, workspace: &Path, say: &mut dyn FnMut(&str)) -> Result<Vec<Task>> {
        let id = &self.plan.job(self.planned.job(task)).id;
        let (folder, start) = (workspace.join(id), Instant::now());
        let (package, unpacked) = (workspace.join(".fetched"), workspace.join(".unpacked"));
        loop {
            let built = patiently(|| self.results.built(self.store, task))?;
            let mut is_damaged = false;
            for result in built {
                let name = StoredName::Result(result).text();
                for path in [&package, &unpacked, &folder] {
                    partial_cache::remove(path)?;
                }
                // What is cut off may be so only this time.
                let fetched = patiently(|| {
                    partial_cache::remove(&package)?;
                    partial_cache::remove(&unpacked)?;
                    let size = self.store.fetch(&name, &package, MAX_RESULT)?;
                    size.map(|_| package::unpack(&package, &unpacked)).transpose()
                });
                if let Some(signal) = interrupt::received() {
                    bail!("stopped by {signal}");
                }
                if matches!(fetched, Ok(None)) {
                    continue;
                }
                let usable = fetched.and_then(|_| {
                    let mut before = self.all(task);
                    before.insert(task);
                    referred(&unpacked, &before, &self.producers, say)
                });
                partial_cache::remove(&package)?;
                match usable {
                    Ok(referred) => {
                        fs::rename(&unpacked, &folder)
                            .with_context(|| format!("cannot make `{}`", folder.display()))?;
                        return Ok(referred);
                    }
                    Err(error) => {
                        say(&format!("warning: the result of `{id}` cannot be used: {error:#}"));
                        is_damaged = true;
                    }
                }
            }
            if is_damaged {
                return Ok(Vec::new());
            }
            ensure!(start.elapsed() < PATIENCE, "the result of `{id}` was listed and cannot be fetched");
            interrupt::pause(Duration::from_secs(2))?;
        }
    }
}

/// The tasks that the result of a task refers to, which is in this folder: those whose outputs it may have been built with, itself included. Whoever has left it may have written anything: for
/// any other task one would wait without an end, since it may be built behind this one.
fn referred(
    folder: &Path,
    before: &BTreeSet<Task>,
    producers: &HashMap<String, Vec<Task>>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for file in merge::narinfo_files(folder)? {
        let info = match partial_cache::read_narinfo(&file) {
            Ok(info) => info,
            Err(error) => {
                say(&format!("warning: {error:#}"));
                continue;
            }
        };
        for path in merge::references(&info) {
            let Some(producers) = producers.get(&path) else { continue };
            let producer = producers.iter().find(|producer| before.contains(producer));
            tasks.push(*producer.with_context(|| format!("it refers to `{path}`, which is not among its inputs"))?);
        }
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_refers_to_what_it_can_have_been_built_with() {
        let path = |letter: &str, name: &str| format!("/nix/store/{}-{name}", letter.repeat(32));
        let (input, own, later) = (path("a", "input"), path("b", "own"), path("c", "later"));
        let producers = [(&input, vec![7, 0]), (&own, vec![1]), (&later, vec![2])];
        let producers: HashMap<String, Vec<Task>> =
            producers.into_iter().map(|(path, tasks)| (path.clone(), tasks)).collect();
        let of = |references: &[&String]| {
            let dir = tempfile::tempdir().unwrap();
            let bases: Vec<&str> = references.iter().map(|path| &path["/nix/store/".len()..]).collect();
            let digest = "0".repeat(52);
            let hash = format!("sha256:{digest}");
            let text = format!(
                "StorePath: {own}\nURL: nar/{digest}.nar.zst\nCompression: zstd\nFileHash: {hash}\nFileSize: 1\nNarHash: {hash}\nNarSize: 1\nReferences: {}\n",
                bases.join(" ")
            );
            fs::write(dir.path().join(format!("{}.narinfo", "b".repeat(32))), text).unwrap();
            let mut said = Vec::new();
            let tasks =
                referred(dir.path(), &BTreeSet::from([0, 1]), &producers, &mut |line| said.push(line.to_owned()));
            assert_eq!(said, [""; 0]);
            tasks
        };
        assert_eq!(of(&[&input, &own, &path("d", "source")]).unwrap(), [0]);
        let error = of(&[&input, &later]).unwrap_err().to_string();
        assert!(error.contains(&later) && error.contains("not among its inputs"), "{error}");
    }
}
