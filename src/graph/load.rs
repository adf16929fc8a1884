//! Loads a graph: `.drv` files read straight from a directory, in parallel.
//!
//! In: the paths of the roots and the directory that holds the files. Out: a [`Graph`]. No `nix` process, no recursion, and nothing
//! that depends on the number of threads.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow, ensure};

use super::batch::{self, Batch, Known, read_batch};
use super::{DrvId, Graph, Input, Node, OutputPaths, OutputSet, same_outputs};
use crate::nix::store_path;
use crate::printable::printable;
use crate::topological::{self, InDegrees};

/// More threads than this wait for the kernel, not for each other's work.
const MAX_THREADS: usize = 16;

/// Fewest files that are worth a thread.
const MIN_SHARE: usize = 64;

impl Graph {
    /// Reads the closure of the roots from `dir`, which holds `.drv` files by their base names.
    ///
    /// `roots` are full store paths; they may repeat. `default_store_dir` is the store directory where there is no root.
    /// Missing, truncated, foreign or cyclic files are errors that name the file.
    /// Of derivations with the same outputs one stands for all.
    pub fn load<'a>(roots: impl IntoIterator<Item = &'a str>, dir: &Path, default_store_dir: &str) -> Result<Self> {
        Self::read(roots, dir, default_store_dir)?.finish(true)
    }

    /// The same, but each derivation stands for itself: to compare derivations with each other.
    pub fn load_each<'a>(
        roots: impl IntoIterator<Item = &'a str>,
        dir: &Path,
        default_store_dir: &str,
    ) -> Result<Self> {
        Self::read(roots, dir, default_store_dir)?.finish(false)
    }

    fn read<'a>(roots: impl IntoIterator<Item = &'a str>, dir: &Path, default_store_dir: &str) -> Result<Loader> {
        let mut loader = Loader::new(roots, default_store_dir)?;
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_THREADS);
        let mut from = 0;
        while from < loader.bases.len() {
            let frontier = from..loader.bases.len();
            from = frontier.end;
            let share = frontier.len().div_ceil(threads).max(MIN_SHARE);
            let chunks: Vec<_> = loader.bases[frontier].chunks(share).collect();
            let known = Known { numbers: &loader.numbers, store_dir: &loader.store_dir };
            let results: Vec<Result<Batch>> = if let [only] = chunks[..] {
                vec![read_batch(only, known, dir)]
            } else {
                std::thread::scope(|scope| {
                    let workers: Vec<_> =
                        chunks.into_iter().map(|chunk| scope.spawn(move || read_batch(chunk, known, dir))).collect();
                    workers
                        .into_iter()
                        .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                        .collect()
                })
            };
            for batch in results {
                loader.take(batch?)?;
            }
        }
        Ok(loader)
    }

    /// Reads the outputs of one derivation's file, which is in no graph.
    pub fn read_outputs(file: &Path) -> Result<OutputPaths> {
        batch::read_outputs(file)
    }

    /// The same where whoever names roots may have named anything: what cannot be read costs the roots that lead there and no others. These
    /// come along, each with what is wrong.
    pub fn load_readable<'a>(
        roots: &[&'a str],
        dir: &Path,
        default_store_dir: &str,
    ) -> Result<(Self, Vec<(&'a str, Error)>)> {
        let mut unreadable = Vec::new();
        let error = match Self::load(roots.iter().copied(), dir, default_store_dir) {
            Ok(graph) => return Ok((graph, unreadable)),
            Err(error) => error,
        };
        let is_foreign = |root: &str| !matches!(store_path::split(root), Ok((dir, _)) if dir == default_store_dir);
        let (foreign, own): (Vec<&str>, Vec<&str>) = roots.iter().partition(|root| is_foreign(root));
        let why = |root| anyhow!("`{}` is not in the store directory `{default_store_dir}`", printable(root));
        unreadable.extend(foreign.into_iter().map(|root| (root, why(root))));
        find_unreadable(&own, dir, default_store_dir, &mut unreadable);
        let bad: HashSet<&str> = unreadable.iter().map(|(root, _)| *root).collect();
        let rest: Vec<&str> = roots.iter().copied().filter(|root| !bad.contains(root)).collect();
        if rest.is_empty() {
            return Err(error);
        }
        Ok((Self::load(rest, dir, default_store_dir)?, unreadable))
    }
}

/// Halves the roots until those that cannot be loaded are alone.
fn find_unreadable<'a>(roots: &[&'a str], dir: &Path, default_store_dir: &str, found: &mut Vec<(&'a str, Error)>) {
    match (Graph::load(roots.iter().copied(), dir, default_store_dir), roots) {
        (Ok(_), _) => {}
        (Err(error), [root]) => found.push((root, error)),
        (Err(_), _) => {
            let (first, second) = roots.split_at(roots.len() / 2);
            find_unreadable(first, dir, default_store_dir, found);
            find_unreadable(second, dir, default_store_dir, found);
        }
    }
}

