//! What jobs have to be told so that they find what a plan counts on: part of the plan.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::store_url::StoreUrl;
use crate::nix::signature::PublicKeys;
use crate::secret::is_variable;

/// Caches and keys beyond those that every Nix knows from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reliance {
    /// The caches, by priority.
    pub substituters: Vec<ReliedStore>,
    /// Keys, `name:base64`.
    pub trusted_public_keys: Vec<String>,
}

/// A cache that jobs fetch from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReliedStore {
    /// Its URL, without user and password.
    pub url: String,
    /// The environment variable with the token that it wants to see.
    pub token_variable: Option<String>,
}

impl Reliance {
    /// True where there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.substituters.is_empty() && self.trusted_public_keys.is_empty()
    }

    /// Refuses what would be something else as a setting of Nix.
    pub fn check(&self) -> Result<()> {
        for store in &self.substituters {
            let url = StoreUrl::parse(&store.url)?;
            ensure!(!url.has_user(), "`{url}` comes with a user, which has no place in a plan");
            if let Some(name) = &store.token_variable {
                ensure!(is_variable(name), "`{}` is not the name of a variable", name.escape_debug());
            }
        }
        PublicKeys::parse(self.trusted_public_keys.iter().map(String::as_str))?;
        Ok(())
    }

    /// The settings of Nix that this makes.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let urls: Vec<&str> = self.substituters.iter().map(|store| store.url.as_str()).collect();
        let mut options = Vec::new();
        if !urls.is_empty() {
            options.push(("extra-substituters", urls.join(" ")));
        }
        if !self.trusted_public_keys.is_empty() {
            options.push(("extra-trusted-public-keys", self.trusted_public_keys.join(" ")));
        }
        options
    }
}
