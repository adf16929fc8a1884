//! What jobs build on empty machines reaches the jobs that need it, and is built once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::empty_store::empty_store;
use crate::support::pipeline::{JobOf, Pipeline, user_setting, with_each_nix};
use crate::support::{run, shown, with_nix, with_one_nix};
use nixdag::build::record::{Outcome, Role};
use nixdag::handoff::bundle::Bundle;
use nixdag::nix::hash::Sha256;

/// The diamond: b and c take a, d takes b and c. a and b are referred to at run time, by paths inside of outputs.
const DIAMOND: &str = r#"
rec {
  a = drv "a" "echo a > $out";
  b = drv "b" "echo ${a} > $out";
  c = drv "c" "read x < ${a}; echo $x c > $out";
  d = drv "d" "read b < ${b}; read a < $b; echo $a ${b} ${c} > $out";
}"#;

#[test]
fn a_diamond_on_four_empty_machines_builds_each_derivation_once() {
    with_each_nix("a_diamond_on_four_empty_machines_builds_each_derivation_once", || {
        let pipeline = Pipeline::new(
            DIAMOND,
            &[
                ("a", &["a"], &[], &[]),
                ("b", &["b"], &[], &["a"]),
                ("c", &["c"], &[], &["a"]),
                ("d", &["d"], &[], &["a", "b", "c"]),
            ],
        );
        // Folders of other people have spaces in their names.
        let temporary = pipeline.dir().join("a folder, 50% ü");
        fs::create_dir(&temporary).unwrap();
        for job in ["a", "b", "c", "d"] {
            let mut command = pipeline.command(job, &[]);
            pipeline.ran(job, command.env("TMPDIR", &temporary).output().unwrap()).succeeds();
        }
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d"]);
        // Each job hands off its own output alone.
        for job in ["a", "b", "c", "d"] {
            assert_eq!(fs::read_dir(pipeline.handed_off(job).join("nar")).unwrap().count(), 1, "{job}");
        }
    });
}

#[test]
fn what_an_earlier_run_left_is_not_built_again_and_nothing_else_counts_as_the_jobs_own() {
    with_one_nix("what_an_earlier_run_left_is_not_built_again_and_nothing_else_counts_as_the_jobs_own", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              a = drv "a" "echo a > $out";
              b = drv "b" "echo ${a} > $out";
              flaky = drv "flaky" "echo ${b} > $out; test -e ${toString ./.}/mended";
            }"#,
            &[("first", &["a"], &[], &[]), ("job", &["b", "flaky"], &["a"], &[])],
        );
        // Its own folder in the workspace is none of these, whoever has filled it.
        pipeline.run("job", &[]).fails(&["flaky"]);
        pipeline.run_with_reuse("job", &[]).fails(&["flaky"]).has("b", Outcome::Built);
        let count = |kind: &str| fs::read_dir(pipeline.reused("job").join(kind).join("nar")).map_or(0, Iterator::count);
        assert_eq!((count("complete"), count("partial")), (0, 2));

        fs::write(pipeline.dir().join("mended"), "").unwrap();
        let ran = pipeline.run_with_reuse("job", &[]).succeeds();
        let ran = ran.has("a", Outcome::Substituted).has("b", Outcome::Substituted).has("flaky", Outcome::Built);
        assert_eq!(ran.record.unwrap().handed_off.kept, 2, "their NARs are not made again");
        assert_eq!((count("complete"), count("partial")), (3, 0));
        let built = pipeline.built().len();
        pipeline.run_with_reuse("job", &[]).succeeds().has("flaky", Outcome::Substituted);
        assert_eq!((pipeline.built().len(), count("complete")), (built, 3));
        // What could not be brought so far as to hand off leaves everything as it was.
        pipeline.run_with_reuse("job", &["--bundle-sha256", &"0".repeat(64)]);
        assert_eq!(count("complete"), 3);
    });
}

