//! What one job's builder leaves in its job's folder reaches no other job, unless the plan has that job build it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::pipeline::{JobOf, Pipeline, Ran, user_setting, with_each_nix};
use crate::support::{with_nix, with_one_nix};
use nixdag::build::record::{Outcome, Role};
use nixdag::nix::hash::Sha256;
use nixdag::nix::nar;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::SecretKey;

// Made for this test with `nix key generate-secret`, and used nowhere else.
pub const SECRET: &str =
    "ours-1:CwlG7Hb0KY5y4EPbj1KKJd4BwFTllfPkIjRYzal7nf+xuZ4UzkmMf2+R20SqTtFYA7HkJBHvYDuc0AVk82fO5Q==";

/// `release` takes `library` and `tool`, each of a job of its own.
pub const RELEASE: &str = r#"
rec {
  tool = drv "tool" "echo tool > $out";
  library = drv "library" "echo library > $out";
  release = drv "release" "cat ${tool} ${library} > $out";
}"#;
pub const JOBS: &[JobOf] = &[
    ("a-tool", &["tool"], &[], &[]),
    ("b-library", &["library"], &[], &[]),
    ("release", &["release"], &[], &["a-tool", "b-library"]),
];

/// Does what a process of a hostile builder would: puts a path that holds `contents` into the folder that its job hands on.
pub fn plant(dir: &Path, store_path: &str, contents: &[u8], references: &[&str]) {
    let mut archive = Vec::new();
    nar::write_file(contents, &mut archive).unwrap();
    let file = zstd::encode_all(&archive[..], 3).unwrap();
    let digest = Sha256::of(&file);
    let info = NarInfo {
        store_path: store_path.to_owned(),
        url: format!("nar/{}.nar.zst", digest.base32()),
        compression: "zstd".to_owned(),
        file_hash: Some(digest),
        file_size: Some(file.len() as u64),
        nar_hash: Sha256::of(&archive),
        nar_size: archive.len() as u64,
        references: references.iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect(),
        deriver: None,
        signatures: Vec::new(),
        content_address: None,
    };
    fs::create_dir_all(dir.join("nar")).unwrap();
    fs::write(dir.join(&info.url), file).unwrap();
    fs::write(dir.join(info.file_name()), info.to_text()).unwrap();
}

/// The narinfo of a path that a job hands on.
pub fn handed_on(pipeline: &Pipeline, job: &str, store_path: &str) -> NarInfo {
    NarInfo::parse(&fs::read(narinfo(&pipeline.handed_off(job), store_path)).unwrap()).unwrap()
}

fn narinfo(dir: &Path, store_path: &str) -> PathBuf {
    dir.join(format!("{}.narinfo", &store_path["/nix/store/".len()..][..32]))
}

/// Fails the test unless the job has said this of what another one's folder holds, in its record too.
#[track_caller]
pub fn names(ran: &Ran, job: &str, path: &str, why: &str) {
    let line = format!("hand-off of job `{job}`: `{path}` is ignored: {why}");
    assert!(ran.text.contains(&line), "`{line}` is missing in:\n{}", ran.text);
    assert!(ran.record.as_ref().unwrap().damaged.contains(&line));
}

/// The digest of what a file with these contents is handed on as.
pub fn digest(contents: &[u8]) -> Sha256 {
    let mut archive = Vec::new();
    nar::write_file(contents, &mut archive).unwrap();
    Sha256::of(&archive)
}

#[test]
fn a_jobs_own_output_comes_from_no_other_job() {
    with_one_nix("a_jobs_own_output_comes_from_no_other_job", || {
        let pipeline = Pipeline::new(RELEASE, JOBS);
        pipeline.run("a-tool", &[]).succeeds();
        pipeline.run("b-library", &[]).succeeds();
        let release = pipeline.output("release", "out");
        plant(&pipeline.handed_off("a-tool"), &release, b"forged", &[]);
        let (public, reuse) = (SecretKey::parse(SECRET).unwrap().public().to_string(), pipeline.dir().join("reuse"));
        for more in [&["--on-missing", "fail"][..], &[]] {
            let _ = fs::remove_dir_all(&reuse);
            let signed = ["--signed-reuse", "--signing-public-key", &public, "--reuse", reuse.to_str().unwrap()];
            let mut command = pipeline.command("release", &[more, &signed].concat());
            let ran = pipeline.ran("release", command.env("NIXDAG_SIGNING_KEY", SECRET).output().unwrap());
            let ran = ran.succeeds().has("release", Outcome::Built);
            names(&ran, "a-tool", &release, "this job builds it itself");
            assert!(ran.record.unwrap().missing.is_empty());
            assert_eq!(handed_on(&pipeline, "release", &release).nar_hash, digest(b"tool\nlibrary\n"));
        }
    });
}

