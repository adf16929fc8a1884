//! One definition an option. [`options!`] takes a group of them: name, documentation, type, default, flag, key of `nixdag.yml`, parameter of
//! the orb. Out come the group's flags (clap), its keys (YAML), what both and the defaults resolve to, and a table ([`OptionInfo`]) from
//! which schema, reference page and orb are written. A form that an option lacks has a reason in its place.

use serde::de::MapAccess;
use serde_json::Value;

/// An option in all its forms.
pub struct OptionInfo {
    /// Its name: that of the flag, with `_` for `-`.
    pub name: &'static str,
    /// What it means, a sentence without its full stop.
    pub about: &'static str,
    /// Why there is no flag, if there is none.
    pub no_flag: Option<&'static str>,
    /// The key of `nixdag.yml`, or why there is none.
    pub key: Result<&'static str, &'static str>,
    /// What the key takes, as JSON schema; null where there is no key.
    pub key_schema: fn() -> Value,
    /// What counts where nothing is said; null where that is nothing, or takes words.
    pub default_value: fn() -> Value,
    /// The default in words.
    pub unset: Option<&'static str>,
    /// The orb's parameter, or why there is none.
    pub orb: Result<OrbParameter, &'static str>,
}

/// A parameter of the orb's command `generate` and job `setup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrbParameter {
    /// Its name.
    pub name: &'static str,
    /// How its value becomes arguments.
    pub form: OrbForm,
}

/// How the value of a parameter of the orb becomes arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrbForm {
    /// One value.
    Text,
    /// Words, each a value of a flag that is repeated.
    List,
    /// One of the flag's values, or `default`.
    Choice,
    /// A boolean, for a flag without a value.
    Switch,
    /// Words for `--system`, or `all`.
    Systems,
    /// The name of a variable; the default's name is passed on as none.
    Variable,
    /// The orb has lines of its own for it.
    Own,
}

/// A group of options.
pub struct OptionGroup {
    /// Its title in the help and on the reference page.
    pub title: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The key that its keys stand under; empty for none.
    pub under: &'static str,
    /// Its options.
    pub options: &'static [OptionInfo],
    /// A command with its flags.
    pub command: fn() -> clap::Command,
}

impl OptionInfo {
    /// The flag, if there is one.
    pub fn flag(&self) -> Option<String> {
        self.no_flag.is_none().then(|| format!("--{}", self.name.replace('_', "-")))
    }

    /// The default, as people read it.
    pub fn default(&self) -> Option<String> {
        match ((self.default_value)(), self.unset) {
            (_, Some(words)) => Some(words.to_owned()),
            (Value::Null | Value::Bool(false), None) => None,
            (Value::String(text), None) => Some(text),
            (value, None) => Some(value.to_string()),
        }
    }

    /// The flag's help.
    pub fn help(&self) -> String {
        match self.default() {
            Some(default) => format!("{} [default: {default}]", self.about),
            None => self.about.to_owned(),
        }
    }

    /// The JSON schema of the key's value: what it takes, what it means, its default.
    pub fn schema(&self) -> Value {
        let mut schema = (self.key_schema)();
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), self.about.into());
            match (self.default_value)() {
                Value::Null => {}
                default => _ = schema.insert("default".into(), default),
            }
        }
        schema
    }
}

/// The help of one of a group's flags.
pub fn help(options: &[OptionInfo], name: &str) -> String {
    options.iter().find(|option| option.name == name).map(OptionInfo::help).unwrap_or_default()
}

/// Why one of the options is no key of nixdag.yml.
pub fn refusal(options: &[OptionInfo], key: &str) -> Option<String> {
    let option = options.iter().find(|option| option.name == key)?;
    Some(format!("`{key}` is not a key of nixdag.yml, only the flag `{}`: it {}", option.flag()?, option.key.err()?))
}

/// The keys of a group in a mapping that may hold others.
pub trait Keys {
    /// The options that they belong to.
    const OPTIONS: &'static [OptionInfo];

    /// Reads the value of a key of the group; false where the key is none of it.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;

    /// All keys.
    fn known() -> impl Iterator<Item = &'static str> {
        Self::OPTIONS.iter().filter_map(|option| option.key.ok())
    }

    /// Why one of the group's options is no key.
    fn refusal(key: &str) -> Option<String> {
        refusal(Self::OPTIONS, key)
    }

    /// Keys and what they take.
    fn schemas() -> impl Iterator<Item = (&'static str, Value)> {
        Self::OPTIONS.iter().filter_map(|option| Some((option.key.ok()?, option.schema())))
    }
}

/// What one layer says of an option; none where it says nothing.
pub trait Said<T> {
    /// The value, if there is one.
    fn said(&self) -> Option<T>;
}

/// An option that is no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoKey;

impl<T> Said<T> for NoKey {
    fn said(&self) -> Option<T> {
        None
    }
}

impl<T: Clone> Said<T> for Option<T> {
    fn said(&self) -> Option<T> {
        self.clone()
    }
}

impl Said<bool> for bool {
    fn said(&self) -> Option<bool> {
        self.then_some(true)
    }
}

