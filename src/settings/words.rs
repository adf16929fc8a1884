//! Strings of `nixdag.yml` that mean something: each is checked where it is read, so that a message names the place.

use anyhow::{Result, bail, ensure};
use serde::de::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::schema::{Schema, one_or_more};
use super::yaml::{self, Expected, List, Texts};
use crate::fleet::keep::Keep;
use crate::nix::signature::PublicKey;
use crate::pattern::Pattern;
use crate::plan::options::is_context;
use crate::secret::VariableName;

/// Longest word, in bytes.
const MAX_WORD: usize = 300;

/// Longest command, in bytes.
pub const MAX_COMMAND: usize = 64 << 10;

/// A string that means something.
pub trait Word: Sized {
    /// What is expected, for messages.
    const EXPECTED: &'static str;
    /// A regular expression that all values match, for the schema.
    const REGEX: &'static str;

    /// Reads the string.
    fn read(text: &str) -> Result<Self>;
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct One<T>(pub T);

impl<'de, T: Word> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        yaml::texts(deserializer, T::EXPECTED, |texts| match texts {
            Texts::One(text) => Ok(Self(T::read(&text)?)),
            Texts::List(_) => bail!("a list, expected {}", T::EXPECTED),
        })
    }
}

impl<T: Word> Schema for One<T> {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": T::REGEX })
    }
}

/// One word, or a list of them that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<T>(pub Vec<T>);

impl<'de, T: Word> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        yaml::texts(deserializer, T::EXPECTED, |texts| {
            let texts = match texts {
                Texts::One(text) => vec![text],
                Texts::List(texts) => texts,
            };
            ensure!(!texts.is_empty(), "the list is empty, expected {}", T::EXPECTED);
            Ok(Self(texts.iter().map(|text| T::read(text)).collect::<Result<_>>()?))
        })
    }
}

impl<T: Word> Schema for Words<T> {
    fn schema() -> Value {
        one_or_more(&One::<T>::schema())
    }
}

/// The same, where none at all can be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordsOrNone<T>(pub Vec<T>);

impl<'de, T: Word> Deserialize<'de> for WordsOrNone<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        yaml::texts(deserializer, T::EXPECTED, |texts| {
            let texts = match texts {
                Texts::One(text) => vec![text],
                Texts::List(texts) => texts,
            };
            Ok(Self(texts.iter().map(|text| T::read(text)).collect::<Result<_>>()?))
        })
    }
}

impl<T: Word> Schema for WordsOrNone<T> {
    fn schema() -> Value {
        let word = One::<T>::schema();
        json!({ "anyOf": [word, { "type": "array", "items": word }] })
    }
}

/// A plain name: a system, a feature, a class, an image.
fn plain(text: &str, expected: &str) -> Result<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'`$\\".contains(c);
    ensure!(
        !text.is_empty() && text.len() <= MAX_WORD && !text.contains(odd),
        "`{}`, expected {expected}",
        text.escape_debug()
    );
    Ok(text.to_owned())
}

macro_rules! plain_word {
    ($(#[$about:meta])* $name:ident, $expected:literal, $regex:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Word for $name {
            const EXPECTED: &'static str = $expected;
            const REGEX: &'static str = $regex;

            fn read(text: &str) -> Result<Self> {
                plain(text, Self::EXPECTED).map(Self)
            }
        }
    };
}

plain_word!(
    /// A Nix system.
    SystemName, "a system such as `x86_64-linux`", r#"^[^\s"'`$\\]+$"#
);
plain_word!(
    /// A system feature.
    Feature, "a system feature such as `kvm`", r#"^[^\s"'`$\\]+$"#
);
plain_word!(
    /// A resource class.
    ClassName, "a resource class such as `large`, `arm.large`, `namespace/name` or `auto`", r#"^[^\s"'`$\\]+$"#
);
/// A tag of runners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerTag(pub String);

impl Word for RunnerTag {
    const EXPECTED: &'static str = "a tag of runners such as `nix`";
    const REGEX: &'static str = r#"^[^,"'`$\\\s][^,"'`$\\\n\t]*$"#;

    fn read(text: &str) -> Result<Self> {
        let odd = |c: char| c.is_control() || ",\"'`$\\".contains(c);
        ensure!(
            !text.is_empty() && text.len() <= MAX_WORD && text.trim() == text && !text.contains(odd),
            "`{}`, expected {}",
            text.escape_debug(),
            Self::EXPECTED
        );
        Ok(Self(text.to_owned()))
    }
}

/// How much of a store stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepWord(pub Keep);

impl Word for KeepWord {
    const EXPECTED: &'static str = Keep::EXPECTED;
    const REGEX: &'static str = "^[1-9][0-9]{0,6}(GB|MB|d)$";

    fn read(text: &str) -> Result<Self> {
        Keep::parse(text).map(Self)
    }
}

plain_word!(
    /// A Docker image, VM image or Xcode version.
    ImageName, "an image such as `nixos/nix:2.34.7` (a version in quotes)", r#"^[^\s"'`$\\]+$"#
);

