//! The evaluation cache: the same tree is evaluated once, and a broken result is made anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nixdag::nix::hash::Sha256;
use nixdag::nix::{nar, system};

use crate::support::{FreshNix, folder, shown};

/// A flake, a cache and a `nix` that writes down how it is called. Each run has an empty store, as on another machine.
struct Machine {
    nix: FreshNix,
    root: tempfile::TempDir,
}

/// How a run ended.
struct Ran {
    plan: String,
    said: String,
    /// Whether anything was evaluated.
    evaluated: bool,
}

impl Machine {
    fn new(nix: FreshNix) -> Self {
        let flake = r#"{ outputs = { self }: let
            mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; args = [ ./build.sh ]; source = ./data; };
          in { packages.SYSTEM = { a = mk "a"; b = mk "b"; bad = throw "this one is bad"; }; }; }"#;
        let flake = flake.replace("SYSTEM", &system::current());
        let root = folder(&[("flake/flake.nix", &flake), ("flake/build.sh", "echo > $out"), ("flake/data/x", "1")]);
        Self { nix, root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let calls = self.path("calls");
        fs::write(&calls, "").unwrap();
        let script = format!(
            "PATH=$(echo \"$PATH\" | sed 's|^{0}:||'); export PATH\necho \"$*\" >> '{1}'\nexec nix \"$@\"\n",
            self.path("bin").display(),
            calls.display()
        );
        fs::create_dir_all(self.path("bin")).unwrap();
        fs::write(self.path("bin/nix"), format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(self.path("bin/nix"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.nix.command("sh");
        command.args(["-c", "PATH=$0:$PATH exec \"$@\""]).arg(self.path("bin"));
        command.arg(env!("CARGO_BIN_EXE_nixdag")).args(["plan", "--format", "json"]);
        command.args(["--eval-cache".as_ref(), self.path("cache").as_os_str()]).args(arguments);
        command.arg(format!("path:{}", self.path("flake").display()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        let calls = fs::read_to_string(calls).unwrap();
        assert!(calls.contains("metadata"), "{calls}");
        Ran {
            plan: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
            evaluated: calls.contains(" eval "),
        }
    }

    /// The folders of results.
    fn results(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(self.path("cache")).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }
}

#[test]
fn the_same_tree_is_evaluated_once_on_any_machine() {
    for nix in FreshNix::every_version() {
        let machine = Machine::new(nix);
        let first = machine.run(&[]);
        assert!(first.evaluated && first.said.contains("this one is bad"), "{}", first.said);
        let key = fs::read_to_string(machine.path("cache.key")).unwrap();
        let second = machine.run(&[]);
        assert!(!second.evaluated && second.said.contains("2 targets from the cache"), "{}", second.said);
        assert_eq!(second.plan, first.plan);
        assert!(second.said.contains("this one is bad"), "{}", second.said);
        assert_eq!(fs::read_to_string(machine.path("cache.key")).unwrap(), key);
    }
}

#[test]
fn what_changes_the_result_is_evaluated() {
    let machine = Machine::new(FreshNix::new());
    machine.run(&[]);
    let key = fs::read_to_string(machine.path("cache.key")).unwrap();
    for arguments in [
        &["--exclude", "packages.*.b"] as &[&str],
        &["--select", "packages.*.a"],
        &["--all-systems"],
        &["--allow-ifd"],
        &["--option", "max-call-depth", "9999"],
    ] {
        assert!(machine.run(arguments).evaluated, "{arguments:?}");
        assert!(!machine.run(arguments).evaluated, "{arguments:?}");
    }
    assert_ne!(fs::read_to_string(machine.path("cache.key")).unwrap(), key);
    let plan = machine.run(&[]).plan;
    fs::write(machine.path("flake/data/x"), "2").unwrap();
    let changed = machine.run(&[]);
    assert!(changed.evaluated && changed.plan != plan);
}

#[test]
fn a_broken_result_is_made_anew() {
    let machine = Machine::new(FreshNix::new());
    let plan = machine.run(&[]).plan;
    let entry = machine.results().remove(0);
    let sound = |file: &str| fs::read(entry.join(file)).unwrap();
    type Damage<'d> = &'d dyn Fn(&Path);
    let truncate = |name: &'static str| {
        move |entry: &Path| {
            let bytes = fs::read(entry.join(name)).unwrap();
            fs::write(entry.join(name), &bytes[..bytes.len() / 2]).unwrap();
        }
    };
    let flip = |name: &'static str| {
        move |entry: &Path| {
            let mut bytes = fs::read(entry.join(name)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(entry.join(name), bytes).unwrap();
        }
    };
    let remove = |name: &'static str| move |entry: &Path| fs::remove_file(entry.join(name)).unwrap();
    let damages: [Damage; 9] = [
        &truncate("manifest"),
        &truncate("evaluation.json"),
        &truncate("paths.zst"),
        &flip("manifest"),
        &flip("evaluation.json"),
        &flip("paths.zst"),
        &remove("manifest"),
        &remove("paths.zst"),
        &|entry| fs::write(entry.join("manifest"), [0xff; 100]).unwrap(),
    ];
    for (index, damage) in damages.iter().enumerate() {
        damage(&entry);
        let again = machine.run(&[]);
        assert!(again.evaluated && again.said.contains("is unusable, evaluating again"), "{index}: {}", again.said);
        assert_eq!(again.plan, plan, "{index}");
        assert!(!machine.run(&[]).evaluated, "{index}");
    }
    // A result under another tree's name, sound in itself.
    let (evaluation, manifest) = (sound("evaluation.json"), sound("manifest"));
    fs::write(machine.path("flake/data/x"), "2").unwrap();
    let other = machine.run(&[]).plan;
    let new = machine.results().into_iter().find(|found| *found != entry).unwrap();
    fs::write(new.join("evaluation.json"), evaluation).unwrap();
    fs::write(new.join("manifest"), manifest).unwrap();
    fs::copy(entry.join("paths.zst"), new.join("paths.zst")).unwrap();
    let again = machine.run(&[]);
    assert!(again.said.contains("it is that of another tree"), "{}", again.said);
    assert_eq!(again.plan, other);
}

/// Puts another archive of paths into a result, with a manifest that fits.
fn replace_paths(entry: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let plain = zstd::decode_all(&*fs::read(entry.join("paths.zst")).unwrap()).unwrap();
    let archive = zstd::encode_all(&*change(plain), 1).unwrap();
    fs::write(entry.join("paths.zst"), &archive).unwrap();
    let digest = |bytes: &[u8]| Sha256::of(bytes).base16();
    let evaluation = digest(&fs::read(entry.join("evaluation.json")).unwrap());
    let manifest = format!("{evaluation}  evaluation.json\n{}  paths.zst\n", digest(&archive));
    fs::write(entry.join("manifest"), manifest).unwrap();
}

/// The archive with these bytes in place of others.
fn with(archive: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = archive.windows(from.len()).position(|window| window == from).unwrap();
    [&archive[..at], to, &archive[at + from.len()..]].concat()
}

#[test]
fn a_forged_derivation_source_or_output_does_not_come_into_the_store() {
    for nix in FreshNix::every_version() {
        let machine = Machine::new(nix);
        let plan = machine.run(&["--allow-ifd"]).plan;
        let entry = machine.results().remove(0);
        let forged = |archive: Vec<u8>| with(archive, b"echo > $out", b"evil > $out");
        let builder = |archive: Vec<u8>| with(archive, b"\"/bin/sh\"", b"\"/bin/hs\"");
        // The last derivation refers to one more path, an output that comes before all others.
        let planted = |archive: Vec<u8>| {
            let end = archive.windows(2).position(|window| window == b"\n\n").unwrap();
            let index = std::str::from_utf8(&archive[..end]).unwrap();
            let mut lines = vec![format!("{}-a {} -", "0".repeat(32), nar::size_of_file(0))];
            for line in index.lines() {
                let (name, references) = line.rsplit_once(' ').unwrap();
                let numbers = references.split(',').filter_map(|number| number.parse::<usize>().ok());
                let mut numbers: Vec<String> = numbers.map(|number| (number + 1).to_string()).collect();
                if name.contains(".drv ") {
                    numbers.push("0".into());
                }
                lines.push(format!("{name} {}", if numbers.is_empty() { "-".into() } else { numbers.join(",") }));
            }
            let mut output = Vec::new();
            nar::write_file(b"", &mut output).unwrap();
            [(lines.join("\n") + "\n\n").as_bytes(), &output, &archive[end + 2..]].concat()
        };
        let changes: [&dyn Fn(Vec<u8>) -> Vec<u8>; 3] = [&forged, &builder, &planted];
        for change in changes {
            replace_paths(&entry, change);
            let again = machine.run(&["--allow-ifd"]);
            assert!(again.evaluated && again.said.contains("is not what its name says"), "{}", again.said);
            assert_eq!(again.plan, plan);
        }
        replace_paths(&entry, |archive| archive);
        assert!(!machine.run(&["--allow-ifd"]).evaluated);
    }
}

#[test]
fn what_may_come_out_otherwise_is_not_kept() {
    let machine = Machine::new(FreshNix::new());
    for arguments in [&["--impure"] as &[&str], &["--option", "pure-eval", "false"]] {
        for _ in 0..2 {
            let ran = machine.run(arguments);
            assert!(ran.evaluated && ran.said.contains("not cached: it is impure"), "{}", ran.said);
        }
    }
    let endless = format!(
        "{{ outputs = {{ self }}: {{ packages.{}.big = builtins.foldl' (a: n: a ++ a) [ 1 ] (builtins.genList (n: n) 60); }}; }}",
        system::current()
    );
    fs::write(machine.path("flake/flake.nix"), endless).unwrap();
    let ran = machine.run(&["--eval-memory", "600"]);
    assert!(ran.said.contains("more than 600 MB") && ran.said.contains("may not happen again"), "{}", ran.said);
    assert!(machine.run(&["--eval-memory", "600"]).evaluated);
    assert!(machine.results().is_empty() && machine.path("cache.key").exists());
}

#[test]
fn outside_ci_the_users_folder_keeps_what_its_store_has() {
    for nix in FreshNix::every_version() {
        let machine = Machine::new(nix);
        // A flake without inputs may be evaluated before anything is looked for.
        let file = machine.path("flake/flake.nix");
        let text = fs::read_to_string(&file).unwrap().replacen("{ self }: let", "({ self }: let", 1);
        fs::write(&file, text.replace("; }; }; }", "; }; }); }")).unwrap();
        let plan = "env -u CI $nixdag plan path:$PWD/flake --format json 2>said >plan; grep -c 'targets from the cache' said || true\n";
        let twice = machine.nix.script(machine.root.path(), &format!("{plan} mv plan first\n {plan} cmp first plan"));
        assert_eq!(twice, "0\n1\n");
        let kept = machine.nix.home().join(".cache/nixdag/evaluations");
        let entry = fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
        assert!(entry.join("evaluation.json").exists() && !entry.join("paths.zst").exists());
        assert!(!kept.with_extension("key").exists());
        let others = plan.replace("plan path:", "plan --eval-cache off path:");
        // Another store has no derivations; `off` looks nowhere.
        let elsewhere =
            machine.nix.script(machine.root.path(), &format!("{plan} cmp first plan\n {others} cmp first plan"));
        assert_eq!(elsewhere, "0\n0\n");
        let in_ci = machine.nix.script(machine.root.path(), &plan.replace("env -u CI", ""));
        assert_eq!(in_ci, "0\n");
    }
}

#[test]
fn a_base_is_never_taken_from_a_folder_that_others_may_write_to() {
    let machine = Machine::new(FreshNix::new());
    let ran = machine.nix.script(
        machine.root.path(),
        "cd flake; git init -q; git add .; git commit -qm base\n\
         echo 2 > data/x; git commit -qam head\n\
         plan() { $nixdag plan --base HEAD^ --eval-cache ../cache --format json 2>&1 >/dev/null | grep -c 'targets from the cache' || true; }\n\
         plan; plan; ls ../cache | wc -l",
    );
    // The head's alone: at the second time, and the only one that is kept.
    assert_eq!(ran, "0\n1\n1\n");
}

/// On a machine of several users, whoever owns the folder decides about what an evaluation comes to. In a container, volumes belong to anybody.
#[test]
fn a_folder_of_evaluations_that_another_user_has_made_is_refused() {
    let text = r#"{ outputs = { self }: { packages.SYSTEM.a = derivation { name = "a"; system = "SYSTEM"; builder = "/bin/sh"; }; }; }"#;
    let flake = folder(&[("flake/flake.nix", &text.replace("SYSTEM", &system::current()))]);
    let script = "mkdir -m 1777 shared; mkdir shared/theirs volume
        # Only root can give folders to another user.
        chown 1234 shared/theirs volume 2>/dev/null || exit 0
        plan() { $nixdag plan path:$PWD/flake --available /dev/null --eval-cache \"$@\"; }
        if plan shared/theirs 2>refused; then exit 1; fi
        cat refused
        plan volume >/dev/null
        echo \"kept: $(ls volume) $(ls shared/theirs)\"";
    let said = FreshNix::new().script(flake.path(), script);
    if !said.is_empty() {
        assert!(
            said.contains("/shared/theirs` belongs to another user of this machine (the one with number 1234)"),
            "{said}"
        );
        let kept = said.lines().find_map(|line| line.strip_prefix("kept: ")).unwrap();
        assert_eq!(kept.trim().len(), 64, "{said}");
    }
}

#[test]
fn a_result_from_the_cache_is_said_once_and_not_at_all_when_quiet() {
    let machine = Machine::new(FreshNix::every_version().pop().unwrap());
    machine.run(&[]);
    assert!(machine.run(&[]).said.contains("evaluation: 2 targets from the cache in `"));
    assert_eq!(machine.run(&["-q"]).said, "");
    // What a terminal shows in the end: a line that passes is taken away by the next one.
    let line = format!(
        "{} plan --eval-cache {} path:{} > /dev/null",
        env!("CARGO_BIN_EXE_nixdag"),
        machine.path("cache").display(),
        machine.path("flake").display()
    );
    let output = machine.nix.command("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let shown = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
    let lines: Vec<&str> = shown.lines().filter_map(|line| line.rsplit("\r\x1b[K").next()).collect();
    assert!(lines.iter().any(|line| line.starts_with("evaluation: 2 targets from the cache")), "{shown:?}");
    assert!(!shown.contains("0 sevaluation") && !lines.iter().any(|line| line.contains(" evaluated, ")), "{shown:?}");
}

#[test]
fn a_path_outside_the_store_costs_its_attribute_and_not_the_cached_evaluation() {
    let text = r#"{ outputs = { self }: let
        mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; };
        at = folder: mk "x" // { drvPath = "${folder}/00000000000000000000000000000000-x.drv"; };
      in { packages.SYSTEM = { a = mk "a"; b = mk "b"; line = at "/nix/\nstore"; below = at "/nix/store/x"; beside = at "/x"; }; }; }"#;
    let flake = folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]);
    for nix in FreshNix::every_version() {
        // A short evaluation is not worth looking for in the user's cache. Files in the flake's folder would be another flake.
        let script = r#"rm -rf ~/cache; for cache in user folder; do for run in 1 2; do
            export CI=$([ $cache = folder ] && echo true || echo false)
            $nixdag plan . --json --available /dev/null $([ $cache = folder ] && echo --eval-cache ~/cache) 2>~/said >~/plan.json
            if grep -E 'unusable|cannot be cached' ~/said; then exit 1; fi
            [ $cache$run != folder2 ] || grep -q 'from the cache' ~/said
            grep '"message":' ~/plan.json
          done; done"#;
        let said = nix.script(flake.path(), script);
        let is_said =
            |line: &str| line.contains("its `drvPath` is `") && line.contains("which is not the path of a derivation");
        assert_eq!((said.lines().count(), said.lines().all(is_said)), (12, true), "{said}");
    }
}

#[test]
fn a_derivation_that_does_not_exist_is_named_where_the_evaluation_is_not_cached() {
    let text = r#"{ outputs = { self }: let a = derivation { name = "a"; system = "SYSTEM"; builder = "/bin/sh"; };
      in { packages.SYSTEM = { inherit a; gone = a // { drvPath = "/nix/store/00000000000000000000000000000000-x.drv"; }; }; }; }"#;
    let flake = folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]);
    for nix in FreshNix::every_version() {
        let script =
            "$nixdag plan . --json --available /dev/null --eval-cache ~/cache 2>&1 >/dev/null | grep 'not cached'";
        let said = nix.script(flake.path(), script);
        let words = format!(
            "warning: this evaluation is not cached: `packages.{}.gone` has a derivation that does not exist",
            system::current()
        );
        assert_eq!(said.trim(), words);
    }
}
