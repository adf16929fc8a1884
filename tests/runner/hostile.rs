//! Plans, bundles, hand-offs and records that are cut, forged, or no files at all: each is named or counts as absent, nothing is
//! written or read elsewhere for them, and nobody waits.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::pipeline::{JobOf, Pipeline};
use crate::support::{run, shown, with_nix};
use nixdag::build::record::Outcome;
use nixdag::nix::narinfo::{MAX_SIZE, NarInfo};
use serde_json::json;

const CHAIN: &str = r#"rec { a = drv "a" "echo a > $out"; b = drv "b" "cat ${a} > $out"; }"#;
const JOBS: &[JobOf] = &[("job-a", &["a"], &[], &[]), ("job-b", &["b"], &[], &["job-a"])];

/// Runs nixdag, which has to fail with these words and nothing worse.
#[track_caller]
fn refuses(arguments: &[&str], words: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag")).args(arguments).output().unwrap();
    let said = shown(&output);
    assert!(output.status.code() == Some(1) && said.contains(words), "`{words}` is missing in:\n{said}");
    assert!(!said.contains("panicked") && !said.contains('\u{1b}'), "{said}");
}

fn pipe(path: &Path) {
    run(Path::new("/"), "mkfifo", &[path.to_str().unwrap()]);
}

#[test]
fn plans_that_are_cut_or_forged_are_refused() {
    with_nix("plans_that_are_cut_or_forged_are_refused", || {
        let pipeline = Pipeline::new(CHAIN, JOBS);
        let file = pipeline.dir().join("plan.json");
        let whole = fs::read(pipeline.bundle().join("plan.json")).unwrap();
        let build = |bytes: &[u8], words: &str| {
            fs::write(&file, bytes).unwrap();
            refuses(&["build", "--plan", file.to_str().unwrap(), "--job", "job-a"], words);
        };
        for length in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 3] {
            build(&whole[..length], "not a plan");
        }
        for (pointer, value, words) in [
            ("/version", json!(2), "the plan has version 2"),
            ("/version", json!("\u{1b}[31m"), "the plan has version"),
            ("/jobs/0/id", json!("../job-a"), "job id `../job-a` does not match"),
            ("/jobs/0/id", json!("a/b"), "job id `a/b` does not match"),
            ("/jobs/0/derivations/0", json!("/nix/store/../../etc/passwd.drv"), "job `job-a` of the plan"),
            ("/jobs/0/derivations/0", json!("/etc/passwd"), "job `job-a` of the plan"),
            ("/jobs/0/derivations/0", json!("\u{1b}[31m"), "job `job-a` of the plan"),
            ("/jobs/1/inputs/0", json!("../job-a"), "not a job of the plan"),
            ("/store_dir", json!("nix/store"), "`store_dir` of the plan"),
        ] {
            let mut plan: serde_json::Value = serde_json::from_slice(&whole).unwrap();
            *plan.pointer_mut(pointer).unwrap() = value;
            build(plan.to_string().as_bytes(), words);
        }
        fs::write(&file, &whole).unwrap();
        for id in ["../job-a", "job-a/", "/etc", "", "\u{1b}[31m"] {
            refuses(&["build", "--plan", file.to_str().unwrap(), "--job", id], "the plan has no job");
        }
        assert!(pipeline.built().is_empty());
    });
}

#[test]
fn bundles_name_and_hold_nothing_but_their_own_files() {
    with_nix("bundles_name_and_hold_nothing_but_their_own_files", || {
        let pipeline = Pipeline::new(CHAIN, JOBS);
        let bundle = pipeline.bundle();
        let build = |words: &str| refuses(&["build", "--bundle", bundle.to_str().unwrap(), "--job", "job-a"], words);
        let manifest = fs::read_to_string(bundle.join("manifest")).unwrap();
        for name in ["../x", "/etc/passwd", "plan.json/../plan.json"] {
            fs::write(bundle.join("manifest"), manifest.replace("plan.json", name)).unwrap();
            build("its manifest names");
            fs::write(bundle.join("manifest"), format!("{manifest}{}  {name}\n", &manifest[..64])).unwrap();
            build("its manifest names");
        }
        fs::write(bundle.join("manifest"), &manifest).unwrap();
        for name in ["manifest", "plan.json", "nixdag", "paths.zst"] {
            let (file, aside) = (bundle.join(name), pipeline.dir().join("aside"));
            fs::rename(&file, &aside).unwrap();
            let hostile: [fn(&Path); 3] =
                [pipe, |path| symlink("/dev/zero", path).unwrap(), |path| fs::create_dir(path).unwrap()];
            for hostile in hostile {
                hostile(&file);
                build("it is not a regular file");
                if file.is_dir() { fs::remove_dir(&file).unwrap() } else { fs::remove_file(&file).unwrap() }
            }
            fs::rename(&aside, &file).unwrap();
        }
        pipeline.run("job-a", &[]).succeeds().has("a", Outcome::Built);
    });
}

