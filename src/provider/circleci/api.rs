//! CircleCI's API, of which one request is needed: to continue a pipeline that is in setup. In: a configuration, parameters and
//! the key that the setup job was given. Out: CircleCI's answer, or what its refusal means and what to do next.
//!
//! The key is a credential: it goes into the body of the request and nowhere else, not into messages either, whatever the server
//! sends back. Documented at <https://circleci.com/docs/api/v2/>, `POST /pipeline/continue`.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value, json};
use ureq::Agent;
use ureq::http::Uri;

use super::environment::CONTINUATION_KEY;
use crate::http::{self, RequestFailure, Requests};
use crate::plural::counted;
use crate::printable::{printable, shortened};

/// Where CircleCI itself is.
pub const DOMAIN: &str = "circleci.com";

/// What the server says when the pipeline has been continued already.
const NOT_IN_SETUP: &str = "not in setup state";

/// Most bytes that are read of an answer.
const MAX_ANSWER: u64 = 64 << 10;

/// Most characters of the server's message that are shown.
const MAX_MESSAGE: usize = 1_000;

/// The shortest piece of a key that gives it away.
const PIECE: usize = 8;

/// The wait before the second attempt.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait before an attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The key to one pipeline in setup.
pub struct ContinuationKey(String);

impl ContinuationKey {
    /// Takes a key as the environment holds it.
    pub fn new(key: String) -> Result<Self> {
        ensure!(!key.trim().is_empty(), "`{CONTINUATION_KEY}` is empty");
        Ok(Self(key))
    }

    /// The text without the key, nor any piece of it that would give it away.
    pub fn redact(&self, text: &str) -> String {
        let key = self.0.trim();
        let length = PIECE.min(key.chars().count());
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut secret = vec![false; starts.len() - 1];
        for first in 0..secret.len().saturating_sub(length - 1) {
            if key.contains(&text[starts[first]..starts[first + length]]) {
                secret[first..first + length].fill(true);
            }
        }
        let mut shown = String::with_capacity(text.len());
        for (at, c) in text.chars().enumerate() {
            match (secret[at], at > 0 && secret[at - 1]) {
                (false, _) => shown.push(c),
                (true, false) => shown.push_str("[…]"),
                (true, true) => {}
            }
        }
        shown
    }

    /// True if the text holds the whole key.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.trim().len() >= PIECE && text.contains(self.0.trim())
    }
}

impl fmt::Debug for ContinuationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContinuationKey([…])")
    }
}

/// The address to continue at, from a domain such as `circleci.example.org`.
pub fn address_at(domain: &str) -> Result<Uri> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    ensure!(
        !domain.is_empty() && domain.bytes().all(plain),
        "`{}` is not a domain such as `{DOMAIN}` (pass a whole address with `--api-url`)",
        domain.escape_debug()
    );
    address_below(&format!("https://{domain}/api/v2"))
}

/// The address to continue at, from the API's own, such as `https://circleci.com/api/v2`; the path may be left out.
pub fn address_below(api: &str) -> Result<Uri> {
    let base = http::address(api)?;
    ensure!(
        base.scheme_str() == Some("https") || http::is_loopback(&base),
        "`{}` is not safe for the continuation key: use `https://`",
        api.escape_debug()
    );
    ensure!(base.query().is_none(), "`{}` has a query: give the address of the API alone", api.escape_debug());
    let path = match base.path().trim_end_matches('/') {
        "" => "/api/v2",
        path => path,
    };
    let authority = base.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("https");
    http::address(&format!("{scheme}://{authority}{path}/pipeline/continue"))
}

/// What a pipeline is to be continued with.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// The text of the configuration.
    pub configuration: String,
    /// Values of pipeline parameters.
    pub parameters: Map<String, Value>,
}

impl Continuation {
    /// The body of the request, less the key.
    pub fn body_without_key(&self) -> Value {
        json!({ "configuration": self.configuration, "parameters": self.parameters })
    }

    fn body(&self, key: &ContinuationKey) -> Result<Vec<u8>> {
        let mut body = self.body_without_key();
        body["continuation-key"] = Value::from(key.0.trim());
        serde_json::to_vec(&body).context("cannot write the request")
    }
}

/// How persistent to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts after the first one.
    pub retries: u32,
    /// The longest that one attempt may take.
    pub timeout: Duration,
}

