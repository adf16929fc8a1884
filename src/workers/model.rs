//! A store and some workers, and everything that can happen to them next: for tests that try out all orders of events, or many.
//!
//! Faults are counted, each kind up to a limit: answers that are lost, listings and reads that are late, one claim that two workers win, deaths, workers
//! taken for dead that live, builds that fail, results that are forged. After each event what must always hold is checked.

use std::collections::BTreeSet;

use super::name::{Name, Outcome};
use super::tasks::{Attempt, Leaving, Task, Tasks, WorkerNumber};
use super::verdict::Verdict;
use super::view::Left;
use super::worker::{Answer, Request, Step, Worker};

/// How many faults of each kind may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Answers that are lost, and 409.
    pub lost: u8,
    /// Listings and reads that do not show what is there.
    pub late: u8,
    /// Claims that two workers win.
    pub twice: u8,
    /// Workers that die.
    pub deaths: u8,
    /// Workers that are taken for dead and live.
    pub suspicions: u8,
    /// Builds that fail.
    pub failures: u8,
    /// Results that somebody leaves who has no claim to the task.
    pub forged: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    Works,
    Left,
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Actor {
    worker: Worker,
    life: Life,
    building: BTreeSet<Task>,
    suspects: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    actors: Vec<Actor>,
    /// Whose each claim is, by task and attempt.
    claims: Vec<Vec<Option<WorkerNumber>>>,
    names: BTreeSet<Name>,
    pub faults: Faults,
    /// Builds that were begun, by task.
    pub begun: Vec<u8>,
    /// Faults that happened and can cost a build.
    excuses: u8,
    has_forged: bool,
    has_two_winners: bool,
}

impl World {
    pub fn new(tasks: &Tasks, faults: Faults) -> Self {
        let actor = |number| Actor {
            worker: Worker::new(number, tasks),
            life: Life::Works,
            building: BTreeSet::new(),
            suspects: BTreeSet::new(),
        };
        Self {
            actors: (0..tasks.workers).map(actor).collect(),
            claims: vec![vec![None; tasks.attempts.into()]; tasks.len()],
            names: BTreeSet::new(),
            faults,
            begun: vec![0; tasks.len()],
            excuses: 0,
            has_forged: false,
            has_two_winners: false,
        }
    }

    pub fn is_over(&self) -> bool {
        self.actors.iter().all(|actor| actor.life != Life::Works)
    }

    pub fn verdict(&self, tasks: &Tasks) -> Verdict {
        let names: Vec<Name> = self.names.iter().copied().collect();
        Verdict::new(tasks, &names, |task, attempt| self.claims[task as usize][usize::from(attempt)])
    }

    /// Every world that can come next.
    pub fn next(&self, tasks: &Tasks) -> Vec<Self> {
        let mut worlds = Vec::new();
        for at in 0..self.actors.len() {
            if self.actors[at].life == Life::Works {
                self.steps(at, tasks, &mut worlds);
                self.ends(at, &mut worlds);
                self.harm(at, &mut worlds);
                self.forge(at, tasks, &mut worlds);
            }
        }
        for world in &mut worlds {
            (0..world.actors.len()).for_each(|at| world.rest(at, tasks));
        }
        worlds
    }

    fn actor(&mut self, at: usize) -> &mut Actor {
        &mut self.actors[at]
    }

    /// The store answers what a worker has asked.
    fn steps(&self, at: usize, tasks: &Tasks, worlds: &mut Vec<Self>) {
        let mut world = self.clone();
        let Step::Ask(request) = world.actor(at).worker.step(tasks) else { panic!("not at rest: {self:#?}") };
        match request {
            Request::List => world.list(at, worlds),
            Request::Claim(task, attempt) => world.claim(at, (task, attempt), worlds),
            Request::Owner(task, attempt) => world.owner(at, (task, attempt), worlds),
            Request::Leave(task, left) => {
                world.check_inputs(at, task, tasks, true);
                world.leave(at, (task, left), worlds);
            }
        }
    }

    /// Goes on to what the worker asks next: beginning a build, waking and leaving touch no store, so nobody can tell when they happen.
    fn rest(&mut self, at: usize, tasks: &Tasks) {
        while self.actors[at].life == Life::Works {
            match self.actor(at).worker.step(tasks) {
                Step::Ask(_) => return,
                Step::Wait => self.actor(at).worker.wake(),
                Step::Leave => self.actor(at).life = Life::Left,
                Step::Build(task) => {
                    self.check_inputs(at, task, tasks, false);
                    self.begun[task as usize] += 1;
                    assert!(self.begun[task as usize] <= 1 + self.excuses, "built again without a reason: {self:#?}");
                    assert!(self.actor(at).building.insert(task));
                    assert!(self.actors[at].building.len() <= tasks.slots);
                }
            }
        }
    }

