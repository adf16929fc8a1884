//! Fills one wave: which units can be built by jobs that exchange nothing and take no longer than a budget.
//!
//! In: what is done, an order in which inputs come before consumers, a budget in milliseconds. Out: the weakly connected components of what fits, each of which has to
//! be in one job, as jobs of one wave exchange nothing.

use super::columns::Columns;
use crate::plan::partition::jobs::{Instance, compatible_systems};
use crate::plan::partition::schedule::Scheduler;
use crate::plan::partition::steps::Steps;
use crate::plan::partition::units::Unit;
use crate::plan::problem::{Millis, System};

/// No component.
const NONE: u32 = u32::MAX;

/// Parts of a wave's machines that the plan counts on: components do not fill them evenly.
const USABLE: f64 = 0.85;

/// Of a budget, what no work fills, milliseconds; of the shortest, this much is filled all the same.
const UNFILLED: Millis = 25_000;
const LEAST_FILLED: Millis = 60_000;

/// A component that so many units would have made too long takes no more.
const FAILURES: u32 = 16;

/// A weakly connected set of units.
#[derive(Clone, Default)]
struct Component {
    units: Vec<Unit>,
    /// Sum of what the units own, and of all that a job with them may have to build, milliseconds.
    work: Millis,
    tasks: Millis,
    /// Longest path, at most, milliseconds.
    depth: Millis,
    system: System,
    targets: u32,
    /// List schedule, milliseconds; exact where `exact`, else more than that, or about that.
    length: Millis,
    exact: bool,
    /// How many units there were when the length was exact last.
    measured: usize,
    /// How many units would have made it too long.
    failures: u32,
}

/// What one wave builds.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// The longest of its components, milliseconds, without start-up.
    pub length: Millis,
    /// Units that have to share a job, each set in topological order.
    pub components: Vec<Vec<Unit>>,
}

/// A budget that is worth trying: the shortest with which nothing longer than `rest` is left behind.
#[derive(Clone, Copy, Debug)]
pub struct WaveLength {
    pub length: Millis,
    /// Longest path of what is left, milliseconds.
    pub rest: Millis,
}

/// The next longer budget that is worth telling apart, milliseconds.
fn round(length: Millis, step: Millis) -> Millis {
    let times = match length {
        0..600_000 => 1,
        600_000..1_500_000 => 2,
        _ => 4,
    };
    length.next_multiple_of(times * step).max(60_000)
}

/// Fills waves of one instance.
pub struct Filler<'a> {
    instance: &'a Instance<'a>,
    pub columns: &'a Columns,
    /// Machines for one wave.
    runners: usize,
    /// Most targets of a component that has them from several units.
    targets: u32,
    pub scheduler: Scheduler<'a>,
    pub steps: Steps,
    /// The component of each unit in this wave; the longest path to its end, at least and at most.
    component: Vec<u32>,
    least: Vec<Millis>,
    most: Vec<Millis>,
    parent: Vec<u32>,
    list: Vec<Component>,
    joined: Vec<u32>,
    work: Millis,
    placed: Vec<Unit>,
    /// What does not fit is left, and the wave gets no longer.
    filling: bool,
}

/// Why a unit does not go into a wave.
enum Refusal {
    /// However long the wave is.
    Never,
    /// Unless the wave is this long, milliseconds.
    Longer(Millis),
}

impl<'a> Filler<'a> {
    pub fn new(instance: &'a Instance<'a>, columns: &'a Columns, (runners, targets): (usize, u32), steps: u64) -> Self {
        let units = instance.units.len();
        Self {
            instance,
            columns,
            runners,
            targets,
            scheduler: Scheduler::new(instance.problem),
            steps: Steps::new(steps),
            component: vec![NONE; units],
            least: vec![0; units],
            most: vec![0; units],
            parent: Vec::new(),
            list: Vec::new(),
            joined: Vec::new(),
            work: 0,
            placed: Vec::new(),
            filling: false,
        }
    }

