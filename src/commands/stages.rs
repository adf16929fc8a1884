//! The stages from settings to a plan, as every planning command runs them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context, Error, Result, bail};

use super::evaluation::Failures;
use super::say::{self, detail, note, warning};
use super::{availability, base, evaluation};
use crate::affected::{self, BaseEvaluation, Compared};
use crate::attribute::AttributePath;
use crate::availability::{built_here, find_needed};
use crate::build::built_by_evaluation::built_again;
use crate::choice::Choice;
use crate::evaluated::Evaluated;
use crate::explain::change;
use crate::graph::{DrvId, Graph, Node};
use crate::later::Later;
use crate::nix::configuration::Configuration;
use crate::nix::store::Store;
use crate::output::read_input;
use crate::plan::allowed_failure::allows;
use crate::plan::complete::complete;
use crate::plan::failures::Cause;
use crate::plan::make::{Made, PlanInputs};
use crate::plan::model::Granularity;
use crate::plan::placement::MachineChoice;
use crate::plan::{Base, EvaluationError, Plan, failures, final_job, idle_rules, json, nothing, planned_target};
use crate::plural::counted;
use crate::printable::printable;
use crate::settings::{Settings, Source};
use crate::target::Target;

/// Makes the plan that the settings ask for, or reads it.
///
/// What there is to be said about the plan goes to standard error; `also` are granularities to compare it with.
pub(super) fn plan(settings: &Settings, also: &[Granularity]) -> Result<Made> {
    Ok(planned(settings, also)?.made)
}

/// The same for a table, which says itself why there is nothing to build, and what does not evaluate.
pub(super) fn plan_for_table(settings: &Settings, also: &[Granularity]) -> Result<Made> {
    Ok(named(settings, also, Failures::Listed)?.made)
}

/// The same for one attribute, which is said itself to fail if it does.
pub(super) fn planned_for_attribute(settings: &Settings) -> Result<Planned> {
    Ok(said_why(named(settings, &[], Failures::Listed)?))
}

/// A plan, and what it was made from.
pub(super) struct Planned {
    pub made: Made,
    /// The derivations; none where nothing was evaluated.
    pub graph: Option<Graph>,
    /// All targets, those that the plan leaves out included; none where nothing was evaluated.
    pub targets: Vec<Target>,
    /// The base; none where there is none, or nothing was evaluated.
    pub base: Option<BaseEvaluation>,
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        let made = Made {
            plan,
            notes: Vec::new(),
            others: Vec::new(),
            workers: None,
            decisions: BTreeMap::new(),
            planning: None,
        };
        Self { made, graph: None, targets: Vec::new(), base: None }
    }
}

/// The same, with what it was made from.
pub(super) fn planned(settings: &Settings, also: &[Granularity]) -> Result<Planned> {
    Ok(said_why(named(settings, also, Failures::Said)?))
}

/// Says why nothing was evaluated, where that is so.
fn said_why(planned: Planned) -> Planned {
    let plan = &planned.made.plan;
    let is_ignored = plan.base.as_ref().is_some_and(|base| base.ignored_changes.is_some());
    if let Some(why) = nothing::why(plan).filter(|_| is_ignored) {
        note!("{why}");
    }
    planned
}

/// The plan with the provider's name.
fn named(settings: &Settings, also: &[Granularity], failures: Failures) -> Result<Planned> {
    let mut planned = unnamed(settings, also, failures)?;
    if !matches!(settings.source, Source::Plan(_)) {
        planned.made.plan.provider = Some(settings.provider.name().to_owned());
    }
    Ok(planned)
}

