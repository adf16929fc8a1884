//! Makes several plans and takes the best for the objective.
//!
//! In: what does not change during a search ([`Instance`]). Out: [`Candidate`], the jobs of the best plan and what is known about it. Each plan is run
//! on paper, with the provider's concurrency, before it is compared.

use std::ops::Range;

use super::context::Search;
use super::effort::{is_large, size, worth, worth_steps};
use super::jobs::{Instance, JobNumber, Jobs};
use super::marks::Marks;
use super::search::Refill;
use super::sweep::existing;
use super::units::{Unit, longest_paths};
use super::waves::{self, Barrier};
use super::zero::{EdgeOrder, Zeroing};
use crate::plan::model::{Granularity, Objective, PartitionOptions, Stage};
use crate::plan::problem::{Adjacency, Millis};
use crate::plan::simulate::{Load, Simulation, lower_bound, missing, run};

/// Shortening takes no more steps than this, whatever the graph: two seconds of one core. Real graphs of 10,000 derivations take half of it.
const MOST_STEPS: u64 = 400_000_000;

/// Each merge and refill takes no more than this.
const MOST_STAGE_STEPS: u64 = 150_000_000;

/// Merging the jobs of a giant's plan takes no more than this.
const GIANT_STEPS: u64 = 80_000_000;

/// How many jobs the longest path may have in plans that are made in rounds.
const PARTS: [Millis; 3] = [4, 8, 16];

/// Most waves that a free graph is planned in: chains of targets with a job each need many.
const WAVES: usize = 24;

/// About as many waves have good plans.
const GOOD_WAVES: Millis = 8;

/// What keeps waves few on a free graph, milliseconds a wave; and the most machines that one of them counts on.
const QUEUE: Millis = 15_000;
const RUNNERS: usize = 60;

/// How much is tried. It depends on the size of the graph in powers of two only, so that one derivation more changes nothing.
struct Effort {
    /// Orders in which critical edges are tried.
    starts: u64,
    /// Best starts that are shortened.
    shortened: usize,
    /// Rounds that shorten each of these.
    shorten: u32,
    /// Rounds that refill the best plan.
    refill: u32,
}

impl Effort {
    fn new(instance: &Instance) -> Self {
        let size = size(instance) as f64;
        let does = |stage| f64::from(u8::from(instance.does(stage)));
        let scaled = |per_size: f64, most: f64| (per_size / size).min(most);
        // Durations that can be trusted make the paths what they seem: then this search shortens plans by 0.4 %, which need 2 % more job time, and it takes as long as all the rest.
        let path = f64::from(u8::from(!is_large(instance) || !instance.options.trusts_durations()));
        Self {
            starts: ((scaled(110_000.0, worth(instance, 10).into()) * does(Stage::Orders) * path) as u64).max(1),
            shortened: (scaled(30_000.0, 2.0) as usize).max(1),
            shorten: (scaled(400_000.0, worth(instance, 70).into()) * does(Stage::Shorten) * path) as u32,
            refill: (scaled(900_000.0, worth(instance, 170).into()) * does(Stage::Refill)) as u32,
        }
    }
}

/// A plan among others.
#[derive(Clone, Default)]
pub struct Candidate {
    pub jobs: Jobs,
    pub makespan: Millis,
    pub job_time: Millis,
    /// Layers that all jobs attach, where these cost something.
    pub layers: u64,
    /// The deadline it was merged under, without limits of concurrency, milliseconds.
    pub deadline: Millis,
    /// Elementary steps that making it took.
    pub steps: u64,
}

/// The best plan for the objective.
pub fn search(instance: &Instance) -> Candidate {
    best_and_shortest(instance).0
}

/// The best plan for the objective, and the jobs of the one with the shortest longest path, from which others can be made.
pub fn best_and_shortest(instance: &Instance) -> (Candidate, Jobs) {
    if instance.giant {
        let choice = in_one_go(instance);
        return (choice.clone(), choice.jobs);
    }
    let mut search = Search::new(instance, worth_steps(instance, MOST_STEPS));
    let single = Jobs::singletons(instance, &mut search.scheduler);
    let mut starts = zeroed(&mut search, &single, 0..1);
    let in_waves = made_in_waves(&mut search, &starts[0].1);
    // Where most derivations take about as long as each other, waves are shorter than this, and what a search along the longest path finds then is longer or needs more job
    // time. Where a few take most of the time, as records show them to, the path is what counts. Small graphs hold surprises that are found at once, and the jobs of waves have
    // more ancestors, which may cost more than they save.
    let waves_alone = in_waves.iter().any(|(makespan, _)| *makespan <= starts[0].0)
        && is_large(instance)
        && !instance.model.ancestors_count();
    if waves_alone {
        starts.clear();
    } else {
        shortened(&mut search, &single, &mut starts);
    }
    finished(&mut search, &single, starts, in_waves, waves_alone)
}

