//! The setup configuration of a repository that begins with nixdag. A configuration that is there already stays what it was: it is continued
//! beside the generated jobs, from a file of another name.

use anyhow::{Result, bail, ensure};

use super::merge::user_config::UserConfig;
use super::merge::workflows::Workflows;
use super::setup_job;
use super::writer::Writer;
use crate::provider::job_setup::JobSetup;
use crate::provider::start_up::{Draft, Repository, StartUp, quoted, require_gate, series};
use crate::provider::yaml::Yaml;
use crate::provider::yaml::read::read;
use crate::version;

/// Where CircleCI looks.
const FILE: &str = ".circleci/config.yml";

/// Where the configuration goes that was there.
const CONTINUED: &str = ".circleci/continue.yml";

/// What a repository gets. `draft` plans its flake, which is needed where a configuration is there already.
pub fn start_up(repository: &Repository, draft: &mut dyn FnMut() -> Result<Draft>) -> Result<StartUp> {
    let steps = vec![
        "switch dynamic configuration on: `Project Settings > Advanced > Enable dynamic config using setup workflows`; and allow the orb: `Organization Settings > Security > Allow Uncertified Orbs`".to_owned(),
        require_gate(repository.has(FILE), "on GitHub `ci/circleci: nixdag/gate`, in the rules of the default branch"),
        format!(
            "secrets only for pushing and signing: put them into a context that is restricted to branches, and name it under `delivery_contexts`; and where \
         branches trust one another `trust_branches: true` for the job `nixdag/setup`, so that plans rest on what earlier pipelines have measured \
         ({}; nothing to set with `handoff: cache`)",
            version::page("records")
        ),
    ];
    let flake =
        repository.reference().map(|reference| format!("flake: {}", quoted(&reference).replace("<<", "\\\\<<")));
    let fresh = |parameters: &str, arguments: Vec<String>| {
        let job = match arguments.as_slice() {
            [] => "nixdag/setup".to_owned(),
            arguments => format!("nixdag/setup: {{ {} }}", arguments.join(", ")),
        };
        format!(
            "version: 2.1\nsetup: true\norbs: {{ nixdag: org/nixdag@{} }}\n{parameters}workflows:\n  setup:\n    jobs: [{job}]\n",
            series()
        )
    };
    let Some(text) = repository.read(FILE)? else {
        let file = (FILE.to_owned(), fresh("", flake.into_iter().collect()));
        return Ok(StartUp { files: vec![file], steps, ..StartUp::default() });
    };
    let setups = setup_job::parse(&text).unwrap_or_default();
    if !setups.is_empty() {
        let (note, step) = repository.planned_already(FILE, &setups);
        return Ok(StartUp { notes: vec![note], here: step.into_iter().collect(), steps, ..StartUp::default() });
    }
    let continued = match continued(repository, &text) {
        Ok(config) => fits(&config, draft()?).map(|()| config),
        Err(error) => Err(error),
    };
    match continued {
        Ok(config) => {
            let arguments = flake.into_iter().chain([format!("merge: {CONTINUED}")]).collect();
            let files =
                vec![(CONTINUED.to_owned(), text.clone()), (FILE.to_owned(), fresh(parameters(&text), arguments))];
            let workflows = Workflows::of(&config);
            let notes = vec![format!(
                "`{FILE}` becomes `{CONTINUED}`, unchanged. {}. All of them start once the setup job has planned, no sooner",
                workflows.go_on()
            )];
            let here = workflows.reschedule(CONTINUED);
            Ok(StartUp { files, moved: Some(FILE.to_owned()), notes, here, steps, add: None })
        }
        Err(error) => {
            let why = format!("{error:#}").replace("\n  ", " ");
            let where_to = format!("`{FILE}` is kept: {why}. nixdag needs a setup configuration with this job:");
            Ok(StartUp {
                add: Some((where_to, fresh("", flake.into_iter().collect()))),
                here: vec![format!(
                    "put the job above into `{FILE}`, or solve what is in its way and run `nixdag init` again"
                )],
                steps,
                ..StartUp::default()
            })
        }
    }
}

/// The configuration, where it can be continued beside the generated one; or why it cannot.
fn continued(repository: &Repository, text: &str) -> Result<UserConfig> {
    let entries = read(text)?;
    if entries.iter().any(|entry| entry.key == "setup" && entry.value == Yaml::Bool(true)) {
        let page = if text.contains("path-filtering") {
            format!("; from path filtering: {}", version::page("migrate-path-filtering"))
        } else {
            String::new()
        };
        bail!(
            "it has `setup: true`, and a pipeline is continued only once: nixdag's job takes the place of what continues it now{page}"
        );
    }
    let config = UserConfig::parse(FILE, text)?;
    ensure!(!repository.has(CONTINUED), "there is a `{CONTINUED}` already");
    let own = parameters(text);
    let has = entries.iter().any(|entry| entry.key == "parameters");
    ensure!(
        has != own.is_empty() && (own.is_empty() || read(own).is_ok_and(|part| part.len() == 1)),
        "its `parameters` cannot be copied"
    );
    Ok(config)
}

/// Fails where the configuration and what would be generated now are in each other's way.
fn fits(config: &UserConfig, draft: Draft) -> Result<()> {
    let writer = Writer { parameters: Vec::new(), merge: vec![config.clone()] };
    writer.write(&draft.plan, JobSetup::new(draft.executors)).map(drop)
}

/// The block of a configuration that declares pipeline parameters, as it is written: the setup configuration has to declare them, too.
fn parameters(text: &str) -> &str {
    let Some(start) =
        text.match_indices("parameters:").map(|(at, _)| at).find(|at| *at == 0 || text[..*at].ends_with('\n'))
    else {
        return "";
    };
    let block = &text[start..];
    let is_next = |line: &str| line.starts_with(|first: char| !first.is_whitespace() && first != '#');
    let mut end = 0;
    for (number, line) in block.split_inclusive('\n').enumerate() {
        if number > 0 && is_next(line) {
            break;
        }
        end += line.len();
    }
    if block[..end].ends_with('\n') { &block[..end] } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_of_parameters_ends_where_the_next_key_begins() {
        let text = "version: 2.1\nparameters:\n  deploy:\n    type: boolean\n    default: false\n# then\n\njobs: {}\n";
        assert_eq!(parameters(text), "parameters:\n  deploy:\n    type: boolean\n    default: false\n# then\n\n");
        assert_eq!(parameters("version: 2.1\njobs: { a: { parameters: {} } }\n"), "");
        assert_eq!(
            parameters("parameters: {a: {type: string, default: x}}\nversion: 2.1\n"),
            "parameters: {a: {type: string, default: x}}\n"
        );
    }
}
