//! Ruin and recreate: takes a few badly filled jobs apart and puts their units where they add least, in any wave between their inputs and their consumers.
//!
//! In: jobs in waves. Out: the same waves with less job time. What is not better is undone.

use std::cmp::Reverse;

use super::jobs::{WaveJob, WaveJobs};
use crate::plan::model::Granularity;
use crate::plan::partition::jobs::compatible_systems;
use crate::plan::partition::units::Unit;
use crate::plan::partition::zero::mix;
use crate::plan::problem::Millis;

/// A job beyond the runners of its wave costs this much, milliseconds: it waits for another one's end.
const CROWDED: Millis = 400_000;

/// More units than this are not taken apart at once.
const MOST_UNITS: usize = 250;

/// Jobs of a wave that units are tried in.
const TRIED: usize = 10;

/// The job of a unit that was taken out and has no place yet.
const TAKEN: u32 = u32::MAX;

/// Repeatable chance.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) % end.max(1) as u64) as usize
    }
}

/// One end of the waves that units may go to, and the job that they have to share there.
#[derive(Clone, Copy, Default)]
struct Bound {
    wave: usize,
    job: Option<usize>,
}

/// Where units add `added` milliseconds: in a wave, by themselves or in a job, which then takes as long as stands beside it.
struct Place {
    added: Millis,
    wave: usize,
    into: Option<(usize, Millis)>,
}

/// The search.
struct Refill<'a, 'b> {
    jobs: &'a mut WaveJobs<'b>,
    /// Machines for one wave.
    runners: usize,
    random: Random,
    /// The jobs of each wave, and those made in this round.
    by_wave: Vec<Vec<usize>>,
    made: Vec<Vec<usize>>,
    /// How many jobs each wave has.
    count: Vec<usize>,
    /// For each unit that was taken out, the last wave that its consumers allow; none where there is none.
    latest: Vec<Option<Bound>>,
    /// Jobs that a unit may go to, with what that adds at least, for a moment.
    near: Vec<(Millis, usize)>,
}

impl WaveJobs<'_> {
    /// Takes jobs apart and puts them together again until the budget of steps is used up.
    pub fn refill(&mut self, runners: usize) {
        let by_wave = self.by_wave();
        let mut refill = Refill {
            runners,
            random: Random(1),
            made: vec![Vec::new(); by_wave.len()],
            count: Vec::new(),
            latest: vec![None; self.of_unit.len()],
            near: Vec::new(),
            by_wave,
            jobs: self,
        };
        while !refill.jobs.steps.exhausted() {
            let Some(ruined) = refill.chosen() else { return };
            refill.jobs.steps.take(100);
            refill.recreate(&ruined);
        }
    }
}

impl Refill<'_, '_> {
    /// One to four neighbouring jobs, the first badly filled.
    fn chosen(&mut self) -> Option<Vec<usize>> {
        let all: usize = self.by_wave.iter().map(Vec::len).sum();
        if all < 2 {
            return None;
        }
        let drawn: Vec<usize> = (0..3).map(|_| self.random.below(all)).collect();
        let drawn = drawn.into_iter().filter_map(|index| self.by_wave.iter().flatten().nth(index).copied());
        let filled = |job: usize| {
            let state = &self.jobs.list[job];
            state.work as f64 / (self.jobs.instance.start_up + state.length) as f64
        };
        let first = drawn.min_by(|&a, &b| filled(a).total_cmp(&filled(b)))?;
        let mut ruined = vec![first];
        let wanted = 1 + self.random.below(4);
        for _ in 0..12 {
            if ruined.len() >= wanted {
                break;
            }
            let other = if self.random.below(2) == 0 {
                let same = &self.by_wave[self.jobs.list[first].wave];
                same[self.random.below(same.len())]
            } else {
                let job = &self.jobs.list[ruined[self.random.below(ruined.len())]];
                let unit = job.units[self.random.below(job.units.len())];
                let units = self.jobs.instance.units;
                let (inputs, consumers) = (units.inputs.of(unit), units.consumers.of(unit));
                let at = self.random.below(inputs.len() + consumers.len());
                let Some(&neighbour) = inputs.iter().chain(consumers).nth(at) else { continue };
                self.jobs.of_unit[neighbour as usize] as usize
            };
            if !ruined.contains(&other) {
                ruined.push(other);
            }
        }
        Some(ruined)
    }