#[test]
fn every_kind_of_derivation_is_handed_on_and_built_once() {
    with_each_nix("every_kind_of_derivation_is_handed_on_and_built_once", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              multi = drvWith "multi" { outputs = [ "out" "dev" "doc" ]; } "echo $dev > $out; echo dev > $dev; echo doc > $doc";
              unfetched = drvWith "unfetched" { allowSubstitutes = false; } "echo ${multi.dev} > $out";
              fixed = drvWith "fixed" {
                outputHashMode = "flat"; outputHashAlgo = "sha256";
                outputHash = builtins.hashString "sha256" "fixed\n";
              } "echo fixed > $out";
              random = drv "random" "mkdir $out; head -c 2000000 /dev/urandom > $out/data; echo ${fixed} > $out/fixed; ln -s data $out/link; echo > $out/run; chmod +x $out/run";
              source = drv "source" "cp ${./drvs.nix} $out; echo ${builtins.toFile "file" "text"} >> $out";
              last = drv "last" "cat ${unfetched} ${random}/link ${source} > /dev/null; test -x ${random}/run; read dev < ${unfetched}; read dev < $dev; test $dev = dev; echo ${unfetched} ${random} > $out";
            }"#,
            &[
                ("multi", &["multi", "fixed"], &[], &[]),
                ("middle", &["unfetched", "random", "source"], &[], &["multi"]),
                ("last", &["last"], &[], &["middle", "multi"]),
            ],
        );
        for job in ["multi", "middle", "last"] {
            pipeline.run_with_reuse(job, &[]).succeeds();
        }
        assert_eq!(pipeline.built_sorted(), ["fixed", "last", "multi", "random", "source", "unfetched"]);
        assert_eq!(fs::read_dir(pipeline.handed_off("multi").join("nar")).unwrap().count(), 4);
        // Again, from what the CI's cache would have kept of each job: even where Nix itself would build anew.
        pipeline.run_with_reuse("middle", &[]).succeeds().has("unfetched", Outcome::Substituted);
        pipeline.run("last", &[]).succeeds().has("last", Outcome::Built);
        assert_eq!(pipeline.built().len(), 7);
    });
}

#[test]
fn a_co_located_derivation_that_two_jobs_refer_to_travels_with_both() {
    with_one_nix("a_co_located_derivation_that_two_jobs_refer_to_travels_with_both", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              # Two builds of it differ, and both jobs hand it off.
              shared = drv "shared" "head -c 1000 /dev/urandom > $out";
              unused = drv "unused" "echo unused > $out";
              b = drv "b" "cat ${unused}; echo ${shared} > $out";
              c = drv "c" "echo ${shared} > $out";
              d = drv "d" "read b < ${b}; cat $b; echo ${b} ${c} > $out";
            }"#,
            &[
                ("b", &["b"], &["shared", "unused"], &[]),
                ("c", &["c"], &["shared"], &[]),
                ("d", &["d"], &[], &["b", "c"]),
            ],
        );
        pipeline.run_all();
        assert_eq!(pipeline.built_sorted(), ["b", "c", "d", "shared", "shared", "unused"]);
        // What no output refers to is not handed off.
        assert_eq!(fs::read_dir(pipeline.handed_off("b").join("nar")).unwrap().count(), 2);
        let results = pipeline.dir().join("results");
        let report = run(pipeline.dir(), env!("CARGO_BIN_EXE_nixdag"), &["report", results.to_str().unwrap()]);
        assert!(report.contains("\n0 built in more than one job\n1 co-located"), "{report}");
    });
}