#[test]
fn a_job_delivers_only_what_the_plan_has_it_build() {
    with_one_nix("a_job_delivers_only_what_the_plan_has_it_build", || {
        let pipeline = Pipeline::new(RELEASE, JOBS);
        pipeline.run("a-tool", &[]).succeeds();
        pipeline.run("b-library", &[]).succeeds();
        let library = pipeline.output("library", "out");
        let tool = pipeline.output("tool", "out");
        // The first whole copy used to win.
        plant(&pipeline.handed_off("a-tool"), &library, b"forged", &[]);
        let ran = pipeline.run("release", &["--on-missing", "fail"]).succeeds();
        names(&ran, "a-tool", &library, "the plan has it built elsewhere");
        let release = pipeline.output("release", "out");
        assert_eq!(handed_on(&pipeline, "release", &release).nar_hash, digest(b"tool\nlibrary\n"));

        // What its own output refers to makes no difference, whether anybody knows the path or not.
        let stranger = format!("/nix/store/{}-stranger", "0".repeat(32));
        plant(&pipeline.handed_off("a-tool"), &stranger, b"forged", &[]);
        plant(&pipeline.handed_off("a-tool"), &tool, b"forged", &[&stranger]);
        let ran = pipeline.run("release", &["--on-missing", "fail"]).fails(&[]);
        names(&ran, "a-tool", &stranger, "no derivation that it was to build has such an output");
        let before = pipeline.built().len();
        let ran = pipeline.run("release", &[]).succeeds().has("tool", Outcome::Built);
        assert_eq!(ran.of("tool").role, Role::Other);
        assert_eq!(pipeline.built().len(), before + 2);
        assert_eq!(handed_on(&pipeline, "release", &release).nar_hash, digest(b"tool\nlibrary\n"));
        // A reference to what this job builds from it leads nowhere either.
        plant(&pipeline.handed_off("a-tool"), &tool, b"forged", &[&release]);
        pipeline.run("release", &[]).succeeds();
        assert_eq!(handed_on(&pipeline, "release", &release).nar_hash, digest(b"tool\nlibrary\n"));

        // Many are not many lines.
        for number in 0..100 {
            plant(&pipeline.handed_off("b-library"), &format!("/nix/store/{number:0>32}-x"), b"x", &[]);
        }
        let many: Vec<String> = (0..100).map(|number| format!("/nix/store/{number:0>32}-x")).collect();
        plant(&pipeline.handed_off("b-library"), &library, b"x", &many.iter().map(String::as_str).collect::<Vec<_>>());
        let ran = pipeline.run("release", &[]).succeeds();
        assert!(ran.record.unwrap().damaged.len() <= 20 && ran.text.contains("more paths)"), "{}", ran.text);
    });
}

#[test]
fn what_a_job_built_in_anothers_place_is_built_again_behind_it() {
    with_nix("what_a_job_built_in_anothers_place_is_built_again_behind_it", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              a = drv "a" "echo a > $out";
              b = drv "b" "echo ${a} > $out";
              c = drv "c" "read a < ${b}; cat $a > $out";
            }"#,
            &[("a", &["a"], &[], &[]), ("b", &["b"], &[], &["a"]), ("c", &["c"], &[], &["a", "b"])],
        );
        // As if a's hand-off had been lost.
        for job in ["b", "c"] {
            let ran = pipeline.run(job, &[]).succeeds().has("a", Outcome::Built);
            let missing = &ran.record.as_ref().unwrap().missing;
            assert!(missing.len() == 1 && missing[0].job.as_deref() == Some("a") && missing[0].built, "{}", ran.text);
        }
        assert_eq!(pipeline.built_sorted(), ["a", "a", "b", "c"]);
    });
}

