//! A pipeline that was planned in one of its own jobs goes on: what it goes on with, whichever provider runs it.

use std::time::Duration;

/// What a pipeline is to be continued with, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueRequest {
    /// The text of the configuration.
    pub configuration: String,
    /// Values of its parameters: a JSON object.
    pub parameters: String,
    /// The domain of the provider's server, where it is not the provider's own.
    pub domain: Option<String>,
    /// The whole address of its API, in place of a domain.
    pub api_url: Option<String>,
    /// Attempts after the first one.
    pub retries: u32,
    /// The longest that one attempt may take.
    pub timeout: Duration,
}
