//! Attribute patterns: which attribute paths a user means by `packages.*.{hello,git}`.
//!
//! In: the text of a pattern. Out: a [`Pattern`], the alternatives that its braces stand for, each a list of [`Segment`]s, one a
//! name. It matches whole paths, or name by name while a flake is walked. `*` (any text), `?` (one character), `[a-z]`, `[!a-z]`
//! and braces mean something outside quotes; inside quotes everything is literal. A segment matches exactly one name: no
//! glob reaches across a dot of the path, though a name may contain dots of its own.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::attribute::AttributePath;

/// Most alternatives that the braces of one pattern may stand for.
const MAX_ALTERNATIVES: usize = 4096;

/// Most characters of all alternatives of one pattern together.
const MAX_EXPANDED: usize = 1 << 20;

/// How deep braces may nest.
const MAX_NESTING: usize = 32;

/// A parsed attribute pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    alternatives: Vec<Vec<Segment>>,
}

/// What one name of an attribute path has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this name.
    Literal(String),
    /// A name that the glob matches.
    Glob(Glob),
}

/// A glob over the characters of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Ends a segment.
    Dot,
    /// Nothing, but its segment may be empty: there were quotes.
    Quotes,
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[a-z]`, `[!a-z]`: inclusive ranges.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A piece of the text before its braces are expanded.
enum Piece {
    Token(Token),
    Braces(Vec<Vec<Piece>>),
}

impl Pattern {
    /// Reads a pattern; an error names the pattern and the character (from 1) at fault.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text, chars: text.chars().collect(), at: 0, nesting: 0 };
        let pieces = parser.sequence()?;
        if parser.at < parser.chars.len() {
            // `sequence` stops early only at a closing brace that nothing opened.
            return parser.fail(parser.at, "`}` without `{` (put a brace that belongs to a name in quotes)");
        }
        let mut alternatives = Vec::new();
        for tokens in expand(text, &pieces)? {
            let alternative = segments(text, tokens)?;
            if !alternatives.contains(&alternative) {
                alternatives.push(alternative);
            }
        }
        Ok(Self { text: text.to_owned(), alternatives })
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

    /// True if the whole path is meant.
    pub fn matches(&self, path: &[String]) -> bool {
        self.alternatives.iter().any(|segments| {
            segments.len() == path.len() && segments.iter().zip(path).all(|(segment, name)| segment.matches(name))
        })
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

impl Segment {
    /// True if the name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == name,
            Self::Glob(glob) => glob.matches(name),
        }
    }
}

/// What remains to be matched below `name`, or nothing if the name is not meant.
pub fn advance<'p>(rest: &'p [Segment], name: &str) -> Option<&'p [Segment]> {
    let (first, below) = rest.split_first()?;
    first.matches(name).then_some(below)
}

impl Glob {
    /// Time: at most the product of both lengths, as only the last star is ever tried again.
    fn matches(&self, name: &str) -> bool {
        let tokens = &self.0;
        let mut rest = name.chars();
        let mut token = 0;
        let mut last_star = None;
        loop {
            if let Some(Token::Star) = tokens.get(token) {
                token += 1;
                last_star = Some((token, rest.clone()));
                continue;
            }
            let before = rest.clone();
            match (tokens.get(token), rest.next()) {
                (None, None) => return true,
                (Some(expected), Some(c)) if expected.accepts(c) => token += 1,
                _ => {
                    // The last star takes one character more.
                    let Some((after_star, resume)) = &mut last_star else { return false };
                    if before.as_str().is_empty() || resume.next().is_none() {
                        return false;
                    }
                    token = *after_star;
                    rest = resume.clone();
                }
            }
        }
    }
}

impl Token {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Char(expected) => *expected == c,
            Self::Any => true,
            Self::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
            Self::Star | Self::Dot | Self::Quotes => false,
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
    nesting: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, at: usize, what: &str) -> Result<T> {
        bail!("pattern `{}`, character {}: {what}", self.text, at + 1)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Reads up to the end, or up to a `,` or `}` that closes the braces it stands in.
    fn sequence(&mut self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        while let Some(c) = self.peek() {
            let start = self.at;
            match c {
                '}' => break,
                ',' if self.nesting > 0 => break,
                '{' => {
                    pieces.push(self.braces()?);
                    continue;
                }
                '"' => {
                    self.quoted(&mut pieces)?;
                    continue;
                }
                '[' => {
                    let class = self.class()?;
                    pieces.push(Piece::Token(class));
                    continue;
                }
                '*' if self.chars.get(start + 1) == Some(&'*') => {
                    return self.fail(start, "`**` is no glob: write one `*` for each level (`packages.*.*`)");
                }
                '*' => pieces.push(Piece::Token(Token::Star)),
                '?' => pieces.push(Piece::Token(Token::Any)),
                '.' => pieces.push(Piece::Token(Token::Dot)),
                other => pieces.push(Piece::Token(Token::Char(other))),
            }
            self.at += 1;
        }
        Ok(pieces)
    }

    fn braces(&mut self) -> Result<Piece> {
        let start = self.at;
        if self.nesting == MAX_NESTING {
            return self.fail(start, &format!("braces nest deeper than {MAX_NESTING} levels"));
        }
        self.nesting += 1;
        let mut alternatives = Vec::new();
        loop {
            self.at += 1; // the opening brace or a comma
            alternatives.push(self.sequence()?);
            match self.peek() {
                Some(',') => {}
                Some(_) => break,
                None => {
                    return self.fail(start, "`{` is never closed (put a brace that belongs to a name in quotes)");
                }
            }
        }
        self.at += 1;
        self.nesting -= 1;
        Ok(Piece::Braces(alternatives))
    }

    /// The same escapes as in [`AttributePath::parse`].
    fn quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<()> {
        let start = self.at;
        self.at += 1;
        pieces.push(Piece::Token(Token::Quotes));
        loop {
            let Some(mut c) = self.peek() else { return self.fail(start, "`\"` is never closed") };
            self.at += 1;
            if c == '"' {
                return Ok(());
            }
            if c == '\\' {
                let Some(escaped) = self.peek() else { return self.fail(start, "`\"` is never closed") };
                self.at += 1;
                c = match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                };
            }
            pieces.push(Piece::Token(Token::Char(c)));
        }
    }

    fn class(&mut self) -> Result<Token> {
        let start = self.at;
        self.at += 1;
        let negated = self.peek() == Some('!');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let Some(from) = self.peek() else {
                return self.fail(start, "`[` is never closed (put a bracket that belongs to a name in quotes)");
            };
            self.at += 1;
            // As everywhere, a `]` that stands first is a member.
            if from == ']' && !ranges.is_empty() {
                return Ok(Token::Class { negated, ranges });
            }
            let to = match (self.peek(), self.chars.get(self.at + 1)) {
                (Some('-'), Some(&to)) if to != ']' => {
                    self.at += 2;
                    to
                }
                _ => from,
            };
            if to < from {
                return self.fail(self.at - 3, &format!("the range `{from}-{to}` is empty"));
            }
            ranges.push((from, to));
        }
    }
}

