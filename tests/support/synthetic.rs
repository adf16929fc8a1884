//! Made-up derivation graphs: `.drv` files of any size and shape, the same for the same seed.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

#[path = "random.rs"] // benchmarks take this file by its path
mod random;
pub use random::Random;

/// One made-up derivation.
#[derive(Clone, Debug, Default)]
pub struct Drv {
    pub path: String,
    pub outputs: Vec<(String, Option<String>)>,
    pub inputs: Vec<(usize, Vec<String>)>,
    pub system: String,
    /// The hash of a fixed output, in base 16.
    pub fixed: Option<String>,
    pub local: bool,
}

/// Thirty-two characters of Nix's base 32.
pub fn hash(random: &mut Random) -> String {
    (0..32).map(|_| b"0123456789abcdfghijklmnpqrsvwxyz"[random.below(32)] as char).collect()
}

/// A graph of `size` derivations on these systems; `floating` percent of them have outputs without a path.
pub fn graph(random: &mut Random, size: usize, systems: &[&str], floating: u64) -> Vec<Drv> {
    let shape = random.below(4);
    let mut drvs: Vec<Drv> = Vec::new();
    for index in 0..size {
        let mut name = format!("n{}", random.below(size));
        let fixed = random.chance(25);
        let without_path = !fixed && random.chance(floating);
        let mut content = fixed.then(|| (0..4).map(|_| format!("{:016x}", random.next())).collect::<String>());
        // The same file from another mirror.
        if fixed
            && random.chance(30)
            && let Some(other) = drvs.iter().rev().find(|drv| drv.fixed.is_some())
        {
            content.clone_from(&other.fixed);
            name = other.path[44..].trim_end_matches(".drv").to_owned();
        }
        let path = |output: &str, random: &mut Random| {
            if let Some(content) = &content {
                return Some(fixed_path(&name, content));
            }
            (!without_path).then(|| {
                let suffix = if output == "out" { String::new() } else { format!("-{output}") };
                format!("/nix/store/{}-{name}{suffix}", hash(random))
            })
        };
        let outputs = if !fixed && random.chance(20) { vec!["dev", "out"] } else { vec!["out"] };
        let outputs: Vec<_> = outputs.iter().map(|output| (output.to_string(), path(output, random))).collect();
        let count = match shape {
            0 => usize::from(index > 0),             // a chain or a tree
            1 => random.below(3),                    // sparse
            2 => random.below(8),                    // dense
            _ => 1 + usize::from(random.chance(30)), // a hub and what is around it
        };
        let mut inputs: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for _ in 0..count.min(index) {
            let to = match shape {
                0 if random.chance(80) => index - 1,
                3 if random.chance(70) => 0,
                _ => index - 1 - random.below(index.min(20)),
            };
            let all: &Vec<(String, Option<String>)> = &drvs[to].outputs;
            let wanted = if random.chance(80) {
                vec![all[random.below(all.len())].0.clone()]
            } else {
                all.iter().map(|o| o.0.clone()).collect()
            };
            inputs.insert(to, wanted);
        }
        drvs.push(Drv {
            path: format!("/nix/store/{}-{name}.drv", hash(random)),
            outputs,
            inputs: inputs.into_iter().collect(),
            system: if random.chance(10) { "builtin".into() } else { systems[random.below(systems.len())].into() },
            fixed: content,
            local: random.chance(10),
        });
    }
    drvs
}

/// The path that Nix gives to a file of this content.
fn fixed_path(name: &str, hash: &str) -> String {
    let bytes = format!(
        "Derive([(\"out\",\"/nix/store/00000000000000000000000000000000-x\",\"sha256\",\"{hash}\")],[],[],\"x\",\"b\",[],[])"
    );
    let drv = nix_derivation::Derivation::from_aterm_bytes(bytes.as_bytes(), name).unwrap();
    drv.resolved_outputs().unwrap()["out"].path.as_ref().unwrap().to_absolute_path()
}

/// Writes the files, by their base names.
pub fn write(drvs: &[Drv], dir: &Path) {
    for drv in drvs {
        let mut text = String::from("Derive([");
        for (index, (name, path)) in drv.outputs.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let (algorithm, hash) = match (&drv.fixed, path) {
                (Some(hash), _) => ("sha256", hash.as_str()),
                (None, None) => ("r:sha256", ""),
                (None, Some(_)) => ("", ""),
            };
            let path = path.as_deref().unwrap_or("");
            write!(text, "{comma}(\"{name}\",\"{path}\",\"{algorithm}\",\"{hash}\")").unwrap();
        }
        text.push_str("],[");
        let mut inputs: Vec<_> = drv.inputs.iter().map(|(to, outputs)| (&drvs[*to].path, outputs)).collect();
        inputs.sort();
        for (index, (path, outputs)) in inputs.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let outputs: Vec<String> = outputs.iter().map(|output| format!("\"{output}\"")).collect();
            write!(text, "{comma}(\"{path}\",[{}])", outputs.join(",")).unwrap();
        }
        write!(text, "],[],\"{}\",\"/bin/sh\",[],[", drv.system).unwrap();
        if drv.local {
            text.push_str("(\"preferLocalBuild\",\"1\")");
        }
        text.push_str("])");
        fs::write(dir.join(drv.path.rsplit('/').next().unwrap()), text).unwrap();
    }
}