impl<T: Clone> Said<Vec<T>> for Vec<T> {
    fn said(&self) -> Option<Vec<T>> {
        (!self.is_empty()).then(|| self.clone())
    }
}

/// Declares a group of options. Each row: what it means, its name, then its forms in this order:
///
/// - `flag TYPE [CLAP];` with what clap is to know beyond the name, or `no flag: "why";`
/// - `key "NAME": TYPE;` or `no key: "why";`, said as what the option does: `"widens trust"`
/// - `default TYPE = VALUE;` or `optional TYPE;`: what flag, key and default resolve to; neither where that takes more than one of them
/// - `unset: "…";`: the default in words, where it is no value
/// - `orb FORM "NAME";` or `no orb: "why";`
macro_rules! options {
    (
        $(#[doc = $about:literal])+
        $title:literal $(under $under:literal)?: $flags:ident, $keys:ident, $resolved:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident {
                    $(flag $flag:ty $([$($clap:tt)+])?;)?
                    $(no flag: $no_flag:literal;)?
                    $(key $key:literal: $value:ty;)?
                    $(no key: $no_key:literal;)?
                    $(default $resolves:ty = $default:expr;)?
                    $(optional $optional:ty;)?
                    $(unset: $unset:literal;)?
                    $(orb $form:ident $orb:literal;)?
                    $(no orb: $no_orb:literal;)?
                }
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, clap::Args)]
        #[command(next_help_heading = $title)]
        pub struct $flags {
            $($(
                #[arg(
                    long,
                    help = $crate::settings::option::help(<$keys as $crate::settings::option::Keys>::OPTIONS, stringify!($name))
                    $(, $($clap)+)?
                )]
                pub $name: $flag,
            )?)+
        }

        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $keys {
            $($(#[doc = $doc])+ pub $name: $crate::settings::option::key_type!($($value)?),)+
        }

        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $resolved {
            $(
                $(pub $name: $resolves,)?
                $(pub $name: Option<$optional>,)?
            )+
        }

        impl $resolved {
            /// A flag wins over a key, that over the default.
            #[allow(unused_variables, reason = "a group may resolve nothing")]
            pub fn new(flags: &$flags, keys: &$keys) -> Self {
                Self {
                    $(
                        $($name: $crate::settings::option::Said::<$resolves>::said(&flags.$name)
                            .or_else(|| $crate::settings::option::Said::<$resolves>::said(&keys.$name))
                            .unwrap_or($default),)?
                        $($name: $crate::settings::option::Said::<$optional>::said(&flags.$name)
                            .or_else(|| $crate::settings::option::Said::<$optional>::said(&keys.$name)),)?
                    )+
                }
            }
        }

        impl $crate::settings::option::Keys for $keys {
            const OPTIONS: &'static [$crate::settings::option::OptionInfo] = &[$(
                $crate::settings::option::OptionInfo {
                    name: stringify!($name),
                    about: concat!($($doc),+).trim_ascii(),
                    no_flag: $crate::settings::option::first!($(Some($no_flag),)? None),
                    key: $crate::settings::option::first!($(Ok($key),)? $(Err($no_key),)?),
                    key_schema: || $crate::settings::option::first!(
                        $(<$value as $crate::settings::schema::Schema>::schema(),)? serde_json::Value::Null
                    ),
                    default_value: || $crate::settings::option::first!(
                        $(serde_json::to_value::<$resolves>($default).unwrap_or_default(),)? serde_json::Value::Null
                    ),
                    unset: $crate::settings::option::first!($(Some($unset),)? None),
                    orb: $crate::settings::option::first!(
                        $(Ok($crate::settings::option::OrbParameter {
                            name: $orb,
                            form: $crate::settings::option::OrbForm::$form,
                        }),)?
                        $(Err($no_orb),)?
                    ),
                }
            ),+];

            #[allow(unused_variables, unreachable_code, reason = "a group may have no keys")]
            fn read<'de, A: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
                match key {
                    $($($key => self.$name = Some(map.next_value::<$value>()?),)?)+
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }

        impl $keys {
            /// The group, for schema, reference and orb.
            pub const GROUP: $crate::settings::option::OptionGroup = $crate::settings::option::OptionGroup {
                title: $title,
                about: concat!($($about),+).trim_ascii(),
                under: $crate::settings::option::first!($($under,)? ""),
                options: <Self as $crate::settings::option::Keys>::OPTIONS,
                command: || <$flags as clap::Args>::augment_args(clap::Command::new("nixdag")),
            };
        }
    };
}
pub(super) use options;

/// The first of some expressions, of which the others are not compiled.
macro_rules! first {
    () => {
        compile_error!("an option lacks a form: give it `key` and `orb`, or the reasons in their places, `no key: \"…\"` and `no orb: \"…\"`")
    };
    ($first:expr $(, $rest:expr)* $(,)?) => {
        $first
    };
}
pub(super) use first;

/// The type of a key's field.
macro_rules! key_type {
    () => {
        $crate::settings::option::NoKey
    };
    ($type:ty) => {
        Option<$type>
    };
}
pub(super) use key_type;
