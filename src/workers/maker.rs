//! Who has made a claim or a result: names as the store has them, and the number that each maker has for [`Worker`](super::worker::Worker).
//!
//! A claim holds the number of the worker, a word for this run of it (its life), and the digests of two secrets, one for each outcome; a result has that of its outcome in its name. So nobody else
//! can leave a result for a claim, or take its name, and who has read that something failed cannot say that it was built. In: names and claims, as anybody may have made them. Out: the same number for a claim and for the result that its maker left, and a number of its own
//! for everything else.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::name::{Name, Outcome};
use super::tasks::{Attempt, Task, Tasks, WorkerNumber};
use crate::nix::hash::Sha256;

/// Longest claim, in bytes.
pub const MAX_CLAIM: u64 = 512;

/// What a result can say.
const OUTCOMES: [Outcome; 2] = [Outcome::Built, Outcome::Failed];

/// Characters of a secret and of a life.
const LENGTHS: (usize, usize) = (32, 16);

/// The name of a result in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultName {
    pub task: Task,
    pub attempt: Attempt,
    pub worker: WorkerNumber,
    pub outcome: Outcome,
    /// What only the maker of the claim knew before, another one for each outcome.
    pub secret: String,
}

/// A name in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredName {
    /// Somebody builds a task.
    Claim(Task, Attempt),
    /// Somebody has.
    Result(ResultName),
    /// A worker lives: its number, its life, and a number that grows.
    Sign(Life, u32),
}

/// One run of a worker: its number, and a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    pub worker: WorkerNumber,
    pub word: String,
}

impl StoredName {
    /// Reads a name; none for one that is not of this plan.
    pub fn parse(text: &str, tasks: &Tasks) -> Option<Self> {
        let (start, last) = text.rsplit_once('-')?;
        if let Some(sign) = start.strip_prefix("alive-") {
            let (worker, word) = sign.split_once('-')?;
            let worker = plain_number(worker).filter(|&worker| worker < tasks.workers)?;
            let life = is_hex(word, LENGTHS.1).then(|| Life { worker, word: word.to_owned() })?;
            return Some(Self::Sign(life, plain_number(last)?));
        }
        if let Some(Name::Claim(task, attempt)) = Name::parse(text, tasks) {
            return Some(Self::Claim(task, attempt));
        }
        match Name::parse(start, tasks)? {
            Name::Result(task, attempt, worker, outcome) if is_hex(last, LENGTHS.0) => {
                Some(Self::Result(ResultName { task, attempt, worker, outcome, secret: last.to_owned() }))
            }
            Name::Result(..) | Name::Claim(..) => None,
        }
    }

    /// As it is in the store.
    pub fn text(&self) -> String {
        match self {
            Self::Claim(task, attempt) => Name::Claim(*task, *attempt).to_string(),
            Self::Result(result) => {
                let ResultName { task, attempt, worker, outcome, secret } = result;
                format!("{}-{secret}", Name::Result(*task, *attempt, *worker, *outcome))
            }
            Self::Sign(life, number) => format!("alive-{}-{}-{number}", life.worker, life.word),
        }
    }
}

fn plain_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    pub life: Life,
    /// Of the secret by which its maker says that the task was built.
    pub built: Sha256,
    /// Of the one by which it says that the task has failed.
    pub failed: Sha256,
}

impl Claim {
    /// Reads a claim.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let worker = plain_number(value("worker")?)?;
        let word = value("life").filter(|word| is_hex(word, LENGTHS.1))?.to_owned();
        let mut digest = |key| Sha256::parse(value(key)?).ok();
        let (built, failed) = (digest("built-sha256")?, digest("failed-sha256")?);
        Some(Self { life: Life { worker, word }, built, failed })
    }

    /// Its contents.
    pub fn text(&self) -> String {
        let (built, failed) = (self.built.base16(), self.failed.base16());
        format!("worker {}\nlife {}\nbuilt-sha256 {built}\nfailed-sha256 {failed}\n", self.life.worker, self.life.word)
    }

    /// Of the secret for an outcome.
    fn digest(&self, outcome: Outcome) -> Sha256 {
        match outcome {
            Outcome::Built => self.built,
            Outcome::Failed => self.failed,
        }
    }

    /// True for a result that the claim's maker has left.
    pub fn is_of(&self, result: &ResultName) -> bool {
        self.life.worker == result.worker && self.digest(result.outcome) == Sha256::of(result.secret.as_bytes())
    }
}

/// Makers by their numbers. This worker has its own, others have numbers from that of all workers on.
pub struct Makers {
    /// This run of this worker.
    pub life: Life,
    key: hmac::Key,
    first: WorkerNumber,
    others: HashMap<(Task, Attempt, WorkerNumber, Outcome, Sha256), WorkerNumber>,
}

impl Makers {
    /// Those that a worker will come to know, with secrets of its own.
    pub fn new(worker: WorkerNumber, tasks: &Tasks) -> Result<Self> {
        let random = SystemRandom::new();
        let mut word = [0; 8];
        let no_randomness = |_| anyhow!("this machine has no randomness");
        random.fill(&mut word).map_err(no_randomness)?;
        let word = word.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(no_randomness).context("no key")?;
        Ok(Self { life: Life { worker, word }, key, first: tasks.workers, others: HashMap::new() })
    }