#[test]
fn a_missing_hand_off_is_named_and_nothing_is_built_silently() {
    with_one_nix("a_missing_hand_off_is_named_and_nothing_is_built_silently", || {
        let jobs: &[JobOf] = &[
            ("job-a", &["a"], &[], &[]),
            ("job-b", &["b"], &[], &["job-a"]),
            ("job-c", &["c"], &[], &["job-a"]),
            ("job-d", &["d"], &[], &["job-a", "job-b", "job-c"]),
        ];
        let pipeline = Pipeline::new(DIAMOND, jobs);
        for job in ["job-a", "job-b", "job-c"] {
            pipeline.run(job, &[]).succeeds();
        }
        // d does not name a itself: only the output of b refers to it.
        fs::remove_dir_all(pipeline.handed_off("job-a")).unwrap();
        let a = pipeline.output("a", "out");
        let named = format!("`{a}` is missing: job `job-a` should have handed it off");
        pipeline.run("job-d", &["--on-missing", "fail"]).fails(&[&named]).has("d", Outcome::NotBuilt);
        assert_eq!(pipeline.built().len(), 3);

        let ran = pipeline.run_with_reuse("job-d", &[]).succeeds().has("d", Outcome::Built).has("a", Outcome::Built);
        assert_eq!(ran.of("a").role, Role::Other);
        let missing = &ran.record.as_ref().unwrap().missing;
        assert_eq!(missing.len(), 1);
        assert!(missing[0].path == a && missing[0].job.as_deref() == Some("job-a") && missing[0].built);
        assert_eq!(pipeline.built().len(), 5);
        let report = run(
            pipeline.dir(),
            env!("CARGO_BIN_EXE_nixdag"),
            &["report", "--format", "json", pipeline.dir().join("results").to_str().unwrap()],
        );
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["built_twice"][0]["derivation"], pipeline.drv("a"));
        // What was built in a's place is nothing that the plan has this job deliver: it stays here.
        assert_eq!(fs::read_dir(pipeline.handed_off("job-d").join("nar")).unwrap().count(), 1);
        // Once a is delivered, nothing is built.
        pipeline.run("job-a", &[]).succeeds();
        pipeline.run_with_reuse("job-d", &["--on-missing", "fail"]).succeeds().has("d", Outcome::Substituted);
        assert_eq!(pipeline.built().len(), 6);
    });
}

#[test]
fn what_may_fail_is_not_built_again_by_what_needs_it() {
    with_one_nix("what_may_fail_is_not_built_again_by_what_needs_it", || {
        let jobs: &[JobOf] = &[("job-a", &["a"], &[], &[]), ("job-b", &["b"], &[], &["job-a"])];
        let mut pipeline =
            Pipeline::new(r#"rec { a = drv "a" "exit 1"; b = drv "b" "test -e ${a}; echo > $out"; }"#, jobs);
        pipeline.plan.jobs[0].options.allow_failure = true;
        pipeline.sha256 = pipeline.write_bundle("bundle");
        pipeline.run("job-a", &[]).fails(&["a failed"]);
        let named = format!("`{}` is missing: job `job-a` should have handed it off", pipeline.output("a", "out"));
        pipeline.run("job-b", &[]).fails(&[&named]).has("b", Outcome::NotBuilt);
        assert_eq!(pipeline.built(), ["a"]);
    });
}

#[test]
fn damaged_hand_offs_are_named_and_count_as_absent() {
    with_one_nix("damaged_hand_offs_are_named_and_count_as_absent", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              a = drv "a" "echo a > $out";
              b = drv "b" "echo b > $out";
              c = drv "c" "echo c > $out";
              d = drv "d" "cat ${a} ${b} ${c} > $out";
            }"#,
            &[
                ("job-a", &["a"], &[], &[]),
                ("job-b", &["b"], &[], &[]),
                ("job-c", &["c"], &[], &[]),
                ("job-d", &["d"], &[], &["job-a", "job-b", "job-c"]),
            ],
        );
        for job in ["job-a", "job-b", "job-c"] {
            pipeline.run(job, &[]).succeeds();
        }
        let only = |dir: PathBuf, ending: &str| {
            let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            files.find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
        };
        // The same length with other contents, a cut, and something that is no narinfo.
        let flipped = only(pipeline.handed_off("job-a").join("nar"), ".nar.zst");
        let mut bytes = fs::read(&flipped).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&flipped, bytes).unwrap();
        let cut = only(pipeline.handed_off("job-b").join("nar"), ".nar.zst");
        fs::write(&cut, &fs::read(&cut).unwrap()[..5]).unwrap();
        let garbage = only(pipeline.handed_off("job-c"), ".narinfo");
        fs::write(&garbage, b"StorePath: /etc/passwd\n").unwrap();

        let named: Vec<&str> = [&flipped, &cut, &garbage].map(|path| path.to_str().unwrap()).to_vec();
        let ran = pipeline.run("job-d", &["--on-missing", "fail"]).fails(&named);
        assert_eq!(ran.record.unwrap().damaged.len(), 3);
        assert_eq!(pipeline.built().len(), 3);
        pipeline.run("job-d", &[]).succeeds().has("d", Outcome::Built);
        assert_eq!(pipeline.built().len(), 7);
    });
}

