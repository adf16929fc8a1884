//! Writes YAML that every reader understands alike: a small value tree goes in, text comes out.
//!
//! CircleCI's compiler reads YAML 1.1, where `on`, `1:30`, `012`, `<<` or `2026-08-01` are not the strings that they look like.
//! So every string that is not plainly a word is double-quoted, and what a reader might refuse or fold is escaped.
//! The text holds no tabs, no anchors, no aliases and, but for a reference that nobody has resolved, no tags.

pub mod lenient;
pub mod read;
mod scalar;

use std::fmt::Write;

/// A value to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yaml {
    /// A mapping, written in this order.
    Map(Vec<(String, Yaml)>),
    /// A sequence.
    List(Vec<Yaml>),
    /// A string, written as a word or in double quotes.
    Text(String),
    /// A string that people want to read line by line: a literal block where that is certain to come back unchanged.
    Script(String),
    /// A whole number.
    Integer(i64),
    /// A number with a point, as it is written.
    Float(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// GitLab's `!reference [a, b]`: what stands under these keys. It is only read.
    Reference(Vec<String>),
}

impl Yaml {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A mapping, in the order given.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Yaml)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A mapping with one key.
    pub fn entry(key: impl Into<String>, value: Yaml) -> Self {
        Self::Map(vec![(key.into(), value)])
    }

    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The string that it is.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Script(text) => Some(text),
            _ => None,
        }
    }

    /// A sequence of strings.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }
}

/// Writes a document; it ends with a newline.
pub fn to_string(value: &Yaml) -> String {
    let mut out = String::new();
    match value {
        Yaml::Map(entries) if !entries.is_empty() => map(&mut out, entries, 0),
        Yaml::List(items) if !items.is_empty() => list(&mut out, items, 0),
        other => {
            inline(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

/// Readers look for the colon behind an implicit key within 1,024 characters only.
const MAX_IMPLICIT_KEY: usize = 1000;

fn map(out: &mut String, entries: &[(String, Yaml)], indent: usize) {
    for (position, (key, value)) in entries.iter().enumerate() {
        if position > 0 {
            pad(out, indent);
        }
        let start = out.len();
        string(out, key);
        if out.len() - start > MAX_IMPLICIT_KEY {
            out.insert_str(start, "? ");
            out.push('\n');
            pad(out, indent);
        }
        out.push(':');
        match value {
            Yaml::Map(children) if !children.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                map(out, children, indent + 2);
            }
            Yaml::List(items) if !items.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                list(out, items, indent + 2);
            }
            other => {
                out.push(' ');
                inline(out, other, indent);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Yaml], indent: usize) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Yaml::Map(children) if !children.is_empty() => map(out, children, indent + 2),
            Yaml::List(children) if !children.is_empty() => list(out, children, indent + 2),
            other => {
                inline(out, other, indent);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Writes what stands on the line of its key or dash, without the newline at the end.
fn inline(out: &mut String, value: &Yaml, indent: usize) {
    match value {
        Yaml::Map(_) => out.push_str("{}"),
        Yaml::List(_) => out.push_str("[]"),
        Yaml::Text(text) => string(out, text),
        Yaml::Script(text) => match block_header(text) {
            Some(header) => {
                out.push_str(header);
                for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                    out.push('\n');
                    if !line.is_empty() {
                        pad(out, indent + 2);
                        out.push_str(line);
                    }
                }
            }
            None => string(out, text),
        },
        Yaml::Integer(number) => write!(out, "{number}").expect("a string takes every text"),
        Yaml::Float(number) => out.push_str(number),
        Yaml::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Yaml::Null => out.push_str("null"),
        Yaml::Reference(keys) => {
            out.push_str("!reference [");
            for (position, key) in keys.iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { "" });
                quoted(out, key);
            }
            out.push(']');
        }
    }
}

/// The header of a literal block that gives back exactly this text; none where quotes are safer.
fn block_header(text: &str) -> Option<&'static str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let certain = !body.is_empty()
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\n', '#'])
        && body.split('\n').all(|line| !line.ends_with(' '))
        && body.chars().all(|c| c == '\n' || !must_escape(c));
    certain.then_some(if body.len() == text.len() { "|-" } else { "|" })
}

fn string(out: &mut String, text: &str) {
    if is_word(text) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

/// True for text that no reader of YAML 1.1 or 1.2 takes for anything but a string.
fn is_word(text: &str) -> bool {
    const NOT_STRINGS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
        && !NOT_STRINGS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if !must_escape(c) => out.push(c),
            c => match u32::from(c) {
                code @ ..=0xff => write!(out, "\\x{code:02X}"),
                code @ ..=0xffff => write!(out, "\\u{code:04X}"),
                code => write!(out, "\\U{code:08X}"),
            }
            .expect("a string takes every text"),
        }
    }
    out.push('"');
}

