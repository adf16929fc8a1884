//! `.gitlab-ci.yml` of a repository that begins with nixdag. One that is there already stays as it is: its owner adds the component.

use anyhow::Result;

use crate::provider::start_up::{Repository, StartUp, quoted, series};

/// Where GitLab looks.
const FILE: &str = ".gitlab-ci.yml";

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
    let mut include = format!("include:\n  - component: $CI_SERVER_FQDN/OWNER/nixdag/nixdag@{}\n", series());
    if !repository.flake.is_empty() {
        include.push_str(&format!("    inputs: {{ flake: {} }}\n", quoted(&repository.flake)));
    }
    let steps = vec![
        "put the group whose project `nixdag` has the component in the place of `OWNER` (`gitlab/release.sh` of nixdag makes that project)".to_owned(),
        "require pipelines: *Settings > Merge requests > Pipelines must succeed*".to_owned(),
        "secrets only for pushing and signing: put them into protected variables".to_owned(),
    ];
    let mut start = StartUp { steps, ..StartUp::default() };
    match repository.read(FILE)? {
        None => start.files.push((FILE.to_owned(), format!("{include}\n{WORKFLOW}"))),
        Some(text) if text.contains("/nixdag/nixdag@") || text.contains("nixdag generate") => {
            start.notes.push(format!("`{FILE}` runs nixdag already, and stays as it is"));
        }
        Some(_) => {
            let where_to = format!(
                "`{FILE}` stays as it is. Add this to it (an entry of `include`; where `stages` has no `build`, say `inputs: {{ plan_stage: …, stage: … }}`):"
            );
            start.add = Some((where_to, include));
        }
    }
    Ok(start)
}