    /// The secret of this worker's claim for an outcome.
    fn secret(&self, task: Task, attempt: Attempt, outcome: Outcome) -> String {
        let text = Name::Result(task, attempt, self.life.worker, outcome).to_string();
        let tag = hmac::sign(&self.key, text.as_bytes());
        tag.as_ref().iter().take(LENGTHS.0 / 2).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What this worker's claim says.
    pub fn claim(&self, task: Task, attempt: Attempt) -> Claim {
        let digest = |outcome| Sha256::of(self.secret(task, attempt, outcome).as_bytes());
        Claim { life: self.life.clone(), built: digest(Outcome::Built), failed: digest(Outcome::Failed) }
    }

    /// The name of this worker's result.
    pub fn result(&self, task: Task, attempt: Attempt, outcome: Outcome) -> ResultName {
        let secret = self.secret(task, attempt, outcome);
        ResultName { task, attempt, worker: self.life.worker, outcome, secret }
    }

    /// The number of whoever has made a claim: the one that its result has, where that was seen before.
    pub fn of_claim(&mut self, task: Task, attempt: Attempt, claim: &Claim) -> WorkerNumber {
        if *claim == self.claim(task, attempt) {
            return claim.life.worker;
        }
        let keys = OUTCOMES.map(|outcome| (task, attempt, claim.life.worker, outcome, claim.digest(outcome)));
        let known = keys.iter().find_map(|key| self.others.get(key).copied());
        let maker = known.unwrap_or_else(|| self.next());
        for key in keys {
            self.others.entry(key).or_insert(maker);
        }
        maker
    }

    /// The number of whoever has left a result.
    pub fn of_result(&mut self, result: &ResultName) -> WorkerNumber {
        let ResultName { task, attempt, worker, outcome, .. } = *result;
        if *result == self.result(task, attempt, outcome) {
            return worker;
        }
        let next = self.next();
        let key = (task, attempt, worker, outcome, Sha256::of(result.secret.as_bytes()));
        *self.others.entry(key).or_insert(next)
    }

    /// A number that nobody has: there are no more of them than of what is known.
    fn next(&self) -> WorkerNumber {
        self.first + self.others.len() as WorkerNumber
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        Tasks { inputs: vec![Vec::new(); 3], workers: 2, attempts: 2, ..Tasks::default() }
    }

    #[test]
    fn names_and_claims_are_read_as_they_are_written_and_no_others() {
        let (tasks, makers) = (tasks(), Makers::new(1, &tasks()).unwrap());
        let life = makers.life.clone();
        let result = makers.result(2, 1, Outcome::Built);
        for name in [StoredName::Claim(2, 1), StoredName::Sign(life.clone(), 17), StoredName::Result(result.clone())] {
            assert_eq!(StoredName::parse(&name.text(), &tasks), Some(name));
        }
        let secret = &result.secret;
        for text in [
            format!("built-3-0-1-{secret}"),
            format!("built-2-1-2-{secret}"),
            format!("built-2-1-1-{}", &secret[1..]),
            format!("built-2-1-1-{}", secret.to_uppercase().replace(|byte: char| byte.is_ascii_digit(), "A")),
            format!("claim-2-1-{secret}"),
            "built-2-1-1".into(),
            format!("alive-2-{}-1", life.word),
            format!("alive-1-{}-01", life.word),
            format!("alive-1-{}", life.word),
            String::new(),
            "-".into(),
        ] {
            assert_eq!(StoredName::parse(&text, &tasks), None, "{text}");
        }
        let claim = makers.claim(2, 1);
        assert_eq!(Claim::parse(claim.text().as_bytes()), Some(claim.clone()));
        for bytes in [&b""[..], b"worker 1\n", b"\xff", b"worker 01\nlife x\nbuilt-sha256 y\n"] {
            assert_eq!(Claim::parse(bytes), None);
        }
    }

    #[test]
    fn only_who_has_made_a_claim_can_leave_its_result() {
        let (mut one, mut two) = (Makers::new(0, &tasks()).unwrap(), Makers::new(1, &tasks()).unwrap());
        let (claim, result) = (one.claim(1, 0), one.result(1, 0, Outcome::Built));
        assert!(claim.is_of(&result));
        assert_eq!((one.of_claim(1, 0, &claim), one.of_result(&result)), (0, 0));
        let owner = two.of_claim(1, 0, &claim);
        assert!(owner >= 2 && two.of_result(&result) == owner);
        // The same secret for another task, attempt or worker; another secret in the owner's name.
        let forgeries = [
            ResultName { task: 2, ..result.clone() },
            ResultName { attempt: 1, ..result.clone() },
            ResultName { worker: 1, ..result.clone() },
            ResultName { secret: "0".repeat(32), ..result.clone() },
        ];
        for forged in forgeries {
            assert_ne!(two.of_result(&forged), owner, "{forged:?}");
        }
        // Who has read that it failed knows nothing by which it was built, whichever is seen first.
        let failed = one.result(1, 0, Outcome::Failed);
        let turned = ResultName { outcome: Outcome::Built, ..failed.clone() };
        assert!(claim.is_of(&failed) && !claim.is_of(&turned));
        assert_eq!(two.of_result(&failed), owner);
        let mut late = Makers::new(1, &tasks()).unwrap();
        let (forger, maker) = (late.of_result(&turned), late.of_result(&failed));
        assert!(forger != maker && late.of_claim(1, 0, &claim) == maker);
        assert_ne!(one.of_result(&turned), 0);
        // Another run of the same worker is somebody else.
        let mut again = Makers::new(0, &tasks()).unwrap();
        assert_ne!(again.of_claim(1, 0, &claim), 0);
    }
}
