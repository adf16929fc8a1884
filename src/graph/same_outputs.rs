//! Outputs that several derivations have. The same file from two mirrors is one store path, and so is what is built from either of them in
//! the same way, as in two versions of nixpkgs: Nix takes a fixed output for what it is, not for where it comes from. A store has such an
//! output once, so one derivation stands for all that have it, and what only the others need is needed by nobody.
//!
//! In: derivations and their inputs. Out: who stands for whom. Of derivations with the same outputs that is the one with the shortest way to
//! what needs nothing, then the first by path: so whatever takes from the one that it stands for is still above it, no circle comes of
//! it, and it is the same in every graph that has both.

use std::collections::HashMap;

use super::{Node, Output};

/// A derivation whose depth is not known yet, and one whose inputs are looked at.
const UNKNOWN: u32 = u32::MAX;
const OPEN: u32 = u32::MAX - 1;

/// Who stands for each derivation, most of them for themselves. `inputs` are a derivation's, by number.
pub fn representatives<'a>(nodes: &[Node], inputs: impl Fn(u32) -> &'a [(u32, u32)]) -> Vec<u32> {
    let mut found: Vec<u32> = (0..nodes.len() as u32).collect();
    let mut classes: HashMap<&[Output], Vec<u32>> = HashMap::new();
    for (number, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_floating()) {
        classes.entry(&node.outputs).or_default().push(number as u32);
    }
    classes.retain(|_, class| class.len() > 1);
    let depths = if classes.is_empty() { None } else { depths(nodes.len(), inputs) };
    // On a cycle there is no depth: whoever orders the graph reports it.
    let Some(depths) = depths else { return found };
    let rank = |number: &u32| (depths[*number as usize], &nodes[*number as usize].base);
    for class in classes.values() {
        if let Some(&first) = class.iter().min_by_key(|number| rank(number)) {
            class.iter().for_each(|&number| found[number as usize] = first);
        }
    }
    found
}

/// The longest way from each derivation down to one without inputs; none where there is a cycle.
fn depths<'a>(count: usize, inputs: impl Fn(u32) -> &'a [(u32, u32)]) -> Option<Vec<u32>> {
    let mut depths = vec![UNKNOWN; count];
    let mut stack: Vec<(u32, usize)> = Vec::new();
    for start in 0..count as u32 {
        stack.push((start, 0));
        while let Some((node, next)) = stack.pop() {
            if next == 0 && depths[node as usize] != UNKNOWN {
                continue;
            }
            depths[node as usize] = OPEN;
            let list = inputs(node);
            let unknown = (next..list.len()).find(|&at| depths[list[at].0 as usize] >= OPEN);
            match unknown.map(|at| (at, list[at].0)) {
                Some((_, input)) if depths[input as usize] == OPEN => return None,
                Some((at, input)) => stack.extend([(node, at + 1), (input, 0)]),
                None => {
                    depths[node as usize] =
                        list.iter().map(|(input, _)| depths[*input as usize] + 1).max().unwrap_or(0);
                }
            }
        }
    }
    Some(depths)
}
