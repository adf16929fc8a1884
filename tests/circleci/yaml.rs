//! Hostile strings written as YAML come back unchanged from readers of YAML 1.1 and 1.2.

use std::process::Command;

use nixdag::provider::yaml::{Yaml, to_string};
use serde_json::json;

use crate::support::hostile::texts as hostile;

/// Every string as a value, a script, a key, an item of a list, and deep inside.
fn document(strings: &[String]) -> (Yaml, serde_json::Value) {
    let texts = || strings.iter().map(Yaml::text);
    let scripts = strings.iter().cloned().map(Yaml::Script);
    let numbered = |prefix: &'static str, values: Vec<Yaml>| {
        Yaml::map(values.into_iter().enumerate().map(|(at, value)| (format!("{prefix}{at}"), value)))
    };
    let yaml = Yaml::map([
        ("values", numbered("v", texts().collect())),
        ("scripts", numbered("s", scripts.clone().collect())),
        ("keys", Yaml::List(strings.iter().map(|string| Yaml::entry(string, Yaml::Integer(1))).collect())),
        (
            "deep",
            Yaml::List(
                strings.iter().map(|string| Yaml::entry(string, Yaml::List(vec![Yaml::text(string)]))).collect(),
            ),
        ),
        ("list", Yaml::List(texts().collect())),
        ("script-list", Yaml::List(scripts.collect())),
        ("mapping", Yaml::map(strings.iter().map(|string| (string, Yaml::text(string))))),
    ]);
    let expected = json!([
        strings,
        strings,
        strings,
        strings.iter().flat_map(|string| [string, string]).collect::<Vec<_>>(),
        strings,
        strings,
        strings.iter().flat_map(|string| [string, string]).collect::<Vec<_>>(),
    ]);
    (yaml, expected)
}

/// Has another language's reader take the text apart; `script` gets the file's name and prints JSON as `document` expects it.
fn assert_comes_back(program: &str, script: &str, flag: &str) {
    let strings = hostile();
    assert!(strings.len() >= 150);
    let (yaml, expected) = document(&strings);
    let text = to_string(&yaml);
    assert!(!text.contains('\t') && !text.contains('\r'));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hostile.yml");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(program).args([flag, script]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let back: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (section, expected) in expected.as_array().unwrap().iter().enumerate() {
        let back = back[section].as_array().unwrap();
        for (at, string) in expected.as_array().unwrap().iter().enumerate() {
            assert_eq!(back.get(at), Some(string), "section {section}, string {at}");
        }
        assert_eq!(back.len(), expected.as_array().unwrap().len());
    }
}

#[test]
fn pyyaml_gives_every_string_back() {
    let script = r#"
import json, sys, yaml
def text(value):
    assert type(value) is str, repr(value)
    return value
doc = yaml.safe_load(open(sys.argv[1], encoding="utf-8", newline=""))
one = lambda m: list(m.items())[0]
assert all(one(m)[1] == 1 for m in doc["keys"])
print(json.dumps([
    [text(v) for v in doc["values"].values()], [text(v) for v in doc["scripts"].values()],
    [text(one(m)[0]) for m in doc["keys"]], [text(x) for m in doc["deep"] for k, v in [one(m)] for x in (k, v[0])],
    [text(v) for v in doc["list"]], [text(v) for v in doc["script-list"]],
    [text(x) for pair in doc["mapping"].items() for x in pair]]))
"#;
    assert_comes_back("/usr/bin/python3", script, "-c");
}

#[test]
fn psych_gives_every_string_back() {
    let script = r#"
require "json"; require "psych"
text = ->(value) { raise value.inspect unless value.is_a?(String); value }
doc = Psych.safe_load(File.binread(ARGV[0]).force_encoding("UTF-8"))
raise "keys" unless doc["keys"].all? { |m| m.values == [1] }
STDOUT.write(JSON.generate([
  doc["values"].values.map(&text), doc["scripts"].values.map(&text), doc["keys"].map { |m| text.(m.keys[0]) },
  doc["deep"].flat_map { |m| [text.(m.keys[0]), text.(m.values[0][0])] }, doc["list"].map(&text), doc["script-list"].map(&text),
  doc["mapping"].flat_map { |k, v| [text.(k), text.(v)] }]))
"#;
    assert_comes_back("ruby", script, "-e");
}

#[test]
fn a_reader_of_yaml_1_2_gives_every_string_back() {
    let strings = hostile();
    let (yaml, _) = document(&strings);
    let back: serde_yaml::Value = serde_yaml::from_str(&to_string(&yaml)).unwrap();
    for (at, string) in strings.iter().enumerate() {
        assert_eq!(back["values"][format!("v{at}")], **string);
        assert_eq!(back["scripts"][format!("s{at}")], **string);
        assert_eq!(back["list"][at], **string);
        assert_eq!(back["keys"][at].as_mapping().unwrap().keys().next().unwrap(), &**string);
    }
}

proptest::proptest! {
    #[test]
    fn any_string_comes_back(string in "\\PC*|(?s).{0,40}|[ \\-?:#\\n'\"<=~a]{0,12}") {
        for value in [Yaml::text(&string), Yaml::Script(string.clone())] {
            let text = to_string(&Yaml::entry(&string, Yaml::List(vec![value])));
            let back: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
            let (key, list) = back.as_mapping().unwrap().iter().next().unwrap();
            proptest::prop_assert_eq!(key, &*string);
            proptest::prop_assert_eq!(&list[0], &*string);
        }
    }
}
