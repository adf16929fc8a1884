//! What differs between the definitions of two derivations, beyond the paths of their inputs.
//!
//! In: a derivation of the head, its counterpart at the base, and how their inputs are paired. Out: [`Change`]s, with values cut
//! to what differs and fit for a terminal. Each path of a paired input, of a source and of an own output is taken for the same on
//! both sides, so that what remains is what somebody wrote.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::pairing::Pairing;
use super::source_files;
use super::values::{Side, cut, is_base32, show};
use crate::graph::{DrvId, Graph, OutputSet};
use crate::nix::aterm::Text;
use crate::nix::derivation::Derivation;
use crate::nix::store_path;
use crate::printable::printable;

/// The variable that holds all structured attributes.
const STRUCTURED: &[u8] = b"__json";

/// What a change is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file or folder that is no output of a derivation.
    Source,
    /// A variable of the environment, or a structured attribute.
    Environment,
    /// The program that builds it.
    Builder,
    /// One of the builder's arguments, counted from 1.
    Argument,
    /// The system that it is built on.
    System,
    /// One of its outputs: whether it has it, or the content that is known beforehand.
    Output,
    /// A derivation that it takes outputs from.
    Dependency,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What it is in.
    pub kind: Kind,
    /// Name of the variable, number of the argument, name of the output, the dependency or the source; else empty.
    pub name: String,
    /// At the base, cut; none where it is not there.
    pub old: Option<String>,
    /// At the head, cut; none where it is not there.
    pub new: Option<String>,
    /// Of a source the files that differ, where the store has both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Of a source that is a file by itself how it differs, where the store has both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// All differences, in a fixed order.
pub fn changes(
    graph: &Graph,
    (head, head_drv): (DrvId, &Derivation),
    (base, base_drv): (DrvId, &Derivation),
    pairing: &Pairing,
) -> Vec<Change> {
    let mut found = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let side = |drv| Side::new(drv, graph.store_dir());
    let (mut new, mut old) = (side(head_drv), side(base_drv));

    for (head, base) in pairing.pairs.iter().copied().chain([(head, base)]) {
        let outputs = |id: DrvId| graph.node(id).outputs.iter();
        for output in outputs(head) {
            if let Some(path) = &output.base {
                new.know(path.as_bytes(), names.len());
            }
            let partner = outputs(base).find(|other| other.name == output.name);
            if let Some(path) = partner.and_then(|partner| partner.base.as_ref()) {
                old.know(path.as_bytes(), names.len());
            }
            names.push(output.base.as_deref().map_or_else(String::new, |base| store_path::name_of(base).to_owned()));
        }
    }
    for (ids, side) in [(&pairing.added, &mut new), (&pairing.removed, &mut old)] {
        for output in ids.iter().flat_map(|&id| graph.node(id).outputs.iter()) {
            if let Some(path) = &output.base {
                side.know(path.as_bytes(), names.len());
                names.push(store_path::name_of(path).to_owned());
            }
        }
    }
    sources(&mut new, &mut old, &mut names, &mut found);

    environment(&new, &old, &names, &mut found);
    let mut compare = |kind, name: String, old: Option<Cow<[u8]>>, new: Option<Cow<[u8]>>| {
        found.extend(change(kind, name, old.as_deref(), new.as_deref(), &names));
    };
    compare(
        Kind::Builder,
        String::new(),
        Some(old.normal(&base_drv.builder.bytes())),
        Some(new.normal(&head_drv.builder.bytes())),
    );
    compare(Kind::System, String::new(), Some(base_drv.system.bytes()), Some(head_drv.system.bytes()));
    for at in 0..head_drv.arguments.len().max(base_drv.arguments.len()) {
        let argument = |side: &Side| Some(side.normal(&side.drv.arguments.get(at)?.bytes()).into_owned());
        compare(Kind::Argument, (at + 1).to_string(), argument(&old).map(Cow::Owned), argument(&new).map(Cow::Owned));
    }
    outputs(&new, &old, &mut found);

    let name = |id: DrvId| graph.node(id).name().to_owned();
    let taken = |id: DrvId, of: DrvId| taken_outputs(graph, id, of);
    found.extend(pairing.added.iter().map(|&id| Change {
        kind: Kind::Dependency,
        name: printable(&name(id)),
        old: None,
        new: Some(taken(head, id)),
        files: Vec::new(),
        content: None,
    }));
    found.extend(pairing.removed.iter().map(|&id| Change {
        kind: Kind::Dependency,
        name: printable(&name(id)),
        old: Some(taken(base, id)),
        new: None,
        files: Vec::new(),
        content: None,
    }));
    for &(now, before) in &pairing.pairs {
        let (new, old) = (taken(head, now), taken(base, before));
        if new != old {
            found.push(Change {
                kind: Kind::Dependency,
                name: printable(&name(now)),
                old: Some(old),
                new: Some(new),
                files: Vec::new(),
                content: None,
            });
        }
    }
    // What a dependency's coming and going does to variables is seen by itself; the hash of a fetch stands in its variables.
    let hash_is_said = found.iter().any(|change| change.kind == Kind::Environment && change.name == "outputHash");
    found.retain(|change| change.kind != Kind::Output || !hash_is_said || change.old.is_none() || change.new.is_none());
    found.sort();
    found
}

