//! The words of Nix's ATerm files, without copying: quoted strings, lists, punctuation.
//!
//! In: bytes. Out: slices of them, escapes left in place until somebody asks; an error names the byte it stands at.

use std::borrow::Cow;
use std::fmt;

/// A quoted string of the file, escapes still in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a [u8],
}

impl<'a> Text<'a> {
    /// The bytes that the string stands for: `\n`, `\r`, `\t` are control characters, any other `\x` is `x`.
    pub fn bytes(self) -> Cow<'a, [u8]> {
        if memchr::memchr(b'\\', self.raw).is_none() {
            return Cow::Borrowed(self.raw);
        }
        let mut plain = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw.iter();
        while let Some(&byte) = rest.next() {
            plain.push(match byte {
                b'\\' => match rest.next() {
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b't') => b'\t',
                    Some(&other) => other,
                    None => b'\\',
                },
                other => other,
            });
        }
        Cow::Owned(plain)
    }

    /// The bytes between the quotes as the file has them.
    pub(super) fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// True if the string stands for exactly these bytes.
    pub fn is(self, bytes: &[u8]) -> bool {
        self.raw == bytes && !bytes.contains(&b'\\') || *self.bytes() == *bytes
    }

    /// True for the empty string.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self { raw: b"" }
    }
}

/// Where a file stops being a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Offset from the file's start.
    pub byte: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// True where the file ends there.
    pub at_end: bool,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at_end {
            write!(f, "the file ends at byte {}, expected {}", self.byte, self.expected)
        } else {
            write!(f, "byte {}: expected {}", self.byte, self.expected)
        }
    }
}

impl std::error::Error for ParseError {}

/// A place in a file.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// That something else was expected here.
    pub fn error(&self, expected: &'static str) -> ParseError {
        ParseError { byte: self.at, expected, at_end: self.at >= self.bytes.len() }
    }

    /// Steps over the token where it is next; says whether it was.
    #[inline]
    pub fn skip(&mut self, token: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Steps over the token; `name` is for the message where something else is next.
    #[inline]
    pub fn expect(&mut self, token: &[u8], name: &'static str) -> Result<(), ParseError> {
        if self.skip(token) { Ok(()) } else { Err(self.error(name)) }
    }

    /// Reads `"…"`. The end is the first quote with an even number of backslashes before it, so that the escapes inside,
    /// which are many in build scripts, need not be looked at.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, ParseError> {
        self.expect(b"\"", "`\"`")?;
        let start = self.at;
        let mut from = start;
        loop {
            let Some(found) = memchr::memchr(b'"', &self.bytes[from..]) else {
                self.at = self.bytes.len();
                return Err(self.error("a closing `\"`"));
            };
            let quote = from + found;
            // A run of backslashes cannot reach back over an earlier quote, so this stays linear.
            let backslashes = self.bytes[from..quote].iter().rev().take_while(|&&byte| byte == b'\\').count();
            if backslashes % 2 == 0 {
                self.at = quote + 1;
                return Ok(Text { raw: &self.bytes[start..quote] });
            }
            from = quote + 1;
        }
    }

    /// Reads `[item,item,…]`.
    #[inline]
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), ParseError>) -> Result<(), ParseError> {
        self.expect(b"[", "`[`")?;
        if self.skip(b"]") {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.skip(b"]") {
                return Ok(());
            }
            self.expect(b",", "`,` or `]`")?;
        }
    }

    /// Refuses anything more.
    pub fn end(&self) -> Result<(), ParseError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("the end of the file")) }
    }
}
