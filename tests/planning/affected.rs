//! What a change touches: recorded evaluations against each other, and, with every version of Nix, commits of a repository.

use crate::support::FreshNix;
use crate::support::recorded::Recorded;
use predicates::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two recorded evaluations of a, b on a, c; in the second one b is another derivation.
fn recorded() -> Recorded {
    Recorded::new()
        .drv("a", "", &[], &[])
        .drv("b", "", &["a"], &[])
        .drv("c", "", &[], &[])
        .drv("b#head", "", &["a"], &[])
        .other_roots("base.json", &[("a", "a"), ("b", "b"), ("c", "c")])
        .target("packages.x86_64-linux.a", "a")
        .target("packages.x86_64-linux.b", "b#head")
        .target("packages.x86_64-linux.renamed", "c")
}

/// Attributes' last names of the jobs' targets, and those that are skipped with the reason.
fn targets(plan: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let jobs = plan["jobs"].as_array().unwrap().iter().flat_map(|job| job["targets"].as_array().unwrap());
    let skipped = plan["skipped"].as_array().unwrap().iter();
    (
        jobs.map(|target| text(&target[2])).collect(),
        skipped.map(|skipped| (text(&skipped["target"][2]), text(&skipped["reason"]))).collect(),
    )
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(target, reason)| ((*target).to_owned(), (*reason).to_owned())).collect()
}

#[test]
fn what_the_base_has_too_is_left_out() {
    let recorded = recorded();
    let plan = recorded.plan(&["--base-roots", "base.json"]);
    assert_eq!(targets(&plan), (vec!["b".into()], pairs(&[("a", "unaffected"), ("renamed", "unaffected")])));
    assert_eq!(plan["base"], json!({"revision": null}));
    // What an affected target needs is built all the same.
    let built: Vec<&Value> =
        plan["jobs"].as_array().unwrap().iter().flat_map(|job| job["derivations"].as_array().unwrap()).collect();
    assert_eq!(built, [recorded.path("a"), recorded.path("b#head")]);

    let named = recorded.plan(&["--base-roots", "base.json", "--base", "v1"]);
    assert_eq!(named["base"], json!({"revision": "v1"}));
    let all = recorded.plan(&["--base-roots", "base.json", "--unaffected", "build"]);
    assert_eq!(targets(&all), (vec!["a".into(), "b".into(), "renamed".into()], pairs(&[])));
    let same = recorded.plan(&["--base-roots", "roots.json"]);
    assert_eq!(targets(&same).0, Vec::<String>::new());
}

#[test]
fn the_table_and_the_configuration_say_why_nothing_is_built() {
    let recorded = recorded();
    let words = "nothing to build: 3 targets are the same as at v1";
    let arguments = ["--base-roots", "roots.json", "--base", "v1"];
    let table = recorded.nixdag("plan").args(arguments).assert().success().stdout(predicate::str::contains(words));
    table.stderr(predicate::str::contains("0 of 3 targets differ from the base `v1`"));
    recorded
        .nixdag("generate")
        .args(arguments)
        .assert()
        .success()
        .stdout(predicate::str::contains(format!("# {words}.\n")));
    recorded
        .nixdag("plan")
        .args(["--base-roots", "base.json"])
        .assert()
        .success()
        .stdout(predicate::str::contains("2 targets unaffected by the change since the base"));
}