/// The plan, less the provider's name.
fn unnamed(settings: &Settings, also: &[Granularity], failures: Failures) -> Result<Planned> {
    for warning in &settings.warnings {
        warning!("{warning}");
    }
    let at = SystemTime::now();
    let chosen = base::choose(settings)?;
    if let Some(plan) = chosen.as_ref().and_then(|chosen| base::without_effect(chosen, settings)) {
        return Ok(plan.into());
    }
    let began = Began { at, machine: availability::machine(&settings.available) };
    let evaluated = match &settings.source {
        Source::Plan(path) => {
            let plan = json::read(&read_input(path)?).with_context(|| format!("cannot use `{}`", path.display()))?;
            return Ok(plan.into());
        }
        Source::Roots(path) => evaluation::recorded(path, settings)?,
        Source::Flake(flake) => evaluation::live(flake, settings, failures)?,
    };
    detail!(
        "evaluation: {}, {}, {:.1} s",
        counted(evaluated.targets.len(), "target"),
        counted(evaluated.errors.len(), "error"),
        seconds(at)
    );
    let (scope, all) = (&evaluated.scope, evaluated.all());
    let idle = idle_rules::without_targets(&settings.rules, &settings.rule_names, scope, all.clone());
    let names = &settings.failure_names;
    for warning in idle.into_iter().chain(idle_rules::without_failures(&settings.allow_failure, names, scope, all)) {
        warning!("{warning}");
    }
    let base = base::evaluate(chosen.as_ref(), settings)?;
    let evaluated = evaluated.compared_with(base.as_ref());
    let targets = evaluated.targets.clone();
    let (made, graph) = make_plan(evaluated, base.as_ref(), settings, (also, failures), began)?;
    Ok(Planned { made, graph: Some(graph), targets, base })
}

/// Seconds since then.
fn seconds(then: SystemTime) -> f64 {
    then.elapsed().unwrap_or_default().as_secs_f64()
}

/// Leaves out the targets that the change does not touch.
fn leave_out(targets: Vec<Target>, base: Option<&BaseEvaluation>, settings: &Settings) -> Compared {
    let Some(base) = base else { return Compared { affected: targets, unaffected: Vec::new() } };
    let is_restored = |target: &Target| final_job::is_restored(&settings.final_jobs, &target.attribute);
    let (compared, notes) = affected::leave_out(targets, base, settings.change.unaffected, is_restored);
    for note in notes {
        note!("{note}");
    }
    compared
}

/// What was there before evaluation, or was asked for then.
struct Began {
    at: SystemTime,
    /// How this machine is set up, where the settings want to know.
    machine: Option<Later<Configuration>>,
}