/// The names of the outputs that one derivation takes from another.
fn taken_outputs(graph: &Graph, consumer: DrvId, of: DrvId) -> String {
    let input = graph.inputs(consumer).iter().find(|input| input.drv == of);
    let set = input.map_or_else(OutputSet::default, |input| input.outputs);
    let outputs = graph.node(of).outputs.iter().enumerate().filter(|(index, _)| set.has(*index));
    printable(&outputs.map(|(_, output)| &*output.name).collect::<Vec<_>>().join(", "))
}

/// Pairs sources by name, gives each pair a word, and notes those that differ.
fn sources<'d>(new: &mut Side<'d>, old: &mut Side<'d>, names: &mut Vec<String>, found: &mut Vec<Change>) {
    let by_name = |side: &Side| {
        let mut sources: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for path in &side.drv.sources {
            let path = path.bytes();
            let base = path.strip_prefix(side.store_dir.as_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
            let base = base.unwrap_or(&path).to_vec();
            let name = source_name(&String::from_utf8_lossy(&base)).to_owned();
            sources.entry(name).or_default().push(base);
        }
        sources
    };
    let (mut at_head, mut at_base) = (by_name(new), by_name(old));
    let all: BTreeSet<String> = at_head.keys().chain(at_base.keys()).cloned().collect();
    for name in all {
        let (mut now, mut before) =
            (at_head.remove(&name).unwrap_or_default(), at_base.remove(&name).unwrap_or_default());
        // The same path means the same content.
        let same: Vec<Vec<u8>> = now.iter().filter(|path| before.contains(path)).cloned().collect();
        now.retain(|path| !same.contains(path));
        before.retain(|path| !same.contains(path));
        for at in 0..now.len().max(before.len()) {
            let place = |side: &Side, path: &[u8]| Path::new(side.store_dir).join(OsStr::from_bytes(path));
            let shown = |side: &Side, path: &Vec<u8>| {
                printable(&format!("{}/{}", side.store_dir, String::from_utf8_lossy(path)))
            };
            let sides = before.get(at).zip(now.get(at)).map(|(was, is)| (place(old, was), place(new, is)));
            found.push(Change {
                kind: Kind::Source,
                name: printable(&name),
                old: before.get(at).map(|path| shown(old, path)),
                new: now.get(at).map(|path| shown(new, path)),
                files: sides.as_ref().map_or_else(Vec::new, |(was, is)| source_files::differing(was, is)),
                content: sides.as_ref().and_then(|(was, is)| source_files::content(was, is)),
            });
            for (path, side) in [(now.get(at), &mut *new), (before.get(at), &mut *old)] {
                if let Some(path) = path {
                    side.know(path, names.len());
                }
            }
            names.push(name.clone());
        }
    }
}

