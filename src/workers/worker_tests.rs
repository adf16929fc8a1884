//! One worker and a store that says what a test says.

use super::name::{Name, Outcome};
use super::tasks::{Leaving, Tasks};
use super::verdict::Verdict;
use super::view::Left;
use super::worker::{Answer, Request, Step, Worker};

/// A chain of two, and one beside it.
fn tasks() -> Tasks {
    Tasks {
        inputs: vec![vec![], vec![0], vec![]],
        tail: vec![20, 10, 5],
        lane: vec![0, 0, 1],
        workers: 2,
        slots: 1,
        attempts: 2,
        leaving: vec![Leaving::AtTheEnd, Leaving::WithoutWork(1)],
        ..Tasks::default()
    }
}

/// Answers what the worker asks, which has to be this.
#[track_caller]
fn answer(worker: &mut Worker, request: Request, answer: Answer) {
    assert_eq!(worker.step(&tasks()), Step::Ask(request));
    worker.answered(request, answer);
}

fn listed(worker: &mut Worker, names: &[Name]) {
    worker.wake();
    answer(worker, Request::List, Answer::Listed(names.to_vec()));
}

const BUILT: Left = Left { attempt: 0, worker: 0, outcome: Outcome::Built };

#[test]
fn a_worker_claims_builds_confirms_and_leaves_a_result() {
    let mut worker = Worker::new(0, &tasks());
    listed(&mut worker, &[]);
    answer(&mut worker, Request::Claim(0, 0), Answer::Created);
    assert_eq!(worker.step(&tasks()), Step::Build(0));
    assert_eq!(worker.step(&tasks()), Step::Wait);
    worker.ended(0, Outcome::Built);
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(0)));
    answer(&mut worker, Request::Leave(0, BUILT), Answer::Lost);
    answer(&mut worker, Request::Leave(0, BUILT), Answer::Taken);
    // The next one of the chain, whose input it has, though no listing shows it.
    listed(&mut worker, &[]);
    assert_eq!(worker.step(&tasks()), Step::Ask(Request::Claim(1, 0)));
}

#[test]
fn a_worker_that_can_make_no_more_names_ends_what_it_has_begun_and_leaves() {
    for answered in [None, Some(Answer::Lost)] {
        let mut worker = Worker::new(0, &tasks());
        listed(&mut worker, &[]);
        answer(&mut worker, Request::Claim(0, 0), Answer::Created);
        assert_eq!(worker.step(&tasks()), Step::Build(0));
        worker.ended(0, Outcome::Built);
        answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(0)));
        answer(&mut worker, Request::Leave(0, BUILT), Answer::Created);
        listed(&mut worker, &[]);
        if let Some(answered) = answered {
            answer(&mut worker, Request::Claim(1, 0), answered);
        }
        assert_eq!(worker.step(&tasks()), Step::Ask(Request::Claim(1, 0)));
        worker.cannot_claim();
        assert_eq!(worker.step(&tasks()), Step::Leave);
    }
}

#[test]
fn a_claim_that_was_lost_is_made_again_and_read() {
    let mut worker = Worker::new(0, &tasks());
    listed(&mut worker, &[]);
    answer(&mut worker, Request::Claim(0, 0), Answer::AskAgain);
    answer(&mut worker, Request::Claim(0, 0), Answer::Lost);
    answer(&mut worker, Request::Claim(0, 0), Answer::Taken);
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(None));
    let mut other = worker.clone();
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(0)));
    assert_eq!(worker.step(&tasks()), Step::Build(0));
    answer(&mut other, Request::Owner(0, 0), Answer::Owner(Some(1)));
    assert_eq!(other.step(&tasks()), Step::Ask(Request::Claim(2, 0)));
}

#[test]
fn the_second_winner_of_a_claim_drops_what_it_has_built() {
    let mut worker = Worker::new(0, &tasks());
    listed(&mut worker, &[]);
    answer(&mut worker, Request::Claim(0, 0), Answer::Created);
    assert_eq!(worker.step(&tasks()), Step::Build(0));
    worker.ended(0, Outcome::Built);
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(1)));
    assert_eq!(worker.dropped(), 1);
}

#[test]
fn a_result_counts_from_the_owner_of_its_claim_alone() {
    let forged = Name::Result(0, 0, 1, Outcome::Built);
    let mut worker = Worker::new(0, &tasks());
    listed(&mut worker, &[Name::Claim(0, 0), forged, Name::Claim(2, 0)]);
    // Before task 1 is claimed, it is asked whose task 0 is.
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(0)));
    assert_eq!(worker.view(0).counted(), None);
    assert_eq!(worker.step(&tasks()), Step::Ask(Request::Owner(2, 0)));
    // There is no claim at all: the task is free.
    let mut worker = Worker::new(0, &tasks());
    listed(&mut worker, &[forged]);
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(None));
    assert_eq!(worker.step(&tasks()), Step::Ask(Request::Claim(0, 0)));
}

