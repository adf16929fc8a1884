//! What each folder may deliver. A job delivers what the plan says it owns or repeats, and nothing else: a builder that fills its job's
//! folder with other paths reaches nobody. What this job builds itself it takes from no other job.
//!
//! In: the hand-offs as they were found, the plan, the derivations. Out: the hand-offs without what does not count, which is named.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::JobRequest;
use super::realisation::{self, Key, Realisation};
use crate::graph::{DrvId, Graph};
use crate::handoff::merge::{HandOffs, Origin, Ruling};
use crate::nix::derivation::Derivation;
use crate::nix::derivation_hash::{self, Paths};
use crate::nix::fixed_output::FixedOutput;
use crate::nix::hash::Sha256;
use crate::nix::narinfo::NarInfo;
use crate::nix::{resolved_derivation, store_path};

/// Drops what does not count. `here` is what this job owns or repeats.
///
/// An earlier run's results with a trusted signature count all; without one, those that this job would build itself. A fixed output has to
/// have the hash that its derivation names, and may then come from any job. Gives the content-addressed outputs that other jobs have
/// delivered.
pub fn restrict(
    hand_offs: &mut HandOffs,
    request: &JobRequest,
    graph: &Graph,
    here: &HashSet<DrvId>,
) -> Result<ContentAddressed> {
    let mut found = ContentAddressed::new();
    if hand_offs.is_empty() && !hand_offs.has_realisations() {
        return Ok(found);
    }
    let rule = DeliveryRule::new(request, graph, here);
    let mut content_addressed: HashMap<String, HashSet<String>> = HashMap::new();
    if hand_offs.has_realisations() {
        let delivered = rule.delivered();
        let names = realisation_names(graph, &delivered)?;
        let traced = rule.traced(hand_offs, &delivered)?;
        hand_offs.keep_realisations(|origin, path| {
            let Ok(realisation) = realisation::read(path) else { return false };
            let path_of_output = graph.full_path(&realisation.output);
            let delivered = match &realisation.key {
                Key::Digest(id) => {
                    let drv = names.get(id).and_then(|drvs| rule.delivered_by(origin, drvs));
                    drv.zip(id.rsplit_once('!')).map(|(drv, (_, name))| (drv, name.to_owned()))
                }
                Key::Resolved(..) => traced.get(path).cloned(),
            };
            let Some(output) = delivered else { return false };
            content_addressed.entry(key(origin)).or_default().insert(path_of_output.clone());
            if *origin != Origin::EarlierRun {
                found.entry(output).or_insert(path_of_output);
            }
            true
        });
    }
    hand_offs.restrict(|origin, info| rule.on(origin, info, content_addressed.get(&key(origin))));
    Ok(found)
}

/// Store paths of content-addressed outputs, by derivation and output name.
pub type ContentAddressed = HashMap<(DrvId, String), String>;

/// A job's id, or nothing for an earlier run.
fn key(origin: &Origin) -> String {
    match origin {
        Origin::Job(id) => id.clone(),
        Origin::EarlierRun => String::new(),
    }
}

/// A build trace that somebody has left.
struct Trace<'a> {
    origin: &'a Origin,
    file: PathBuf,
    /// The derivation as resolved.
    drv: String,
    /// Which of its outputs.
    name: String,
    /// Base name of that output's path.
    output: String,
}

struct DeliveryRule<'a> {
    request: &'a JobRequest,
    graph: &'a Graph,
    here: &'a HashSet<DrvId>,
    /// What each of the job's inputs owns or repeats, as far as it lies below this job's derivations.
    jobs: HashMap<&'a str, HashSet<DrvId>>,
    /// The derivations of each output whose path is known: fetches of the same content share one.
    producers: HashMap<String, Vec<DrvId>>,
}