#[test]
fn the_file_says_it_once_and_mistakes_are_named() {
    let recorded = recorded();
    recorded.file("nixdag.yml", "base: auto\nunaffected: build\nignore: [docs/, \"*.md\"]\n");
    // `base` of the file is for the flake beside it, not for a recorded evaluation.
    assert_eq!(recorded.plan(&[])["base"], Value::Null);
    assert_eq!(targets(&recorded.plan(&["--base-roots", "base.json"])).0.len(), 3);
    assert_eq!(targets(&recorded.plan(&["--base-roots", "base.json", "--unaffected", "skip"])).0, ["b"]);
    recorded.nixdag("plan").args(["--base", "main"]).assert().code(2).stderr(predicate::str::contains("--base-roots"));
    recorded
        .nixdag("plan")
        .args(["--base-roots", "none.json"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("none.json"));
    for (text, words) in [
        ("ignore: [\"[a\"]\n", "never closed"),
        ("ignore: 3\n", "a list of files"),
        ("unaffected: keep\n", "unknown value `keep`"),
        ("ignored: [x]\n", "did you mean `ignore`"),
    ] {
        recorded.file("nixdag.yml", text);
        recorded.nixdag("plan").assert().code(1).stderr(predicate::str::contains(words));
    }
}

#[test]
fn final_jobs_keep_what_they_restore() {
    let recorded = recorded();
    recorded
        .file("nixdag.yml", "final: [{name: test, after: [\"*.*.a\"], restore: [\"*.*.renamed\"], run: \"true\"}]\n");
    let plan = recorded.plan(&["--base-roots", "base.json"]);
    assert_eq!(targets(&plan), (vec!["b".into(), "renamed".into()], pairs(&[("a", "unaffected")])));
    recorded.nixdag("plan").args(["--base-roots", "base.json"]).assert().stderr(
        predicate::str::contains("outputs of 1 unaffected targets").and(predicate::str::contains("no target").not()),
    );
}

/// What a script prints in an empty folder, see [`FreshNix::script`].
fn script(nix: &FreshNix, text: &str) -> String {
    nix.script(TempDir::new().unwrap().path(), text)
}

/// What a commit touches, beside the commit before.
const COMMITS: &str = "\
leaf: leaf
library: app library tool
docs:
lock: pinned
rename:
comment:
variable: app tool
version: app library tool
dependency-added: twig
removed:
new: fresh
";

#[test]
fn each_commit_affects_exactly_what_it_touches() {
    for nix in FreshNix::every_version() {
        let said = script(
            &nix,
            r##"
            $make; cd repository; before=start
            for tag in leaf library docs lock rename comment variable version dependency-added removed new; do
              git checkout -q $tag
              $nixdag plan . --base $before --system x86_64-linux --format json 2> ../messages > ../plan.json
              jq -e '[.skipped[].reason] | all(. == "unaffected")' ../plan.json > /dev/null
              jq -r --arg tag $tag '$tag + ":" + ([.jobs[].targets[][2]] | sort | map(" " + .) | join(""))' ../plan.json
              before=$tag
            done"##,
        );
        assert_eq!(said, COMMITS);
    }
}

#[test]
fn a_change_of_ignored_files_is_not_evaluated() {
    let nix = FreshNix::new();
    let said = script(
        &nix,
        r##"
        $make; cd repository; git checkout -q docs
        echo 'ignore: [docs/, "*.md"]' > ../settings.yml
        mkdir ../only-git; ln -s "$(command -v git)" ../only-git/git
        PATH=$PWD/../only-git "$nixdag" plan . --base library --settings ../settings.yml --format json 2> ../said
        grep -q 'all 2 files that differ' ../said
        # A table says it itself.
        PATH=$PWD/../only-git "$nixdag" plan . --base library --settings ../settings.yml > ../table 2> ../said
        grep -q 'all 2 files that differ' ../table; if grep -q 'files that differ' ../said; then exit 1; fi
        PATH=$PWD/../only-git "$nixdag" generate . --base library --settings ../settings.yml > ../config.yml
        grep -q 'files that differ' ../config.yml; grep -q 'gate' ../config.yml
        PATH=$PWD/../only-git "$nixdag" explain . leaf --base library --settings ../settings.yml 2> ../said | grep -q 'ignored'
        grep -q 'nothing was evaluated, so nobody knows whether there is a target `leaf`' ../said
        PATH=$PWD/../only-git "$nixdag" generate . --base library --settings ../settings.yml -o ../config.yml 2> ../said
        if grep -q 'preview' ../said ../config.yml; then exit 1; fi
        # One file that counts, one that has been changed but not committed, the settings themselves: each is evaluated.
        echo 'ignore: [docs/]' > ../settings.yml
        $nixdag plan . --base library --settings ../settings.yml --format json 2> ../said | jq -c .base | grep -v ignored
        grep -q '0 of 5 targets' ../said
        echo 'ignore: [docs/, "*.md", nixdag.yml]' > nixdag.yml; git add nixdag.yml
        $nixdag plan . --base library --format json 2> ../said | jq -c .base | grep -v ignored
        "##,
    );
    let plan: Value = serde_json::Deserializer::from_str(&said).into_iter().next().unwrap().unwrap();
    assert_eq!(plan["base"]["ignored_changes"], 2);
    assert_eq!((&plan["jobs"], &plan["skipped"]), (&json!([]), &json!([])));
    assert!(plan["flake"]["revision"].is_string());
}

/// Nix sees them as soon as anything else has changed.
#[test]
fn nothing_is_ignored_where_git_is_told_not_to_see_changes() {
    for nix in FreshNix::every_version() {
        let said = script(
            &nix,
            r##"
            $make; cd repository; git checkout -q docs; echo 'ignore: [docs/]' > nixdag.yml; git add nixdag.yml
            git -c user.name=a -c user.email=a@example.org commit -q -m ignore
            for flag in assume-unchanged skip-worktree; do
              echo changed >> docs/README.md; git add docs
              $nixdag plan . --base HEAD 2> ../said | grep -o 'nothing was evaluated'
              git update-index --$flag src/leaf; echo $flag > src/leaf
              $nixdag plan . --base HEAD --format json 2> ../said | jq -r '.jobs[].targets[][2]'; grep -o 'none is ignored.*' ../said
              git update-index --no-$flag src/leaf; git checkout -q src/leaf
            done"##,
        );
        let flagged = "nothing was evaluated\nleaf\nnone is ignored: git ignores changes of `src/leaf` \
                       (`assume-unchanged` or `skip-worktree`), and Nix may see them\n";
        assert_eq!(said, flagged.repeat(2));
    }
}

/// Each of them plans everything, or what is right, and says so.
#[test]
fn a_base_that_is_odd_means_that_more_is_built() {
    for nix in FreshNix::every_version() {
        let said = script(
            &nix,
            r##"
            out=$PWD; $make; cd repository; git checkout -q -b feature leaf
            plan() {
              "$nixdag" plan "$@" --system x86_64-linux --format json 2> $out/messages > $out/plan.json || { cat $out/messages; return; }
              jq -r '([.jobs[].targets[][2]] | sort | join(" ")) + " | base " + (if .base then "there" else "none" end)' $out/plan.json
              grep -o 'no base to compare with\|does not evaluate\|do not evaluate\|[0-9]* of [0-9]* targets' $out/messages || true
            }
            echo "# no base asked for"; plan .
            unset CI CIRCLECI GITLAB_CI GITHUB_ACTIONS
            echo "# missing, as a CI says it"; CI=true plan . --base 1111111111111111111111111111111111111111
            echo "# missing, as a person says it"; plan . --base nonsense
            echo "# base == head"; plan . --base HEAD
            echo "# dirty"; echo dirty > src/app; plan . --base HEAD; git checkout -q src/app
            echo "# syntax error at the base"
            cp packages.nix ..; echo '}}' >> packages.nix; git commit -q -a -m broken; cp ../packages.nix .; git commit -q -a -m mended
            plan . --base HEAD~1
            echo "# an attribute fails at the base"
            sed -i 's/  leaf = .*/  leaf = throw "x";/' packages.nix; git commit -q -a -m fails; cp ../packages.nix .; git commit -q -a -m mended
            plan . --base HEAD~1
            echo "# no flake at the base"
            git checkout -q --orphan fresh; git rm -q --cached flake.nix; git commit -q -m none; git add flake.nix; git commit -q -m flake
            plan . --base HEAD~1
            echo "# first commit"; CI=true plan . --base HEAD~2
            echo "# path, and no repository"; plan "path:$PWD" --base HEAD
            mkdir ../plain; cp -R flake.nix flake.lock packages.nix src ../plain; (cd ../plain; plan . --base HEAD)
            echo "# folder below the root"
            mkdir below; git mv flake.nix flake.lock packages.nix src below; git commit -q -m below
            echo x >> below/src/leaf; git commit -q -a -m leaf; plan ./below --base HEAD~1; (cd below/src; plan ../../below --base HEAD~1)
            echo "# the work tree is left alone"; git status --porcelain; git stash list; git worktree list | wc -l
            "##,
        );
        assert_eq!(said, ODD_BASES);
    }
}

const ODD_BASES: &str = "\
# no base asked for
app leaf library pinned tool | base none
# missing, as a CI says it
app leaf library pinned tool | base none
no base to compare with
# missing, as a person says it
error: the base `nonsense` is not a revision of this repository, which has no remote; name a revision that is there with `--base`, or let nixdag find it with `--base auto`
# base == head
 | base there
0 of 5 targets
# dirty
app tool | base there
2 of 5 targets
# syntax error at the base
app leaf library pinned tool | base there
does not evaluate
5 of 5 targets
# an attribute fails at the base
leaf | base there
does not evaluate
1 of 5 targets
# no flake at the base
app leaf library pinned tool | base none
does not evaluate
# first commit
app leaf library pinned tool | base none
no base to compare with
# path, and no repository
app leaf library pinned tool | base none
no base to compare with
app leaf library pinned tool | base none
no base to compare with
# folder below the root
leaf | base there
1 of 5 targets
leaf | base there
1 of 5 targets
# the work tree is left alone
1
";

#[test]
fn clones_of_a_ci_know_enough() {
    for nix in FreshNix::every_version() {
        let said = script(
            &nix,
            r##"
            out=$PWD; $make; git -C repository checkout -q main
            git -C repository config uploadpack.allowFilter true
            git -C repository checkout -q -b feature library; echo feature > repository/src/leaf; git -C repository commit -q -a -m feature
            git -C repository checkout -q main
            clone() { git clone -q --branch feature "$@" "file://$PWD/repository" clone; cd clone; }
            plan() {
              "$nixdag" plan "$@" --system x86_64-linux --format json 2> $out/messages > $out/plan.json || { cat $out/messages; return; }
              jq -r '[.jobs[].targets[][2]] | sort | join(" ")' $out/plan.json
            }
            echo "# whole"; clone; plan . --base auto; cd ..; rm -rf clone
            echo "# blobless"; clone --filter=blob:none; plan . --base auto; cd ..; rm -rf clone
            echo "# shallow"; clone --depth=1; plan 'git+file:.?shallow=1' --base auto; cd ..; rm -rf clone
            echo "# default branch"; clone; git checkout -q main; plan . --base auto; grep -c 'default branch' $out/messages
            "##,
        );
        assert_eq!(
            said,
            "# whole\nleaf\n# blobless\nleaf\n# shallow\nleaf\n# default branch\napp fresh library pinned twig\n1\n"
        );
    }
}
