//! Every plan keeps every rule of the contract: on made-up graphs of all shapes, on a small real one, and on large real ones, which
//! are not part of the repository.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::contract;
use crate::support::golden;
use crate::support::synthetic::{self, Random};
use crate::support::{derivations, graphs};

/// Runs `nixdag plan --format json` on a recorded evaluation.
fn plan(roots: &Path, dir: &Path, available: &HashSet<String>, settings: &Path) -> Vec<u8> {
    let list = tempfile::NamedTempFile::new().unwrap();
    let mut lines: Vec<&str> = available.iter().map(String::as_str).collect();
    lines.sort_unstable();
    fs::write(list.path(), lines.join("\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
        .args(["plan", "--format", "json", "--roots"])
        .arg(roots)
        .arg("--drv-dir")
        .arg(dir)
        .arg("--available")
        .arg(list.path())
        .arg("--settings")
        .arg(settings)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read_roots(path: &Path) -> BTreeMap<Vec<String>, String> {
    let json: BTreeMap<String, String> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    json.into_iter().map(|(key, path)| (key.split('.').map(Into::into).collect(), path)).collect()
}

/// Rules that cut every graph into many kinds of jobs, and would give contexts to more than targets.
const RULES: &str = "
contexts: [secrets, others]
executors:
  big: { resource_class: 2xlarge }
  auto: { resource_class: auto }
rules:
  - { match: { attribute: 'packages.x.t{1,4}' }, never_group: true }
  - { match: { attribute: 'packages.x.t{2,5}' }, resource_class: xlarge, timeout: 30m }
  - { match: { attribute: 'packages.x.t3', system: x86_64-linux }, executor: big, context: secrets }
  - { match: { attribute: 'packages.x.t{6,7,8}' }, context: [others, secrets] }
  - { match: { name: 'n*[05]' }, retries: 2, context: others }
  - { match: { name: 'n*7', system: x86_64-linux }, executor: auto }
";

#[test]
fn made_up_graphs() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let size = 1 + random.below(120);
        let systems = [
            &["x86_64-linux"][..],
            &["x86_64-linux", "aarch64-linux"],
            &["x86_64-linux", "aarch64-darwin", "i686-linux"],
        ][random.below(3)];
        let floating = if systems.len() == 1 { [0, 0, 5][random.below(3)] } else { 0 };
        let drvs = synthetic::graph(&mut random, size, systems, floating);
        let dir = tempfile::tempdir().unwrap();
        synthetic::write(&drvs, dir.path());

        let count = 1 + random.below(size.min(12));
        let mut json = serde_json::Map::new();
        for number in 0..count {
            let target = if random.chance(50) { size - 1 - random.below(size.min(10)) } else { random.below(size) };
            json.insert(format!("packages.x.t{number}"), drvs[target].path.clone().into());
        }
        let roots_file = dir.path().join("roots.json");
        fs::write(&roots_file, serde_json::to_vec(&json).unwrap()).unwrap();
        let share = [0, 0, 30, 70][random.below(4)];
        let available: HashSet<String> = drvs
            .iter()
            .flat_map(|drv| &drv.outputs)
            .filter_map(|(_, path)| path.clone())
            .filter(|_| random.chance(share))
            .collect();

        let mut roots = read_roots(&roots_file);
        let closure = contract::read_closure(&mut roots, dir.path());
        let settings = dir.path().join("nixdag.yml");
        let has_rules = random.chance(40);
        fs::write(&settings, if has_rules { RULES } else { "" }).unwrap();
        let text = plan(&roots_file, dir.path(), &available, &settings);
        let checked = std::panic::catch_unwind(|| {
            let plan = contract::check(&text, &roots, &closure, &available);
            let needed = contract::needed(&closure, roots.values().map(String::as_str), &available);
            let (flat, ordered) = contract::baseline_builds(&closure, &roots, &needed);
            assert_eq!((plan.estimates.flat.builds, plan.estimates.ordered.builds), (flat, ordered));
            assert_eq!(plan.estimates.per_derivation.builds, needed.len());
            assert_eq!(plan.store_dir, "/nix/store");

            // What a floating derivation's path would be is not known to anybody else: it stays with its consumers.
            // Where rules make many kinds of jobs, some cannot.
            let builder: HashMap<&str, &str> =
                plan.jobs.iter().flat_map(|job| job.derivations.iter().map(move |&path| (path, job.id))).collect();
            for (path, drv) in &closure {
                for input in drv.inputs.keys().filter(|&input| closure[input].outputs.values().any(Option::is_none)) {
                    let same = drv.system == closure[input].system
                        || [&drv.system, &closure[input].system].contains(&&"builtin".to_owned());
                    if let (Some(one), Some(other)) = (builder.get(path.as_str()), builder.get(input.as_str()))
                        && same
                        && !has_rules
                        && drv.system != "builtin"
                        && closure[input].system != "builtin"
                    {
                        assert_eq!(one, other, "{input} is not with its consumer {path}");
                    }
                }
            }
        });
        assert!(checked.is_ok(), "seed {seed}");
        assert_eq!(
            text,
            plan(&roots_file, dir.path(), &available, &settings),
            "seed {seed}: the same input gives the same bytes"
        );
    }
}

/// One more available path never makes one more derivation needed.
#[test]
fn what_is_available_is_never_in_the_way() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let drvs = synthetic::graph(&mut random, 60, &["x86_64-linux"], 0);
        let dir = tempfile::tempdir().unwrap();
        synthetic::write(&drvs, dir.path());
        let roots_file = dir.path().join("roots.json");
        fs::write(&roots_file, format!("{{\"a\":\"{}\",\"b\":\"{}\"}}", drvs[59].path, drvs[50].path)).unwrap();
        let mut available = HashSet::new();
        let mut before = usize::MAX;
        for _ in 0..6 {
            let text = plan(&roots_file, dir.path(), &available, Path::new("/dev/null"));
            let needed = serde_json::from_slice::<contract::Plan>(&text).unwrap().estimates.needed;
            assert!(needed <= before, "seed {seed}");
            before = needed;
            let drv = &drvs[random.below(60)];
            available.extend(drv.outputs[random.below(drv.outputs.len())].1.clone());
        }
    }
}

