//! When the workflows of a user's own configuration run once nixdag continues it. In: the configuration. Out: sentences about them.
//!
//! CircleCI starts scheduled workflows from the configuration in the repository alone, so none of a continued one.

use super::super::names::WORKFLOW;
use super::user_config::UserConfig;
use crate::printable::printable;

/// Names that a sentence lists.
const MAX_NAMES: usize = 5;

/// A configuration's workflows, by when they run.
#[derive(Debug, Default)]
pub struct Workflows<'a> {
    /// The file, as messages call it.
    file: &'a str,
    /// In every pipeline.
    always: Vec<&'a str>,
    /// If a condition holds.
    conditional: Vec<&'a str>,
    /// By a schedule of their own.
    scheduled: Vec<&'a str>,
    /// Whether there are jobs for the generated workflow.
    joins: bool,
}

impl<'a> Workflows<'a> {
    /// Those of a configuration.
    pub fn of(config: &'a UserConfig) -> Self {
        let mut found = Self { file: &config.name, joins: !config.jobs.is_empty(), ..Self::default() };
        let sections = config.sections.iter().filter(|(section, _)| section == "workflows");
        for (name, workflow) in sections.flat_map(|(_, workflows)| workflows) {
            if workflow.get("triggers").is_some() {
                found.scheduled.push(name);
            } else if workflow.get("when").is_some() || workflow.get("unless").is_some() {
                found.conditional.push(name);
            } else {
                found.always.push(name);
            }
        }
        found
    }

    /// What becomes of them.
    pub fn go_on(&self) -> String {
        let mut sentences = Vec::new();
        if !self.always.is_empty() {
            let runs = if self.always.len() == 1 { "runs" } else { "run" };
            sentences.push(format!(
                "{} {runs} in every pipeline as before, beside `{WORKFLOW}`",
                listed("Workflow", &self.always)
            ));
        }
        if !self.conditional.is_empty() {
            let runs = if self.conditional.len() == 1 {
                "runs where its condition holds"
            } else {
                "run where their conditions hold"
            };
            sentences.push(format!("{} {runs}", listed("Workflow", &self.conditional)));
        }
        if self.joins {
            sentences.push(format!(
                "The jobs of its workflow `{WORKFLOW}` join the generated ones, and `gate` waits for them"
            ));
        }
        if !self.scheduled.is_empty() {
            let runs = if self.scheduled.len() == 1 { "does not run any more" } else { "do not run any more" };
            sentences.push(format!("{} {runs}: see below", listed("Scheduled workflow", &self.scheduled)));
        }
        sentences.join(". ")
    }

    /// What to do about scheduled workflows in the file that continues them, a sentence each.
    pub fn reschedule(&self, file: &str) -> Vec<String> {
        let step = |name: &&str| {
            let shown = printable(name);
            format!(
                "in `{file}`, replace `triggers` of workflow `{shown}` with `when: pipeline.trigger_source == \"scheduled_pipeline\" and \
                 pipeline.schedule.name == \"{shown}\"`, and add a schedule of that name: `Project Settings > Triggers` (with dynamic \
                 configuration, CircleCI starts no workflow by its own `triggers`)"
            )
        };
        self.scheduled.iter().map(step).collect()
    }

    /// A warning for each that will not run any more.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.scheduled.iter().map(|name| {
            let (shown, file) = (printable(name), self.file);
            format!(
                "workflow `{shown}` of `{file}` has `triggers`, by which CircleCI starts nothing in a continued configuration (use a schedule of \
                 the project, and `when: pipeline.schedule.name == \"{shown}\"`)"
            )
        })
    }
}

/// ``Workflows `a`, `b` and 3 more``
fn listed(noun: &str, names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(|name| format!("`{}`", printable(name))).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    match (names.len().saturating_sub(MAX_NAMES), shown.split_last()) {
        (0, Some((last, first))) if !first.is_empty() => format!("{noun}{plural} {} and {last}", first.join(", ")),
        (0, _) => format!("{noun}{plural} {}", shown.join("")),
        (more, _) => format!("{noun}{plural} {} and {} more", shown.join(", "), more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workflow_is_named_by_when_it_runs() {
        let text = "version: 2.1\njobs: { t: { type: no-op } }\nworkflows:\n  version: 2\n  b: { jobs: [t] }\n  c: { jobs: [t] }\n\
                    \x20 d: { unless: x, jobs: [t] }\n  nightly: { triggers: [{ schedule: { cron: 0 0 * * * } }], jobs: [t] }\n  nixdag: { jobs: [t] }\n";
        let config = UserConfig::parse("a.yml", text).unwrap();
        let workflows = Workflows::of(&config);
        assert_eq!(
            workflows.go_on(),
            "Workflows `b` and `c` run in every pipeline as before, beside `nixdag`. Workflow `d` runs where its condition holds. The jobs of \
             its workflow `nixdag` join the generated ones, and `gate` waits for them. Scheduled workflow `nightly` does not run any more: see below"
        );
        let steps = workflows.reschedule("a.yml");
        assert!(steps.len() == 1 && steps[0].contains("pipeline.schedule.name == \"nightly\"`"), "{steps:?}");
        assert_eq!(workflows.warnings().count(), 1);
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(listed("Workflow", &many), "Workflows `a`, `b`, `c`, `d`, `e` and 2 more");
    }
}
