//! Which changed files make no difference: `ignore` of `nixdag.yml`.
//!
//! In: patterns as in a `.gitignore`, and paths of files from the repository's root, as git has them: bytes. Out: whether all
//! patterns together ignore a file. The last pattern that matches the file, or a folder that it is in, decides; `!` in front
//! means that it counts. Unlike in a `.gitignore` such a pattern also takes back a file in a folder that an earlier one ignores,
//! so that never more is ignored than git would.

use anyhow::{Result, bail, ensure};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1000;

/// Patterns in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreList(Vec<IgnorePattern>);

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IgnorePattern {
    /// What it matches counts after all.
    negated: bool,
    /// It matches folders, not files.
    folders_only: bool,
    segments: Vec<Segment>,
}

/// What the names of a path have to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of names; at the end of a pattern at least one.
    Any,
    /// One name.
    Name(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Star,
    /// `[a-z]`, `[!a-z]`: inclusive ranges.
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl IgnoreList {
    /// Reads patterns; an error names the one at fault.
    pub fn parse<'t>(patterns: impl IntoIterator<Item = &'t str>) -> Result<Self> {
        patterns.into_iter().map(IgnorePattern::parse).collect::<Result<_>>().map(Self)
    }

    /// True without any pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True for a file that makes no difference.
    pub fn ignores(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        self.0.iter().rev().find(|pattern| pattern.matches(&names)).is_some_and(|pattern| !pattern.negated)
    }
}

impl IgnorePattern {
    fn parse(text: &str) -> Result<Self> {
        let shown = text.escape_debug();
        ensure!(text.len() <= MAX_PATTERN, "the pattern has {} bytes, {MAX_PATTERN} are allowed", text.len());
        let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let (folders_only, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
        let anchored = rest.contains('/');
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let mut segments = if anchored { Vec::new() } else { vec![Segment::Any] };
        for name in rest.split('/') {
            match name {
                "" => bail!("pattern `{shown}` has an empty name"),
                "." | ".." => bail!("pattern `{shown}` has the name `{name}`, which no path from the root has"),
                "**" => segments.push(Segment::Any),
                name => match tokens(name.as_bytes()) {
                    Ok(tokens) => segments.push(Segment::Name(tokens)),
                    Err(error) => bail!("pattern `{shown}`: {error}"),
                },
            }
        }
        Ok(Self { negated, folders_only, segments })
    }

    /// True if it matches the path or a folder above it.
    fn matches(&self, names: &[&[u8]]) -> bool {
        let end = self.segments.len();
        // Entry `i`: the first `i` segments match the names so far.
        let mut reached = vec![false; end + 1];
        reached[0] = true;
        for (at, name) in names.iter().enumerate() {
            let mut next = vec![false; end + 1];
            for (index, segment) in self.segments.iter().enumerate() {
                if !reached[index] {
                    continue;
                }
                match segment {
                    Segment::Any => {
                        next[index] = true;
                        if index + 1 == end {
                            next[end] = true;
                        } else {
                            // It may stand for no name at all, so what comes behind it is tried on this name too.
                            reached[index + 1] = true;
                        }
                    }
                    Segment::Name(tokens) => next[index + 1] |= glob(tokens, name),
                }
            }
            let is_folder = at + 1 < names.len();
            if next[end] && (is_folder || !self.folders_only) {
                return true;
            }
            reached = next;
        }
        false
    }
}

/// Reads one name of a pattern.
fn tokens(name: &[u8]) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        tokens.push(match byte {
            b'*' => {
                if tokens.last() == Some(&Token::Star) {
                    continue;
                }
                Token::Star
            }
            b'?' => Token::One,
            b'\\' => match rest.split_first() {
                Some((&escaped, behind)) => {
                    rest = behind;
                    Token::Byte(escaped)
                }
                None => return Err("it ends with `\\`"),
            },
            b'[' => {
                let (class, behind) = class(rest)?;
                rest = behind;
                class
            }
            other => Token::Byte(other),
        });
    }
    Ok(tokens)
}

