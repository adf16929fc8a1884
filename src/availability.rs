//! Which wanted outputs exist, and so which derivations are needed.
//!
//! In: the graph, the targets and a source of answers. Out: [`Needed`]. The walk goes from the targets down and never below
//! something available. It does not go level by level: each answer raises its own questions at once, so that a source which asks
//! over a network is never waited for as a whole. What is needed does not depend on the order of the answers.
//!
//! Of a derivation whose outputs are wanted one is asked for first, and the others if it is there: what nobody has costs one
//! question, whatever the number of its outputs.

pub mod built_here;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::graph::{DrvId, Graph, OutputSet};
use crate::nix::binary_cache::{Caches, Found, PathSize, Question};
use crate::nix::command::Nix;
use crate::nix::{local_store, store_path};
use built_here::BuiltHere;

/// Where answers come from.
#[derive(Debug)]
pub enum AvailabilitySource {
    /// Nothing exists: everything is to be built.
    Nothing,
    /// Exactly these store paths exist, by base name.
    Listed(HashSet<String>),
    /// What is valid in this machine's store.
    LocalStore,
    /// What one of these caches has.
    Caches(Box<Caches>),
}

/// Whether a path exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
    /// In the cache with this number, and how large it is.
    In(usize, PathSize),
}

/// An output that somebody asks for.
type Asker = (DrvId, usize);

impl AvailabilitySource {
    /// Reads a list of store paths, one a line; blank lines are skipped. `name` is what messages call the list.
    pub fn from_list(text: &str, name: &str) -> Result<Self> {
        let mut paths = HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (_, base) = store_path::split(line).with_context(|| format!("line {} of `{name}`", index + 1))?;
            paths.insert(base.to_owned());
        }
        Ok(Self::Listed(paths))
    }

    /// Answers questions, in any order, until they raise no more.
    fn follow(
        &self,
        store_dir: &str,
        first: Vec<Question<Asker>>,
        answered: &mut dyn FnMut(Asker, Presence) -> Vec<Question<Asker>>,
    ) -> Result<()> {
        if let Self::Caches(caches) = self
            && !caches.is_empty()
        {
            let answered = &mut |asker, found: Option<Found>| {
                answered(asker, found.map_or(Presence::Absent, |found| Presence::In(found.cache, found.size)))
            };
            return caches.follow(first, answered);
        }
        let mut questions = first;
        while !questions.is_empty() {
            let bases: Vec<&str> = questions.iter().map(|question| question.base.as_str()).collect();
            let answers = self.look_up(store_dir, &bases)?;
            ensure!(answers.len() == questions.len(), "asked for {} paths, got {} answers", bases.len(), answers.len());
            let answers = questions.into_iter().zip(answers);
            questions = answers
                .flat_map(|(question, exists)| {
                    answered(question.about, if exists { Presence::Present } else { Presence::Absent })
                })
                .collect();
        }
        Ok(())
    }

    /// Answers for store paths, by base name, in the order of the questions.
    fn look_up(&self, store_dir: &str, bases: &[&str]) -> Result<Vec<bool>> {
        Ok(match self {
            Self::Nothing | Self::Caches(_) => vec![false; bases.len()],
            Self::Listed(paths) => bases.iter().map(|&base| paths.contains(base)).collect(),
            Self::LocalStore => {
                let paths: Vec<String> = bases.iter().map(|base| format!("{store_dir}/{base}")).collect();
                let invalid = local_store::invalid_paths(&Nix::find()?, &paths)?;
                paths.iter().map(|path| !invalid.contains(path)).collect()
            }
        })
    }
}

/// The answer: what must be built, what somebody wants of each derivation, and which caches have what need not be built.
#[derive(Clone, Debug)]
pub struct Needed {
    needed: Vec<bool>,
    wanted: Vec<OutputSet>,
    places: HashMap<DrvId, Arc<str>>,
    sizes: HashMap<DrvId, PathSize>,
    built: BTreeMap<DrvId, BuiltHere>,
}

impl Needed {
    /// True for a derivation that must be built.
    pub fn has(&self, id: DrvId) -> bool {
        self.needed[id.at()]
    }

    /// The needed derivations, inputs before consumers.
    pub fn ids(&self) -> impl Iterator<Item = DrvId> + '_ {
        self.needed.iter().enumerate().filter(|(_, needed)| **needed).map(|(at, _)| DrvId(at as u32))
    }

    /// The outputs that targets and needed derivations want of this one.
    pub fn wanted(&self, id: DrvId) -> OutputSet {
        self.wanted[id.at()]
    }

    /// The caches that have the wanted outputs, where that is known.
    pub fn place(&self, id: DrvId) -> Option<&str> {
        self.places.get(&id).filter(|_| !self.has(id)).map(|place| &**place)
    }

    /// How large the wanted outputs are in the caches that have them, where that is known.
    pub fn size(&self, id: DrvId) -> Option<PathSize> {
        self.sizes.get(&id).copied().filter(|_| !self.has(id))
    }

    /// What evaluation has built of one that must be built: somebody has to take it on and nobody to build it.
    pub fn built_here(&self, id: DrvId) -> Option<&BuiltHere> {
        self.built.get(&id).filter(|_| self.has(id))
    }

    /// True where what a derivation is made from does not matter any more.
    pub fn is_closed(&self, id: DrvId) -> bool {
        self.built_here(id).is_some_and(|built| built.is_closed)
    }

    /// Takes what evaluation has built; what only that needs is not needed any more.
    pub fn take_built(&mut self, graph: &Graph, targets: &[DrvId], built: BTreeMap<DrvId, BuiltHere>) {
        if !built.is_empty() {
            self.built = built;
            self.restrict(graph, targets);
        }
    }

    /// Leaves only what these targets need. Asks nobody.
    pub fn restrict(&mut self, graph: &Graph, targets: &[DrvId]) {
        let mut walk = NeededWalk::new(graph, targets);
        while let Some(id) = walk.changed.pop() {
            if self.is_closed(id) {
                walk.needed[id.at()] = true;
            } else if self.needed[id.at()] {
                walk.need(id);
            }
        }
        self.needed = walk.needed;
        self.wanted = walk.wanted;
    }
}