/// The same with plans in waves and without them; once where there are none. What both have in common is done once, but for large graphs.
pub fn with_and_without_waves(instance: &Instance) -> Vec<(Candidate, Jobs)> {
    let takes_waves = takes_waves(instance);
    if !takes_waves || instance.giant || is_large(instance) {
        let without = PartitionOptions { without: Some(Stage::Waves), ..instance.options.clone() };
        let without = takes_waves.then(|| best_and_shortest(&Instance { options: &without, ..*instance }));
        return [best_and_shortest(instance)].into_iter().chain(without).collect();
    }
    let mut search = Search::new(instance, worth_steps(instance, MOST_STEPS));
    let single = Jobs::singletons(instance, &mut search.scheduler);
    let mut starts = zeroed(&mut search, &single, 0..1);
    let in_waves = made_in_waves(&mut search, &starts[0].1);
    shortened(&mut search, &single, &mut starts);
    let steps = search.steps.clone();
    let with = finished(&mut search, &single, starts.clone(), in_waves, false);
    search.steps = steps;
    vec![with, finished(&mut search, &single, starts, Vec::new(), false)]
}

/// Adds starts to the first one, and shortens the best of them; these come first. None is shorter than the longest path: one that is as short is left as it is.
fn shortened(search: &mut Search, single: &Jobs, starts: &mut Vec<(Millis, Jobs)>) {
    let instance = search.instance;
    let budget = Effort::new(instance);
    let (paths, _) = longest_paths(instance.problem);
    let least = instance.start_up + paths.into_iter().max().unwrap_or_default();
    if starts.iter().all(|(makespan, _)| *makespan > least) {
        starts.extend(zeroed(search, single, 1..budget.starts));
        starts.sort_by_key(|start| start.0);
    }
    for (index, (makespan, jobs)) in starts.iter_mut().take(budget.shortened).enumerate() {
        let rounds = (10 * jobs.count() as u32).min(budget.shorten);
        *makespan = search.shorten(jobs, rounds, index as u64, least);
    }
}

/// The best plan that comes of these starts and of jobs in waves, and the jobs of the shortest one. `waves_alone` says that there are no others.
fn finished(
    search: &mut Search,
    single: &Jobs,
    mut starts: Vec<(Millis, Jobs)>,
    in_waves: Vec<(Millis, Jobs)>,
    waves_alone: bool,
) -> (Candidate, Jobs) {
    let instance = search.instance;
    starts.extend(in_waves.iter().cloned());
    starts.sort_by_key(|start| start.0);
    let in_rounds = if search.steps.exhausted() { made_in_rounds(search, single) } else { Vec::new() };
    // Where the work keeps all machines busy for longer than the longest path takes, haste on a path gains nothing.
    let shortest = starts[0].0.max(lower_bound(instance.problem, instance.model));
    let reserve = instance.options.reserve.unwrap_or_else(|| instance.options.default_reserve());
    let factor = factor(instance.options.objective);

    let mut choices = in_rounds;
    choices.push(simulated(instance, single.clone(), shortest));
    let plain = choices.iter().map(|choice| choice.makespan).min().unwrap_or(0);
    choices.extend(in_waves.into_iter().map(|(makespan, jobs)| simulated(instance, jobs, shortest.max(makespan))));
    let deadline = ((shortest as f64 * factor) as Millis).max(instance.floor);
    let mut merged = starts[0].1.clone();
    search.steps.set_limit(search.steps.spent() + MOST_STAGE_STEPS);
    search.merge_all(&mut merged, deadline, reserve, 4);
    choices.push(simulated(instance, merged, deadline));
    let most = longest_allowed(&choices, plain, instance);
    let best = best(choices, most);
    let mut jobs = best.jobs.clone();
    if waves_alone || best.deadline < jobs.measure(instance).1 {
        return (Candidate { steps: search.steps.spent(), ..best }, starts.swap_remove(0).1);
    }
    search.steps.set_limit(search.steps.spent() + MOST_STAGE_STEPS);
    // Jobs that may take twice as long are twice as large, and take longer to look at.
    let rounds = (20 * jobs.count() as u32).min((f64::from(Effort::new(instance).refill) / factor) as u32);
    for (part, rounds) in shares(instance, rounds) {
        search.refill(&mut jobs, Refill { deadline: best.deadline, reserve, rounds, seed: 17, part });
    }
    let refilled = simulated(instance, jobs, best.deadline);
    let better = refilled.makespan <= most && refilled.job_time <= best.job_time;
    let choice = Candidate { steps: search.steps.spent(), ..if better { refilled } else { best } };
    (choice, starts.swap_remove(0).1)
}

