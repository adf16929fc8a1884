//! `nixdag init`: what it writes for each provider runs there; nothing is overwritten; it says what it did and what is left to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nixdag::provider::start_up::series;
use predicates::prelude::*;
use serde_yaml::Value;
use tempfile::TempDir;

use crate::orb_pipeline::{World, assert_succeeded};
use crate::support::circleci::ApiServer;
use crate::support::github::Status;
use crate::support::github_project::project_of;
use crate::support::project::{every_nix, logs};
use crate::support::{FreshNix, commit, copy_of, fails, nixdag, repository, run};

/// The example without settings, as a repository.
fn flake() -> TempDir {
    let copy = copy_of("examples/hermetic");
    fs::remove_file(copy.path().join("nixdag.yml")).unwrap();
    commit(copy.path());
    copy
}

/// What `nixdag init` prints.
#[track_caller]
fn init(folder: &Path, arguments: &str) -> String {
    FreshNix::new().script(folder, &format!("\"$nixdag\" init {arguments} 2> /dev/null"))
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The configuration of a project with three workflows.
const THREE: &str = "version: 2.1
parameters:
  deploy: { type: boolean, default: false }
jobs:
  say: { docker: [{ image: cimg/base:2026.08 }], parameters: { what: { type: string } }, steps: [{ run: 'echo << parameters.what >>' }] }
workflows:
  lint: { jobs: [{ say: { what: lint } }] }
  docs: { jobs: [{ say: { what: docs } }] }
  deploy: { when: << pipeline.parameters.deploy >>, jobs: [{ say: { what: deploy } }] }
";

#[test]
fn a_bare_flake_gets_a_setup_configuration_that_builds_it() {
    let world = World::new();
    let here = world.checkout.path();
    fs::remove_file(here.join("nixdag.yml")).unwrap();
    commit(here);
    let dry = init(here, "--dry-run");
    assert!(dry.contains("would write .circleci/config.yml:\n    version: 2.1\n    setup: true\n"), "{dry}");
    assert_eq!(run(here, "git", &["status", "--porcelain"]), "", "a dry run writes nothing");

    let said = init(here, "");
    assert!(said.contains("wrote .circleci/config.yml\nwrote nixdag.yml\n"), "{said}");
    assert!(
        said.contains("granularity: `auto` takes 3 min 45 s and 75 credits, `target` 5 min 17 s and 142 credits"),
        "{said}"
    );
    assert!(said.contains("Enable dynamic config") && said.contains("required check"), "{said}");
    let settings = read(here, "nixdag.yml");
    assert!(settings.starts_with("# yaml-language-server: $schema=") && settings.contains("\ngranularity: auto\n"));
    let config = read(here, ".circleci/config.yml");
    assert_eq!(config.lines().count(), 6, "{config}");
    nixdag().current_dir(here).args(["check", ".circleci/config.yml"]).assert().success();
    for page in ["docs/circleci.md", "README.md"] {
        assert!(read(repository(), page).contains(&config), "{page} shows another file than\n{config}");
    }

    let setup = world.setup_with(&config, ApiServer::new([])).run().unwrap();
    assert_succeeded(&setup);
    let outcome = world.continued(&setup).run().unwrap();
    assert_succeeded(&outcome);

    let again = init(here, "");
    assert!(!again.contains("wrote"), "{again}");
    assert!(again.contains("runs nixdag already") && again.contains("nixdag.yml exists and is kept"), "{again}");
    assert!(again.contains("on CircleCI:\n  1. ") && again.contains("\n  3. ") && !again.contains("  4. "), "{again}");
    assert_eq!(read(here, "nixdag.yml"), settings);
}

#[test]
fn three_workflows_go_on_beside_the_generated_one() {
    let world = World::new();
    let here = world.checkout.path();
    world.write(".circleci/config.yml", THREE);
    commit(here);
    let said = init(here, "");
    assert!(
        said.contains(
            "`.circleci/config.yml` becomes `.circleci/continue.yml`, unchanged. Workflows `lint` and `docs` run in every \
             pipeline as before, beside `nixdag`. Workflow `deploy` runs where its condition holds. All of \
             them start once the setup job has planned, no sooner\n"
        ),
        "{said}"
    );
    assert!(said.contains("nixdag.yml exists and is kept"), "{said}");
    assert_eq!(read(here, ".circleci/continue.yml"), THREE);
    let config = read(here, ".circleci/config.yml");
    let setup = world.setup_with(&config, ApiServer::new([])).parameter("deploy", true).run().unwrap();
    assert_succeeded(&setup);
    let whole: Value = serde_yaml::from_str(setup.continuation.as_ref().unwrap()).unwrap();
    let names: Vec<&str> = whole["workflows"].as_mapping().unwrap().keys().filter_map(Value::as_str).collect();
    assert_eq!(names, ["nixdag", "lint", "docs", "deploy"]);
    // The stand-in runs one at a time.
    // The last one runs for a pipeline that is started with its parameter.
    for name in &names[..3] {
        let mut one = whole.clone();
        one["workflows"] = serde_yaml::to_value(BTreeMap::from([(*name, &whole["workflows"][*name])])).unwrap();
        let mut part = setup.clone();
        part.continuation = Some(serde_yaml::to_string(&one).unwrap());
        let outcome = world.continued(&part).run().unwrap();
        assert_succeeded(&outcome);
        assert!(*name == "nixdag" || logs(&outcome).contains(*name), "{}", logs(&outcome));
    }
}

#[test]
fn a_configuration_that_cannot_be_continued_stays_and_what_to_add_is_printed() {
    let job = "jobs: { gate: { docker: [{ image: debian }], steps: [checkout] } }\n";
    let joins =
        "jobs: { a: { docker: [{ image: debian }], steps: [checkout] } }\nworkflows: { nixdag: { jobs: [a] } }\n";
    for (text, why) in [
        (
            "version: 2.1\nsetup: true\njobs: {}\nworkflows: {}\n",
            "`.circleci/config.yml` is kept: it has `setup: true`",
        ),
        (
            "version: 2.1\nsetup: true\norbs: { path-filtering: circleci/path-filtering@1.3.0 }\nworkflows: { setup: { jobs: [path-filtering/filter] } }\n",
            "docs/migrate-path-filtering.md",
        ),
        ("version: 2\njobs: {}\n", "version"),
        ("a: [", ""),
        (
            &format!("version: 2.1\n{job}workflows: {{ w: {{ jobs: [gate] }} }}\n"),
            "`jobs.gate` of `.circleci/config.yml` and",
        ),
        (&format!("version: 2.1\n{joins}"), "job `a` of workflow `nixdag` in `.circleci/config.yml` and job `a` in"),
    ] {
        let flake = flake();
        fs::create_dir(flake.path().join(".circleci")).unwrap();
        fs::write(flake.path().join(".circleci/config.yml"), text).unwrap();
        let said = init(flake.path(), "");
        assert!(said.contains(why) && !said.contains(&*flake.path().to_string_lossy()), "{said}");
        assert!(
            said.contains("\nleft to do in the repository:\n  1. put the job above into `.circleci/config.yml`"),
            "{said}"
        );
        assert_eq!(read(flake.path(), ".circleci/config.yml"), text);
        assert!(!flake.path().join(".circleci/continue.yml").exists());
    }
}

#[test]
fn a_scheduled_workflow_is_named_with_what_to_do() {
    let flake = flake();
    fs::create_dir(flake.path().join(".circleci")).unwrap();
    let text = THREE.replace(
        "  docs: {",
        "  docs: { triggers: [{ schedule: { cron: 0 3 * * *, filters: { branches: { only: main } } } }],",
    );
    fs::write(flake.path().join(".circleci/config.yml"), &text).unwrap();
    let said = init(flake.path(), "");
    assert!(
        said.contains("Workflow `lint` runs in every pipeline") && said.contains("Scheduled workflow `docs` does"),
        "{said}"
    );
    assert!(said.contains("  1. in `.circleci/continue.yml`, replace `triggers` of workflow `docs` with"), "{said}");
    let warned =
        FreshNix::new().script(flake.path(), "\"$nixdag\" generate --merge .circleci/continue.yml 2>&1 > /dev/null");
    assert!(warned.contains("warning: workflow `docs` of `.circleci/continue.yml` has `triggers`"), "{warned}");
}

#[test]
fn gitlab_gets_a_file_or_the_lines_to_add() {
    let flake = flake();
    run(flake.path(), "git", &["remote", "add", "origin", "git@gitlab.example.org:group/project.git"]);
    let said = init(flake.path(), "");
    assert!(said.starts_with("GitLab: the remote is on gitlab.example.org; `--provider circleci` or"), "{said}");
    let file = read(flake.path(), ".gitlab-ci.yml");
    let page = read(repository(), "docs/gitlab.md");
    assert!(page.contains(file.split_once("\n\n").unwrap().1), "docs/gitlab.md shows another `workflow` than\n{file}");
    let check = || nixdag().current_dir(flake.path()).args(["check", ".gitlab-ci.yml"]).assert();
    check().success().stderr(predicate::str::contains("`OWNER` stands for your group"));
    let again = init(flake.path(), "");
    assert!(again.contains("`.gitlab-ci.yml` runs nixdag already"), "{again}");

    fs::remove_file(flake.path().join("nixdag.yml")).unwrap();
    fs::write(flake.path().join(".gitlab-ci.yml"), "test: { script: [make] }\n").unwrap();
    let said = init(flake.path(), "");
    assert!(
        said.contains("`.gitlab-ci.yml` is kept. It") && said.contains("    include:\n      - component: "),
        "{said}"
    );
    assert!(
        said.contains("left to do in the repository:\n  1. add the lines above to `.gitlab-ci.yml`\n  2. "),
        "{said}"
    );
    assert!(!said.contains("\n\n\n") && !said.contains("inputs"), "{said}");
    assert_eq!(read(flake.path(), ".gitlab-ci.yml"), "test: { script: [make] }\n");
    for (text, expected) in [
        (
            "stages: [lint, test]\nt: { stage: test, script: [make] }\n",
            "inputs: { plan_stage: \"lint\", stage: \"lint\" }",
        ),
        ("spec: { inputs: {} }\n---\nstages: [lint, build]\n", "nixdag/nixdag@0.1\n\nleft"),
        ("a: [", "`.gitlab-ci.yml` is kept (it cannot be read: "),
    ] {
        fs::write(flake.path().join(".gitlab-ci.yml"), text).unwrap();
        let said = init(flake.path(), "");
        assert!(said.contains(&expected.replace("0.1", &series())), "{said}");
    }
    // A component's inputs are declared in its template.
    let template = read(repository(), "gitlab/templates/nixdag/template.yml");
    assert!(template.contains("\n    flake:\n") && template.contains("\n    plan_stage:\n"));
}

#[test]
fn github_gets_a_workflow_beside_those_that_are_there() {
    let flake = flake();
    run(flake.path(), "git", &["remote", "add", "origin", "https://github.com/someone/project"]);
    fs::create_dir_all(flake.path().join(".github/workflows")).unwrap();
    fs::write(flake.path().join(".github/workflows/lint.yml"), "on: push\njobs: {}\n").unwrap();
    let said = init(flake.path(), "");
    assert!(said.starts_with("GitHub: the repository has workflows; "), "{said}");
    assert!(said.contains("`gate` a required check, beside those that are required now"), "{said}");
    assert!(said.contains("  1. replace the zeros in") && said.contains("`git ls-remote https://"), "{said}");
    let checked = nixdag().current_dir(flake.path()).args(["check", ".github/workflows/nixdag.yml"]).assert().success();
    checked.stderr(predicate::str::contains("the commit of nixdag's release, whose place has zeros"));
    let again = init(flake.path(), "");
    assert!(
        again.contains("runs nixdag already, and is kept") && again.contains("  1. replace the zeros in"),
        "{again}"
    );
    let file = read(flake.path(), ".github/workflows/nixdag.yml");
    let (branch, shown) = ("branches: [main]", read(repository(), "github/nixdag.yml"));
    let own = file.lines().find(|line| line.contains("branches: [")).unwrap();
    assert_eq!(file.replace(own, shown.lines().find(|line| line.contains(branch)).unwrap()), shown);
    let plan = file.lines().find(|line| line.contains("/github/plan@")).unwrap();
    let file = file.replace(plan, &format!("{plan}\n        with: {{ program: nixdag }}"));
    let (_checkout, mut github) = project_of(&file, "examples/hermetic", &every_nix().remove(0));
    let outcome = github.run().unwrap();
    assert_eq!(outcome.result("gate"), Status::Success, "{}", outcome.logs());
}

#[test]
fn links_out_of_the_repository_are_neither_read_nor_written() {
    let flake = flake();
    let here = flake.path();
    let outside = TempDir::new().unwrap();
    let kept = |name: &str, text: &str| {
        fs::write(outside.path().join(name), text).unwrap();
        outside.path().join(name)
    };
    let config = kept("config.yml", "version: 2.1\njobs: {}\nworkflows: {}\n");
    let key = kept("key", "-----BEGIN KEY-----\nc2VjcmV0\n");
    let folder = outside.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for folder in [".circleci", ".github"] {
        fs::create_dir(here.join(folder)).unwrap();
    }
    for (link, target, provider) in [
        (".circleci/config.yml", &config, "circleci"),
        (".circleci/config.yml", &key, "circleci"),
        (".gitlab-ci.yml", &key, "gitlab"),
        ("nixdag.yml", &key, "circleci"),
        (".github/workflows", &folder, "github"),
    ] {
        std::os::unix::fs::symlink(target, here.join(link)).unwrap();
        let mut init = nixdag();
        fails(init.args(["init", "--provider", provider]).arg(here), &[link, "leads out of the repository"]);
        let shown = String::from_utf8(init.output().unwrap().stderr).unwrap();
        assert!(!shown.contains("KEY") && !shown.contains("c2VjcmV0"), "{shown}");
        fs::remove_file(here.join(link)).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "version: 2.1\njobs: {}\nworkflows: {}\n");
        assert!(fs::read_dir(&folder).unwrap().next().is_none());
    }
}

