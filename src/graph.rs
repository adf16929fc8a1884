//! The derivation graph: `.drv` files read straight from a directory into compact numbers.
//!
//! In: the paths of the roots and the directory that holds the files. Out: a [`Graph`] whose nodes are numbered so that every
//! input stands before its consumers and, where that leaves a choice, by name. No `nix` process, no recursion, and nothing that
//! depends on the number of threads.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};

use crate::fleet::requirement::Requirement;
use crate::nix::derivation::{Derivation, Text};
use crate::nix::store_path;
use crate::regular_file::NO_WAITING;
use crate::topological::{self, InDegrees};

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrvId(pub u32);

impl DrvId {
    /// The number as an array index.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// A set of outputs of one derivation: bit `i` stands for its output `i`, the last bit for all from 63 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSet(u64);

impl OutputSet {
    /// From this index on all outputs are one.
    pub const SHARED: usize = 63;

    /// The set of one output.
    pub fn one(index: usize) -> Self {
        Self(1 << index.min(Self::SHARED))
    }

    /// The first `count` outputs.
    pub fn first(count: usize) -> Self {
        Self(if count >= 64 { u64::MAX } else { (1 << count) - 1 })
    }

    /// True if the set has the output.
    pub fn has(self, index: usize) -> bool {
        self.0 & Self::one(index).0 != 0
    }

    /// Adds the other set's outputs; gives those that are new.
    pub fn add(&mut self, other: Self) -> Self {
        let new = Self(other.0 & !self.0);
        self.0 |= other.0;
        new
    }

    /// True for no outputs.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// An output of a derivation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `out`, `dev`, …
    pub name: Box<str>,
    /// Base name of its store path; none where only the build tells.
    pub base: Option<Box<str>>,
}

/// What the planner needs to know of one derivation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Base name of the `.drv` file.
    pub base: Arc<str>,
    /// The system it is built on.
    pub system: Arc<str>,
    /// Its outputs, in the file's order.
    pub outputs: Box<[Output]>,
    /// Every output's content is known beforehand: a fetch.
    pub fixed_output: bool,
    /// The derivation says that building it costs less than asking elsewhere.
    pub prefer_local_build: bool,
    /// False: Nix builds it even where a cache has it, unless it is asked for by output path.
    pub allow_substitutes: bool,
    /// What the machine must offer: `kvm`, `big-parallel`, …
    pub required_system_features: Arc<[String]>,
    /// Base names of the sources that it names, ascending.
    pub sources: Box<[Arc<str>]>,
}

impl Node {
    /// The name part: `hello-2.10`.
    pub fn name(&self) -> &str {
        store_path::name_of(&self.base)
    }

    /// What building it requires of a machine.
    pub fn requirement(&self) -> Requirement<'_> {
        Requirement { system: &self.system, features: &self.required_system_features }
    }

    /// True where an output's path is known only after the build (content-addressed, or fed by such a derivation).
    pub fn is_floating(&self) -> bool {
        self.outputs.is_empty() || self.outputs.iter().any(|output| output.base.is_none())
    }
}

/// A derivation that another one takes outputs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The derivation.
    pub drv: DrvId,
    /// Which of its outputs.
    pub outputs: OutputSet,
}

/// Derivations and what they take from each other.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    store_dir: String,
    nodes: Vec<Node>,
    offsets: Vec<u32>,
    inputs: Vec<Input>,
    ids: HashMap<Arc<str>, DrvId>,
}

impl Graph {
    /// Number of derivations.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.inputs.len()
    }

    /// The store directory of all paths.
    pub fn store_dir(&self) -> &str {
        &self.store_dir
    }

    /// All derivations, inputs before consumers.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = DrvId> + use<> {
        (0..self.nodes.len() as u32).map(DrvId)
    }

    /// All derivations, in the same order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> + Clone {
        self.nodes.iter()
    }

    /// One derivation.
    pub fn node(&self, id: DrvId) -> &Node {
        &self.nodes[id.at()]
    }

    /// What one derivation takes from others, ascending.
    pub fn inputs(&self, id: DrvId) -> &[Input] {
        &self.inputs[self.offsets[id.at()] as usize..self.offsets[id.at() + 1] as usize]
    }

    /// The full path of a `.drv` file.
    pub fn path(&self, id: DrvId) -> String {
        self.full_path(&self.node(id).base)
    }

    /// The full path of something in the store directory.
    pub fn full_path(&self, base: &str) -> String {
        format!("{}/{base}", self.store_dir)
    }

    /// The derivation with this path.
    pub fn find(&self, path: &str) -> Option<DrvId> {
        let base = path.strip_prefix(&self.store_dir)?.strip_prefix('/')?;
        self.ids.get(base).copied()
    }

    /// Reads the closure of the roots from `dir`, which holds `.drv` files by their base names.
    ///
    /// `roots` are full store paths; they may repeat. `default_store_dir` is the store directory where there is no root.
    /// Missing, truncated, foreign or cyclic files are errors that name the file.
    pub fn load<'a>(roots: impl IntoIterator<Item = &'a str>, dir: &Path, default_store_dir: &str) -> Result<Self> {
        let mut loader = Loader::new(roots, default_store_dir)?;
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_THREADS);
        let mut from = 0;
        while from < loader.bases.len() {
            let frontier = from..loader.bases.len();
            from = frontier.end;
            let share = frontier.len().div_ceil(threads).max(MIN_SHARE);
            let chunks: Vec<_> = loader.bases[frontier].chunks(share).collect();
            let known = (&loader.numbers, loader.store_dir.as_str());
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
        loader.finish()
    }
}

