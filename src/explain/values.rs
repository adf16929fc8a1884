//! Values in a derivation's definition as people compare them: a path that both sides have a counterpart of is a word, and what is shown is cut to
//! where the sides differ.
//!
//! In: bytes of a definition, base names of paths and the words for them. Out: text that is fit for a terminal.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::nix::derivation::Derivation;
use crate::nix::store_path;
use crate::printable::printable;

/// Characters of a value that are shown.
const MAX_VALUE: usize = 160;

/// Characters that are shown around a difference.
const CONTEXT: usize = 24;

/// One derivation and the words that stand for the paths in it.
pub struct Side<'a> {
    /// The derivation.
    pub drv: &'a Derivation<'a>,
    /// The folder that its paths are in.
    pub store_dir: &'a str,
    /// From the hash of a path to its base name and the number that stands for it.
    words: HashMap<Vec<u8>, (Vec<u8>, usize)>,
}

impl<'a> Side<'a> {
    /// One that knows no path yet.
    pub fn new(drv: &'a Derivation<'a>, store_dir: &'a str) -> Self {
        Self { drv, store_dir, words: HashMap::new() }
    }
}

impl Side<'_> {
    /// Notes the number of a path.
    pub fn know(&mut self, base: &[u8], word: usize) {
        let hash = base.get(..store_path::HASH_LEN).unwrap_or(base).to_vec();
        self.words.insert(hash, (base.to_vec(), word));
    }

    /// A value with a word for each path that is known: `\x01<number>\x02`. Places for outputs that only the build
    /// tells are all the same, as they depend on the whole derivation.
    pub fn normal<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        const PLACE: usize = 53;
        let mut normal = Vec::new();
        let mut copied = 0;
        for slash in memchr::memchr_iter(b'/', value) {
            if slash < copied {
                continue;
            }
            let rest = &value[slash..];
            if let Some(behind) = rest.strip_prefix(self.store_dir.as_bytes()).and_then(|rest| rest.strip_prefix(b"/"))
            {
                let known = behind.get(..store_path::HASH_LEN).and_then(|hash| self.words.get(hash));
                if let Some((base, word)) = known.filter(|(base, _)| behind.starts_with(base)) {
                    normal.extend_from_slice(&value[copied..slash]);
                    normal.extend_from_slice(format!("\x01{word}\x02").as_bytes());
                    copied = slash + self.store_dir.len() + 1 + base.len();
                }
            } else if rest.len() >= PLACE && rest[1..PLACE].iter().all(|byte| is_base32(*byte)) {
                normal.extend_from_slice(&value[copied..slash]);
                normal.extend_from_slice(b"\x01\x02");
                copied = slash + PLACE;
            }
        }
        if copied == 0 {
            return Cow::Borrowed(value);
        }
        normal.extend_from_slice(&value[copied..]);
        Cow::Owned(normal)
    }
}

/// True for a digit of a hash in a store path.
pub fn is_base32(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase() && !b"eotu".contains(&byte)
}

/// A normal value as people read it: `{name}` for a path.
pub fn show(value: &[u8], names: &[String]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once('\x01') {
        shown.push_str(before);
        match after.split_once('\x02') {
            Some((word, behind)) if word.bytes().all(|byte| byte.is_ascii_digit()) => {
                let name = word.parse::<usize>().ok().and_then(|word| names.get(word));
                shown.push_str(&name.map_or_else(|| "{?}".to_owned(), |name| format!("{{{name}}}")));
                rest = behind;
            }
            _ => {
                shown.push('\x01');
                rest = after;
            }
        }
    }
    shown.push_str(rest);
    printable(&shown)
}

/// Two values, cut to where they differ.
pub fn cut(old: &str, new: &str) -> (String, String) {
    let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    let start = if same > 2 * CONTEXT { same - CONTEXT } else { 0 };
    let (old_rest, new_rest): (Vec<char>, Vec<char>) =
        (old.chars().skip(start).collect(), new.chars().skip(start).collect());
    let same_end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let window = |rest: &[char]| {
        let differs = rest.len() - same_end.min(rest.len());
        let end = if rest.len() <= MAX_VALUE {
            rest.len()
        } else {
            (differs + CONTEXT).clamp(CONTEXT, MAX_VALUE).min(rest.len())
        };
        let mut shown = if start > 0 { "…".to_owned() } else { String::new() };
        shown.extend(&rest[..end]);
        if end < rest.len() {
            shown.push('…');
        }
        shown
    };
    (window(&old_rest), window(&new_rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_to_where_they_differ() {
        assert_eq!(cut("a b", "a c"), ("a b".into(), "a c".into()));
        let (before, after) = ("x".repeat(500), "y".repeat(500));
        let (old, new) = cut(&format!("{before}1{after}"), &format!("{before}22{after}"));
        assert_eq!(old, format!("…{}1{}…", "x".repeat(CONTEXT), "y".repeat(CONTEXT)));
        assert_eq!(new, format!("…{}22{}…", "x".repeat(CONTEXT), "y".repeat(CONTEXT)));
        assert!(cut(&"ü".repeat(10_000), "").0.chars().count() <= MAX_VALUE + 2);
        // A part that is repeated is in both ends.
        assert_eq!(cut("aa", "aaa"), ("aa".into(), "aaa".into()));
    }

    #[test]
    fn known_paths_become_words_and_others_stay() {
        let drv = Derivation::default();
        let name = "004ldcwhncm4f629h5cdaa9zyn40ak37-lib-1.0";
        let mut side = Side::new(&drv, "/nix/store");
        side.know(name.as_bytes(), 0);
        let names = ["lib-1.0".to_owned()];
        let shown = |text: &str| show(&side.normal(text.as_bytes()), &names);
        assert_eq!(shown(&format!("-L/nix/store/{name}/lib:/nix/store/{name}.tar")), "-L{lib-1.0}/lib:{lib-1.0}.tar");
        let other = "/nix/store/104ldcwhncm4f629h5cdaa9zyn40ak37-lib-1.0";
        assert_eq!(shown(other), other);
        assert_eq!(shown("/0k2gpzkwdn1vpsxhq6bwhaj7chak1kqcv0a9zfrbn8dk3v6lrgga/bin"), "{?}/bin");
        assert_eq!(shown("/nix/store//nix/store\x01\x02\x013"), "/nix/store//nix/store{?}\\u{1}3");
    }
}
