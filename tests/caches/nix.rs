//! Caches that Nix itself has made, with every version of Nix: what is in them is skipped, and the jobs of the plan run to the end
//! in empty stores with what they fetch from there.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::cache_server::{self, Server, dead};
use crate::support::{FreshNix, shown};
use serde_json::{Value, json};
use tempfile::TempDir;

const NIXDAG: &str = env!("CARGO_BIN_EXE_nixdag");

/// The hermetic example (b on a; d on b and c), and a cache with `a` and `b`.
struct Project<'a> {
    nix: &'a FreshNix,
    dir: TempDir,
    /// The cache's public key, where it is signed.
    key: String,
}

impl<'a> Project<'a> {
    fn new(nix: &'a FreshNix, signed: bool) -> Self {
        let dir = TempDir::new().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hermetic/flake.nix");
        fs::create_dir(dir.path().join("flake")).unwrap();
        fs::copy(example, dir.path().join("flake/flake.nix")).unwrap();
        let project = Self { nix, dir, key: String::new() };
        let parameters = if signed { "?secret-key=$PWD/secret" } else { "" };
        project.succeeds(&format!(
            "nix-store --generate-binary-cache-key test-1 secret public
             out=$(nix --extra-experimental-features 'nix-command flakes' build --no-link --json path:$PWD/flake#a path:$PWD/flake#b | jq -r '.[].outputs.out')
             nix --extra-experimental-features nix-command copy --to \"file://$PWD/cache{parameters}\" $out"
        ));
        let key = fs::read_to_string(project.dir.path().join("public")).unwrap().trim().to_owned();
        Self { key, ..project }
    }

    /// Gives the flake settings of Nix.
    fn flake_config(&self, settings: &str) {
        self.flake_text(&format!("nixConfig = {{ {settings} }};"));
    }

    /// Gives the flake another attribute.
    fn flake_text(&self, attribute: &str) {
        let file = self.dir.path().join("flake/flake.nix");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hermetic/flake.nix");
        let text = fs::read_to_string(example).unwrap();
        fs::write(file, text.replacen('{', &format!("{{\n{attribute}\n"), 1)).unwrap();
    }

    fn run(&self, script: &str, config: &str) -> Output {
        let mut command = self.nix.command("bash");
        let base = command.get_envs().find(|(name, _)| *name == "NIX_CONFIG").unwrap().1.unwrap().to_str().unwrap();
        let config = format!("{base}{config}\n");
        command.args(["-euc", script]).env("nixdag", NIXDAG).env("NIX_CONFIG", config).current_dir(self.dir.path());
        command.output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, script: &str) -> String {
        let output = self.run(script, "");
        assert!(output.status.success(), "{}", shown(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Plans with a bundle; gives the plan and what was said.
    #[track_caller]
    fn plan(&self, arguments: &str, config: &str) -> (Value, String) {
        let output = self.run(
            &format!(
                "$nixdag plan path:$PWD/flake {arguments} --format json > plan.json
                 $nixdag generate path:$PWD/flake {arguments} --bundle bundle -o config.yml 2> /dev/null"
            ),
            config,
        );
        assert!(output.status.success(), "{}", shown(&output));
        let plan = fs::read(self.dir.path().join("plan.json")).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let said = said.lines().filter(|line| !line.starts_with("evaluation: ")).map(|line| format!("{line}\n"));
        (serde_json::from_slice(&plan).unwrap(), said.collect())
    }

    /// Runs all jobs, each on a machine with an empty store; gives names of what was built.
    #[track_caller]
    fn run_jobs(&self, plan: &Value) -> Vec<String> {
        let mut built = Vec::new();
        for job in plan["jobs"].as_array().unwrap() {
            let id = job["id"].as_str().unwrap();
            self.succeeds(&format!(
                "$nixdag build --bundle bundle --job {id} --workspace workspace --results results/{id} --on-missing fail"
            ));
            let report = fs::read(self.dir.path().join("results").join(id).join("report.json")).unwrap();
            let report: Value = serde_json::from_slice(&report).unwrap();
            assert_eq!(report["missing"], json!([]), "{report}");
            let derivations = report["derivations"].as_array().unwrap().iter();
            let names =
                derivations.filter(|drv| drv["outcome"] == "built").map(|drv| drv["name"].as_str().unwrap().to_owned());
            built.extend(names);
        }
        built.sort();
        built
    }
}

/// Ids of jobs, and names and places of what is skipped.
fn outline(plan: &Value) -> (Vec<&str>, Vec<(&str, &Value)>) {
    let jobs = plan["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap());
    let skipped = plan["skipped"].as_array().unwrap().iter();
    (jobs.collect(), skipped.map(|one| (one["target"][2].as_str().unwrap(), &one["where"])).collect())
}

#[test]
fn a_signed_cache_spares_what_is_in_it() {
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, true);
        let server = Server::folder(&project.dir.path().join("cache"));
        let url = server.url();
        let (plan, said) = project.plan(&format!("--substituter {url} --trusted-public-key {}", project.key), "");
        assert_eq!(said, "");
        assert_eq!(outline(&plan), (vec!["c", "d"], vec![("a", &json!(url)), ("b", &json!(url))]));
        assert_eq!(project.run_jobs(&plan), ["c", "d"]);
        assert!(server.log().iter().any(|path| path.starts_with("/nar/")), "{:?}", server.log());

        // A key that nobody trusts.
        let (plan, said) = project.plan(&format!("--substituter {url}"), "");
        assert_eq!(outline(&plan).0, ["a", "b", "c", "d"]);
        assert!(said.contains("2 paths signed by `test-1`, which is not trusted,"), "{said}");
    }
}

#[test]
fn an_unsigned_cache_counts_only_if_it_is_trusted() {
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, false);
        let server = Server::folder(&project.dir.path().join("cache"));
        let url = server.url();
        let (plan, said) = project.plan(&format!("--substituter {url} --trusted-public-key {}", project.key), "");
        assert_eq!(outline(&plan), (vec!["a", "b", "c", "d"], vec![]));
        assert!(said.contains("2 paths without a signature"), "{said}");
        assert_eq!(project.run_jobs(&plan), ["a", "b", "c", "d"]);

        fs::remove_dir_all(project.dir.path().join("workspace")).unwrap();
        let (plan, said) = project.plan(&format!("--substituter {url}?trusted=1"), "");
        assert_eq!(said, "");
        assert_eq!(outline(&plan), (vec!["c", "d"], vec![("a", &json!(url)), ("b", &json!(url))]));
        assert_eq!(project.run_jobs(&plan), ["c", "d"]);
    }
}

#[test]
fn the_substituters_of_the_machine_are_asked_and_the_jobs_learn_of_them() {
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, true);
        let server = Server::folder(&project.dir.path().join("cache"));
        let (url, gone) = (server.url(), dead());
        let config = format!("substituters = {gone} {url}\ntrusted-public-keys = {}", project.key);
        let (plan, said) = project.plan("", &config);
        assert_eq!(outline(&plan), (vec!["c", "d"], vec![("a", &json!(url)), ("b", &json!(url))]));
        assert_eq!(said, format!("warning: cache `{gone}` is left out: the connection is refused\n"));
        let store = json!({"url": url, "token_variable": null});
        assert_eq!(plan["caches"], json!({"substituters": [store], "trusted_public_keys": [project.key]}));
        assert_eq!(project.run_jobs(&plan), ["c", "d"]);

