//! An independent check of the plan's contract: reads the plan as any other program would, and the `.drv` files with another
//! reader than nixdag's. In: a plan as JSON, roots, a folder of `.drv` files, what is available. Out: panics that say what is wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

/// A plan as its JSON says; only what is checked.
#[derive(Deserialize)]
pub struct Plan<'a> {
    pub version: u64,
    pub store_dir: &'a str,
    #[serde(borrow)]
    pub jobs: Vec<Job<'a>>,
    #[serde(default)]
    pub same_as: BTreeMap<String, String>,
    pub skipped: Vec<Skipped>,
    pub estimates: Estimates,
}

#[derive(Deserialize)]
pub struct Job<'a> {
    pub id: &'a str,
    pub name: String,
    pub system: &'a str,
    pub targets: Vec<Vec<String>>,
    #[serde(borrow)]
    pub derivations: Vec<&'a str>,
    #[serde(borrow)]
    pub co_located: Vec<&'a str>,
    #[serde(borrow)]
    pub requires: Vec<&'a str>,
    #[serde(borrow)]
    pub inputs: Vec<&'a str>,
    #[serde(default)]
    pub options: serde_json::Value,
}

impl Job<'_> {
    pub fn has_contexts(&self) -> bool {
        self.options.get("context").is_some()
    }
}

#[derive(Deserialize)]
pub struct Skipped {
    pub target: Vec<String>,
    pub reason: String,
}

#[derive(Deserialize)]
pub struct Estimates {
    pub needed: usize,
    pub duplicates: usize,
    pub lower_bound_seconds: f64,
    pub plan: Strategy,
    pub flat: Strategy,
    pub ordered: Strategy,
    pub per_derivation: Strategy,
}

#[derive(Deserialize)]
pub struct Strategy {
    pub jobs: usize,
    pub builds: usize,
    pub makespan_seconds: f64,
    pub job_seconds: f64,
}

/// A derivation as the checker knows it.
pub struct Drv {
    pub system: String,
    /// Output name to path; none where only the build tells.
    pub outputs: BTreeMap<String, Option<String>>,
    /// Path to the names of the outputs taken.
    pub inputs: BTreeMap<String, BTreeSet<String>>,
}

/// The closure of some roots, by path. One derivation stands for all that have the same outputs, which only fixed ones can: inputs and roots
/// name it instead.
pub fn read_closure(roots: &mut BTreeMap<Vec<String>, String>, dir: &Path) -> HashMap<String, Drv> {
    let mut closure = read_named_closure(roots.values(), dir);
    let mut depths = HashMap::new();
    let mut by_outputs: BTreeMap<_, Vec<(usize, String)>> = BTreeMap::new();
    for (path, drv) in &closure {
        if !drv.outputs.is_empty() && drv.outputs.values().all(Option::is_some) {
            by_outputs.entry(drv.outputs.clone()).or_default().push((0, path.clone()));
        }
    }
    let mut stands = HashMap::new();
    for (_, mut class) in by_outputs.into_iter().filter(|(_, class)| class.len() > 1) {
        class.iter_mut().for_each(|(depth, path)| *depth = depth_of(path, &closure, &mut depths));
        class.sort();
        let (_, first) = class.remove(0);
        stands.extend(class.into_iter().map(|(_, path)| (path, first.clone())));
    }
    let stand = |path: String| stands.get(&path).cloned().unwrap_or(path);
    for drv in closure.values_mut() {
        let mut inputs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, outputs) in std::mem::take(&mut drv.inputs) {
            inputs.entry(stand(path)).or_default().extend(outputs);
        }
        drv.inputs = inputs;
    }
    roots.values_mut().for_each(|path| *path = stand(std::mem::take(path)));
    closure
}

/// The longest way down, without recursion.
fn depth_of(path: &str, closure: &HashMap<String, Drv>, depths: &mut HashMap<String, usize>) -> usize {
    let mut stack = vec![path.to_owned()];
    while let Some(path) = stack.last().cloned() {
        let unknown: Vec<String> =
            closure[&path].inputs.keys().filter(|input| !depths.contains_key(*input)).cloned().collect();
        if unknown.is_empty() {
            let depth = closure[&path].inputs.keys().map(|input| depths[input] + 1).max().unwrap_or(0);
            depths.insert(path, depth);
            stack.pop();
        }
        stack.extend(unknown);
    }
    depths[path]
}