/// How one attempt came out.
enum Attempt {
    /// The pipeline goes on; what the server said.
    Continued(String),
    /// It will not, whatever is tried.
    Refused(anyhow::Error),
    /// It may at another time: why not now, how long to wait if the server said so, whether the request may have been carried out.
    Again { why: String, wait: Option<Duration>, lost: bool },
}

/// Continues the pipeline; `note` hears of every attempt that failed and is followed by another. Gives the server's message.
pub fn continue_pipeline(
    address: &Uri,
    key: &ContinuationKey,
    continuation: &Continuation,
    patience: Patience,
    note: &mut dyn FnMut(&str),
) -> Result<String> {
    let agent = http::agent(&Requests {
        connect_timeout: patience.timeout.min(Duration::from_secs(20)),
        timeout: patience.timeout,
        connections: 1,
        redirects: 0,
        // What goes to this machine itself has no business at a proxy, and is not encrypted.
        proxy: !http::is_loopback(address),
    })?;
    let body = continuation.body(key)?;
    let mut lost = false;
    for attempt in 1.. {
        match try_once(&agent, address, key, &body, lost) {
            Attempt::Continued(message) => return Ok(message),
            Attempt::Refused(error) => return Err(error),
            Attempt::Again { why, .. } if attempt > patience.retries => {
                let maybe = if lost {
                    "; an attempt may have succeeded: look at the pipeline before you start a new one"
                } else {
                    ""
                };
                bail!(
                    "`{address}` did not continue the pipeline in {}, the last one: {why}{maybe}",
                    counted(attempt, "attempt")
                );
            }
            Attempt::Again { why, wait, lost: this } => {
                lost |= this;
                let wait = wait.unwrap_or_else(|| http::backoff(FIRST_WAIT, LONGEST_WAIT, attempt));
                note(&format!("attempt {attempt}: {why}; trying again in {:.1} s", wait.as_secs_f64()));
                std::thread::sleep(wait);
            }
        }
    }
    unreachable!("attempts are bounded by the number of retries")
}

/// Sends the request once. `lost`: an earlier one may have been carried out without our hearing of it.
fn try_once(agent: &Agent, address: &Uri, key: &ContinuationKey, body: &[u8], lost: bool) -> Attempt {
    let request = agent.post(address).header("content-type", "application/json").header("accept", "application/json");
    let mut response = match request.send(body) {
        Ok(response) => response,
        Err(error) => {
            let why = key.redact(&printable(&error.to_string()));
            return match http::failure(&error) {
                RequestFailure::NotSent => Attempt::Again { why, wait: None, lost: false },
                RequestFailure::AnswerLost => Attempt::Again { why, wait: None, lost: true },
                RequestFailure::Final => Attempt::Refused(anyhow!("cannot ask `{address}`: {why}")),
            };
        }
    };
    let status = response.status().as_u16();
    let answer = http::read_body(response.body_mut(), MAX_ANSWER);
    let said = answer.as_deref().map_or_else(|error| format!("({error})"), message);
    let said = match shortened(&key.redact(&printable(&said)), MAX_MESSAGE) {
        said if said.is_empty() => "no message".to_owned(),
        said => said,
    };
    match status {
        // The status alone says that it is done: a body that breaks off takes nothing back.
        200..=299 => Attempt::Continued(said),
        _ if http::is_passing(status) => Attempt::Again {
            why: format!("status {status}: {said}"),
            wait: http::retry_after(response.headers(), LONGEST_WAIT),
            lost: status >= 500,
        },
        _ => Attempt::Refused(refusal(status, &said, lost)),
    }
}

/// What the server has to say: the `message` of a JSON object, else the text itself.
fn message(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let object: Option<Value> = serde_json::from_str(&text).ok();
    let message = object.as_ref().and_then(|object| object.get("message")?.as_str());
    message.map_or_else(|| text.trim().to_owned(), str::to_owned)
}