    /// What a build takes, and what a result refers to, was built by the owner of a claim, and, once the result is left, can be fetched.
    fn check_inputs(&self, at: usize, task: Task, tasks: &Tasks, is_left: bool) {
        for &input in &tasks.inputs[task as usize] {
            let counted = self.actors[at].worker.view(input).counted().expect("an input that counts");
            let name = Name::Result(input, counted.attempt, counted.worker, counted.outcome);
            let is_own = counted.worker as usize == at && !is_left;
            assert!(counted.outcome == Outcome::Built && (is_own || self.names.contains(&name)), "{input}: {self:#?}");
            let owner = self.claims[input as usize][usize::from(counted.attempt)];
            assert_eq!(owner, Some(counted.worker), "{input} is not from the owner of its claim: {self:#?}");
        }
    }

    fn answered(&self, at: usize, request: Request, answer: Answer, worlds: &mut Vec<Self>) {
        let mut world = self.clone();
        world.actor(at).worker.answered(request, answer);
        worlds.push(world);
    }

    fn list(&self, at: usize, worlds: &mut Vec<Self>) {
        let names: Vec<Name> = self.names.iter().copied().collect();
        self.answered(at, Request::List, Answer::Listed(names.clone()), worlds);
        if self.faults.late > 0 && !names.is_empty() {
            let mut world = self.clone();
            world.faults.late -= 1;
            for omitted in 0..names.len() {
                let mut shown = names.clone();
                shown.remove(omitted);
                world.answered(at, Request::List, Answer::Listed(shown), worlds);
            }
            world.answered(at, Request::List, Answer::Listed(Vec::new()), worlds);
        }
    }

    fn claim(&self, at: usize, claim: (Task, Attempt), worlds: &mut Vec<Self>) {
        let request = Request::Claim(claim.0, claim.1);
        let mut made = self.clone();
        let place = &mut made.claims[claim.0 as usize][usize::from(claim.1)];
        let before = *place;
        *place = Some(at as WorkerNumber);
        made.names.insert(Name::Claim(claim.0, claim.1));
        let (there, answer) = if before.is_none() { (&made, Answer::Created) } else { (self, Answer::Taken) };
        there.answered(at, request, answer, worlds);
        if self.faults.lost > 0 {
            let less = |world: &Self| {
                let mut world = world.clone();
                world.faults.lost -= 1;
                world
            };
            less(self).answered(at, request, Answer::AskAgain, worlds);
            less(self).answered(at, request, Answer::Lost, worlds);
            if before.is_none() {
                less(&made).answered(at, request, Answer::Lost, worlds);
            }
        }
        if self.faults.twice > 0 && before.is_some_and(|owner| owner as usize != at) {
            // Both get "created" as answer; the claim may name either. Which one it names is settled before the first of them has built the task.
            let is_settled =
                before.is_some_and(|owner| self.actors[owner as usize].worker.view(claim.0).counted().is_some());
            for world in [Some(self), Some(&made).filter(|_| !is_settled)].into_iter().flatten() {
                let mut world = world.clone();
                world.faults.twice -= 1;
                world.has_two_winners = true;
                world.excuses += 1;
                world.answered(at, request, Answer::Created, worlds);
            }
        }
    }

    fn owner(&self, at: usize, claim: (Task, Attempt), worlds: &mut Vec<Self>) {
        let request = Request::Owner(claim.0, claim.1);
        let owner = self.claims[claim.0 as usize][usize::from(claim.1)];
        self.answered(at, request, Answer::Owner(owner), worlds);
        if self.faults.late > 0 && owner.is_some() {
            let mut world = self.clone();
            world.faults.late -= 1;
            world.answered(at, request, Answer::Owner(None), worlds);
        }
    }

    fn leave(&self, at: usize, (task, left): (Task, Left), worlds: &mut Vec<Self>) {
        let request = Request::Leave(task, left);
        assert_eq!(left.worker as usize, at);
        let mut made = self.clone();
        let is_new = made.names.insert(Name::Result(task, left.attempt, left.worker, left.outcome));
        made.answered(at, request, if is_new { Answer::Created } else { Answer::Taken }, worlds);
        if self.faults.lost > 0 {
            for world in [self, &made] {
                let mut world = world.clone();
                world.faults.lost -= 1;
                world.answered(at, request, Answer::Lost, worlds);
            }
        }
    }

