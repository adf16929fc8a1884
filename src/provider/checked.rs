//! What a check of a configuration of anybody's has found. In: sentences of the provider's checks. Out: those that count, and those about what nobody looked at.

/// Problems, and what is not known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What the CI would refuse, a sentence each.
    pub problems: Vec<String>,
    /// What it refers to and nobody has looked at, in words.
    pub unseen: Vec<String>,
}