/// The closure as the files have it.
fn read_named_closure<'a>(roots: impl IntoIterator<Item = &'a String>, dir: &Path) -> HashMap<String, Drv> {
    let mut closure = HashMap::new();
    let mut stack: Vec<String> = roots.into_iter().cloned().collect();
    while let Some(path) = stack.pop() {
        if closure.contains_key(&path) {
            continue;
        }
        let base = path.rsplit('/').next().unwrap();
        let name = base[33..].strip_suffix(".drv").unwrap();
        let bytes = std::fs::read(dir.join(base)).unwrap();
        let drv =
            nix_derivation::Derivation::from_aterm_bytes(&bytes, name).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        let outputs = drv.resolved_outputs().unwrap();
        let outputs = outputs.into_iter().map(|(name, output)| (name, output.path.map(|path| path.to_absolute_path())));
        let inputs: BTreeMap<String, BTreeSet<String>> = drv
            .input_derivations()
            .iter()
            .map(|(path, input)| {
                let names = input.outputs().iter().chain(input.dynamic_outputs().keys()).cloned().collect();
                (path.to_absolute_path(), names)
            })
            .collect();
        let json: serde_json::Value = serde_json::from_slice(&drv.to_json_bytes().unwrap()).unwrap();
        let system = json["system"].as_str().unwrap().to_owned();
        stack.extend(inputs.keys().cloned());
        closure.insert(path, Drv { system, outputs: outputs.collect(), inputs });
    }
    closure
}

/// What must be built: from the targets down through derivations some wanted output of which is not available.
pub fn needed<'a>(
    closure: &'a HashMap<String, Drv>,
    roots: impl IntoIterator<Item = &'a str>,
    available: &HashSet<String>,
) -> HashSet<&'a str> {
    let mut needed = HashSet::new();
    let mut asked: HashSet<(&str, &str)> = HashSet::new();
    let mut stack: Vec<(&str, &str)> = Vec::new();
    for root in roots {
        if closure[root].outputs.is_empty() {
            stack.push((root, ""));
        }
        stack.extend(closure[root].outputs.keys().map(|output| (root, output.as_str())));
    }
    while let Some((path, output)) = stack.pop() {
        if !asked.insert((path, output)) {
            continue;
        }
        let drv = &closure[path];
        let exists = drv.outputs.get(output).and_then(Option::as_ref).is_some_and(|path| available.contains(path));
        if exists || !needed.insert(path) {
            continue;
        }
        for (input, outputs) in &drv.inputs {
            stack.extend(outputs.iter().map(|output| (input.as_str(), output.as_str())));
        }
    }
    needed
}

/// Checks every rule of the contract; gives the plan.
pub fn check<'a>(
    json: &'a [u8],
    roots: &BTreeMap<Vec<String>, String>,
    closure: &HashMap<String, Drv>,
    available: &HashSet<String>,
) -> Plan<'a> {
    let plan: Plan = serde_json::from_slice(json).unwrap();
    assert_eq!(plan.version, 1);
    let needed = needed(closure, roots.values().map(String::as_str), available);
    assert_eq!(plan.estimates.needed, needed.len(), "needed");

    let mut position: HashMap<&str, usize> = HashMap::new();
    let mut names = HashSet::new();
    for (at, job) in plan.jobs.iter().enumerate() {
        let mut bytes = job.id.bytes();
        assert!(job.id.len() <= 63 && bytes.next().is_some_and(|b| b.is_ascii_lowercase()), "{}", job.id);
        assert!(bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-'), "{}", job.id);
        assert!(position.insert(job.id, at).is_none(), "id {} twice", job.id);
        assert!(names.insert(job.name.to_lowercase()), "name {} twice", job.name);
    }

    let mut owner: HashMap<&str, usize> = HashMap::new();
    let mut co_located: HashSet<&str> = HashSet::new();
    let mut builds = 0;
    for (at, job) in plan.jobs.iter().enumerate() {
        for &path in &job.derivations {
            assert!(needed.contains(path), "{} builds {path}, which nobody needs", job.id);
            assert!(owner.insert(path, at).is_none(), "{path} has two owners");
        }
        co_located.extend(&job.co_located);
        builds += job.derivations.len() + job.co_located.len();
    }
    for &path in &needed {
        assert!(owner.contains_key(path) != co_located.contains(path), "{path} is owned and co-located, or neither");
    }
    for (path, stands) in &plan.same_as {
        assert!(needed.contains(stands.as_str()) && !needed.contains(path.as_str()), "{path} is the same as {stands}");
        assert_eq!(closure[path].outputs, closure[stands].outputs, "{path} is the same as {stands}");
    }
    assert!(co_located.iter().all(|path| needed.contains(path)), "something co-located is not needed");
    assert_eq!(plan.estimates.plan.builds, builds);
    assert_eq!(plan.estimates.plan.jobs, plan.jobs.len());
    assert_eq!(plan.estimates.duplicates, builds - needed.len());

    let mut completed: BTreeMap<&[String], usize> = BTreeMap::new();
    for (at, job) in plan.jobs.iter().enumerate() {
        for target in &job.targets {
            assert!(completed.insert(target, at).is_none(), "target {target:?} twice");
        }
    }
    let skipped: HashMap<&[String], &str> =
        plan.skipped.iter().map(|skipped| (skipped.target.as_slice(), skipped.reason.as_str())).collect();
    for (attribute, path) in roots {
        match (completed.get(attribute.as_slice()), needed.contains(path.as_str())) {
            (Some(&at), true) => assert_eq!(owner.get(path.as_str()), Some(&at), "target {attribute:?}"),
            (None, false) => assert_eq!(skipped.get(attribute.as_slice()), Some(&"available"), "target {attribute:?}"),
            (found, _) => panic!("target {attribute:?}: job {found:?}"),
        }
    }
    assert_eq!(completed.len() + skipped.len(), roots.len());

    let targets: HashSet<&str> = roots.values().map(String::as_str).collect();
    for job in plan.jobs.iter().filter(|job| job.has_contexts()) {
        let only_targets = job.derivations.iter().all(|path| targets.contains(path));
        assert!(only_targets && job.co_located.is_empty(), "{} has contexts and builds more than its targets", job.id);
    }

    let mut built = HashSet::new();
    for job in &plan.jobs {
        built.clear();
        built.extend(job.derivations.iter().chain(&job.co_located).copied());
        let inputs: HashSet<&str> = job.inputs.iter().copied().collect();
        for list in [&job.derivations, &job.co_located] {
            let place: HashMap<&str, usize> = list.iter().enumerate().map(|(at, &path)| (path, at)).collect();
            for (at, &path) in list.iter().enumerate() {
                let drv = &closure[path];
                assert!(drv.system == job.system || drv.system == "builtin", "{path} in a job of {}", job.system);
                for input in drv.inputs.keys().map(String::as_str) {
                    assert!(
                        place.get(input).is_none_or(|&before| before < at),
                        "{} builds {path} before {input}",
                        job.id
                    );
                    if needed.contains(input) && !built.contains(input) {
                        let from = owner.get(input).unwrap_or_else(|| panic!("{} takes co-located {input}", job.id));
                        assert!(inputs.contains(plan.jobs[*from].id), "{} lacks {input}", job.id);
                    }
                }
            }
        }
    }
    check_order(&plan, &position);
    plan
}

