//! A plan and what became of it as Markdown, for the page that a CI service shows of a run.
//!
//! In: a plan, or the report of its jobs, or both. Out: text below 1 MiB, in which nothing from outside is markup.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::annotations::what;
use super::{GraphFormat, draw, network};
use crate::build::closure_record::{ClosureRecord, package};
use crate::build::report::{JobFailure, Report};
use crate::duration::in_words;
use crate::plan::{JobIndex, Plan, nothing};
use crate::plural::counted;
use crate::printable::{printable, shortened};

/// Edges above which a graph says nothing, and GitHub draws none.
const MAX_EDGES: usize = 500;

/// Characters of a graph: Mermaid draws no more than 50,000.
const MAX_GRAPH: usize = 45_000;

/// Rows of each table.
const MOST_ROWS: usize = 100;

/// Logs of failures, of which a table has more.
const MOST_LOGS: usize = 20;

/// Characters of a cell.
const MAX_CELL: usize = 300;

/// Writes what there is; a report comes with the verdict in a sentence.
pub fn write(plan: Option<&Plan>, report: Option<(&Report, &str)>, out: &mut dyn Write) -> io::Result<()> {
    match (plan, report) {
        (Some(plan), None) => planned(plan, out)?,
        (_, Some((report, verdict))) => results(report, verdict, out)?,
        (None, None) => {}
    }
    match plan {
        Some(plan) => graph(plan, out),
        None => Ok(()),
    }
}

fn planned(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let builds: usize = plan.jobs.iter().map(|job| job.derivations.len() + job.co_located.len()).sum();
    let machines = match &plan.workers {
        Some(workers) => counted(workers.count() as u64, "worker"),
        None => counted(plan.jobs.len() as u64, "job"),
    };
    writeln!(
        out,
        "### nixdag: {machines}, {}, about {}\n",
        counted(builds as u64, "build"),
        in_words(plan.estimates.plan.makespan)
    )?;
    if plan.workers.is_some() {
        writeln!(out, "Each line is a unit of work, not a job: a worker that is free takes it.\n")?;
    }
    if let Some(why) = nothing::why(plan) {
        writeln!(out, "{}\n", escaped(&why))?;
    }
    let first = if plan.workers.is_some() { "unit of work" } else { "job" };
    table(out, &[first, "system", "targets", "builds", "estimate", "after"], plan.jobs.len(), |at| {
        let job = &plan.jobs[at];
        let targets: Vec<String> = job.targets.iter().map(ToString::to_string).collect();
        let after: Vec<&str> = job.requires.iter().map(|index: &JobIndex| &*plan.job(*index).name).collect();
        vec![
            job.name.clone(),
            job.system.clone(),
            targets.join(", "),
            (job.derivations.len() + job.co_located.len()).to_string(),
            in_words(job.estimate.duration),
            after.join(", "),
        ]
    })?;
    if !plan.errors.is_empty() {
        writeln!(out, "#### Does not evaluate\n")?;
        table(out, &["attribute", "why"], plan.errors.len(), |at| {
            let error = &plan.errors[at];
            vec![error.target.to_string(), error.message.clone()]
        })?;
    }
    Ok(())
}

fn results(report: &Report, verdict: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "### nixdag: {}\n\n{} in {} ({} of job time): {} built, {} fetched, {} present, {} built in more than one job.\n",
        escaped(verdict),
        counted(report.jobs, "job"),
        in_words(report.wall),
        in_words(report.job_time),
        counted(report.built, "derivation"),
        report.substituted,
        report.present,
        report.built_twice.len()
    )?;
    if !report.failures.is_empty() {
        writeln!(out, "#### Failures\n")?;
        table(out, &["what", "job", "class", "why", "next"], report.failures.len(), |at| {
            let failure = &report.failures[at];
            let next: Vec<&str> = failure.next.iter().chain(&failure.reproduce).map(String::as_str).collect();
            vec![
                what(failure),
                failure.job.clone(),
                failure.class.clone().unwrap_or_default(),
                failure.message.clone(),
                next.join(": "),
            ]
        })?;
    }
    logs(&report.failures, out)?;
    let closures: Vec<&ClosureRecord> = report.closures.iter().filter(|closure| closure.differs()).collect();
    if !closures.is_empty() {
        writeln!(out, "#### Runtime closures\n")?;
        table(out, &["target", "before", "after", "growth", "packages"], closures.len(), |at| {
            let closure = closures[at];
            let packages: Vec<String> = closure.packages.iter().flatten().map(package).collect();
            vec![
                closure.target.clone(),
                closure.before.text(),
                closure.after.text(),
                closure.growth().unwrap_or_else(|| "unknown".to_owned()),
                packages.join(", "),
            ]
        })?;
    }
    if !report.missing.is_empty() {
        writeln!(out, "#### Not handed on\n")?;
        table(out, &["job", "what"], report.missing.len(), |at| {
            let missing = &report.missing[at];
            vec![missing.needed_by.clone(), missing.missing.text()]
        })?;
    }
    if !report.built_twice.is_empty() {
        writeln!(out, "#### Built in more than one job\n")?;
        table(out, &["derivation", "jobs"], report.built_twice.len(), |at| {
            let repeated = &report.built_twice[at];
            vec![repeated.derivation.clone(), repeated.jobs.join(", ")]
        })?;
    }
    if !report.slowest.is_empty() {
        writeln!(out, "#### Slowest\n")?;
        table(out, &["time", "derivation", "job"], report.slowest.len(), |at| {
            let slow = &report.slowest[at];
            vec![in_words(slow.duration), slow.derivation.clone(), slow.job.clone()]
        })?;
    }
    Ok(())
}