        let (plan, said) = project.plan("--no-machine-substituters", &config);
        assert_eq!((outline(&plan).0, said.as_str()), (vec!["a", "b", "c", "d"], ""));
        let failed = project.run("$nixdag plan path:$PWD/flake --require-caches", &config);
        assert!(failed.status.code() == Some(1) && shown(&failed).contains("could not ask"), "{}", shown(&failed));
    }
}

/// The caches that a flake names itself are asked only where somebody accepts them who is not the flake.
#[test]
fn the_substituters_of_a_flake_are_asked_where_they_are_accepted() {
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, true);
        let server = Server::folder(&project.dir.path().join("cache"));
        let url = server.url();
        let secret = "https://user:s3cret@cache.example.org";
        project.flake_config(&format!(
            r#"extra-substituters = [ "{url}" "{secret}" ]; extra-trusted-public-keys = "{} nonsense";"#,
            project.key
        ));
        let note = format!(
            "note: the flake's `nixConfig` names caches that are not asked: `{url}` (ask them, and trust its keys, with \
             `--accept-flake-config`)\n"
        );
        let (plan, said) = project.plan("", "");
        assert_eq!((outline(&plan).0, said.as_str()), (vec!["a", "b", "c", "d"], note.as_str()));
        assert_eq!(plan["caches"], Value::Null);
        assert_eq!(server.log(), [] as [&str; 0]);
        // Who names the cache knows of it.
        let (_, said) = project.plan(&format!("--substituter {url}/"), "");
        assert!(said.contains("signed by `test-1`, which is not trusted") && !said.contains("nixConfig"), "{said}");

        let cached = "--accept-flake-config --eval-cache evaluations";
        // Newer versions have the setting only where flakes are switched on for good.
        let machine = "extra-experimental-features = flakes\naccept-flake-config = true";
        let accepted = [("--accept-flake-config", ""), ("", machine), (cached, ""), (cached, "")];
        for (arguments, config) in accepted {
            let (plan, said) = project.plan(arguments, config);
            assert_eq!(outline(&plan), (vec!["c", "d"], vec![("a", &json!(url)), ("b", &json!(url))]), "{said}");
            assert!(said.contains("warning: a substituter of the flake's `nixConfig` is left out: "), "{said}");
            assert!(said.contains("warning: a key of the flake's `nixConfig` is left out: "), "{said}");
            assert!(!said.contains("s3cret") && !said.contains("note: "), "{said}");
            let store = json!({"url": url, "token_variable": null});
            assert_eq!(plan["caches"], json!({"substituters": [store], "trusted_public_keys": [project.key]}));
        }
        let (plan, _) = project.plan("--accept-flake-config", "");
        assert_eq!(project.run_jobs(&plan), ["c", "d"]);
        assert!(server.log().iter().any(|path| path.starts_with("/nar/")), "{:?}", server.log());
        project.succeeds("! grep -rl s3cret plan.json config.yml bundle workspace results");
    }
}