    /// Takes the jobs apart and puts their units back; undoes it where that costs more.
    fn recreate(&mut self, ruined: &[usize]) {
        let start_up = self.jobs.instance.start_up;
        let mut units: Vec<Unit> = ruined.iter().flat_map(|&job| self.jobs.list[job].units.iter().copied()).collect();
        if units.len() > MOST_UNITS {
            return;
        }
        self.jobs.steps.take(20 * units.len());
        units.sort_unstable();
        self.count = self.by_wave.iter().map(Vec::len).collect();
        let lengths: Millis = ruined.iter().map(|&job| start_up + self.jobs.list[job].length).sum();
        let before = lengths + self.crowded();
        let mut saved: Vec<(usize, WaveJob)> = Vec::new();
        for &job in ruined {
            self.count[self.jobs.list[job].wave] -= 1;
            saved.push((job, std::mem::take(&mut self.jobs.list[job])));
        }
        for &unit in &units {
            self.jobs.of_unit[unit as usize] = TAKEN;
        }
        let old = self.jobs.list.len();
        for jobs in &mut self.made {
            jobs.clear();
        }
        let groups = self.groups(&units);
        self.set_latest(&units);
        let mut after = self.crowded();
        let placed = groups.into_iter().all(|group| {
            let Some((first, last)) = self.window(&group) else { return false };
            let group = self.jobs.made(group, first.wave);
            let Some(place) = self.cheapest(&group, first, last) else { return false };
            after += place.added;
            if after > before {
                return false;
            }
            if let Some((job, length)) = place.into {
                let kept = self.jobs.add(job, &group, length);
                if job < old && !saved.iter().any(|&(other, _)| other == job) {
                    saved.push((job, kept));
                }
            } else {
                self.count[place.wave] += 1;
                let job = self.jobs.push(WaveJob { wave: place.wave, ..group });
                self.made[place.wave].push(job);
            }
            true
        });
        if placed {
            for (jobs, made) in self.by_wave.iter_mut().zip(&self.made) {
                jobs.retain(|job| !ruined.contains(job));
                jobs.extend(made);
            }
            return;
        }
        self.jobs.list.truncate(old);
        for (job, state) in saved {
            for &unit in &state.units {
                self.jobs.of_unit[unit as usize] = job as u32;
            }
            self.jobs.list[job] = state;
        }
    }

    /// What jobs beyond the runners cost, milliseconds.
    fn crowded(&self) -> Millis {
        self.count.iter().map(|&jobs| jobs.saturating_sub(self.runners) as Millis * CROWDED).sum()
    }

    /// The units one by one, or those together that are connected and may share a job.
    fn groups(&mut self, units: &[Unit]) -> Vec<Vec<Unit>> {
        if self.random.below(2) == 0 {
            return units.iter().map(|&unit| vec![unit]).collect();
        }
        let instance = self.jobs.instance;
        let all = instance.units;
        let mut root: Vec<usize> = (0..units.len()).collect();
        for (index, &unit) in units.iter().enumerate() {
            for input in all.inputs.of(unit) {
                if let Ok(input) = units.binary_search(input) {
                    let (a, b) = (root[index], root[input]);
                    for other in root[..=index].iter_mut().filter(|other| **other == a.max(b)) {
                        *other = a.min(b);
                    }
                }
            }
        }
        let mut connected: Vec<Vec<Unit>> = vec![Vec::new(); units.len()];
        for (index, &unit) in units.iter().enumerate() {
            connected[root[index]].push(unit);
        }
        let may_share = |group: &Vec<Unit>| {
            let system = group.iter().map(|&unit| all.system[unit as usize]).min().unwrap_or_default();
            let targets: u32 = group.iter().map(|&unit| all.targets[unit as usize]).sum();
            group.iter().all(|&unit| compatible_systems(all.system[unit as usize], system))
                && (targets <= 1 || instance.options.granularity != Granularity::Target)
        };
        let mut groups = Vec::new();
        for group in connected.into_iter().filter(|group| !group.is_empty()) {
            if may_share(&group) {
                groups.push(group);
            } else {
                groups.extend(group.into_iter().map(|unit| vec![unit]));
            }
        }
        if self.random.below(2) == 0 {
            groups.sort_by_key(|group| (Reverse(group.len()), group[0]));
        } else {
            groups.sort_by_key(|group| group[0]);
        }
        groups
    }

