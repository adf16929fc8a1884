//! Attribute paths: lists of names, never dotted strings that get split.
//!
//! The text form is Nix's own: names joined by dots, a name that is no identifier in double quotes.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::printable::numbered;

/// The path of one flake output, e.g. `["packages", "x86_64-linux", "hello"]`. A clone costs nothing: a plan names each target in several places.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttributePath(Arc<[String]>);

impl AttributePath {
    /// The path with these names.
    pub fn new(names: impl Into<Arc<[String]>>) -> Self {
        Self(names.into())
    }

    /// Reads `a."b.c".d`; inside quotes `\"`, `\\`, `\$`, `\n`, `\r` and `\t` are escapes as in Nix, and `\u{1b}` is the character with this
    /// number, as messages write it.
    ///
    /// Outside quotes everything but dots and quotes belongs to the name, as on Nix's command line; a name may be empty.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut names, mut name) = (Vec::new(), String::new());
        let mut quoted = false;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => names.push(std::mem::take(&mut name)),
                '\\' if quoted => match chars.next() {
                    Some('n') => name.push('\n'),
                    Some('r') => name.push('\r'),
                    Some('t') => name.push('\t'),
                    Some('u') => match numbered(chars.as_str()) {
                        Some((c, length)) => {
                            name.push(c);
                            chars = chars.as_str()[length..].chars();
                        }
                        None => name.push('u'),
                    },
                    Some(other) => name.push(other),
                    None => {}
                },
                other => name.push(other),
            }
        }
        if quoted {
            bail!("attribute path `{text}` lacks a closing quote");
        }
        names.push(name);
        Ok(Self::new(names))
    }

    /// The names of the path.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// True for a name that Nix reads without quotes.
fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_'-".contains(&b))
}

/// Writes one name as Nix would: bare where it is an identifier, else quoted and escaped.
pub fn write_name(out: &mut impl fmt::Write, name: &str) -> fmt::Result {
    if is_identifier(name) {
        return out.write_str(name);
    }
    out.write_char('"')?;
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '$' if rest.peek() == Some(&'{') => out.write_str("\\$")?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write_name(f, name)?;
        }
        Ok(())
    }
}

impl<S: Into<String>> FromIterator<S> for AttributePath {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;
    use crate::printable::printable;

    #[test]
    fn odd_names_survive_the_text_form() {
        for name in [
            "a.b",
            "with space",
            "quo\"te",
            "dollar${x}",
            "<<merge",
            "ünï",
            "-dash",
            "123",
            "",
            "back\\slash",
            "new\nline",
            "$",
            "a$",
            "x'",
            "esc\u{1b}[31mred",
            "right\u{202e}left",
            "back\\u{1b}",
            "back\\u",
        ] {
            let path: AttributePath = ["packages", "x86_64-linux", name].into_iter().collect();
            assert_eq!(AttributePath::parse(&path.to_string()).unwrap(), path);
            let shown = printable(&path.to_string());
            assert_eq!(AttributePath::parse(&shown).unwrap(), path, "as messages have it");
            assert!(Pattern::parse(&shown).unwrap().matches(path.names()), "{shown}");
        }
    }

    #[test]
    fn a_plain_path_needs_no_quotes() {
        let path = AttributePath::parse("packages.x86_64-linux.hello").unwrap();
        assert_eq!(path.names(), ["packages", "x86_64-linux", "hello"]);
        assert_eq!(path.to_string(), "packages.x86_64-linux.hello");
    }

    #[test]
    fn names_may_be_empty_and_quotes_must_close() {
        assert_eq!(AttributePath::parse("a..b").unwrap().names(), ["a", "", "b"]);
        assert_eq!(AttributePath::parse("").unwrap().names(), [""]);
        for text in ["a.\"b", "\"", "\"\\"] {
            assert!(AttributePath::parse(text).is_err(), "{text}");
        }
    }
}
