//! Strings and numbers of `nixdag.yml` that mean something: each is checked where it stands, so that a message names the place.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::option::Said;
use super::schema::{Schema, one_or_more};
use super::yaml::{self, Expected, List, Scalar, Texts};
use crate::nix::signature::PublicKey;
use crate::pattern::Pattern;
use crate::plan::options::VARIABLE_PREFIX;
use crate::plan::options::is_context;
use crate::secret::{VariableName, is_variable};

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

/// Most seconds of a [`Duration`]: no provider lets a job run longer than a day.
const MAX_SECONDS: u32 = 24 * 60 * 60;

/// A time, as seconds or as `90s`, `30m`, `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub u32);

impl Duration {
    const EXPECTED: &'static str = "seconds, or a time such as `90s`, `30m`, `2h`, up to 24 hours";

    /// Refuses none and too many.
    pub fn checked(seconds: u64) -> Result<Self> {
        let fits = u32::try_from(seconds).ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        fits.map(Self).ok_or_else(|| anyhow::anyhow!("{seconds} seconds, expected {}", Self::EXPECTED))
    }

    /// Reads `30m`.
    pub fn read(text: &str) -> Result<Self> {
        let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => 0,
        };
        let number = number.parse::<u64>().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|number| number.checked_mul(factor)).filter(|_| factor > 0) {
            Some(seconds) => Self::checked(seconds),
            None => bail!("`{}`, expected {}", text.escape_debug(), Self::EXPECTED),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(Duration::EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
                Duration::checked(seconds).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                Duration::read(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Schema for Duration {
    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": MAX_SECONDS },
            { "type": "string", "pattern": "^[0-9]+[smh]$" },
        ] })
    }
}

/// A whole number in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<const LEAST: u32, const MOST: u32>(pub u32);

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Number<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<const LEAST: u32, const MOST: u32>;
        impl<const LEAST: u32, const MOST: u32> Visitor<'_> for Reader<LEAST, MOST> {
            type Value = Number<LEAST, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "a whole number from {LEAST} ")?;
                if MOST == u32::MAX { f.write_str("on") } else { write!(f, "to {MOST}") }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let fits = u32::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
                fits.map(Number).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_u64(Reader::<LEAST, MOST>)
    }
}

impl<const LEAST: u32, const MOST: u32> Schema for Number<LEAST, MOST> {
    fn schema() -> Value {
        json!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

impl<const LEAST: u32, const MOST: u32> Said<u32> for Option<Number<LEAST, MOST>> {
    fn said(&self) -> Option<u32> {
        self.map(|number| number.0)
    }
}

/// A whole number from 1 on.
pub type Count = Number<1, { u32::MAX }>;

/// Variables of a job: name to value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of variables to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = BTreeMap::new();
                while let Some(name) = map.next_key::<Variable>()? {
                    let shown = name.0.clone();
                    if variables.insert(name.0, map.next_value::<Scalar>()?.0).is_some() {
                        return Err(de::Error::custom(format!("the variable `{shown}` stands there twice")));
                    }
                }
                Ok(Variables(variables))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Schema for Variables {
    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": format!("^(?!{VARIABLE_PREFIX})[A-Za-z_][A-Za-z0-9_]*$") },
            "additionalProperties": Scalar::schema(),
        })
    }
}

/// The name of a variable.
struct Variable(String);

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        key(deserializer, "the name of a variable", |name| {
            let shown = name.escape_debug();
            ensure!(is_variable(name), "`{shown}` cannot be a variable (expected letters, digits and `_`)");
            ensure!(
                !name.starts_with(VARIABLE_PREFIX),
                "the variable `{shown}` begins with `{VARIABLE_PREFIX}`, as nixdag's own do"
            );
            Ok(Self(name.to_owned()))
        })
    }
}

/// Reads the key of a mapping: a string even where a value of the same letters would be something else.
pub fn key<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read: fn(&str) -> Result<T>,
) -> Result<T, D::Error> {
    struct Reader<T>(&'static str, fn(&str) -> Result<T>);
    impl<T> Visitor<'_> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            self.1(text).map_err(|error| E::custom(format!("{error:#}")))
        }
    }
    deserializer.deserialize_str(Reader(expected, read))
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

    #[test]
    fn times_have_units_and_bounds() {
        let read = |text| Duration::read(text).map(|time| time.0).ok();
        assert_eq!(["90s", "30m", "24h"].map(read), [Some(90), Some(1800), Some(86_400)]);
        for text in ["", "s", "m5", "0s", "25h", "1d", "-1s", "+1s", "1 m", "99999999999999999999h", "5ü"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