/// Reads what stands behind `[`, and gives what stands behind `]`.
fn class(text: &[u8]) -> Result<(Token, &[u8]), &'static str> {
    const OPEN: &str = "`[` is never closed in its name";
    let (negated, mut rest) = match text.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, text),
    };
    let one = |text: &mut &[u8]| -> Result<u8, &'static str> {
        let (&first, mut behind) = text.split_first().ok_or(OPEN)?;
        let byte = match first {
            b'[' if behind.first() == Some(&b':') => return Err("classes such as `[:digit:]` are not known"),
            b'\\' => {
                let (&escaped, further) = behind.split_first().ok_or(OPEN)?;
                behind = further;
                escaped
            }
            other => other,
        };
        *text = behind;
        Ok(byte)
    };
    let mut ranges = Vec::new();
    loop {
        // A bracket in the first place is meant literally.
        if let (Some(b']'), false) = (rest.first(), ranges.is_empty()) {
            return Ok((Token::Class { negated, ranges }, &rest[1..]));
        }
        let from = one(&mut rest)?;
        match rest {
            [b'-', last, ..] if *last != b']' => {
                rest = &rest[1..];
                let to = one(&mut rest)?;
                if from > to {
                    return Err("a range in brackets is empty");
                }
                ranges.push((from, to));
            }
            _ => ranges.push((from, from)),
        }
    }
}

/// Time: at most the product of both lengths, as only the last star is ever tried again.
fn glob(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut last_star = None;
    loop {
        let matched = match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Star), _) => {
                token += 1;
                last_star = Some((token, at));
                continue;
            }
            (Some(expected), Some(&byte)) => expected.accepts(byte),
            _ => false,
        };
        if matched {
            token += 1;
            at += 1;
            continue;
        }
        // The last star takes one byte more.
        match &mut last_star {
            Some((after_star, from)) if *from < name.len() => {
                *from += 1;
                (token, at) = (*after_star, *from);
            }
            _ => return false,
        }
    }
}