impl<'a> DeliveryRule<'a> {
    fn new(request: &'a JobRequest, graph: &'a Graph, here: &'a HashSet<DrvId>) -> Self {
        let mut same: HashMap<&str, Vec<&str>> = HashMap::new();
        for (drv, stands) in &request.plan.same_as {
            same.entry(stands).or_default().push(drv);
        }
        let inputs = request.job().inputs.iter().map(|&input| request.plan.job(input));
        let jobs = inputs
            .map(|job| {
                let paths = job.builds().flat_map(|path| same.get(path).into_iter().flatten().copied().chain([path]));
                (job.id.as_str(), paths.filter_map(|path| graph.find(path)).collect())
            })
            .collect();
        let mut producers: HashMap<String, Vec<DrvId>> = HashMap::new();
        for id in graph.ids() {
            for base in graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref()) {
                producers.entry(graph.full_path(base)).or_default().push(id);
            }
        }
        DeliveryRule { request, graph, here, jobs, producers }
    }

    /// All derivations that any of the folders may deliver.
    fn delivered(&self) -> HashSet<DrvId> {
        self.jobs.values().flatten().chain(self.here).copied().collect()
    }

    /// True where an earlier run's results carry signatures, which were verified when they were taken over.
    fn is_signed(&self, origin: &Origin) -> bool {
        *origin == Origin::EarlierRun && self.request.reuse.as_ref().is_some_and(|reuse| reuse.signed_by.is_some())
    }

    /// The one of these derivations that the plan says is built there.
    fn built_by(&self, origin: &Origin, drvs: &[DrvId]) -> Option<DrvId> {
        let set = match origin {
            Origin::EarlierRun => Some(self.here),
            Origin::Job(id) => self.jobs.get(id.as_str()),
        }?;
        drvs.iter().copied().find(|drv| set.contains(drv))
    }

    fn is_own(&self, origin: &Origin, drvs: &[DrvId]) -> bool {
        *origin != Origin::EarlierRun && drvs.iter().any(|drv| self.here.contains(drv))
    }

    /// The one of these derivations that it may deliver.
    fn delivered_by(&self, origin: &Origin, drvs: &[DrvId]) -> Option<DrvId> {
        self.built_by(origin, drvs).filter(|_| !self.is_own(origin, drvs))
    }

    /// The build traces that count, with what they are about: those whose derivation is one that their origin may deliver, resolved with what
    /// others that count say of its inputs.
    fn traced(&self, hand_offs: &HandOffs, delivered: &HashSet<DrvId>) -> Result<HashMap<PathBuf, (DrvId, String)>> {
        let mut by_name: HashMap<String, Vec<Trace>> = HashMap::new();
        for (origin, file) in hand_offs.realisations() {
            let Ok(Realisation { key: Key::Resolved(drv, name), output, .. }) = realisation::read(&file) else {
                continue;
            };
            let trace = Trace { origin, file, name, output, drv: self.graph.full_path(&drv) };
            by_name.entry(store_path::name_of(&drv).to_owned()).or_default().push(trace);
        }
        let mut counts = HashMap::new();
        let mut outputs: HashMap<(DrvId, String), String> = HashMap::new();
        // Inputs come before their consumers.
        for id in self.graph.ids().filter(|id| !by_name.is_empty() && delivered.contains(id)) {
            let path = self.graph.path(id);
            let Some(traces) = by_name.get(store_path::name_of(path.rsplit('/').next().unwrap_or_default())) else {
                continue;
            };
            if !self.graph.node(id).is_floating() {
                continue;
            }
            let bytes = fs::read(&path).with_context(|| format!("cannot read derivation `{path}`"))?;
            let drv = Derivation::parse(&bytes).with_context(|| format!("`{path}` is not a derivation"))?;
            for trace in traces.iter().filter(|trace| self.delivered_by(trace.origin, &[id]).is_some()) {
                let input = |path: &str, output: &str| {
                    let input = self.graph.representative(self.graph.find(path)?);
                    let known = self.graph.node(input).outputs.iter().find(|known| *known.name == *output)?;
                    let base = known.base.as_deref().map(|base| self.graph.full_path(base));
                    base.or_else(|| outputs.get(&(input, output.to_owned())).cloned())
                };
                if resolved_derivation::is_at(&trace.drv, &drv, input) {
                    counts.insert(trace.file.clone(), (id, trace.name.clone()));
                    outputs.entry((id, trace.name.clone())).or_insert_with(|| self.graph.full_path(&trace.output));
                }
            }
        }
        Ok(counts)
    }

    /// Rules on one copy. `content_addressed` are outputs that the same origin's realisations name.
    fn on(&self, origin: &Origin, info: &NarInfo, content_addressed: Option<&HashSet<String>>) -> Ruling {
        if self.is_signed(origin) {
            return Ruling::Counts;
        }
        let Some(drvs) = self.producers.get(&info.store_path) else {
            let is_named = content_addressed.is_some_and(|outputs| outputs.contains(&info.store_path));
            return if is_named { Ruling::Counts } else { Ruling::Unknown };
        };
        // Whoever delivers that.
        let mut fixed = drvs.iter().filter(|drv| self.graph.node(**drv).fixed_output);
        if let Some(fixed) = fixed.find_map(|&drv| self.fixed_output(drv, &info.store_path)) {
            return Ruling::CountsIf(fixed);
        }
        if self.built_by(origin, drvs).is_none() {
            return match origin {
                // Plans change from pipeline to pipeline.
                Origin::EarlierRun => Ruling::Left,
                Origin::Job(_) if self.is_own(origin, drvs) => Ruling::Refused("this job builds it itself".to_owned()),
                Origin::Job(_) => Ruling::Refused("the plan has it built elsewhere".to_owned()),
            };
        }
        // Two builds of what several jobs repeat may differ, and this job hands on its own.
        if self.is_own(origin, drvs) { Ruling::Left } else { Ruling::Counts }
    }

    /// What a fixed output must hash to, where that can be verified.
    fn fixed_output(&self, drv: DrvId, path: &str) -> Option<FixedOutput> {
        // It was read when the graph was.
        let bytes = fs::read(self.graph.path(drv)).ok()?;
        let parsed = Derivation::parse(&bytes).ok()?;
        let output = parsed.outputs.iter().find(|output| output.path.is(path.as_bytes()))?;
        FixedOutput::of(output)
    }
}

