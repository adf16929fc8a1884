//! Plans for waves: jobs of one wave start when all jobs of the waves before have ended.
//!
//! In: an [`Instance`], and what a wave costs ([`Barrier`]). Out: [`Waves`], which units share a job, and the wave of each job. Jobs of one wave exchange nothing, so the units of
//! a wave fall into weakly connected components, each of which is in one job: a wave takes as long as its longest component. How long each wave may be is searched by
//! [`beam`]; what fits into it is found by [`fill`]; then components share jobs ([`jobs`]), and badly filled jobs are taken apart and put together again ([`refill`]).

mod barrier;
mod beam;
mod columns;
mod fill;
mod jobs;
mod refill;

use super::effort::worth_steps;
use super::jobs::Instance;
use super::schedule::Scheduler;
use super::steps::Steps;
use super::units::Unit;
use crate::plan::problem::Millis;
use crate::plan::simulate::lower_bound;
pub use barrier::Barrier;
use beam::{Beam, Taste};
use columns::Columns;
use fill::{Filler, Wave};
use jobs::WaveJobs;

/// A plan in waves.
#[derive(Clone, Debug)]
pub struct Waves {
    /// The smallest unit of the job that each unit is in.
    pub owner: Vec<Unit>,
    /// The wave of each unit.
    pub wave: Vec<usize>,
    /// From start to end, milliseconds, queues included.
    pub makespan: Millis,
    /// Sum of all jobs' times, milliseconds.
    pub job_time: Millis,
}

/// In which ways waves are chosen. A few of them find what the others miss; which, depends on the graph.
const TASTES: [(f64, f64); 6] = [(0.15, 0.0), (0.15, 0.01), (0.15, 0.03), (0.2, 0.03), (0.1, 0.01), (0.1, 0.0)];
/// What budgets are multiples of, milliseconds.
const STEPS: [Millis; 4] = [15_000, 5_000, 10_000, 7_000];
/// Choices in all.
const RUNS: u64 = 12;

/// Elementary steps of choosing and filling waves, of packing components, and of refilling jobs.
const SEARCH_STEPS: u64 = 200_000_000;
const PACK_STEPS: u64 = 50_000_000;
const REFILL_STEPS: u64 = 120_000_000;

/// Waves are first sought in so many hundredths of the lower bound, which keeps the search from long budgets.
const BOUNDS: [Millis; 3] = [125, 200, 1_000];

/// The plan with the shortest waves found, for each of `spares` made longer by that part of it: longer waves need less job time. None where the allowed number of waves does not
/// suffice, or the budget of steps.
pub fn search(instance: &Instance, barrier: &Barrier, spares: &[f64]) -> Vec<Waves> {
    let columns = Columns::new(instance, &mut Scheduler::new(instance.problem));
    let mut filler = Filler::new(instance, &columns, barrier.runners, worth_steps(instance, SEARCH_STEPS));
    let Some(waves) = shortest(instance, barrier, &columns, &mut filler) else { return Vec::new() };
    spares.iter().map(|&spare| planned(instance, barrier, &columns, &waves, spare)).collect()
}

/// Puts what waves build into jobs.
fn planned(instance: &Instance, barrier: &Barrier, columns: &Columns, waves: &[Wave], spare: f64) -> Waves {
    let mut jobs = WaveJobs::new(instance, &columns.work, waves, worth_steps(instance, PACK_STEPS));
    let sum: Millis = waves.iter().map(|wave| wave.length + instance.start_up + barrier.queue).sum();
    jobs.lengthen((sum as f64 * spare) as Millis);
    jobs.pack();
    jobs.steps = Steps::new(worth_steps(instance, REFILL_STEPS));
    jobs.refill(barrier.runners);
    jobs.steps = Steps::new(worth_steps(instance, PACK_STEPS));
    jobs.pack();
    let job_of = |unit: usize| &jobs.list[jobs.of_unit[unit] as usize];
    let units = || 0..instance.units.len();
    Waves {
        owner: units().map(|unit| job_of(unit).units[0]).collect(),
        wave: units().map(|unit| job_of(unit).wave).collect(),
        makespan: jobs.makespan(barrier.queue, barrier.runners),
        job_time: jobs.total(),
    }
}

/// The waves with the shortest sum, where packed jobs find runners.
fn shortest(instance: &Instance, barrier: &Barrier, columns: &Columns, filler: &mut Filler) -> Option<Vec<Wave>> {
    let least = lower_bound(instance.problem, instance.model);
    let each = instance.start_up + barrier.queue;
    for bound in BOUNDS {
        let mut most = least.saturating_mul(bound) / 100 + barrier.waves as Millis * each;
        let mut best = None;
        for run in 0..RUNS {
            if filler.steps.exhausted() {
                break;
            }
            let (waiting, front) = TASTES[run as usize % TASTES.len()];
            let taste = Taste { waiting, front, step: STEPS[run as usize % STEPS.len()] };
            let Some(waves) = Beam { instance, barrier, columns, taste }.search(filler, most) else { continue };
            let mut jobs = WaveJobs::new(instance, &columns.work, &waves, worth_steps(instance, PACK_STEPS));
            jobs.pack();
            let sum: Millis = waves.iter().map(|wave| wave.length + each).sum();
            // Refilling takes away most of what is too much for the runners.
            let crowded = jobs.makespan(barrier.queue, barrier.runners).saturating_sub(sum) / 8;
            if sum + crowded < most {
                most = sum + crowded;
                best = Some(waves);
            }
        }
        if best.is_some() || filler.steps.exhausted() {
            return best;
        }
    }
    None
}
