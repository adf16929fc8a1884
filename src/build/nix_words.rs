//! Reads what Nix says in a sentence: which derivations and outputs it is about.

use crate::nix::store_path;

/// The base names of store paths in a text, in its order.
pub fn base_names(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    // A full stop may end the sentence.
    let words = text.split(move |c| !is_part(c)).flat_map(|word| [word, word.trim_end_matches('.')]);
    words.filter(|word| store_path::is_base_name(word.as_bytes()))
}

/// `2 dependencies of derivation '…' failed to build`, or from 2.34 on `Reason: 1 dependency failed.`
pub fn is_about_dependencies(message: &str) -> bool {
    message.contains("dependencies of derivation")
        || message.contains("dependency failed")
        || message.contains("dependencies failed")
}

/// `disabling binary cache '…' for 60 seconds`: that Nix leaves a cache alone for a while ends no build.
pub fn leaves_a_cache_alone(message: &str) -> bool {
    message.contains("disabling binary cache")
}

/// The first derivation that a message names in quotes, maybe with its outputs: `x.drv`, `x.drv!*` up to 2.8, `x.drv^*`.
pub fn quoted_drv(text: &str) -> Option<&str> {
    let mut parts = text.split('\'').map(|part| part.split(['!', '^']).next().unwrap_or(part));
    parts.find(|part| part.ends_with(".drv") && store_path::split(part).is_ok())
}

/// The path that a substituter has and that Nix does not take from it, as no key that it trusts has signed it.
pub fn unsigned(message: &str) -> Option<&str> {
    // 2.8: `the substitute for '…' from '…' is not signed by any of the keys in 'trusted-public-keys'`; later: `ignoring substitute for …`.
    let is_meant = message.contains("substitute for '") && message.contains("signed by any of the keys");
    message.split('\'').nth(1).filter(|path| is_meant && store_path::split(path).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_dependencies_are_told_from_failures() {
        assert!(is_about_dependencies("1 dependencies of derivation '/nix/store/x.drv' failed to build"));
        assert!(is_about_dependencies("Cannot build '/nix/store/x.drv'.\nReason: 2 dependencies failed."));
        assert!(!is_about_dependencies("Cannot build '/nix/store/x.drv'.\nReason: builder failed with exit code 3."));
    }
}
