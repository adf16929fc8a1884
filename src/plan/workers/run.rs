//! Runs workers on paper.
//!
//! In: a [`Setting`]: work, crews, what a start and the protocol cost, lanes where there are some, a death where one is to happen. Out: an [`Outcome`].
//!
//! A worker with a free slot takes the ready unit with the longest path behind it: a ready unit is one whose inputs other workers have published, or that this worker has
//! itself. It looks when one of its builds ends, and at every poll. Of its own lane it takes first, unless what another lane has ready is more urgent by [`PATIENCE`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::crew::numbers;
use super::machine::{Machine, Start};
use super::setting::{Outcome, Setting};
use crate::plan::partition::units::Unit;
use crate::plan::problem::{ANY_SYSTEM, Millis, System};

/// How much longer the path behind a unit of another lane must be than that behind any of its own for a worker to take it, milliseconds: two
/// workers that look at the same time mostly try to claim different units.
const PATIENCE: Millis = 60_000;

/// Kinds of events, in the order in which those of one time happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A worker's build of a unit ends.
    Ended,
    /// Others see what it left.
    Published,
    /// A worker is ready to take its first unit.
    Up,
    /// A worker dies.
    Died,
    /// What a dead worker had claimed can be claimed again.
    Released,
    /// All workers look.
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Claimed(u32),
    Built(u32),
    Published,
}

/// What is ready, the longest path first, then the smaller number.
type Ready = BinaryHeap<(Millis, Reverse<Unit>)>;

struct Simulator<'a> {
    setting: Setting<'a>,
    state: Vec<State>,
    /// Inputs that are not built, and inputs that are not published.
    unbuilt: Vec<u32>,
    unpublished: Vec<u32>,
    /// The lane of each unit.
    lane: Vec<u32>,
    machines: Vec<Machine>,
    /// Ready for every worker, by kind of machine, that of anywhere last.
    ready: Vec<(System, Ready)>,
    /// Ready for every worker, by lane.
    in_lane: Vec<Ready>,
    /// Ready for the one worker that has what it needs.
    here: Vec<Ready>,
    /// True where something has become ready since the last poll.
    has_news: bool,
    events: BinaryHeap<Reverse<(Millis, Event, u32, Unit)>>,
    now: Millis,
    outcome: Outcome,
}

/// Runs the workers; none where they leave something that they could build, as after the death of the only worker of its kind.
pub fn run(setting: Setting) -> Option<Outcome> {
    let mut simulator = Simulator::new(setting);
    simulator.start();
    let total = setting.work.len();
    while simulator.outcome.ends.len() < total
        && let Some(Reverse((now, event, machine, unit))) = simulator.events.pop()
    {
        simulator.now = now;
        simulator.happens(event, machine as usize, unit);
    }
    (simulator.outcome.ends.len() == total).then(|| simulator.finish())
}

impl<'a> Simulator<'a> {
    fn new(setting: Setting<'a>) -> Self {
        let Setting { work, model, crews, lanes, .. } = setting;
        let leave_at = |worker: usize| lanes.map_or(u32::MAX, |lanes| lanes.leave_at[worker]);
        let mut first_of_crew = 0;
        let mut machines: Vec<Machine> = Vec::new();
        for (worker, (at, crew)) in numbers(crews).enumerate() {
            if at == 0 {
                first_of_crew = worker;
            }
            let mut machine = Machine::new(crew.system, model.capacity_of(crew.system), work.len());
            machine.leave_at = leave_at(worker);
            if crew.later > 0 && at == 0 {
                machine.opens_at = Some(crew.after);
            }
            if at >= crew.first as usize {
                machine.start = Start::After(first_of_crew);
            }
            machines.push(machine);
        }
        let mut systems: Vec<System> = crews.iter().map(|crew| crew.system).collect();
        systems.sort_unstable();
        systems.dedup();
        systems.retain(|&system| system != ANY_SYSTEM);
        systems.push(ANY_SYSTEM);
        let degree = |unit: usize| work.inputs.of(unit as Unit).len() as u32;
        let workers = machines.len();
        Self {
            state: vec![State::Waiting; work.len()],
            unbuilt: (0..work.len()).map(degree).collect(),
            unpublished: (0..work.len()).map(degree).collect(),
            lane: lanes.map_or_else(Vec::new, |lanes| lanes.of_unit(work)),
            ready: systems.into_iter().map(|system| (system, Ready::new())).collect(),
            in_lane: vec![Ready::new(); workers],
            here: vec![Ready::new(); workers],
            has_news: true,
            events: BinaryHeap::new(),
            now: 0,
            outcome: Outcome {
                taken: vec![Vec::new(); workers],
                done_at_last: vec![0; workers],
                first_taken: vec![None; workers],
                ..Outcome::default()
            },
            machines,
            setting,
        }
    }