#[test]
fn a_tree_with_changes_is_planned_as_it_is_and_keeps_them() {
    let folder = flake();
    let here = folder.path();
    let changed = read(here, "flake.nix") + "# not committed\n";
    fs::write(here.join("flake.nix"), &changed).unwrap();
    fs::write(here.join("notes"), "not added").unwrap();
    let said = init(here, "--provider circleci");
    assert!(said.starts_with("CircleCI, from `--provider`\n"), "{said}");
    assert!(
        said.contains(
            "the plan was made with changes that are not committed, and without 1 file that git does not track\n"
        ),
        "{said}"
    );
    assert!(said.contains("wrote .circleci/config.yml\nwrote nixdag.yml\n"), "{said}");
    assert_eq!(read(here, "flake.nix"), changed);
    let status = run(here, "git", &["status", "--porcelain", "--untracked-files=all"]);
    let files: Vec<&str> = status.split_whitespace().collect();
    assert_eq!(files, ["M", "flake.nix", "??", ".circleci/config.yml", "??", "nixdag.yml", "??", "notes"]);
}

#[test]
fn a_flake_below_the_root_is_named_and_one_that_is_missing_is_an_error() {
    let outer = TempDir::new().unwrap();
    let inner = flake();
    fs::create_dir(outer.path().join("nix")).unwrap();
    fs::copy(inner.path().join("flake.nix"), outer.path().join("nix/flake.nix")).unwrap();
    commit(outer.path());
    let missing = FreshNix::new().script(outer.path(), "\"$nixdag\" init 2>&1 && exit 1; echo $?");
    assert!(missing.contains("no `flake.nix` in `.` or above it") && missing.ends_with("1\n"), "{missing}");
    fs::create_dir(outer.path().join("new")).unwrap();
    fs::copy(inner.path().join("flake.nix"), outer.path().join("new/flake.nix")).unwrap();
    let new = FreshNix::new().script(outer.path(), "cd new; \"$nixdag\" init 2>&1 && exit 1; true");
    assert!(new.contains("so Nix does not see it: `git add new/flake.nix`"), "{new}");
    fs::remove_dir_all(outer.path().join("new")).unwrap();
    // Changes that are not committed are part of the flake.
    fs::create_dir(outer.path().join("nix/sub")).unwrap();
    let text = read(outer.path(), "nix/flake.nix").replace("c = package \"c\" [ ];", "c = package \"c\" [ a ];");
    fs::write(outer.path().join("nix/flake.nix"), text).unwrap();
    let said = init(&outer.path().join("nix/sub"), "--provider github");
    assert!(said.contains("wrote .github/workflows/nixdag.yml\nwrote nix/nixdag.yml"), "{said}");
    let file = read(outer.path(), ".github/workflows/nixdag.yml");
    assert!(file.contains("        with: { flake: \"./nix\" }\n"), "{file}");
    let config = init(outer.path(), "nix --provider circleci --dry-run");
    assert!(config.contains("jobs: [nixdag/setup: { flake: \"./nix\" }]"), "{config}");
    let component = init(outer.path(), "nix --provider gitlab --dry-run");
    assert!(component.contains("inputs: { flake: \"./nix\" }"), "{component}");
    // Everything plans for the CI whose file is at the root of the repository.
    for script in ["plan ./nix", "generate ./nix", "doctor nix"] {
        let said = FreshNix::new().script(outer.path(), &format!("\"$nixdag\" {script}"));
        let names = if script.starts_with("plan") { "to build on GitHub;" } else { "" };
        let waves = if script.starts_with("generate") { "\"waves\":" } else { "" };
        let doctor = if script.starts_with("doctor") { "for GitHub\n" } else { "" };
        assert!([names, waves, doctor].iter().all(|words| said.contains(words)), "{script}: {said}");
    }
    let plan = FreshNix::new().script(&outer.path().join("nix/sub"), "\"$nixdag\" plan");
    assert!(plan.contains("to build on GitHub;"), "{plan}");
}