/// What a refusal means. `lost`: an earlier attempt may have been carried out.
fn refusal(status: u16, said: &str, lost: bool) -> anyhow::Error {
    let not_in_setup = said.to_lowercase().contains(NOT_IN_SETUP);
    let answer = format!("CircleCI answers {status}: {said}");
    match status {
        _ if lost && (not_in_setup || status == 409) => anyhow!(
            "{answer}\nan earlier attempt went out and its answer was lost. Either it has continued the pipeline, and all is well, or \
             another run of this setup workflow had done so before. Nobody but you can tell: look at the pipeline. If it has the \
             workflow of this configuration, nothing is left to do; else start a new pipeline"
        ),
        _ if not_in_setup => anyhow!(
            "{answer}\nthis pipeline has been continued already, which can happen once only: a setup workflow cannot be run again. \
             Start a new pipeline (push a commit, or `Trigger Pipeline`)"
        ),
        409 => anyhow!(
            "{answer}\nthe key has expired or was used: a pipeline can be continued once, within six hours of its creation. Start a \
             new pipeline"
        ),
        300..=399 => anyhow!("{answer}\nthe key is not sent after a redirect: name the right server with `--domain`"),
        401 | 403 => anyhow!(
            "{answer}\nthe key is not taken: `{CONTINUATION_KEY}` has to be the one that CircleCI gave this very setup job, and the \
             server has to be the one that runs it (`--domain` for CircleCI Server)"
        ),
        404 => anyhow!(
            "{answer}\nthere is no such pipeline or no such API: `{CONTINUATION_KEY}` has to be the one that CircleCI gave this very \
             setup job, and the server has to be the one that runs it (`--domain` for CircleCI Server)"
        ),
        413 => anyhow!(
            "{answer}\nthe configuration is too large: let jobs build more each (`--max-jobs`, `--granularity auto`)"
        ),
        _ if said.contains("Unexpected argument") => anyhow!(
            "{answer}\nparameters of the setup configuration have to be declared in the continued one too \
             (`nixdag generate --parameters-from .circleci/config.yml`)"
        ),
        _ if said.contains("Conflicting pipeline parameters") => anyhow!(
            "{answer}\na parameter that was given when the pipeline was started cannot be given again: leave it out of `--parameters`"
        ),
        _ => anyhow!("{answer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_its_pieces_are_left_out() {
        let key = ContinuationKey::new("eyJhbGciOi.secret-part.ü123456789".into()).unwrap();
        assert_eq!(key.redact("bad key eyJhbGciOi.secret-part.ü123456789!"), "bad key […]!");
        assert_eq!(key.redact("eyJhbGciOi.sec"), "[…]");
        assert_eq!(key.redact("x ü1234567 y secret-part z"), "x […] y […] z");
        assert_eq!(key.redact("a secret pipeline"), "a secret pipeline");
        assert_eq!(key.redact(""), "");
        assert_eq!(ContinuationKey::new("abc\n".into()).unwrap().redact("ab abc abcabc"), "ab […] […]");
        assert_eq!(format!("{key:?}"), "ContinuationKey([…])");
        assert!(ContinuationKey::new(" \n".into()).is_err());
    }

    #[test]
    fn addresses_are_safe_for_a_key() {
        assert_eq!(address_at(DOMAIN).unwrap(), "https://circleci.com/api/v2/pipeline/continue");
        assert_eq!(address_at("ci.example.org:8443").unwrap(), "https://ci.example.org:8443/api/v2/pipeline/continue");
        for (api, expected) in [
            ("https://ci.example.org", "https://ci.example.org/api/v2/pipeline/continue"),
            ("https://ci.example.org/", "https://ci.example.org/api/v2/pipeline/continue"),
            ("https://ci.example.org/circle/api/v2/", "https://ci.example.org/circle/api/v2/pipeline/continue"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v2/pipeline/continue"),
            ("http://[::1]:8080/api/v2", "http://[::1]:8080/api/v2/pipeline/continue"),
        ] {
            assert_eq!(address_below(api).unwrap(), expected);
        }
        for api in [
            "http://ci.example.org",
            "http://127.0.0.1@ci.example.org",
            "https://ci.example.org/?x=1",
            "ci.example.org",
        ] {
            assert!(address_below(api).is_err(), "{api}");
        }
        for domain in ["", "https://circleci.com", "circleci.com/x", "a@b", "a b", "circleci.com?x"] {
            assert!(address_at(domain).is_err(), "{domain}");
        }
    }

    #[test]
    fn messages_are_found_and_bounded() {
        assert_eq!(message(br#"{"message":"no"}"#), "no");
        assert_eq!(message(br#"{"message":5}"#), r#"{"message":5}"#);
        assert_eq!(message(b"<html>\xff\n"), "<html>\u{fffd}");
        assert_eq!(shortened(&"ü".repeat(5_000), MAX_MESSAGE).chars().count(), MAX_MESSAGE + 1);
    }
}
