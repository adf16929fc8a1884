//! Attribute patterns: which attribute paths a user means by `packages.*.{hello,git}`.
//!
//! In: the text of a pattern. Out: a [`Pattern`], the alternatives that its braces stand for, each a list of [`Segment`]s, one a
//! name. It matches whole paths, or name by name while a flake is walked. `*` (any text), `?` (one character), `[a-z]`, `[!a-z]`
//! and braces mean something outside quotes; inside quotes everything is literal. A segment matches exactly one name: no
//! glob reaches across a dot of the path, though a name may contain dots of its own. Only `**`, alone between two dots, matches
//! any number of names.

mod parse;
mod segment;
pub mod short;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::attribute::AttributePath;

pub use self::segment::{Glob, Segment};

/// A parsed attribute pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    alternatives: Vec<Vec<Segment>>,
}

impl Pattern {
    /// Reads a pattern; an error names the pattern and the character (from 1) at fault.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(attribute) = text.strip_prefix(".#") {
            let attribute = attribute.escape_debug();
            bail!(
                "pattern `.#{attribute}` names a flake as well: leave out the `.#`, or give it in place of the flake"
            );
        }
        let alternatives = parse::alternatives(text)?;
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// Reads a glob over one name, in which dots are letters like any other.
    pub fn name(text: &str) -> Result<Self> {
        Ok(Self { text: text.to_owned(), alternatives: parse::names(text)? })
    }

    /// The pattern that matches `path` alone.
    pub fn literal(path: &AttributePath) -> Self {
        let segments = path.names().iter().cloned().map(Segment::Literal).collect();
        Self { text: path.to_string(), alternatives: vec![segments] }
    }

    /// The alternatives that the braces stand for, each one segment a name.
    pub fn alternatives(&self) -> &[Vec<Segment>] {
        &self.alternatives
    }

    /// The same pattern, as it was written, with other alternatives.
    #[must_use]
    pub fn with_alternatives(&self, alternatives: Vec<Vec<Segment>>) -> Self {
        Self { text: self.text.clone(), alternatives }
    }

    /// True if the whole path is meant.
    pub fn matches(&self, path: &[String]) -> bool {
        self.alternatives.iter().any(|segments| matched(segments, path).last().is_some_and(|is_whole| is_whole))
    }

    /// True if the path is meant, or something that it is below.
    pub fn matches_at_or_above(&self, path: &[String]) -> bool {
        self.alternatives.iter().any(|segments| matched(segments, path).any(|is_whole| is_whole))
    }

    /// True if the name is meant, for a glob over one name.
    pub fn matches_name(&self, name: &str) -> bool {
        self.alternatives.iter().any(|segments| matches!(segments.as_slice(), [segment] if segment.matches(name)))
    }
}

impl FromStr for Pattern {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the segments match the first names of a path, from none of them to all.
fn matched(segments: &[Segment], path: &[String]) -> impl Iterator<Item = bool> {
    // Which numbers of segments may have been used up.
    let mut used = vec![false; segments.len() + 1];
    used[0] = true;
    let pass_levels = |used: &mut Vec<bool>| {
        for (at, segment) in segments.iter().enumerate() {
            used[at + 1] |= used[at] && *segment == Segment::Levels;
        }
    };
    pass_levels(&mut used);
    let mut whole = vec![used[segments.len()]];
    for name in path {
        let mut next = vec![false; segments.len() + 1];
        for (at, segment) in segments.iter().enumerate().filter(|(at, segment)| used[*at] && segment.matches(name)) {
            next[if *segment == Segment::Levels { at } else { at + 1 }] = true;
        }
        pass_levels(&mut next);
        used = next;
        whole.push(used[segments.len()]);
    }
    whole.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, path: &[&str]) -> bool {
        let path: AttributePath = path.iter().copied().collect();
        Pattern::parse(pattern).unwrap().matches(path.names())
    }

    #[test]
    fn a_glob_matches_one_name() {
        assert!(matches("packages.*.*", &["packages", "x86_64-linux", "hello"]));
        assert!(matches("packages.*.*", &["packages", "x86_64-linux", "a.b"]));
        assert!(matches("packages.*.*", &["packages", "", ""]));
        assert!(!matches("packages.*", &["packages", "x86_64-linux", "hello"]));
        assert!(!matches("packages.*.*", &["packages", "x86_64-linux"]));
        assert!(matches("a.x86_64-*", &["a", "x86_64-linux"]));
        assert!(!matches("a.x86_64-*", &["a", "aarch64-linux"]));
        assert!(matches("a?c", &["aüc"]));
        assert!(matches("[abx-z]1", &["y1"]));
        assert!(matches("[!a-c]", &["d"]));
        assert!(!matches("[!a-c]", &["b"]));
        assert!(matches("[]]", &["]"]));
        assert!(matches("[a-]", &["-"]));
        assert!(matches("*a*b*", &["xxaxxbxx"]));
        assert!(!matches("*a*b", &["xxaxxbxx"]));
    }

