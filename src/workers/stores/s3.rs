//! A bucket of S3, or of a server that speaks as it does, as a store of names: objects below `nixdag-workers/RUN/`.
//!
//! A name is made by `PUT` with `If-None-Match: *`: 412 says that it is there, 409 that another request for it was under way, and that it is to be asked again. Whether a server keeps to that is tried
//! out before it is used. No request that makes a name is repeated here, and none goes over a connection that another one has used, which a client would repeat it for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ring::rand::{SecureRandom, SystemRandom};
use ureq::Agent;
use ureq::http::{Response, Uri};

use super::aws::{self, Source};
use super::sigv4::{self, Signed, encoded};
use super::{MOST_NAMES, Made, NameStore};
use crate::build::interrupt;
use crate::duration::now;
use crate::http::{self, RequestFailure, Requests};
use crate::nix::hash;
use crate::printable::printable;

/// Largest object that one request can make, bytes.
const LARGEST: u64 = 5 << 30;

/// Longest answer with a page of names, in bytes; and with an error.
const MAX_ANSWERS: (u64, u64) = (4 << 20, 64 << 10);

/// How long a request may take that moves few bytes, and one that moves many.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 60));

/// How often the server is tried out where it leaves requests open, and the wait between.
const PROBES: u32 = 10;
const WAIT: Duration = Duration::from_millis(500);

/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(20);

/// Digest of no bytes.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A folder of a bucket.
pub struct S3Store {
    /// Scheme and host.
    server: String,
    host: String,
    /// What comes before a name in the path of an address, and in a key.
    path: String,
    prefix: String,
    /// The path that lists the bucket.
    bucket_path: String,
    region: String,
    credentials: Source,
    /// For requests that may be repeated.
    agent: Agent,
    /// For those that make names: a connection each.
    once: Agent,
}

impl S3Store {
    /// Opens `s3://BUCKET[/FOLDER]`, with the parameters `region`, `endpoint` and `scheme` as Nix has them, for a run; refuses a server that makes a name twice.
    pub fn open(url: &str, run: &str) -> Result<Self> {
        let requests = |timeout, connections| Requests {
            connect_timeout: CONNECT,
            timeout,
            connections,
            redirects: 0,
            proxy: true,
        };
        let store = Self::new(url, run, requests)?;
        store.probe().with_context(|| format!("`{}` cannot be used by workers", printable(url)))?;
        Ok(store)
    }

