//! A comment on a pull request or merge request that is updated in place. What GitHub's and GitLab's APIs have in common is here; how they differ
//! is data, a [`CommentApi`].
//!
//! In: the finished Markdown, a token, and where the pull request is. Out: the one comment of nixdag's, made or updated. A comment counts as its own
//! only where the token's owner has written it and it begins with the hidden mark. The token goes to the API's host and nowhere else.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Uri;

use crate::http::{self, RequestFailure, Requests};
use crate::page::comment::{MARK, MOST_BYTES, MOST_LINES};
use crate::printable::{printable, shortened};
use crate::secret::Secret;

/// Comments on a page of the list, and pages that are read.
const PER_PAGE: usize = 100;
const MOST_PAGES: usize = 30;

/// Bytes of an answer: a page of the longest comments there are.
const MAX_ANSWER: u64 = 16 << 20;

/// Characters of the server's message that are shown.
const MAX_MESSAGE: usize = 300;

/// Attempts, each from the search for the comment on.
const ATTEMPTS: u32 = 4;

/// The first wait between attempts and the longest, also of those that the server asks for.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// One request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a provider has the comments of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentApi {
    /// Tells who the token's owner is, and the field with the name.
    pub owner: (String, &'static str),
    /// The owner's name where the token may not ask for it.
    pub unnamed: Option<&'static str>,
    /// The comments; a new one is put there.
    pub list: String,
    /// Where a comment is, less its number, and the method that changes it.
    pub edit: (String, Edit),
    /// The fields of an author's name in a comment.
    pub author: [&'static str; 2],
    /// The header with the token, and what stands before it.
    pub header: (&'static str, &'static str),
    /// What the token has to be allowed.
    pub rights: &'static str,
}

/// The method that changes a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Patch,
    Put,
}

/// Where the comment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommentPlace {
    /// To these.
    Api(Box<CommentApi>),
    /// Nowhere, for this reason, which is in order.
    Nowhere(String),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was none.
    Made,
    /// There was another text.
    Updated,
    /// There was this text.
    Same,
}

/// Why an attempt failed.
enum Trouble {
    /// Another one may do better, after this time where the server says so.
    Passing(anyhow::Error, Option<Duration>),
    /// It will not.
    Final(anyhow::Error),
}

/// Refuses what `nixdag collect` has not written.
pub fn check(text: &str) -> Result<()> {
    ensure!(
        text.starts_with(MARK),
        "it does not begin with nixdag's mark: it is not what `nixdag collect --pages` wrote"
    );
    let lines = text.lines().count();
    ensure!(lines <= MOST_LINES, "it has {lines} lines, {MOST_LINES} are allowed");
    ensure!(text.len() <= MOST_BYTES, "it has {} bytes, {MOST_BYTES} are allowed", text.len());
    Ok(())
}

/// An API's address as a variable has it: over TLS, or on this machine.
pub fn api_address(text: &str) -> Result<String> {
    let address = http::address(text)?;
    ensure!(
        address.scheme_str() == Some("https") || http::is_loopback(&address),
        "`{}` is not safe for a token: use `https://`",
        printable(text)
    );
    ensure!(address.query().is_none(), "`{}` has a query", printable(text));
    Ok(text.trim_end_matches('/').to_owned())
}

/// Makes the comment, or updates it.
pub fn write(api: &CommentApi, token: &Secret, text: &str) -> Result<Written> {
    let requests = Requests { connect_timeout: TIMEOUT, timeout: TIMEOUT, connections: 1, redirects: 0, proxy: true };
    let client = Client { agent: http::agent(&requests)?, api, token };
    for attempt in 1.. {
        let (error, wait) = match client.attempt(text) {
            Ok(written) => return Ok(written),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing(error, wait)) => (error, wait),
        };
        if attempt >= ATTEMPTS {
            return Err(error.context(format!("given up after {ATTEMPTS} attempts")));
        }
        std::thread::sleep(wait.unwrap_or_else(|| http::backoff(WAITS.0, WAITS.1, attempt)));
    }
    bail!("no attempt was made")
}

struct Client<'a> {
    agent: Agent,
    api: &'a CommentApi,
    token: &'a Secret,
}

