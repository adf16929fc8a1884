//! What planning takes from an evaluation, live or recorded, as the settings say.
//!
//! In: an [`Evaluation`], or the targets of a recorded one, and [`Settings`]. Out: [`Evaluated`]: targets, and what was left out or failed, and why.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::affected::BaseEvaluation;
use crate::attribute::AttributePath;
use crate::nix::evaluate::{DEFAULT_PATTERNS, EvalError, Evaluation, FlakeCaches};
use crate::pattern::{Pattern, Segment};
use crate::plan::allowed_failure::allows_message;
use crate::plan::idle_rules::Scope;
use crate::plan::rules::JobSettings;
use crate::plan::{EvaluationError, FlakeSource, final_job};
use crate::printable::printable;
use crate::recorded_evaluation::{Selected, Selection};
use crate::settings::Settings;
use crate::target::Target;

/// What evaluation has found.
pub struct Evaluated {
    /// Where that is; none for a recorded evaluation.
    pub flake: Option<FlakeSource>,
    /// What is to be built, by attribute.
    pub targets: Vec<Target>,
    /// Attributes that the settings leave out.
    pub excluded: Vec<AttributePath>,
    /// Attributes that do not evaluate.
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
    /// From a live evaluation, with warnings, in sentences. Fails where an attribute that is named is not there, and where settings are strict
    /// and an attribute does not evaluate that may not fail.
    pub fn new(evaluation: Evaluation, settings: &Settings) -> Result<(Self, Vec<String>)> {
        if let Some(absent) = evaluation.absent.first() {
            let error = evaluation.errors.iter().find(|error| error.attribute == *absent);
            let is_selected = !leads_below(&settings.select, absent);
            bail!(
                "{} `{}`{}, but {}; a pattern such as `packages.*.*` takes what there is",
                if is_selected { "attribute" } else { "a pattern names" },
                printable(&absent.to_string()),
                if is_selected { " is selected by its name" } else { "" },
                error.map_or("it is not there", |error| &error.message)
            );
        }
        if let Some(nowhere) = evaluation.nowhere {
            bail!(nowhere);
        }
        let is_fatal = |error: &&EvalError| !allows_message(&settings.allow_failure, &error.attribute, &error.message);
        // Elsewhere the plan's failures are counted, with what helps, once there is a plan.
        if settings.strict {
            match evaluation.errors.iter().filter(is_fatal).count() {
                0 => {}
                1 => bail!("1 attribute does not evaluate, which `--strict` forbids"),
                count => bail!("{count} attributes do not evaluate, which `--strict` forbids"),
            }
        }
        let mut packages = settings.packages(&evaluation.package_settings);
        let mut warnings = std::mem::take(&mut packages.warnings);
        if let Some(named) = packages.disabled.iter().find(|attribute| names(&settings.select, attribute)) {
            bail!(
                "attribute `{}` is selected by its name, but its package says `disable` (leave it out of what is selected, or enable it)",
                printable(&named.to_string())
            );
        }
        warnings.extend(disabled_packages(&packages.disabled));
        let (disabled, targets) =
            evaluation.targets.into_iter().partition(|target| packages.disabled.contains(&target.attribute));
        let mut select = settings.select.clone();
        if select.is_empty() {
            select = DEFAULT_PATTERNS.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
        }
        select.extend(final_job::built_patterns(&settings.final_jobs));
        let errors = evaluation.errors.into_iter();
        let evaluated = Self {
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
        };
        Ok((evaluated, warnings))
    }

    /// From a recorded evaluation, less what the patterns leave out. Fails where one that somebody has typed means nothing.
    pub fn recorded(targets: Vec<Target>, settings: &Settings) -> Result<Self> {
        let also = final_job::built_patterns(&settings.final_jobs);
        let selection = Selection::new(&settings.select, also, &settings.exclude);
        let Selected { targets, excluded } = selection.of(targets)?;
        Ok(Self {
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

    /// Every attribute that was selected, whatever became of it.
    pub fn all(&self) -> impl Iterator<Item = &AttributePath> + Clone {
        let targets = self.targets.iter().chain(&self.disabled).map(|target| &target.attribute);
        targets.chain(&self.excluded).chain(self.errors.iter().map(|error| &error.target))
    }

    /// The same, each error with what the base says about it.
    #[must_use]
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

/// Whether one of the patterns is the attribute's own path.
fn names(patterns: &[Pattern], attribute: &AttributePath) -> bool {
    let own = Pattern::literal(attribute);
    patterns.iter().any(|pattern| pattern.alternatives().iter().any(|segments| own.alternatives().contains(segments)))
}

/// True if a pattern with globs leads to what is below the attribute.
fn leads_below(patterns: &[Pattern], attribute: &AttributePath) -> bool {
    let own = Pattern::literal(attribute);
    let is_below = |segments: &Vec<Segment>, own: &Vec<Segment>| {
        let rest = segments.strip_prefix(&own[..]).unwrap_or_default();
        rest.iter().any(|segment| !matches!(segment, Segment::Literal(_)))
    };
    let mut all = patterns.iter().flat_map(Pattern::alternatives);
    all.any(|segments| own.alternatives().iter().any(|own| is_below(segments, own)))
}

/// Says which packages take themselves out: their authors decide that, who may be those of an input.
fn disabled_packages<'a>(disabled: impl IntoIterator<Item = &'a AttributePath>) -> Option<String> {
    const MOST_NAMED: usize = 5;
    let names: Vec<String> = disabled.into_iter().map(|name| format!("`{}`", printable(&name.to_string()))).collect();
    let more = names.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let first = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| format!("selected, and not built, since their packages say `disable`: {first}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_take_themselves_out_are_named_and_few_of_many() {
        let names = |count: usize| {
            let names: Vec<AttributePath> =
                (0..count).map(|number| AttributePath::parse(&format!("checks.s.p{number}")).unwrap()).collect();
            disabled_packages(&names)
        };
        assert_eq!(names(0), None);
        assert!(names(2).unwrap().ends_with("say `disable`: `checks.s.p0`, `checks.s.p1`"));
        assert!(names(7).unwrap().ends_with("`checks.s.p4` and 2 more"));
    }
}