    #[test]
    fn braces_hold_alternatives_with_dots_and_braces() {
        let pattern = "legacyPackages.x.pkgsCross.{musl64,arm.{sub,}thing}.{hello,git}";
        let pattern = Pattern::parse(pattern).unwrap();
        assert_eq!(pattern.alternatives().len(), 6);
        assert_eq!(Pattern::parse("{a,a}.{b,b}").unwrap().alternatives().len(), 1);
        assert!(pattern.matches(&["legacyPackages", "x", "pkgsCross", "musl64", "git"].map(String::from)));
        assert!(pattern.matches(&["legacyPackages", "x", "pkgsCross", "arm", "subthing", "hello"].map(String::from)));
        assert!(pattern.matches(&["legacyPackages", "x", "pkgsCross", "arm", "thing", "hello"].map(String::from)));
        assert!(!pattern.matches(&["legacyPackages", "x", "pkgsCross", "arm", "hello"].map(String::from)));
    }

    #[test]
    fn quotes_make_everything_literal() {
        assert!(matches("packages.x86_64-linux.\"a.b\"", &["packages", "x86_64-linux", "a.b"]));
        assert!(matches("\"*\"", &["*"]));
        assert!(!matches("\"*\"", &["a"]));
        assert!(matches("a\"{b,c}\"*", &["a{b,c}d"]));
        assert!(matches("\"\"", &[""]));
        assert!(matches("{\"\",x}.y", &["", "y"]));
        for name in ["a.b", "quo\"te", "dollar${x}", "<<merge", "ünï", "-dash", "", "[x]", "{a,b}", "*?", "new\nline"]
        {
            let path: AttributePath = ["packages", name].into_iter().collect();
            assert_eq!(Pattern::parse(&path.to_string()).unwrap(), Pattern::literal(&path));
        }
    }

    #[test]
    fn errors_name_the_pattern_and_the_character() {
        for (pattern, expected) in [
            ("a.{b,c", "pattern `a.{b,c`, character 3: `{` is never closed"),
            ("a}", "pattern `a}`, character 2: `}` without `{`"),
            ("ä[b", "pattern `ä[b`, character 2: `[` is never closed"),
            ("[]", "character 1: `[` is never closed"),
            ("a.[z-a]", "character 4: the range `z-a` is empty"),
            ("a.\"b", "character 3: `\"` is never closed"),
            ("a..b", "pattern `a..b` has an empty name"),
            ("a.{,b}", "pattern `a.{,b}` has an empty name"),
            ("", "pattern `` has an empty name"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_brace_bomb_is_an_error() {
        for bomb in [
            "{a,b}".repeat(64),
            format!("{}{}", "x".repeat(10_000), "{a,b,c,d}".repeat(5)),
            format!("{{{}}}{}", "a,".repeat(2000), "x".repeat(1000)),
            "{".repeat(100_000),
        ] {
            assert!(Pattern::parse(&bomb).is_err());
        }
    }

    #[test]
    fn many_stars_do_not_backtrack_exponentially() {
        let pattern = Pattern::parse(&"*a".repeat(2000)).unwrap();
        assert!(!pattern.matches(&["a".repeat(1999)]));
        assert!(pattern.matches(&["a".repeat(2000)]));
    }

    #[test]
    fn two_stars_match_any_number_of_names() {
        assert!(matches("a.**", &["a"]) && matches("a.**", &["a", "b"]) && matches("a.**", &["a", "b", "c.d", ""]));
        assert!(!matches("a.**", &["b"]) && !matches("a.**.x", &["a", "b"]));
        assert!(matches("a.**.x", &["a", "x"]) && matches("a.**.x", &["a", "b", "x", "x"]) && matches("**", &[]));
        assert!(matches("a.**.{x,y}.*", &["a", "1", "2", "y", "z"]));
        assert_eq!(
            Pattern::parse("a.**.**.**").unwrap().alternatives(),
            Pattern::parse("a.**").unwrap().alternatives()
        );
        assert!(Pattern::name("a**").unwrap().matches_name("a.b"));
        for pattern in ["a.b**", "a.**b", "a.***", "a.{x,**b}"] {
            let error = Pattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains("`**` matches whole names"), "{pattern}: {error}");
        }
        let deep: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        assert!(!Pattern::parse("**.x.".repeat(300).trim_end_matches('.')).unwrap().matches(&deep));
    }

    #[test]
    fn what_is_below_is_meant_too_where_that_is_asked() {
        let path = ["a", "b", "c"].map(String::from);
        for (pattern, expected) in
            [("a", true), ("a.*", true), ("a.b.c", true), ("a.b.c.d", false), ("b", false), ("a.x", false)]
        {
            assert_eq!(Pattern::parse(pattern).unwrap().matches_at_or_above(&path), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z.*?{},\"!\\[\\]\\\\-]{0,40}") {
            let _ = Pattern::parse(&text);
        }

        #[test]
        fn a_path_is_matched_by_its_own_text(names in prop::collection::vec(".{0,8}", 1..5)) {
            let path: AttributePath = names.into_iter().collect();
            prop_assert!(Pattern::parse(&path.to_string()).unwrap().matches(path.names()));
        }
    }
}
