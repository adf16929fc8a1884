//! Closed sets of choices: each value has one name and one meaning, declared once with [`choice!`], whoever reads or writes it: the
//! command line (clap), `nixdag.yml` and its schema, plans.

use std::fmt;
use std::marker::PhantomData;

use anyhow::{Result, bail};
use serde::de::{self, Deserializer, Visitor};

use crate::nearest::{listed, unknown};

/// A set of named values.
pub trait Choice: Copy + PartialEq + 'static {
    /// All values: name, meaning, value.
    const ALL: &'static [(&'static str, &'static str, Self)];

    /// The names of all values.
    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|(name, ..)| *name).collect()
    }

    /// The value's name.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(.., value)| *value == self).map_or("", |(name, ..)| name)
    }

    /// Reads a name.
    fn parse(text: &str) -> Result<Self> {
        match Self::ALL.iter().find(|(name, ..)| *name == text) {
            Some((.., value)) => Ok(*value),
            None => bail!("{}", unknown("value", text, &Self::names())),
        }
    }
}

/// Declares an enum whose values have names and meanings; a meaning is one line of documentation. `#[derive(Default)]` and `#[default]`
/// work as everywhere.
///
/// ```ignore
/// choice! {
///     /// How results travel from job to job.
///     pub enum HandOffKind {
///         /// In the CI's workspace
///         Workspace = "workspace",
///         /// In a binary cache
///         Cache = "cache",
///     }
/// }
/// ```
macro_rules! choice {
    (
        $(#[$about:meta])* pub enum $type:ident {
            $(#[doc = $meaning:literal] $(#[$more:meta])* $value:ident = $name:literal),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $(#[doc = $meaning] $(#[$more])* $value),+
        }

        impl $crate::choice::Choice for $type {
            const ALL: &'static [(&'static str, &'static str, Self)] =
                &[$(($name, $meaning.trim_ascii(), Self::$value)),+];
        }

        impl clap::ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$value),+]
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(match self {
                    $(Self::$value => clap::builder::PossibleValue::new($name).help($meaning.trim_ascii())),+
                })
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::choice::Choice::name(*self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::choice::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use choice;

/// Reads a name; the error lists the names that there are.
pub fn deserialize<'de, T: Choice, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Reader<T>(PhantomData<T>);
    impl<T: Choice> Visitor<'_> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "one of {}", listed(&T::names()))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            T::parse(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Reader(PhantomData))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    choice! {
        /// A fruit.
        #[derive(Default)]
        pub enum Fruit {
            /// Grows on trees
            Apple = "apple",
            /// Grows everywhere
            #[default]
            BlackBerry = "black-berry",
        }
    }

    #[test]
    fn every_reader_knows_the_same_names() {
        assert_eq!(Fruit::names(), ["apple", "black-berry"]);
        for (name, meaning, value) in Fruit::ALL {
            assert_eq!(Fruit::parse(name).unwrap(), *value);
            assert_eq!(Fruit::from_str(name, false).unwrap(), *value);
            assert_eq!(serde_yaml::from_str::<Fruit>(name).unwrap(), *value);
            assert_eq!(serde_json::to_value(value).unwrap(), *name);
            assert_eq!(value.to_possible_value().unwrap().get_help().unwrap().to_string(), *meaning);
        }
        assert_eq!(Fruit::default().name(), "black-berry");
    }

    #[test]
    fn errors_name_what_was_meant() {
        let error = serde_yaml::from_str::<Fruit>("appel").unwrap_err().to_string();
        assert!(error.contains("unknown value `appel` (did you mean `apple`?)"), "{error}");
        let error = serde_yaml::from_str::<Fruit>("[apple]").unwrap_err().to_string();
        assert!(error.contains("one of `apple`, `black-berry`"), "{error}");
    }
}
