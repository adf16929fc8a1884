//! Evaluation, live or recorded, as every planning command does it, with its warnings on standard error.

use std::env;
use std::path::Path;

use anyhow::{Context, Result};

use super::progress::Printer;
use super::say::{self, warning};
use crate::build::failed_evaluation;
use crate::evaluated::Evaluated;
use crate::evaluation_cache::{self, CacheNote, EvaluationCache};
use crate::nix::command::Nix;
use crate::nix::evaluate::{Evaluation, EvaluationRequest, Progress, evaluate};
use crate::output::read_input;
use crate::plan::evaluation_errors;
use crate::recorded_evaluation;
use crate::settings::Settings;
use crate::settings::evaluation::EvaluationCacheChoice;

/// Where people read about attributes that do not evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    /// On standard error.
    Said,
    /// In what the command prints.
    Listed,
}

/// The flake, evaluated now.
pub(super) fn live(flake: &str, settings: &Settings, failures: Failures) -> Result<Evaluated> {
    let (evaluated, warnings) = Evaluated::new(with_warnings(flake, settings, failures)?, settings)?;
    for warning in warnings {
        warning!("{warning}");
    }
    Ok(evaluated)
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
pub(super) fn quietly(
    request: &EvaluationRequest,
    settings: &Settings,
    cache: Option<&EvaluationCache>,
) -> Result<Evaluation> {
    let nix = Nix::find()?.with_variables(&settings.evaluation.variables)?;
    let printer = Printer::new();
    let watch = |progress: &Progress| printer.show(progress);
    let evaluation = match cache {
        Some(cache) => evaluation_cache::evaluate(&nix, request, cache, &watch, &mut |said| match said {
            CacheNote::Taken(line) => {
                printer.forget();
                say::done(line);
            }
            CacheNote::Warning(line) => warning!("{line}"),
        }),
        None => evaluate(&nix, request, &watch),
    };
    printer.finish();
    let mut evaluation = evaluation?;
    for error in &mut evaluation.errors {
        if let Some(build) = &error.build {
            error.message = failed_evaluation::message(build);
        }
    }
    Ok(evaluation)
}

/// The same, with its warnings on standard error.
fn with_warnings(flake: &str, settings: &Settings, failures: Failures) -> Result<Evaluation> {
    let evaluation = quietly(&settings.evaluation_request(flake), settings, cache(settings).as_ref())?;
    for warning in &evaluation.warnings {
        warning!("{warning}");
    }
    let hidden = |variable: &str| settings.evaluation.hides(variable).filter(|_| env::var_os(variable).is_some());
    // What is named and not there ends planning with the same words.
    let messages = evaluation.errors.iter().filter(|error| !evaluation.absent.contains(&error.attribute));
    // What ends planning is in no list.
    let is_listed = failures == Failures::Listed && !settings.strict && evaluation.absent.is_empty();
    for sentence in evaluation_errors::sentences(messages, is_listed, hidden) {
        warning!("{sentence}");
    }
    Ok(evaluation)
}

/// A recorded evaluation, less what the patterns leave out.
pub(super) fn recorded(path: &Path, settings: &Settings) -> Result<Evaluated> {
    let what = || format!("cannot use `{}`", path.display());
    let targets = recorded_evaluation::read(&read_input(path)?).with_context(what)?;
    Evaluated::recorded(targets, settings).with_context(what)
}