/// Unpacks a real graph, once.
pub fn real(name: &str) -> PathBuf {
    let archive = graphs().join(format!("{name}.tar.zst"));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("graphs").join(name);
    if !dir.join("complete").exists() {
        fs::create_dir_all(&dir).unwrap();
        let status = Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(&dir).status().unwrap();
        assert!(status.success(), "cannot unpack {}", archive.display());
        fs::write(dir.join("complete"), "").unwrap();
    }
    dir
}

/// Secrets for targets on each side of the alphabet's middle, so that many have inputs and consumers with and without.
const CONTEXTS: &str = "
contexts: [secrets]
rules:
  - { match: { attribute: ['[a-m]*', '*.*.[a-m]*'] }, context: secrets }
  - { match: { system: [x86_64-linux, aarch64-linux, builtin] }, timeout: 1h }
";

/// With everything to build, and with all available but what depends on one library.
fn check_real(name: &str, dir: &Path, library: &str) {
    let roots_file = dir.join("roots.json");
    let mut roots = read_roots(&roots_file);
    let closure = contract::read_closure(&mut roots, dir);

    let mut consumers: HashMap<&str, Vec<&str>> = HashMap::new();
    for (path, drv) in &closure {
        for input in drv.inputs.keys() {
            consumers.entry(input).or_default().push(path);
        }
    }
    let mut changed: HashSet<&str> = HashSet::new();
    let mut stack: Vec<&str> = closure
        .keys()
        .map(String::as_str)
        .filter(|path| path[44..].starts_with(library) && !path.contains(".tar"))
        .collect();
    assert!(!stack.is_empty(), "{name} has no {library}");
    while let Some(path) = stack.pop() {
        if changed.insert(path) {
            stack.extend(consumers.get(path).into_iter().flatten());
        }
    }
    let rest = closure.iter().filter(|(path, _)| !changed.contains(path.as_str()));
    let rest: HashSet<String> = rest.flat_map(|(_, drv)| drv.outputs.values().flatten().cloned()).collect();

    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), CONTEXTS).unwrap();
    let nothing = Path::new("/dev/null");
    let all = "everything to build";
    for (what, available, settings) in [
        (all, HashSet::new(), nothing),
        (library, rest, nothing),
        ("everything to build, half of the targets with contexts", HashSet::new(), settings.path()),
    ] {
        let text = plan(&roots_file, dir, &available, settings);
        let plan = contract::check(&text, &roots, &closure, &available);
        let estimates = &plan.estimates;
        for strategy in [&estimates.plan, &estimates.flat, &estimates.ordered, &estimates.per_derivation] {
            assert!(strategy.makespan_seconds + 1.0 > estimates.lower_bound_seconds && strategy.job_seconds > 0.0);
        }
        println!(
            "{name}, {what}: {} needed; jobs/builds: plan {}/{}, flat {}/{}, ordered {}/{}, per derivation {}; {} MB of JSON",
            estimates.needed,
            estimates.plan.jobs,
            estimates.plan.builds,
            estimates.flat.jobs,
            estimates.flat.builds,
            estimates.ordered.jobs,
            estimates.ordered.builds,
            estimates.per_derivation.builds,
            text.len() / 1_000_000,
        );
        let with_contexts = plan.jobs.iter().filter(|job| job.has_contexts()).count();
        // One graph has a single target, which the pattern does not match.
        assert_eq!(with_contexts > 0, settings != nothing && roots.len() > 1);
        if (name, what) == ("all100k", all) {
            assert_eq!((estimates.needed, estimates.flat.builds), (99_545, 27_826_004));
        }
    }
}

