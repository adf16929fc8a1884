//! Carries a worker's requests to the store, and the answers back.
//!
//! In: a [`Request`]. Out: an [`Answer`], with makers in place of names that anybody can make; and which makers have been silent for too long. What a store cannot answer is
//! asked again a few times, but for what may have been made: that is for the worker to decide.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::budget::Budget;
use super::maker::{Claim, Life, Makers, StoredName};
use super::name::{Name, Outcome};
use super::planned::PlannedTasks;
use super::results::Results;
use super::signs::Signs;
use super::stores::{Gone, Made, NameStore};
use super::tasks::{Attempt, Task, WorkerNumber};
use super::worker::{Answer, Request, Worker};
use crate::build::interrupt;
use crate::http::backoff;

/// Waits between attempts: the first, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));

/// How often a request is made that fails, and how often in a row the store may leave a request open.
const ATTEMPTS: u32 = 8;

/// Owns claims that nobody can read: a store may keep a name whose maker died before it was whole, or never had the answer.
const NOBODY: WorkerNumber = WorkerNumber::MAX;

/// Longest wait for a claim to be readable, before it is looked for again.
const UNREADABLE: Duration = Duration::from_secs(5);

/// One worker's way to the store.
pub struct Courier<'a> {
    store: &'a dyn NameStore,
    planned: &'a PlannedTasks,
    results: &'a Results,
    /// Who is who.
    pub makers: Makers,
    /// Who has shown itself.
    pub signs: Signs,
    /// The life that each other maker belongs to, where its claim was read.
    lives: HashMap<WorkerNumber, Life>,
    /// Since when each claim that cannot be read was looked for.
    unreadable: HashMap<(Task, Attempt), Instant>,
    /// After how long such a claim, as a worker without a sign, counts as nobody's.
    silence: Duration,
    /// What is left of each task that has ended here.
    packages: HashMap<Task, PathBuf>,
    /// For files that are only there to be sent.
    scratch: &'a Path,
    /// Requests in a row that the store has left open.
    open: u32,
    /// How many names this worker can make.
    pub budget: &'a Budget,
}

impl<'a> Courier<'a> {
    /// A way to the store for a worker that has just started.
    pub fn new(
        store: &'a dyn NameStore,
        planned: &'a PlannedTasks,
        results: &'a Results,
        worker: WorkerNumber,
        silence: Duration,
        (scratch, budget): (&'a Path, &'a Budget),
    ) -> Result<Self> {
        Ok(Self {
            store,
            planned,
            results,
            makers: Makers::new(worker, &planned.tasks)?,
            signs: Signs::new(budget.is_bounded()),
            lives: HashMap::new(),
            unreadable: HashMap::new(),
            silence,
            packages: HashMap::new(),
            scratch,
            open: 0,
            budget,
        })
    }

    /// What is to be left of a task that has ended.
    pub fn has_ended(&mut self, task: Task, package: PathBuf) {
        self.packages.insert(task, package);
    }

    /// Asks the store.
    pub fn ask(&mut self, request: Request) -> Result<Answer> {
        let answer = match request {
            Request::List => self.list()?,
            Request::Claim(task, attempt) => self.claim(task, attempt)?,
            Request::Owner(task, attempt) => self.owner(task, attempt)?,
            Request::Leave(task, left) => {
                let name = StoredName::Result(self.makers.result(task, left.attempt, left.outcome)).text();
                let package = self.packages.get(&task).context("a task without a result was to be left")?;
                let made = self.store.create(&name, package)?;
                if matches!(made, Made::Made | Made::Taken)
                    && let Some(package) = self.packages.remove(&task)
                {
                    fs::remove_file(&package).with_context(|| format!("cannot remove `{}`", package.display()))?;
                }
                answer(made)
            }
        };
        if matches!(answer, Answer::Created | Answer::Lost) {
            self.budget.made();
        }
        self.wait_after(&answer)?;
        Ok(answer)
    }

