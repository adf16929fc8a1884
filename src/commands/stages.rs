//! The stages from settings to a plan, as every planning command runs them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{availability, change, evaluation};
use crate::affected::BaseEvaluation;
use crate::attribute::AttributePath;
use crate::availability::find_needed;
use crate::graph::{DrvId, Graph, Node};
use crate::nearest::meant;
use crate::nix::evaluate::{DEFAULT_PATTERNS, Evaluation, FlakeCaches};
use crate::nix::store_path::DEFAULT_STORE_DIR;
use crate::output::read_input;
use crate::pattern::{Pattern, Segment};
use crate::plan::final_job::{self, Task};
use crate::plan::idle_rules::{self, Scope};
use crate::plan::make::{self, Inputs, Made};
use crate::plan::model::Granularity;
use crate::plan::placement::MachineChoice;
use crate::plan::rules::Wishes;
use crate::plan::{Base, EvaluationError, FlakeSource, Plan, SkipReason, finals, json};
use crate::printable::printable;
use crate::settings::{Settings, Source};
use crate::target::{Target, read_roots};

/// What evaluation has found, live or recorded.
struct Evaluated {
    flake: Option<FlakeSource>,
    targets: Vec<Target>,
    excluded: Vec<AttributePath>,
    errors: Vec<EvaluationError>,
    /// Targets that are left out because their packages say so.
    disabled: Vec<Target>,
    /// Where packages say that they are to be built, and how.
    packages: BTreeMap<AttributePath, Wishes>,
    /// The caches that the flake names itself.
    caches: FlakeCaches,
    /// Where targets were looked for.
    scope: Scope,
}

impl Evaluated {
    /// Every attribute that was selected, whatever became of it.
    fn all(&self) -> impl Iterator<Item = &AttributePath> + Clone {
        let targets = self.targets.iter().chain(&self.disabled).map(|target| &target.attribute);
        targets.chain(&self.excluded).chain(self.errors.iter().map(|error| &error.target))
    }

    /// True where no filter has left out anything that the flake and its settings say is to be planned.
    fn is_whole(&self) -> bool {
        let left_out = self.disabled.len() + self.excluded.len() + self.errors.len();
        left_out == 0 && self.scope.systems.is_none()
    }
}

/// Makes the plan that the settings ask for, or reads it.
///
/// What there is to be said about the plan goes to standard error; `also` are granularities to compare it with.
pub(super) fn plan(settings: &Settings, also: &[Granularity]) -> Result<Made> {
    Ok(planned(settings, also)?.made)
}

/// A plan, and what it was made from.
pub(super) struct Planned {
    pub made: Made,
    /// All targets, those that the plan leaves out included; none where nothing was evaluated.
    pub targets: Vec<Target>,
    /// The base; none where there is none, or nothing was evaluated.
    pub base: Option<BaseEvaluation>,
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        let made = Made { plan, notes: Vec::new(), others: Vec::new(), decisions: BTreeMap::new() };
        Self { made, targets: Vec::new(), base: None }
    }
}

/// The same, with what it was made from.
pub(super) fn planned(settings: &Settings, also: &[Granularity]) -> Result<Planned> {
    for warning in &settings.warnings {
        eprintln!("warning: {warning}");
    }
    let chosen = change::choose(settings);
    if let Some(plan) = chosen.as_ref().and_then(|chosen| change::without_effect(chosen, settings)) {
        return Ok(plan.into());
    }
    let evaluated = match &settings.source {
        Source::Plan(path) => {
            let plan = json::read(&read_input(path)?).with_context(|| format!("cannot use `{}`", path.display()))?;
            return Ok(plan.into());
        }
        Source::Roots(path) => recorded(path, settings)?,
        Source::Flake(flake) => evaluated(flake, settings)?,
    };
    for warning in idle_rules::without_targets(&settings.rules, &evaluated.scope, evaluated.all()) {
        eprintln!("warning: {warning}");
    }
    let base = change::evaluate(chosen.as_ref(), settings)?;
    let targets = evaluated.targets.clone();
    let made = make_plan(evaluated, base.as_ref(), settings, also)?;
    Ok(Planned { made, targets, base })
}