#[test]
fn derivations_of_every_kind() {
    check_real("derivations", &derivations(), "library-");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn real_graph_small() {
    check_real("small", &real("small"), "openssl-");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn real_graph_nixos() {
    check_real("nixos", &real("nixos"), "openssl-");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn real_graph_mix9() {
    check_real("mix9", &real("mix9"), "openssl-");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn real_graph_core2026() {
    check_real("core2026", &real("core2026"), "cairo-");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn real_graph_mid20k() {
    check_real("mid20k", &real("mid20k"), "cairo-");
}

#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn real_graph_all100k() {
    check_real("all100k", &real("all100k"), "cairo-");
}

/// The picture in README.md and docs/report.md: 200 packages of a real package set after a change of openssl.
#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn the_picture_of_a_real_plan_is_that_of_the_plan() {
    let scenario = graphs().join("scenarios/s2");
    let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
        .args(["graph", "--format", "svg", "--roots"])
        .arg(scenario.join("roots.json"))
        .arg("--drv-dir")
        .arg(real("core2026"))
        .arg("--available")
        .arg(scenario.join("available"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = String::from_utf8(output.stdout).unwrap();
    golden::check("docs/pictures/nixpkgs.svg", &picture);
    // What is said beside it.
    let jobs = format!("{} jobs", picture.matches("<title").count());
    assert!(picture.contains(&jobs), "{jobs}");
    for page in ["README.md", "docs/report.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        assert!(text.contains(&jobs), "{page}: {jobs}");
    }
}

/// The build counts of the scenarios that came with the graphs.
#[test]
#[ignore = "needs real graphs, in a folder that NIXDAG_GRAPHS names"]
fn scenarios() {
    let expected = [
        ("s1", "mid20k", 3757, 67_543, 47_176),
        ("s2", "core2026", 2343, 33_112, 8545),
        ("s3", "mid20k", 1371, 14_926, 8097),
        ("s4", "core2026", 12_858, 327_186, 25_816),
    ];
    for (scenario, graph, needed, flat, ordered) in expected {
        let dir = real(graph);
        let folder = graphs().join("scenarios").join(scenario);
        let roots_file = folder.join("roots.json");
        let available: HashSet<String> =
            fs::read_to_string(folder.join("available")).unwrap().lines().map(Into::into).collect();
        let text = plan(&roots_file, &dir, &available, Path::new("/dev/null"));
        let mut roots = read_roots(&roots_file);
        let closure = contract::read_closure(&mut roots, &dir);
        let plan = contract::check(&text, &roots, &closure, &available);
        assert_eq!(
            (plan.estimates.needed, plan.estimates.flat.builds, plan.estimates.ordered.builds),
            (needed, flat, ordered),
            "{scenario}"
        );
    }
}
