//! Credentials for a bucket: from the environment, or for a token that names a web identity.
//!
//! In: the variables that AWS's own programs read. Out: [`Credentials`]; temporary ones are fetched again before they end.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ureq::Agent;

use super::sigv4::{Credentials, encoded, query};
use super::watch::{Content, Keep, Watch};
use crate::http;
use crate::printable::printable;
use crate::regular_file;
use crate::secret::{Secret, VariableName};

/// Longest answer, in bytes, and longest token.
const MAX_ANSWER: u64 = 64 << 10;

/// How long fetched credentials are used: they are good for an hour.
const USED_FOR: Duration = Duration::from_secs(30 * 60);

/// Where credentials come from.
#[derive(Debug)]
pub enum Source {
    /// They are in the environment.
    Given(Credentials),
    /// They are fetched for a web identity.
    WebIdentity {
        /// The file with the token.
        token_file: String,
        role: String,
        session: String,
        /// The address of the service.
        endpoint: String,
        fetched: Mutex<Option<(Instant, Credentials)>>,
    },
}

impl Source {
    /// Looks into the environment.
    pub fn of_environment(region: &str) -> Result<Self> {
        Self::of(region, |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    fn of(region: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let secret = |name: &str| -> Result<Option<Secret>> { Ok(Secret::read(&VariableName::parse(name)?)) };
        if let Some(access_key) = variable("AWS_ACCESS_KEY_ID") {
            let secret_key = secret("AWS_SECRET_ACCESS_KEY")?.context("`AWS_SECRET_ACCESS_KEY` is not set")?;
            let session_token = secret("AWS_SESSION_TOKEN")?;
            return Ok(Self::Given(Credentials { access_key, secret_key, session_token }));
        }
        let Some(token_file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") else {
            bail!("neither `AWS_ACCESS_KEY_ID` nor `AWS_WEB_IDENTITY_TOKEN_FILE` is set");
        };
        let endpoint = match variable("AWS_ENDPOINT_URL_STS") {
            Some(endpoint) => {
                let address = http::address(&endpoint).context("`AWS_ENDPOINT_URL_STS`")?;
                ensure!(
                    address.scheme_str() == Some("https") || http::is_loopback(&address),
                    "`AWS_ENDPOINT_URL_STS` has to begin with `https://`: others could read the token that is sent there"
                );
                endpoint
            }
            None => format!("https://sts.{}.amazonaws.com", encoded(region, false)),
        };
        Ok(Self::WebIdentity {
            token_file,
            role: variable("AWS_ROLE_ARN").context("`AWS_ROLE_ARN` is not set")?,
            session: variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "nixdag".into()),
            endpoint,
            fetched: Mutex::default(),
        })
    }

    /// Credentials that are good for now.
    pub fn credentials(&self, agent: &Agent, watch: &Watch) -> Result<Credentials> {
        let Self::WebIdentity { token_file, role, session, endpoint, fetched } = self else {
            let Self::Given(credentials) = self else { bail!("no credentials") };
            return Ok(credentials.clone());
        };
        let mut fetched = fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, credentials)) = fetched.as_ref().filter(|(since, _)| since.elapsed() < USED_FOR) {
            let _ = since;
            return Ok(credentials.clone());
        }
        let token = token(token_file).with_context(|| format!("cannot read `{}`", printable(token_file)))?;
        let body = query(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.trim()),
        ]);
        let length = body.len() as u64;
        let request = agent.post(endpoint).header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("content-length", length.to_string());
        let content: Content = (Box::new(Cursor::new(body)), length);
        let answer = watch
            .ask(Some(content), Keep::Memory(MAX_ANSWER), Box::new(|content| request.send(content)))
            .context("cannot ask for credentials of a web identity")?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(
            answer.status == 200,
            "AWS refuses the web identity: {} {}",
            answer.status,
            printable(&element(&text, "Message").unwrap_or_default())
        );
        let part = |name: &str| element(&text, name).with_context(|| format!("credentials without `{name}`"));
        let credentials = Credentials {
            access_key: part("AccessKeyId")?,
            secret_key: Secret::new(part("SecretAccessKey")?),
            session_token: Some(Secret::new(part("SessionToken")?)),
        };
        *fetched = Some((Instant::now(), credentials.clone()));
        Ok(credentials)
    }
}

/// The token in a file.
fn token(file: &str) -> Result<String> {
    let mut token = String::new();
    regular_file::open(Path::new(file))?.take(MAX_ANSWER + 1).read_to_string(&mut token)?;
    ensure!(token.len() as u64 <= MAX_ANSWER, "it does not hold a token");
    Ok(token)
}

/// The text of the first element of this name.
pub fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next()
}

/// The texts of all elements of this name, which have no others in them.
pub fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let start = rest.find(&open)? + open.len();
        let end = start + rest[start..].find(&close)?;
        let text = &rest[start..end];
        rest = &rest[end + close.len()..];
        let entities =
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
        Some(entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_from_what_s3_writes() {
        let xml = "<A><Contents><Key>a</Key></Contents><Contents><Key>b&amp;lt;</Key></Contents><Key>open";
        assert_eq!(elements(xml, "Key").collect::<Vec<_>>(), ["a", "b&lt;"]);
        assert_eq!(element(xml, "NextContinuationToken"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let of = |set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            Source::of("eu-west-1", variable)
        };
        let error = |set: &[(&str, &str)]| format!("{:#}", of(set).unwrap_err());
        assert!(error(&[]).contains("neither `AWS_ACCESS_KEY_ID` nor `AWS_WEB_IDENTITY_TOKEN_FILE` is set"));
        assert!(error(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")]).contains("`AWS_ROLE_ARN` is not set"));
        let found = of(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn")]).unwrap();
        let Source::WebIdentity { endpoint, .. } = found else { panic!("{found:?}") };
        assert_eq!(endpoint, "https://sts.eu-west-1.amazonaws.com");
    }

    #[test]
    fn a_token_is_sent_to_nobody_in_clear_and_read_from_files_alone() {
        let of = |endpoint: &str, file: &str| {
            let set =
                [("AWS_WEB_IDENTITY_TOKEN_FILE", file), ("AWS_ROLE_ARN", "arn"), ("AWS_ENDPOINT_URL_STS", endpoint)];
            Source::of("eu-west-1", |name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        for endpoint in ["http://sts.example.org", "http://127.0.0.1.example.org", "https://me@example.org", "sts"] {
            assert!(
                format!("{:#}", of(endpoint, "/token").unwrap_err()).contains("AWS_ENDPOINT_URL_STS"),
                "{endpoint}"
            );
        }
        for endpoint in ["https://sts.example.org", "http://127.0.0.1:9", "http://localhost:9"] {
            assert!(of(endpoint, "/token").is_ok(), "{endpoint}");
        }
        let dir = tempfile::tempdir().unwrap();
        let (pipe, long) = (dir.path().join("pipe"), dir.path().join("long"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::fs::write(&long, "a".repeat(MAX_ANSWER as usize + 1)).unwrap();
        for (file, why) in [
            (pipe.to_str().unwrap(), "it is not a regular file"),
            ("/dev/zero", "it is not a regular file"),
            (long.to_str().unwrap(), "it does not hold a token"),
        ] {
            assert_eq!(token(file).unwrap_err().to_string(), why, "{file}");
        }
    }
}