/// All token lists that the pieces stand for, in the order of the text.
fn expand(text: &str, pieces: &[Piece]) -> Result<Vec<Vec<Token>>> {
    let mut lists: Vec<Vec<Token>> = vec![Vec::new()];
    let mut size = 0; // tokens in `lists`
    for piece in pieces {
        let endings = match piece {
            Piece::Token(token) => vec![vec![token.clone()]],
            Piece::Braces(alternatives) => {
                let mut endings = Vec::new();
                for alternative in alternatives {
                    endings.extend(expand(text, alternative)?);
                }
                endings
            }
        };
        // Checked before anything is copied: every list meets every ending.
        let ending_size: usize = endings.iter().map(Vec::len).sum();
        size = size * endings.len() + ending_size * lists.len();
        if lists.len() * endings.len() > MAX_ALTERNATIVES || size > MAX_EXPANDED {
            bail!(
                "pattern `{}…`: its braces stand for more than {MAX_ALTERNATIVES} alternatives or {MAX_EXPANDED} characters \
                 (use a glob, or several patterns)",
                text.chars().take(100).collect::<String>()
            );
        }
        match endings.as_slice() {
            [ending] => lists.iter_mut().for_each(|list| list.extend_from_slice(ending)),
            _ => {
                let longer =
                    |list: &Vec<Token>| endings.iter().map(|ending| [list.as_slice(), ending].concat()).collect();
                lists = lists.iter().flat_map(|list| -> Vec<Vec<Token>> { longer(list) }).collect();
            }
        }
    }
    Ok(lists)
}

/// Cuts an expanded alternative at its dots.
fn segments(text: &str, tokens: Vec<Token>) -> Result<Vec<Segment>> {
    tokens
        .split(|token| *token == Token::Dot)
        .map(|segment| {
            if segment.is_empty() {
                bail!("pattern `{text}` has an empty name (write it `\"\"`)");
            }
            let mut glob: Vec<Token> = segment.iter().filter(|token| **token != Token::Quotes).cloned().collect();
            glob.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
            let literal: Option<String> = glob
                .iter()
                .map(|token| match token {
                    Token::Char(c) => Some(*c),
                    _ => None,
                })
                .collect();
            Ok(literal.map_or_else(|| Segment::Glob(Glob(glob)), Segment::Literal))
        })
        .collect()
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
            ("packages.**", "pattern `packages.**`, character 10: `**` is no glob"),
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
    fn a_step_leaves_what_is_below() {
        let pattern = Pattern::parse("a.*.c").unwrap();
        let rest = advance(&pattern.alternatives()[0], "a").unwrap();
        assert!(advance(rest, "anything").is_some_and(|rest| rest == [Segment::Literal("c".to_owned())]));
        assert!(advance(&pattern.alternatives()[0], "b").is_none());
        assert!(advance(&[], "b").is_none());
    }

    /// The definition of a glob, exponential and plainly right.
    fn naive(tokens: &[Token], name: &[char]) -> bool {
        match tokens.split_first() {
            None => name.is_empty(),
            Some((Token::Star, below)) => (0..=name.len()).any(|taken| naive(below, &name[taken..])),
            Some((token, below)) => name.split_first().is_some_and(|(c, rest)| token.accepts(*c) && naive(below, rest)),
        }
    }

    fn token() -> impl Strategy<Value = Token> {
        prop_oneof![
            Just(Token::Star),
            Just(Token::Any),
            prop::char::range('a', 'c').prop_map(Token::Char),
            (any::<bool>(), prop::char::range('a', 'c'))
                .prop_map(|(negated, c)| Token::Class { negated, ranges: vec![(c, 'c')] }),
        ]
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(tokens in prop::collection::vec(token(), 0..8), name in "[a-dü]{0,9}") {
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(Glob(tokens.clone()).matches(&name), naive(&tokens, &chars));
        }

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
