//! The plan as a table for people: jobs, what was skipped, what failed, and the plan beside simpler ones.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::comparison;
use super::look::{InText, Look, row};
use crate::attribute::AttributePath;
use crate::plan::evaluation_errors;
use crate::plan::make::Made;
use crate::plan::model::Aim;
use crate::plan::nothing;
use crate::plan::{Job, JobIndex, JobOptions, Plan, SkipReason, Skipped};
use crate::plural::counted;
use crate::printable::printable;

/// Rows that are printed of each part before the rest is only counted.
const MOST_ROWS: usize = 60;

/// Characters of a command that are shown.
const MAX_COMMAND: usize = 50;

/// Writes the whole plan; `aim` is what it was made for.
pub fn write(made: &Made, aim: Aim, look: &Look, out: &mut impl Write) -> io::Result<()> {
    jobs(&made.plan, look, out)?;
    final_jobs(&made.plan, look, out)?;
    skipped(&made.plan, look, out)?;
    errors(&made.plan, look, out)?;
    comparison::write(made, aim, look, out)
}

fn jobs(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    let critical: HashSet<JobIndex> = plan.critical_path().into_iter().collect();
    if let Some(why) = nothing::why(plan) {
        return look.sentence(&why, out);
    }
    if plan.jobs.is_empty() {
        return writeln!(out, "nothing to build before the final jobs");
    }
    let (machines, options) = (machines(plan), options(plan, look.duration()));
    let first = if plan.workers.is_some() { "UNIT" } else { "JOB" };
    // Where the terminal is narrow, the system is in its own column alone, or below the table where there is one for all.
    let system =
        plan.jobs.first().map(|job| &job.system).filter(|first| plan.jobs.iter().all(|job| job.system == **first));
    let duration = look.duration();
    let rows = |is_short: bool| {
        let name = |job: &Job| if is_short { name_without_system(job) } else { job.name.clone() };
        // Jobs before may be of other systems, which this row does not say. The system comes first: cells are cut in the middle.
        let name_before = |before: &Job, job: &Job| {
            let is_other = before.system != job.system && is_short;
            if is_other { format!("{}: {}", before.system, name(before)) } else { name(before) }
        };
        let attribute =
            |path: &AttributePath, system: &str| if is_short { without_system(path, system) } else { path.to_string() };
        let mut rows = vec![row([first, "SYSTEM", "TARGETS", "BUILDS", "ESTIMATE", "AFTER"])];
        for (head, _) in [("OPTIONS", &options), ("MACHINE", &machines)].iter().filter(|(_, cells)| cells.is_some()) {
            rows[0].insert(2, (*head).into());
        }
        for (index, job) in (0..).map(JobIndex).zip(&plan.jobs).take(MOST_ROWS) {
            let co_located = match job.co_located.len() {
                0 => String::new(),
                count => format!("+{count} co-located"),
            };
            rows.push(vec![
                name(job),
                job.system.clone(),
                match job.targets.is_empty() {
                    true => needed_for(plan, index, &name),
                    false => list(job.targets.iter().map(|target| attribute(target, &job.system)), 3),
                },
                format!("{}{co_located}", job.derivations.len()),
                format!("{}{}", duration(job.estimate.duration), if critical.contains(&index) { " *" } else { "" }),
                list(job.requires.iter().map(|index| name_before(&plan.jobs[index.at()], job)), 3),
            ]);
            for cells in [&options, &machines].into_iter().flatten() {
                rows.last_mut().into_iter().for_each(|row| row.insert(2, cells[index.at()].clone()));
            }
        }
        if is_short && system.is_some() {
            rows.iter_mut().for_each(|row| drop(row.remove(1)));
        }
        rows
    };
    let is_short = look.columns_or(&rows(false), || rows(true), out)?;
    more(plan.jobs.len(), out)?;
    writeln!(out, "* on the critical path, which has {}", counted(critical.len() as u64, "job"))?;
    if let Some(system) = system.filter(|_| is_short) {
        look.sentence(&format!("All of this is for {}.", printable(system)), out)?;
    }
    match &plan.workers {
        Some(workers) => {
            let count = counted(workers.count() as u64, "worker");
            look.sentence(
                &format!("Each line is a unit of work, not a job of the CI: a worker that is free takes it ({count})."),
                out,
            )
        }
        None => Ok(()),
    }
}

/// `hello`, `checks.….hello`: the attribute without the system, which is said elsewhere. A package is what its name alone means.
fn without_system(attribute: &AttributePath, system: &str) -> String {
    let text = attribute.to_string();
    match text.strip_prefix(&format!("packages.{system}.")) {
        Some(package) => package.to_owned(),
        None => text.replacen(&format!(".{system}."), ".….", 1),
    }
}

/// `hello` for the job `hello (x86_64-linux)`.
fn name_without_system(job: &Job) -> String {
    job.name.strip_suffix(&format!(" ({})", job.system)).unwrap_or(&job.name).to_owned()
}

/// `(for curl, hello)`: the jobs with targets that need this one, which has none.
fn needed_for(plan: &Plan, index: JobIndex, name: &dyn Fn(&Job) -> String) -> String {
    let needs = |job: &&Job| !job.targets.is_empty() && job.inputs.contains(&index);
    let names: Vec<String> = plan.jobs.iter().filter(needs).map(name).collect();
    if names.is_empty() { String::new() } else { format!("(for {})", list(names.into_iter(), 3)) }
}

