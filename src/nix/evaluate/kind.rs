//! The types of values, in words, and where which type belongs.

use crate::pattern::short;
use crate::printable::printable;

/// Outputs that hold derivations for each system, or apps, and nothing else: anything else in them is a mistake.
const PER_SYSTEM: [&str; 4] = ["packages", "checks", "devShells", "apps"];

/// What `query.nix` calls an app whose program is text, but not made by one derivation.
const APP: &str = "app";

/// The same for one whose program is no text.
const APP_WITHOUT_PROGRAM: &str = "app without program";

/// True for an output that holds a set for each system, whose attributes are derivations or apps.
pub fn has_sets_of_derivations(output: &str) -> bool {
    PER_SYSTEM.contains(&output)
}

/// True for `packages.SYSTEM.NAME` and its like, for `formatter.SYSTEM`, and for what builds a configuration, where a value of this type is a mistake.
/// An app may run what nobody has to build.
pub fn is_misplaced(names: &[String], kind: &str) -> bool {
    match names {
        [output, _] if output == "formatter" => true,
        [output, _, _] if has_sets_of_derivations(output) => output != "apps" || kind != APP,
        _ => short::configuration(names).is_some(),
    }
}

/// What is wrong with a value of this type where a derivation is wanted; an app says why no derivation stands for it.
pub fn no_derivation(kind: &str) -> String {
    let is_app = [APP, APP_WITHOUT_PROGRAM].contains(&kind);
    format!("it is {}{}", with_article(kind), if is_app { "" } else { ", not a derivation" })
}

/// A type as Nix names it, with an article.
pub fn with_article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "lambda" => "a function".to_owned(),
        "bool" => "a boolean".to_owned(),
        "int" => "an integer".to_owned(),
        APP => "an app whose program is not made by one derivation".to_owned(),
        APP_WITHOUT_PROGRAM => "an app whose `program` is not a string".to_owned(),
        other => format!("a {}", printable(other)),
    }
}
