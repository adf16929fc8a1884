//! The cost beside other ways to build the same, the slowest derivations, the largest outputs, and what was skipped.
//!
//! In: the pipeline. Out: two sections of the page.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::links;
use super::pipeline::{Derivation, Pipeline, Span};
use super::summary::measured_credits;
use super::words::{bytes, counted, duration, number};
use super::{bars, pipeline};
use crate::build::record::Outcome;
use crate::plan::{SkipReason, Strategy};
use crate::plural;
use crate::view::markup::name;

/// Rows of a table of derivations.
const MOST_ROWS: usize = 20;

/// Targets listed under one reason.
const MOST_TARGETS: usize = 400;

/// The cost.
pub fn cost(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    out.write_str("<h2 id=\"cost\">Cost, beside other ways to build the same</h2>")?;
    let Some(estimates) = pipeline.plan.map(|plan| &plan.estimates) else {
        return out.write_str("<p>Unknown, because there is no plan.</p>");
    };
    let rows: Vec<(&str, &Strategy)> = [
        ("this plan", Some(&estimates.plan)),
        ("the same jobs without waves", estimates.free.as_ref()),
        ("one job", estimates.single.as_ref()),
        ("one job per target, in order", Some(&estimates.ordered)),
        ("one job per target, in no order (a matrix)", Some(&estimates.flat)),
        ("one job per derivation", Some(&estimates.per_derivation)),
    ]
    .into_iter()
    .filter_map(|(label, strategy)| strategy.map(|strategy| (label, strategy)))
    .collect();
    let measured = pipeline.wall().zip(pipeline.machine_time());
    let most = |of: fn(&Strategy) -> u64| rows.iter().map(|(_, strategy)| of(strategy)).max().unwrap_or(1);
    let widest = (
        most(|strategy| strategy.makespan).max(measured.map_or(0, |measured| measured.0)),
        most(|strategy| strategy.job_time).max(measured.map_or(0, |measured| measured.1)),
    );
    out.write_str(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">way</th><th scope=\"col\" class=\"r\">jobs</th>\
         <th scope=\"col\" class=\"r\">builds</th><th scope=\"col\" class=\"r\">wall time</th><td class=\"wide\"></td>\
         <th scope=\"col\" class=\"r\">machine time</th><td class=\"wide\"></td><th scope=\"col\" class=\"r\">credits</th></tr></thead><tbody>",
    )?;
    let has_prices = estimates.plan.credits > 0;
    if let Some((wall, machines)) = measured {
        let built = pipeline.derivations.iter().filter(|drv| drv.outcome == Some(Outcome::Built)).count();
        let strategy = Strategy {
            jobs: pipeline.jobs.iter().filter(|job| !job.runs.is_empty()).count() as u64,
            builds: built as u64,
            job_time: machines,
            makespan: wall,
            credits: measured_credits(pipeline).unwrap_or(0),
        };
        row("<b>measured</b>", &strategy, widest, has_prices, out)?;
    }
    for (label, strategy) in rows {
        row(label, strategy, widest, has_prices, out)?;
    }
    out.write_str("</tbody></table></div>")?;
    if !has_prices {
        out.write_str("<p class=\"dim\">Credits are unknown, because the plan has no prices for its machines.</p>")?;
    }
    Ok(())
}

fn row(label: &str, strategy: &Strategy, widest: (u64, u64), has_prices: bool, out: &mut dyn Write) -> fmt::Result {
    let bar = |value: u64, most: u64, out: &mut dyn Write| -> fmt::Result {
        out.write_str("<td class=\"w wide\">")?;
        bars::span(out, &Span { start: None, phases: [None, None, Some(value), None], total: value }, 0, None, most)?;
        out.write_str("</td>")
    };
    write!(
        out,
        "<tr><th scope=\"row\">{label}</th><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td>",
        number(strategy.jobs),
        number(strategy.builds),
        duration(strategy.makespan)
    )?;
    bar(strategy.makespan, widest.0, out)?;
    write!(out, "<td class=\"r\">{}</td>", duration(strategy.job_time))?;
    bar(strategy.job_time, widest.1, out)?;
    let credits = if has_prices { number(strategy.credits) } else { "–".to_owned() };
    write!(out, "<td class=\"r\">{credits}</td></tr>")
}

/// The other tables.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    out.write_str("<h2 id=\"tables\">Tables</h2><h3>Slowest derivations</h3>")?;
    let run = pipeline.has_run;
    let time = |drv: &Derivation| if run { drv.duration.filter(|_| was_built(drv)) } else { drv.estimate };
    let head: &[&str] = if run { &["measured", "predicted"] } else { &["predicted"] };
    let values = |drv: &Derivation| -> Vec<(Option<u64>, String)> {
        let shown = |time: Option<u64>| (time, time.map_or("unknown".to_owned(), duration));
        if run { vec![shown(drv.duration), shown(drv.estimate)] } else { vec![shown(drv.estimate)] }
    };
    let why = if run { "no record has one" } else { "the plan has no estimates of derivations" };
    ranked(pipeline, &time, (head, &values), why, out)?;
    if run {
        out.write_str("<h3>Largest outputs</h3>")?;
        let values = |drv: &Derivation| vec![(drv.nar_bytes, drv.nar_bytes.map_or(String::new(), bytes))];
        ranked(pipeline, &|drv| drv.nar_bytes, (&["bytes"], &values), "no record has a size", out)?;
    }
    retried(pipeline, out)?;
    skipped(pipeline, out)?;
    write!(
        out,
        "<h3>Jobs</h3><noscript><p>The table of all jobs needs JavaScript.</p></noscript>\
         <details id=\"jobs\"><summary>All {} as a table</summary></details>",
        counted(pipeline.jobs.len(), "job")
    )
}