/// Plans for waves, as jobs that start as soon as they can, with their makespans; none where these are longer than the objective allows beside the plan that there is already. Where
/// durations are guesses, waves are too tight: they are worth it only where job time counts more.
fn made_in_waves(search: &mut Search, start: &Jobs) -> Vec<(Millis, Jobs)> {
    let instance = search.instance;
    if !takes_waves(instance) {
        return Vec::new();
    }
    let factor = factor(instance.options.objective);
    let barrier = Barrier {
        waves: WAVES,
        queue: QUEUE,
        runners: instance.model.concurrency.min(RUNNERS),
        sharing: false,
        longest: (reachable(instance, start) as f64 * factor) as Millis + GOOD_WAVES * QUEUE,
    };
    // On a free graph a plan takes a little less than its waves do.
    let spare = (factor - 1.0) * 0.9;
    let plans = waves::search(instance, &barrier, &[0.0, spare]);
    let jobs = plans.into_iter().map(|plan| Jobs::from_owners(instance, &mut search.scheduler, &plan.owner));
    jobs.map(|mut jobs| (jobs.measure(instance).1, jobs)).collect()
}

/// True where plans for waves are made.
fn takes_waves(instance: &Instance) -> bool {
    let options = instance.options;
    let sharing = options.objective != Objective::Time && options.granularity == Granularity::Auto;
    instance.does(Stage::Waves) && (options.trusts_durations() || options.reserve.is_none() && sharing)
}

/// What a plan takes that jobs along the longest path lead to, milliseconds. So many small jobs may wait for machines: then for larger ones.
fn reachable(instance: &Instance, start: &Jobs) -> Millis {
    let mut jobs = start.clone();
    let path = jobs.measure(instance).1.max(lower_bound(instance.problem, instance.model));
    let makespan = simulated(instance, jobs.clone(), 0).makespan;
    if makespan <= path / 50 * 51 {
        return makespan;
    }
    Search::new(instance, worth_steps(instance, MOST_STAGE_STEPS)).merge_all(&mut jobs, path / 100 * 101, 0.0, 4);
    simulated(instance, jobs, 0).makespan.min(makespan)
}

/// The best of a few plans made in rounds, and of what merging the shortest one's jobs gives.
fn in_one_go(instance: &Instance) -> Candidate {
    let mut search = Search::new(instance, MOST_STEPS);
    let single = Jobs::singletons(instance, &mut search.scheduler);
    let mut choices = made_in_rounds(&mut search, &single);
    let jobs_allowed = instance.options.limits.jobs;
    let few = |choice: &Candidate| jobs_allowed.is_none_or(|most| choice.jobs.count() <= most);
    let mut shortest_first: Vec<&Candidate> = choices.iter().collect();
    shortest_first.sort_by_key(|choice| choice.makespan);
    // The shortest ones may have too many jobs until these are merged.
    let mut merged = Vec::new();
    for choice in &shortest_first {
        merged.push(with_jobs_merged(instance, choice));
        if few(choice) || merged.iter().any(few) {
            break;
        }
    }
    let plain = shortest_first.iter().find(|choice| few(choice)).or(shortest_first.first());
    let plain = plain.map_or(0, |choice| choice.makespan);
    choices.extend(merged);
    if choices.iter().any(few) {
        choices.retain(few);
    }
    let most = longest_allowed(&choices, plain, instance);
    let steps = choices.iter().map(|choice| choice.steps).sum();
    Candidate { steps, ..best(choices, most) }
}

/// A plan with its jobs merged while it takes no longer, or as much longer as the objective allows.
fn with_jobs_merged(instance: &Instance, choice: &Candidate) -> Candidate {
    // Layers make each job longer, and merging has to know.
    let extra = choice.layers * instance.model.layer / choice.jobs.count().max(1) as u64;
    let mut jobs = choice.jobs.clone();
    for job in jobs.list.iter_mut().filter(|job| !job.units.is_empty()) {
        job.start_up += extra;
        job.length += extra;
    }
    let instance = &Instance { start_up: instance.start_up + extra, ..*instance };
    let makespan = jobs.measure(instance).1.max(lower_bound(instance.problem, instance.model));
    let deadline = match instance.options.objective {
        Objective::Time | Objective::Balanced => makespan / 100 * 101,
        Objective::Cost => makespan / 2 * 3,
    }
    .max(instance.floor);
    let reserve = instance.options.reserve.unwrap_or_else(|| instance.options.default_reserve());
    let mut search = Search::new(instance, GIANT_STEPS);
    search.merge_all(&mut jobs, deadline, reserve, 4);
    Candidate { steps: search.steps.spent(), ..simulated(instance, jobs, deadline) }
}

