//! What the change does to targets and to what they bring along: new, gone, changed and failing targets, where the change begins, and runtime
//! closures beside those at the base.
//!
//! In: the pipeline. Out: a section of the page.

use std::fmt::{self, Write};

use super::pipeline::Pipeline;
use super::words::{counted, number};
use crate::attribute::AttributePath;
use crate::build::closure_record::{ClosureRecord, package};
use crate::plan::change::Change;
use crate::view::markup::name;

/// Targets that are listed under one word.
const MOST_TARGETS: usize = 400;

/// Rows of each table.
const MOST_ROWS: usize = 100;

/// Packages that a row names.
const MOST_PACKAGES: usize = 30;

/// The section; none where nothing is compared with a base.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> fmt::Result {
    let change = pipeline.plan.and_then(|plan| plan.change.as_ref());
    if change.is_none() && pipeline.closures.is_empty() {
        return Ok(());
    }
    out.write_str("<h2 id=\"change\">What the change does</h2>")?;
    if let Some(change) = change {
        targets(change, out)?;
        causes(change, out)?;
    }
    closures(pipeline, change, out)
}

/// Lists of targets, each with its word.
pub fn lists(change: &Change) -> [(&'static str, Vec<&AttributePath>); 6] {
    let changed = change.changed.iter().map(|changed| &changed.target).collect();
    [
        ("new", change.new.iter().collect()),
        ("gone", change.gone.iter().collect()),
        ("changed", changed),
        ("newly failing to evaluate", change.newly_failing.iter().collect()),
        ("still failing to evaluate", change.still_failing.iter().collect()),
        ("fixed", change.fixed.iter().collect()),
    ]
}

fn targets(change: &Change, out: &mut dyn Write) -> fmt::Result {
    if change.is_empty() {
        return out.write_str("<p>No target differs from the base.</p>");
    }
    for (word, targets) in lists(change).iter().filter(|(_, targets)| !targets.is_empty()) {
        write!(out, "<details><summary>{} {word}</summary><p class=\"n\">", counted(targets.len(), "target"))?;
        let shown: Vec<String> = targets
            .iter()
            .take(MOST_TARGETS)
            .map(|target| format!("<bdi>{}</bdi>", name(&target.to_string())))
            .collect();
        out.write_str(&shown.join(", "))?;
        if targets.len() > MOST_TARGETS {
            write!(out, " and {} more", number((targets.len() - MOST_TARGETS) as u64))?;
        }
        out.write_str("</p></details>")?;
    }
    Ok(())
}

fn causes(change: &Change, out: &mut dyn Write) -> fmt::Result {
    if change.causes.is_empty() {
        return Ok(());
    }
    out.write_str(
        "<h3>Where it begins</h3><div class=\"scroll\"><table><thead><tr><th scope=\"col\">derivation</th>\
         <th scope=\"col\">what changed</th><th scope=\"col\" class=\"r\">targets</th></tr></thead><tbody>",
    )?;
    for cause in change.causes.iter().take(MOST_ROWS) {
        let title = cause.base_name.as_ref().map_or(cause.name.clone(), |base| format!("{base} → {}", cause.name));
        write!(
            out,
            "<tr><th scope=\"row\" class=\"n\"><bdi>{}</bdi></th><td class=\"n\"><bdi>{}</bdi></td><td class=\"r\">{}</td></tr>",
            name(&title),
            name(&cause.what.join("; ")),
            number(cause.targets)
        )?;
    }
    out.write_str("</tbody></table></div>")?;
    let more = change.causes.len().saturating_sub(MOST_ROWS) as u64 + change.more_causes;
    if more > 0 {
        write!(out, "<p>{} more</p>", number(more))?;
    }
    if change.unexplained > 0 {
        let targets = counted(usize::try_from(change.unexplained).unwrap_or(usize::MAX), "changed target");
        write!(out, "<p class=\"dim\">For {targets} no cause is known.</p>")?;
    }
    Ok(())
}

fn closures(pipeline: &Pipeline, change: Option<&Change>, out: &mut dyn Write) -> fmt::Result {
    out.write_str("<h3>Runtime closures</h3>")?;
    let differing: Vec<&ClosureRecord> = pipeline.closures.iter().filter(|closure| closure.differs()).collect();
    let same = pipeline.closures.len() - differing.len();
    if pipeline.closures.is_empty() {
        let why = match (pipeline.has_run, pipeline.plan.and_then(|plan| plan.sizes.as_ref())) {
            (_, None) => "nixdag.yml has no <code>size_limits</code>",
            (true, Some(_)) => "the job that looks at them did not run",
            (false, Some(_)) => "nothing has run yet",
        };
        let what = if change.is_some_and(Change::is_empty) { "Sizes" } else { "What grows and shrinks" };
        return write!(out, "<p>{what}: unknown, because {why}.</p>");
    }
    if !differing.is_empty() {
        out.write_str(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">target</th><th scope=\"col\" class=\"r\">before</th>\
             <th scope=\"col\" class=\"r\">after</th><th scope=\"col\" class=\"r\">growth</th><th scope=\"col\">packages</th></tr></thead><tbody>",
        )?;
        for closure in differing.iter().take(MOST_ROWS) {
            row(closure, out)?;
        }
        out.write_str("</tbody></table></div>")?;
        if differing.len() > MOST_ROWS {
            write!(out, "<p>{} more</p>", number((differing.len() - MOST_ROWS) as u64))?;
        }
    }
    if same > 0 {
        write!(out, "<p>{} of the same size and with the same packages.</p>", counted(same, "closure"))?;
    }
    Ok(())
}

fn row(closure: &ClosureRecord, out: &mut dyn Write) -> fmt::Result {
    let packages: Vec<String> = closure.packages.iter().flatten().take(MOST_PACKAGES).map(package).collect();
    let all = closure.packages.as_ref().map_or(0, Vec::len) as u64 + closure.more_packages;
    let more = all - packages.len() as u64;
    let more = if more > 0 { format!(", {} more", number(more)) } else { String::new() };
    write!(
        out,
        "<tr><th scope=\"row\" class=\"n\"><bdi>{}</bdi></th><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td>\
         <td class=\"n\"><bdi>{}</bdi>{more}</td></tr>",
        name(&closure.target),
        name(&closure.before.text()),
        name(&closure.after.text()),
        name(&closure.growth().unwrap_or_else(|| "unknown".to_owned())),
        name(&packages.join(", ")),
    )
}