/// Walks from the targets down. A target wants all of its outputs.
pub fn find_needed(graph: &Graph, targets: &[DrvId], source: &AvailabilitySource) -> Result<Needed> {
    let mut walk = NeededWalk::new(graph, targets);
    let first = walk.questions();
    source.follow(graph.store_dir(), first, &mut |asker, presence| {
        walk.take(asker, presence);
        walk.questions()
    })?;
    let places = match source {
        AvailabilitySource::Caches(caches) => walk.places(|number| caches.name(number)),
        AvailabilitySource::Nothing | AvailabilitySource::Listed(_) | AvailabilitySource::LocalStore => HashMap::new(),
    };
    Ok(Needed { needed: walk.needed, wanted: walk.wanted, places, sizes: walk.sizes, built: BTreeMap::new() })
}

struct NeededWalk<'a> {
    graph: &'a Graph,
    needed: Vec<bool>,
    wanted: Vec<OutputSet>,
    /// Outputs that have been asked for.
    asked: Vec<OutputSet>,
    /// Questions of a derivation that are open.
    open: Vec<u32>,
    /// Derivations that want something new, or whose answers are all there.
    changed: Vec<DrvId>,
    /// Caches that outputs of a derivation are in.
    found: HashMap<DrvId, BTreeSet<usize>>,
    /// How large these are together.
    sizes: HashMap<DrvId, PathSize>,
}

impl<'a> NeededWalk<'a> {
    fn new(graph: &'a Graph, targets: &[DrvId]) -> Self {
        let mut walk = Self {
            graph,
            needed: vec![false; graph.len()],
            wanted: vec![OutputSet::default(); graph.len()],
            asked: vec![OutputSet::default(); graph.len()],
            open: vec![0; graph.len()],
            changed: Vec::new(),
            found: HashMap::new(),
            sizes: HashMap::new(),
        };
        for &target in targets {
            walk.want(target, OutputSet::first(graph.node(target).outputs.len().max(1)));
        }
        // Taken from the end: the first target is asked for first.
        walk.changed.reverse();
        walk
    }

    fn want(&mut self, id: DrvId, outputs: OutputSet) {
        if !self.wanted[id.at()].add(outputs).is_empty() {
            self.changed.push(id);
        }
    }

    fn need(&mut self, id: DrvId) {
        if std::mem::replace(&mut self.needed[id.at()], true) {
            return;
        }
        let graph = self.graph;
        for input in graph.inputs(id) {
            self.want(input.drv, input.outputs);
        }
    }

    /// The questions that what has changed raises.
    fn questions(&mut self) -> Vec<Question<Asker>> {
        let mut questions = Vec::new();
        while let Some(id) = self.changed.pop() {
            if !self.needed[id.at()] && self.open[id.at()] == 0 {
                self.ask(id, &mut questions);
            }
        }
        questions
    }

    /// Asks for outputs of a derivation: for one, if none was asked for before, else for all that are wanted.
    fn ask(&mut self, id: DrvId, questions: &mut Vec<Question<Asker>>) {
        let (graph, wanted) = (self.graph, self.wanted[id.at()]);
        let outputs = &graph.node(id).outputs;
        let is_unknown = |(index, output): (usize, &crate::graph::Output)| wanted.has(index) && output.base.is_none();
        if outputs.is_empty() || outputs.iter().enumerate().any(is_unknown) {
            return self.need(id);
        }
        let is_first = self.asked[id.at()].is_empty();
        for (index, output) in outputs.iter().enumerate() {
            // Outputs from the 63rd on share a place in the set: these are asked for together.
            let is_new = wanted.has(index) && !self.asked[id.at()].has(index);
            let Some(base) = output.base.as_deref().filter(|_| is_new) else { continue };
            questions.push(Question { about: (id, index), base: base.to_owned() });
            self.open[id.at()] += 1;
            if is_first && index < OutputSet::SHARED {
                break;
            }
        }
        for question in questions.iter().rev().take_while(|question| question.about.0 == id) {
            self.asked[id.at()].add(OutputSet::one(question.about.1));
        }
    }

    fn take(&mut self, (id, _): Asker, presence: Presence) {
        self.open[id.at()] -= 1;
        match presence {
            Presence::Absent => self.need(id),
            Presence::Present => {}
            Presence::In(place, size) => {
                self.found.entry(id).or_default().insert(place);
                self.sizes.entry(id).and_modify(|sum| *sum = sum.and(size)).or_insert(size);
            }
        }
        if self.open[id.at()] == 0 {
            self.changed.push(id);
        }
    }

    /// Names of the caches that have a derivation, for all that were found.
    fn places(&self, name: impl Fn(usize) -> String) -> HashMap<DrvId, Arc<str>> {
        let mut names: HashMap<&BTreeSet<usize>, Arc<str>> = HashMap::new();
        let mut places = HashMap::new();
        for (&id, found) in self.found.iter().filter(|(id, _)| !self.needed[id.at()]) {
            let joined = names
                .entry(found)
                .or_insert_with(|| found.iter().map(|&place| name(place)).collect::<Vec<_>>().join(", ").into());
            places.insert(id, joined.clone());
        }
        places
    }
}