/// Plans whose jobs may take the lower bound divided by each of [`PARTS`].
fn made_in_rounds(search: &mut Search, single: &Jobs) -> Vec<Candidate> {
    let instance = search.instance;
    let bound = lower_bound(instance.problem, instance.model);
    // A list schedule may take a good deal longer than its work and its longest path.
    let allowed = instance.options.limits.job_length.unwrap_or(Millis::MAX).saturating_sub(instance.start_up) / 7 * 4;
    let lengths = PARTS.iter().map(|parts| (bound / parts).min(allowed).max(1));
    lengths
        .map(|most| {
            let before = search.steps.spent();
            let jobs = search.in_rounds(single, most);
            Candidate { steps: search.steps.spent() - before, ..simulated(instance, jobs, 0) }
        })
        .collect()
}

/// Rounds for each connected part of the graph where parts stay apart (by size in powers of two: another part changes nothing), else for all together.
fn shares(instance: &Instance, rounds: u32) -> Vec<(Option<Unit>, u32)> {
    if instance.options.granularity != Granularity::Target {
        return vec![(None, rounds)];
    }
    let mut sizes = vec![0usize; instance.units.len()];
    for &part in &instance.units.component {
        sizes[part as usize] += 1;
    }
    let whole = instance.units.len().next_power_of_two() as u64;
    let share =
        |size: usize| (u64::from(rounds) * size.next_power_of_two() as u64 / whole).min(u64::from(rounds)) as u32;
    let parts = sizes.iter().enumerate().filter(|&(_, &size)| size > 1);
    parts.map(|(part, &size)| (Some(part as Unit), share(size))).filter(|&(_, rounds)| rounds > 0).collect()
}

/// How much longer than the shortest a plan may be.
pub fn factor(objective: Objective) -> f64 {
    match objective {
        // Less than any estimate is good for, and a good deal cheaper.
        Objective::Time => 1.01,
        Objective::Balanced => 1.15,
        Objective::Cost => 2.0,
    }
}

/// Zeroed plans from several orders of edges.
fn zeroed(search: &mut Search, single: &Jobs, orders: Range<u64>) -> Vec<(Millis, Jobs)> {
    let mut starts = Vec::new();
    for index in orders {
        let order = match index {
            0 => EdgeOrder::ShortestFirst,
            1 => EdgeOrder::FromStart,
            2 => EdgeOrder::FromEnd,
            seed => EdgeOrder::Shuffled(seed),
        };
        let mut jobs = single.clone();
        let zeroing = Zeroing { order, choices: 5, enough: 0, moves: usize::MAX };
        let makespan = search.zero(&mut jobs, zeroing);
        starts.push((makespan, jobs));
    }
    starts
}

/// Runs a plan on paper.
pub fn simulated(instance: &Instance, jobs: Jobs, deadline: Millis) -> Candidate {
    let simulation = simulate_jobs(instance, &jobs);
    Candidate {
        makespan: simulation.makespan,
        job_time: simulation.job_time,
        layers: simulation.layers,
        deadline,
        jobs,
        steps: 0,
    }
}

fn simulate_jobs(instance: &Instance, jobs: &Jobs) -> Simulation {
    let list: Vec<JobNumber> = existing(jobs).collect();
    let mut place = vec![0u32; jobs.list.len()];
    for (index, &job) in list.iter().enumerate() {
        place[job as usize] = index as u32;
    }
    let fetches = instance.model.fetch > 0 && !instance.model.whole_layers;
    let load = |&job: &JobNumber| {
        let state = &jobs.list[job as usize];
        Load {
            build: state.build(),
            owned: state.units.iter().map(|&unit| instance.units.owned.of(unit).len() as u64).sum(),
            missing: if fetches { missing(instance.problem, &state.tasks).len() as u64 } else { 0 },
        }
    };
    let loads: Vec<Load> = list.iter().map(load).collect();
    let mut marks = Marks::default();
    let inputs = Adjacency::from_lists(
        list.iter()
            .map(|&job| jobs.inputs(instance, &mut marks, job).iter().map(|&other| place[other as usize]).collect()),
    );
    run(&loads, &inputs, instance.model)
}

/// The longest makespan that the objective allows, milliseconds; for [`Objective::Time`] never more than that of a plain plan.
fn longest_allowed(choices: &[Candidate], plain: Millis, instance: &Instance) -> Millis {
    let objective = instance.options.objective;
    let shortest = choices.iter().map(|choice| choice.makespan).min().unwrap_or(0);
    let most = (shortest as f64 * factor(objective)) as Millis;
    if objective == Objective::Time { most.min(plain).max(instance.floor) } else { most.max(instance.floor) }
}

/// The least job time among the plans that take at most `most` milliseconds.
pub fn best(choices: Vec<Candidate>, most: Millis) -> Candidate {
    let key = |choice: &Candidate| (choice.makespan.saturating_sub(most), choice.job_time, choice.makespan);
    // The first of equals, and a plan with the shortest makespan is always short enough.
    choices.into_iter().min_by_key(key).unwrap_or_default()
}
