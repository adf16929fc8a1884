//! A record in words: what a person sees at the end of a job's log.

use std::io::{Result, Write};

use super::class::Class;
use super::record::{DerivationRecord, Instead, Outcome, Record, Role, Verdict};
use crate::plan::{failures, worker_job};
use crate::plural::counted;

/// How many derivations a sentence names.
const MAX_NAMED: usize = 20;

impl DerivationRecord {
    /// Its attributes, else its name with an attribute that needs it.
    pub fn title(&self) -> String {
        match (&self.names.attributes[..], &self.names.needed_by[..]) {
            ([], []) => self.name.clone(),
            ([], [first, ..]) => format!("{} (needed by {first})", self.name),
            (attributes, _) => attributes.join(", "),
        }
    }

    /// What a person needs to know who has to mend it: one line each.
    pub fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.names.attributes.is_empty() {
            lines.push(format!("attribute: {}", self.names.attributes.join(", ")));
        } else if !self.names.needed_by.is_empty() {
            lines.push(format!("needed by: {}", self.names.needed_by.join(", ")));
        }
        lines.push(format!("derivation: {}", self.derivation));
        if matches!(self.outcome, Outcome::Failed | Outcome::DependencyFailed) {
            let class = self.class.unwrap_or(Class::Builder);
            let (whose, next) = match self.outcome {
                Outcome::Failed => ("", class.next()),
                _ => ("of what it needs: ", "fix that first: nothing wrong was found with this one"),
            };
            lines.push(format!("class: {whose}{} ({})", class.name(), class.text()));
            lines.push(format!("next: {next}"));
            lines.extend(self.names.reproduce.iter().map(|command| format!("on your machine: {command}")));
            lines.extend(self.names.log_file.iter().map(|file| format!("whole log: {file} among the results")));
        }
        lines
    }
}

/// A line with as many of these as people read; none where there are none.
fn list(what: &str, names: &[String], out: &mut dyn Write) -> Result<()> {
    match names.len().checked_sub(MAX_NAMED) {
        _ if names.is_empty() => Ok(()),
        Some(more) if more > 0 => writeln!(out, "{what}: {} and {more} more", names[..MAX_NAMED].join(", ")),
        _ => writeln!(out, "{what}: {}", names.join(", ")),
    }
}

impl Record {
    /// One sentence each: what was tried again, what failed and of which class, what was not begun because of that, what a rerun would do.
    fn last_lines(&self, out: &mut dyn Write) -> Result<()> {
        for drv in self.derivations.iter().filter(|drv| !drv.retried.is_empty()) {
            let why: Vec<&str> = drv.retried.iter().map(|class| class.text()).collect();
            let then = if drv.outcome.is_good() { "then it was built" } else { "and it failed again" };
            writeln!(out, "{} was tried again: {}; {then}", drv.title(), why.join(", "))?;
        }
        for drv in self.derivations.iter().filter(|drv| drv.outcome == Outcome::Failed) {
            let class = drv.class.unwrap_or(Class::Builder);
            writeln!(out, "{} failed ({}): {}", drv.title(), class.name(), class.text())?;
        }
        self.name_all(Outcome::DependencyFailed, "not begun because of that", out)?;
        self.name_all(Outcome::NotBuilt, "not built", out)?;
        if self.verdict != Verdict::Success {
            list("these targets depend on this job and will not be built", &self.waiting, out)?;
        }
        // A worker that is started again builds nothing that has ended before.
        let is_worker = worker_job::number(&self.job).is_some();
        if self.verdict != Verdict::Success && !self.derivations.is_empty() && !is_worker {
            writeln!(out, "{}", self.rerun())?;
        }
        Ok(())
    }

    fn name_all(&self, outcome: Outcome, what: &str, out: &mut dyn Write) -> Result<()> {
        let names: Vec<String> =
            self.derivations.iter().filter(|drv| drv.outcome == outcome).map(DerivationRecord::title).collect();
        list(what, &names, out)
    }

