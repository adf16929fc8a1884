//! Reads the text of a pattern: quotes, globs and braces, and expands the braces.
//!
//! In: text. Out: the alternatives, each a list of segments, bounded in number and size.

use std::collections::HashSet;

use anyhow::{Result, bail};

use super::segment::{Glob, Segment, Token};
use crate::printable::numbered;

/// Most alternatives that the braces of one pattern may stand for.
const MAX_ALTERNATIVES: usize = 4096;

/// Most characters of all alternatives of one pattern together.
const MAX_EXPANDED: usize = 1 << 20;

/// How deep braces may nest.
const MAX_NESTING: usize = 32;

/// A piece of the text before its braces are expanded.
enum Piece {
    Token(Token),
    Braces(Vec<Vec<Piece>>),
}

/// Reads a pattern; an error names the pattern and the character (from 1) at fault.
pub fn alternatives(text: &str) -> Result<Vec<Vec<Segment>>> {
    distinct(text, |tokens| tokens)
}

/// Reads a glob over one name, dots included.
pub fn names(text: &str) -> Result<Vec<Vec<Segment>>> {
    let letter = |token| match token {
        Token::Dot => Token::Char('.'),
        Token::Levels => Token::Star,
        other => other,
    };
    distinct(text, |tokens| tokens.into_iter().map(letter).collect())
}

/// The distinct alternatives, their tokens changed before they are cut into segments.
fn distinct(text: &str, change: impl Fn(Vec<Token>) -> Vec<Token>) -> Result<Vec<Vec<Segment>>> {
    let mut parser = Parser { text, chars: text.chars().collect(), at: 0, nesting: 0 };
    let pieces = parser.sequence()?;
    if parser.at < parser.chars.len() {
        // `sequence` stops early only at a closing brace that nothing opened.
        return parser.fail(parser.at, "`}` without `{` (put a brace that belongs to a name in quotes)");
    }
    let mut seen = HashSet::new();
    let mut alternatives = Vec::new();
    for tokens in expand(text, &pieces)? {
        let alternative = segments(text, change(tokens))?;
        if seen.insert(alternative.clone()) {
            alternatives.push(alternative);
        }
    }
    Ok(alternatives)
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
                    pieces.push(Piece::Token(Token::Levels));
                    self.at += 1;
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
                    'u' => {
                        // Digits and braces are one byte each.
                        let rest: String = self.chars[self.at..].iter().take(8).collect();
                        let (c, length) = numbered(&rest).unwrap_or(('u', 0));
                        self.at += length;
                        c
                    }
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
    let mut segments: Vec<Segment> = tokens
        .split(|token| *token == Token::Dot)
        .map(|segment| {
            if segment.is_empty() {
                bail!("pattern `{text}` has an empty name (write it `\"\"`)");
            }
            let mut glob: Vec<Token> = segment.iter().filter(|token| **token != Token::Quotes).cloned().collect();
            if segment == [Token::Levels] {
                return Ok(Segment::Levels);
            }
            if glob.contains(&Token::Levels) {
                bail!("pattern `{text}`: `**` matches whole names, so it has to be alone between two dots");
            }
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
        .collect::<Result<_>>()?;
    segments.dedup_by(|a, b| *a == Segment::Levels && *b == Segment::Levels);
    Ok(segments)
}
