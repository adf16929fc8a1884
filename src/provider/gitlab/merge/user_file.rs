//! A file with jobs of the user's own: its text goes in, out come its stages and jobs, each complete in itself, so that nothing in the file
//! can change a generated job, and no name but a job's can meet another one.
//!
//! `extends`, `!reference`, `default` and global `variables` become what GitLab makes of them (see [`Resolver`]). What it would read from
//! elsewhere (`include`) or what would hold for the whole pipeline (`workflow`) is refused.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::super::names::{GATE, KEYWORDS, PLAN, REPORT};
use super::resolver::{Resolver, entries};
use crate::plan::failures;
use crate::printable::printable;
use crate::provider::additions;
use crate::provider::yaml::Yaml;
use crate::provider::yaml::read::read_with_references;

/// Global keys that hold for all jobs of a file which do not say otherwise; `default` is the word for them now.
const GLOBAL: [&str; 5] = ["image", "services", "cache", "before_script", "after_script"];

/// What `default` may say.
const DEFAULTS: [&str; 13] = [
    "after_script",
    "artifacts",
    "before_script",
    "cache",
    "hooks",
    "id_tokens",
    "identity",
    "image",
    "interruptible",
    "retry",
    "services",
    "tags",
    "timeout",
];

/// A file with jobs of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFile {
    /// What messages call it: the file as it was named.
    pub(super) name: String,
    /// Its stages in their order, without `.pre` and `.post`; none where it names none.
    pub(super) stages: Option<Vec<String>>,
    /// Its jobs, with all that they say.
    pub(super) jobs: Vec<(String, Vec<(String, Yaml)>)>,
}

impl UserFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let (name, text) = additions::read_file(path)?;
        Self::parse(&name, &text)
    }

    /// Reads a file's text; messages call it `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        parse(name, text).with_context(|| format!("cannot merge `{name}`"))
    }
}

fn parse(name: &str, text: &str) -> Result<UserFile> {
    let top: Vec<(String, Yaml)> =
        read_with_references(text)?.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let mut resolver = Resolver::new(&top);
    let mut file = UserFile { name: name.to_owned(), stages: None, jobs: Vec::new() };
    let mut defaults: Vec<(String, Yaml)> = Vec::new();
    let mut variables = Vec::new();
    for (key, value) in &top {
        match key.as_str() {
            "stages" => file.stages = Some(stages(resolver.replaced(value)?)?),
            "variables" => variables = entries(key, resolver.replaced(value)?)?,
            "default" => {
                for (key, value) in entries(key, resolver.replaced(value)?)? {
                    ensure!(
                        DEFAULTS.contains(&&*key),
                        "`default` has `{}`, which does not belong there",
                        printable(&key)
                    );
                    add(&mut defaults, key, value)?;
                }
            }
            global if GLOBAL.contains(&global) => add(&mut defaults, key.clone(), resolver.replaced(value)?)?,
            "include" | "spec" => bail!(
                "it has `{key}`, and the child pipeline is complete in itself: put the jobs into this file, or let `.gitlab-ci.yml` \
                 include them beside the trigger job"
            ),
            "workflow" => bail!("it has `workflow`: `.gitlab-ci.yml` decides which pipelines run"),
            _ => {}
        }
    }
    for (key, value) in &top {
        if key.starts_with('.') || GLOBAL.contains(&&**key) || ["stages", "variables", "default"].contains(&&**key) {
            continue;
        }
        let shown = printable(key);
        let own = [GATE, failures::JOB, REPORT, PLAN];
        let is_word = KEYWORDS.contains(&&*key.to_lowercase()) && key != "pages";
        ensure!(
            !is_word && !own.contains(&&**key),
            "a job cannot be named `{shown}`: GitLab or nixdag needs that name"
        );
        ensure!(matches!(value, Yaml::Map(_)), "`{shown}` is not a job: it has no keys");
        let job = resolver.job(key, &defaults, &variables).with_context(|| format!("job `{shown}`"))?;
        file.jobs.push((key.clone(), job));
    }
    Ok(file)
}

fn add(defaults: &mut Vec<(String, Yaml)>, key: String, value: Yaml) -> Result<()> {
    ensure!(!defaults.iter().any(|(known, _)| *known == key), "`{key}` is both in `default` and beside it");
    defaults.push((key, value));
    Ok(())
}

fn stages(value: Yaml) -> Result<Vec<String>> {
    let Yaml::List(items) = value else { bail!("`stages` is not a list") };
    let text = |item: Yaml| item.as_text().map(str::to_owned).context("`stages` holds something that is not a name");
    let named: Vec<String> = items.into_iter().map(text).collect::<Result<_>>()?;
    // They are always there, first and last.
    Ok(named.into_iter().filter(|stage| stage != ".pre" && stage != ".post").collect())
}