fn was_built(drv: &Derivation) -> bool {
    matches!(drv.outcome, Some(Outcome::Built | Outcome::Failed))
}

type Columns<'a> = (&'a [&'a str], &'a dyn Fn(&Derivation) -> Vec<(Option<u64>, String)>);

/// The derivations with the largest value, those with none left out.
fn ranked(
    pipeline: &Pipeline,
    value: &dyn Fn(&Derivation) -> Option<u64>,
    (head, values): Columns,
    why_none: &str,
    out: &mut dyn Write,
) -> fmt::Result {
    let mut ranked: Vec<(u64, &Derivation)> = pipeline
        .derivations
        .iter()
        .filter(|drv| pipeline.has_run || !drv.co_located)
        .filter_map(|drv| Some((value(drv)?, drv)))
        .collect();
    if ranked.is_empty() {
        return write!(out, "<p class=\"dim\">Unknown, because {why_none}.</p>");
    }
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.path.cmp(&b.1.path)));
    out.write_str("<div class=\"scroll\"><table class=\"sort\"><thead><tr><th scope=\"col\">derivation</th><th scope=\"col\">job</th>")?;
    for column in head {
        write!(out, "<th scope=\"col\" class=\"r\">{column}</th>")?;
    }
    out.write_str("</tr></thead><tbody>")?;
    for (_, drv) in ranked.iter().take(MOST_ROWS) {
        write!(out, "<tr><td><bdi>{}</bdi></td><td>", name(drv.name()))?;
        links::job(pipeline, drv.job, out)?;
        out.write_str("</td>")?;
        for (value, text) in values(drv) {
            let sorted = value.map_or("-1".to_owned(), |value| value.to_string());
            write!(out, "<td class=\"r\" data-v=\"{sorted}\">{text}</td>")?;
        }
        out.write_str("</tr>")?;
    }
    out.write_str("</tbody></table></div>")
}

/// What was tried again, and what several jobs have built by accident.
fn retried(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let again: Vec<&Derivation> = pipeline.derivations.iter().filter(|drv| drv.retried > 0 || drv.repeated).collect();
    let rerun = pipeline.jobs.iter().enumerate().filter(|(_, job)| job.runs.len() > 1);
    let rerun: Vec<pipeline::JobNumber> = rerun.map(|(number, _)| number as pipeline::JobNumber).collect();
    if again.is_empty() && rerun.is_empty() {
        return Ok(());
    }
    out.write_str("<h3>Done more than once</h3><ul>")?;
    for job in rerun {
        out.write_str("<li>")?;
        links::job(pipeline, job, out)?;
        write!(out, " ran {} times.</li>", pipeline.job(job).runs.len())?;
    }
    for drv in again.iter().take(MOST_TARGETS) {
        write!(out, "<li><bdi>{}</bdi> in ", name(drv.name()))?;
        links::job(pipeline, drv.job, out)?;
        if drv.retried > 0 {
            write!(out, ", tried again {}", plural::counted(drv.retried, "time"))?;
        }
        out.write_str(if drv.repeated { ", built in another job too, by accident.</li>" } else { ".</li>" })?;
    }
    out.write_str("</ul>")
}

fn skipped(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    out.write_str("<h3>Skipped</h3>")?;
    let Some(plan) = pipeline.plan else {
        return out.write_str("<p class=\"dim\">Unknown, because there is no plan.</p>");
    };
    let mut groups: BTreeMap<SkipReason, Vec<String>> = BTreeMap::new();
    for skipped in &plan.skipped {
        groups.entry(skipped.reason).or_default().push(skipped.target.to_string());
    }
    if groups.is_empty() {
        return out.write_str("<p class=\"dim\">Nothing was skipped.</p>");
    }
    for (reason, targets) in groups {
        let words = match reason {
            SkipReason::Available => "existed before",
            SkipReason::Unaffected => "the same as at the base",
            SkipReason::Excluded => "excluded",
            SkipReason::NoExecutor => "without an executor",
        };
        write!(out, "<details><summary>{} {words}</summary><ul class=\"chips\">", counted(targets.len(), "target"))?;
        for target in targets.iter().take(MOST_TARGETS) {
            write!(out, "<li><bdi>{}</bdi></li>", name(target))?;
        }
        if targets.len() > MOST_TARGETS {
            write!(out, "<li class=\"dim\">and {} more</li>", targets.len() - MOST_TARGETS)?;
        }
        out.write_str("</ul></details>")?;
    }
    Ok(())
}