    /// What a rerun of the job would do.
    fn rerun(&self) -> String {
        let own = self.derivations.iter().filter(|drv| drv.role != Role::Other);
        let (good, open): (Vec<_>, Vec<_>) = own.partition(|drv| drv.outcome.is_good());
        let built = good.iter().filter(|drv| drv.outcome == Outcome::Built).count();
        if self.keeps_results || built == 0 {
            let kept = if built == 0 { String::new() } else { format!(", and fetch the {built} that it has built") };
            let all = counted((open.len() + good.len()) as u64, "derivation");
            let which = if good.is_empty() { String::new() } else { format!("{} of ", open.len()) };
            return format!("a rerun of this job would build {which}its {all} again{kept}");
        }
        let has_pushed = self.pushed.iter().any(|pushed| pushed.error.is_none() && pushed.paths > 0);
        format!(
            "a rerun of this job would build {} again{}",
            counted((open.len() + built) as u64, "derivation"),
            if has_pushed {
                ", unless it finds what this job has pushed"
            } else {
                ": nothing keeps what this job has built"
            }
        )
    }

    /// Prints what failed and why.
    pub fn summarize(&self, out: &mut dyn Write) -> Result<()> {
        if !self.failures.is_empty() {
            return self.summarize_failures(out);
        }
        let count = |outcome| self.derivations.iter().filter(|derivation| derivation.outcome == outcome).count();
        writeln!(
            out,
            "job `{}`: {}; {} built, {} fetched, {} present, {} failed, {} not built; {} handed off{}",
            self.job,
            match self.verdict {
                Verdict::Success => "success".to_owned(),
                Verdict::Failure => "failure".to_owned(),
                Verdict::Cancelled => format!("cancelled by {}", self.cancelled_by.as_deref().unwrap_or("a signal")),
            },
            count(Outcome::Built),
            count(Outcome::Substituted),
            count(Outcome::Present),
            count(Outcome::Failed),
            count(Outcome::DependencyFailed) + count(Outcome::NotBuilt),
            counted(self.handed_off.paths, "path"),
            self.handed_off.sizes(),
        )?;
        for missing in &self.missing {
            writeln!(out, "{}", missing.text())?;
        }
        for problem in &self.damaged {
            writeln!(out, "{problem}")?;
        }
        for pushed in &self.pushed {
            writeln!(out, "{}", pushed.text())?;
        }
        for said in &self.survived {
            writeln!(out, "everything was built, but Nix reported: {said}")?;
        }
        for derivation in &self.derivations {
            if let Some(Instead { derivation: other, failure }) = &derivation.instead {
                let failure = failure.replace('\n', "\n  ");
                writeln!(
                    out,
                    "{} failed; `{other}`, which has the same output, was built in its place\n  {failure}",
                    derivation.title()
                )?;
            }
        }
        for derivation in self.derivations.iter().filter(|derivation| !derivation.outcome.is_good()) {
            let message = derivation.message.as_deref().unwrap_or("not built");
            writeln!(out, "\n{}\n  {}", derivation.title(), message.replace('\n', "\n  "))?;
            for line in derivation.details() {
                writeln!(out, "  {line}")?;
            }
            if let Some(log) = &derivation.log {
                writeln!(out, "  last lines of its log:")?;
                for line in log.lines() {
                    writeln!(out, "    {line}")?;
                }
            }
        }
        for error in &self.errors {
            writeln!(out, "\nerror: {error}")?;
        }
        self.last_lines(out)
    }
}

impl Record {
    /// The same for what failed before anything was built.
    fn summarize_failures(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "job `{}`: failure; {}\n", self.job, failures::counts(&self.failures))?;
        let texts: Vec<String> =
            self.failures.iter().map(|failure| format!("{}{}", failure.message, failure.remark())).collect();
        let all =
            self.failures.iter().zip(&texts).map(|(failure, text)| (&failure.target, failure.cause, text.as_str()));
        for sentence in failures::sentences(all) {
            writeln!(out, "{sentence}")?;
        }
        if let Some(command) = self.failures.iter().find_map(|failure| failure.command.as_ref()) {
            writeln!(out, "\non your machine: {command}")?;
        }
        writeln!(
            out,
            "\neverything that can be built is still built; fix the above, or leave it out with `exclude` in nixdag.yml or `--exclude`"
        )
    }
}