/// Puts a NAR of other contents into a hand-off of one path, with a narinfo that says of the file all that is true.
fn forge(folder: &Path) {
    let file = zstd::encode_all(&b"no archive of Nix's"[..], 0).unwrap();
    let digest = Sha256::of(&file).base32();
    let named = |ending: &str| {
        let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
    };
    fs::remove_dir_all(folder.join("nar")).unwrap();
    fs::create_dir(folder.join("nar")).unwrap();
    fs::write(folder.join(format!("nar/{digest}.nar.zst")), &file).unwrap();
    let narinfo = named(".narinfo");
    let text = fs::read_to_string(&narinfo).unwrap();
    let lines = text.lines().map(|line| match line.split_once(": ").unwrap().0 {
        "URL" => format!("URL: nar/{digest}.nar.zst\n"),
        "FileHash" => format!("FileHash: sha256:{digest}\n"),
        "FileSize" => format!("FileSize: {}\n", file.len()),
        _ => format!("{line}\n"),
    });
    fs::write(&narinfo, lines.collect::<String>()).unwrap();
}

#[test]
fn a_hand_off_that_unpacks_to_something_else_counts_as_absent() {
    with_one_nix("a_hand_off_that_unpacks_to_something_else_counts_as_absent", || {
        let pipeline = Pipeline::new(
            r#"rec { a = drv "a" "echo a > $out"; b = drv "b" "cat ${a} > $out"; }"#,
            &[("job-a", &["a"], &[], &[]), ("job-b", &["b"], &[], &["job-a"])],
        );
        pipeline.run_with_reuse("job-a", &[]).succeeds();
        forge(&pipeline.handed_off("job-a"));
        let words = "it unpacks to other contents than its narinfo says";
        let ran = pipeline.run("job-b", &["--on-missing", "fail"]).fails(&[words, "job `job-a`"]);
        let ran = ran.has("b", Outcome::NotBuilt);
        assert!(ran.record.unwrap().damaged[0].contains(words));
        pipeline.run("job-b", &[]).succeeds().has("b", Outcome::Built);
        assert_eq!(pipeline.built(), ["a", "a", "b"]);
        // What an earlier run of the job has left is built again in the same way.
        forge(&pipeline.reused("job-a").join("complete"));
        pipeline.run_with_reuse("job-a", &[]).succeeds().has("a", Outcome::Built);
        // So is what any other cache announces and does not have.
        let cache = pipeline.dir().join("cache");
        run(pipeline.dir(), "cp", &["-rL", pipeline.handed_off("job-a").to_str().unwrap(), "cache"]);
        forge(&cache);
        let url = format!("file://{}?trusted=1", cache.display());
        let ran = pipeline.run("job-a", &["--nix-option", "substituters", &url]);
        ran.succeeds().has("a", Outcome::Built);
    });
}

#[test]
fn a_whole_copy_is_taken_where_another_is_damaged() {
    with_one_nix("a_whole_copy_is_taken_where_another_is_damaged", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              shared = drv "shared" "echo shared > $out";
              b = drv "b" "echo ${shared} > $out";
              c = drv "c" "echo ${shared} > $out";
              d = drv "d" "read b < ${b}; cat $b; echo ${c} > $out";
            }"#,
            &[("b", &["b"], &["shared"], &[]), ("c", &["c"], &["shared"], &[]), ("d", &["d"], &[], &["b", "c"])],
        );
        pipeline.run("b", &[]).succeeds();
        pipeline.run("c", &[]).succeeds();
        let hash = &pipeline.output("shared", "out")["/nix/store/".len()..][..32];
        fs::write(pipeline.handed_off("b").join(format!("{hash}.narinfo")), "").unwrap();
        pipeline.run("d", &["--on-missing", "fail"]).succeeds();
        assert_eq!(pipeline.built().len(), 5);
    });
}

