//! What `generate` refuses of how jobs deliver: a hand-off that no other job would take.

use crate::support::fails;
use crate::support::recorded::Recorded;

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