/// `requires` is acyclic and reduced, `inputs` is its closure, jobs stand in topological order and then by id.
fn check_order(plan: &Plan, position: &HashMap<&str, usize>) {
    let mut closures: Vec<Vec<usize>> = Vec::with_capacity(plan.jobs.len());
    let mut mark = vec![usize::MAX; plan.jobs.len()];
    for (at, job) in plan.jobs.iter().enumerate() {
        let requires: Vec<usize> = job.requires.iter().map(|id| position[id]).collect();
        assert!(requires.iter().all(|&other| other < at), "{} stands before what it requires", job.id);
        let mut closure = Vec::new();
        for &other in &requires {
            for &below in &closures[other] {
                if mark[below] != at {
                    mark[below] = at;
                    closure.push(below);
                }
            }
        }
        for &other in &requires {
            assert!(mark[other] != at, "{} requires {} twice over", job.id, plan.jobs[other].id);
            mark[other] = at;
            closure.push(other);
        }
        closure.sort_unstable();
        let mut inputs: Vec<usize> = job.inputs.iter().map(|id| position[id]).collect();
        inputs.sort_unstable();
        assert_eq!(inputs, closure, "inputs of {}", job.id);
        closures.push(closure);
    }
    // By id where the order is free: whoever could stand earlier has a smaller id than whoever does.
    let mut waiting: Vec<usize> = plan.jobs.iter().map(|job| job.requires.len()).collect();
    let mut ready: BTreeSet<&str> = plan.jobs.iter().filter(|job| job.requires.is_empty()).map(|job| job.id).collect();
    let mut consumers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, job) in plan.jobs.iter().enumerate() {
        for id in &job.requires {
            consumers.entry(id).or_default().push(at);
        }
    }
    for job in &plan.jobs {
        assert_eq!(ready.pop_first(), Some(job.id), "jobs stand in topological order, then by id");
        for &consumer in consumers.get(job.id).into_iter().flatten() {
            waiting[consumer] -= 1;
            if waiting[consumer] == 0 {
                ready.insert(plan.jobs[consumer].id);
            }
        }
    }
}

/// Builds of *flat* and *ordered*, by sets made the slow way.
pub fn baseline_builds(
    closure: &HashMap<String, Drv>,
    roots: &BTreeMap<Vec<String>, String>,
    needed: &HashSet<&str>,
) -> (usize, usize) {
    let targets: BTreeSet<&str> = roots.values().map(String::as_str).filter(|path| needed.contains(path)).collect();
    let below: HashMap<&str, HashSet<&str>> = targets
        .iter()
        .map(|&target| {
            let (mut seen, mut stack) = (HashSet::new(), vec![target]);
            while let Some(path) = stack.pop() {
                if needed.contains(path) && seen.insert(path) {
                    stack.extend(closure[path].inputs.keys().map(String::as_str));
                }
            }
            (target, seen)
        })
        .collect();
    let (mut flat, mut ordered) = (0, 0);
    for (&target, seen) in &below {
        flat += seen.len();
        let others: Vec<_> = targets.iter().filter(|&&other| other != target && seen.contains(other)).collect();
        ordered += seen.iter().filter(|path| !others.iter().any(|other| below[*other].contains(*path))).count();
    }
    (flat, ordered)
}