impl Token {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Self::Byte(expected) => *expected == byte,
            Self::One => true,
            Self::Star => false,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&byte)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::process::Command;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    fn ignores(patterns: &[&str], path: &str) -> bool {
        IgnoreList::parse(patterns.iter().copied()).unwrap().ignores(path.as_bytes())
    }

    #[test]
    fn a_pattern_without_a_slash_matches_at_any_depth_and_one_with_a_slash_from_the_root() {
        assert!(
            ignores(&["*.md"], "README.md") && ignores(&["*.md"], "a/b/c.md") && ignores(&["docs"], "a/docs/x.nix")
        );
        assert!(ignores(&["/docs"], "docs/x") && !ignores(&["/docs"], "a/docs/x"));
        assert!(
            ignores(&["a/*.md"], "a/x.md") && !ignores(&["a/*.md"], "b/a/x.md") && !ignores(&["a/*.md"], "a/b/x.md")
        );
        assert!(ignores(&["docs/"], "docs/x") && ignores(&["docs/"], "a/docs/b/x") && !ignores(&["docs/"], "a/docs"));
    }

    #[test]
    fn two_stars_stand_for_any_number_of_folders() {
        assert!(ignores(&["a/**/z"], "a/z") && ignores(&["a/**/z"], "a/b/c/z") && !ignores(&["a/**/z"], "b/a/z"));
        assert!(ignores(&["**/z"], "z") && ignores(&["**/z"], "a/b/z/x"));
        assert!(ignores(&["a/**"], "a/b") && ignores(&["a/**"], "a/b/c") && !ignores(&["a/**"], "a"));
        assert!(ignores(&["**"], "a") && ignores(&["a**b"], "x/a1b") && !ignores(&["a**b"], "a/b"));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        assert!(!ignores(&["*.md", "!flake.md"], "x/flake.md") && ignores(&["!flake.md", "*.md"], "x/flake.md"));
        // More than git does: it would not look into a folder that is ignored.
        assert!(!ignores(&["docs/", "!docs/build.nix"], "docs/build.nix") && ignores(&["docs/", "!docs/x"], "docs/y"));
        assert!(!ignores(&[], "x"));
    }

    #[test]
    fn classes_escapes_and_bytes() {
        assert!(ignores(&["[a-c]x"], "bx") && !ignores(&["[!a-c]x"], "bx") && ignores(&["[^a-c]x"], "dx"));
        assert!(ignores(&["[]-]"], "]") && ignores(&["[]-]"], "-") && ignores(&[r"[\]a]"], "]"));
        assert!(
            ignores(&[r"\*"], "*") && !ignores(&[r"\*"], "x") && ignores(&[r"\!x"], "!x") && ignores(&["#x"], "#x")
        );
        assert!(ignores(&["a?c"], "abc") && !ignores(&["a?c"], "a/c"));
        let odd = b"d\xff\n\"/x";
        assert!(
            IgnoreList::parse(["d???/"]).unwrap().ignores(odd) && !IgnoreList::parse(["d??/"]).unwrap().ignores(odd)
        );
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        for (pattern, words) in [
            ("", "empty name"),
            ("/", "empty name"),
            ("a//b", "empty name"),
            ("../x", "`..`"),
            ("[ab", "never closed"),
            ("a\\", "ends with"),
            ("[b-a]", "empty"),
            ("[[:digit:]]", "[:digit:]"),
        ] {
            let error = format!("{:#}", IgnoreList::parse([pattern]).unwrap_err());
            assert!(error.contains(words), "{pattern}: {error}");
        }
        assert!(IgnoreList::parse([&*"x".repeat(1001)]).is_err());
    }

    #[test]
    fn git_agrees() {
        let pattern = "/?(a|b|ü|\\*|\\*\\*|\\?|\\[ab\\]|\\[!a\\]|\\[\\]a-c\\]|\\\\\\*|/){1,6}/?";
        let path = "(a|b|ab|abc|\\*|ü|a\\]|x)(/(a|b|ab|abc|\\*|ü|a\\]|x)){0,3}";
        let regex = |text| prop::string::string_regex(text).unwrap();
        let cases = (regex(pattern), prop::collection::vec(regex(path), 20));
        let mut random = TestRunner::deterministic();
        let repository = tempfile::tempdir().unwrap();
        let mut asked = Vec::new();
        // Each pattern is alone in the `.gitignore` of a folder of its own.
        for folder in 0..100 {
            let (pattern, paths) = cases.new_tree(&mut random).unwrap().current();
            // What is refused here matches nothing there, or is harmless.
            let Ok(list) = IgnoreList::parse([&*pattern]) else { continue };
            let folder = folder.to_string();
            fs::create_dir(repository.path().join(&folder)).unwrap();
            fs::write(repository.path().join(&folder).join(".gitignore"), format!("{pattern}\n")).unwrap();
            for path in paths {
                asked.push((format!("{folder}/{path}"), list.ignores(path.as_bytes()), pattern.clone()));
            }
        }
        let list = repository.path().join("list");
        fs::write(&list, asked.iter().flat_map(|(path, ..)| [path.as_str(), "\0"]).collect::<String>()).unwrap();
        let git = |arguments: &[&str]| {
            let input = fs::File::open(&list).unwrap();
            Command::new("git").args(arguments).current_dir(&repository).stdin(input).output().unwrap().stdout
        };
        git(&["init", "-q"]);
        let answer = git(&["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--stdin", "-z"]);
        let ignored: HashSet<&[u8]> = answer.split(|&byte| byte == 0).collect();
        assert!(asked.len() > 1500 && ignored.len() > 200, "{} {}", asked.len(), ignored.len());
        for (path, ours, pattern) in &asked {
            assert_eq!(*ours, ignored.contains(path.as_bytes()), "pattern {pattern:?}, path {path:?}");
        }
    }

    #[test]
    fn many_stars_do_not_backtrack_exponentially() {
        let list = IgnoreList::parse([&*format!("/{}b", "**/*a*/".repeat(100))]).unwrap();
        assert!(!list.ignores("a/".repeat(2000).as_bytes()));
        assert!(!IgnoreList::parse([&*"*a".repeat(400)]).unwrap().ignores("a".repeat(399).as_bytes()));
    }
}
