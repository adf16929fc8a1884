//! A record in words: what a person sees at the end of a job's log.

use std::io::{Result, Write};

use super::class::Class;
use super::record::{Outcome, Record, Verdict};
use crate::plan::failures;

impl Record {
    /// One sentence each: what was tried again, what failed and of which class, what was not begun because of that.
    fn last_lines(&self, out: &mut dyn Write) -> Result<()> {
        for drv in self.derivations.iter().filter(|drv| !drv.retried.is_empty()) {
            let why: Vec<&str> = drv.retried.iter().map(|class| class.text()).collect();
            let then = if drv.outcome.is_good() { "then it was built" } else { "and it failed again" };
            writeln!(out, "{} was tried again: {}; {then}", drv.name, why.join(", "))?;
        }
        for drv in self.derivations.iter().filter(|drv| drv.outcome == Outcome::Failed) {
            writeln!(out, "{} failed: {}", drv.name, drv.class.unwrap_or(Class::Builder).text())?;
        }
        let not_begun = self
            .derivations
            .iter()
            .filter(|drv| matches!(drv.outcome, Outcome::DependencyFailed | Outcome::NotBuilt))
            .map(|drv| drv.name.as_str())
            .collect::<Vec<_>>();
        if !not_begun.is_empty() {
            writeln!(out, "not built because of that: {}", not_begun.join(", "))?;
        }
        Ok(())
    }

    /// Prints what failed and why.
    pub fn summarize(&self, out: &mut dyn Write) -> Result<()> {
        if !self.failures.is_empty() {
            return self.summarize_failures(out);
        }
        let count = |outcome| self.derivations.iter().filter(|derivation| derivation.outcome == outcome).count();
        writeln!(
            out,
            "job `{}`: {}; {} built, {} substituted, {} present, {} failed, {} not built; {} paths handed off ({} bytes)",
            self.job,
            match self.verdict {
                Verdict::Success => "success",
                Verdict::Failure => "failure",
            },
            count(Outcome::Built),
            count(Outcome::Substituted),
            count(Outcome::Present),
            count(Outcome::Failed),
            count(Outcome::DependencyFailed) + count(Outcome::NotBuilt),
            self.handed_off.paths,
            self.handed_off.file_bytes,
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
        for derivation in self.derivations.iter().filter(|derivation| !derivation.outcome.is_good()) {
            let message = derivation.message.as_deref().unwrap_or("not built");
            writeln!(out, "\n{}\n  {}", derivation.derivation, message.replace('\n', "\n  "))?;
            if derivation.outcome == Outcome::Failed {
                writeln!(
                    out,
                    "  to see it fail on your machine, evaluate the same revision there, then: nix-store --realise {}",
                    derivation.derivation
                )?;
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
        writeln!(
            out,
            "\nwhat can be built is built all the same; mend the above, or leave it out with `exclude` in nixdag.yml or `--exclude`"
        )
    }
}
