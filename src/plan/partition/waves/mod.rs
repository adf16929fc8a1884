//! Plans for waves: jobs of one wave start when all jobs of the waves before have ended.
//!
//! In: an [`Instance`], and what a wave costs ([`Barrier`]). Out: [`Waves`], which units share a job, and the wave of each job. Jobs of one wave exchange nothing, so the units of
//! a wave fall into weakly connected components, each of which is in one job: a wave takes as long as its longest component. How long each wave may be is searched by
//! [`beam`]; what fits into it is found by [`fill`]; where each target should have its own job, [`sharing`] says how many may share one after all; then components share jobs ([`jobs`]), and badly filled jobs are taken apart and put together again ([`refill`]).

mod barrier;
mod beam;
mod columns;
mod fill;
mod jobs;
mod refill;
mod sharing;

use super::effort::{is_large, worth_steps};
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
const TASTES: [(f64, f64); 7] =
    [(0.15, 0.0), (0.2, 0.03), (0.3, 0.01), (0.15, 0.01), (0.1, 0.0), (0.3, 0.03), (0.15, 0.03)];
/// What budgets are multiples of, milliseconds.
const STEPS: [Millis; 4] = [15_000, 5_000, 10_000, 7_000];
/// Choices in all; small graphs hold fewer surprises, and get a quarter.
const RUNS: u64 = 48;

/// Elementary steps of choosing and filling waves, of packing components, and of refilling jobs.
const SEARCH_STEPS: u64 = 200_000_000;
const PACK_STEPS: u64 = 50_000_000;
const REFILL_STEPS: u64 = 100_000_000;

/// Waves are first sought in so many hundredths of the lower bound, which keeps the search from long budgets; and the hundredths of all steps that are spent by then.
const BOUNDS: [(Millis, u64); 3] = [(125, 75), (200, 90), (1_000, 100)];

/// Tries without success after which the search for waves, or for better ones, ends.
const PATIENCE: u64 = 12;
/// The same for waves that have to be short to be of any use.
const HOPELESS: u64 = 4;
/// Lengths that are tried for waves that are alike, by halves of what is in question.
const ALIKE_TRIES: usize = 10;
/// How much longer the work of each unit may seem, where waves are filled in an order of their own.
const VARIED: [f64; 2] = [1.0, 0.3];
/// Where the orders of chance begin. Any number gives plans within 3 % of each other; of a dozen that were tried, this one gave the shortest for openssl in nixpkgs of 2026.
const SEED: u64 = 3;
/// Waves that are longer than others by so many hundredths may be better.
const LONGER: Millis = 101;
/// The power of job time in what waves cost: a per cent of it is worth this much of a per cent of their length.
const MACHINE: f64 = 0.1;

/// The plan of the best waves found, for each of `spares` made longer by that part of it: longer waves need less job time. The last of these is worth most of the search, the
/// others say how short plans are. None where the allowed number of waves does not
/// suffice, or the budget of steps.
pub fn search(instance: &Instance, barrier: &Barrier, spares: &[f64]) -> Vec<Waves> {
    let columns = Columns::new(instance, &mut Scheduler::new(instance.problem));
    let ways = sharing::ways(instance, barrier, &columns);
    let found = ways.iter().enumerate().find_map(|(at, &targets)| {
        let mut filler =
            Filler::new(instance, &columns, (barrier.runners, targets), worth_steps(instance, SEARCH_STEPS));
        // Where more may share, waves are shorter than any long ones.
        let bounds = if targets == 1 || at + 1 == ways.len() { &BOUNDS[..] } else { &BOUNDS[..1] };
        best(instance, barrier, &mut filler, bounds)
    });
    let found = found.or_else(|| {
        let targets = *ways.last().filter(|_| barrier.longest == Millis::MAX)?;
        alike(instance, barrier, &mut Filler::new(instance, &columns, (barrier.runners, targets), u64::MAX))
    });
    let Some(waves) = found else { return Vec::new() };
    let last = spares.len().saturating_sub(1);
    let steps = |at| if at == last { REFILL_STEPS } else { REFILL_STEPS / 4 };
    let plans = spares.iter().enumerate();
    plans.map(|(at, &spare)| planned(instance, barrier, &columns, &waves, (spare, steps(at)))).collect()
}

