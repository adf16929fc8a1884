//! Which wanted outputs exist, and so which derivations are needed.
//!
//! In: the graph, the targets and a source of answers. Out: [`Needed`]. The walk goes from the targets down and never below
//! something available, in rounds, so that a source that asks over a network gets its questions in large batches.

use std::collections::HashSet;

use anyhow::{Context, Result, bail};

use crate::graph::{DrvId, Graph, OutputSet};
use crate::nix::command::Nix;
use crate::nix::{local_store, store_path};

/// Where answers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing exists: everything is to be built.
    Nothing,
    /// Exactly these store paths exist, by base name.
    Listed(HashSet<String>),
    /// What is valid in this machine's store.
    LocalStore,
}

impl Source {
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

    /// Answers for store paths, by base name, in the order of the questions.
    fn look_up(&self, store_dir: &str, bases: &[&str]) -> Result<Vec<bool>> {
        Ok(match self {
            Self::Nothing => vec![false; bases.len()],
            Self::Listed(paths) => bases.iter().map(|&base| paths.contains(base)).collect(),
            Self::LocalStore => {
                let paths: Vec<String> = bases.iter().map(|base| format!("{store_dir}/{base}")).collect();
                let invalid = local_store::invalid_paths(&Nix::find()?, &paths)?;
                paths.iter().map(|path| !invalid.contains(path)).collect()
            }
        })
    }
}

/// The answer: what must be built, and what somebody wants of each derivation.
#[derive(Clone, Debug)]
pub struct Needed {
    needed: Vec<bool>,
    wanted: Vec<OutputSet>,
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

    /// Leaves only what these targets need. Asks nobody.
    pub fn restrict(&mut self, graph: &Graph, targets: &[DrvId]) {
        let mut walk = Walk::new(graph, targets);
        while !walk.frontier.is_empty() {
            for (id, _) in std::mem::take(&mut walk.frontier) {
                if self.needed[id.at()] {
                    walk.need(graph, id);
                }
            }
        }
        self.needed = walk.needed;
        self.wanted = walk.wanted;
    }
}

/// Walks from the targets down. A target wants all of its outputs.
pub fn find_needed(graph: &Graph, targets: &[DrvId], source: &Source) -> Result<Needed> {
    let mut walk = Walk::new(graph, targets);
    while !walk.frontier.is_empty() {
        let frontier = std::mem::take(&mut walk.frontier);
        let mut questions = Vec::new();
        let mut askers = Vec::new();
        let mut missing = Vec::new();
        for &(id, outputs) in &frontier {
            if walk.needed[id.at()] {
                continue;
            }
            let node = graph.node(id);
            if node.outputs.is_empty() {
                missing.push(id);
            }
            for (index, output) in node.outputs.iter().enumerate().filter(|(index, _)| outputs.has(*index)) {
                match &output.base {
                    Some(base) => {
                        questions.push(&**base);
                        askers.push((id, index));
                    }
                    None => missing.push(id),
                }
            }
        }
        let answers = source.look_up(graph.store_dir(), &questions)?;
        if answers.len() != questions.len() {
            bail!("asked for {} paths, got {} answers", questions.len(), answers.len());
        }
        missing.extend(askers.iter().zip(answers).filter(|(_, exists)| !exists).map(|((id, _), _)| *id));
        for id in missing {
            walk.need(graph, id);
        }
    }
    Ok(Needed { needed: walk.needed, wanted: walk.wanted })
}

struct Walk {
    needed: Vec<bool>,
    wanted: Vec<OutputSet>,
    /// Outputs that have come to be wanted since they were last asked for.
    frontier: Vec<(DrvId, OutputSet)>,
}

impl Walk {
    fn new(graph: &Graph, targets: &[DrvId]) -> Self {
        let mut walk = Self {
            needed: vec![false; graph.len()],
            wanted: vec![OutputSet::default(); graph.len()],
            frontier: Vec::new(),
        };
        for &target in targets {
            walk.want(target, OutputSet::first(graph.node(target).outputs.len().max(1)));
        }
        walk
    }

    fn want(&mut self, id: DrvId, outputs: OutputSet) {
        let new = self.wanted[id.at()].add(outputs);
        if !new.is_empty() {
            self.frontier.push((id, new));
        }
    }

    fn need(&mut self, graph: &Graph, id: DrvId) {
        if std::mem::replace(&mut self.needed[id.at()], true) {
            return;
        }
        for input in graph.inputs(id) {
            self.want(input.drv, input.outputs);
        }
    }
}
