//! Evaluation, live or recorded, as every planning command does it, with its warnings on standard error.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::progress::Printer;
use crate::affected::BaseEvaluation;
use crate::attribute::AttributePath;
use crate::evaluation_cache::{self, EvaluationCache};
use crate::nix::command::Nix;
use crate::nix::evaluate::{DEFAULT_PATTERNS, EvalError, Evaluation, FlakeCaches, Progress, Request, evaluate};
use crate::output::read_input;
use crate::pattern::Pattern;
use crate::plan::allowed_failure::allows_message;
use crate::plan::idle_rules::Scope;
use crate::plan::rules::JobSettings;
use crate::plan::{EvaluationError, FlakeSource, evaluation_errors, final_job};
use crate::printable::printable;
use crate::recorded_evaluation::{self, Selected, Selection};
use crate::settings::Settings;
use crate::settings::evaluation::EvaluationCacheChoice;
use crate::target::Target;

/// What evaluation has found, live or recorded.
pub(super) struct Evaluated {
    pub flake: Option<FlakeSource>,
    pub targets: Vec<Target>,
    pub excluded: Vec<AttributePath>,
    pub errors: Vec<EvaluationError>,
    /// Targets that are left out because their packages say so.
    pub disabled: Vec<Target>,
    /// Where packages say that they are to be built, and how.
    pub packages: BTreeMap<AttributePath, JobSettings>,
    /// The caches that the flake names itself.
    pub caches: FlakeCaches,
    /// Where targets were looked for.
    pub scope: Scope,
}

impl Evaluated {
    /// Every attribute that was selected, whatever became of it.
    pub fn all(&self) -> impl Iterator<Item = &AttributePath> + Clone {
        let targets = self.targets.iter().chain(&self.disabled).map(|target| &target.attribute);
        targets.chain(&self.excluded).chain(self.errors.iter().map(|error| &error.target))
    }

    /// The same, each error with what the base says about it.
    pub fn compared_with(mut self, base: Option<&BaseEvaluation>) -> Self {
        if let Some(base) = base {
            for error in &mut self.errors {
                error.new = base.is_new_failure(&error.target);
            }
        }
        self
    }

    /// True where no filter has left out anything that the flake and its settings say is to be planned.
    pub fn is_whole(&self) -> bool {
        let left_out = self.disabled.len() + self.excluded.len() + self.errors.len();
        left_out == 0 && self.scope.systems.is_none()
    }
}

/// The flake, evaluated now.
pub(super) fn live(flake: &str, settings: &Settings) -> Result<Evaluated> {
    let mut select = settings.select.clone();
    if select.is_empty() {
        select = DEFAULT_PATTERNS.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
    }
    select.extend(final_job::built_patterns(&settings.final_jobs));
    let evaluation = with_warnings(flake, settings)?;
    if let Some(absent) = evaluation.absent.first() {
        let error = evaluation.errors.iter().find(|error| error.attribute == *absent);
        bail!(
            "attribute `{}` is selected by its name, but {} (a pattern such as `packages.*.*` takes what there is)",
            printable(&absent.to_string()),
            error.map_or("it is not there", |error| &error.message)
        );
    }
    let is_fatal = |error: &&EvalError| !allows_message(&settings.allow_failure, &error.attribute, &error.message);
    match evaluation.errors.iter().filter(is_fatal).count() {
        0 => {}
        1 if settings.strict => bail!("1 attribute does not evaluate, which `--strict` forbids"),
        count if settings.strict => bail!("{count} attributes do not evaluate, which `--strict` forbids"),
        _ => eprintln!(
            "warning: what does not evaluate is not built (leave it out with `--exclude`, or stop at once with `--strict`)"
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
        errors: errors
            .map(|error| EvaluationError { target: error.attribute, message: error.message, new: None })
            .collect(),
        packages: packages.job_settings,
        caches: evaluation.caches,
        scope: Scope {
            select: Some(select),
            systems: settings.systems.listed().filter(|_| !evaluation.has_all_systems),
        },
    })
}

/// Where evaluations are kept, if anywhere.
pub(super) fn cache(settings: &Settings) -> Option<EvaluationCache> {
    match &settings.evaluation.cache {
        EvaluationCacheChoice::Folder(dir) => Some(EvaluationCache::Travels(dir.clone())),
        EvaluationCacheChoice::User => EvaluationCache::of_user(|name| std::env::var_os(name)),
        EvaluationCacheChoice::Off => None,
    }
}

/// A flake's selected attributes, evaluated now or taken from the cache; no word about those that do not evaluate.
pub(super) fn quietly(flake: &str, settings: &Settings, cache: Option<&EvaluationCache>) -> Result<Evaluation> {
    let how = &settings.evaluation;
    let nix = Nix::find()?.with_variables(&how.variables)?;
    let request = Request {
        flake: flake.into(),
        select: settings.select.clone(),
        also: final_job::built_patterns(&settings.final_jobs),
        exclude: settings.exclude.clone(),
        systems: settings.systems.clone(),
        depth: how.depth,
        override_inputs: how.override_inputs.clone(),
        allow_import_from_derivation: how.allow_import_from_derivation,
        impure: how.impure,
        show_trace: how.show_trace,
        options: how.options.clone(),
        accept_flake_config: how.accept_flake_config,
        budget: how.budget,
    };
    let printer = Printer::new();
    let watch = |progress: &Progress| printer.show(progress);
    let evaluation = match cache {
        Some(cache) => evaluation_cache::evaluate(&nix, &request, cache, &watch, &mut |line| eprintln!("{line}")),
        None => evaluate(&nix, &request, &watch),
    };
    printer.finish();
    evaluation
}

/// The same, with its warnings on standard error.
fn with_warnings(flake: &str, settings: &Settings) -> Result<Evaluation> {
    let evaluation = quietly(flake, settings, cache(settings).as_ref())?;
    for warning in &evaluation.warnings {
        eprintln!("warning: {warning}");
    }
    let hidden = |variable: &str| settings.evaluation.hides(variable).filter(|_| env::var_os(variable).is_some());
    // What is named and not there ends planning with the same words.
    let told = evaluation.errors.iter().filter(|error| !evaluation.absent.contains(&error.attribute));
    for sentence in evaluation_errors::sentences(told, hidden) {
        eprintln!("warning: {sentence}");
    }
    Ok(evaluation)
}

/// A recorded evaluation, less what the patterns leave out.
pub(super) fn recorded(path: &Path, settings: &Settings) -> Result<Evaluated> {
    let what = || format!("cannot use `{}`", path.display());
    let targets = recorded_evaluation::read(&read_input(path)?).with_context(what)?;
    let also = final_job::built_patterns(&settings.final_jobs);
    let selection = Selection::new(&settings.select, also, &settings.exclude);
    let Selected { targets, excluded } = selection.of(targets).with_context(what)?;
    Ok(Evaluated {
        flake: None,
        targets,
        excluded,
        errors: Vec::new(),
        disabled: Vec::new(),
        packages: BTreeMap::new(),
        caches: FlakeCaches::default(),
        scope: Scope { select: selection.select, systems: None },
    })
}