#[test]
fn forged_hand_offs_count_as_absent() {
    with_nix("forged_hand_offs_count_as_absent", || {
        let pipeline = Pipeline::new(CHAIN, JOBS);
        pipeline.run("job-a", &[]).succeeds();
        let dir = pipeline.handed_off("job-a");
        let narinfo = narinfo(&dir);
        let whole = fs::read(&narinfo).unwrap();
        let with = |change: &dyn Fn(&mut NarInfo)| {
            let mut info = NarInfo::parse(&whole).unwrap();
            change(&mut info);
            info.to_text().into_bytes()
        };
        fs::copy(only(&dir.join("nar")), pipeline.handed_off("x.nar.zst")).unwrap();
        let url = |url: &str| with(&|info| info.url = url.to_owned());
        let forged: [(&str, Vec<u8>); 8] = [
            ("outside", url("../x.nar.zst")),
            ("absolute", url("/etc/passwd")),
            ("elsewhere", url("https://example.org/x.nar.zst")),
            ("other path", with(&|info| info.store_path = format!("/nix/store/{}-evil", "0".repeat(32)))),
            ("gigantic", [&whole[..], &vec![b'x'; MAX_SIZE + 1]].concat()),
            ("no text", vec![0xff; 100]),
            ("size", with(&|info| info.file_size = Some(u64::MAX))),
            ("empty", Vec::new()),
        ];
        let next = |what: &str, words: &str| {
            let ran = pipeline
                .run("job-b", &["--on-missing", "fail"])
                .fails(&["job `job-a` should have handed it off", words]);
            assert_eq!(ran.record.unwrap().damaged.len(), 1, "{what}: {}", ran.text);
        };
        for (what, bytes) in forged {
            fs::write(&narinfo, bytes).unwrap();
            next(what, "hand-off of job `job-a`: damaged");
        }
        let hostile: [fn(&Path); 2] = [pipe, |path| symlink("/dev/zero", path).unwrap()];
        for hostile in hostile {
            fs::remove_file(&narinfo).unwrap();
            hostile(&narinfo);
            next("no file", "it is not a regular file");
        }
        fs::remove_file(&narinfo).unwrap();
        fs::write(&narinfo, &whole).unwrap();
        let nar = only(&dir.join("nar"));
        fs::remove_file(&nar).unwrap();
        pipe(&nar);
        next("a pipe as NAR", "not a regular file");
        // Nix would wait for this one.
        fs::create_dir_all(dir.join("realisations")).unwrap();
        pipe(&dir.join("realisations/x.doi"));
        pipeline.run("job-b", &[]).succeeds().has("b", Outcome::Built);
    });
}

#[test]
fn a_job_writes_and_removes_nothing_through_links_in_its_own_folder() {
    with_nix("a_job_writes_and_removes_nothing_through_links_in_its_own_folder", || {
        let pipeline = Pipeline::new(CHAIN, JOBS);
        let elsewhere = pipeline.dir().join("elsewhere");
        fs::create_dir_all(elsewhere.join("nar")).unwrap();
        for file in ["x.narinfo", "nar/x.nar.zst", "x.nar.zst"] {
            fs::write(elsewhere.join(file), "theirs").unwrap();
        }
        let own = pipeline.handed_off("job-a");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        let before = run(&elsewhere, "find", &[".", "-type", "f"]);
        for link in ["", "nar", "realisations"] {
            if own.exists() {
                fs::remove_dir_all(&own).unwrap();
            }
            if link.is_empty() {
                symlink(&elsewhere, &own).unwrap();
            } else {
                fs::create_dir(&own).unwrap();
                symlink(&elsewhere, own.join(link)).unwrap();
            }
            pipeline.run("job-a", &[]).succeeds();
            assert!(!own.is_symlink() && !own.join("nar").is_symlink() && !own.join("realisations").is_symlink());
            assert_eq!(run(&elsewhere, "find", &[".", "-type", "f"]), before, "{link}");
        }
        pipeline.run("job-b", &["--on-missing", "fail"]).succeeds();
    });
}

