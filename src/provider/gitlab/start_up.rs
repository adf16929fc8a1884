//! `.gitlab-ci.yml` of a repository that begins with nixdag. One that is there already stays as it is: its owner adds the component.

use anyhow::{Result, anyhow};

use super::component;
use crate::provider::parameters::documents;
use crate::provider::start_up::{Repository, StartUp, quoted, series};
use crate::provider::yaml::lenient::text_list;

/// Where GitLab looks.
const FILE: &str = ".gitlab-ci.yml";

/// The stage of the component's jobs where nobody names another.
const DEFAULT_STAGE: &str = "build";

/// Which pipelines run: without it GitLab starts none for merge requests.
const WORKFLOW: &str = r#"workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS && $CI_PIPELINE_SOURCE == "push"
      when: never
    - if: $CI_COMMIT_BRANCH
    - if: $CI_COMMIT_TAG
"#;

/// What a repository gets.
pub fn start_up(repository: &Repository) -> Result<StartUp> {
    let flake = repository.reference().map(|reference| format!("flake: {}", quoted(&reference)));
    let steps = vec![
        "make a project `nixdag` with the component, in a group of yours (`gitlab/release.sh` of nixdag's repository makes it)".to_owned(),
        "require pipelines: `Settings > Merge requests > Pipelines must succeed`".to_owned(),
        "secrets only for pushing and signing: put them into protected variables".to_owned(),
    ];
    let owner = "replace `OWNER` with the group whose project `nixdag` has the component".to_owned();
    let mut start = StartUp { steps, ..StartUp::default() };
    match repository.read(FILE)? {
        None => {
            start.files.push((FILE.to_owned(), format!("{}\n{WORKFLOW}", include(flake.into_iter().collect()))));
            start.here.push(owner);
        }
        Some(text) if text.contains("/nixdag/nixdag@") || text.contains("nixdag generate") => {
            let setups = component::read(&repository.place(FILE)?).unwrap_or_default();
            let (note, step) = repository.planned_already(FILE, &setups);
            start.notes.push(note);
            start.here.extend(step);
            start.here.extend(text.contains("/OWNER/nixdag/nixdag@").then_some(owner));
        }
        Some(_) => {
            let (stages, unread) = match stages(repository) {
                Ok(stages) => (stages, String::new()),
                Err(error) => (Vec::new(), format!(" (it cannot be read: {error:#})")),
            };
            // As in a pipeline without `stages`, whose first is `build`: what comes later waits for what nixdag builds.
            let first = stages.first().filter(|_| !stages.iter().any(|stage| stage == DEFAULT_STAGE));
            let stage = first.map(|first| format!("plan_stage: {0}, stage: {0}", quoted(first)));
            let where_to = format!("`{FILE}` is kept{unread}. It needs these lines, an entry of `include`:");
            start.add = Some((where_to, include(flake.into_iter().chain(stage).collect())));
            start.here.extend([format!("add the lines above to `{FILE}`"), owner]);
        }
    }
    Ok(start)
}

/// The component, with these inputs.
fn include(inputs: Vec<String>) -> String {
    let mut include = format!("include:\n  - component: $CI_SERVER_FQDN/OWNER/nixdag/nixdag@{}\n", series());
    if !inputs.is_empty() {
        include.push_str(&format!("    inputs: {{ {} }}\n", inputs.join(", ")));
    }
    include
}

/// The stages that the file names, in order; none where it names none.
fn stages(repository: &Repository) -> Result<Vec<String>> {
    let documents = documents(&repository.top.join(FILE)).map_err(|error| anyhow!("{}", error.root_cause()))?;
    // Without the header of a file that takes inputs.
    let stages = documents.iter().find_map(|document| document.get("stages"));
    Ok(text_list(stages).into_iter().filter(|stage| !stage.starts_with('.')).collect())
}