/// Plans what was evaluated.
fn make_plan(
    evaluated: Evaluated,
    base: Option<&BaseEvaluation>,
    settings: &Settings,
    (also, failures): (&[Granularity], Failures),
    began: Began,
) -> Result<(Made, Graph)> {
    let is_whole = evaluated.is_whole() && !settings.flags_select;
    let all = [evaluated.targets.as_slice(), evaluated.disabled.as_slice()].concat();
    let disabled = evaluated.disabled.iter().map(|target| &target.attribute);
    let left_out: Vec<AttributePath> = evaluated.excluded.iter().chain(disabled).cloned().collect();
    let head = evaluated.targets.clone();
    let compared = leave_out(evaluated.targets, base, settings);
    let roots: Vec<&str> = compared.affected.iter().map(|target| &*target.drv_path).collect();
    let files = settings.derivation_files();
    let (graph, unreadable) = match settings.source {
        Source::Flake(_) => files.load_readable(&roots)?,
        // Nobody but the user has named these.
        Source::Roots(_) | Source::Plan(_) => (files.load(&roots)?, Vec::new()),
    };
    let mut errors = evaluated.errors;
    errors.extend(unreadable_targets(&compared.affected, &unreadable, settings, failures)?);
    if is_whole && compared.unaffected.is_empty() {
        for warning in idle_rules::without_names(&settings.rules, &settings.rule_names, graph.nodes().map(Node::name)) {
            warning!("{warning}");
        }
    }
    let targets: Vec<(AttributePath, DrvId)> = compared
        .affected
        .into_iter()
        .filter_map(|target| Some((target.attribute, graph.find(&target.drv_path)?)))
        .collect();
    let ids: Vec<DrvId> = targets.iter().map(|(_, id)| *id).collect();
    let source = availability::source(&settings.available, began.machine, &evaluated.caches, graph.store_dir())?;
    let mut needed = find_needed(&graph, &ids, &source)?;
    if settings.evaluation.allow_import_from_derivation && matches!(settings.source, Source::Flake(_)) {
        let (store, all) = (Store::find()?, needed.ids().collect::<Vec<_>>());
        let built = built_here::find(&graph, &all, &store, began.at)?;
        if let Some(again) = built_again(&graph, &all, &store, began.at) {
            note!("{again}");
        }
        needed.take_built(&graph, &ids, built);
    }
    detail!(
        "{}, of which {} are to be built, {:.1} s since the start",
        counted(graph.len(), "derivation"),
        needed.ids().count(),
        seconds(began.at)
    );
    let caches = availability::check(&source, &settings.available)?;
    let inputs = PlanInputs {
        flake: evaluated.flake,
        base: base.map(|base| Base { revision: base.revision.clone(), ignored_changes: None }),
        graph: &graph,
        targets: &targets,
        needed,
        unaffected: compared.unaffected,
        excluded: evaluated.excluded,
        disabled: evaluated.disabled,
        errors,
        caches,
        choice: MachineChoice {
            fleet: &settings.fleet,
            rules: &settings.rules,
            packages: &evaluated.packages,
            allow_failure: &settings.allow_failure,
        },
        costs: &settings.costs,
        options: &settings.planner,
        also,
        workers: !also.is_empty() && say::shows_details(),
        handoff: settings.handoff,
    };
    if let Some(crowd) = inputs.crowd() {
        note!("{crowd}");
    }
    let mut made = complete(inputs, &settings.final_jobs, settings.flags_narrow)?;
    detail!("plan: {}, {:.1} s since the start", counted(made.plan.jobs.len() as u64, "job"), seconds(began.at));
    if let Some(workers) = &made.workers {
        detail!("`mode: workers`, machines that take one derivation after another: {workers}");
    }
    for note in &made.notes {
        warning!("{note}");
    }
    if let Some(base) = base {
        let evaluations = change::Evaluations { head: &head, errors: &made.plan.errors, left_out: &left_out, base };
        let (change, why) = change::of(evaluations, &files);
        why.iter().for_each(|why| warning!("{why}"));
        made.plan.change = Some(change);
    }
    let beside = files.outputs_beside(&graph, all.iter().map(|target| &target.drv_path));
    made.plan.targets = planned_target::of(made.plan.all_jobs(), &graph, &all, &beside);
    match failures::without_executor(&made.plan) {
        Some(lacking) if settings.strict => bail!("{lacking}, which `--strict` forbids"),
        Some(lacking) => warning!("{lacking}"),
        None => {}
    }
    if let Some(note) = failures::allowed(&made.plan) {
        note!("{note}");
    }
    if failures::are_in(&made.plan) {
        let all = failures::of(&made.plan);
        let is_evaluation = all.iter().any(|failure| failure.cause == Cause::Evaluation);
        let advice = if is_evaluation {
            " (what does not evaluate is not built: leave it out with `--exclude`, or stop at once with `--strict`)"
        } else {
            ""
        };
        warning!("{}: the pipeline will report that and fail{advice}", failures::counts(&all));
    }
    Ok((made, graph))
}

/// The targets whose derivations cannot be read, as failures, and said where these are in no list: an input may call anything its `drvPath`.
fn unreadable_targets(
    targets: &[Target],
    unreadable: &[(&str, Error)],
    settings: &Settings,
    failures: Failures,
) -> Result<Vec<EvaluationError>> {
    let errors = failures::unreadable(targets, unreadable);
    for error in &errors {
        let line = format!("attribute `{}`: {}", printable(&error.target.to_string()), printable(&error.message));
        if settings.strict && !allows(&settings.allow_failure, &error.target) {
            bail!("{line}");
        }
        if failures != Failures::Listed {
            warning!("{line}");
        }
    }
    Ok(errors)
}
