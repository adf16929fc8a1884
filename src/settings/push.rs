//! `push` in nixdag.yml: a store's URL, `{cachix: NAME}`, `{attic: SERVER:CACHE}`, or a list of these.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::schema::Schema;
use super::yaml::mapping;
use crate::build::destination::Destination;

/// All destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushList(pub Vec<Destination>);

/// A destination as a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    store: Option<String>,
    cachix: Option<String>,
    attic: Option<String>,
}

mapping!(Entry, "a mapping with `store`, `cachix` or `attic`", {
    "store" => store: "A store's URL",
    "cachix" => cachix: "Name of a Cachix cache",
    "attic" => attic: "Server and name of an Attic cache, SERVER:CACHE",
});

/// One destination.
struct SingleDestination(Destination);

fn parse<E: de::Error>(text: &str) -> Result<Destination, E> {
    Destination::parse(text).map_err(|error| E::custom(format!("{error:#}")))
}

impl Entry {
    fn destination<E: de::Error>(&self) -> Result<Destination, E> {
        match (&self.store, &self.cachix, &self.attic) {
            (Some(url), None, None) => parse(url),
            (None, Some(name), None) => parse(&format!("cachix:{name}")),
            (None, None, Some(name)) => parse(&format!("attic:{name}")),
            _ => Err(E::custom("exactly one of `store`, `cachix` and `attic` is expected")),
        }
    }
}

impl Schema for PushList {
    fn schema() -> Value {
        let one = json!({ "anyOf": [{ "type": "string" }, Entry::schema()] });
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

const EXPECTED: &str = "a store's URL, `cachix: NAME`, `attic: SERVER:CACHE`, or a list of these";

impl<'de> Deserialize<'de> for SingleDestination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = SingleDestination;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SingleDestination, E> {
                parse(text).map(SingleDestination)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SingleDestination, A::Error> {
                Entry::deserialize(de::value::MapAccessDeserializer::new(map))?.destination().map(SingleDestination)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for PushList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = PushList;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PushList, E> {
                Ok(PushList(vec![parse(text)?]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PushList, A::Error> {
                let entry = Entry::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(PushList(vec![entry.destination()?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PushList, A::Error> {
                let mut all = Vec::new();
                while let Some(SingleDestination(destination)) = list.next_element()? {
                    all.push(destination);
                }
                Ok(PushList(all))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::file::SettingsFile;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let file = SettingsFile::parse(text).map_err(|error| format!("{error:#}"))?;
        Ok(file.push.map(|list| list.0.iter().map(ToString::to_string).collect()).unwrap_or_default())
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
            ("push: bucket", "no store to push to"),
            ("push: { cachix: a, attic: 'b:c' }", "exactly one of"),
            ("push: { cachx: a }", "did you mean `cachix`?"),
            ("push: 3", "a store's URL"),
            ("push_failure: ignore", "unknown value `ignore`"),
            ("push_credentials: { a: b }", "a list of strings"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("line 1"), "{text}: {error}");
        }
    }
}
