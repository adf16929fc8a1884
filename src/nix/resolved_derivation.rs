//! The derivation that Nix builds for one whose inputs are content-addressed: the same with the outputs of its inputs in the place of the inputs.
//! From Nix 2.35 on, what such a derivation turned out to have is known by the resolved derivation's path.
//!
//! The scheme is that of Nix's `Derivation::tryResolve` and `DownstreamPlaceholder::unknownCaOutput`. In: a parsed derivation, and what its inputs turned
//! out to have. Out: whether a path is that of the derivation as resolved.

use std::collections::{BTreeMap, BTreeSet};

use super::content_address;
use super::derivation::Derivation;
use super::derivation_hash::{list, string, tuple};
use super::hash::Sha256;
use super::store_path;

/// Characters of a placeholder: a slash, and a digest in Nix's base 32.
const PLACEHOLDER: usize = 1 + super::hash::SHA256_BASE32_LEN;

/// True if the derivation, resolved with the outputs that `input` gives for its inputs by path and output, has this path. False where `input` does not
/// know one.
pub fn is_at(path: &str, drv: &Derivation, input: impl Fn(&str, &str) -> Option<String>) -> bool {
    resolved(path, drv, input).is_some()
}

fn resolved(path: &str, drv: &Derivation, input: impl Fn(&str, &str) -> Option<String>) -> Option<()> {
    let (store_dir, base) = store_path::split(path).ok().filter(|_| !drv.dynamic)?;
    let name = base.get(store_path::HASH_LEN + 1..)?.strip_suffix(".drv")?;
    let mut sources: BTreeSet<String> = BTreeSet::new();
    for source in &drv.sources {
        sources.insert(String::from_utf8(source.bytes().into_owned()).ok()?);
    }
    let mut placeholders: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    for taken in &drv.inputs {
        let bytes = taken.path.bytes();
        let from = std::str::from_utf8(&bytes).ok()?;
        for output in drv.outputs_of(taken) {
            let bytes = output.bytes();
            let output = std::str::from_utf8(&bytes).ok()?;
            let found = input(from, output)?;
            placeholders.insert(placeholder(from, output)?.into_bytes(), found.clone());
            sources.insert(found);
        }
    }
    let is_deferred = |output: &super::derivation::Output| output.path.is(b"") && output.hash_algorithm.is(b"");
    // Paths of input-addressed outputs follow from the derivation without them.
    let mut own: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    if drv.outputs.iter().any(is_deferred) {
        let digest = Sha256::of(&text(drv, &sources, &placeholders, &own));
        for output in drv.outputs.iter().filter(|output| is_deferred(output)) {
            let bytes = output.name.bytes().into_owned();
            let of = std::str::from_utf8(&bytes).ok()?.to_owned();
            let suffix = if of == "out" { String::new() } else { format!("-{of}") };
            let inner = format!("sha256:{}", digest.base16());
            let made = content_address::make(&format!("output:{of}"), &inner, store_dir, &format!("{name}{suffix}"));
            own.insert(bytes, made);
        }
    }
    let digest = Sha256::of(&text(drv, &sources, &placeholders, &own));
    let references: Vec<String> = sources
        .iter()
        .map(|source| store_path::split(source).map(|(_, base)| base.to_owned()))
        .collect::<Result<_, _>>()
        .ok()?;
    content_address::leads_to(&format!("text:sha256:{}", digest.base32()), path, &references).then_some(())
}

/// What stands for the path of a content-addressed output in those that take it.
fn placeholder(drv: &str, output: &str) -> Option<String> {
    let (_, base) = store_path::split(drv).ok()?;
    let (hash, name) = base.split_at_checked(store_path::HASH_LEN)?;
    let name = name.strip_prefix('-')?.strip_suffix(".drv")?;
    let suffix = if output == "out" { String::new() } else { format!("-{output}") };
    Some(format!("/{}", Sha256::of(format!("nix-upstream-output:{hash}:{name}{suffix}").as_bytes()).base32()))
}