#[test]
fn a_bundle_that_is_not_whole_or_not_the_right_one_is_refused() {
    with_one_nix("a_bundle_that_is_not_whole_or_not_the_right_one_is_refused", || {
        let jobs: &[JobOf] = &[("job-a", &["a"], &[], &[]), ("job-b", &["b"], &[], &["job-a"])];
        let pipeline = Pipeline::new(DIAMOND, jobs);
        let anew = "start a new pipeline";
        pipeline.run("job-x", &[]).fails(&["no job `job-x` (did you mean `job-a`?)"]);

        let paths = pipeline.bundle().join("paths.zst");
        let whole = fs::read(&paths).unwrap();
        for length in [0, whole.len() / 2, whole.len() - 1] {
            fs::write(&paths, &whole[..length]).unwrap();
            pipeline.run("job-a", &[]).fails(&["paths.zst", anew]);
        }
        fs::write(&paths, &whole).unwrap();
        pipeline.run("job-a", &[]).succeeds();

        let other = Pipeline::new(r#"{ a = drv "other" "echo a > $out"; }"#, &[("job-a", &["a"], &[], &[])]);
        fs::rename(pipeline.bundle(), pipeline.dir().join("right")).unwrap();
        pipeline.run("job-a", &[]).fails(&["no bundle in", anew]);
        fs::rename(other.bundle(), pipeline.bundle()).unwrap();
        pipeline.run("job-a", &[]).fails(&["is another bundle", anew]);
        let plan = pipeline.dir().join("right/plan.json");
        let bundle = pipeline.bundle();
        let arguments =
            ["build", "--job", "job-a", "--plan", plan.to_str().unwrap(), "--bundle", bundle.to_str().unwrap()];
        let output = Command::new(env!("CARGO_BIN_EXE_nixdag")).args(arguments).output().unwrap();
        assert!(shown(&output).contains("do not belong together"), "{}", shown(&output));
        assert_eq!(pipeline.built(), ["a"]);
    });
}

#[test]
fn everything_may_lie_beneath_a_link() {
    // As on macOS, where `/tmp` is a link to `/private/tmp` and caches come back beneath it.
    with_each_nix("everything_may_lie_beneath_a_link", || {
        let jobs: &[JobOf] =
            &[("a", &["a"], &[], &[]), ("b", &["b"], &[], &["a"]), ("c", &["c", "d"], &[], &["a", "b"])];
        let mut pipeline = Pipeline::new(DIAMOND, jobs);
        let real = pipeline.dir().join("private/tmp/nixdag");
        fs::create_dir_all(&real).unwrap();
        let link = pipeline.dir().join("tmp");
        std::os::unix::fs::symlink("private/tmp", &link).unwrap();
        let sum = pipeline.write_bundle("private/tmp/nixdag/bundle");
        assert_eq!(sum, pipeline.sha256, "where a bundle is written does not matter");
        pipeline.sha256 = sum;
        let inside = |name: &str| link.join("nixdag").join(name).to_str().unwrap().to_owned();
        for job in ["a", "b", "c"] {
            let mut command = empty_store();
            command.arg(env!("CARGO_BIN_EXE_nixdag")).args(["build", "--job", job, "--on-missing", "fail"]);
            command.args(["--bundle", &inside("bundle"), "--bundle-sha256", &sum.base16()]);
            command.args(["--workspace", &inside("workspace"), "--results", &inside("results")]);
            pipeline.ran(job, command.env("TMPDIR", &link).output().unwrap()).succeeds();
        }
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d"]);
        assert!(real.join("workspace/c/nar").is_dir() && real.join("results/verdict").is_file());
    });
}

#[test]
fn the_same_plan_gives_the_same_bundle() {
    with_nix("the_same_plan_gives_the_same_bundle", || {
        let jobs: &[JobOf] = &[("a", &["a"], &[], &[]), ("rest", &["b", "c", "d"], &[], &["a"])];
        let pipeline = Pipeline::new(DIAMOND, jobs);
        let again = pipeline.write_bundle("again");
        assert_eq!(again, pipeline.sha256);
        // As a shell checks it before anything is run.
        run(&pipeline.bundle(), "sha256sum", &["-c", "manifest"]);
    });
}

#[test]
fn a_binary_cache_takes_the_place_of_the_workspace() {
    with_each_nix("a_binary_cache_takes_the_place_of_the_workspace", || {
        let jobs: &[JobOf] = &[
            ("a", &["a"], &[], &[]),
            ("b", &["b"], &[], &["a"]),
            ("c", &["c"], &[], &["a"]),
            ("d", &["d"], &[], &["a", "b", "c"]),
        ];
        let pipeline = Pipeline::new(DIAMOND, jobs);
        let url = format!("file://{}/cache?trusted=1", pipeline.dir().display());
        for job in ["a", "b", "c", "d"] {
            pipeline.run(job, &["--handoff", "cache", "--cache", &url, "--on-missing", "fail"]).succeeds();
        }
        assert_eq!(pipeline.built().len(), 4);
        assert!(!pipeline.handed_off("a").exists());
    });
}

#[test]
fn content_addressed_outputs_are_handed_on_with_their_realisations() {
    with_each_nix("content_addressed_outputs_are_handed_on_with_their_realisations", || {
        user_setting("extra-experimental-features = ca-derivations");
        let pipeline = Pipeline::new(
            r#"
            let ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }; in
            rec {
              lower = drvWith "lower" ca "echo lower > $out";
              upper = drvWith "upper" ca "cat ${lower}; echo ${lower} > $out";
              plain = drv "plain" "cat ${upper} > $out";
            }"#,
            &[("ca", &["lower", "upper", "plain"], &[], &[])],
        );
        let ran = pipeline.run_with_reuse("ca", &[]).succeeds();
        for name in ["lower", "upper", "plain"] {
            assert_eq!(ran.of(name).outcome, Outcome::Built, "{name}: {}", ran.text);
        }
        let narinfos = fs::read_dir(pipeline.handed_off("ca")).unwrap();
        let narinfos = narinfos
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "narinfo"));
        assert_eq!(narinfos.count(), 3);
        pipeline.run_with_reuse("ca", &[]).succeeds();
        assert_eq!(pipeline.built().len(), 3, "with the realisations at hand nothing is built again");
    });
}