    /// The budgets worth trying, shortest first, up to `longest` milliseconds: one walk through `order` (longest tail first) finds them all, since what
    /// fits into a short wave fits into a longer one.
    pub fn budgets(&mut self, done: &[bool], order: &[Unit], longest: Millis, step: Millis) -> Vec<WaveLength> {
        self.clear();
        self.filling = false;
        let mut budgets = Vec::new();
        let mut length = 0;
        for &unit in order {
            let before = length;
            loop {
                match self.place(done, unit, length) {
                    Ok(()) => break,
                    Err(Refusal::Never) => {
                        budgets.push(WaveLength { length: before, rest: self.columns.through[unit as usize] });
                        return budgets;
                    }
                    Err(Refusal::Longer(needed)) => {
                        if length == before && before > 0 {
                            budgets.push(WaveLength { length, rest: self.columns.through[unit as usize] });
                        }
                        if needed > longest {
                            return budgets;
                        }
                        length = round(needed, step);
                    }
                }
            }
        }
        budgets.push(WaveLength { length, rest: 0 });
        budgets
    }

    /// What fits into a wave of `length` milliseconds: as far as possible what is on the longest paths, then what else there is, in the order `then` (inputs before consumers).
    pub fn fill(&mut self, done: &[bool], length: Millis, then: &[Unit]) -> Wave {
        self.clear();
        self.filling = true;
        let columns = self.columns;
        for &unit in columns.by_tail.iter().filter(|&&unit| !done[unit as usize]) {
            if self.place(done, unit, length).is_err() {
                break;
            }
        }
        for &unit in then {
            if !done[unit as usize] && self.component[unit as usize] == NONE {
                let _ = self.place(done, unit, length);
            }
        }
        let roots: Vec<usize> = (0..self.list.len()).filter(|&own| self.parent[own] as usize == own).collect();
        let mut wave = Wave::default();
        for own in roots {
            self.make_exact(own);
            let component = std::mem::take(&mut self.list[own]);
            wave.length = wave.length.max(component.length);
            let mut units = component.units;
            units.sort_unstable();
            wave.components.push(units);
        }
        wave
    }

    fn clear(&mut self) {
        for unit in self.placed.drain(..) {
            self.component[unit as usize] = NONE;
        }
        self.parent.clear();
        self.list.clear();
        self.work = 0;
    }

    fn find(&mut self, component: u32) -> u32 {
        let mut at = component;
        while self.parent[at as usize] != at {
            let above = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = above;
            at = above;
        }
        at
    }

