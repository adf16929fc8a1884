//! One worker: what it does next, by what the store has answered so far.
//!
//! In: the [`Tasks`], answers of the store, ends of its own builds, suspicions. Out: one [`Step`] at a time. Rules, each for a reason that docs/workers.md gives:
//! 1. A build begins only with a claim that the store has said is this worker's. An answer that was lost is not one: the claim is made again, and read where it is there then.
//! 2. Before a result is left, its claim is read once more: of two that the store has answered "created" the one that the claim names goes on.
//! 3. A result counts only where the claim names the worker that left it. Builds take counted inputs alone.
//! 4. Results are left in the order of their numbers: what a result refers to is there before it.
//! 5. A claim whose owner is taken for dead and has left nothing is followed by another claim, never replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{Name, Outcome};
use super::tasks::{Attempt, Leaving, Task, Tasks, WorkerNumber};
use super::view::{Left, View};

/// What a worker asks of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// All names.
    List,
    /// Make a claim, if there is none of this name, with the worker's number in it.
    Claim(Task, Attempt),
    /// Read whose a claim is.
    Owner(Task, Attempt),
    /// Leave the result of a task, with what it has built.
    Leave(Task, Left),
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The names; those that were made lately may be missing.
    Listed(Vec<Name>),
    /// It was made now.
    Created,
    /// It was there before.
    Taken,
    /// Nothing was made, and whether somebody else has made it is open: to be asked again.
    AskAgain,
    /// Nobody knows whether it was made: a time limit, a connection that broke.
    Lost,
    /// Whose the claim is; none where the store does not show it (yet).
    Owner(Option<WorkerNumber>),
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Ask the store, and say what it answered.
    Ask(Request),
    /// Fetch the inputs and begin to build, beside whatever else is being built; say how it ends.
    Build(Task),
    /// Nothing, until a build ends or until it is time to look again.
    Wait,
    /// The end.
    Leave,
}

