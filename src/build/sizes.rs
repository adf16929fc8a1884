//! The job that holds the sizes of runtime closures against their limits, and says what differs from those of the base. It builds nothing, and reads
//! no contents: only narinfo files, those of the hand-offs and of the caches that the plan relies on, and what the store of its machine has registered.
//!
//! In: a [`JobRequest`] and the caches. Out: a [`Record`] with a [`ClosureRecord`] for each target that has a limit or has changed, and a failure
//! for each that is too large.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use anyhow::{Context, Result};

use super::closure_record::{ClosureRecord, ClosureSize};
use super::record::Record;
use super::{JobRequest, hand_offs};
use crate::byte_size;
use crate::closure::difference::difference;
use crate::closure::{Closure, KnownPaths, PathFacts};
use crate::graph::OutputPaths;
use crate::handoff::merge::HandOffs;
use crate::nix::binary_cache::{Caches, CachesRequest};
use crate::nix::store::Store;
use crate::nix::store_path;
use crate::plan::failures::{Cause, Failure};
use crate::plan::sizes::SizeLimit;
use crate::plan::{Plan, PlannedTarget};
use crate::plural::counted;
use crate::printable::printable;

/// Runs the job. `say` gets lines for people.
pub fn run(request: &JobRequest, caches: CachesRequest, say: &mut dyn FnMut(&str)) -> Record {
    let start = Instant::now();
    let job = request.job();
    let mut record = Record::begin(&job.id, &job.name, &job.system);
    record.resource_class = job.resource_class.clone();
    if let Err(error) = check(request, caches, &mut record, say) {
        record.errors.push(format!("{error:#}"));
    }
    record.verdict = record.judge();
    hand_offs::leave(request, record.verdict, say);
    record.duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    record
}

fn check(request: &JobRequest, caches: CachesRequest, record: &mut Record, say: &mut dyn FnMut(&str)) -> Result<()> {
    let plan = &request.plan;
    let sizes = plan.sizes.as_ref().context("the plan has no limits for sizes")?;
    let limits = sizes.limits()?;
    let hand_offs = hand_offs::read(request)?;
    record.damaged = hand_offs.damaged().iter().map(|damaged| damaged.text()).collect();
    let caches = Caches::open(caches, &plan.store_dir);
    let targets: Vec<Looked> =
        plan.targets.iter().filter_map(|target| Looked::new(plan, target, limits.of(&target.target))).collect();
    let roots: Vec<String> =
        targets.iter().flat_map(|looked| [&looked.before, &looked.after]).flat_map(Side::paths).collect();
    let mut known = KnownPaths::default();
    let mut store = Store::find();
    known.load(&roots, &mut |bases| {
        let mut found = look_up(bases, &hand_offs, &caches, &plan.store_dir);
        if let Ok(here) = &store
            && let Err(error) = add_registered(&mut found, bases, here, &plan.store_dir)
        {
            store = Err(error);
        }
        found
    });
    if let Err(error) = store {
        say(&format!("warning: the store of this machine is not asked for sizes: {error:#}"));
    }
    caches.warnings().iter().for_each(|warning| say(&format!("warning: {warning}")));
    let mut unknown = 0;
    for looked in &targets {
        let closure = looked.record(&known);
        let (over, open) = looked.over(&closure);
        unknown += u64::from(!open.is_empty());
        let fails = over.into_iter().chain(open.into_iter().filter(|_| sizes.unknown_fails));
        let messages: Vec<String> = fails.collect();
        if !messages.is_empty() {
            let message = [messages.join("; "), closure.changes_in_words()].concat();
            record.failures.push(Failure {
                target: looked.target.target.clone(),
                cause: Cause::Size,
                message: printable(&message),
                command: None,
                new: None,
            });
        }
        closure.lines().iter().for_each(|line| say(line));
        record.closures.push(closure);
    }
    if unknown > 0 {
        let verb = if unknown == 1 { "is" } else { "are" };
        let what = if sizes.unknown_fails { "" } else { "; `size_limits: { unknown: fail }` makes that a failure" };
        say(&format!("{} with a limit {verb} not known{what}", counted(unknown, "size")));
    }
    Ok(())
}

/// What hand-offs say of paths, else caches.
fn look_up(bases: &[String], hand_offs: &HandOffs, caches: &Caches, store_dir: &str) -> Vec<Option<PathFacts>> {
    let handed = |base: &String| hand_offs.get(&format!("{store_dir}/{base}")).cloned().map(PathFacts::from);
    let mut found: Vec<Option<PathFacts>> = bases.iter().map(handed).collect();
    let open: Vec<usize> = (0..bases.len()).filter(|&at| found[at].is_none()).collect();
    let asked: Vec<String> = open.iter().map(|&at| bases[at].clone()).collect();
    open.into_iter().zip(caches.infos(&asked)).for_each(|(at, info)| found[at] = info.map(PathFacts::from));
    found
}

