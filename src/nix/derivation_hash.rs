//! The digest that stands for a derivation in the name of a realisation: that of its text with each input named by the input's own
//! digest, and with its outputs' paths left out. How a fixed output comes by its content makes no difference.
//!
//! The scheme is that of Nix's `hashDerivationModulo`. In: parsed derivations, inputs before their consumers. Out: digests.

use std::collections::{BTreeMap, BTreeSet};

use super::aterm::Text;
use super::derivation::{Derivation, Output};
use super::hash::{Hasher, Sha256};

/// Whether the paths of the derivation's own outputs are part of the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// As inputs are named.
    Kept,
    /// As realisations are named.
    Masked,
}

/// The digest that stands for an output of a derivation for which [`Derivation::is_fixed_output`] is true.
pub fn of_fixed(output: &Output) -> Sha256 {
    let mut hasher = Hasher::default();
    let parts = [output.hash_algorithm, output.hash, output.path].map(Text::bytes);
    hasher.update(b"fixed:out");
    for part in &parts {
        hasher.update(b":");
        hasher.update(part);
    }
    hasher.finish()
}

/// The digest of any other derivation. `input` gives those of its inputs by path and output; where it does not know one, nor is this.
pub fn of(drv: &Derivation, paths: Paths, input: impl Fn(&str, &[u8]) -> Option<Sha256>) -> Option<Sha256> {
    if drv.dynamic {
        return None;
    }
    let mut inputs: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for taken in &drv.inputs {
        let path = taken.path.bytes();
        let path = std::str::from_utf8(&path).ok()?;
        for output in drv.outputs_of(taken) {
            let output = output.bytes().into_owned();
            inputs.entry(input(path, &output)?.base16()).or_default().insert(output);
        }
    }
    let is_masked =
        |name: &Text| paths == Paths::Masked && drv.outputs.iter().any(|output| output.name.is(&name.bytes()));
    let mut text = b"Derive(".to_vec();
    list(&mut text, &drv.outputs, |text, output| {
        let path = if paths == Paths::Masked { Text::default() } else { output.path };
        tuple(text, [output.name, path, output.hash_algorithm, output.hash].map(Text::raw));
    });
    text.push(b',');
    list(&mut text, &inputs, |text, (digest, outputs)| {
        text.extend_from_slice(b"(\"");
        text.extend_from_slice(digest.as_bytes());
        text.extend_from_slice(b"\",");
        list(text, outputs, |text, name| string(text, name));
        text.push(b')');
    });
    text.push(b',');
    list(&mut text, &drv.sources, |text, source| string(text, source.raw()));
    for single in [drv.system, drv.builder] {
        text.push(b',');
        string(&mut text, single.raw());
    }
    text.push(b',');
    list(&mut text, &drv.arguments, |text, argument| string(text, argument.raw()));
    text.push(b',');
    list(&mut text, &drv.environment, |text, (name, value)| {
        let value = if is_masked(name) { Text::default() } else { *value };
        tuple(text, [*name, value].map(Text::raw));
    });
    text.push(b')');
    Some(Sha256::of(&text))
}

pub(super) fn string(text: &mut Vec<u8>, raw: &[u8]) {
    text.push(b'"');
    text.extend_from_slice(raw);
    text.push(b'"');
}

pub(super) fn tuple<const N: usize>(text: &mut Vec<u8>, parts: [&[u8]; N]) {
    text.push(b'(');
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        string(text, part);
    }
    text.push(b')');
}

pub(super) fn list<T>(text: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    text.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        write(text, item);
    }
    text.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derivation_without_inputs_is_named_by_its_own_text() {
        let with = |path: &str| {
            format!(
                r#"Derive([("out","{path}","r:sha256","")],[],["/nix/store/s"],"x","/bin/sh",["-c","echo \"a\\\"\n"],[("name","a"),("out","{path}")])"#
            )
        };
        let (text, masked) = (with("/nix/store/a"), with(""));
        let drv = Derivation::parse(text.as_bytes()).unwrap();
        let digest = |paths| of(&drv, paths, |_, _| None).unwrap();
        assert_eq!(digest(Paths::Kept), Sha256::of(text.as_bytes()));
        assert_eq!(digest(Paths::Masked), Sha256::of(masked.as_bytes()));
    }

    #[test]
    fn inputs_are_named_by_their_digests_and_an_unknown_one_leaves_nothing_to_say() {
        let text = br#"Derive([("out","","","")],[("/nix/store/b.drv",["dev","out"]),("/nix/store/c.drv",["out"])],[],"x","b",[],[])"#;
        let drv = Derivation::parse(text).unwrap();
        // Two inputs with the same digest are one.
        let (same, other) = (Sha256([1; 32]), Sha256([0; 32]));
        let known = |path: &str, _: &[u8]| Some(if path.contains("b.drv") { same } else { other });
        let expected = format!(
            r#"Derive([("out","","","")],[("{}",["out"]),("{}",["dev","out"])],[],"x","b",[],[])"#,
            other.base16(),
            same.base16()
        );
        assert_eq!(of(&drv, Paths::Masked, known), Some(Sha256::of(expected.as_bytes())));
        let expected = format!(r#"Derive([("out","","","")],[("{}",["dev","out"])],[],"x","b",[],[])"#, same.base16());
        assert_eq!(of(&drv, Paths::Masked, |_, _| Some(same)), Some(Sha256::of(expected.as_bytes())));
        assert_eq!(of(&drv, Paths::Masked, |path, _| Some(same).filter(|_| path.contains("b.drv"))), None);
    }
}