#[test]
fn what_a_dead_worker_had_is_claimed_anew_as_often_as_the_plan_says() {
    let mut worker = Worker::new(1, &tasks());
    listed(&mut worker, &[Name::Claim(0, 0), Name::Claim(2, 0)]);
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(0)));
    answer(&mut worker, Request::Owner(2, 0), Answer::Owner(Some(0)));
    assert_eq!(worker.step(&tasks()), Step::Wait);
    worker.suspect(0);
    let mut trusting = worker.clone();
    trusting.trust(0);
    assert_eq!(trusting.step(&tasks()), Step::Wait);
    assert_eq!(worker.step(&tasks()), Step::Ask(Request::Claim(2, 1)));
    worker.answered(Request::Claim(2, 1), Answer::Taken);
    answer(&mut worker, Request::Claim(0, 1), Answer::Taken);
    assert_eq!(worker.step(&tasks()), Step::Ask(Request::Owner(0, 1)));
}

#[test]
fn a_worker_leaves_when_the_plan_expects_it_to_take_no_more() {
    let (mut stays, mut leaves) = (Worker::new(0, &tasks()), Worker::new(1, &tasks()));
    let names = [Name::Claim(0, 0), Name::Result(2, 0, 1, Outcome::Built)];
    for worker in [&mut stays, &mut leaves] {
        listed(worker, &names);
    }
    assert_eq!(leaves.step(&tasks()), Step::Leave);
    assert_eq!(stays.step(&tasks()), Step::Ask(Request::Owner(0, 0)));
    // What needs a failed task is not waited for.
    assert_eq!(stays.failed(), [] as [u32; 0]);
    listed(&mut stays, &[Name::Result(0, 0, 1, Outcome::Failed)]);
    assert_eq!(stays.failed(), [0]);
    assert_eq!(stays.step(&tasks()), Step::Leave);
}

#[test]
fn a_worker_takes_only_what_its_machine_can_build_and_waits_for_nothing_else() {
    let tasks = Tasks { kind: vec![0, 1, 0], kind_of: vec![0, 1], leaving: vec![Leaving::AtTheEnd; 2], ..tasks() };
    let mut worker = Worker::new(1, &tasks);
    listed(&mut worker, &[Name::Claim(0, 0)]);
    assert_eq!(worker.step(&tasks), Step::Wait);
    // Tasks 0 and 2 are for other machines, and task 1 needs the first of them.
    assert_eq!((worker.awaited(&tasks), worker.settled_count(&tasks)), (vec![0, 2], 0));
    listed(&mut worker, &[Name::Result(0, 0, 0, Outcome::Built)]);
    assert_eq!((worker.awaited(&tasks), worker.settled_count(&tasks)), (vec![], 1));
    assert_eq!(worker.step(&tasks), Step::Ask(Request::Owner(0, 0)));
    worker.answered(Request::Owner(0, 0), Answer::Owner(Some(0)));
    assert_eq!(worker.step(&tasks), Step::Ask(Request::Claim(1, 0)));
    worker.answered(Request::Claim(1, 0), Answer::Taken);
    listed(&mut worker, &[Name::Result(1, 0, 1, Outcome::Built)]);
    assert_eq!(worker.step(&tasks), Step::Leave);
}

#[test]
fn an_opener_takes_no_more_and_leaves_when_it_has_ended_what_it_had_begun() {
    let tasks = Tasks { leaving: vec![Leaving::Opening(1)], slots: 2, ..tasks() };
    let mut worker = Worker::new(0, &tasks);
    listed(&mut worker, &[]);
    answer(&mut worker, Request::Claim(0, 0), Answer::Created);
    assert_eq!(worker.step(&tasks), Step::Build(0));
    worker.wake();
    worker.answered(Request::List, Answer::Listed(vec![Name::Result(2, 0, 1, Outcome::Built)]));
    assert_eq!(worker.step(&tasks), Step::Wait);
    worker.ended(0, Outcome::Built);
    answer(&mut worker, Request::Owner(0, 0), Answer::Owner(Some(0)));
    answer(&mut worker, Request::Leave(0, BUILT), Answer::Created);
    listed(&mut worker, &[]);
    assert_eq!(worker.step(&tasks), Step::Leave);
}

#[test]
fn a_verdict_is_green_where_owners_have_built_everything() {
    let owner = |task, attempt| (attempt == 0).then_some(u32::from(task == 2));
    let built = |task, worker| Name::Result(task, 0, worker, Outcome::Built);
    let claims = [Name::Claim(0, 0), Name::Claim(1, 0), Name::Claim(2, 0)];
    let all = [claims.as_slice(), &[built(0, 0), built(1, 0), built(2, 1)]].concat();
    assert!(Verdict::new(&tasks(), &all, owner).is_green(|_| false));
    let forged = Verdict::new(&tasks(), &[claims.as_slice(), &[built(0, 0), built(1, 0), built(2, 0)]].concat(), owner);
    assert_eq!((forged.is_green(|_| false), forged.foreign, forged.lost, forged.missing), (false, 1, 1, vec![2]));
    let failed = [all.as_slice(), &[Name::Result(1, 0, 0, Outcome::Failed)]].concat();
    let failed = Verdict::new(&tasks(), &failed, owner);
    assert_eq!((failed.is_green(|_| false), failed.repeats), (true, 1));
}
