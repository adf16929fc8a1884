//! How a command finds restored outputs: a symlink each, and a variable each. In: targets and their derivations. Out: names that
//! cannot clash, cannot leave their folder, and stay the same from pipeline to pipeline.

use std::collections::{HashMap, HashSet};

use super::final_job::{MAX_LINK, RESTORED_VARIABLE, Restored, RestoredOutput};
use super::names;
use super::options::VARIABLE_PREFIX;
use crate::attribute::AttributePath;
use crate::graph::{DrvId, Graph};

/// Outputs that get variables: an environment of thousands fits neither into a configuration nor into a process.
const MAX_VARIABLES: usize = 200;

/// Longest part of a variable's name that comes from an attribute, in bytes.
const MAX_VARIABLE: usize = 100;

/// Names the outputs of targets for a command that runs on `system`.
pub fn name(graph: &Graph, targets: &[(&AttributePath, DrvId)], system: &str) -> Vec<Restored> {
    let mut restored: Vec<Restored> = targets
        .iter()
        .map(|&(attribute, id)| Restored {
            target: attribute.clone(),
            derivation: graph.path(id).into(),
            outputs: graph
                .node(id)
                .outputs
                .iter()
                .map(|output| RestoredOutput {
                    name: output.name.to_string(),
                    path: output.base.as_deref().map(|base| graph.full_path(base)),
                    link: link(attribute, &output.name),
                    variable: None,
                })
                .collect(),
        })
        .collect();
    if restored.iter().map(|target| target.outputs.len()).sum::<usize>() > MAX_VARIABLES {
        return restored;
    }
    let preferred: Vec<String> = restored
        .iter()
        .flat_map(|target| target.outputs.iter().map(|output| variable(&target.target, &output.name, system)))
        .collect();
    let mut count: HashMap<&str, usize> = HashMap::from([(RESTORED_VARIABLE, 1)]);
    for name in &preferred {
        *count.entry(name).or_default() += 1;
    }
    // The link is unique, so its hash tells equal names apart, whichever others there are.
    let mut taken = HashSet::new();
    let outputs = restored.iter_mut().flat_map(|target| &mut target.outputs);
    for (output, name) in outputs.zip(&preferred) {
        let mut name = name.clone();
        if count[name.as_str()] > 1 {
            name = format!("{name}_{}", names::hash(std::slice::from_ref(&output.link)));
        }
        let mut number = 1;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{name}_{number}");
        }
        output.variable = Some(name);
    }
    restored
}

/// `packages.x86_64-linux.d`, for another output than `out` with `^dev` behind, as Nix writes it. What a file name cannot hold, or
/// people would stumble over, is percent-encoded.
fn link(attribute: &AttributePath, output: &str) -> String {
    let mut text = attribute.to_string();
    if output != "out" {
        text.push('^');
        text.push_str(output);
    }
    let mut link = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c.is_alphanumeric() || "_-+^".contains(c) || (c == '.' && at > 0) {
            link.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                link.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    if link.len() > MAX_LINK {
        let mut end = MAX_LINK - 7;
        while !link.is_char_boundary(end) {
            end -= 1;
        }
        link = format!("{}~{}", &link[..end], names::hash(&[text]));
    }
    link
}

/// `NIXDAG_D` for the target `d` of the command's own system, `NIXDAG_D_DEV` for its output `dev`.
fn variable(attribute: &AttributePath, output: &str, system: &str) -> String {
    let mut text = names::label(attribute, system);
    if output != "out" {
        text.push('_');
        text.push_str(output);
    }
    let word = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    VARIABLE_PREFIX.chars().chain(word.take(MAX_VARIABLE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(names: &[&str]) -> AttributePath {
        names.iter().copied().collect()
    }

    #[test]
    fn links_stay_in_their_folder_and_apart() {
        let linux = "x86_64-linux";
        assert_eq!(link(&path(&["packages", linux, "d"]), "out"), "packages.x86_64-linux.d");
        assert_eq!(link(&path(&["packages", linux, "d"]), "dev"), "packages.x86_64-linux.d^dev");
        let hostile: Vec<Vec<&str>> = vec![
            vec![""],
            vec!["."],
            vec![".."],
            vec!["..", ".."],
            vec!["../../etc/passwd"],
            vec!["a", "b"],
            vec!["a.b"],
            vec!["a^b"],
            vec!["a/b"],
            vec!["a%2Fb"],
            vec!["a\0b"],
            vec!["a\nb"],
        ];
        let mut links: Vec<String> = hostile.iter().map(|names| link(&path(names), "out")).collect();
        links.push(link(&path(&["a"]), "b"));
        for link in &links {
            assert!(!link.starts_with('.') && !link.is_empty(), "{link}");
            assert!(!link.contains(['/', '\0', '\n']), "{link}");
        }
        assert_eq!(links.iter().collect::<HashSet<_>>().len(), links.len());
        let long = |last: char| link(&path(&["packages", &format!("{}{last}", "ü".repeat(300))]), "out");
        assert!(long('a').len() <= MAX_LINK && long('a') != long('b'));
    }

    #[test]
    fn variables_are_words() {
        let linux = "x86_64-linux";
        assert_eq!(variable(&path(&["packages", linux, "package-d"]), "out", linux), "NIXDAG_PACKAGE_D");
        assert_eq!(variable(&path(&["packages", linux, "d"]), "dev", linux), "NIXDAG_D_DEV");
        assert_eq!(variable(&path(&["packages", linux, "d"]), "out", "x"), "NIXDAG_PACKAGES_X86_64_LINUX_D");
        assert_eq!(variable(&path(&["checks", linux, "$(id)\n"]), "out", linux), "NIXDAG_CHECKS____ID__N_");
    }
}
