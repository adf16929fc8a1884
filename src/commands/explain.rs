//! `nixdag explain`

use anyhow::Result;

use super::exit_code::ExitCode;
use super::say::{self, note, warning};
use super::stages;
use crate::attribute::AttributePath;
use crate::cli::{ExplainArgs, TextFormat};
use crate::explain::{self, attribute, closer, text};
use crate::nix::evaluate::NothingFound;
use crate::nix::system;
use crate::output::Output;
use crate::pattern::Pattern;
use crate::printable::printable;
use crate::settings::{Settings, split_installable};

pub(super) fn run(mut args: ExplainArgs) -> Result<ExitCode> {
    split(&mut args);
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = output.format(args.format)?;
    let mut settings = Settings::new(&args.planning)?;
    let planned = match stages::planned_for_attribute(&settings) {
        // `plan FLAKE#ATTRIBUTE` finds what no pattern selects.
        Err(error) if error.is::<NothingFound>() => {
            let (pattern, _) = Pattern::installable(&args.attribute)?;
            settings.select = vec![pattern.to_derivations()];
            let planned = stages::planned_for_attribute(&settings)?;
            note!("what is selected has no derivation: this is about a plan of `{}` alone", printable(&args.attribute));
            planned
        }
        planned => planned?,
    };
    let plan = &planned.made.plan;
    let known: Vec<_> = explain::targets(plan).into_iter().collect();
    let target = match plan.base.as_ref().and_then(|base| base.ignored_changes) {
        // Nothing was evaluated: whatever is asked for is not built.
        Some(_) => {
            let target = AttributePath::parse(&args.attribute)?;
            warning!(
                "nothing was evaluated, so nobody knows whether there is a target `{}`",
                printable(&args.attribute)
            );
            target
        }
        None => attribute::find(&args.attribute, &known, &system::current())?.clone(),
    };
    let mut explanation = explain::explain(plan, &target, &planned.targets, planned.base.as_ref());
    if let Some(graph) = &planned.graph {
        explain::add_same_job(&mut explanation, &planned.targets, graph);
    }
    explanation.decided_by = planned.made.decisions.get(&target).map(ToString::to_string);
    match closer::look(&mut explanation, plan, settings.derivation_files()) {
        Ok(None) => {}
        Ok(Some(error)) => warning!("some derivations are missing: {error:#}"),
        Err(error) => {
            warning!("the derivations are missing, so this shows only what is in the plan: {error:#}");
        }
    }
    output.write(|mut out| match format {
        TextFormat::Text => text::write(&explanation, &mut out),
        TextFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &explanation)?;
            writeln!(out)
        }
    })?;
    say::wrote(&output, "");
    Ok(ExitCode::Done)
}

/// Takes `FLAKE#ATTRIBUTE` apart, as Nix users write it.
fn split(args: &mut ExplainArgs) {
    let planning = &mut args.planning;
    if planning.flake.is_some() || planning.plan.is_some() || planning.roots.is_some() {
        return;
    }
    // A `#` in quotes belongs to a name.
    let (flake, attribute) = split_installable(&args.attribute);
    if let Some(attribute) = attribute.filter(|_| !flake.contains('"')) {
        let attribute = attribute.split('^').next().unwrap_or(attribute);
        let attribute = if attribute.is_empty() { "default" } else { attribute }.to_owned();
        planning.flake = Some(flake.to_owned());
        args.attribute = attribute;
    }
}
