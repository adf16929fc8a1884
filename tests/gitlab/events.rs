//! What starts a pipeline: branches, merge requests, merged results, merge trains, forks, tags, schedules. With the `.gitlab-ci.yml` and the
//! `workflow` of the documentation, in clones as GitLab's runners make them.

use std::fs;
use std::path::Path;

use crate::support::gitlab::event::Event;
use crate::support::gitlab::{GitLab, Status};
use crate::support::gitlab_project::file;
use crate::support::project::every_nix;
use crate::support::{commit, copy_of, repository, run, stripped};

/// What the documentation says about which pipelines run.
fn workflow() -> String {
    let page = fs::read_to_string(repository().join("docs/gitlab.md")).unwrap();
    let start = page.find("workflow:\n  rules:").expect("docs/gitlab.md says which pipelines run");
    page[start..start + page[start..].find("```").unwrap()].to_owned()
}

/// A job that shows what it gets.
const SHOW: &str = "show: {stage: plan, image: alpine, script: ['echo \"protected=$SECRET\"']}\n";

/// A repository with branches `main` and `topic`, which changes a text that nothing is built from, and the refs that GitLab makes for a merge
/// request of it.
fn repository_with_a_merge_request(here: &Path) {
    let git = |arguments: &[&str]| _ = run(here, "git", arguments);
    git(&["init", "-q", "-b", "main"]);
    commit(here);
    git(&["tag", "v1"]);
    git(&["checkout", "-q", "-b", "topic"]);
    fs::write(here.join("NOTES"), "about").unwrap();
    commit(here);
    git(&["update-ref", "refs/merge-requests/1/head", "topic"]);
    git(&["checkout", "-q", "main"]);
    fs::write(here.join("OTHER"), "about").unwrap();
    commit(here);
    git(&["checkout", "-q", "--detach"]);
    git(&["merge", "-q", "-m", "merged", "topic"]);
    git(&["update-ref", "refs/merge-requests/1/merge", "HEAD"]);
    git(&["update-ref", "refs/merge-requests/1/train", "HEAD"]);
    git(&["checkout", "-q", "main"]);
}

#[test]
fn each_kind_of_pipeline_is_compared_with_what_it_changes_and_gets_what_it_may() {
    let checkout = copy_of("examples/hermetic");
    // A final job keeps what it restores in the plan.
    fs::write(checkout.path().join("nixdag.yml"), "{}").unwrap();
    repository_with_a_merge_request(checkout.path());
    let text = format!("{}\n{SHOW}\n{}", file("--base auto"), workflow());
    // What the child comes to is in its file; it runs once, below.
    let plans = text.replace(&text[text.find("\nnixdag:\n").unwrap()..text.find("\nshow:").unwrap()], "");
    let nix = every_nix().remove(0);
    let gitlab = |text: &str| {
        let gitlab = GitLab::new(text, checkout.path(), &nix).unwrap().program(stripped());
        gitlab.protected_variable("SECRET", "yes")
    };
    let mut planning = gitlab(&plans);
    // The jobs of the child beside the gate, and whether protected variables are there.
    let mut jobs = |event: Event| {
        planning.event(event);
        let outcome = planning.run().unwrap();
        assert!(outcome.succeeded(), "{}", outcome.logs());
        let is_protected = outcome.job("show").log.contains("protected=yes");
        let plan = outcome.job("nixdag-plan");
        let child = fs::read_to_string(plan.artifacts.join(".nixdag/pipeline.yml")).unwrap();
        (child.matches("\n  extends: \".build").count(), is_protected, plan.log.clone())
    };
    for (event, expected, said) in [
        (Event::push("main").protected(), (4, true), "this is the default branch"),
        (Event::schedule("main").protected(), (4, true), "this is the default branch"),
        (Event::tag("v1").protected(), (4, true), "this is the tag `v1`"),
        (Event::tag("v1"), (4, false), "this is the tag `v1`"),
        (Event::push("topic"), (0, false), ""),
        (Event::merge_request("topic", "detached"), (0, false), ""),
        // A fork's branch may have the name of the default one.
        (Event::merge_request("main", "detached"), (0, false), ""),
        (Event::merge_request("topic", "merged_result"), (0, false), ""),
        (Event::merge_request("topic", "merge_train"), (0, false), ""),
    ] {
        let what = format!("{event:?}");
        let (count, is_protected, log) = jobs(event);
        assert_eq!((count, is_protected), expected, "{what}: {log}");
        assert!(log.contains(said), "{what}: {log}");
    }
    let mut whole = gitlab(&text);
    whole.event(Event::merge_request("topic", "merged_result"));
    let outcome = whole.run().unwrap();
    assert!(outcome.succeeded(), "{}", outcome.logs());
    assert_eq!(outcome.children[0].status("gate"), Status::Success);
}

#[test]
fn a_push_is_one_pipeline_whether_there_is_a_merge_request_or_not() {
    let checkout = copy_of("examples/hermetic");
    let starts = |text: &str, event: Event| {
        let mut gitlab = GitLab::new(text, checkout.path(), &every_nix()[0]).unwrap();
        gitlab.event(event);
        gitlab.starts().unwrap()
    };
    let with = format!("{}\n{}", file(""), workflow());
    let open = || Event::push("topic").with("CI_OPEN_MERGE_REQUESTS", "group/project!1");
    assert!(!starts(&with, open()) && starts(&with, Event::merge_request("topic", "detached")));
    assert!(starts(&with, Event::push("topic")) && starts(&with, Event::tag("v1")));
    assert!(starts(&with, Event::schedule("topic").with("CI_OPEN_MERGE_REQUESTS", "group/project!1")));
    // Without `workflow` merge requests have none of their own.
    assert!(starts(&file(""), open()) && !starts(&file(""), Event::merge_request("topic", "detached")));
}