impl Client<'_> {
    /// Looks for the comment, and writes it. What an attempt before has written without an answer is found.
    fn attempt(&self, text: &str) -> Result<Written, Trouble> {
        let owner = self.owner()?;
        let Some((number, found)) = self.find(&owner)? else {
            self.send(Method::Post, &self.api.list, Some(text))?;
            return Ok(Written::Made);
        };
        // GitLab leaves out blanks at the end.
        if found.trim_end() == text.trim_end() {
            return Ok(Written::Same);
        }
        let (address, edit) = &self.api.edit;
        let method = match edit {
            Edit::Patch => Method::Patch,
            Edit::Put => Method::Put,
        };
        self.send(method, &format!("{address}/{number}"), Some(text))?;
        Ok(Written::Updated)
    }

    /// Who the token's owner is.
    fn owner(&self) -> Result<String, Trouble> {
        let (address, field) = &self.api.owner;
        let answer = match (self.send(Method::Get, address, None), self.api.unnamed) {
            (Err(Trouble::Final(error)), Some(name)) if error.downcast_ref::<Forbidden>().is_some() => {
                return Ok(name.to_owned());
            }
            (answer, _) => answer?,
        };
        let name = answer.get(field).and_then(Value::as_str).map(str::to_owned);
        name.context("the server does not say whose token this is").map_err(Trouble::Final)
    }

    /// The number and text of the oldest comment that is nixdag's own.
    fn find(&self, owner: &str) -> Result<Option<(u64, String)>, Trouble> {
        for page in 1..=MOST_PAGES {
            let address = format!("{}?per_page={PER_PAGE}&page={page}", self.api.list);
            let answer = self.send(Method::Get, &address, None)?;
            let comments = answer.as_array().context("the answer is not a list of comments").map_err(Trouble::Final)?;
            let own = comments.iter().find_map(|comment| {
                let author = comment.get(self.api.author[0])?.get(self.api.author[1])?.as_str()?;
                let text = comment.get("body")?.as_str()?;
                let is_own = author == owner && text.starts_with(MARK);
                is_own.then(|| Some((comment.get("id")?.as_u64()?, text.to_owned()))).flatten()
            });
            if own.is_some() || comments.len() < PER_PAGE {
                return Ok(own);
            }
        }
        let most = PER_PAGE * MOST_PAGES;
        Err(Trouble::Final(anyhow!("there are more than {most} comments, and none of the first ones is nixdag's")))
    }

    fn send(&self, method: Method, address: &str, text: Option<&str>) -> Result<Value, Trouble> {
        let address: Uri = http::address(address).map_err(Trouble::Final)?;
        let (name, before) = self.api.header;
        let token = format!("{before}{}", self.token.reveal());
        let body = text.map(|text| json!({ "body": text }).to_string()).unwrap_or_default();
        let with_body = |request: ureq::RequestBuilder<ureq::typestate::WithBody>| {
            request.header(name, &token).header("content-type", "application/json").send(&body)
        };
        let answer = match method {
            Method::Get => self.agent.get(address).header(name, &token).call(),
            Method::Post => with_body(self.agent.post(address)),
            Method::Patch => with_body(self.agent.patch(address)),
            Method::Put => with_body(self.agent.put(address)),
        };
        let mut answer = answer.map_err(|error| match http::failure(&error) {
            RequestFailure::Final => Trouble::Final(error.into()),
            RequestFailure::NotSent | RequestFailure::AnswerLost => Trouble::Passing(error.into(), None),
        })?;
        let status = answer.status().as_u16();
        let body =
            http::read_body(answer.body_mut(), MAX_ANSWER).map_err(|error| Trouble::Passing(error.into(), None))?;
        if answer.status().is_success() {
            return serde_json::from_slice(&body).context("the answer is not JSON").map_err(Trouble::Final);
        }
        Err(self.refused(status, answer.headers(), &body))
    }

    fn refused(&self, status: u16, headers: &ureq::http::HeaderMap, body: &[u8]) -> Trouble {
        let said: Option<Value> = serde_json::from_slice(body).ok();
        let said = said.as_ref().and_then(|said| said.get("message").or_else(|| said.get("error")));
        let said = said.map_or_else(String::new, |said| match said {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        // A server could send back what it was sent.
        let said = shortened(&printable(&said.replace(self.token.reveal(), "[…]")), MAX_MESSAGE);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        // GitHub says 403 where too much was asked for, too.
        let has_no_rest = headers.get("x-ratelimit-remaining").is_some_and(|rest| rest.as_bytes() == b"0");
        let is_limit = status == 429 || status == 403 && (has_no_rest || headers.contains_key("retry-after"));
        if is_limit {
            let error = anyhow!("the server has a limit of requests (status {status}){said}");
            return match (http::retry_after(headers, WAITS.1), headers.contains_key("retry-after") || has_no_rest) {
                (Some(wait), _) => Trouble::Passing(error, Some(wait)),
                // It asks for more than a job waits.
                (None, true) => Trouble::Final(error),
                (None, false) => Trouble::Passing(error, None),
            };
        }
        match status {
            401 => Trouble::Final(anyhow!("the server does not take the token (status 401){said}")),
            403 | 404 => {
                Trouble::Final(anyhow::Error::new(Forbidden(status)).context(format!(
                    "the token may not do this (status {status}){said}; it needs {}",
                    self.api.rights
                )))
            }
            status if http::is_passing(status) => {
                Trouble::Passing(anyhow!("the server answers {status}{said}"), http::retry_after(headers, WAITS.1))
            }
            status => Trouble::Final(anyhow!("the server answers {status}{said}")),
        }
    }
}

/// The method of a request.
#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
    Patch,
    Put,
}

/// A status that says that a token may not do something.
#[derive(Debug)]
struct Forbidden(u16);

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "status {}", self.0)
    }
}

impl std::error::Error for Forbidden {}