/// What a flake says about caches cannot depend on the machine, even where Nix does not look at it itself.
#[test]
fn the_settings_of_a_flake_see_nothing_of_the_machine() {
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, true);
        fs::write(project.dir.path().join("secret.txt"), "s3cret").unwrap();
        let file = project.dir.path().join("secret.txt");
        for hidden in [
            // Nix evaluates the name without a view of the machine, and finds no settings.
            r#"${if builtins.getEnv "HOME" == "" then null else "nixConfig"} = { substituters = "https://nixConfig.example.org"; };"#.to_owned(),
            format!(r#"${{if builtins.pathExists {} then "nixConfig" else null}}.substituters = "https://s3cret";"#, file.display()),
        ] {
            project.flake_text(&hidden);
            let output = project.run("$nixdag plan path:$PWD/flake", "");
            let said = shown(&output);
            assert!(output.status.success() || said.contains("restricted") || said.contains("forbidden"), "{said}");
            assert!(!said.contains("names caches"), "{said}");
        }
        for wrong in ["substituters = { };", "substituters = [ 1 ];", "substituters = builtins.readFile ./flake.nix;"] {
            project.flake_config(wrong);
            let output = project.run("$nixdag plan path:$PWD/flake --accept-flake-config", "");
            let said = shown(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("flake configuration setting 'substituters'"), "{said}");
        }
        project.flake_config("substituters = [ \"nonsense\" \"https://h\\n- run: x\" ];");
        let output = project.run("$nixdag plan path:$PWD/flake --accept-flake-config", "");
        let said = shown(&output);
        assert!(
            said.contains("substituters of the flake's `nixConfig` are left out")
                || said.contains("(fix the flake's `nixConfig`"),
            "{said}"
        );
        let long = "https://h ".repeat(120_000);
        project.flake_config(&format!("substituters = \"{long}\";"));
        let (_, said) = project.plan("", "");
        assert!(said.contains("warning: cannot read the `nixConfig` of the flake: "), "{said}");
        let output = project.run("$nixdag plan path:$PWD/flake --accept-flake-config", "");
        assert!(shown(&output).contains("(leave out `--accept-flake-config`)"), "{}", shown(&output));
    }
}