#[test]
fn what_generate_bundles_is_what_the_jobs_build() {
    with_nix("what_generate_bundles_is_what_the_jobs_build", || {
        let mut pipeline = Pipeline::new(DIAMOND, &[]);
        let roots: serde_json::Map<String, serde_json::Value> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| (format!("packages.x86_64-linux.{name}"), pipeline.drv(name).into()))
            .collect();
        fs::write(pipeline.dir().join("roots.json"), serde_json::to_string(&roots).unwrap()).unwrap();
        fs::write(pipeline.dir().join("nothing"), "").unwrap();
        let arguments =
            ["generate", "--roots", "roots.json", "--available", "nothing", "--bundle", "bundle", "-o", "config.yml"];
        run(pipeline.dir(), env!("CARGO_BIN_EXE_nixdag"), &arguments);

        let config = fs::read_to_string(pipeline.dir().join("config.yml")).unwrap();
        let (_, plan) = Bundle::open(&pipeline.bundle(), None).unwrap();
        pipeline.sha256 = Sha256::of(&fs::read(pipeline.bundle().join("manifest")).unwrap());
        assert!(config.contains(&pipeline.sha256.base16()));
        assert_eq!(plan.jobs.len(), 4);
        pipeline.plan = plan;
        pipeline.run_all();
        assert_eq!(pipeline.built_sorted(), ["a", "b", "c", "d"]);
    });
}

