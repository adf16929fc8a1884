//! Nix's `netrc-file`: user names and passwords by host. A file or its text in, entries out. Nothing of them is ever printed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::store_url::basic;

/// Largest file that is read, in bytes.
pub const MAX_SIZE: u64 = 1 << 20;

/// The entries of a file, in its order.
#[derive(Clone, Default)]
pub struct Netrc(Vec<NetrcEntry>);

#[derive(Clone, Default)]
struct NetrcEntry {
    /// None for `default`, which stands for every host.
    machine: Option<String>,
    login: String,
    password: String,
}

impl Netrc {
    /// Reads a file. One that is missing or that this user may not read is none: so it is for Nix.
    pub fn read(path: &Path) -> Self {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_string(&mut text));
        read.map(|_| Self::parse(&text)).unwrap_or_default()
    }

    /// Reads a file as curl does: words in any layout, in quotes where they hold blanks; `#` begins a comment.
    pub fn parse(text: &str) -> Self {
        let mut entries: Vec<NetrcEntry> = Vec::new();
        let mut words = words(text).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "machine" => entries.push(NetrcEntry { machine: words.next(), ..NetrcEntry::default() }),
                "default" => entries.push(NetrcEntry::default()),
                "login" | "password" | "account" => {
                    let value = words.next().unwrap_or_default();
                    match (entries.last_mut(), word.as_str()) {
                        (Some(entry), "login") => entry.login = value,
                        (Some(entry), "password") => entry.password = value,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Self(entries)
    }

    /// The `Authorization` header for a host.
    pub fn authorization(&self, host: &str) -> Option<String> {
        let is_for =
            |entry: &&NetrcEntry| entry.machine.as_deref().is_none_or(|machine| machine.eq_ignore_ascii_case(host));
        self.0.iter().find(is_for).map(|entry| basic(&entry.login, &entry.password))
    }
}

impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netrc of {} entries", self.0.len())
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut characters = line.chars().peekable();
        while let Some(&first) = characters.peek() {
            match first {
                ' ' | '\t' => {
                    characters.next();
                }
                '#' => break,
                '"' => {
                    characters.next();
                    let mut word = String::new();
                    while let Some(character) = characters.next() {
                        match character {
                            '"' => break,
                            '\\' => word.extend(characters.next().map(escaped)),
                            character => word.push(character),
                        }
                    }
                    words.push(word);
                }
                _ => {
                    let mut word = String::new();
                    while let Some(character) = characters.next_if(|character| !" \t".contains(*character)) {
                        word.push(character);
                    }
                    words.push(word);
                }
            }
        }
    }
    words
}

/// What a character stands for behind a backslash.
fn escaped(character: char) -> char {
    match character {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_by_host() {
        let text = "# comment\nmachine a.example login me password secret\n\
                    machine b.example\n\tlogin \"with \\\" blank\"\n\tpassword x # y\ndefault login d password e\n";
        let netrc = Netrc::parse(text);
        assert_eq!(netrc.authorization("a.example"), Some(basic("me", "secret")));
        assert_eq!(netrc.authorization("A.EXAMPLE"), Some(basic("me", "secret")));
        assert_eq!(netrc.authorization("b.example"), Some(basic("with \" blank", "x")));
        assert_eq!(netrc.authorization("c.example"), Some(basic("d", "e")));
        assert!(!format!("{netrc:?}").contains("secret"));
        let netrc = Netrc::parse(r#"machine a login "\t\\" password "\n\r\"""#);
        assert_eq!(netrc.authorization("a"), Some(basic("\t\\", "\n\r\"")));
        // As Cachix writes it.
        let netrc = Netrc::parse("machine x.cachix.org password token");
        assert_eq!(netrc.authorization("x.cachix.org"), Some(basic("", "token")));
        assert_eq!(netrc.authorization("y.cachix.org"), None);
    }

    #[test]
    fn broken_files_are_read_as_far_as_they_go() {
        for text in ["", "machine", "login x", "machine a login", "machine a password \"", "\"", "#", "machine a\0"] {
            let _ = Netrc::parse(text).authorization("a");
        }
    }
}
