//! The guard against silent rebuilds: everything that a job takes from elsewhere is fetched by output path, before anything is
//! built. Nix never builds for a path, so what is missing is found out, named with the job that should have delivered it, and
//! built only where that is allowed. What the job repeats itself, and what comes from elsewhere refers to, is built first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::OnMissing;
use super::evidence::{self, Evidence};
use super::hand_offs::Substituter;
use super::interrupt;
use super::progress::Tracker;
use super::realise::Calls;
use super::record::Missing;
use crate::graph::{DrvId, Graph};
use crate::nix::temporary_roots::TemporaryRoots;
use crate::plan::{Job, Plan};
use crate::plural::counted;

/// The outputs that some derivations take from derivations outside of a set, with the derivation that each comes from.
/// Outputs whose paths only the build tells are left out.
pub fn wanted(graph: &Graph, building: &[DrvId], here: &HashSet<DrvId>) -> BTreeMap<String, DrvId> {
    let mut found = BTreeMap::new();
    for &consumer in building {
        for input in graph.inputs(consumer).iter().filter(|input| !here.contains(&input.drv)) {
            for (index, output) in graph.node(input.drv).outputs.iter().enumerate() {
                if input.outputs.has(index)
                    && let Some(base) = &output.base
                {
                    found.insert(graph.full_path(base), input.drv);
                }
            }
        }
    }
    found
}

/// Which job should have delivered a derivation's outputs to another job; none where a substituter should have.
pub struct Deliverers<'a> {
    jobs: HashMap<&'a str, &'a str>,
    /// Jobs that may fail: what they leave out is not built in their place.
    may_fail: HashSet<&'a str>,
}

impl<'a> Deliverers<'a> {
    /// Looks at a job's inputs: the owner, else the first one that repeats the derivation.
    pub fn new(plan: &'a Plan, job: &Job) -> Self {
        let mut jobs = HashMap::new();
        let inputs: Vec<&Job> = job.inputs.iter().map(|&index| plan.job(index)).collect();
        for input in &inputs {
            jobs.extend(input.derivations.iter().map(|drv| (&**drv, input.id.as_str())));
        }
        for input in &inputs {
            for drv in &input.co_located {
                jobs.entry(drv).or_insert(&input.id);
            }
        }
        for (drv, stands) in &plan.same_as {
            if let Some(&job) = jobs.get(&**stands) {
                jobs.entry(drv).or_insert(job);
            }
        }
        let may_fail = inputs.iter().filter(|input| input.options.allow_failure).map(|input| input.id.as_str());
        Deliverers { jobs, may_fail: may_fail.collect() }
    }

    /// True where a job may fail that should have delivered.
    pub fn may_fail(&self, job: Option<&str>) -> bool {
        job.is_some_and(|job| self.may_fail.contains(job))
    }

    /// The job that should have delivered this derivation.
    pub fn of(&self, drv: &str) -> Option<&'a str> {
        self.jobs.get(drv).copied()
    }
}

/// What the guard works on.
pub struct Guard<'a> {
    /// What brings paths into the store.
    pub calls: &'a Calls,
    /// Holds what is fetched.
    pub held: &'a TemporaryRoots,
    /// The job's derivations and all below them.
    pub graph: &'a Graph,
    /// What it owns or repeats.
    pub here: &'a HashSet<DrvId>,
    /// What the ancestors handed off.
    pub hand_offs: &'a Substituter<'a>,
    /// Who should have delivered what.
    pub deliverers: &'a Deliverers<'a>,
    /// Whether missing outputs are built.
    pub on_missing: OnMissing,
    /// How long to wait before each further attempt to fetch what may come later.
    pub waits: RefCell<std::vec::IntoIter<Duration>>,
    /// The derivation of each output, see [`producers`].
    pub producers: &'a HashMap<&'a str, DrvId>,
}

