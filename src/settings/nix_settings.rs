//! Caches and keys that settings of Nix name: those of the machine, and those that a flake brings along in its `nixConfig`.
//!
//! In: texts that nobody has checked. Out: substituters and keys, what is wrong with the others, and the note about caches of a flake
//! that nobody has accepted. One bad text costs no other.

use anyhow::Result;

use super::caches::named_by_file;
use super::credential_hosts::CredentialHosts;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::binary_cache::{Origin, Substituter};
use crate::nix::configuration::Configuration;
use crate::nix::evaluate::FlakeCaches;
use crate::nix::signature::PublicKey;

/// Most caches, and most keys, that are taken from one flake.
const MAX_TAKEN: usize = 100;

/// How many caches the note names.
const MAX_NAMED: usize = 5;

/// What settings name, as far as it can be read.
#[derive(Debug, Default)]
pub struct Named {
    /// The caches, in order.
    pub substituters: Vec<Substituter>,
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// What is left out, in sentences.
    pub warnings: Vec<String>,
}

impl Named {
    /// What the machine's settings name.
    pub fn by_machine(machine: &Configuration) -> Self {
        let substituter =
            |text: &str| Ok(Substituter { url: StoreUrl::parse(text)?, token_variable: None, origin: Origin::Machine });
        let mut found = Self::default();
        let place = "this machine's Nix settings";
        found.substituters = found.read("substituter", place, &machine.substituters, substituter);
        found.keys = found.read("key", place, &machine.trusted_public_keys, PublicKey::parse);
        found
    }

    /// What a flake names: for somebody who accepts it, who has it meant for the jobs too.
    pub fn by_flake(flake: &FlakeCaches) -> Self {
        let mut found = Self::default();
        let place = "the flake's `nixConfig`";
        let substituters = found.first("substituter", place, &flake.substituters);
        let substituter = |text: &str| {
            let named = named_by_file(text)?;
            CredentialHosts::parse(&[])?.check(&named.url)?;
            Ok(named)
        };
        found.substituters = found.read("substituter", place, substituters, substituter);
        let keys = found.first("key", place, &flake.trusted_public_keys);
        found.keys = found.read("key", place, keys, PublicKey::parse);
        found
    }

    /// As many of the texts as are taken from somebody who may be anybody.
    fn first<'t>(&mut self, what: &str, place: &str, texts: &'t [String]) -> &'t [String] {
        if texts.len() > MAX_TAKEN {
            self.warnings
                .push(format!("{place} names {} {what}s, of which the first {MAX_TAKEN} are taken", texts.len()));
        }
        &texts[..texts.len().min(MAX_TAKEN)]
    }

    fn read<T>(&mut self, what: &str, place: &str, texts: &[String], read: impl Fn(&str) -> Result<T>) -> Vec<T> {
        let (mut values, mut wrong) = (Vec::new(), Vec::new());
        for text in texts {
            match read(text) {
                Ok(value) => values.push(value),
                Err(error) => wrong.push(error),
            }
        }
        self.warnings.extend(match wrong.as_slice() {
            [] => None,
            [error] => Some(format!("a {what} of {place} is left out: {error:#}")),
            [first, ..] => {
                Some(format!("{} {what}s of {place} are left out, the first because {first:#}", wrong.len()))
            }
        });
        values
    }
}

/// The note about caches of a flake that nobody has accepted, as far as they are not `known` from elsewhere.
pub fn not_accepted(flake: &FlakeCaches, known: &[Substituter]) -> Option<String> {
    let name = |substituter: &Substituter| substituter.url.to_string();
    let known: Vec<String> = known.iter().map(name).collect();
    let mut unknown: Vec<String> = Named::by_flake(flake).substituters.iter().map(name).collect();
    unknown.retain(|url| !known.contains(url));
    let shown: Vec<String> = unknown.iter().take(MAX_NAMED).map(|url| format!("`{url}`")).collect();
    let more = match unknown.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!unknown.is_empty()).then(|| {
        format!(
            "the flake's `nixConfig` names caches that are not asked: {}{more} (ask them, and trust its keys, with \
             `--accept-flake-config`)",
            shown.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "test-1:0yiKMLxc7nda+Jk68seX3/hXQq528DlE7mWJtwwIIgk=";

    fn flake(substituters: &[&str], keys: &[&str]) -> FlakeCaches {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        FlakeCaches { substituters: owned(substituters), trusted_public_keys: owned(keys) }
    }

    fn urls(named: &Named) -> Vec<String> {
        named.substituters.iter().map(|substituter| substituter.url.to_string()).collect()
    }

    #[test]
    fn what_cannot_be_read_costs_nothing_else_and_shows_no_secret() {
        let long = format!("https://h/{}", "x".repeat(5000));
        let wrong = ["https://user:s3cret@h", "\u{202e}gro", &long, "--option", "https://a\"b", "https://\n"];
        let found = Named::by_flake(&flake(
            &[&["https://a"], wrong.as_slice(), &["s3://b?region=x"]].concat(),
            &["nonsense", KEY, "k:AAAA"],
        ));
        assert_eq!(urls(&found), ["https://a", "s3://b?region=x"]);
        assert_eq!(found.keys.len(), 1);
        let [substituters, keys] = found.warnings.as_slice() else { panic!("{:?}", found.warnings) };
        assert!(substituters.starts_with("6 substituters of the flake's `nixConfig` are left out, the first because "));
        assert!(keys.starts_with("2 keys of the flake's `nixConfig` are left out"), "{keys}");
        for text in wrong {
            let found = Named::by_flake(&flake(&[text], &[text]));
            let said = found.warnings.join(" ");
            assert!(!said.contains(['\n', '\u{202e}']) && !said.contains("s3cret") && said.len() < 1000, "{said}");
            assert_eq!(found.warnings.len(), 2, "{said}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<String> = (0..5000).map(|number| format!("https://h{number}")).collect();
        let caches = FlakeCaches { substituters: many.clone(), trusted_public_keys: vec![KEY.to_owned(); 5000] };
        let found = Named::by_flake(&caches);
        assert_eq!((found.substituters.len(), found.keys.len()), (MAX_TAKEN, MAX_TAKEN));
        assert_eq!(
            found.warnings[0],
            "the flake's `nixConfig` names 5000 substituters, of which the first 100 are taken"
        );
        assert!(not_accepted(&caches, &[]).unwrap().contains("`https://h4` and 95 more (ask"));
    }

    #[test]
    fn the_note_names_what_nobody_asks() {
        let caches = flake(&["https://a/", "https://b", "bad url"], &[KEY]);
        let known = |url: &str| named_by_file(url).unwrap();
        assert_eq!(
            not_accepted(&caches, &[known("https://b?priority=1")]).unwrap(),
            "the flake's `nixConfig` names caches that are not asked: `https://a` (ask them, and trust its keys, with \
             `--accept-flake-config`)"
        );
        assert_eq!(not_accepted(&caches, &[known("https://a"), known("https://b")]), None);
        assert_eq!(not_accepted(&FlakeCaches::default(), &[]), None);
    }
}