#[test]
fn derivations_come_from_a_folder_too_and_sources_that_are_nowhere_are_named() {
    with_one_nix("derivations_come_from_a_folder_too_and_sources_that_are_nowhere_are_named", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              a = drv "a" "echo a > $out";
              b = drv "b" "cat ${a} > $out";
              sourced = drv "sourced" "cat ${builtins.toFile "source" "text"} > $out";
            }"#,
            &[("plain", &["a", "b"], &[], &[]), ("sourced", &["sourced"], &[], &[])],
        );
        let drvs = pipeline.dir().join("drvs");
        fs::create_dir(&drvs).unwrap();
        for name in ["a", "b", "sourced"] {
            let drv = pipeline.drv(name);
            fs::copy(drv, drvs.join(&drv["/nix/store/".len()..])).unwrap();
        }
        let build = |job: &str| {
            let plan = pipeline.bundle().join("plan.json");
            let results = pipeline.dir().join("results").join(job);
            let mut command = empty_store();
            command.args([env!("CARGO_BIN_EXE_nixdag"), "build", "--job", job, "--plan"]).arg(plan);
            command.arg("--drv-dir").arg(&drvs).arg("--results").arg(results);
            pipeline.ran(job, command.output().unwrap())
        };
        build("plain").succeeds().has("b", Outcome::Built);
        build("sourced").fails(&["sources that derivations name cannot be fetched", "-source"]);
    });
}

#[test]
fn what_evaluation_has_built_comes_with_the_bundle_as_the_plan_says_or_not_at_all() {
    with_each_nix("what_evaluation_has_built_comes_with_the_bundle_as_the_plan_says_or_not_at_all", || {
        let mut pipeline = Pipeline::new(
            DIAMOND,
            &[("ab", &["a", "b"], &[], &[]), ("c", &["c"], &[], &["ab"]), ("d", &["d"], &[], &["ab", "c"])],
        );
        let built: Vec<(String, String)> =
            ["a", "b"].map(|name| (pipeline.drv(name).to_owned(), pipeline.output(name, "out"))).into();
        for (drv, output) in &built {
            run(pipeline.dir(), "nix-store", &["--realise", drv]);
            let hash = run(pipeline.dir(), "nix-store", &["--query", "--hash", output]);
            let digests = [(output.as_str().into(), Sha256::parse(hash.trim()).unwrap())];
            pipeline.plan.built_while_planning.insert(drv.as_str().into(), digests.into());
        }
        pipeline.sha256 = pipeline.write_bundle("bundle");
        let ran = pipeline.run("ab", &[]).succeeds().has("a", Outcome::Present).has("b", Outcome::Present);
        assert!(ran.text.contains("2 outputs that evaluation has built"), "{}", ran.text);
        pipeline.run("c", &[]).succeeds();
        pipeline.run("d", &[]).succeeds();
        assert_eq!(pipeline.built(), ["a", "b", "c", "d"]);

        // A bundle that is whole, and has something else than its plan says.
        let plan = fs::read_to_string(pipeline.bundle().join("plan.json")).unwrap();
        let digest = format!(
            "sha256:{}",
            pipeline.plan.built_while_planning[pipeline.drv("a")].values().next().unwrap().base32()
        );
        assert!(plan.contains(&digest), "{plan}");
        let other = plan.replace(&digest, &format!("sha256:{}", Sha256::of(b"").base32()));
        let manifest = fs::read_to_string(pipeline.bundle().join("manifest")).unwrap();
        let of = |text: &str| Sha256::of(text.as_bytes()).base16();
        let manifest = manifest.replace(&of(&plan), &of(&other));
        fs::write(pipeline.bundle().join("plan.json"), other).unwrap();
        fs::write(pipeline.bundle().join("manifest"), &manifest).unwrap();
        pipeline.sha256 = Sha256::of(manifest.as_bytes());
        pipeline.run("ab", &[]).fails(&["is not what the plan says that evaluation built"]);
        assert_eq!(pipeline.built().len(), 4);
    });
}