/// Sorts the inputs from `start` on, each derivation once: a file may name one twice, and one may stand for several.
fn merge(inputs: &mut Vec<Input>, start: usize) {
    inputs[start..].sort_unstable_by_key(|input| input.drv);
    let mut kept = start;
    for index in start..inputs.len() {
        if kept > start && inputs[kept - 1].drv == inputs[index].drv {
            let outputs = inputs[index].outputs;
            inputs[kept - 1].outputs.add(outputs);
        } else {
            inputs[kept] = inputs[index];
            kept += 1;
        }
    }
    inputs.truncate(kept);
}

/// Derivations in the order of discovery.
struct Loader {
    store_dir: String,
    numbers: HashMap<Arc<str>, u32>,
    bases: Vec<Arc<str>>,
    nodes: Vec<Node>,
    offsets: Vec<u32>,
    /// Derivation and index into `sets`.
    inputs: Vec<(u32, u32)>,
    sets: Vec<Box<[Box<str>]>>,
    set_numbers: HashMap<Box<[Box<str>]>, u32>,
}

impl Loader {
    fn new<'a>(roots: impl IntoIterator<Item = &'a str>, default_store_dir: &str) -> Result<Self> {
        let mut loader = Self {
            store_dir: default_store_dir.into(),
            numbers: HashMap::new(),
            bases: Vec::new(),
            nodes: Vec::new(),
            offsets: vec![0],
            inputs: Vec::new(),
            sets: Vec::new(),
            set_numbers: HashMap::new(),
        };
        for root in roots {
            let (store_dir, base) = store_path::split(root)?;
            ensure!(base.ends_with(".drv"), "`{root}` is not a derivation (its name does not end in `.drv`)");
            if loader.bases.is_empty() {
                loader.store_dir = store_dir.into();
            }
            ensure!(
                store_dir == loader.store_dir,
                "`{root}` is in another store directory than `{}`: plan them separately",
                loader.store_dir
            );
            loader.number(base.into());
        }
        Ok(loader)
    }

    fn number(&mut self, base: Arc<str>) -> u32 {
        let next = self.bases.len() as u32;
        *self.numbers.entry(base).or_insert_with_key(|base| {
            self.bases.push(base.clone());
            next
        })
    }

    fn take(&mut self, batch: Batch) -> Result<()> {
        let new: Vec<u32> = batch.new.into_iter().map(|base| self.number(base)).collect();
        let sets: Vec<u32> = batch
            .sets
            .into_iter()
            .map(|set| match self.set_numbers.get(&set) {
                Some(&number) => number,
                None => {
                    let number = self.sets.len() as u32;
                    self.sets.push(set.clone());
                    self.set_numbers.insert(set, number);
                    number
                }
            })
            .collect();
        self.nodes.extend(batch.nodes);
        self.inputs.extend(batch.inputs.into_iter().map(|input| {
            let drv = input.drv.unwrap_or_else(|index| new[index as usize]);
            (drv, sets[input.outputs as usize])
        }));
        for count in batch.counts {
            let end = u64::from(*self.offsets.last().unwrap_or(&0)) + u64::from(count);
            self.offsets.push(u32::try_from(end).context("the graph has more than four thousand million edges")?);
        }
        Ok(())
    }

    /// Numbers the derivations anew, inputs first, then by name, then by path, and resolves output names.
    fn finish(self, stands_for_same: bool) -> Result<Graph> {
        let count = self.nodes.len();
        let inputs_of = |node: usize| &self.inputs[self.offsets[node] as usize..self.offsets[node + 1] as usize];

        let mut by_name: Vec<u32> = (0..count as u32).collect();
        by_name.sort_unstable_by_key(|&node| {
            let base = &self.bases[node as usize];
            (store_path::name_of(base), &**base)
        });
        let mut rank = vec![0u32; count];
        for (position, &node) in by_name.iter().enumerate() {
            rank[node as usize] = position as u32;
        }
        drop(by_name);

        let stands = if stands_for_same {
            same_outputs::representatives(&self.nodes, |node| inputs_of(node as usize))
        } else {
            (0..count as u32).collect()
        };
        // Both those that the file names and those that stand for them come first.
        let all_inputs_of = |node: usize| {
            let named = inputs_of(node).iter().map(|(drv, _)| *drv);
            named.flat_map(|drv| [Some(drv), Some(stands[drv as usize]).filter(|&other| other != drv)]).flatten()
        };

        let mut consumers_at = vec![0u32; count + 1];
        for drv in (0..count).flat_map(all_inputs_of) {
            consumers_at[drv as usize + 1] += 1;
        }
        for node in 0..count {
            consumers_at[node + 1] += consumers_at[node];
        }
        let mut consumers = vec![0u32; consumers_at[count] as usize];
        let mut next = consumers_at.clone();
        for node in 0..count {
            for drv in all_inputs_of(node) {
                consumers[next[drv as usize] as usize] = node as u32;
                next[drv as usize] += 1;
            }
        }
        drop(next);

        let consumers_of = |node: u32| {
            let list = &consumers[consumers_at[node as usize] as usize..consumers_at[node as usize + 1] as usize];
            list.iter().copied()
        };
        let degrees = InDegrees::new((0..count).map(|node| all_inputs_of(node).count()));
        let order = topological::by_rank(degrees, consumers_of, |node| rank[node as usize]);
        let order = order.map_err(|left| anyhow!(self.cycle(&left)))?;
        drop((consumers, consumers_at));

        let mut new_number = rank;
        for (position, &node) in order.iter().enumerate() {
            new_number[node as usize] = position as u32;
        }
        let mut offsets = Vec::with_capacity(count + 1);
        let mut inputs: Vec<Input> = Vec::with_capacity(self.inputs.len());
        offsets.push(0);
        let id = |node: u32| DrvId(new_number[node as usize]);
        let others =
            stands.iter().enumerate().map(|(drv, &other)| (drv as u32, other)).filter(|(drv, other)| drv != other);
        let same: BTreeMap<DrvId, DrvId> = others.map(|(drv, other)| (id(drv), id(other))).collect();
        let mut named = HashMap::new();
        for &node in &order {
            let start = inputs.len();
            for &(drv, set) in inputs_of(node as usize) {
                let outputs = self.resolve(node, drv, set)?;
                inputs.push(Input { drv: id(drv), outputs });
            }
            merge(&mut inputs, start);
            if inputs_of(node as usize).iter().any(|&(drv, _)| stands[drv as usize] != drv) {
                let file = inputs.split_off(start);
                // The same outputs have the same numbers.
                let other = |drv| same.get(&drv).copied().unwrap_or(drv);
                inputs.extend(file.iter().map(|input| Input { drv: other(input.drv), ..*input }));
                merge(&mut inputs, start);
                named.insert(id(node), file.into());
            }
            offsets.push(inputs.len() as u32);
        }
        let mut old: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let nodes: Vec<Node> = order.iter().filter_map(|&node| old[node as usize].take()).collect();
        let mut ids = HashMap::with_capacity(count);
        for (base, number) in self.numbers {
            let own = id(number);
            ids.insert(base, same.get(&own).copied().unwrap_or(own));
        }
        Ok(Graph { store_dir: self.store_dir, nodes, offsets, inputs, named, same, ids })
    }

    /// The outputs that `consumer` takes from `drv`.
    fn resolve(&self, consumer: u32, drv: u32, set: u32) -> Result<OutputSet> {
        let mut outputs = OutputSet::default();
        for name in &self.sets[set as usize] {
            let found = self.nodes[drv as usize].outputs.iter().position(|output| *output.name == **name);
            let index = found.ok_or_else(|| {
                anyhow!(
                    "derivation `{}` takes the output `{}` of `{}`, which has no such output",
                    self.bases[consumer as usize],
                    name.escape_debug(),
                    self.bases[drv as usize]
                )
            })?;
            outputs.add(OutputSet::one(index));
        }
        Ok(outputs)
    }

    /// Names one cycle among the derivations that could not be ordered.
    fn cycle(&self, left: &InDegrees) -> String {
        let stuck = |node: usize| -> Option<usize> {
            let inputs = &self.inputs[self.offsets[node] as usize..self.offsets[node + 1] as usize];
            inputs
                .iter()
                .map(|&(drv, _)| drv as usize)
                .filter(|&drv| left.waits(drv as u32))
                .min_by_key(|&drv| &self.bases[drv])
        };
        // Whoever waits has an input that waits: following them must come back to where it has been.
        let mut at = left.waiting().next().map(|node| node as usize);
        let mut seen = HashMap::new();
        let mut walk = Vec::new();
        while let Some(node) = at {
            if let Some(&start) = seen.get(&node) {
                walk.drain(..start);
                break;
            }
            seen.insert(node, walk.len());
            walk.push(node);
            at = stuck(node);
        }
        walk.extend(walk.first().copied());
        let shown: Vec<String> = walk.iter().take(10).map(|&node| format!("`{}`", self.bases[node])).collect();
        let more = if walk.len() > 10 { format!(" -> … ({} in all)", walk.len() - 1) } else { String::new() };
        format!("derivations need each other: {}{more}", shown.join(" -> "))
    }
}