    /// Puts a unit into a wave of `length` milliseconds, with the components of its inputs.
    fn place(&mut self, done: &[bool], unit: Unit, length: Millis) -> Result<(), Refusal> {
        let (instance, columns, own) = (self.instance, self.columns, unit as usize);
        let units = instance.units;
        self.steps.take(2 + units.inputs.of(unit).len());
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        let (mut least, mut most) = (columns.before[own], 0);
        let mut together = Component {
            work: columns.work[own],
            tasks: columns.tasks[own],
            system: units.system[own],
            targets: units.targets[own],
            ..Component::default()
        };
        let (mut possible, mut size) = (true, 1);
        let mut with_targets = u32::from(together.targets > 0);
        for &input in units.inputs.of(unit) {
            if done[input as usize] {
                continue;
            }
            let of_input = self.component[input as usize];
            if of_input == NONE {
                possible = false;
                break;
            }
            least = least.max(self.least[input as usize]);
            most = most.max(self.most[input as usize]);
            let root = self.find(of_input);
            if joined.contains(&root) {
                continue;
            }
            let other = &self.list[root as usize];
            if !compatible_systems(together.system, other.system) || (self.filling && other.failures >= FAILURES) {
                possible = false;
                break;
            }
            together.work += other.work;
            together.tasks += other.tasks;
            together.depth = together.depth.max(other.depth);
            together.system = together.system.min(other.system);
            together.targets += other.targets;
            with_targets += u32::from(other.targets > 0);
            together.length = together.length.max(other.length);
            together.measured = together.measured.max(other.measured);
            size += other.units.len();
            joined.push(root);
        }
        // A unit may have several targets by itself.
        if !possible || (with_targets > 1 && together.targets > self.targets) {
            self.joined = joined;
            return Err(Refusal::Never);
        }
        let (least, most) = (least + columns.depth[own], most + columns.before[own] + columns.depth[own]);
        together.depth = together.depth.max(most);
        let slots = instance.model.slots_of(together.system) as Millis;
        let machines = USABLE * (self.runners as Millis * slots) as f64;
        let crowded = ((self.work + columns.work[own]) as f64 / machines) as Millis;
        let crowded = if crowded > LEAST_FILLED { crowded + UNFILLED } else { 0 };
        let needed = least.max(together.work.div_ceil(slots)).max(crowded);
        if needed > length {
            self.joined = joined;
            return Err(Refusal::Longer(needed));
        }
        // A list schedule takes at most the work on all slots and the longest path on the slots but one (Graham 1966).
        let most_length = (together.tasks + (slots - 1) * together.depth) / slots + 1;
        if joined.is_empty() {
            (together.length, together.exact, together.measured) = (columns.alone[own], true, 1);
        } else if most_length <= length {
            together.length = most_length;
        } else if size > together.measured + together.measured / 16 || together.tasks * 4 > length * slots * 3 {
            let all = joined_units(&self.list, &joined, unit);
            let most = if self.filling { length } else { Millis::MAX };
            let Some(found) = self.length_within(&all, together.system, most) else {
                for &root in &joined {
                    self.list[root as usize].failures += 1;
                }
                self.joined = joined;
                return Err(Refusal::Never);
            };
            (together.length, together.exact, together.measured) = (found, true, size);
        } else {
            together.length = together.length.max(together.depth);
        }
        if together.length > length {
            self.joined = joined;
            return Err(Refusal::Longer(together.length));
        }
        self.join(&joined, unit, together);
        self.joined = joined;
        (self.least[own], self.most[own]) = (least, most);
        self.work += columns.work[own];
        self.placed.push(unit);
        Ok(())
    }

    fn join(&mut self, joined: &[u32], unit: Unit, mut together: Component) {
        let root = joined.iter().copied().max_by_key(|&root| self.list[root as usize].units.len());
        let root = root.unwrap_or_else(|| {
            self.parent.push(self.parent.len() as u32);
            self.list.push(Component::default());
            self.parent.len() as u32 - 1
        });
        let mut units = std::mem::take(&mut self.list[root as usize].units);
        for &other in joined.iter().filter(|&&other| other != root) {
            self.parent[other as usize] = root;
            units.append(&mut self.list[other as usize].units);
        }
        units.push(unit);
        together.units = units;
        self.list[root as usize] = together;
        self.component[unit as usize] = root;
    }

    fn make_exact(&mut self, component: usize) {
        if !self.list[component].exact {
            let units = std::mem::take(&mut self.list[component].units);
            let length = self.length_within(&units, self.list[component].system, Millis::MAX);
            self.list[component].length = length.unwrap_or(Millis::MAX);
            self.list[component].units = units;
        }
    }

    fn length_within(&mut self, units: &[Unit], system: System, most: Millis) -> Option<Millis> {
        let tasks = self.instance.units.tasks_of(units);
        let length = self.scheduler.length_within(&tasks, self.instance.model.capacity_of(system), most);
        // Too long a schedule is given up on the way.
        self.steps.take(if length.is_some() { 20 } else { 12 } * tasks.len());
        length
    }
}

fn joined_units(list: &[Component], joined: &[u32], unit: Unit) -> Vec<Unit> {
    let mut all: Vec<Unit> = joined.iter().flat_map(|&root| list[root as usize].units.iter().copied()).collect();
    all.push(unit);
    all
}
