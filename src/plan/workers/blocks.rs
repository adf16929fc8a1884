//! Blocks: units that are claimed, built and left together, where a worker can make only so many names.
//!
//! In: units, a way for them, the names that a worker can make. Out: units of which each worker has to claim and leave so few that it could do the work of another one too. A block has units of one level
//! and one kind of machine: between these is no path, and every other edge leads to a higher level, so blocks close no cycle.

use std::cmp::Reverse;

use super::crew::{Crew, ProtocolCosts};
use super::search::Way;
use super::work::Work;
use crate::plan::model::Model;
use crate::plan::partition::units::{Unit, Units};
use crate::plan::problem::{Millis, Problem};

/// Names beside claims, results and signs of life: what a worker leaves when it ends.
const OTHERS: usize = 4;

/// The shortest and longest time of a block that is put together, milliseconds; and by how much it grows, in halves.
const BLOCK: (Millis, Millis) = (2_000, 180_000);
const GROWTH: Millis = 3;

/// Most wall time that blocks may take, in percent of that without.
const LONGER: Millis = 125;

/// Units that fit, and the workers for them: as many as were chosen for single ones. Where none fit that take little longer, those of which workers make the fewest names.
pub fn fitting(
    problem: &Problem,
    single: Units,
    most: usize,
    (model, costs): (&Model, &ProtocolCosts),
    work_of: impl Fn(&Units) -> Work,
    chosen: Way,
) -> Option<(Units, Way)> {
    let (work, planned) = (work_of(&single), most / 2);
    let (crews, wall) = (chosen.crews.clone(), chosen.outcome.makespan * LONGER / 100);
    let (mut best, mut longest) = ((names(&chosen, costs), single.clone(), chosen), BLOCK.0);
    while best.0 > planned && longest < BLOCK.1 {
        let blocks = together(problem, &single, &work, longest)?;
        let after = |units: u32| (u64::from(units) * blocks.len() as u64 / single.len() as u64) as u32;
        let crews = crews.iter().map(|crew| Crew { after: after(crew.after), ..*crew });
        let way = Way::new(&work_of(&blocks), model, costs, crews.collect())?;
        let made = names(&way, costs);
        if made < best.0 && way.outcome.makespan <= wall {
            best = (made, blocks, way);
        }
        longest = longest * GROWTH / 2;
    }
    Some((best.1, best.2))
}

/// Most names that a worker is expected to make: a claim and a result a unit, signs of life, and others.
fn names(way: &Way, costs: &ProtocolCosts) -> usize {
    let lanes = way.lanes.units.iter().zip(&way.outcome.lengths);
    lanes.map(|(lane, &length)| 2 * lane.len() + costs.signs(length) as usize + OTHERS).max().unwrap_or(0)
}

/// Units of one level and one kind of machine together, those with the longest paths behind them first, as far as they take no longer than that; what takes longer stays alone.
fn together(problem: &Problem, units: &Units, work: &Work, longest: Millis) -> Option<Units> {
    let levels = units.levels();
    let mut order: Vec<Unit> = (0..units.len() as Unit).collect();
    order.sort_by_key(|&unit| {
        let at = unit as usize;
        (units.system[at], levels[at], work.duration[at] > longest, Reverse(work.tail[at]), unit)
    });
    let mut group = vec![0; problem.len()];
    let mut open: Option<(Unit, Millis)> = None;
    for unit in order {
        let at = unit as usize;
        let fits = |&(first, took): &(Unit, Millis)| {
            let place = |unit: usize| (units.system[unit], levels[unit]);
            place(first as usize) == place(at) && took + work.duration[at] <= longest
        };
        let (first, took) = open.filter(fits).unwrap_or((unit, 0));
        open = Some((first, took + work.duration[at]));
        let of_first = units.owned.of(first).first().copied()?;
        units.owned.of(unit).iter().for_each(|&node| group[node as usize] = of_first);
    }
    Units::new(problem, &group).ok()
}