/// More threads than this wait for the kernel, not for each other's work.
const MAX_THREADS: usize = 16;

/// Fewest files that are worth a thread.
const MIN_SHARE: usize = 64;

/// Bytes of the first read: more than almost any `.drv` file has.
const FIRST_READ: usize = 64 << 10;

/// Largest `.drv` file that is read, in bytes; the largest one seen in nixpkgs has 3 MB.
const MAX_FILE_SIZE: u64 = 256 << 20;

/// An edge before all derivations have numbers.
struct RawInput {
    /// Number of the derivation where it was known when the file was read, else an index into the batch's new names.
    drv: Result<u32, u32>,
    /// Index into the batch's sets of output names.
    outputs: u32,
}

/// What one thread has read.
#[derive(Default)]
struct Batch {
    nodes: Vec<Node>,
    /// Edges a node.
    counts: Vec<u32>,
    inputs: Vec<RawInput>,
    /// Base names that were not known yet.
    new: Vec<Arc<str>>,
    /// Distinct sets of output names.
    sets: Vec<Box<[Box<str>]>>,
}

/// Strings that repeat by the thousand, kept once a batch.
#[derive(Default)]
struct Shared {
    systems: HashMap<Vec<u8>, Arc<str>>,
    features: HashMap<Vec<String>, Arc<[String]>>,
    sources: HashMap<Box<[u8]>, Arc<str>>,
    new: HashMap<Arc<str>, u32>,
    sets: HashMap<Vec<u8>, u32>,
}

fn read_batch(bases: &[Arc<str>], known: (&HashMap<Arc<str>, u32>, &str), dir: &Path) -> Result<Batch> {
    let mut batch = Batch::default();
    let mut shared = Shared::default();
    let mut buffer = Vec::new();
    for base in bases {
        let path = dir.join(&**base);
        let bytes =
            read_file(&path, &mut buffer).with_context(|| format!("cannot read derivation `{}`", path.display()))?;
        let drv = Derivation::parse(bytes).with_context(|| format!("`{}` is no derivation", path.display()))?;
        batch.add(base, &drv, known, &mut shared).with_context(|| format!("`{}` is no derivation", path.display()))?;
    }
    Ok(batch)
}

/// Reads a regular file into a buffer that is used again and again; gives the part that it fills.
///
/// Most files take one call: a read that does not fill the buffer and ends as a derivation does has reached the end, whatever was opened.
fn read_file<'a>(path: &Path, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    // Without waiting: a hostile directory may hold a pipe where a file should be.
    let mut file = File::options().read(true).custom_flags(NO_WAITING).open(path)?;
    buffer.resize(buffer.len().max(FIRST_READ), 0);
    let first = file.read(buffer);
    if let Ok(length) = first
        && length < buffer.len()
        && buffer[..length].ends_with(b")")
    {
        return Ok(&buffer[..length]);
    }
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it is no regular file");
    ensure!(
        metadata.len() <= MAX_FILE_SIZE,
        "it has {} bytes, the most that is read is {MAX_FILE_SIZE}",
        metadata.len()
    );
    buffer.truncate(first?);
    Read::by_ref(&mut file).take(MAX_FILE_SIZE).read_to_end(buffer)?;
    Ok(buffer)
}