impl Guard<'_> {
    /// Brings all paths into the store. Gives what was missing; where something still is, the result says so.
    pub fn bring(&self, paths: &[&str], tracker: &mut Tracker) -> Result<Vec<Missing>> {
        let mut missing = BTreeMap::new();
        let mut open = self.fetch(paths, tracker)?;
        let mut repeated = HashSet::new();
        while !open.is_empty() && self.calls.out_of_time().is_none() {
            let causes = self.causes(&open, tracker)?;
            let causes = self.to_blame(causes, &open);
            let mut own: Vec<DrvId> = causes.iter().filter_map(|path| self.producer(path)).collect();
            own.retain(|drv| self.here.contains(drv) && !self.takes_any(*drv, &open) && repeated.insert(*drv));
            if !own.is_empty() {
                let drvs: Vec<String> = own.into_iter().map(|drv| self.graph.path(drv)).collect();
                self.calls.build(&drvs.iter().map(String::as_str).collect::<Vec<_>>(), &[], tracker)?;
                open = self.fetch(&open.iter().map(String::as_str).collect::<Vec<_>>(), tracker)?;
                continue;
            }
            let mut build = BTreeSet::new();
            for path in &causes {
                let drv = self.producer(path);
                let derivation = drv.map(|drv| self.graph.path(drv));
                let job = derivation.as_deref().and_then(|drv| self.deliverers.of(drv)).map(str::to_owned);
                let may_be_built = !self.deliverers.may_fail(job.as_deref());
                let unsigned = tracker.ledger().is_unsigned(path);
                let new = Missing { path: path.clone(), derivation, job, unsigned, built: false };
                tracker.say(&new.text(), Instant::now());
                let again = missing.insert(path.clone(), new).is_some();
                if !again
                    && may_be_built
                    && let Some(drv) = drv
                {
                    build.insert(drv);
                }
            }
            if self.on_missing == OnMissing::Fail || build.is_empty() {
                break;
            }
            let drvs: Vec<String> = build.iter().map(|&drv| self.graph.path(drv)).collect();
            let line = format!("building {} that should have been delivered", counted(drvs.len() as u64, "derivation"));
            tracker.say(&line, Instant::now());
            self.calls.build(&drvs.iter().map(String::as_str).collect::<Vec<_>>(), &[], tracker)?;
            let paths: Vec<&str> = missing.keys().map(String::as_str).collect();
            let invalid: HashSet<String> = self.calls.store().invalid(&paths)?.into_iter().collect();
            for (path, missing) in &mut missing {
                missing.built = !invalid.contains(path);
            }
            open = self.fetch(&open.iter().map(String::as_str).collect::<Vec<_>>(), tracker)?;
        }
        Ok(missing.into_values().collect())
    }

    /// True where building a derivation of this job takes one of the paths.
    fn takes_any(&self, drv: DrvId, paths: &[String]) -> bool {
        let mut seen = HashSet::new();
        let mut todo = vec![drv];
        while let Some(drv) = todo.pop() {
            if seen.insert(drv) {
                let wanted = wanted(self.graph, &[drv], self.here);
                if paths.iter().any(|path| wanted.contains_key(path)) {
                    return true;
                }
                todo.extend(self.graph.inputs(drv).iter().map(|input| input.drv).filter(|drv| self.here.contains(drv)));
            }
        }
        false
    }

    fn producer(&self, path: &str) -> Option<DrvId> {
        self.producers.get(path.rsplit('/').next().unwrap_or(path)).copied()
    }

    /// Fetches paths; gives those that are not valid afterwards.
    fn fetch(&self, paths: &[&str], tracker: &mut Tracker) -> Result<Vec<String>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        self.held.hold(paths.iter().copied())?;
        loop {
            if self.calls.fetch(paths, tracker)? {
                return Ok(Vec::new());
            }
            let open = self.calls.store().invalid(paths)?;
            if self.calls.out_of_time().is_some() {
                return Ok(open);
            }
            let dropped = self.hand_offs.drop_unusable(&open)?;
            if !dropped.is_empty() {
                dropped.iter().for_each(|line| tracker.say(line, Instant::now()));
                continue;
            }
            let messages = tracker.round().messages().join("\n");
            let class =
                evidence::class(&Evidence { message: &messages, log: "", is_fixed_output: false, has_room: false });
            if open.is_empty() || !class.is_transient() {
                return Ok(open);
            }
            let Some(wait) = self.waits.borrow_mut().next() else { return Ok(open) };
            let paths = counted(open.len() as u64, "path");
            let line = format!("not fetched: {paths}: {}: trying again in {} s", class.text(), wait.as_secs());
            tracker.say(&line, Instant::now());
            interrupt::pause(wait)?;
        }
    }

    /// The same causes, but for a path that no derivation has those that refer to it: what leads nowhere was not delivered.
    fn to_blame(&self, causes: Vec<String>, open: &[String]) -> BTreeSet<String> {
        let is_known = |cause: &String| self.producer(cause).is_some() || open.contains(cause);
        let (known, unknown): (BTreeSet<String>, BTreeSet<String>) = causes.into_iter().partition(is_known);
        if unknown.is_empty() {
            return known;
        }
        let refers = |path: &&String| !self.closure([*path]).is_disjoint(&unknown);
        let mut found: BTreeSet<String> = open.iter().filter(refers).cloned().collect();
        if found.is_empty() {
            found = unknown;
        }
        found.extend(known);
        found
    }

    /// The paths and all that they refer to, as far as it was handed off, with what that refers to.
    fn closure<'a>(&self, paths: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut todo: Vec<String> = paths.into_iter().cloned().collect();
        while let Some(path) = todo.pop() {
            if seen.insert(path.clone()) {
                todo.extend(self.hand_offs.references(&path).unwrap_or_default());
            }
        }
        seen
    }

    /// Why paths could not be fetched: themselves where nobody has them, else what they refer to.
    fn causes(&self, open: &[String], tracker: &mut Tracker) -> Result<Vec<String>> {
        let seen = self.closure(open);
        let reached: Vec<&str> = seen.iter().map(String::as_str).collect();
        let invalid = self.calls.store().invalid(&reached)?;
        let (handed_off, absent): (Vec<String>, Vec<String>) =
            invalid.into_iter().partition(|path| self.hand_offs.has(path));
        // What was not handed off may still be in a cache, and was not fetched only since something beside it failed.
        let absent = self.fetch(&absent.iter().map(String::as_str).collect::<Vec<_>>(), tracker)?;
        if !absent.is_empty() {
            return Ok(absent);
        }
        // Everything is there, and yet something cannot be fetched.
        let again = self.fetch(&handed_off.iter().map(String::as_str).collect::<Vec<_>>(), tracker)?;
        Ok(again)
    }
}

/// The derivation of each output whose path is known, by the path's base name.
pub fn producers(graph: &Graph) -> HashMap<&str, DrvId> {
    let outputs = graph.ids().flat_map(|id| {
        let known = graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref());
        known.map(move |base| (base, graph.representative(id)))
    });
    outputs.collect()
}

/// Makes an error of what is still missing.
pub fn check(missing: &[Missing], on_missing: OnMissing) -> Result<()> {
    let lines: Vec<String> = missing.iter().filter(|missing| !missing.built).map(|missing| missing.text()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let next = match on_missing {
        OnMissing::Fail => {
            "rerun the job that should have delivered; or, in a job without contexts, build it here with `--on-missing build`"
        }
        OnMissing::Build => "it could not be built here either",
    };
    bail!("{} ({next})", lines.join("\n"))
}
