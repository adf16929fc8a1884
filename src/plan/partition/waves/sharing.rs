//! How many targets share a job where each should have its own and a chain of them is longer than there are waves.
//!
//! In: the [`Instance`], and how many waves there are. Out: numbers of targets, the fewest first, with which the waves suffice if they may take as long as they like. What a
//! search makes of them is another thing.

use super::barrier::Barrier;
use super::columns::Columns;
use super::fill::Filler;
use crate::plan::model::Granularity;
use crate::plan::partition::jobs::Instance;
use crate::plan::problem::Millis;

/// No list schedule takes as long, milliseconds.
const ENDLESS: Millis = Millis::MAX >> 16;

/// How many targets a component of a wave may have, the fewest first.
pub fn ways(instance: &Instance, barrier: &Barrier, columns: &Columns) -> Vec<u32> {
    if instance.options.granularity != Granularity::Target {
        return vec![u32::MAX];
    }
    let all: u32 = instance.units.targets.iter().sum();
    let most = if barrier.sharing { all.next_power_of_two().ilog2() } else { 0 };
    (0..=most).map(|power| 1 << power).filter(|&targets| suffice(instance, barrier, columns, targets)).collect()
}

/// True where there are waves enough if they may take as long as they like.
fn suffice(instance: &Instance, barrier: &Barrier, columns: &Columns, targets: u32) -> bool {
    let mut filler = Filler::new(instance, columns, (usize::MAX >> 16, targets), u64::MAX);
    let mut done = vec![false; instance.units.len()];
    for _ in 0..barrier.waves {
        for unit in filler.fill(&done, ENDLESS, &columns.by_tail).components.into_iter().flatten() {
            done[unit as usize] = true;
        }
    }
    done.iter().all(|&done| done)
}