/// What each job runs on, where jobs of one system differ in that.
fn machines(plan: &Plan) -> Option<Vec<String>> {
    let mut of_system: HashMap<&str, &str> = HashMap::new();
    let texts: Vec<String> = plan.jobs.iter().map(machine).collect();
    let differ =
        plan.jobs.iter().zip(&texts).any(|(job, text)| *of_system.entry(&job.system).or_insert(text) != text.as_str());
    differ.then_some(texts)
}

/// `docker: large`
fn machine(job: &Job) -> String {
    let executor = job.executor.as_deref().unwrap_or("?");
    match &job.resource_class {
        Some(class) => format!("{executor}: {class}"),
        None => executor.to_owned(),
    }
}

/// What is special about each job, where something is.
fn options(plan: &Plan, duration: InText) -> Option<Vec<String>> {
    let is_special = plan.jobs.iter().any(|job| job.options != JobOptions::default());
    is_special.then(|| plan.jobs.iter().map(|job| options_of(&job.options, duration)).collect())
}

/// `≤ 30 min 00 s, context signing`
fn options_of(options: &JobOptions, duration: InText) -> String {
    let mut texts = Vec::new();
    texts.extend(options.timeout.map(|seconds| format!("≤ {}", duration(u64::from(seconds) * 1000))));
    texts.extend(options.context.iter().map(|context| format!("context {context}")));
    texts.extend(options.retries.map(|retries| format!("retries: {retries}")));
    texts.extend(options.allow_failure.then(|| "may fail".to_owned()));
    texts.join(", ")
}

fn final_jobs(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    if plan.final_jobs.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = vec![row(["FINAL JOB", "SYSTEM", "DOES", "RESTORED", "AFTER"])];
    for final_job in plan.final_jobs.iter().take(MOST_ROWS) {
        let job = &final_job.job;
        rows.push(vec![
            job.name.clone(),
            job.system.clone(),
            match &final_job.run {
                Some(command) => first_line(command),
                None if plan.sizes.as_ref().is_some_and(|sizes| sizes.job == job.id) => {
                    "looks at closure sizes".to_owned()
                }
                None => format!("builds {}", list(job.targets.iter().map(ToString::to_string), 3)),
            },
            list(final_job.restore.iter().map(|restored| restored.target.to_string()), 3),
            list(job.requires.iter().map(|&index| plan.job(index).name.clone()), 3),
        ]);
    }
    look.columns(&rows, out)?;
    more(plan.final_jobs.len(), out)
}

/// The first line of a command that says something, as far as it fits.
fn first_line(command: &str) -> String {
    let mut lines = command.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut shown: String = first.chars().take(MAX_COMMAND).collect();
    if shown.len() < first.len() || lines.next().is_some() {
        shown.push_str(" …");
    }
    shown
}

fn skipped(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    if plan.skipped.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut rows = vec![row(["SKIPPED", "WHY"])];
    // What the change leaves alone is most of a package set, and tells least.
    let is_unaffected = |skipped: &&Skipped| skipped.reason == SkipReason::Unaffected;
    let (last, first): (Vec<_>, Vec<_>) = plan.skipped.iter().partition(is_unaffected);
    for skipped in first.into_iter().chain(last.iter().copied()).take(MOST_ROWS) {
        let reason = match skipped.reason {
            SkipReason::Available => "available",
            SkipReason::Unaffected => "unaffected by the change",
            SkipReason::Excluded => "excluded",
            SkipReason::NoExecutor => "no executor builds it",
        };
        let link = match skipped.reason {
            SkipReason::Available | SkipReason::Unaffected => " in",
            SkipReason::Excluded | SkipReason::NoExecutor => ":",
        };
        let place = skipped.place.as_ref().map(|place| format!("{link} {place}")).unwrap_or_default();
        rows.push(vec![skipped.target.to_string(), format!("{reason}{place}")]);
    }
    look.columns(&rows, out)?;
    more(plan.skipped.len(), out)?;
    match last.len() {
        0 => Ok(()),
        unaffected => {
            writeln!(
                out,
                "{} unaffected by the change since {}",
                counted(unaffected as u64, "target"),
                nothing::base(plan)
            )
        }
    }
}

fn errors(plan: &Plan, look: &Look, out: &mut impl Write) -> io::Result<()> {
    if plan.errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", look.red("DOES NOT EVALUATE"))?;
    let groups = evaluation_errors::groups(&plan.errors, |error| &error.message);
    for group in groups.iter().take(MOST_ROWS) {
        let new = match group.errors.iter().filter(|error| error.new == Some(true)).count() {
            0 => String::new(),
            count if count == group.errors.len() => "  (new: not so at the base)".to_owned(),
            count => format!("  ({count} of them new: not so at the base)"),
        };
        let names = group.errors.iter().map(|error| printable(&error.target.to_string()));
        writeln!(out, "{}{new}", list(names, 5))?;
        for line in group.why(|error| &error.message).lines() {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    let left: usize = groups.iter().skip(MOST_ROWS).map(|group| group.errors.len()).sum();
    more(MOST_ROWS + left, out)
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
