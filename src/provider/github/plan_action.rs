//! nixdag's action `plan` in a repository's workflow. In: the file. Out: the inputs that it is given, once for each time that it is used.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_yaml::Value;

use crate::provider::parameters::{documents, given};

/// How the action's address ends, less its version.
const ACTION: &str = "/nixdag/github/plan";

/// Reads the file; nothing where there is none.
pub fn read(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    Ok(documents(path)?.iter().flat_map(used).collect())
}

fn used(document: &Value) -> Vec<BTreeMap<String, String>> {
    let jobs = document.get("jobs").and_then(Value::as_mapping).into_iter().flatten().map(|(_, job)| job);
    let steps = jobs.filter_map(|job| job.get("steps")?.as_sequence()).flatten();
    steps.filter(|step| is_ours(step)).map(|step| given(step.get("with"))).collect()
}

fn is_ours(step: &Value) -> bool {
    let action = step.get("uses").and_then(Value::as_str).unwrap_or_default();
    action.split('@').next().is_some_and(|name| name.ends_with(ACTION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_the_action_are_found_in_any_job() {
        let text = "on: push\njobs:\n  a: {uses: acme/x/.github/workflows/w.yml@1}\n  b:\n    steps:\n      - run: echo\n      \
                    - uses: acme/nixdag/github/plan@0123 # v1\n        with: {impure: true, push: s3://b}\n      - uses: acme/nixdag/github/job@1\n";
        let document: Value = serde_yaml::from_str(text).unwrap();
        let found = used(&document);
        assert_eq!((found.len(), found[0]["impure"].as_str(), found[0]["push"].as_str()), (1, "true", "s3://b"));
        assert!(used(&Value::Null).is_empty());
    }
}