    fn start(&mut self) {
        for unit in 0..self.setting.work.len() as Unit {
            if self.unpublished[unit as usize] == 0 {
                self.becomes_ready(unit);
            }
        }
        for worker in 0..self.machines.len() {
            if self.machines[worker].start == Start::AtOnce {
                self.request(worker);
            }
        }
        if let Some((worker, at)) = self.setting.death {
            self.events.push(Reverse((at, Event::Died, worker as u32, 0)));
        }
        self.events.push(Reverse((0, Event::Poll, 0, 0)));
    }

    fn request(&mut self, worker: usize) {
        self.machines[worker].begin = Some(self.now + self.setting.model.queue);
        let up = self.now + self.setting.model.queue + self.setting.model.start_up;
        self.events.push(Reverse((up, Event::Up, worker as u32, 0)));
    }

    fn happens(&mut self, event: Event, worker: usize, unit: Unit) {
        match event {
            Event::Ended => self.ended(worker, unit),
            Event::Published => self.published(worker, unit),
            Event::Up => {
                self.machines[worker].is_up = !self.machines[worker].is_gone();
                self.take(worker);
            }
            Event::Died => self.died(worker),
            Event::Released => self.released(worker),
            Event::Poll => self.poll(),
        }
    }

    fn ended(&mut self, worker: usize, unit: Unit) {
        if self.machines[worker].is_dead {
            return;
        }
        let Setting { work, model, costs, .. } = self.setting;
        self.machines[worker].release(work.memory[unit as usize]);
        self.machines[worker].have(unit);
        self.state[unit as usize] = State::Built(worker as u32);
        self.outcome.ends.push(self.now);
        let visible = self.now + costs.publish + model.hand_off * Millis::from(work.derivations[unit as usize]);
        self.events.push(Reverse((visible, Event::Published, worker as u32, unit)));
        for &consumer in work.consumers.of(unit) {
            self.unbuilt[consumer as usize] -= 1;
            if self.unbuilt[consumer as usize] == 0 && self.has_the_rest(worker, consumer) {
                self.here[worker].push((work.tail[consumer as usize], Reverse(consumer)));
            }
        }
        self.take(worker);
    }

    /// True where all inputs are published or were built by this worker, which can build the unit too.
    fn has_the_rest(&self, worker: usize, unit: Unit) -> bool {
        let work = self.setting.work;
        let has = |input: &Unit| match self.state[*input as usize] {
            State::Published => true,
            State::Built(by) => by == worker as u32,
            _ => false,
        };
        self.machines[worker].builds(work.system[unit as usize]) && work.inputs.of(unit).iter().all(has)
    }

    fn published(&mut self, worker: usize, unit: Unit) {
        if self.machines[worker].is_dead {
            return;
        }
        self.state[unit as usize] = State::Published;
        for &consumer in self.setting.work.consumers.of(unit) {
            self.unpublished[consumer as usize] -= 1;
            if self.unpublished[consumer as usize] == 0 && self.state[consumer as usize] == State::Waiting {
                self.becomes_ready(consumer);
            }
        }
    }

    fn becomes_ready(&mut self, unit: Unit) {
        self.has_news = true;
        let work = self.setting.work;
        let entry = (work.tail[unit as usize], Reverse(unit));
        let system = work.system[unit as usize];
        if let Some((_, ready)) = self.ready.iter_mut().find(|(kind, _)| *kind == system) {
            ready.push(entry);
        }
        if let Some(lane) = self.lane.get(unit as usize).and_then(|&lane| self.in_lane.get_mut(lane as usize)) {
            lane.push(entry);
        }
    }

    /// A worker takes units as long as it has free slots.
    fn take(&mut self, worker: usize) {
        let Setting { work, model, costs, .. } = self.setting;
        while self.machines[worker].is_free()
            && !self.opens(worker)
            && let Some(unit) = self.next(worker)
        {
            self.state[unit as usize] = State::Claimed(worker as u32);
            let machine = &mut self.machines[worker];
            machine.occupy(work.memory[unit as usize]);
            let missing = work.inputs.of(unit).iter().filter(|&&input| machine.have(input)).count() as Millis;
            let fetch = if missing > 0 { costs.fetch + model.fetch * missing } else { 0 };
            let end = self.now + costs.claim + fetch + work.duration[unit as usize];
            self.events.push(Reverse((end, Event::Ended, worker as u32, unit)));
            self.outcome.taken[worker].push(unit);
            self.outcome.first_taken[worker].get_or_insert(self.now);
            self.outcome.done_at_last[worker] = self.done();
        }
    }