#[test]
fn what_a_job_repeats_is_its_own_even_where_others_results_refer_to_it() {
    with_one_nix("what_a_job_repeats_is_its_own_even_where_others_results_refer_to_it", || {
        let pipeline = Pipeline::new(
            r#"
            rec {
              base = drv "base" "echo base > $out";
              lower = drv "lower" "cat ${base}; head -c 1000 /dev/urandom > $out";
              upper = drv "upper" "echo ${lower} > $out";
              b = drv "b" "echo ${upper} > $out";
              c = drv "c" "read x < ${b}; cat $x ${upper} > $out";
            }"#,
            &[
                ("base", &["base"], &[], &[]),
                ("b", &["b"], &["lower", "upper"], &["base"]),
                ("c", &["c"], &["lower", "upper"], &["base", "b"]),
            ],
        );
        pipeline.run("base", &[]).succeeds();
        pipeline.run("b", &[]).succeeds();
        plant(&pipeline.handed_off("b"), &pipeline.output("lower", "out"), b"forged", &[]);
        let ran = pipeline.run("c", &["--on-missing", "fail"]).succeeds();
        let ran = ran.has("lower", Outcome::Built).has("upper", Outcome::Built).has("c", Outcome::Built);
        let record = ran.record.unwrap();
        assert!(record.missing.is_empty() && record.damaged.is_empty(), "{}", ran.text);
        assert_eq!(pipeline.built_sorted(), ["b", "base", "c", "lower", "lower", "upper", "upper"]);
    });
}

#[test]
fn fixed_outputs_are_held_against_their_hash() {
    with_each_nix("fixed_outputs_are_held_against_their_hash", || {
        let pipeline = Pipeline::new(
            r#"
            let
              fixed = name: attributes: drvWith name ({ outputHashAlgo = "sha256"; } // attributes) "echo fetched > $out";
            in
            rec {
              flat = fixed "flat" { outputHashMode = "flat"; outputHash = builtins.hashString "sha256" "fetched\n"; };
              recursive = fixed "recursive" {
                outputHashMode = "recursive";
                outputHash = "DIGEST";
              };
              b = drv "b" "echo ${flat} ${recursive} > $out";
              c = drv "c" "cat ${b} ${flat} ${recursive} > $out";
            }"#
            .replace("DIGEST", &digest(b"fetched\n").base16())
            .as_str(),
            &[("b", &["b"], &["flat", "recursive"], &[]), ("c", &["c"], &["flat", "recursive"], &["b"])],
        );
        pipeline.run("b", &[]).succeeds();
        // Verified, they need not be fetched once more.
        pipeline.run("c", &["--on-missing", "fail"]).succeeds().has("flat", Outcome::Substituted);
        for name in ["flat", "recursive"] {
            let path = pipeline.output(name, "out");
            plant(&pipeline.handed_off("b"), &path, b"forged", &[]);
            let ran = pipeline.run("c", &[]).succeeds().has(name, Outcome::Built);
            let line = format!("hand-off of job `b`: `{path}` does not hold what its derivation says");
            assert!(ran.text.contains(&line), "{}", ran.text);
            plant(&pipeline.handed_off("b"), &path, b"fetched\n", &[]);
        }
    });
}

#[test]
fn content_addressed_outputs_come_from_the_job_that_builds_them_alone() {
    with_each_nix("content_addressed_outputs_come_from_the_job_that_builds_them_alone", || {
        user_setting("extra-experimental-features = ca-derivations");
        let pipeline = Pipeline::new(
            r#"
            let ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }; in
            rec {
              source = drv "source" "echo source > $out";
              lower = drvWith "lower" ca "cat ${source} > $out";
              upper = drvWith "upper" ca "cat ${lower} > $out; echo upper >> $out";
              plain = drv "plain" "cat ${upper} > $out";
            }"#,
            &[
                ("source", &["source"], &[], &[]),
                ("lower", &["lower"], &[], &["source"]),
                ("upper", &["upper"], &[], &["lower", "source"]),
                ("plain", &["plain"], &[], &["lower", "source", "upper"]),
            ],
        );
        for job in ["source", "lower", "upper", "plain"] {
            pipeline.run(job, &["--on-missing", "fail"]).succeeds();
        }
        assert_eq!(pipeline.built_sorted(), ["lower", "plain", "source", "upper"]);
        // All that makes `upper` what it is, in the folder of a job before it.
        let (from, to) = (pipeline.handed_off("upper"), pipeline.handed_off("lower"));
        for folder in [".", "nar", "realisations"] {
            for entry in fs::read_dir(from.join(folder)).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_file() {
                    fs::copy(&entry, to.join(folder).join(entry.file_name().unwrap())).unwrap();
                }
            }
        }
        pipeline.run("upper", &["--on-missing", "fail"]).succeeds().has("upper", Outcome::Built);
        assert_eq!(pipeline.built().len(), 5);
        // Under the name of its own derivation, but about another one's.
        let files: Vec<PathBuf> =
            fs::read_dir(to.join("realisations")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        let texts = files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
        fs::write(&files[0], &texts[1]).unwrap();
        fs::write(&files[1], &texts[0]).unwrap();
        pipeline.run("upper", &[]).succeeds().has("upper", Outcome::Built);
    });
}

