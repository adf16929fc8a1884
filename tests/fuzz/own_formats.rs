//! What nixdag writes and reads back from places that others can write to, and what users write.

use std::fs;
use std::path::Path;

use nixdag::build::record::Record;
use nixdag::build::report::Report;
use nixdag::delivery::BundleReference;
use nixdag::evaluation_cache::{self, EvaluationCache};
use nixdag::handoff::merge::{HandOffFolder, HandOffs, Nars, Origin, Ruling};
use nixdag::handoff::path_archive::{self, ArchiveEntry, BundledClosure, Contents};
use nixdag::history::History;
use nixdag::history::records::{Keep, Records};
use nixdag::nix::hash::Sha256;
use nixdag::nix::narinfo::NarInfo;
use nixdag::plan::json;
use nixdag::provider::Provider;
use nixdag::provider::circleci::generate;
use nixdag::provider::circleci::merge::requires;
use nixdag::provider::circleci::merge::user_config::UserConfig;
use nixdag::provider::circleci::options::Options;
use nixdag::provider::yaml;
use nixdag::recorded_evaluation;
use nixdag::settings::file::SettingsFile;
use nixdag::view::network;

use super::harness::{Got, fuzz};
use super::mutate::Corpus;
use super::nix_formats::is_json;
use super::seeds;

fn options() -> Options {
    let mut options = Options::default();
    options.setup.bundle =
        Some(BundleReference { manifest_sha256: "0123456789abcdef".repeat(4), system: "x86_64-linux".into() });
    options
}

#[test]
fn plans() {
    let options = options();
    fuzz("plans", &Corpus::json(seeds::plans()), |bytes| {
        let read = json::read(bytes);
        if let Ok(plan) = &read {
            let mut text = Vec::new();
            json::write(plan, &mut text).unwrap();
            assert_eq!(json::read(&text).unwrap(), *plan);
            network::jobs(plan);
            plan.critical_path();
            // What it says it can be written as is checked in there.
            let _ = generate(plan, &options);
        }
        Got::of(is_json(bytes), &read)
    });
}

#[test]
fn records() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    let (report, _) = seeds::records();
    fuzz("records", &Corpus::json(vec![report]), |bytes| {
        fs::write(&file, bytes).unwrap();
        let read = Record::read(&file);
        if let Ok(record) = &read {
            let mut out = Vec::new();
            record.summarize(&mut out).unwrap();
            Report::new(vec![record.clone(), record.clone()]).print(&mut out).unwrap();
        }
        Got::of(is_json(bytes), &read)
    });
}

#[test]
fn history() {
    let (_, measured) = seeds::records();
    fuzz("history", &Corpus::json(vec![measured]), |bytes| {
        let read = Records::read(bytes, 2_000_000_000);
        if let Ok(records) = &read {
            let mut records = records.clone();
            records.prune(Keep::default(), 2_000_000_000);
            let _ = History::new(&records).recorded("x", "a-1.0", "x86_64-linux");
            nixdag::view::history::write(&records, &nixdag::view::look::Look::default(), &mut std::io::sink()).unwrap();
        }
        Got::of(is_json(bytes), &read)
    });
}

#[test]
fn roots() {
    let pairs = br#"[[["packages", "x86_64-linux", "a.b"], "/nix/store/004ldcwhncm4f629h5cdaa9zyn40ak37-a.drv"]]"#;
    let real = [seeds::files(&["tests/fixtures/derivations/roots.json"]), vec![pairs.to_vec()]].concat();
    fuzz("roots", &Corpus::json(real), |bytes| Got::of(is_json(bytes), &recorded_evaluation::read(bytes)));
}

#[test]
fn settings() {
    let examples = ["examples/cross/nixdag.yml", "examples/demo/nixdag.yml", "examples/fleet/nixdag.yml"];
    let real = [seeds::files(&examples), vec![seeds::SETTINGS.as_bytes().to_vec()]].concat();
    let fleet = Provider::CircleCi.fleet();
    fuzz("settings", &Corpus::new(real), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return Got::Refused };
        let read = SettingsFile::parse(text);
        if let Ok(settings) = &read {
            let _ = settings.rules(Path::new("nixdag.yml"), &fleet, &mut Vec::new());
        }
        // The reader of YAML takes its time for brackets that nobody has counted.
        let is_yaml = || serde_yaml::from_str::<serde::de::IgnoredAny>(text).is_ok();
        Got::of(nixdag::yaml::check_nesting(text, 64).is_ok() && is_yaml(), &read)
    });
}

