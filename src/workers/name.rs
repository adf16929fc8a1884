//! Names in a store: everything that workers say to each other, but for the results themselves.
//!
//! `claim-TASK-ATTEMPT` is made by one worker at most, whose number is in it; `built-TASK-ATTEMPT-WORKER` and `failed-TASK-ATTEMPT-WORKER` say what became of that. Anybody who
//! reaches the store may have made a name: what does not read exactly so, or has a number that the plan does not have, does not count.

use std::fmt;

use super::tasks::{Attempt, Task, Tasks, WorkerNumber};

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// All of its derivations have been built, and are handed on.
    Built,
    /// One of them was not.
    Failed,
}

/// A name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Somebody builds the task.
    Claim(Task, Attempt),
    /// A worker has done so.
    Result(Task, Attempt, WorkerNumber, Outcome),
}

impl Name {
    /// Reads a name; none for one that is not of this plan.
    pub fn parse(text: &str, tasks: &Tasks) -> Option<Self> {
        let mut words = text.split('-');
        let kind = words.next()?;
        let task = number(words.next()?)?;
        let attempt = Attempt::try_from(number(words.next()?)?).ok()?;
        let name = match (kind, words.next()) {
            ("claim", None) => Self::Claim(task, attempt),
            ("built", Some(worker)) => Self::Result(task, attempt, number(worker)?, Outcome::Built),
            ("failed", Some(worker)) => Self::Result(task, attempt, number(worker)?, Outcome::Failed),
            _ => return None,
        };
        let is_known = |worker: WorkerNumber| worker < tasks.workers;
        let knows_worker = !matches!(name, Self::Result(_, _, worker, _) if !is_known(worker));
        let is_all = words.next().is_none() && (task as usize) < tasks.len() && attempt < tasks.attempts;
        (is_all && knows_worker).then_some(name)
    }
}

/// A number as it is written here: digits alone, without a zero in front, so that no two names mean the same.
fn number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Claim(task, attempt) => write!(f, "claim-{task}-{attempt}"),
            Self::Result(task, attempt, worker, Outcome::Built) => write!(f, "built-{task}-{attempt}-{worker}"),
            Self::Result(task, attempt, worker, Outcome::Failed) => write!(f, "failed-{task}-{attempt}-{worker}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_no_others() {
        let tasks = Tasks { inputs: vec![Vec::new(); 12], workers: 3, attempts: 2, ..Tasks::default() };
        for name in [
            Name::Claim(11, 1),
            Name::Claim(0, 0),
            Name::Result(7, 0, 2, Outcome::Built),
            Name::Result(10, 1, 0, Outcome::Failed),
        ] {
            assert_eq!(Name::parse(&name.to_string(), &tasks), Some(name));
        }
        let foreign = "claim-12-0 claim-0-2 claim-0-256 claim-01-0 claim-0-0-0 claim-+1-0 claim--1-0 claim-0 claim built-0-0 built-0-0-3 \
                       built-0-0-0-0 failed-0-0- lost-0-0-0 CLAIM-0-0 claim-0-0\n claim-99999999999-0 -";
        for text in foreign.split(' ').chain([""]) {
            assert_eq!(Name::parse(text, &tasks), None, "{text}");
        }
    }
}
