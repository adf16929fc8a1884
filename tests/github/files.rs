//! The files that users commit: within GitHub's limits, and with nothing of a plan in a shell.

use std::fs;

use serde_json::Value;

use crate::support::repository;

/// Calls a function for every scalar, with the key that it stands under.
fn scalars(value: &Value, key: &str, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(key, text),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, key, visit)),
        Value::Object(entries) => entries.iter().for_each(|(key, item)| scalars(item, key, visit)),
        _ => {}
    }
}

#[test]
fn committed_files_keep_within_limits_and_run_nothing_but_constants() {
    for name in ["nixdag.yml", "nixdag-job.yml"] {
        let text = fs::read_to_string(repository().join("github").join(name)).unwrap();
        assert!(text.len() < 500_000);
        let file: Value = serde_yaml::from_str(&text).unwrap();
        let mut runs = 0;
        scalars(&file, "", &mut |key, text| {
            assert!(!text.contains("${{") || text.len() < 21_000, "{name}: {key}");
            if key == "run" {
                runs += 1;
                assert!(!text.contains("${{"), "{name}: {text}");
            }
        });
        assert!(runs > 1);
        assert_eq!(file["permissions"], serde_json::json!({ "contents": "read" }));
    }
}