#[test]
fn a_second_flake_of_a_repository_is_not_taken_for_planned() {
    let outer = flake();
    let here = outer.path();
    fs::create_dir_all(here.join("services/api")).unwrap();
    fs::copy(here.join("flake.nix"), here.join("services/api/flake.nix")).unwrap();
    commit(here);
    for (provider, file) in
        [("circleci", ".circleci/config.yml"), ("gitlab", ".gitlab-ci.yml"), ("github", ".github/workflows/nixdag.yml")]
    {
        init(here, &format!(". --provider {provider}"));
        let said = init(here, &format!("services/api --provider {provider}"));
        let kept = format!("`{file}` is kept: it plans the flake at the root, not the one in `services/api`\n");
        assert!(said.contains(&kept) && !said.contains("runs nixdag already"), "{said}");
        assert!(said.contains(&format!("in `{file}`, set `flake` to `./services/api`, or have")), "{said}");
        let again = init(here, &format!(". --provider {provider}"));
        assert!(again.contains(&format!("`{file}` runs nixdag already, and is kept\n")), "{again}");
    }
}

#[test]
fn the_remote_says_for_which_ci_a_plan_is_as_for_init() {
    let flake = flake();
    run(flake.path(), "git", &["remote", "add", "origin", "git@gitlab.example.org:group/project.git"]);
    let plan = FreshNix::new().script(flake.path(), "\"$nixdag\" plan; \"$nixdag\" generate");
    assert!(plan.contains("to build on GitLab;") && plan.contains("\nstages:"), "{plan}");
}

#[test]
fn the_doctor_ends_well_on_what_init_writes() {
    for provider in ["circleci", "gitlab", "github"] {
        let flake = flake();
        init(flake.path(), &format!("--provider {provider}"));
        let said = nixdag().arg("doctor").current_dir(flake.path()).assert().success();
        let said = String::from_utf8(said.get_output().stdout.clone()).unwrap();
        assert_eq!(said.contains("open by default)"), provider != "github", "{said}");
        // What is set on purpose counts.
        let worse = nixdag().args(["doctor", ".", "--", "--allow-ifd", "--impure"]).current_dir(flake.path()).assert();
        worse.code(1);
    }
}