/// Adds what the store of this machine has registered of paths that nobody else knows. On a machine of one's own it often has what the base's
/// pipeline has built.
fn add_registered(found: &mut [Option<PathFacts>], bases: &[String], store: &Store, store_dir: &str) -> Result<()> {
    let open: Vec<usize> = (0..bases.len()).filter(|&at| found[at].is_none()).collect();
    let paths: Vec<String> = open.iter().map(|&at| format!("{store_dir}/{}", bases[at])).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let invalid: HashSet<String> = store.invalid(&paths)?.into_iter().collect();
    let valid: Vec<&str> = paths.iter().copied().filter(|path| !invalid.contains(*path)).collect();
    let mut known: HashMap<String, PathFacts> =
        store.path_infos(&valid)?.into_iter().map(|info| (info.path.clone(), info.into())).collect();
    for (at, path) in open.into_iter().zip(paths) {
        found[at] = known.remove(path);
    }
    Ok(())
}

/// A target whose closure is looked at.
struct Looked<'a> {
    target: &'a PlannedTarget,
    limits: Vec<SizeLimit>,
    before: Side,
    after: Side,
}

/// An output, at the head or at the base.
enum Side {
    /// Its path, by base name.
    Path(String),
    /// Why there is none.
    None(&'static str),
}

impl Side {
    /// The output that people get: `out`, else the first one.
    fn of(outputs: &OutputPaths) -> Self {
        match outputs.get("out").or_else(|| outputs.values().next()) {
            None => Self::None("its derivation could not be read"),
            Some(None) => Self::None("it is content-addressed: the plan does not know its path"),
            Some(Some(path)) => match store_path::split(path) {
                Ok((_, base)) => Self::Path(base.to_owned()),
                Err(_) => Self::None("its path is not a store path"),
            },
        }
    }

    fn paths(&self) -> Option<String> {
        match self {
            Self::Path(base) => Some(base.clone()),
            Self::None(_) => None,
        }
    }

    /// The closure and its size.
    fn closure(&self, known: &KnownPaths) -> (Option<Closure>, ClosureSize) {
        let base = match self {
            Self::Path(base) => base,
            Self::None(why) => return (None, ClosureSize::unknown(why)),
        };
        let closure = known.closure([base.clone()]);
        let size = match (closure.bytes(), closure.unknown.first()) {
            (Some(bytes), _) => ClosureSize { bytes: Some(bytes), unknown: None },
            (None, first) => {
                let first = first.map_or("", String::as_str);
                let more = closure.unknown.len().saturating_sub(1);
                let more = if more > 0 { format!(" and of {}", counted(more, "more path")) } else { String::new() };
                ClosureSize::unknown(&format!("no job, no cache and no store of this machine knows `{first}`{more}"))
            }
        };
        (Some(closure), size)
    }
}

impl<'a> Looked<'a> {
    /// None for a target that has no limit and has not changed.
    fn new(plan: &Plan, target: &'a PlannedTarget, limits: Vec<SizeLimit>) -> Option<Self> {
        let change = plan.change.as_ref();
        let changed = change.and_then(|change| change.of(&target.target));
        let after = Side::of(&target.outputs);
        let before = match (change, changed) {
            (_, Some(changed)) => Side::of(&changed.base_outputs),
            (None, None) => Side::None("there is no base to compare with"),
            (Some(change), None) if change.new.contains(&target.target) => Side::None("the base does not have it"),
            (Some(change), None) if change.fixed.contains(&target.target) => {
                Side::None("it did not evaluate at the base")
            }
            (Some(_), None) => Side::of(&target.outputs),
        };
        (!limits.is_empty() || changed.is_some()).then_some(Self { target, limits, before, after })
    }

    fn record(&self, known: &KnownPaths) -> ClosureRecord {
        let (before, before_size) = self.before.closure(known);
        let (after, after_size) = self.after.closure(known);
        let complete = |closure: &Option<Closure>| closure.clone().filter(|closure| closure.unknown.is_empty());
        let packages = match (complete(&before), complete(&after)) {
            (Some(before), Some(after)) => Some(difference(known, &before, &after)),
            _ => None,
        };
        ClosureRecord::new(printable(&self.target.target.to_string()), (before_size, after_size), packages)
    }

    /// Sentences about limits that are broken, and about those that cannot be checked.
    fn over(&self, closure: &ClosureRecord) -> (Vec<String>, Vec<String>) {
        let (before, after) = (&closure.before, &closure.after);
        let (mut over, mut open) = (Vec::new(), Vec::new());
        for limit in &self.limits {
            // The same derivation has not grown, whatever its size is.
            let is_same = matches!((&self.before, &self.after), (Side::Path(one), Side::Path(other)) if one == other);
            if is_same && matches!(limit, SizeLimit::Growth(_)) {
                continue;
            }
            match (limit.is_over(before.bytes, after.bytes), limit) {
                (Some(false), _) => {}
                (Some(true), SizeLimit::Bytes(most)) => over.push(format!(
                    "its closure is {}, {} more than the limit of {}",
                    after.text(),
                    byte_size::text(after.bytes.unwrap_or(0) - most),
                    byte_size::text(*most)
                )),
                (Some(true), SizeLimit::Growth(_)) => over.push(format!(
                    "its closure has grown from {} to {}, by {}, and the limit is {limit}",
                    before.text(),
                    after.text(),
                    closure.growth().unwrap_or_default().trim_start_matches('+')
                )),
                (None, SizeLimit::Growth(_)) if after.bytes.is_some() => {
                    open.push(format!("its growth is unknown, and the limit is {limit}: {}", before.text()));
                }
                (None, _) => open.push(format!("the size of its closure is {}", after.text())),
            }
        }
        (over, open)
    }
}