/// The derivations behind the names of realisations, `sha256:<digest>!<output>`, among those given.
fn realisation_names(graph: &Graph, drvs: &HashSet<DrvId>) -> Result<HashMap<String, Vec<DrvId>>> {
    let mut names: HashMap<String, Vec<DrvId>> = HashMap::new();
    let floating: Vec<DrvId> = drvs.iter().copied().filter(|&id| graph.node(id).is_floating()).collect();
    let mut below = vec![false; graph.len()];
    floating.iter().for_each(|id| below[id.at()] = true);
    // Inputs come before their consumers.
    for id in graph.ids().rev().filter(|_| !floating.is_empty()) {
        if below[id.at()] {
            graph.inputs(id).iter().for_each(|input| below[input.drv.at()] = true);
        }
    }
    let mut digests: HashMap<DrvId, BTreeMap<Vec<u8>, Sha256>> = HashMap::new();
    for id in graph.ids().filter(|id| below[id.at()]) {
        let path = graph.path(id);
        let bytes = fs::read(Path::new(&path)).with_context(|| format!("cannot read derivation `{path}`"))?;
        let drv = Derivation::parse(&bytes).with_context(|| format!("`{path}` is not a derivation"))?;
        let outputs = || drv.outputs.iter().map(|output| (output.name.bytes().into_owned(), output));
        if drv.is_fixed_output() {
            digests.insert(id, outputs().map(|(name, output)| (name, derivation_hash::of_fixed(output))).collect());
            continue;
        }
        let input = |path: &str, output: &[u8]| digests.get(&graph.find(path)?)?.get(output).copied();
        // Dynamic derivations have none: nothing of theirs counts.
        if let Some(kept) = derivation_hash::of(&drv, Paths::Kept, input) {
            if graph.node(id).is_floating()
                && let Some(masked) = derivation_hash::of(&drv, Paths::Masked, input)
            {
                for output in &graph.node(id).outputs {
                    names.entry(format!("sha256:{}!{}", masked.base16(), output.name)).or_default().push(id);
                }
            }
            digests.insert(id, outputs().map(|(name, _)| (name, kept)).collect());
        }
    }
    // What lies below those that were asked for, and is not one of them, delivers nothing.
    names.values_mut().for_each(|found| found.retain(|drv| drvs.contains(drv)));
    Ok(names)
}
