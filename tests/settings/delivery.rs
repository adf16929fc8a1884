//! What `generate` refuses of how jobs deliver: a hand-off that no other job would take.

use crate::support::recorded::Recorded;
use crate::support::{fails, nixdag};

// Made for this test with `nix key generate-secret`, and used nowhere else.
const SECRET: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";
const PUBLIC: &str = "ours-1:sbmeFM5JjH9vkdtEqk7RWAOx5CQR72A7nNAFZPNnzuU=";

/// A cache where nobody listens: it is not asked, since what is available is given.
const URL: &str = "http://127.0.0.1:1/cache";

#[test]
fn a_hand_off_through_a_cache_that_nobody_signs_is_refused() {
    let recorded = Recorded::of(&[("a", &[])]);
    let generate = |provider: &str, url: &str, more: &[&str]| {
        let mut nixdag = recorded.nixdag("generate");
        nixdag.args(["--provider", provider, "--available", "-", "--cache", url]).args(more);
        nixdag
    };
    for provider in ["circleci", "gitlab", "github"] {
        let words = [
            "jobs cannot hand on through `http://127.0.0.1:1/cache` without a key",
            "taken by no other job, which builds it again",
            "put it into the variable `NIXDAG_SIGNING_KEY` of the jobs",
        ];
        fails(&mut generate(provider, URL, &[]), &words);
        // A bucket and a folder are no better.
        for url in ["s3://bucket?region=eu-west-1", "file:///srv/cache"] {
            fails(&mut generate(provider, url, &[]), &["jobs cannot hand on through"]);
        }
        // The name of a variable is no key that anybody trusts.
        let named = ["--signing-key-variable", "OURS"];
        let words = ["put it into the variable `OURS` of the jobs"];
        if provider != "github" {
            fails(&mut generate(provider, URL, &named), &words);
        }
    }
    for provider in ["circleci", "gitlab"] {
        generate(provider, URL, &["--signing-public-key", PUBLIC]).assert().success();
        generate(provider, URL, &[]).env("NIXDAG_SIGNING_KEY", SECRET).assert().success();
        generate(provider, &format!("{URL}?trusted=true"), &[]).assert().success();
    }
    // The same by the file.
    let recorded = Recorded::of(&[("a", &[])]);
    let recorded = recorded.settings(&format!("cache: {URL}\n"));
    fails(recorded.nixdag("generate").args(["--available", "-"]), &["without a key"]);
    let recorded = recorded.settings(&format!("cache: {URL}\nsigning_public_keys: [\"{PUBLIC}\"]\n"));
    recorded.nixdag("generate").args(["--available", "-"]).assert().success();
    // The key of a cache that signs what it gets counts, that of another one does not: nothing is pushed there.
    for (url, is_taken) in [(URL, true), ("http://127.0.0.1:1/other", false)] {
        let text = format!("cache: {URL}\ncaches: [{{url: \"{url}\", public_key: \"{PUBLIC}\"}}]\n");
        let recorded = Recorded::of(&[("a", &[])]).settings(&text);
        match is_taken {
            true => drop(recorded.nixdag("generate").assert().success()),
            false => {
                fails(&mut recorded.nixdag("generate"), &["jobs cannot hand on through"]);
                recorded.nixdag("generate").args(["--trusted-public-key", PUBLIC]).assert().success();
            }
        }
    }
}

/// What a job that plans is told of secrets that it should not have: `variables` are set, and the job is one of this provider's where its own
/// variable is among them.
fn planning(variables: &[(&str, &str)], more: &[&str]) -> (Option<i32>, String) {
    let recorded = Recorded::of(&[("a", &[])]);
    let mut nixdag = recorded.nixdag("generate");
    nixdag.args(["--available", "-", "--signing-public-key", PUBLIC]).args(more).envs(variables.iter().copied());
    let output = nixdag.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_job_that_plans_is_told_of_secrets_that_can_write_and_refused_where_code_could_read_them() {
    let key = ("NIXDAG_SIGNING_KEY", SECRET);
    let cachix = ("CACHIX_AUTH_TOKEN", "cachix-token-secret");
    let own = ("MY_TOKEN", "my-token-secret");
    let aws = ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE");
    let circleci = ("CIRCLECI", "true");
    let to_cachix = ["--push", "cachix:mine"];
    let to_bucket = ["--push", "s3://bucket", "--push-credential", "MY_TOKEN"];
    for (variables, more, named) in [
        (vec![circleci, key], &[][..], "has 1 secret that only jobs which sign or push need: `NIXDAG_SIGNING_KEY`"),
        (vec![circleci, cachix], &to_cachix, "`CACHIX_AUTH_TOKEN` (put it into a context"),
        (vec![circleci, own, aws, key], &to_bucket, "3 secrets"),
        (vec![circleci, aws], &to_bucket, "what planning reads a bucket with should not be able to write"),
        (vec![("GITLAB_CI", "true"), key], &[], "give the variable the environment that `delivery_contexts` names"),
        (vec![("GITHUB_ACTIONS", "true"), key], &[], "not in the job `plan`"),
    ] {
        let (code, said) = planning(&variables, more);
        let is_github = variables[0].0 == "GITHUB_ACTIONS";
        assert!(said.contains("warning: this job plans") && said.contains(named), "{named}: {said}");
        assert!(code == Some(0) || is_github, "{said}");
        assert!(!said.contains(SECRET) && !said.contains("-secret") && !said.contains("AKIA"), "{said}");
    }
    // Nobody else's variables, none that is empty, and nothing at a terminal.
    for (variables, more) in [
        (vec![key], &[][..]),
        (vec![circleci, cachix, own, aws], &[]),
        (vec![circleci, ("NIXDAG_SIGNING_KEY", "")], &[]),
    ] {
        let (code, said) = planning(&variables, more);
        assert!(code == Some(0) && !said.contains("this job plans"), "{said}");
    }
    // Only flakes are evaluated; there is nothing but nixdag: no Nix.
    let folder = tempfile::tempdir().unwrap();
    let evaluating = |variable: (&str, &str), more: &[&str]| {
        let mut nixdag = nixdag();
        nixdag.env("PATH", "/nowhere").env("CIRCLECI", "true").env(variable.0, variable.1);
        let output = nixdag.args(["generate", folder.path().to_str().unwrap()]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for (flag, why) in [("--allow-ifd", "builders run in it"), ("--impure", "evaluated code reads its files")] {
        let said = evaluating(key, &[flag]);
        assert!(said.contains(why) && said.contains(&format!("or plan without `{flag}`")), "{said}");
        assert!(!said.contains(SECRET), "{said}");
        // What planning itself may need is no reason to refuse.
        let said = evaluating(aws, &["--push", "s3://bucket", flag]);
        assert!(said.contains("warning: this job plans") && !said.contains("or plan without"), "{said}");
    }
}