/// The end of the log of each derivation that failed. HTML, as nothing in a log ends it.
fn logs(failures: &[JobFailure], out: &mut dyn Write) -> io::Result<()> {
    let logs: Vec<(&JobFailure, &String)> =
        failures.iter().filter_map(|failure| Some((failure, failure.log.as_ref()?))).collect();
    for (failure, log) in logs.iter().take(MOST_LOGS) {
        let title = escaped(&shortened(&what(failure), MAX_CELL));
        let lines: Vec<String> = log.lines().map(escaped).collect();
        writeln!(out, "End of the log of {title}:\n\n<pre>{}</pre>\n", lines.join("\n"))?;
    }
    match logs.len().saturating_sub(MOST_LOGS) {
        0 => Ok(()),
        more => writeln!(out, "{} more\n", counted(more, "log")),
    }
}

/// The plan's jobs as Mermaid, where it is small enough to be drawn.
fn graph(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let network = network::jobs(plan);
    if network.edges.is_empty() || network.edges.len() >= MAX_EDGES {
        return Ok(());
    }
    let mut text = Vec::new();
    draw(&network, GraphFormat::Markdown, &mut text)?;
    let text = String::from_utf8_lossy(&text);
    if text.chars().count() > MAX_GRAPH {
        return Ok(());
    }
    writeln!(out, "{text}")
}

/// A table with so many rows; the rest is counted.
fn table(out: &mut dyn Write, head: &[&str], rows: usize, row: impl Fn(usize) -> Vec<String>) -> io::Result<()> {
    if rows == 0 {
        return Ok(());
    }
    writeln!(out, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()))?;
    for at in 0..rows.min(MOST_ROWS) {
        let cells: Vec<String> = row(at).iter().map(|cell| escaped(&shortened(cell, MAX_CELL))).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    if rows > MOST_ROWS {
        writeln!(out, "\n{} more", rows - MOST_ROWS)?;
    }
    writeln!(out)
}

/// Text in which neither Markdown nor HTML finds anything: signs become entities, line ends breaks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, line) in text.lines().enumerate() {
        if at > 0 {
            escaped.push_str("<br>");
        }
        for c in printable(line).chars() {
            if c.is_alphanumeric() || " .,+-/()=".contains(c) {
                escaped.push(c);
            } else {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "&#{};", c as u32);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::builder_log::last_lines;

    #[test]
    fn a_failure_has_the_end_of_its_log_and_nothing_in_it_ends_that() {
        let lines: Vec<String> = (1..=30).map(|line| format!("line {line} </pre> *x*{}", "y".repeat(2_000))).collect();
        let failure = |log: Option<&str>| JobFailure {
            job: "a".into(),
            derivation: None,
            attributes: vec!["packages.x.a".into()],
            class: None,
            message: "no".into(),
            next: None,
            reproduce: None,
            log: log.map(last_lines),
        };
        let failures = vec![failure(Some(&lines.join("\n"))), failure(None)];
        let mut out = Vec::new();
        write(None, Some((&Report { failures, ..Report::new(Vec::new()) }, "1 derivation failed")), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("### nixdag: 1 derivation failed\n"), "{text}");
        let (_, log) = text.split_once("End of the log of packages.x.a:\n\n<pre>").unwrap();
        let (log, after) = log.split_once("</pre>").unwrap();
        assert!(log.starts_with("line 16 &#60;/pre&#62; &#42;x&#42;yyy") && log.lines().count() == 15, "{log}");
        assert!(log.lines().all(|line| line.len() < 500) && after.trim().is_empty(), "{text}");
    }

    #[test]
    fn nothing_of_markdowns_or_htmls_syntax_survives() {
        assert_eq!(
            escaped("a|`<b>`\n[x](y) @z #1 *ü*"),
            "a&#124;&#96;&#60;b&#62;&#96;<br>&#91;x&#93;(y) &#64;z &#35;1 &#42;ü&#42;"
        );
        assert_eq!(escaped("\u{1b}[31m"), "&#92;u&#123;1b&#125;&#91;31m");
    }
}
