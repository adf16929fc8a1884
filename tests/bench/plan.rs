//! `cargo bench --bench plan`: how fast derivations are read, loaded and planned, as ratios against what there is without nixdag.
//!
//! Uses the real graph that `NIXDAG_GRAPH` names, a folder with `.drv` files and `roots.json`, else a made-up one of 20,000
//! derivations. Every figure is the best of five runs on warm files.

#![allow(clippy::unwrap_used, unsafe_code)] // a benchmark that cannot go on has failed; the kernel's accounting is asked for in C

#[path = "cpu.rs"]
mod cpu;
#[path = "../support/synthetic.rs"]
mod synthetic;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nixdag::graph::Graph;
use nixdag::nix::derivation::Derivation;

const RUNS: usize = 5;

fn best(mut run: impl FnMut() -> f64) -> f64 {
    (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn wall(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

fn cpu(command: &mut Command) -> f64 {
    let before = cpu::of_children();
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
    cpu::of_children() - before
}

fn made_up(dir: &Path) {
    let drvs = synthetic::graph(&mut synthetic::Random(1), 20_000, &["x86_64-linux"], 0);
    synthetic::write(&drvs, dir);
    let roots: serde_json::Map<_, _> = drvs
        .iter()
        .rev()
        .step_by(20)
        .enumerate()
        .map(|(number, drv)| (format!("t{number}"), drv.path.clone().into()))
        .collect();
    fs::write(dir.join("roots.json"), serde_json::to_vec(&roots).unwrap()).unwrap();
}

fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = match std::env::var_os("NIXDAG_GRAPH") {
        Some(dir) => PathBuf::from(dir),
        None => {
            made_up(temporary.path());
            temporary.path().to_owned()
        }
    };
    let roots_file = dir.join("roots.json");
    let roots = nixdag::recorded_evaluation::read(&fs::read(&roots_file).unwrap()).unwrap();
    let files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "drv"))
        .collect();
    let contents: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let bytes: usize = contents.iter().map(Vec::len).sum();
    println!("{} files, {} MB, {} targets", files.len(), bytes / 1_000_000, roots.len());

    let parse = best(|| {
        wall(|| {
            for file in &contents {
                black_box(Derivation::parse(black_box(file)).unwrap());
            }
        })
    });
    println!("parser alone, one core, files in memory: {:.2} GB/s", bytes as f64 / parse / 1e9);
    drop(contents);

    let list = dir.join("files");
    let names: Vec<String> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    fs::write(&list, names.join("\0")).unwrap();
    let cat = best(|| {
        wall(|| {
            let mut command = Command::new("xargs");
            command
                .args(["-0", "cat"])
                .stdin(fs::File::open(&list).unwrap())
                .stdout(fs::File::create("/dev/null").unwrap());
            assert!(command.current_dir(&dir).status().unwrap().success());
        })
    });
    fs::remove_file(&list).unwrap();
    let load = best(|| {
        wall(|| {
            black_box(Graph::load(roots.iter().map(|target| &*target.drv_path), &dir, "/nix/store").unwrap());
        })
    });
    println!("load: {load:.2} s, `cat` to /dev/null: {cat:.2} s, ratio {:.2}", load / cat);

    let empty = tempfile::NamedTempFile::new().unwrap();
    let plan = best(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        command.args(["plan", "--format", "json", "--roots"]).arg(&roots_file);
        cpu(command.arg("--drv-dir").arg(&dir).arg("--available").arg(empty.path()))
    });
    println!("`nixdag plan --format json`, everything to build: {plan:.2} s of CPU");
}
