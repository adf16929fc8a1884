//! The stages that find the base and evaluate it, as every planning command runs them. What is in doubt means no base, and is said.

use std::env;

use anyhow::{Context, Result, bail};

use super::evaluation;
use super::say::{self, Level, note, warning};
use crate::affected::base::{self, FoundBase, short};
use crate::affected::repository_flake::RepositoryFlake;
use crate::affected::{BaseEvaluation, Unaffected};
use crate::output::read_input;
use crate::plan::{FlakeSource, Plan, nothing};
use crate::printable::printable;
use crate::provider::Provider;
use crate::recorded_evaluation;
use crate::settings::at_base::SettingsAtBase;
use crate::settings::{Settings, Source};
use crate::target::Target;

/// What stands behind every reason to do without a base.
const SO: &str = "so everything that is not available is built";

/// A base in a repository.
pub(super) struct ChosenBase {
    flake: RepositoryFlake,
    /// In full.
    revision: String,
    /// What its own pipeline builds.
    settings: SettingsAtBase,
}

/// Finds the base in the flake's repository; says why where there is none.
///
/// An error for a revision that somebody has typed and that does not exist. In a CI the flag has what the service says, and there a commit
/// may be gone.
pub(super) fn choose(settings: &Settings) -> Result<Option<ChosenBase>> {
    let (Source::Flake(reference), Some(choice), None) =
        (&settings.source, &settings.change.base, &settings.change.base_roots)
    else {
        return Ok(None);
    };
    let find = || -> Result<(RepositoryFlake, FoundBase)> {
        let flake = RepositoryFlake::find(reference)?;
        let default_branch = settings.change.default_branch.as_deref();
        let hints = settings.provider.hints(|name| env::var(name).ok());
        let found = base::find(flake.head(), choice, default_branch, &hints)?;
        Ok((flake, found))
    };
    Ok(match find() {
        Ok((flake, FoundBase::Base { revision, note })) => {
            if let Some(note) = note {
                note!("{note}");
            }
            let file = settings.file_at(&flake, &revision);
            match file.and_then(|file| SettingsAtBase::new(settings, &file, reference)) {
                Ok(settings) => Some(ChosenBase { flake, revision, settings }),
                Err(error) => {
                    let name = short(&revision);
                    warning!("nothing counts as unaffected by the change since `{name}`: {error:#}; {SO}");
                    None
                }
            }
        }
        Ok((_, FoundBase::None { why, expected })) => {
            let level = if expected { Level::Note } else { Level::Warning };
            say::line(level, format_args!("no base to compare with: {why}; {SO}"));
            None
        }
        Ok((_, FoundBase::NoRevision { why })) if settings.change.base_is_flag && !is_ci() => {
            bail!("{why}; name a revision that is there with `--base`, or let nixdag find it with `--base auto`")
        }
        Ok((_, FoundBase::NoRevision { why })) => {
            warning!("no base to compare with: {why}; {SO}");
            None
        }
        Err(error) => {
            warning!("no base to compare with: {error:#}; {SO}");
            None
        }
    })
}

/// Whether a CI service runs this, one that nixdag knows or another one: most say so by `CI`.
fn is_ci() -> bool {
    let mut variables = Provider::all().map(Provider::variable).chain(["CI"]);
    variables.any(|name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false"))
}

/// The plan of a change that makes no difference: the settings ignore every file of it. Nothing is said of that here.
pub(super) fn without_effect(chosen: &ChosenBase, settings: &Settings) -> Option<Plan> {
    let may_be_without = !settings.change.ignore.is_empty() && settings.change.unaffected == Unaffected::Skip;
    if !may_be_without || !chosen.settings.is_same() {
        return None;
    }
    let is_untracked = settings.file_is_untracked(&chosen.flake);
    let changed = match is_untracked.and_then(|is| Ok((is, chosen.flake.changed_files(&chosen.revision)?))) {
        // What it says is a change that git does not list.
        Ok((true, _)) => return None,
        Ok((false, changed)) => changed,
        Err(error) => {
            warning!("changed files are not known, so none is ignored: {error:#}");
            return None;
        }
    };
    if changed.is_empty() || !changed.iter().all(|path| settings.ignores(path)) {
        return None;
    }
    let revision = match chosen.flake.is_dirty() {
        Ok(false) => Some(chosen.flake.commit.clone()),
        _ => None,
    };
    let flake = FlakeSource { url: ".".into(), revision };
    Some(nothing::of_ignored_changes(flake, chosen.revision.clone(), changed.len()))
}

/// Evaluates the base, or reads its recorded evaluation.
pub(super) fn evaluate(chosen: Option<&ChosenBase>, settings: &Settings) -> Result<Option<BaseEvaluation>> {
    if let Some(path) = &settings.change.base_roots {
        let targets = recorded_evaluation::read(&read_input(path)?)
            .with_context(|| format!("cannot use `{}`", path.display()))?;
        let revision = match &settings.change.base {
            Some(base::BaseChoice::Revision(revision)) => Some(revision.clone()),
            Some(base::BaseChoice::Auto) | None => None,
        };
        return Ok(Some(BaseEvaluation { revision, targets, others: Vec::new(), failed: None }));
    }
    let Some(chosen) = chosen else { return Ok(None) };
    let name = short(&chosen.revision);
    match chosen.flake.changes_since(&chosen.revision) {
        Ok(changes) => changes.iter().for_each(|changes| note!("{changes}")),
        Err(error) => warning!("changed files are not known: {error:#}"),
    }
    // Whoever writes to a cache that travels could say that the base is what the head is, and nothing would be built.
    let cache = evaluation::cache(settings).filter(|cache| !cache.travels());
    let reference = chosen.flake.at(&chosen.revision);
    let evaluated = reference.and_then(|reference| {
        evaluation::quietly(&chosen.settings.request(settings, &reference), settings, cache.as_ref())
    });
    let evaluation = match evaluated {
        Ok(evaluation) => evaluation,
        Err(error) => {
            warning!("the base `{name}` does not evaluate: {error:#}; {SO}");
            return Ok(None);
        }
    };
    // The base may lack what is new.
    let mut failed = evaluation.errors.iter().filter(|error| !evaluation.absent.contains(&error.attribute));
    if let Some(first) = failed.next() {
        let (count, so) = match failed.count() {
            0 => ("1 attribute does".to_owned(), "it counts"),
            more => (format!("{} attributes do", more + 1), "they count"),
        };
        warning!(
            "at the base `{name}`, {count} not evaluate (`{}`: {}), so {so} as affected",
            printable(&first.attribute.to_string()),
            first.message
        );
    }
    let disabled = settings.packages(&evaluation.package_settings).disabled;
    let mut targets = evaluation.targets;
    targets.retain(|target| !disabled.contains(&target.attribute));
    let is_required = |target: &Target| chosen.settings.requires(&target.attribute, &settings.allow_failure);
    let (targets, others): (Vec<Target>, Vec<Target>) = targets.into_iter().partition(is_required);
    if let Some(note) = chosen.settings.note(name, others.len()) {
        note!("{note}");
    }
    Ok(Some(BaseEvaluation {
        revision: Some(chosen.revision.clone()),
        targets,
        others,
        failed: Some(evaluation.errors.into_iter().map(|error| error.attribute).collect()),
    }))
}