/// The name of a source; that of a copy of another one begins with the hash of its path.
fn source_name(base: &str) -> &str {
    let name = store_path::name_of(base);
    let (hash, rest) = name.split_at_checked(store_path::HASH_LEN).unwrap_or_default();
    rest.strip_prefix('-').filter(|rest| !rest.is_empty() && hash.bytes().all(is_base32)).unwrap_or(name)
}

fn outputs(new: &Side, old: &Side, found: &mut Vec<Change>) {
    let by_name = |side: &Side| -> BTreeMap<Vec<u8>, String> {
        let describe = |hash: Text, algorithm: Text| match hash.is_empty() && algorithm.is_empty() {
            true => "from its inputs".to_owned(),
            false => printable(&String::from_utf8_lossy(&[&*algorithm.bytes(), b":", &*hash.bytes()].concat())),
        };
        let outputs = side.drv.outputs.iter();
        outputs.map(|output| (output.name.bytes().into_owned(), describe(output.hash, output.hash_algorithm))).collect()
    };
    let (now, before) = (by_name(new), by_name(old));
    for name in now.keys().chain(before.keys().filter(|name| !now.contains_key(*name))) {
        if now.get(name) != before.get(name) {
            found.push(Change {
                kind: Kind::Output,
                name: printable(&String::from_utf8_lossy(name)),
                old: before.get(name).cloned(),
                new: now.get(name).cloned(),
                files: Vec::new(),
                content: None,
            });
        }
    }
}

/// True where both have the same variables, in their order, with the same normal values: so it is for nearly all derivations of a change.
fn has_same_environment(new: &Side, old: &Side) -> bool {
    let (now, before) = (&new.drv.environment, &old.drv.environment);
    let mut pairs = now.iter().zip(before);
    now.len() == before.len()
        && pairs.all(|((name, value), (other_name, other))| {
            name.bytes() == other_name.bytes() && new.normal(&value.bytes()) == old.normal(&other.bytes())
        })
}

fn environment(new: &Side, old: &Side, names: &[String], found: &mut Vec<Change>) {
    if has_same_environment(new, old) {
        return;
    }
    let variables = |side: &Side| -> BTreeMap<Vec<u8>, Vec<u8>> {
        let each = side.drv.environment.iter();
        each.map(|(name, value)| (name.bytes().into_owned(), side.normal(&value.bytes()).into_owned())).collect()
    };
    let (mut now, mut before) = (variables(new), variables(old));
    // Each structured attribute is compared by itself, where both sides have them.
    if let (Some(head), Some(base)) = (structured(&now), structured(&before)) {
        now.remove(STRUCTURED);
        before.remove(STRUCTURED);
        now.extend(head);
        before.extend(base);
    }
    for name in now.keys().chain(before.keys().filter(|name| !now.contains_key(*name))) {
        let shown = printable(&String::from_utf8_lossy(name));
        found.extend(change(
            Kind::Environment,
            shown,
            before.get(name).map(Vec::as_slice),
            now.get(name).map(Vec::as_slice),
            names,
        ));
    }
}

fn structured(variables: &BTreeMap<Vec<u8>, Vec<u8>>) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let object: serde_json::Map<String, Value> = serde_json::from_slice(variables.get(STRUCTURED)?).ok()?;
    let text = |value: Value| match value {
        Value::String(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    };
    Some(object.into_iter().map(|(name, value)| (name.into_bytes(), text(value))).collect())
}

/// The change from one normal value to another, if they differ.
fn change(kind: Kind, name: String, old: Option<&[u8]>, new: Option<&[u8]>, names: &[String]) -> Option<Change> {
    if old == new {
        return None;
    }
    let (old, new) = (old.map(|value| show(value, names)), new.map(|value| show(value, names)));
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => {
            let (old, new) = cut(&old, &new);
            (Some(old), Some(new))
        }
        (old, new) => (old.map(|value| cut(&value, "").0), new.map(|value| cut(&value, "").0)),
    };
    Some(Change { kind, name, old, new, files: Vec::new(), content: None })
}
