//! Secrets: nixdag is told the names of environment variables, never a value.
//!
//! In: names, from the command line or the settings. Out: values that `Debug` does not show, taken out of the environment of this
//! process, so that neither Nix nor a builder nor any other program inherits them, nor finds them in `/proc`.

use std::ffi::c_char;
use std::fmt;

use anyhow::{Result, bail};

/// True for the name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The name of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VariableName(String);

impl VariableName {
    /// Reads a name. The error does not show the text, which may be a secret that was put into the place of its name.
    pub fn parse(text: &str) -> Result<Self> {
        if !is_variable(text) {
            bail!(
                "this is not the name of an environment variable (letters, digits and `_`): give the variable's name, not its value"
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The variable that holds the key which this CI signs with, where no other is named.
    pub fn signing_key() -> Self {
        Self("NIXDAG_SIGNING_KEY".to_owned())
    }

    /// The variable with the token that GitLab gives to each job.
    pub fn job_token() -> Self {
        Self("CI_JOB_TOKEN".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A variable's value that nobody is to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a variable out of the environment; none where it is unset, empty or no text. To be called while no other thread runs.
    pub fn take(name: &VariableName) -> Option<Self> {
        let secret = Self::read(name);
        forget(name.as_str());
        secret
    }

    /// A variable's value, which stays in the environment: what nixdag runs needs it too.
    pub fn read(name: &VariableName) -> Option<Self> {
        std::env::var(name.as_str()).ok().filter(|value| !value.trim().is_empty()).map(Self)
    }

    /// A value that a server has given.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Any value.
    #[cfg(test)]
    pub fn of_test(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Takes a variable out of the environment. To be called while no other thread runs.
pub fn forget(name: &str) {
    // SAFETY: commands forget first of all, before anything starts a thread.
    #[allow(unsafe_code)]
    unsafe {
        std::env::remove_var(name);
    }
}

/// Moves the environment to memory of this process's own: what it was started with is what `/proc/PID/environ` shows to every process of the
/// same user, also after a variable is unset. To be called first of all, while no other thread runs.
pub fn hide_environment() {
    #[allow(unsafe_code)]
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    let variables: Vec<_> = std::env::vars_os().collect();
    // SAFETY: nothing else runs. `environ` is null or leads to a list of strings that ends with null; each ends with a zero, and is
    // this process's own to write to.
    #[allow(unsafe_code)]
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let mut at = *entry;
            while *at != 0 {
                at.write_volatile(0);
                at = at.add(1);
            }
            entry = entry.add(1);
        }
        if !environ.is_null() {
            *environ = std::ptr::null_mut();
        }
        for (name, value) in variables.iter().filter(|(name, _)| !name.as_encoded_bytes().contains(&b'=')) {
            std::env::set_var(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_the_place_of_a_name_is_refused_and_not_shown() {
        assert_eq!(VariableName::parse("NIXDAG_SIGNING_KEY").unwrap().as_str(), "NIXDAG_SIGNING_KEY");
        for bad in ["", "1A", "cache-1:c2VjcmV0", "A B", "A=b"] {
            let error = format!("{:?}", VariableName::parse(bad).unwrap_err());
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret("hidden".into())), "Secret(…)");
    }
}