    /// Sets the last wave that its consumers allow for each unit that was taken out.
    fn set_latest(&mut self, units: &[Unit]) {
        let end = Bound { wave: self.jobs.lengths.len() - 1, job: None };
        for &unit in units.iter().rev() {
            let mut latest = Some(end);
            for &consumer in self.jobs.instance.units.consumers.of(unit) {
                let bound = self.bound(consumer);
                latest = latest.zip(bound).and_then(|(latest, bound)| earlier(latest, bound));
            }
            self.latest[unit as usize] = latest;
        }
    }

    /// Where a unit stands, or the last wave in which it may.
    fn bound(&self, unit: Unit) -> Option<Bound> {
        match self.jobs.of_unit[unit as usize] {
            TAKEN => self.latest[unit as usize],
            job => Some(Bound { wave: self.jobs.list[job as usize].wave, job: Some(job as usize) }),
        }
    }

    /// The first and the last wave for units that go together; none where one of them has no place.
    fn window(&self, group: &[Unit]) -> Option<(Bound, Bound)> {
        let units = self.jobs.instance.units;
        let mut first = Bound::default();
        let mut last = Bound { wave: self.jobs.lengths.len() - 1, job: None };
        for &unit in group {
            // Inputs come before their consumers in every order of groups of one unit; a group's input that has no place yet restricts nothing but itself.
            for &input in units.inputs.of(unit) {
                if self.jobs.of_unit[input as usize] != TAKEN {
                    first = later(first, self.bound(input)?);
                }
            }
            for &consumer in units.consumers.of(unit) {
                if group.binary_search(&consumer).is_err() {
                    last = earlier(last, self.bound(consumer)?)?;
                }
            }
        }
        (first.wave <= last.wave).then_some((first, last))
    }

    /// The place where the units add least, between two waves.
    fn cheapest(&mut self, group: &WaveJob, first: Bound, last: Bound) -> Option<Place> {
        let mut best: Option<Place> = None;
        for wave in first.wave..=last.wave {
            let below = first.job.filter(|_| wave == first.wave);
            let above = last.job.filter(|_| wave == last.wave);
            let most = self.jobs.lengths[wave];
            let tried: Vec<usize> = match (below, above) {
                (Some(below), Some(above)) if below != above => continue,
                (Some(job), _) | (None, Some(job)) => vec![job],
                (None, None) => {
                    let crowded = if self.count[wave] >= self.runners { CROWDED } else { 0 };
                    let added = self.jobs.instance.start_up + group.length + crowded;
                    if group.length <= most && added < best.as_ref().map_or(Millis::MAX, |best| best.added) {
                        best = Some(Place { added, wave, into: None });
                    }
                    let jobs = &self.by_wave[wave];
                    let few = jobs.len() <= TRIED;
                    let some = (0..TRIED.min(jobs.len()))
                        .map(|index| jobs[if few { index } else { self.random.below(jobs.len()) }]);
                    some.chain(self.made[wave].iter().copied()).collect()
                }
            };
            // What may add least comes first: then the others need not be looked at closely.
            self.near.clear();
            for job in tried {
                let other = &self.jobs.list[job];
                if !other.units.is_empty() && self.jobs.compatible(other, group) {
                    let least = self.jobs.least(other, group);
                    if least <= most {
                        self.near.push((least - other.length, job));
                    }
                }
            }
            self.near.sort_unstable();
            for &(least, job) in &self.near {
                let added = best.as_ref().map_or(Millis::MAX, |best| best.added);
                if least >= added {
                    break;
                }
                let before = self.jobs.list[job].length;
                let most = most.min(before.saturating_add(added - 1));
                if let Some(length) = self.jobs.length_of_both(job, group, most) {
                    best = Some(Place { added: length.saturating_sub(before), wave, into: Some((job, length)) });
                }
            }
        }
        best
    }
}

/// What keeps to both last waves; none where two jobs of the first wave ask for the same unit.
fn earlier(a: Bound, b: Bound) -> Option<Bound> {
    if a.wave != b.wave {
        return Some(if a.wave < b.wave { a } else { b });
    }
    match (a.job, b.job) {
        (Some(one), Some(other)) if one != other => Some(Bound { wave: a.wave.checked_sub(1)?, job: None }),
        (one, other) => Some(Bound { wave: a.wave, job: one.or(other) }),
    }
}

/// What keeps to both first waves: after two jobs of one wave comes the next.
fn later(a: Bound, b: Bound) -> Bound {
    if a.wave != b.wave {
        return if a.wave > b.wave { a } else { b };
    }
    match (a.job, b.job) {
        (Some(one), Some(other)) if one != other => Bound { wave: a.wave + 1, job: None },
        (one, other) => Bound { wave: a.wave, job: one.or(other) },
    }
}
