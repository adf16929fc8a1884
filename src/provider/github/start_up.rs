//! The workflow of a repository that begins with nixdag: a file of its own beside those that are there.

use std::fs;

use anyhow::Result;

use super::check::COMMIT;
use super::plan_action;
use crate::provider::start_up::{Repository, StartUp, quoted, require_gate};
use crate::version;

/// Where the workflow is.
const FILE: &str = ".github/workflows/nixdag.yml";

/// The workflow.
const WORKFLOW: &str = include_str!("../../../github/nixdag.yml");

/// What a repository gets.
pub fn start_up(repository: &Repository) -> Result<StartUp> {
    let steps = vec![
        require_gate(has_others(repository)?, "`Settings > Rules`, in the rules of the default branch"),
        "allow the actions of `org/nixdag` if your organization lists those that may run: `Settings > Actions > General`".to_owned(),
        "secrets only for pushing and signing: put them into an environment whose rules name branches".to_owned(),
    ];
    if let Some(text) = repository.read(FILE)? {
        let setups = plan_action::read(&repository.place(FILE)?).unwrap_or_default();
        let (note, step) = match setups.as_slice() {
            [] => (format!("`{FILE}` exists and is kept"), None),
            setups => repository.planned_already(FILE, setups),
        };
        let here = step.into_iter().chain(pin(&text)).collect();
        return Ok(StartUp { notes: vec![note], here, steps, ..StartUp::default() });
    }
    let mut text = WORKFLOW.to_owned();
    if repository.default_branch != "main" {
        text = text.replace("branches: [main]", &format!("branches: [{}]", quoted(&repository.default_branch)));
    }
    if let Some(reference) = repository.reference() {
        let plan = format!("uses: org/nixdag/github/plan@{COMMIT}\n");
        text = text.replace(&plan, &format!("{plan}        with: {{ flake: {} }}\n", quoted(&reference)));
    }
    Ok(StartUp { here: pin(&text), files: vec![(FILE.to_owned(), text)], steps, ..StartUp::default() })
}

/// True if there are workflows beside this one.
fn has_others(repository: &Repository) -> Result<bool> {
    let own = repository.place(FILE)?;
    let entries = own.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    Ok(entries.filter_map(Result::ok).any(|entry| entry.path() != own))
}

/// The step that pins a workflow to a release, where it is not pinned yet.
fn pin(text: &str) -> Vec<String> {
    let step = || {
        format!(
            "replace the zeros in `{FILE}` with the commit of the release, which `git ls-remote https://github.com/org/nixdag github-{}` prints",
            version::NUMBER
        )
    };
    text.contains(COMMIT).then(step).into_iter().collect()
}