/// Plans what was evaluated.
fn make_plan(
    evaluated: Evaluated,
    base: Option<&BaseEvaluation>,
    settings: &Settings,
    also: &[Granularity],
) -> Result<Made> {
    let is_whole = evaluated.is_whole() && !settings.flags_select;
    let compared = change::leave_out(evaluated.targets, base, settings);
    let graph = load(compared.affected.iter().map(|target| target.drv_path.as_str()), settings)?;
    if is_whole && compared.unaffected.is_empty() {
        for warning in idle_rules::without_names(&settings.rules, graph.nodes().map(Node::name)) {
            eprintln!("warning: {warning}");
        }
    }
    let targets: Vec<(AttributePath, DrvId)> = compared
        .affected
        .into_iter()
        .filter_map(|target| Some((target.attribute, graph.find(&target.drv_path)?)))
        .collect();
    let ids: Vec<DrvId> = targets.iter().map(|(_, id)| *id).collect();
    let source = availability::source(&settings.available, &evaluated.caches, graph.store_dir())?;
    let needed = find_needed(&graph, &ids, &source)?;
    let caches = availability::check(&source, &settings.available)?;
    let (targets, built) = final_job::split(&settings.final_jobs, targets);
    let mut needed_by_jobs = needed.clone();
    if built.iter().any(|attributes| !attributes.is_empty()) {
        needed_by_jobs.restrict(&graph, &targets.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    }
    let mut made = make::make(Inputs {
        flake: evaluated.flake,
        base: base.map(|base| Base { revision: base.revision.clone(), ignored_changes: None }),
        graph: &graph,
        targets: &targets,
        needed: needed_by_jobs,
        unaffected: compared.unaffected,
        excluded: evaluated.excluded,
        disabled: evaluated.disabled,
        errors: evaluated.errors,
        caches,
        choice: MachineChoice { fleet: &settings.fleet, rules: &settings.rules, packages: &evaluated.packages },
        costs: &settings.costs,
        options: &settings.planner,
        also,
        handoff: settings.handoff,
    })?;
    for note in &made.notes {
        eprintln!("warning: {note}");
    }
    let warnings = finals::add(
        &mut made.plan,
        &finals::Inputs {
            requests: &settings.final_jobs,
            graph: &graph,
            targets: &targets,
            built: &built,
            needed: &needed,
            fleet: &settings.fleet,
            costs: &settings.costs,
        },
    )?;
    for warning in warnings.iter().chain(&without_executor(&made.plan)) {
        eprintln!("warning: {warning}");
    }
    Ok(made)
}

/// A sentence about the targets that no executor builds, if there are any: a configuration does not list them.
fn without_executor(plan: &Plan) -> Option<String> {
    let mut lacking = plan.skipped.iter().filter(|skipped| skipped.reason == SkipReason::NoExecutor);
    let first = lacking.next()?;
    let said = first.place.as_ref().map(|place| format!(": {place}")).unwrap_or_default();
    let more = match lacking.count() {
        0 => String::new(),
        1 => " (and 1 target more: `nixdag plan` says why)".to_owned(),
        more => format!(" (and {more} targets more: `nixdag plan` says why)"),
    };
    Some(printable(&format!("no executor builds target `{}`{said}{more}", first.target)))
}

/// What final jobs build, which is selected beside everything else.
fn built(settings: &Settings) -> Vec<Pattern> {
    let built = settings.final_jobs.iter().filter_map(|request| match &request.task {
        Task::Build(patterns) => Some(patterns),
        Task::Run { .. } => None,
    });
    built.flatten().cloned().collect()
}

/// Loads the graph below these derivations.
pub(super) fn load<'a>(roots: impl Iterator<Item = &'a str>, settings: &Settings) -> Result<Graph> {
    let roots: Vec<&str> = roots.collect();
    let store_dir = roots.first().and_then(|root| root.rsplit_once('/')).map_or(DEFAULT_STORE_DIR, |(dir, _)| dir);
    Graph::load(roots.iter().copied(), drv_dir(store_dir, settings), store_dir)
}

/// The folder with the `.drv` files of a store directory.
pub(super) fn drv_dir<'a>(store_dir: &'a str, settings: &'a Settings) -> &'a Path {
    settings.drv_dir.as_deref().unwrap_or(Path::new(store_dir))
}

