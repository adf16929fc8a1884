//! What an evaluation depends on, as one digest: the same digest, the same result, on any machine.
//!
//! In: what `nix flake metadata` says about a flake, and what is asked of it. Out: a digest, or none where the result may depend on
//! something else: impure evaluation, inputs that are not locked.

use serde_json::{Map, Value, json};

use super::request::EvaluationRequest;
use super::systems::Systems;
use crate::nix::command::Nix;
use crate::nix::hash::Sha256;
use crate::nix::system;
use crate::pattern::Pattern;

/// Changes with the meaning of what evaluation gives.
const FORMAT: u32 = 4;

/// Where a tree was found, which evaluation does not see.
const PLACES: [&str; 2] = ["url", "path"];

/// The content of a flake and its inputs: source tree, revision, locks. `path` is where the store has the source, `locked` the
/// locked reference, `locks` the lock file.
pub fn of_flake(path: &str, locked: &Value, locks: &Value) -> Option<Value> {
    // The name of a source in the store follows from its content.
    let source = path.rsplit('/').next()?;
    let store_dir = path.strip_suffix(source)?;
    let mut nodes = Map::new();
    for (name, node) in locks.get("nodes")?.as_object()? {
        let mut kept = node.clone();
        let fields = kept.as_object_mut()?;
        fields.remove("original");
        if let Some(locked) = fields.get_mut("locked") {
            *locked = without_place(locked)?;
        }
        nodes.insert(name.clone(), kept);
    }
    let locked = without_local_place(locked)?;
    Some(json!({ "store": store_dir, "source": source, "locked": locked, "root": locks.get("root")?, "nodes": nodes }))
}

/// A locked input without the place of a local tree; none if nothing says what is in it.
fn without_place(locked: &Value) -> Option<Value> {
    let text = |key: &str| locked.get(key).and_then(Value::as_str);
    // A path below that of the flake belongs to its source.
    let is_below = text("type") == Some("path") && text("path").is_some_and(|path| !path.starts_with('/'));
    if is_below {
        return Some(locked.clone());
    }
    text("narHash")?;
    without_local_place(locked)
}

fn without_local_place(locked: &Value) -> Option<Value> {
    let mut fields = locked.as_object()?.clone();
    for place in PLACES {
        let is_local =
            |value: &Value| value.as_str().is_some_and(|text| text.starts_with('/') || text.starts_with("file:"));
        if fields.get(place).is_some_and(is_local) {
            fields.remove(place);
        }
    }
    Some(Value::Object(fields))
}

/// The digest of all that an evaluation depends on.
pub fn of_evaluation(nix: &Nix, flake: Option<&Value>, request: &EvaluationRequest) -> Option<Sha256> {
    if !request.is_pure() {
        return None;
    }
    let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let systems = match &request.systems {
        Systems::Current => json!([system::current()]),
        Systems::Listed(listed) => json!(listed),
        Systems::All => json!("all"),
    };
    let all = json!({
        "format": FORMAT,
        "nixdag": env!("CARGO_PKG_VERSION"),
        "nix": [nix.version().to_string(), nix.is_lix()],
        "flake": flake?,
        "select": texts(&request.select),
        "also": texts(&request.also),
        "exclude": texts(&request.exclude),
        "systems": systems,
        "depth": request.depth(),
        "import_from_derivation": request.allow_import_from_derivation,
        "options": request.options,
        "show_trace": request.show_trace,
        "flake_config": request.accept_flake_config,
    });
    Some(Sha256::of(all.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flake(source: &str, locked: Value, input: Value) -> Option<Value> {
        let locks = json!({ "nodes": { "root": { "inputs": { "b": "b" } }, "b": { "locked": input, "original": { "path": "x" } } }, "root": "root" });
        of_flake(&format!("/nix/store/{source}"), &locked, &locks)
    }

    #[test]
    fn places_do_not_count_and_contents_do() {
        let locked = |place: &str| json!({ "type": "git", "url": format!("file://{place}"), "rev": "1" });
        let input = |place: &str, hash: &str| json!({ "type": "path", "path": place, "narHash": hash });
        let one = flake("a-source", locked("/home/x"), input("/home/b", "h"));
        assert!(one.is_some());
        assert_eq!(one, flake("a-source", locked("/elsewhere"), input("/elsewhere/b", "h")));
        assert_ne!(one, flake("b-source", locked("/home/x"), input("/home/b", "h")));
        assert_ne!(one, flake("a-source", locked("/home/x"), input("/home/b", "g")));
        assert_ne!(one, flake("a-source", json!({ "type": "git", "rev": "2" }), input("/home/b", "h")));
    }

    #[test]
    fn what_nothing_locks_has_no_fingerprint() {
        let locked = json!({ "type": "git", "rev": "1" });
        assert_eq!(flake("a", locked.clone(), json!({ "type": "path", "path": "/b" })), None);
        assert!(flake("a", locked.clone(), json!({ "type": "path", "path": "./b" })).is_some());
        assert_eq!(of_flake("/nix/store/a", &locked, &json!({})), None);
        assert_eq!(of_flake("/nix/store/a", &json!(null), &json!({ "nodes": {}, "root": "root" })), None);
    }
}