    fn new(url: &str, run: &str, requests: impl Fn(Duration, usize) -> Requests) -> Result<Self> {
        let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
        let rest = address.strip_prefix("s3://").context("expected `s3://BUCKET`")?.trim_end_matches('/');
        let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        ensure!(
            !bucket.is_empty() && bucket.bytes().all(is_bucket),
            "`{}` cannot be a bucket's name",
            bucket.escape_debug()
        );
        let parameter = |name: &str| {
            let mut pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let region = parameter("region").unwrap_or("us-east-1").to_owned();
        let scheme = parameter("scheme").unwrap_or("https");
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let prefix = format!("{below}nixdag-workers/{run}/");
        let (host, bucket_path) = match parameter("endpoint") {
            Some(endpoint) => {
                let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
                (host.trim_end_matches('/').to_owned(), format!("/{}/", encoded(bucket, false)))
            }
            // A certificate of AWS names one level.
            None if bucket.contains('.') => (format!("s3.{region}.amazonaws.com"), format!("/{bucket}/")),
            None => (format!("{bucket}.s3.{region}.amazonaws.com"), "/".to_owned()),
        };
        let scheme =
            parameter("endpoint").and_then(|endpoint| endpoint.split_once("://")).map_or(scheme, |(own, _)| own);
        let server = format!("{scheme}://{host}");
        let uri: Uri = server.parse().with_context(|| format!("`{}` is not an address", printable(&server)))?;
        ensure!(
            scheme == "https" || (scheme == "http" && http::is_loopback(&uri)),
            "workers talk to a bucket by https: others could change what they say"
        );
        Ok(Self {
            path: format!("{bucket_path}{}", encoded(&prefix, true)),
            credentials: Source::of_environment(&region)?,
            agent: http::agent(&requests(TIMEOUTS.1, 8))?,
            once: http::agent(&requests(TIMEOUTS.1, 0))?,
            server,
            host,
            prefix,
            bucket_path,
            region,
        })
    }

    /// The headers of a request, signed.
    fn headers(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        payload: &str,
        more: &[(&'static str, &str)],
    ) -> Result<Vec<(&'static str, String)>> {
        let credentials = self.credentials.credentials(&self.agent)?;
        let time = sigv4::timestamp(now());
        let mut headers = vec![("host", &*self.host), ("x-amz-content-sha256", payload), ("x-amz-date", &time)];
        headers.extend(credentials.session_token.as_ref().map(|token| ("x-amz-security-token", token.reveal())));
        headers.extend(more);
        let signed = Signed { method, path, query, headers: &headers, payload };
        let authorization = sigv4::authorization(&signed, &credentials, &self.region, "s3", &time);
        let mut headers: Vec<_> = headers.into_iter().skip(1).map(|(name, value)| (name, value.to_owned())).collect();
        headers.push(("authorization", authorization));
        Ok(headers)
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response<ureq::Body>> {
        let query_text = sigv4::query(query);
        let question = if query_text.is_empty() { "" } else { "?" };
        let mut request = self.agent.get(format!("{}{path}{question}{query_text}", self.server));
        for (name, value) in self.headers("GET", path, query, NOTHING, &[])? {
            request = request.header(name, value);
        }
        Ok(request.call()?)
    }

    /// The contents of a name, for reading.
    fn object(&self, name: &str) -> Result<Option<Response<ureq::Body>>> {
        let mut answer = self.get(&format!("{}{}", self.path, encoded(name, false)), &[])?;
        match answer.status().as_u16() {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            status => Err(refused(status, &mut answer)),
        }
    }

    /// Makes a name twice: the second time it has to be taken, and to hold what the first one wrote.
    fn probe(&self) -> Result<()> {
        let mut word = [0; 8];
        SystemRandom::new().fill(&mut word).map_err(|_| anyhow!("this machine has no randomness"))?;
        let word: String = word.iter().map(|byte| format!("{byte:02x}")).collect();
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("probe");
        std::fs::write(&file, &word)?;
        let mut numbers = 0..PROBES;
        let name = loop {
            let number = numbers.next().context("a new object cannot be made: the server leaves all requests open")?;
            let name = format!("probe-{word}-{number}");
            match self.create(&name, &file)? {
                Made::Made => break name,
                Made::Taken => bail!("a new object cannot be made: the server says that it is there"),
                Made::Lost | Made::AskAgain => interrupt::pause(WAIT)?,
            }
        };
        std::fs::write(&file, "other")?;
        let second = self.create(&name, &file)?;
        let kept = self.read(&name, 100)?;
        ensure!(
            second == Made::Taken && kept.as_deref() == Some(word.as_bytes()),
            "the server does not refuse to make an object again (`If-None-Match: *`): two workers would build the same"
        );
        Ok(())
    }
}

impl NameStore for S3Store {
    fn create(&self, name: &str, file: &Path) -> Result<Made> {
        let what = || format!("cannot read `{}`", file.display());
        let (digest, size) = File::open(file).and_then(hash::of_reader).with_context(what)?;
        ensure!(size <= LARGEST, "a result of {size} bytes: one request to S3 makes {LARGEST} at most");
        let path = format!("{}{}", self.path, encoded(name, false));
        let payload = digest.base16();
        let mut request = self.once.put(format!("{}{path}", self.server)).header("content-length", size.to_string());
        for (name, value) in self.headers("PUT", &path, &[], &payload, &[("if-none-match", "*")])? {
            request = request.header(name, value);
        }
        let mut answer = match request.send(&File::open(file).with_context(what)?) {
            Ok(answer) => answer,
            Err(error) => {
                return match http::failure(&error) {
                    RequestFailure::AnswerLost => Ok(Made::Lost),
                    RequestFailure::NotSent => Ok(Made::AskAgain),
                    RequestFailure::Final => Err(error.into()),
                };
            }
        };
        match answer.status().as_u16() {
            200 => Ok(Made::Made),
            412 => Ok(Made::Taken),
            // Another request was under way; or the server is too busy to look at this one.
            409 | 429 | 503 => Ok(Made::AskAgain),
            500..=599 => Ok(Made::Lost),
            status => Err(refused(status, &mut answer)),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let (mut names, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", &*self.prefix)];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let mut answer = self.get(&self.bucket_path, &query)?;
            let status = answer.status().as_u16();
            if status != 200 {
                return Err(refused(status, &mut answer));
            }
            let page = http::read_body(answer.body_mut(), MAX_ANSWERS.0)?;
            let page = std::str::from_utf8(&page).context("a list that is not text")?;
            let keys = aws::elements(page, "Key").filter_map(|key| Some(key.strip_prefix(&self.prefix)?.to_owned()));
            names.extend(keys);
            ensure!(names.len() <= MOST_NAMES, "the store has more than {MOST_NAMES} names");
            if aws::element(page, "IsTruncated").as_deref() != Some("true") {
                return Ok(names);
            }
            let next = aws::element(page, "NextContinuationToken");
            ensure!(next.is_some() && next != token, "a list that goes on, and does not say where");
            token = next;
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut answer) = self.object(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        answer.body_mut().as_reader().take(limit + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    fn fetch(&self, name: &str, to: &Path, limit: u64) -> Result<Option<u64>> {
        let Some(mut answer) = self.object(name)? else { return Ok(None) };
        let mut into = File::create_new(to).with_context(|| format!("cannot make `{}`", to.display()))?;
        let mut body = answer.body_mut().with_config().limit(u64::MAX).reader().take(limit.saturating_add(1));
        let size = io::copy(&mut body, &mut into).with_context(|| format!("cannot fetch `{name}`"))?;
        ensure!(size <= limit, "`{name}` has more than {limit} bytes");
        Ok(Some(size))
    }
}

/// Why the server refuses.
fn refused(status: u16, answer: &mut Response<ureq::Body>) -> anyhow::Error {
    let text = http::read_body(answer.body_mut(), MAX_ANSWERS.1).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let part = |name: &str| aws::element(&text, name).map(|text| printable(&text)).unwrap_or_default();
    anyhow!("the server answers {status} {} {}", part("Code"), part("Message"))
}