#[test]
fn an_earlier_runs_results_are_held_against_their_format_and_lead_nowhere() {
    with_nix("an_earlier_runs_results_are_held_against_their_format_and_lead_nowhere", || {
        let pipeline = Pipeline::new(CHAIN, JOBS);
        let elsewhere = pipeline.dir().join("elsewhere");
        fs::create_dir_all(elsewhere.join("nar")).unwrap();
        fs::write(elsewhere.join("nar/x.nar.zst"), "theirs").unwrap();
        let kept = || assert_eq!(fs::read_to_string(elsewhere.join("nar/x.nar.zst")).unwrap(), "theirs");
        let complete = pipeline.reused("job-a").join("complete");
        pipeline.run_with_reuse("job-a", &[]).succeeds();
        let file = narinfo(&complete);
        let whole = fs::read(&file).unwrap();
        let nar = only(&complete.join("nar"));
        let length = fs::metadata(&nar).unwrap().len() as usize;
        let foreign = elsewhere.join("nar/x.nar.zst");
        type Spoil<'a> = &'a dyn Fn(&Path);
        let spoil: [(&str, &Path, Spoil); 6] = [
            ("damaged narinfo", &file, &|file| fs::write(file, "StorePath: /etc/passwd\n").unwrap()),
            ("is not a regular file", &file, &|file| pipe(file)),
            ("is not a regular file", &file, &|file| symlink("/dev/zero", file).unwrap()),
            ("not a regular file", &nar, &|nar| pipe(nar)),
            ("not a regular file", &nar, &|nar| symlink(&foreign, nar).unwrap()),
            ("its contents have", &nar, &|nar| fs::write(nar, vec![0; length]).unwrap()),
        ];
        for (words, path, spoil) in spoil {
            fs::remove_file(path).unwrap();
            spoil(path);
            let ran = pipeline.run_with_reuse("job-a", &[]).succeeds().has("a", Outcome::Built);
            let damaged = ran.record.unwrap().damaged.join("\n");
            assert!(
                damaged.contains("result of an earlier pipeline, not used: ") && damaged.contains(words),
                "{damaged}"
            );
            // What it leaves is whole again.
            assert_eq!((fs::read(&file).unwrap(), fs::metadata(&nar).unwrap().len()), (whole.clone(), length as u64));
            kept();
        }
        for link in ["", "complete", "complete/nar", "partial", ".new"] {
            let path = pipeline.reused("job-a").join(link);
            if path.exists() {
                fs::remove_dir_all(&path).unwrap();
            }
            symlink(&elsewhere, path.parent().unwrap().join(path.file_name().unwrap())).unwrap();
            pipeline.run_with_reuse("job-a", &[]).succeeds();
            assert!(!path.is_symlink());
            kept();
        }
    });
}

#[test]
fn records_from_elsewhere_are_held_against_their_format_and_steer_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    let folder = dir.path().to_str().unwrap();
    let record = |job: &str| {
        json!({
            "version": 1, "job": job, "name": job, "system": "x86_64-linux", "nix": "2.8.0", "started": 253_402_300_799u64, "seconds": 1e12,
            "verdict": "failure", "errors": ["\u{1b}[31mred\u{1b}]0;title\u{7}\nmore"], "derivations": [], "missing": [],
            "damaged": ["\u{202e}turned"], "fetched": 0,
            "handed_off": {"paths": 0, "kept": 0, "nar_bytes": 0, "file_bytes": 0}, "pushed": [],
        })
    };
    for text in ["", "{", "[]", "null", "\u{0}", "{\"version\": 1}", "{\"version\": \"x\"}"] {
        fs::write(&file, text).unwrap();
        refuses(&["report", folder], "is not a record of a job");
    }
    fs::write(&file, "[".repeat(1_000_000)).unwrap();
    refuses(&["report", folder], "is not a record of a job");
    let mut other = record("a");
    other["version"] = json!(2);
    fs::write(&file, other.to_string()).unwrap();
    refuses(&["report", folder], "has version 2");
    let mut late = record("a");
    late["started"] = json!(u64::MAX);
    fs::write(&file, late.to_string()).unwrap();
    refuses(&["report", folder], "has more entries, or a later date, than a job leaves");
    fs::remove_file(&file).unwrap();
    pipe(&file);
    refuses(&["report", folder], "it is not a regular file");

    fs::remove_file(&file).unwrap();
    fs::write(&file, record("../\u{1b}[2J").to_string()).unwrap();
    // A folder in itself.
    symlink(".", dir.path().join("again")).unwrap();
    let red = "../\\u{1b}[2J: the job itself: \\u{1b}[31mred";
    refuses(&["report", folder], red);

    // What another job has left is named, and costs this one nothing.
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::write(dir.path().join("other/report.json"), "{\"version\": 1, \"job\": \"\n::error::x").unwrap();
    refuses(&["report", folder], red);
    refuses(&["report", folder], "it is left out");
}

/// The only narinfo of a folder.
fn narinfo(dir: &Path) -> PathBuf {
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|ending| ending == "narinfo")).unwrap()
}

/// The only file of a folder.
fn only(dir: &Path) -> PathBuf {
    fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn folders_that_another_user_has_made_are_refused_by_a_job() {
    let root = tempfile::tempdir().unwrap();
    // As /tmp is.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let theirs = root.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    if std::os::unix::fs::chown(&theirs, Some(1234), None).is_err() {
        // Only root can give folders to another user.
        return;
    }
    for flag in ["--workspace", "--reuse", "--bundle", "--records"] {
        let workspace = ["--workspace", "own"];
        let more = if flag == "--reuse" { &workspace[..] } else { &[] };
        let plan = if flag == "--bundle" { &[][..] } else { &["--plan", "none"] };
        let arguments = [&["build", "--job", "a", flag, theirs.to_str().unwrap()], plan, more].concat();
        refuses(&arguments, "theirs` belongs to another user of this machine");
    }
}