/// The narinfos of a cache, by store path.
fn pushed(cache: &Path) -> BTreeMap<String, NarInfo> {
    let files = fs::read_dir(cache).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "narinfo"));
    let infos = files.map(|path| NarInfo::parse(&fs::read(path).unwrap()).unwrap());
    infos.map(|info| (info.store_path.clone(), info)).collect()
}

#[test]
fn what_a_job_of_its_own_signs_is_what_the_plan_has_each_job_build() {
    with_one_nix("what_a_job_of_its_own_signs_is_what_the_plan_has_each_job_build", || {
        let pipeline = Pipeline::new(RELEASE, JOBS);
        for (job, ..) in JOBS {
            pipeline.run(job, &[]).succeeds();
        }
        let built = pipeline.built();
        let [tool, library, release] = ["tool", "library", "release"].map(|name| pipeline.output(name, "out"));
        plant(&pipeline.handed_off("a-tool"), &library, b"forged", &[]);
        plant(&pipeline.handed_off("a-tool"), &release, b"forged", &[]);
        let public = SecretKey::parse(SECRET).unwrap().public().to_string();
        let sign = |cache: &Path| {
            let to = format!("file://{}", cache.display());
            let mut command = pipeline.command("sign-and-push", &["--push", &to, "--signing-public-key", &public]);
            pipeline.ran("sign-and-push", command.env("NIXDAG_SIGNING_KEY", SECRET).output().unwrap())
        };
        let cache = pipeline.dir().join("cache");
        let ran = sign(&cache).succeeds();
        names(&ran, "a-tool", &library, "the plan has it built elsewhere");
        names(&ran, "a-tool", &release, "the plan has it built elsewhere");
        let found = pushed(&cache);
        let contents = [(&tool, "tool\n"), (&library, "library\n"), (&release, "tool\nlibrary\n")];
        assert_eq!(found.len(), contents.len());
        for (path, contents) in contents {
            assert_eq!(found[path].nar_hash, digest(contents.as_bytes()));
            assert!(found[path].signatures.iter().any(|signature| signature.to_string().starts_with("ours-1:")));
        }

        // What nobody has delivered is not built by who has the key, and then nothing is signed.
        fs::remove_dir_all(pipeline.handed_off("b-library")).unwrap();
        let cache = pipeline.dir().join("second");
        sign(&cache).fails(&[&format!("`{library}`")]);
        assert!(pushed(&cache).is_empty());
        assert_eq!(pipeline.built(), built);
    });
}

#[test]
fn a_job_with_contexts_never_builds_what_another_should_have_delivered() {
    with_one_nix("a_job_with_contexts_never_builds_what_another_should_have_delivered", || {
        let mut pipeline = Pipeline::new(RELEASE, JOBS);
        pipeline.plan.jobs[2].options.context = vec!["deploy".to_owned()];
        pipeline.sha256 = pipeline.write_bundle("bundle");
        pipeline.run("a-tool", &[]).succeeds();
        // A flag does not change that.
        for more in [&[][..], &["--on-missing", "build"]] {
            let ran =
                pipeline.run("release", more).fails(&["job `b-library`", "rerun the job that should have delivered"]);
            assert!(!ran.text.contains("building"), "{}", ran.text);
        }
        assert_eq!(pipeline.built(), ["tool"]);
        pipeline.run("b-library", &[]).succeeds();
        pipeline.run("release", &[]).succeeds().has("release", Outcome::Built);
        assert_eq!(pipeline.built(), ["tool", "library", "release"]);
    });
}
