//! Store paths: `<store directory>/<32 characters of Nix's base 32>-<name>`.
//!
//! Nothing from outside becomes a file name before it has passed through here.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::printable::printable;

/// The store directory that nearly everybody has.
pub const DEFAULT_STORE_DIR: &str = "/nix/store";

/// Characters of the hash part.
pub const HASH_LEN: usize = 32;

/// Nix's longest name part, in bytes.
const MAX_NAME_LEN: usize = 211;

/// Characters that are shown of what is not a store path.
const MAX_SHOWN: usize = 300;

/// True for a base name that Nix accepts: hash, dash, a name of `[0-9a-zA-Z+-._?=]` that is neither `.` nor `..`.
pub fn is_base_name(base: &[u8]) -> bool {
    if base.len() <= HASH_LEN + 1 || base.len() > HASH_LEN + 1 + MAX_NAME_LEN || base[HASH_LEN] != b'-' {
        return false;
    }
    let (hash, name) = (&base[..HASH_LEN], &base[HASH_LEN + 1..]);
    let are = |bytes: &[u8], kind: u8| bytes.iter().all(|b| KINDS[usize::from(*b)] & kind != 0);
    are(hash, IN_HASH) && are(name, IN_NAME) && name != b"." && name != b".."
}

const IN_HASH: u8 = 1;
const IN_NAME: u8 = 2;

/// Where each byte may be: a graph has millions of names.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        // Nix's base 32 leaves out e, o, t and u.
        if b.is_ascii_digit() || (b.is_ascii_lowercase() && !matches!(b, b'e' | b'o' | b't' | b'u')) {
            kinds[byte] |= IN_HASH;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_' | b'?' | b'=') {
            kinds[byte] |= IN_NAME;
        }
        byte += 1;
    }
    kinds
};

/// Splits a store path into its store directory and its base name.
pub fn split(path: &str) -> Result<(&str, &str)> {
    match path.rsplit_once('/') {
        Some((dir, base)) if is_dir(dir) && is_base_name(base.as_bytes()) => Ok((dir, base)),
        _ => {
            let shown = printable(&path.chars().take(MAX_SHOWN).collect::<String>());
            let rest = if path.chars().nth(MAX_SHOWN).is_some() { "…" } else { "" };
            bail!("`{shown}{rest}` is not a store path (expected `{DEFAULT_STORE_DIR}/<hash>-<name>`)")
        }
    }
}

/// Whether it can be the path of a store directory: lists of paths and messages have one a line.
fn is_dir(path: &str) -> bool {
    path.starts_with('/') && !path.contains(char::is_control)
}

/// The store directory that most of these paths are in.
pub fn common_dir<'p>(paths: &[&'p str]) -> &'p str {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (dir, _) in paths.iter().filter_map(|path| split(path).ok()) {
        *counts.entry(dir).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(DEFAULT_STORE_DIR, |(dir, _)| dir)
}

/// The name part of a base name, without a `.drv` at its end: `hello-2.10` of `…-hello-2.10.drv`.
pub fn name_of(base: &str) -> &str {
    let name = base.get(HASH_LEN + 1..).unwrap_or(base);
    name.strip_suffix(".drv").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_path_is_shown_in_part() {
        let error = split(&"\u{1b}x".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.len() < 5000 && !error.contains('\u{1b}'), "{} bytes", error.len());
        assert!(split("hello").unwrap_err().to_string().starts_with("`hello` is not a store path"));
    }

    #[test]
    fn real_base_names_pass_and_hostile_ones_do_not() {
        let hash = "004ldcwhncm4f629h5cdaa9zyn40ak37";
        for good in ["stdenv-linux.drv", "a", "x+y_z=1?2-3.4"] {
            assert!(is_base_name(format!("{hash}-{good}").as_bytes()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "a\0", &"x".repeat(212)] {
            assert!(!is_base_name(format!("{hash}-{bad}").as_bytes()), "{bad}");
        }
        assert!(!is_base_name(b"short-name"));
        assert!(!is_base_name(format!("{}-x", hash.replace('0', "e")).as_bytes()));
        assert!(split(&format!("/nix/store/{hash}-a")).is_ok());
        assert!(split(&format!("/nix/store/../{hash}-a/..")).is_err());
        for dir in ["/nix/\n", "/nix\u{1b}[2J", "nix/store"] {
            assert!(split(&format!("{dir}/{hash}-a")).is_err(), "{dir:?}");
        }
        assert!(split(&format!("{hash}-a")).is_err());
    }

    #[test]
    fn the_name_has_no_hash_and_no_ending() {
        assert_eq!(name_of("004ldcwhncm4f629h5cdaa9zyn40ak37-hello-2.10.drv"), "hello-2.10");
    }

    #[test]
    fn the_common_directory_is_the_one_of_most_paths() {
        let path = |dir: &str| format!("{dir}/004ldcwhncm4f629h5cdaa9zyn40ak37-a.drv");
        let all =
            [path("/a"), path("/b"), path("/b"), "/c\nc/x".to_owned(), "/c\nc/y".to_owned(), "/c\nc/z".to_owned()];
        assert_eq!(common_dir(&all.iter().map(String::as_str).collect::<Vec<_>>()), "/b");
        assert_eq!(common_dir(&[]), DEFAULT_STORE_DIR);
    }
}
