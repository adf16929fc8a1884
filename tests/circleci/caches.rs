//! Whole pipelines with a cache that Nix itself has made, over HTTP: what it has is skipped, the rest is built on machines with an
//! empty store that fetch from it, whether jobs hand on through the workspace or through a cache.

use std::fs;
use std::path::Path;

use crate::support::cache_server::Server;
use crate::support::circleci::Outcome;
use crate::support::empty_store::{NIX_CONFIG, empty_store};
use crate::support::project::{Project, every_nix, figure, logs, one_nix, report};
use crate::support::writable_cache::WritableCache;
use nixdag::nix::signature::SecretKey;
use tempfile::TempDir;

// Made for this test with `nix key generate-secret`, and used nowhere else.
const SECRET: &str = "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";

/// Has this Nix build `a` and `b` of the example somewhere else and copy them into a cache, signed with the key of this test or
/// not at all.
fn cache_of_a_and_b(project: &Project, nix: &Path, is_signed: bool) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("secret"), SECRET).unwrap();
    let parameters = if is_signed { "?secret-key=$PWD/secret" } else { "" };
    let script = format!(
        "flake=path:{checkout}
         out=$(nix build --no-link --json $flake#a $flake#b | jq -r '.[].outputs.out')
         nix copy --to \"file://$PWD/cache{parameters}\" $out
         rm secret",
        checkout = project.checkout.path().display()
    );
    let mut command = empty_store();
    command.args(["bash", "-euc", &script]).current_dir(dir.path());
    let config = format!("{NIX_CONFIG}experimental-features = nix-command flakes\n");
    let path = format!("{}:{}", nix.display(), std::env::var("PATH").unwrap());
    let output = command.env("PATH", path).env("HOME", dir.path()).env("NIX_CONFIG", config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}

fn public() -> String {
    SecretKey::parse(SECRET).unwrap().public().to_string()
}

/// Runs a pipeline; gives the names of its jobs that build, how many derivations they have built, and what it printed.
#[track_caller]
fn run(project: &Project, number: u64) -> (Vec<String>, u64, String) {
    let setup = project.setup(number);
    let outcome: Outcome = project.continued(&setup, number).run().unwrap();
    assert!(outcome.succeeded(), "{}", logs(&outcome));
    let said = report(&outcome);
    assert_eq!(said["missing"].as_array().map_or(0, Vec::len), 0, "{said}");
    assert_eq!(said["built_twice"].as_array().map(Vec::len), Some(0), "{said}");
    let jobs = outcome
        .jobs
        .iter()
        .map(|job| job.name.clone())
        .filter(|name| !["restore", "gate", "integration", "report"].contains(&&**name))
        .collect();
    (jobs, figure(&said, "built"), format!("{}{}", logs(&setup), logs(&outcome)))
}

fn nars(server: &Server) -> usize {
    server.log().iter().filter(|path| path.starts_with("/nar/")).count()
}

#[test]
fn what_a_signed_cache_has_is_fetched_and_the_rest_is_built() {
    for nix in every_nix() {
        let mut project = Project::new("examples/hermetic", &nix);
        let cache = cache_of_a_and_b(&project, &nix, true);
        let server = Server::folder(&cache.path().join("cache"));
        project.arguments = format!("--substituter {} --trusted-public-key {}", server.url(), public());
        let (jobs, built, said) = run(&project, 1);
        assert_eq!((jobs, built), (vec!["c".to_owned(), "d".to_owned()], 2), "{said}");
        assert!(nars(&server) > 0, "{:?}", server.log());

        // The same, handing on through another cache; how Nix pushes is in `runner`.
        if nix != one_nix(1) {
            continue;
        }
        let own = WritableCache::new();
        project.arguments.push_str(&format!(
            " --handoff cache --cache {} --signing-public-key {}",
            own.url(),
            public()
        ));
        project.variables = vec![("NIXDAG_SIGNING_KEY".into(), SECRET.into())];
        let before = nars(&server);
        let (jobs, built, said) = run(&project, 2);
        assert_eq!((jobs, built), (vec!["c".to_owned(), "d".to_owned()], 2), "{said}");
        assert!(nars(&server) > before, "{:?}", server.log());
        let pushed = own.narinfos();
        assert!(
            pushed.iter().any(|text| text.contains("-d\n")) && said.contains("1 path pushed to"),
            "{pushed:?}\n{said}"
        );
    }
}

#[test]
fn what_an_unsigned_cache_has_counts_only_where_it_is_trusted() {
    for turn in [0, 2] {
        let nix = one_nix(turn);
        let mut project = Project::new("examples/hermetic", &nix);
        let cache = cache_of_a_and_b(&project, &nix, false);
        let server = Server::folder(&cache.path().join("cache"));
        let own = WritableCache::new();
        project.variables = vec![("NIXDAG_SIGNING_KEY".into(), SECRET.into())];
        let through = format!("--handoff cache --cache {} --signing-public-key {}", own.url(), public());
        project.arguments = format!("--substituter {} --trusted-public-key {} {through}", server.url(), public());
        let (jobs, built, said) = run(&project, 1);
        assert_eq!((jobs.len(), built, nars(&server)), (4, 4, 0), "{said}");
        assert!(said.contains("without a signature"), "{said}");

        project.arguments = format!("--substituter {}?trusted=1", server.url());
        let (jobs, built, said) = run(&project, 2);
        assert_eq!((jobs, built), (vec!["c".to_owned(), "d".to_owned()], 2), "{said}");
        assert!(nars(&server) > 0, "{:?}", server.log());
    }
}

/// What jobs have handed on through a cache is there for the next pipeline, which builds nothing of it.
#[test]
fn what_was_handed_on_through_a_cache_is_not_built_again() {
    for (turn, in_file) in [(1, true), (2, false)] {
        let mut project = Project::new("examples/hermetic", &one_nix(turn));
        let own = WritableCache::new();
        let rest = format!("--handoff cache --reuse off --signing-public-key {}", public());
        project.variables = vec![("NIXDAG_SIGNING_KEY".into(), SECRET.into())];
        project.arguments = if in_file {
            let settings = project.checkout.path().join("nixdag.yml");
            let text = fs::read_to_string(&settings).unwrap();
            fs::write(settings, format!("cache: {}\n{text}", own.url())).unwrap();
            rest
        } else {
            format!("{rest} --cache {}", own.url())
        };
        let (jobs, built, said) = run(&project, 1);
        assert_eq!((jobs.len(), built), (4, 4), "{said}");
        // A cache that nobody has pushed to yet is nothing to warn of; a key that the whole project has is.
        let warned: Vec<&str> = said.lines().filter(|line| line.contains("warning: ")).collect();
        assert!(warned.len() == 1 && warned[0].contains("this job plans"), "{said}");
        let (jobs, built, said) = run(&project, 2);
        assert_eq!((jobs.as_slice(), built), (&[] as &[String], 0), "{said}");
    }
}