    fn ends(&self, at: usize, worlds: &mut Vec<Self>) {
        for &task in &self.actors[at].building {
            for outcome in [Outcome::Built, Outcome::Failed] {
                let mut world = self.clone();
                if outcome == Outcome::Failed {
                    let Some(left) = world.faults.failures.checked_sub(1) else { continue };
                    world.faults.failures = left;
                }
                world.actor(at).building.remove(&task);
                world.actor(at).worker.ended(task, outcome);
                worlds.push(world);
            }
        }
    }

    /// A worker dies; a worker takes another one for dead, which it is or not.
    fn harm(&self, at: usize, worlds: &mut Vec<Self>) {
        if self.faults.deaths > 0 {
            let mut world = self.clone();
            world.faults.deaths -= 1;
            world.excuses += 1;
            world.actor(at).life = Life::Dead;
            world.actor(at).building.clear();
            worlds.push(world);
        }
        for other in (0..self.actors.len()).filter(|other| *other != at && !self.actors[at].suspects.contains(other)) {
            let mut world = self.clone();
            match self.actors[other].life {
                Life::Works if self.faults.suspicions > 0 => {
                    world.faults.suspicions -= 1;
                    world.excuses += 1;
                }
                Life::Dead => {}
                Life::Works | Life::Left => continue,
            }
            world.actor(at).suspects.insert(other);
            world.actor(at).worker.suspect(other as WorkerNumber);
            worlds.push(world);
        }
    }

    /// Somebody leaves a result in the name of a worker that has no claim to the task, and cannot get it any more. In the name of the owner
    /// it would be somebody else's all the same: each outcome has a secret of its own, see [`super::maker`].
    fn forge(&self, at: usize, tasks: &Tasks, worlds: &mut Vec<Self>) {
        let Some(left) = self.faults.forged.checked_sub(1) else { return };
        if self.has_two_winners || self.faults.twice > 0 {
            return; // who has won a claim and lost it is not a stranger
        }
        let is_others = |task: &Task| self.claims[*task as usize][0].is_some_and(|owner| owner as usize != at);
        for task in tasks.all().filter(is_others) {
            let mut world = self.clone();
            world.faults.forged = left;
            world.has_forged = true;
            world.names.insert(Name::Result(task, 0, at as WorkerNumber, Outcome::Built));
            worlds.push(world);
        }
    }

    /// What holds when all have left or died: nothing is missing that anybody could have built, and what was built in vain is counted.
    pub fn check_end(&self, tasks: &Tasks) {
        let verdict = self.verdict(tasks);
        let stayed = |(actor, leaving): (&Actor, &Leaving)| actor.life == Life::Left && *leaving == Leaving::AtTheEnd;
        let somebody_stayed = self.actors.iter().zip(&tasks.leaving).any(stayed);
        assert!(
            !verdict.is_green(|_| false) || self.begun.iter().all(|&begun| begun > 0),
            "green without a build: {self:#?}"
        );
        if self.has_forged {
            return; // who sees what is forged may leave early: the gate is red then
        }
        // Who sees that something has failed somewhere may leave before it is seen that it was built elsewhere, and with it what needs it.
        let has_failed = |task: Task| {
            self.names.iter().any(|name| matches!(name, Name::Result(of, .., Outcome::Failed) if *of == task))
        };
        let mut is_behind = vec![false; tasks.len()];
        for task in tasks.all() {
            let inputs = &tasks.inputs[task as usize];
            is_behind[task as usize] = inputs
                .iter()
                .any(|&input| is_behind[input as usize] || has_failed(input) || !verdict.results.contains_key(&input));
        }
        for &task in &verdict.missing {
            let is_given_up = self.claims[task as usize].iter().all(Option::is_some);
            let is_excused = is_behind[task as usize] || is_given_up || !somebody_stayed;
            assert!(is_excused, "{task} was left undone: {self:#?}");
        }
        let dropped: u32 = self.actors.iter().map(|actor| actor.worker.dropped()).sum();
        let begun: u32 = self.begun.iter().map(|&begun| u32::from(begun)).sum();
        let known = verdict.results.len() as u32 + verdict.repeats + verdict.lost + verdict.foreign + dropped;
        assert!(begun <= known + u32::from(self.excuses), "builds that nobody counts: {verdict:?} {self:#?}");
        if self.excuses == 0 {
            assert_eq!((verdict.repeats, verdict.foreign, dropped), (0, 0, 0), "{self:#?}");
        }
    }
}