/// How far a worker is with a task that it has taken, or is about to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// The claim is to be made. An answer may have been lost: then it may be there, and be this worker's.
    Claiming { lost: bool },
    /// There is a claim, and it may be this worker's.
    Reading,
    /// It is.
    Claimed,
    /// A build is on.
    Building,
    /// It has ended; is the claim still this worker's?
    Confirming(Outcome),
    /// Its result is to be left.
    Leaving(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Taken {
    attempt: Attempt,
    phase: Phase,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    number: WorkerNumber,
    views: Vec<View>,
    taken: BTreeMap<Task, Taken>,
    suspects: BTreeSet<WorkerNumber>,
    /// True where the last listing is as new as a choice needs.
    has_listed: bool,
    /// True where it takes nothing more: it could not say what becomes of it.
    is_full: bool,
    /// Builds that do not count since another worker has the claim.
    dropped: u32,
}

impl Worker {
    /// A worker that has just started.
    pub fn new(number: WorkerNumber, tasks: &Tasks) -> Self {
        Self {
            number,
            views: vec![View::default(); tasks.len()],
            taken: BTreeMap::new(),
            suspects: BTreeSet::new(),
            has_listed: false,
            is_full: false,
            dropped: 0,
        }
    }

    /// What it has built in vain.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// What it knows of a task.
    pub fn view(&self, task: Task) -> &View {
        &self.views[task as usize]
    }

    /// Instead of a claim that was to be made: it takes nothing more, and leaves when what it has begun has ended.
    pub fn cannot_claim(&mut self) {
        self.is_full = true;
        // One that was made after all is that of a worker which has left: others build it.
        self.taken.retain(|_, taken| !matches!(taken.phase, Phase::Claiming { .. }));
    }

    /// It is time to look again.
    pub fn wake(&mut self) {
        self.has_listed = false;
    }

    /// Another worker is taken for dead. It may be wrong: that costs a build, and nothing else.
    pub fn suspect(&mut self, worker: WorkerNumber) {
        if worker != self.number {
            self.suspects.insert(worker);
        }
    }

    /// A worker that was taken for dead has shown itself.
    pub fn trust(&mut self, worker: WorkerNumber) {
        self.suspects.remove(&worker);
    }

    /// A build has ended.
    pub fn ended(&mut self, task: Task, outcome: Outcome) {
        if let Some(taken) = self.taken.get_mut(&task).filter(|taken| taken.phase == Phase::Building) {
            taken.phase = Phase::Confirming(outcome);
        }
        self.wake();
    }

    /// The next step. Until it is done and answered, the same one.
    pub fn step(&mut self, tasks: &Tasks) -> Step {
        if let Some(step) = self.go_on() {
            return step;
        }
        if !self.has_listed {
            return Step::Ask(Request::List);
        }
        let building = self.taken.values().filter(|taken| taken.phase == Phase::Building).count();
        let is_free = building < tasks.slots.max(1) && !self.is_full && !self.opens(tasks);
        if let Some(request) = is_free.then(|| self.choose(tasks)).flatten() {
            if let Request::Claim(task, attempt) = request {
                self.taken.insert(task, Taken { attempt, phase: Phase::Claiming { lost: false } });
            }
            return Step::Ask(request);
        }
        if self.taken.is_empty() && (self.is_full || self.may_leave(tasks)) {
            return Step::Leave;
        }
        self.read_owner(tasks).map_or(Step::Wait, Step::Ask)
    }

    /// Goes on with what was taken: what is nearest to its end first, then the smaller number.
    fn go_on(&mut self) -> Option<Step> {
        let number = self.number;
        let left = |taken: &Taken, outcome| Left { attempt: taken.attempt, worker: number, outcome };
        let asked = |(task, taken): (&Task, &Taken)| match taken.phase {
            Phase::Leaving(outcome) => Some((0, *task, Request::Leave(*task, left(taken, outcome)))),
            Phase::Confirming(_) => Some((1, *task, Request::Owner(*task, taken.attempt))),
            Phase::Reading => Some((2, *task, Request::Owner(*task, taken.attempt))),
            Phase::Claiming { .. } => Some((2, *task, Request::Claim(*task, taken.attempt))),
            Phase::Claimed | Phase::Building => None,
        };
        if let Some((&task, taken)) = self.taken.iter_mut().find(|(_, taken)| taken.phase == Phase::Claimed) {
            taken.phase = Phase::Building;
            return Some(Step::Build(task));
        }
        let next = self.taken.iter().filter_map(asked).min_by_key(|(rank, task, _)| (*rank, *task));
        next.map(|(_, _, request)| Step::Ask(request))
    }

    /// The task to take: of its own lane first, the longest path first; else one whose owner is taken for dead. A result that it would be built
    /// with, and that was only listed, is to be looked at before.
    fn choose(&self, tasks: &Tasks) -> Option<Request> {
        let input_is_there = |input: &Task| self.views[*input as usize].outcome() == Some(Outcome::Built);
        let attempt = |task: Task| {
            let view = &self.views[task as usize];
            let is_lost = view.last_owner().is_some_and(|owner| self.suspects.contains(&owner));
            let may = view.claims() == 0 || (is_lost && view.claims() < tasks.attempts);
            let is_open = may && view.outcome().is_none() && !self.taken.contains_key(&task);
            (is_open && tasks.can_build(self.number, task)).then(|| view.claims())
        };
        let ready = tasks
            .all()
            .filter(|&task| attempt(task).is_some() && tasks.inputs[task as usize].iter().all(input_is_there));
        let task = ready.max_by_key(|&task| {
            let is_own = tasks.lane.get(task as usize) == Some(&self.number);
            let tail = tasks.tail.get(task as usize).copied().unwrap_or(0);
            (attempt(task) == Some(0), is_own, tail, std::cmp::Reverse(task))
        })?;
        let unread = |&input: &Task| Some(Request::Owner(input, self.views[input as usize].unread()?));
        let look = tasks.inputs[task as usize].iter().find_map(unread);
        look.or_else(|| Some(Request::Claim(task, attempt(task)?)))
    }

    fn leaving(&self, tasks: &Tasks) -> Leaving {
        tasks.leaving.get(self.number as usize).copied().unwrap_or_default()
    }

    /// True for a worker that takes nothing more, since others are to start.
    fn opens(&self, tasks: &Tasks) -> bool {
        matches!(self.leaving(tasks), Leaving::Opening(count) if count_of(&self.settled(tasks)) >= count)
    }

    /// True where nothing can become ready for this worker, and where the plan expects it to take no more.
    fn may_leave(&self, tasks: &Tasks) -> bool {
        let settled = self.settled(tasks);
        let is_over = || tasks.all().all(|task| settled[task as usize] || !tasks.can_build(self.number, task));
        match self.leaving(tasks) {
            Leaving::AtTheEnd => is_over(),
            Leaving::WithoutWork(count) | Leaving::Opening(count) => count_of(&settled) >= count || is_over(),
        }
    }

    /// For each task, whether it has a result, needs one that has failed, or has been given up.
    fn settled(&self, tasks: &Tasks) -> Vec<bool> {
        let mut is_over = vec![false; tasks.len()];
        let mut settled = vec![false; tasks.len()];
        for task in tasks.all() {
            let view = &self.views[task as usize];
            let is_suspected = view.last_owner().is_some_and(|owner| self.suspects.contains(&owner));
            let is_given_up = view.outcome().is_none() && view.claims() >= tasks.attempts && is_suspected;
            let is_blocked = tasks.inputs[task as usize].iter().any(|&input| is_over[input as usize]);
            is_over[task as usize] = is_blocked || is_given_up || view.outcome() == Some(Outcome::Failed);
            settled[task as usize] = is_over[task as usize] || view.outcome().is_some();
        }
        settled
    }

    /// How many tasks are settled.
    pub fn settled_count(&self, tasks: &Tasks) -> u32 {
        count_of(&self.settled(tasks))
    }

    /// The tasks that could be built now, where all of them need machines of other kinds: nothing goes on without those. None where one can be built on a machine like this.
    pub fn awaited(&self, tasks: &Tasks) -> Vec<Task> {
        let settled = self.settled(tasks);
        let is_ready = |task: &Task| {
            let inputs = &tasks.inputs[*task as usize];
            !settled[*task as usize] && inputs.iter().all(|&input| settled[input as usize])
        };
        let ready: Vec<Task> = tasks.all().filter(is_ready).collect();
        let is_own = ready.iter().any(|&task| tasks.can_build(self.number, task));
        if is_own { Vec::new() } else { ready }
    }

    /// The tasks that have failed, and that nobody has built.
    pub fn failed(&self) -> Vec<Task> {
        let views = (0..).zip(&self.views);
        views.filter(|(_, view)| view.outcome() == Some(Outcome::Failed)).map(|(task, _)| task).collect()
    }

    /// A claim without a result whose owner is not known: it is read while there is nothing else to do, since it may have to be taken over.
    fn read_owner(&self, tasks: &Tasks) -> Option<Request> {
        let is_open = |task: &Task| {
            let view = &self.views[*task as usize];
            view.claims() > 0
                && view.last_owner().is_none()
                && view.outcome().is_none()
                && !self.taken.contains_key(task)
                && tasks.can_build(self.number, *task)
        };
        let task = tasks.all().find(is_open)?;
        Some(Request::Owner(task, self.views[task as usize].claims() - 1))
    }

    /// The store has answered.
    pub fn answered(&mut self, request: Request, answer: Answer) {
        match (request, answer) {
            (Request::List, Answer::Listed(names)) => self.listed(&names),
            (Request::Claim(task, _), answer) => self.claim_answered(task, &answer),
            (Request::Owner(task, attempt), Answer::Owner(Some(owner))) => self.owner_read(task, attempt, owner),
            // What this worker may itself have made is asked for again.
            (Request::Owner(task, attempt), Answer::Owner(None)) => {
                if self.taken.get(&task).is_none_or(|taken| taken.attempt != attempt) {
                    self.views[task as usize].not_found(attempt);
                }
            }
            // The name has this worker's number in it: whoever says that it is taken means an answer that was lost.
            (Request::Leave(task, _), Answer::Created | Answer::Taken) => {
                self.taken.remove(&task);
            }
            (Request::Leave(..) | Request::Owner(..) | Request::List, _) => {}
        }
    }

    fn listed(&mut self, names: &[Name]) {
        self.has_listed = true;
        for name in names {
            match *name {
                Name::Claim(task, attempt) => self.views[task as usize].claimed(attempt),
                Name::Result(task, attempt, worker, outcome) => {
                    self.views[task as usize].left(Left { attempt, worker, outcome });
                }
            }
        }
    }

    fn claim_answered(&mut self, task: Task, answer: &Answer) {
        let Some(taken) = self.taken.get_mut(&task) else { return };
        let Phase::Claiming { lost } = taken.phase else { return };
        match answer {
            Answer::Created => taken.phase = Phase::Claimed,
            Answer::Lost => taken.phase = Phase::Claiming { lost: true },
            Answer::Taken if lost => taken.phase = Phase::Reading,
            Answer::Taken => {
                self.views[task as usize].claimed(taken.attempt);
                self.taken.remove(&task);
            }
            Answer::AskAgain | Answer::Listed(_) | Answer::Owner(_) => {}
        }
    }

    fn owner_read(&mut self, task: Task, attempt: Attempt, owner: WorkerNumber) {
        let view = &mut self.views[task as usize];
        view.owned(attempt, owner);
        let Some(taken) = self.taken.get_mut(&task).filter(|taken| taken.attempt == attempt) else { return };
        match taken.phase {
            Phase::Reading if owner == self.number => taken.phase = Phase::Claimed,
            Phase::Confirming(outcome) if owner == self.number => {
                view.left(Left { attempt, worker: owner, outcome });
                taken.phase = Phase::Leaving(outcome);
            }
            Phase::Confirming(_) => {
                self.dropped += 1;
                self.taken.remove(&task);
            }
            Phase::Reading => {
                self.taken.remove(&task);
            }
            Phase::Claiming { .. } | Phase::Claimed | Phase::Building | Phase::Leaving(_) => {}
        }
    }
}

/// How many are true.
fn count_of(all: &[bool]) -> u32 {
    all.iter().filter(|&&one| one).count() as u32
}
