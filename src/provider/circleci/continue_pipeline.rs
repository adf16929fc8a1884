//! Continues a pipeline in setup: everything is checked first, then the one request is sent.
//!
//! In: what to continue with, and the environment, which holds the key. Out: what would be sent, or the server's answer.

use std::env::VarError;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use ureq::http::Uri;

use super::api::{self, Continuation, ContinuationKey, Patience};
use super::continuation::{check_configuration, read_parameters};
use super::environment::CONTINUATION_KEY;
use crate::provider::continue_request::ContinueRequest;

/// A request that has been checked.
#[derive(Debug)]
pub struct Checked {
    address: Uri,
    continuation: Continuation,
    key: Option<ContinuationKey>,
    patience: Patience,
}

impl Checked {
    /// Checks a request. `variable` gives a variable of the environment.
    pub fn new(request: &ContinueRequest, variable: impl Fn(&str) -> Result<String, VarError>) -> Result<Self> {
        let address = match &request.api_url {
            Some(url) => api::address_below(url).context("`--api-url`")?,
            None => api::address_at(request.domain.as_deref().unwrap_or(api::DOMAIN)).context("`--domain`")?,
        };
        let config = check_configuration(&request.configuration)?;
        let parameters = read_parameters(&request.parameters, &config).context("`--parameters`")?;
        let continuation = Continuation { configuration: request.configuration.clone(), parameters };
        let key = match variable(CONTINUATION_KEY) {
            Ok(key) => Some(ContinuationKey::new(key)?),
            Err(VarError::NotPresent) => None,
            // The error would show the value.
            Err(VarError::NotUnicode(_)) => bail!("`{CONTINUATION_KEY}` is not UTF-8"),
        };
        if let Some(key) = &key {
            ensure!(
                !key.is_in(&continuation.body_without_key().to_string()),
                "the configuration or its parameters hold the continuation key: keep it out of them"
            );
        }
        let patience = Patience { retries: request.retries, timeout: request.timeout };
        Ok(Self { address, continuation, key, patience })
    }

    /// What would be sent, less the key.
    pub fn shown(&self) -> Value {
        json!({ "method": "POST", "url": self.address.to_string(), "body": self.continuation.body_without_key() })
    }

    /// Why sending it would fail at once, if it would.
    pub fn lacks(&self) -> Option<String> {
        self.key.is_none().then(|| format!("`{CONTINUATION_KEY}` is not set"))
    }

    /// Sends it. `note` hears of every attempt that failed and is followed by another. Gives the server's message.
    pub fn send(&self, note: &mut dyn FnMut(&str)) -> Result<String> {
        let Some(key) = &self.key else {
            bail!(
                "`{CONTINUATION_KEY}` is not set: CircleCI sets it in the jobs of a configuration with `setup: true` (`--dry-run` shows what \
                 would be sent)"
            );
        };
        api::continue_pipeline(&self.address, key, &self.continuation, self.patience, note)
    }
}
