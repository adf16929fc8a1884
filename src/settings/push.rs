//! `push` in nixdag.yml: a store's URL, `{cachix: NAME}`, `{attic: SERVER:CACHE}`, or a list of these.

use anyhow::{Result, bail};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::schema::Schema;
use super::yaml::{Expected, mapping, text_or_mapping};
use crate::delivery::destination::Destination;

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationEntry(pub Destination);

/// A destination as a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DestinationMapping {
    store: Option<String>,
    cachix: Option<String>,
    attic: Option<String>,
}

mapping!(DestinationMapping, "a mapping with `store`, `cachix` or `attic`", {
    "store" => store: "A store's URL",
    "cachix" => cachix: "Name of a Cachix cache",
    "attic" => attic: "Server and name of an Attic cache, SERVER:CACHE",
});

impl DestinationMapping {
    fn entry(self) -> Result<DestinationEntry> {
        let text = match (self.store, self.cachix, self.attic) {
            (Some(url), None, None) => url,
            (None, Some(name), None) => format!("cachix:{name}"),
            (None, None, Some(name)) => format!("attic:{name}"),
            _ => bail!("exactly one of `store`, `cachix` and `attic` is expected"),
        };
        Destination::parse(&text).map(DestinationEntry)
    }
}

impl Expected for DestinationEntry {
    const PLURAL: &'static str = "stores' URLs, `cachix: NAME` and `attic: SERVER:CACHE`";
}

impl Schema for DestinationEntry {
    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string" }, DestinationMapping::schema()] })
    }
}

impl<'de> Deserialize<'de> for DestinationEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let of_text = |text: &str| Destination::parse(text).map(Self);
        let expected = "a store's URL, `cachix: NAME` or `attic: SERVER:CACHE`";
        text_or_mapping(deserializer, expected, of_text, DestinationMapping::entry)
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::file::SettingsFile;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let file = SettingsFile::parse(text).map_err(|error| format!("{error:#}"))?;
        Ok(file.push.push.map(|list| list.0.iter().map(|entry| entry.0.to_string()).collect()).unwrap_or_default())
    }

    #[test]
    fn destinations_are_written_in_several_ways() {
        assert_eq!(read("push: s3://bucket").unwrap(), ["s3://bucket"]);
        assert_eq!(read("push: { cachix: mine }").unwrap(), ["cachix:mine"]);
        let list = "push:\n  - { attic: 'ci:main' }\n  - store: file:///cache\n  - https://cache.example.org\n";
        assert_eq!(read(list).unwrap(), ["attic:ci:main", "file:///cache", "https://cache.example.org"]);
    }

    #[test]
    fn errors_say_what_is_expected_and_where() {
        for (text, expected) in [
            ("push: bucket", "not a store to push to"),
            ("push: { cachix: a, attic: 'b:c' }", "exactly one of"),
            ("push: { cachx: a }", "did you mean `cachix`?"),
            ("push: 3", "one or a list of stores' URLs"),
            ("push_failure: ignore", "unknown value `ignore`"),
            ("push_credentials: { a: b }", "a list of names of environment variables"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("line 1"), "{text}: {error}");
        }
    }
}