    /// Waits where the store has left a request open, and gives up when it does nothing else.
    fn wait_after(&mut self, answer: &Answer) -> Result<()> {
        match answer {
            Answer::Lost | Answer::AskAgain | Answer::Owner(None) => {
                self.open += 1;
                if self.open > 2 * ATTEMPTS {
                    bail!("the store has left {} requests in a row open", self.open);
                }
                interrupt::pause(backoff(WAITS.0, WAITS.1, self.open))
            }
            Answer::Listed(_) | Answer::Created | Answer::Taken | Answer::Owner(Some(_)) => {
                self.open = 0;
                Ok(())
            }
        }
    }

    fn list(&mut self) -> Result<Answer> {
        let now = Instant::now();
        let mut names = Vec::new();
        for text in patiently(|| self.store.list())? {
            match StoredName::parse(&text, &self.planned.tasks) {
                Some(StoredName::Claim(task, attempt)) => names.push(Name::Claim(task, attempt)),
                Some(StoredName::Result(result)) => {
                    // What has failed is believed at once, and keeps others from waiting; what was built is looked at before something is built with it.
                    let counts = || patiently(|| self.results.counts(self.store, &result));
                    if result.outcome == Outcome::Failed && !counts()? {
                        continue;
                    }
                    self.results.add(&result);
                    let maker = self.makers.of_result(&result);
                    names.push(Name::Result(result.task, result.attempt, maker, result.outcome));
                }
                Some(StoredName::Sign(life, number)) => self.signs.sign(life, number, now),
                None => {}
            }
        }
        Ok(Answer::Listed(names))
    }

    fn claim(&mut self, task: Task, attempt: Attempt) -> Result<Answer> {
        let file = self.scratch.join("claim");
        fs::write(&file, self.makers.claim(task, attempt).text())
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(answer(self.store.create(&StoredName::Claim(task, attempt).text(), &file)?))
    }

    fn owner(&mut self, task: Task, attempt: Attempt) -> Result<Answer> {
        if let Some(claim) = patiently(|| self.results.claim(self.store, task, attempt))? {
            return Ok(Answer::Owner(Some(self.owner_of(task, attempt, &claim))));
        }
        let since = self.unreadable.entry((task, attempt)).or_insert_with(Instant::now).elapsed();
        if since >= self.silence {
            return Ok(Answer::Owner(Some(NOBODY)));
        }
        // What has just been made is looked for soon.
        interrupt::pause(UNREADABLE.min(since / 8))?;
        self.open = 0;
        Ok(Answer::Owner(None))
    }

    fn owner_of(&mut self, task: Task, attempt: Attempt, claim: &Claim) -> WorkerNumber {
        let owner = self.makers.of_claim(task, attempt, claim);
        if owner != self.makers.life.worker {
            self.signs.known(&claim.life, Instant::now());
            self.lives.insert(owner, claim.life.clone());
        }
        owner
    }

    /// Says of all owners of claims whether they are taken for dead: those of which no sign was seen for so long.
    pub fn suspect(&self, worker: &mut Worker) {
        let now = Instant::now();
        worker.suspect(NOBODY);
        for (&owner, life) in &self.lives {
            match self.signs.is_silent(life, self.silence, now) {
                true => worker.suspect(owner),
                false => worker.trust(owner),
            }
        }
    }
}

fn answer(made: Made) -> Answer {
    match made {
        Made::Made => Answer::Created,
        Made::Taken => Answer::Taken,
        Made::Lost => Answer::Lost,
        Made::AskAgain => Answer::AskAgain,
    }
}

/// Asks for something until there is an answer, a few times while there is somebody to answer.
pub fn patiently<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match ask() {
            Err(error) if attempt < ATTEMPTS && error.downcast_ref::<Gone>().is_none() => {
                interrupt::pause(backoff(WAITS.0, WAITS.1, attempt))?
            }
            answer => return answer,
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_gone_is_not_asked_again() {
        let mut asked = 0;
        let answer: Result<()> = patiently(|| {
            asked += 1;
            Err(Gone).with_context(|| "cannot list")
        });
        assert!(asked == 1 && answer.is_err());
    }
}