/// The text of the resolved derivation; `own` are paths of its outputs that are known.
fn text(
    drv: &Derivation,
    sources: &BTreeSet<String>,
    placeholders: &BTreeMap<Vec<u8>, String>,
    own: &BTreeMap<Vec<u8>, String>,
) -> Vec<u8> {
    let put = |raw: &[u8]| rewritten(raw, placeholders);
    let mut text = b"Derive(".to_vec();
    list(&mut text, &drv.outputs, |text, output| {
        let path = own.get(&*output.name.bytes()).map_or(output.path.raw(), |path| path.as_bytes());
        tuple(text, [output.name.raw(), path, output.hash_algorithm.raw(), output.hash.raw()]);
    });
    text.extend_from_slice(b",[],");
    list(&mut text, sources, |text, source| string(text, source.as_bytes()));
    for single in [drv.system, drv.builder] {
        text.push(b',');
        string(&mut text, &put(single.raw()));
    }
    text.push(b',');
    list(&mut text, &drv.arguments, |text, argument| string(text, &put(argument.raw())));
    text.push(b',');
    list(&mut text, &drv.environment, |text, (name, value)| {
        let value = own.get(&*name.bytes()).map_or_else(|| put(value.raw()), |path| path.clone().into_bytes());
        tuple(text, [name.raw(), value.as_slice()]);
    });
    text.push(b')');
    text
}

/// A string, still escaped, with what placeholders stand for in their places: nothing in either of them is escaped.
fn rewritten(raw: &[u8], placeholders: &BTreeMap<Vec<u8>, String>) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let found = raw.get(at..at + PLACEHOLDER).and_then(|part| placeholders.get(part));
        match found.filter(|_| raw[at] == b'/') {
            Some(path) => {
                text.extend_from_slice(path.as_bytes());
                at += PLACEHOLDER;
            }
            None => {
                text.push(raw[at]);
                at += 1;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Derivations of a flake, and where Nix 2.35.3 said what they turned out to have: names, paths as resolved and of the outputs.
    const KNOWN: [(&str, &str, &str); 4] = [
        (
            "lzq127bq9wh9p5xlf4xl5cn0p55mq574-x",
            "lzq127bq9wh9p5xlf4xl5cn0p55mq574-x",
            "ccp3f1d7f815g7iwqyxrkj24wxmv6gh5-x",
        ),
        (
            "6i7q2hddndmj6c8azldba3ca8fq9yr92-y",
            "s26dicqf1zhp040n0xkx5srd6ik5x5xq-y",
            "kn4jj37fv5sbnv6griskma87c6ffsdy8-y",
        ),
        (
            "nw0g7gwjrdbpvdrlap1hx21m5lkyvzfr-z",
            "lhlj5nw7hfarrnz0s2iy6vkx9iicqq3v-z",
            "rcsr8ppl7x9hdwr9j3lbl4c8qdvzbxsh-z",
        ),
        (
            "r15vkci6fzphk8qxb8i6mnz50x5qg5j1-plain",
            "w6390wsk8z6bvpi06qxq3pxzmwmh1zsx-plain",
            "9va0l8inlz7ypas66ljy2qwcyjggbz9l-plain",
        ),
    ];

    #[test]
    fn derivations_are_resolved_as_nix_2_35_resolves_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/build-traces");
        let output = |drv: &str, output: &str| {
            let found =
                KNOWN.iter().find(|(planned, ..)| drv == format!("/nix/store/{planned}.drv") && output == "out");
            found.map(|(_, _, output)| format!("/nix/store/{output}"))
        };
        for (planned, at, _) in KNOWN {
            let bytes = std::fs::read(format!("{folder}/{planned}.drv")).unwrap();
            let drv = Derivation::parse(&bytes).unwrap();
            assert!(is_at(&format!("/nix/store/{at}.drv"), &drv, output), "{planned}");
            // With another output below, or an unknown one, or elsewhere.
            assert!(
                drv.inputs.is_empty()
                    || !is_at(&format!("/nix/store/{at}.drv"), &drv, |_, _| output(
                        "/nix/store/lzq127bq9wh9p5xlf4xl5cn0p55mq574-x.drv",
                        "out"
                    )
                    .map(|path| path + "x"))
            );
            assert!(drv.inputs.is_empty() || !is_at(&format!("/nix/store/{at}.drv"), &drv, |_, _| None));
            for (_, other, _) in KNOWN.iter().filter(|(_, other, _)| *other != at) {
                assert!(!is_at(&format!("/nix/store/{other}.drv"), &drv, output));
            }
        }
    }
}