/// Characters that readers refuse, fold, or that do not show: controls, line separators, marks of direction and width,
/// private and unassigned ones at the end of the first plane, and all planes above it.
fn must_escape(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0xa0 | 0xad | 0x200b..=0x200f | 0x2028..=0x202f | 0x2060..=0x206f | 0xe000..=0xf8ff
        | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xfff0..=0xffff | 0x10000..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        to_string(&Yaml::text(text)).trim_end_matches('\n').to_owned()
    }

    #[test]
    fn words_stay_bare() {
        for word in ["docker", "x86_64-linux", "nixos/nix", "m4pro.medium", "Foo", "yesterday"] {
            assert_eq!(written(word), word);
        }
    }

    #[test]
    fn what_yaml_1_1_would_change_is_quoted() {
        for text in ["yes", "No", "ON", "off", "y", "N", "True", "null", "~", "", "1:30", "0x1f", "1_000", "012", "1e3"]
        {
            assert_eq!(written(text), format!("\"{text}\""));
        }
        for text in
            ["<<", "=", "2026-08-01", "-", "?", ":", "#a", "%a", "@a", "`a", " a", "a ", "a: b", "*a", "&a", "!a"]
        {
            assert_eq!(written(text), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_does_not_show_is_escaped() {
        assert_eq!(
            written("\0\u{7}\u{85}\u{2028}\u{feff}\u{1f600}\t\r\n"),
            "\"\\x00\\x07\\x85\\u2028\\uFEFF\\U0001F600\\t\\r\\n\""
        );
    }

    #[test]
    fn a_script_is_a_block_only_where_it_is_certain_to_come_back() {
        let block = |text: &str| to_string(&Yaml::entry("run", Yaml::Script(text.into())));
        assert_eq!(block("a\n\n  b # c\n"), "run: |\n  a\n\n    b # c\n");
        assert_eq!(block("a\nb"), "run: |-\n  a\n  b\n");
        for text in ["", "\n", "a\n\n", " a\n", "a \n", "a\tb\n", "a\r\n", "\na", "a\u{85}b", "#a"] {
            assert!(block(text).starts_with("run: \""), "{text:?}");
        }
    }

    #[test]
    fn nesting_is_indented_by_two() {
        let value = Yaml::map([
            ("list", Yaml::List(vec![Yaml::entry("a", Yaml::List(vec![Yaml::Integer(1)])), Yaml::Bool(true)])),
            ("none", Yaml::Map(Vec::new())),
            ("nothing", Yaml::List(Vec::new())),
        ]);
        assert_eq!(to_string(&value), "list:\n  - a:\n      - 1\n  - true\nnone: {}\nnothing: []\n");
    }

    #[test]
    fn long_keys_are_explicit() {
        let text = to_string(&Yaml::entry("k".repeat(1200), Yaml::Integer(1)));
        assert!(text.starts_with("? kkk") && text.ends_with("k\n: 1\n"));
    }
}