/// The name of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorName(pub String);

impl Word for ExecutorName {
    const EXPECTED: &'static str = "the name of an executor (`[a-z][a-z0-9_-]*`)";
    const REGEX: &'static str = "^[a-z][a-z0-9_-]{0,60}$";

    fn read(text: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        ensure!(
            text.len() <= 61 && text.bytes().all(plain) && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase()),
            "`{}`, expected {}",
            text.escape_debug(),
            Self::EXPECTED
        );
        Ok(Self(text.to_owned()))
    }
}

/// The name of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextName(pub String);

impl Word for ContextName {
    const EXPECTED: &'static str = "the name of a context";
    const REGEX: &'static str = r"\S";

    fn read(text: &str) -> Result<Self> {
        ensure!(is_context(text), "`{}`, expected {}", text.escape_debug(), Self::EXPECTED);
        Ok(Self(text.to_owned()))
    }
}

/// A pattern of attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributePattern(pub Pattern);

impl Word for AttributePattern {
    const EXPECTED: &'static str = "a pattern of attributes such as `packages.*.*`";
    const REGEX: &'static str = ".";

    fn read(text: &str) -> Result<Self> {
        Pattern::parse(text).map(Self)
    }
}

impl Expected for One<AttributePattern> {
    const PLURAL: &'static str = "attribute patterns";
}

/// The patterns of a list.
pub fn patterns(list: &List<One<AttributePattern>>) -> Vec<Pattern> {
    list.0.iter().map(|text| text.0.0.clone()).collect()
}

impl Word for PublicKey {
    const EXPECTED: &'static str = "a public key, `name:base64`";
    const REGEX: &'static str = "^[^:]+:[A-Za-z0-9+/=]+$";

    fn read(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Expected for One<PublicKey> {
    const PLURAL: &'static str = "public keys";
}

impl Word for VariableName {
    const EXPECTED: &'static str = "the name of an environment variable";
    const REGEX: &'static str = "^[A-Za-z_][A-Za-z0-9_]*$";

    fn read(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Expected for One<VariableName> {
    const PLURAL: &'static str = "names of environment variables";
}

/// A glob over derivation names, dots included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameGlob(pub Pattern);

impl Word for NameGlob {
    const EXPECTED: &'static str = "a glob of derivation names such as `linux-*`";
    const REGEX: &'static str = ".";

    fn read(text: &str) -> Result<Self> {
        Pattern::name(text).map(Self)
    }
}

/// A shell for all steps, with `-e`, which nixdag's own steps rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell(pub String);

impl Word for Shell {
    const EXPECTED: &'static str = "a POSIX shell with options, such as `/bin/bash -eo pipefail`";
    const REGEX: &'static str = "^(/[A-Za-z0-9._/-]*/)?(sh|ash|dash|bash|ksh|zsh)( (-[a-zA-Z-]+|pipefail|errexit))*$";

    fn read(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let program = words.next().unwrap_or_default();
        let (folder, name) = program.rsplit_once('/').map_or(("/", program), |(folder, name)| (folder, name));
        let is_option = |word: &&str| {
            let letters = word.strip_prefix('-');
            ["pipefail", "errexit"].contains(word)
                || letters.is_some_and(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'))
        };
        let options: Vec<&str> = words.collect();
        let path = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
        ensure!(
            ["sh", "ash", "dash", "bash", "ksh", "zsh"].contains(&name)
                && (folder.is_empty() || folder.starts_with('/'))
                && folder.bytes().all(path)
                && options.iter().all(is_option),
            "`{}`, expected {}",
            text.escape_debug(),
            Self::EXPECTED
        );
        let short = |word: &&str| word.starts_with('-') && !word.starts_with("--") && word.contains('e');
        let ends = options.iter().any(short) || options.contains(&"errexit");
        Ok(Self(if ends { text.to_owned() } else { format!("{text} -e") }))
    }
}

/// A command for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub String);

impl Word for Command {
    const EXPECTED: &'static str = "a command";
    const REGEX: &'static str = r"\S";

    fn read(text: &str) -> Result<Self> {
        ensure!(!text.trim().is_empty(), "the command is empty");
        ensure!(text.len() <= MAX_COMMAND, "the command has more than {MAX_COMMAND} bytes: put it into a script");
        ensure!(!text.contains('\0'), "the command holds a NUL");
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_end_at_the_first_error() {
        let read = |text| Shell::read(text).map(|shell| shell.0).ok();
        assert_eq!(read("bash").as_deref(), Some("bash -e"));
        assert_eq!(read("/bin/bash -eo pipefail").as_deref(), Some("/bin/bash -eo pipefail"));
        assert_eq!(read("/bin/sh -o errexit").as_deref(), Some("/bin/sh -o errexit"));
        assert_eq!(read("bash --noprofile").as_deref(), Some("bash --noprofile -e"));
        for text in ["fish", "", "bash -c 'rm'", "bash; rm", "x/bash", "/bin/../$x/bash", "python3"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
