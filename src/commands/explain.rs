//! `nixdag explain`

use anyhow::Result;

use super::ExitCode;
use super::stages::{self, Planned};
use crate::attribute::AttributePath;
use crate::cli::{ExplainArgs, ExplainFormat};
use crate::explain::{self, Closure, Difference, Explanation, attribute, causes, text};
use crate::graph::{DrvId, Graph};
use crate::nix::system;
use crate::output::Output;
use crate::plan::Plan;
use crate::settings::Settings;

pub(super) fn run(mut args: ExplainArgs) -> Result<ExitCode> {
    split(&mut args);
    let settings = Settings::new(&args.planning)?;
    let planned = stages::planned(&settings, &[])?;
    let plan = &planned.made.plan;
    let known: Vec<_> = explain::targets(plan).into_iter().collect();
    let target = match plan.base.as_ref().and_then(|base| base.ignored_changes) {
        // Nothing was evaluated: whatever is asked for is not built.
        Some(_) => AttributePath::parse(&args.attribute)?,
        None => attribute::find(&args.attribute, &known, &system::current())?.clone(),
    };
    let mut explanation = explain::explain(plan, &target, &planned.targets, planned.base.as_ref());
    explanation.decided_by = planned.made.decisions.get(&target).map(ToString::to_string);
    if let Err(error) = look_closer(&mut explanation, &planned, &settings) {
        eprintln!("warning: the derivations are not at hand, so this is what the plan tells: {error:#}");
    }
    Output::from(args.output.clone()).write(|mut out| match args.format {
        ExplainFormat::Text => text::write(&explanation, &mut out),
        ExplainFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &explanation)?;
            writeln!(out)
        }
    })?;
    Ok(ExitCode::Done)
}

/// Takes `FLAKE#ATTRIBUTE` apart, as Nix users write it.
fn split(args: &mut ExplainArgs) {
    let planning = &mut args.planning;
    if planning.flake.is_some() || planning.plan.is_some() || planning.roots.is_some() {
        return;
    }
    // A `#` in quotes belongs to a name.
    if let Some((flake, attribute)) = args.attribute.split_once('#').filter(|(flake, _)| !flake.contains('"')) {
        planning.flake = Some(if flake.is_empty() { "." } else { flake }.to_owned());
        args.attribute = attribute.to_owned();
    }
}

/// Adds what only the derivations tell.
fn look_closer(explanation: &mut Explanation, planned: &Planned, settings: &Settings) -> Result<()> {
    let Some(derivation) = explanation.derivation.clone() else { return Ok(()) };
    let base = match &explanation.change {
        Some(Difference::Changed { base_derivation, .. }) => Some(base_derivation.clone()),
        _ => None,
    };
    let graph = stages::load([Some(&derivation), base.as_ref()].into_iter().flatten().map(String::as_str), settings)
        .or_else(|error| {
            // Without the base's derivations there is still something to say.
            eprintln!("warning: not all derivations are at hand: {error:#}");
            stages::load([derivation.as_str()].into_iter(), settings)
        })?;
    let Some(head) = graph.find(&derivation) else { return Ok(()) };
    explanation.closure = Some(closure(&graph, head, &planned.made.plan));
    if let (Some(Difference::Changed { why, .. }), Some(base)) =
        (&mut explanation.change, base.and_then(|base| graph.find(&base)))
    {
        *why = Some(causes::compare(&graph, stages::drv_dir(graph.store_dir(), settings), head, base)?);
    }
    Ok(())
}

/// Counts what the target is made of.
fn closure(graph: &Graph, target: DrvId, plan: &Plan) -> Closure {
    let mut in_closure = vec![false; graph.len()];
    in_closure[target.at()] = true;
    // Inputs stand before their consumers.
    for id in graph.ids().rev().filter(|id| *id <= target) {
        if in_closure[id.at()] {
            graph.inputs(id).iter().for_each(|input| in_closure[input.drv.at()] = true);
        }
    }
    let mut built = vec![false; graph.len()];
    let paths = plan.all_jobs().flat_map(|job| job.derivations.iter().chain(&job.co_located));
    paths.filter_map(|path| graph.find(path)).for_each(|id| built[id.at()] = true);
    let built = in_closure.iter().zip(&built).filter(|(is_in, built)| **is_in && **built).count();
    Closure { derivations: in_closure.iter().filter(|is_in| **is_in).count(), built }
}