impl Batch {
    fn add(
        &mut self,
        base: &Arc<str>,
        drv: &Derivation,
        (numbers, store_dir): (&HashMap<Arc<str>, u32>, &str),
        shared: &mut Shared,
    ) -> Result<()> {
        let mut outputs = Vec::with_capacity(drv.outputs.len());
        for output in &drv.outputs {
            let name: Box<str> = utf8(output.name, "an output's name")?.into();
            ensure!(
                !outputs.iter().any(|earlier: &Output| earlier.name == name),
                "it has the output `{}` twice",
                name.escape_debug()
            );
            let base = if output.path.is_empty() { None } else { Some(base_in(output.path, store_dir)?.into()) };
            outputs.push(Output { name, base });
        }
        for input in &drv.inputs {
            let path = input.path.bytes();
            let base = base_in_bytes(&path, store_dir)?;
            ensure!(base.ends_with(".drv"), "its input `{base}` is no derivation");
            let drv_number = match numbers.get(base) {
                Some(&number) => Ok(number),
                None => Err(match shared.new.get(base) {
                    Some(&number) => number,
                    None => {
                        let base: Arc<str> = base.into();
                        let number = self.new.len() as u32;
                        self.new.push(base.clone());
                        shared.new.insert(base, number);
                        number
                    }
                }),
            };
            let mut key = Vec::new();
            for name in drv.outputs_of(input) {
                key.extend_from_slice(&name.bytes());
                key.push(0);
            }
            let set = match shared.sets.get(&key) {
                Some(&set) => set,
                None => {
                    let names = drv.outputs_of(input).iter();
                    let names = names
                        .map(|&name| Ok(utf8(name, "an output's name")?.into()))
                        .collect::<Result<Box<[Box<str>]>>>()?;
                    let number = self.sets.len() as u32;
                    self.sets.push(names);
                    shared.sets.insert(key, number);
                    number
                }
            };
            self.inputs.push(RawInput { drv: drv_number, outputs: set });
        }
        self.counts.push(drv.inputs.len() as u32);
        let attributes = drv.attributes();
        let system = drv.system.bytes();
        let system = match shared.systems.get(&*system) {
            Some(system) => system.clone(),
            None => {
                let text: Arc<str> = utf8(drv.system, "its system")?.into();
                shared.systems.insert(system.into_owned(), text.clone());
                text
            }
        };
        let features = shared
            .features
            .entry(attributes.required_system_features)
            .or_insert_with_key(|features| features.as_slice().into())
            .clone();
        let mut sources = Vec::with_capacity(drv.sources.len());
        for source in &drv.sources {
            let path = source.bytes();
            sources.push(match shared.sources.get(&*path) {
                Some(base) => base.clone(),
                None => {
                    let base: Arc<str> = base_in_bytes(&path, store_dir)?.into();
                    shared.sources.insert((&*path).into(), base.clone());
                    base
                }
            });
        }
        sources.sort_unstable();
        self.nodes.push(Node {
            base: base.clone(),
            system,
            outputs: outputs.into(),
            fixed_output: drv.is_fixed_output(),
            prefer_local_build: attributes.prefer_local_build,
            allow_substitutes: attributes.allow_substitutes,
            required_system_features: features,
            sources: sources.into(),
        });
        Ok(())
    }
}

fn utf8(text: Text<'_>, what: &str) -> Result<String> {
    String::from_utf8(text.bytes().into_owned()).map_err(|_| anyhow!("{what} is not UTF-8"))
}

fn base_in(path: Text<'_>, store_dir: &str) -> Result<String> {
    base_in_bytes(&path.bytes(), store_dir).map(Into::into)
}

/// The base name of a path that must lie directly in the store directory.
fn base_in_bytes<'a>(path: &'a [u8], store_dir: &str) -> Result<&'a str> {
    path.strip_prefix(store_dir.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"))
        .filter(|base| store_path::is_base_name(base))
        .and_then(|base| std::str::from_utf8(base).ok())
        .ok_or_else(|| anyhow!("`{}` is no path in the store directory `{store_dir}`", path.escape_ascii()))
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
            ensure!(base.ends_with(".drv"), "`{root}` is no derivation (its name does not end in `.drv`)");
            if loader.bases.is_empty() {
                loader.store_dir = store_dir.into();
            }
            ensure!(
                store_dir == loader.store_dir,
                "`{root}` lies in another store directory than `{}`: plan them separately",
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
    fn finish(self) -> Result<Graph> {
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

        let mut consumers_at = vec![0u32; count + 1];
        for &(drv, _) in &self.inputs {
            consumers_at[drv as usize + 1] += 1;
        }
        for node in 0..count {
            consumers_at[node + 1] += consumers_at[node];
        }
        let mut consumers = vec![0u32; self.inputs.len()];
        let mut next = consumers_at.clone();
        for node in 0..count {
            for &(drv, _) in inputs_of(node) {
                consumers[next[drv as usize] as usize] = node as u32;
                next[drv as usize] += 1;
            }
        }
        drop(next);

        let consumers_of = |node: u32| {
            let list = &consumers[consumers_at[node as usize] as usize..consumers_at[node as usize + 1] as usize];
            list.iter().copied()
        };
        let degrees = InDegrees::new((0..count).map(|node| inputs_of(node).len()));
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
        for &node in &order {
            let start = inputs.len();
            for &(drv, set) in inputs_of(node as usize) {
                let outputs = self.resolve(node, drv, set)?;
                inputs.push(Input { drv: DrvId(new_number[drv as usize]), outputs });
            }
            inputs[start..].sort_unstable_by_key(|input| input.drv);
            // A hostile file may name an input twice.
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
            offsets.push(kept as u32);
        }
        let mut old: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let nodes: Vec<Node> = order.iter().filter_map(|&node| old[node as usize].take()).collect();
        let mut ids = HashMap::with_capacity(count);
        for (base, number) in self.numbers {
            ids.insert(base, DrvId(new_number[number as usize]));
        }
        Ok(Graph { store_dir: self.store_dir, nodes, offsets, inputs, ids })
    }

    /// The outputs that `consumer` takes from `drv`.
    fn resolve(&self, consumer: u32, drv: u32, set: u32) -> Result<OutputSet> {
        let mut outputs = OutputSet::default();
        for name in &self.sets[set as usize] {
            let found = self.nodes[drv as usize].outputs.iter().position(|output| output.name == *name);
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
