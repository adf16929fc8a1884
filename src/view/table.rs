//! The plan as a table for people: jobs, what was skipped, what failed, and the plan beside simpler ones.

use std::io::{self, Write};

use crate::plan::make::Made;
use crate::plan::model::Granularity;
use crate::plan::problem::Millis;
use crate::plan::{Plan, SkipReason, Strategy};
use crate::printable::printable;

/// Rows that are printed of each part before the rest is only counted.
const MOST_ROWS: usize = 60;

/// Writes the whole plan.
pub fn write(made: &Made, out: &mut impl Write) -> io::Result<()> {
    jobs(&made.plan, out)?;
    skipped(&made.plan, out)?;
    errors(&made.plan, out)?;
    strategies(made, out)
}

fn jobs(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    if plan.jobs.is_empty() {
        return writeln!(out, "nothing to build");
    }
    let mut rows = vec![["JOB", "SYSTEM", "TARGETS", "BUILDS", "ESTIMATE", "AFTER"].map(String::from).to_vec()];
    for job in plan.jobs.iter().take(MOST_ROWS) {
        let co_located = match job.co_located.len() {
            0 => String::new(),
            count => format!("+{count} co-located"),
        };
        rows.push(vec![
            job.name.clone(),
            job.system.clone(),
            list(job.targets.iter().map(ToString::to_string), 3),
            format!("{}{co_located}", job.derivations.len()),
            duration(job.estimate.duration),
            list(job.requires.iter().map(|index| plan.jobs[index.at()].name.clone()), 3),
        ]);
    }
    columns(&rows, out)?;
    more(plan.jobs.len(), out)
}

fn skipped(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    if plan.skipped.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = vec![["SKIPPED", "WHY"].map(String::from).to_vec()];
    for skipped in plan.skipped.iter().take(MOST_ROWS) {
        let reason = match skipped.reason {
            SkipReason::Available => "available",
            SkipReason::Unaffected => "unaffected by the change",
            SkipReason::Excluded => "excluded",
            SkipReason::NoExecutor => "no executor builds it or something below it",
        };
        let place = skipped.place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
        rows.push(vec![skipped.target.to_string(), format!("{reason}{place}")]);
    }
    columns(&rows, out)?;
    more(plan.skipped.len(), out)
}

fn errors(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    if plan.errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nDOES NOT EVALUATE")?;
    for error in plan.errors.iter().take(MOST_ROWS) {
        writeln!(out, "{}", printable(&error.target.to_string()))?;
        for line in error.message.lines() {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    more(plan.errors.len(), out)
}

fn strategies(made: &Made, out: &mut impl Write) -> io::Result<()> {
    let estimates = &made.plan.estimates;
    if estimates.needed == 0 {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows =
        vec![["PREDICTED", "JOBS", "BUILDS", "MACHINE TIME", "WALL TIME", "CREDITS"].map(String::from).to_vec()];
    let mut add = |name: &str, strategy: &Strategy| {
        rows.push(vec![
            name.to_owned(),
            strategy.jobs.to_string(),
            strategy.builds.to_string(),
            duration(strategy.job_time),
            duration(strategy.makespan),
            strategy.credits.to_string(),
        ]);
    };
    add("this plan", &estimates.plan);
    for (granularity, strategy) in &made.others {
        let flag = match granularity {
            Granularity::Target => "target",
            Granularity::Auto => "auto",
            Granularity::Single => "single",
        };
        add(&format!("with --granularity {flag}"), strategy);
    }
    add("flat: a job a target, no order", &estimates.flat);
    add("ordered: a job a target, in order", &estimates.ordered);
    add("a job a derivation", &estimates.per_derivation);
    columns(&rows, out)?;
    writeln!(
        out,
        "\n{} to build, {} on purpose; no plan takes less than {}.",
        count(estimates.needed, "derivation"),
        count(estimates.duplicates, "repeat"),
        duration(estimates.lower_bound)
    )
}

fn more(count: usize, out: &mut impl Write) -> io::Result<()> {
    if count > MOST_ROWS {
        writeln!(out, "… and {} more (`--format json` has them all)", count - MOST_ROWS)
    } else {
        Ok(())
    }
}

fn list(items: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let count = items.len();
    let mut shown: Vec<String> = items.take(most).collect();
    if count > most {
        shown.push(format!("… {} more", count - most));
    }
    shown.join(", ")
}

/// `1 job`, `2 jobs`.
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `1 h 02 min`, `3 min 05 s`, `45 s`.
pub fn duration(millis: Millis) -> String {
    let seconds = millis.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

fn columns(rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!([0, 45_000, 185_000, 3_720_500].map(duration), ["0 s", "45 s", "3 min 05 s", "1 h 02 min"]);
    }
}