/// A store that is no binary cache: another store on this machine.
#[test]
fn other_stores_are_asked_through_nix() {
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, true);
        let config = format!("trusted-public-keys = {}", project.key);
        let output = project.run(
            "nix --extra-experimental-features nix-command copy --no-check-sigs --from file://$PWD/cache \\
               --to \"local?root=$PWD/other\" $(grep -h StorePath cache/*.narinfo | cut -d' ' -f2)",
            &config,
        );
        assert!(output.status.success(), "{}", shown(&output));
        let store = format!("local?root={}/other", project.dir.path().display());
        let (plan, said) = project.plan(&format!("--substituter '{store}' --trusted-public-key {}", project.key), "");
        assert_eq!(outline(&plan).0, ["c", "d"], "{said}");
        assert!(said.contains("is queried through Nix, which is slower"), "{said}");
        let missing = format!("--substituter ssh-ng://nixdag-nowhere.invalid --trusted-public-key {}", project.key);
        let (plan, said) = project.plan(&missing, "");
        assert_eq!(outline(&plan).0, ["a", "b", "c", "d"]);
        assert!(said.contains("warning: cache `ssh-ng://nixdag-nowhere.invalid`: "), "{said}");
    }
}

/// A token that one variable holds: the cache wants it from nixdag and from Nix, and it is nowhere else to be found.
#[test]
fn a_token_reaches_the_cache_and_nothing_else() {
    const TOKEN: &str = "s3cret.token-value";
    for nix in FreshNix::every_version() {
        let project = Project::new(&nix, true);
        let cache = project.dir.path().join("cache");
        let basic = nixdag::nix::binary_cache::store_url::basic("", TOKEN);
        let allowed = [format!("Bearer {TOKEN}"), basic];
        let server = Server::new(move |seen| match seen.headers.get("authorization") {
            Some(value) if allowed.contains(value) => {
                cache_server::file(fs::read(cache.join(seen.path.trim_start_matches('/'))).ok())
            }
            _ => cache_server::Reply::Answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n".into(), Vec::new()),
        });
        let settings = format!(
            "caches:\n  - url: {}\n    public_key: {}\n    token_variable: CACHE_TOKEN\n",
            server.url(),
            project.key
        );
        fs::write(project.dir.path().join("flake/nixdag.yml"), settings).unwrap();
        let script = "export CACHE_TOKEN=s3cret.token-value
             $nixdag plan path:$PWD/flake --cache-token HOST=CACHE_TOKEN --format json > plan.json
             $nixdag generate path:$PWD/flake --cache-token HOST=CACHE_TOKEN --bundle bundle -o config.yml";
        let output = project.run(&script.replace("HOST", &server.url().replace("http://", "")), "");
        assert!(output.status.success(), "{}", shown(&output));
        let plan: Value = serde_json::from_slice(&fs::read(project.dir.path().join("plan.json")).unwrap()).unwrap();
        assert_eq!(outline(&plan).0, ["c", "d"], "{}", shown(&output));
        let build = |id: &str, token: &str| {
            let script = format!(
                "{token} $nixdag build --bundle bundle --job {id} --workspace workspace --results results/{id} --on-missing fail"
            );
            project.run(&script, "")
        };
        let token = format!("CACHE_TOKEN={TOKEN}");
        for id in ["c", "d"] {
            let output = build(id, &token);
            assert!(output.status.success(), "{}", shown(&output));
        }
        // A fork has no secrets.
        let fork = build("d", "");
        assert!(shown(&fork).contains("the variable `CACHE_TOKEN` holds no usable one"), "{}", shown(&fork));
        let grep = project.run(
            "! grep -rl s3cret plan.json config.yml bundle workspace results $HOME /tmp/nixdag-* 2> /dev/null",
            "",
        );
        assert!(grep.status.success(), "{}", shown(&grep));
    }
}