#[test]
fn merge_files() {
    let own = "jobs:\n  look: &look\n    docker: [{image: cimg/base:2026.08}]\n    steps: [checkout, run: 'make << pipeline.number >>']\n  \
               again: {<<: *look}\nworkflows:\n  nixdag:\n    jobs:\n      - look: {requires: [packages.x86_64-linux.program]}\n  \
               other: {jobs: [again]}\n";
    let real = [
        seeds::files(&["tests/golden/circleci-final.yml", "tests/golden/circleci-diamond.yml"]),
        vec![own.as_bytes().to_vec()],
    ]
    .concat();
    let plan = json::read(&seeds::plans()[0]).unwrap();
    let options = options();
    fuzz("merge files", &Corpus::new(real), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return Got::Refused };
        let read = UserConfig::parse("own.yml", text);
        if let Ok(config) = &read {
            let mut merge = vec![config.clone()];
            if requires::resolve(&mut merge, &plan).is_ok() {
                let _ = generate(&plan, &Options { merge, ..options.clone() });
            }
        }
        Got::of(yaml::read::read(text).is_ok(), &read)
    });
}

#[test]
fn evaluation_caches() {
    let dir = tempfile::tempdir().unwrap();
    let name = Sha256::of(b"tree").base16();
    let real = seeds::evaluation(&name);
    fs::write(dir.path().join("paths.zst"), b"").unwrap();
    fuzz("evaluation cache", &Corpus::json(vec![real]), |bytes| {
        fs::write(dir.path().join("evaluation.json"), bytes).unwrap();
        let line = |bytes: &[u8], name: &str| format!("{}  {name}\n", Sha256::of(bytes).base16());
        let manifest = line(bytes, "evaluation.json") + &line(b"", "paths.zst");
        fs::write(dir.path().join("manifest"), manifest).unwrap();
        Got::of(
            is_json(bytes),
            &evaluation_cache::read(dir.path(), &name, &EvaluationCache::Travels(dir.path().to_owned())),
        )
    });
}

/// What a job finds of one whose NARs are in a registry of packages.
#[test]
fn manifests() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("a");
    fs::create_dir(&job).unwrap();
    let real = seeds::handed_off();
    let file = job.join(NarInfo::parse(&real).unwrap().file_name());
    fuzz("manifests", &Corpus::new(vec![real]), |bytes| {
        fs::write(&file, bytes).unwrap();
        let source = HandOffFolder { origin: Origin::Job("a".into()), dir: job.clone() };
        let mut found = HandOffs::read(vec![source], Nars::Elsewhere).unwrap();
        found.restrict(|_, info| if info.signatures.is_empty() { Ruling::Counts } else { Ruling::Unknown });
        let absent = found.absent([seeds::STORE_PATH]);
        // What is fetched is written below the folder of that job.
        for (folder, info) in &absent {
            let name = info.url.strip_prefix("nar/").unwrap();
            assert!(*folder == job && !name.contains('/') && name.ends_with(".nar.zst"), "{}", info.url);
        }
        found.verify([seeds::STORE_PATH]);
        found.keep_present();
        Got::of(NarInfo::parse(bytes).is_ok(), &absent.first().ok_or(()))
    });
}

#[test]
fn path_archives() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("paths.zst");
    let mut entries: Vec<ArchiveEntry> = seeds::drv_files()
        .iter()
        .map(|(name, bytes)| ArchiveEntry {
            path: format!("/nix/store/{name}"),
            nar_size: nixdag::nix::nar::size_of_file(bytes.len() as u64),
            references: Vec::new(),
            contents: Contents::File(seeds::derivations().join(name)),
        })
        .collect();
    entries[1].references = vec![entries[0].path.clone()];
    path_archive::sort(&mut entries).unwrap();
    let root = entries[1].path.clone();
    let mut compressed = Vec::new();
    path_archive::write(&entries, &mut compressed).unwrap();
    let plain = zstd::decode_all(&compressed[..]).unwrap();
    // As it is, and mutated before it is compressed.
    for (name, real) in [("path archives", compressed), ("path indexes", plain)] {
        let is_plain = name == "path indexes";
        fuzz(name, &Corpus::new(vec![real]), |bytes| {
            let bytes = if is_plain { &zstd::encode_all(bytes, 1).unwrap()[..] } else { bytes };
            fs::write(&file, bytes).unwrap();
            match BundledClosure::read(fs::File::open(&file).unwrap(), "/nix/store", &[&root]) {
                Ok(closure) => {
                    let (_, nar_bytes) = closure.size();
                    let _ = (closure.absent().len(), nar_bytes);
                    Got::of(true, &closure.export(&mut std::io::sink()))
                }
                Err(error) => {
                    Got::of::<(), _>(is_plain && format!("{error:#}").contains("not in the bundle"), &Err(error))
                }
            }
        });
    }
}