/// Puts what waves build into jobs.
fn planned(
    instance: &Instance,
    barrier: &Barrier,
    columns: &Columns,
    waves: &[Wave],
    (spare, refill_steps): (f64, u64),
) -> Waves {
    let mut jobs = WaveJobs::new(instance, &columns.work, waves, worth_steps(instance, PACK_STEPS));
    let sum: Millis = waves.iter().map(|wave| wave.length + instance.start_up + barrier.queue).sum();
    jobs.lengthen((sum as f64 * spare) as Millis);
    jobs.pack();
    jobs.steps = Steps::new(worth_steps(instance, refill_steps));
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

/// Waves that may all take as long as each other, where there are too few for better ones: the shortest with which they suffice, but for a few hundredths.
fn alike(instance: &Instance, barrier: &Barrier, filler: &mut Filler) -> Option<Vec<Wave>> {
    let columns = filler.columns;
    let mut waves = |length: Millis| {
        let mut done = vec![false; instance.units.len()];
        let mut waves = Vec::new();
        while waves.len() < barrier.waves && done.contains(&false) {
            let wave = filler.fill(&done, length, &columns.by_tail);
            wave.components.iter().flatten().for_each(|&unit| done[unit as usize] = true);
            waves.push(wave);
        }
        (!done.contains(&false)).then_some(waves)
    };
    let work: Millis = columns.work.iter().sum();
    let (mut short, mut long) = (1.0, work.min(instance.longest_build()).max(1) as f64);
    let mut best = waves(long as Millis)?;
    for _ in 0..ALIKE_TRIES {
        let middle = f64::sqrt(short * long);
        match waves(middle as Millis) {
            Some(found) => (best, long) = (found, middle),
            None => short = middle,
        }
    }
    Some(best)
}

/// The best waves found, judged by their sum, by what is left too much for the runners once jobs are packed, and by the job time.
fn best(instance: &Instance, barrier: &Barrier, filler: &mut Filler, bounds: &[(Millis, u64)]) -> Option<Vec<Wave>> {
    let columns = filler.columns;
    let least = lower_bound(instance.problem, instance.model);
    let each = instance.start_up + barrier.queue;
    let steps = worth_steps(instance, SEARCH_STEPS);
    for &(bound, share) in bounds {
        filler.steps.set_limit(steps / 100 * share);
        let allowed = least.saturating_mul(bound) / 100 + barrier.waves as Millis * each;
        let mut most = allowed.min(barrier.longest);
        let mut best: Option<(f64, Vec<Wave>)> = None;
        let binds = allowed >= barrier.longest;
        let mut patience = if binds { HOPELESS } else { PATIENCE };
        for run in 0..if is_large(instance) { RUNS } else { RUNS / 4 } {
            if filler.steps.exhausted() || patience == 0 {
                break;
            }
            patience -= 1;
            let (waiting, front) = TASTES[run as usize % TASTES.len()];
            let taste = Taste { waiting, front, step: STEPS[run as usize % STEPS.len()] };
            let varied =
                (run >= TASTES.len() as u64).then(|| columns.varied(instance, VARIED[run as usize % 2], SEED + run));
            let then = varied.as_deref().unwrap_or(&columns.by_tail);
            let found = Beam { instance, barrier, columns, taste, then }.search(filler, most);
            let Some(waves) = found else { continue };
            let sum: Millis = waves.iter().map(|wave| wave.length + each).sum();
            let mut jobs = WaveJobs::new(instance, &columns.work, &waves, worth_steps(instance, PACK_STEPS));
            jobs.pack();
            // Refilling takes away most of what is too much for the runners.
            let crowded = jobs.makespan(barrier.queue, barrier.runners).saturating_sub(sum) / 8;
            let cost = (sum + crowded) as f64 * (jobs.total() as f64).powf(MACHINE);
            if best.as_ref().is_none_or(|best| cost < best.0) {
                best = Some((cost, waves));
                patience = PATIENCE;
            }
            most = most.min((sum + crowded) / 100 * LONGER);
        }
        if let Some((_, waves)) = best {
            return Some(waves);
        }
        if binds {
            break;
        }
    }
    None
}