/// A flake's selected attributes, evaluated now; no word about those that do not evaluate.
pub(super) fn evaluate_quietly(flake: &str, settings: &Settings) -> Result<Evaluation> {
    evaluation::quietly(flake, built(settings), settings)
}

/// The flake, evaluated now.
fn evaluated(flake: &str, settings: &Settings) -> Result<Evaluated> {
    let mut select = settings.select.clone();
    if select.is_empty() {
        select = DEFAULT_PATTERNS.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
    }
    select.extend(built(settings));
    let evaluation = evaluation::run(flake, built(settings), settings)?;
    match evaluation.errors.len() {
        0 => {}
        count if settings.strict => bail!("{count} attributes do not evaluate, which `--strict` forbids"),
        count => eprintln!(
            "warning: {count} attributes are left out as they do not evaluate (leave them out with `--exclude`, or make it fatal with `--strict`)"
        ),
    }
    let packages = settings.packages(&evaluation.says);
    for warning in &packages.warnings {
        eprintln!("warning: {warning}");
    }
    let (disabled, targets) =
        evaluation.targets.into_iter().partition(|target| packages.disabled.contains(&target.attribute));
    let errors = evaluation.errors.into_iter();
    Ok(Evaluated {
        flake: Some(FlakeSource { url: evaluation.flake.url, revision: evaluation.flake.revision }),
        targets,
        disabled,
        excluded: evaluation.excluded,
        errors: errors.map(|error| EvaluationError { target: error.attribute, message: error.message }).collect(),
        packages: packages.wishes,
        caches: evaluation.caches,
        scope: Scope {
            select: Some(select),
            systems: settings.systems.listed().filter(|_| !evaluation.has_all_systems),
        },
    })
}

/// A recorded evaluation, less what the patterns leave out.
fn recorded(path: &Path, settings: &Settings) -> Result<Evaluated> {
    let targets = read_roots(&read_input(path)?).with_context(|| format!("cannot use `{}`", path.display()))?;
    for pattern in &settings.select {
        check_literals(pattern, &targets, path)?;
    }
    let matches = |patterns: &[Pattern], target: &Target| {
        patterns.iter().any(|pattern| pattern.matches(target.attribute.names()))
    };
    // Without a selection everything recorded is taken.
    let mut select = settings.select.clone();
    if !select.is_empty() {
        select.extend(built(settings));
    }
    let (selected, total) = (select.as_slice(), targets.len());
    let mut taken = Vec::new();
    let mut excluded = Vec::new();
    for target in targets {
        if !selected.is_empty() && !matches(selected, &target) {
            continue;
        }
        if matches(&settings.exclude, &target) { excluded.push(target.attribute) } else { taken.push(target) }
    }
    if taken.is_empty() && excluded.is_empty() {
        bail!(
            "nothing is selected: `{}` holds {total} attributes{}",
            path.display(),
            if selected.is_empty() { "" } else { ", and no `--select` pattern matches one of them" }
        );
    }
    Ok(Evaluated {
        flake: None,
        targets: taken,
        excluded,
        errors: Vec::new(),
        disabled: Vec::new(),
        packages: BTreeMap::new(),
        caches: FlakeCaches::default(),
        scope: Scope { select: (!select.is_empty()).then_some(select), systems: None },
    })
}

/// A pattern without globs names an attribute, which must be there.
fn check_literals(pattern: &Pattern, targets: &[Target], path: &Path) -> Result<()> {
    for alternative in pattern.alternatives() {
        let literal: Option<AttributePath> = alternative
            .iter()
            .map(|segment| match segment {
                Segment::Literal(name) => Some(name.clone()),
                Segment::Glob(_) => None,
            })
            .collect::<Option<Vec<String>>>()
            .map(AttributePath);
        let Some(literal) = literal else { continue };
        if targets.iter().any(|target| target.attribute == literal) {
            continue;
        }
        let names: Vec<String> = targets.iter().map(|target| target.attribute.to_string()).collect();
        let literal = literal.to_string();
        let hint = meant(&literal, names.iter().map(String::as_str));
        bail!("`{}` has no attribute `{}`{hint}", path.display(), printable(&literal));
    }
    Ok(())
}