    /// The unit that a worker takes next.
    fn next(&mut self, worker: usize) -> Option<Unit> {
        let Self { state, machines, ready, in_lane, here, setting, .. } = self;
        let machine = &machines[worker];
        let waits = |unit: Unit| state[unit as usize] == State::Waiting;
        let mut best: Option<(Millis, Reverse<Unit>)> = None;
        let ready = ready.iter_mut().filter(|(system, _)| machine.builds(*system)).map(|(_, ready)| ready);
        for (heap, ahead) in
            ready.map(|heap| (heap, 0)).chain([(&mut here[worker], PATIENCE), (&mut in_lane[worker], PATIENCE)])
        {
            while heap.peek().is_some_and(|(_, unit)| !waits(unit.0)) {
                heap.pop();
            }
            if let Some(&(tail, unit)) = heap.peek() {
                best = best.max(Some((tail + ahead, unit)));
            }
        }
        let unit = best?.1.0;
        // What finds too little memory waits for the builds beside it, and so does what is less urgent.
        machine.has_memory(setting.work.memory[unit as usize]).then_some(unit)
    }

    /// How many units are done.
    fn done(&self) -> u32 {
        self.outcome.ends.len() as u32
    }

    fn poll(&mut self) {
        if std::mem::take(&mut self.has_news) {
            for worker in 0..self.machines.len() {
                self.take(worker);
            }
        }
        for worker in 0..self.machines.len() {
            if self.machines[worker].is_idle() && self.may_leave(worker) {
                self.leaves(worker);
            }
        }
        // Without anything under way nothing changes any more.
        if !self.events.is_empty() {
            self.events.push(Reverse((self.now + self.setting.costs.poll, Event::Poll, 0, 0)));
        }
    }

    /// True for an opener whose count is reached, and for a worker that is not the last of its kind where it expects no more.
    fn may_leave(&self, worker: usize) -> bool {
        let machine = &self.machines[worker];
        let is_last = || {
            let alike = |other: &&Machine| other.system == machine.system && other.is_up && !other.is_gone();
            self.machines.iter().filter(alike).count() == 1
        };
        match machine.opens_at {
            Some(_) => self.opens(worker),
            None => self.done() >= machine.leave_at && !is_last(),
        }
    }

    /// True for an opener whose count is reached, and where the others know that one of its stage has died.
    fn opens(&self, worker: usize) -> bool {
        let machine = &self.machines[worker];
        machine.opens_at.is_some_and(|count| {
            let mut alike = self.machines.iter().filter(|other| other.system == machine.system);
            self.done() >= count || alike.any(|other| other.is_known_dead)
        })
    }

    fn leaves(&mut self, worker: usize) {
        self.machines[worker].end = Some(self.now);
        for other in 0..self.machines.len() {
            if self.machines[other].start == Start::After(worker) {
                self.request(other);
            }
        }
    }

    /// What it has not published is lost, and stays claimed until the others know.
    fn died(&mut self, worker: usize) {
        if self.machines[worker].is_gone() || self.machines[worker].begin.is_none() {
            return;
        }
        self.machines[worker].is_dead = true;
        self.leaves(worker);
        let release = self.now + self.setting.costs.silence;
        self.events.push(Reverse((release, Event::Released, worker as u32, 0)));
    }

    /// The others know of a death: what was claimed and not published can be claimed again.
    fn released(&mut self, worker: usize) {
        self.machines[worker].is_known_dead = true;
        let work = self.setting.work;
        let mut lost = 0;
        for unit in 0..work.len() as Unit {
            let state = self.state[unit as usize];
            if state == State::Built(worker as u32) {
                lost += 1;
                for &consumer in work.consumers.of(unit) {
                    self.unbuilt[consumer as usize] += 1;
                }
            }
            if state == State::Built(worker as u32) || state == State::Claimed(worker as u32) {
                self.state[unit as usize] = State::Waiting;
                self.outcome.begun_again += 1;
                if self.unpublished[unit as usize] == 0 {
                    self.becomes_ready(unit);
                }
            }
        }
        self.outcome.ends.truncate(self.outcome.ends.len() - lost);
    }

    fn finish(mut self) -> Outcome {
        let length = |machine: &Machine| match machine.begin {
            Some(begin) => machine.end.unwrap_or(self.now).saturating_sub(begin),
            None => 0,
        };
        self.outcome.lengths = self.machines.iter().map(length).collect();
        self.outcome.machine_time = self.outcome.lengths.iter().sum();
        self.outcome.makespan = self.now;
        self.outcome
    }
}
