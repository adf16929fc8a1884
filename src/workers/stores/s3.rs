//! A bucket of S3, or of a server that speaks as it does, as a store of names: objects below `nixdag-workers/RUN/`.
//!
//! A name is made by `PUT` with `If-None-Match: *`: 412 says that it is there, 409 that another request for it was under way, and that it is to be asked again. Whether a server keeps to that is tried
//! out before it is used. No request that makes a name is repeated here, and none goes over a connection that another one has used, which a client would repeat it for.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ring::rand::{SecureRandom, SystemRandom};
use ureq::Agent;

use super::aws::{self, Source};
use super::bucket::Bucket;
use super::sigv4::{self, Signed, encoded};
use super::watch::{Answer, Content, Keep, Watch};
use super::{LONGEST_NAME, MOST_NAMES, Made, NameStore};
use crate::build::interrupt;
use crate::duration::now;
use crate::http::{self, RequestFailure, Requests};
use crate::nix::hash;
use crate::printable::printable;

/// Largest object that one request can make, bytes.
const LARGEST: u64 = 5 << 30;

/// Longest answer with a page of names, in bytes; names on a page, most pages, and how long all of them may take, as a multiple of one request's time.
const MAX_PAGE: u64 = 4 << 20;
const PAGE: &str = "1000";
const MOST_PAGES: usize = 2 * MOST_NAMES / 1000;
const LIST_TIMES: u32 = 10;

/// How long a request takes at most, however much it moves: after that its thread ends.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

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
    watch: Watch,
}

impl S3Store {
    /// Opens a folder of a bucket for a run; refuses a server that makes a name twice.
    pub fn open(bucket: &Bucket, run: &str) -> Result<Self> {
        let store = Self::new(bucket, run, Source::of_environment, Watch::default())?;
        store.probe().with_context(|| format!("bucket `{}` cannot be used by workers", bucket.name))?;
        Ok(store)
    }

    fn new(bucket: &Bucket, run: &str, credentials: impl FnOnce(&str) -> Result<Source>, watch: Watch) -> Result<Self> {
        let agent = |connections| {
            http::agent(&Requests {
                connect_timeout: CONNECT,
                timeout: TIMEOUT,
                connections,
                redirects: 0,
                proxy: true,
            })
        };
        let below = if bucket.folder.is_empty() { String::new() } else { format!("{}/", bucket.folder) };
        let prefix = format!("{below}nixdag-workers/{run}/");
        Ok(Self {
            path: format!("{}{}", bucket.path, encoded(&prefix, true)),
            credentials: credentials(&bucket.region)?,
            agent: agent(8)?,
            once: agent(0)?,
            watch,
            server: format!("{}://{}", bucket.scheme, bucket.host),
            host: bucket.host.clone(),
            prefix,
            bucket_path: bucket.path.clone(),
            region: bucket.region.clone(),
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
        let credentials = self.credentials.credentials(&self.agent, &self.watch)?;
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

    fn get(&self, path: &str, query: &[(&str, &str)], keep: Keep) -> Result<Answer> {
        let query_text = sigv4::query(query);
        let question = if query_text.is_empty() { "" } else { "?" };
        let mut request = self.agent.get(format!("{}{path}{question}{query_text}", self.server));
        for (name, value) in self.headers("GET", path, query, NOTHING, &[])? {
            request = request.header(name, value);
        }
        self.watch.ask(None, keep, Box::new(|_| request.call()))
    }

    /// The contents of a name.
    fn object(&self, name: &str, keep: Keep) -> Result<Option<Answer>> {
        let answer = self.get(&format!("{}{}", self.path, encoded(name, false)), &[], keep)?;
        match answer.status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            _ => Err(refused(&answer)),
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
        let content: Content = (Box::new(File::open(file).with_context(what)?), size);
        let answer = match self.watch.ask(Some(content), Keep::Nothing, Box::new(|content| request.send(content))) {
            Ok(answer) => answer,
            Err(error) => {
                return match error.downcast_ref().map(http::failure) {
                    Some(RequestFailure::NotSent) => Ok(Made::AskAgain),
                    Some(RequestFailure::Final) => Err(error),
                    Some(RequestFailure::AnswerLost) | None => Ok(Made::Lost),
                };
            }
        };
        match answer.status {
            200 => Ok(Made::Made),
            412 => Ok(Made::Taken),
            // Another request was under way; or the server is too busy to look at this one.
            409 | 429 | 503 => Ok(Made::AskAgain),
            500..=599 => Ok(Made::Lost),
            _ => Err(refused(&answer)),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let (mut names, mut token, start) = (Vec::new(), None::<String>, Instant::now());
        for _ in 0..MOST_PAGES {
            ensure!(start.elapsed() < LIST_TIMES * self.watch.time, "a list that does not end");
            let mut query = vec![("list-type", "2"), ("max-keys", PAGE), ("prefix", &*self.prefix)];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let answer = self.get(&self.bucket_path, &query, Keep::Memory(MAX_PAGE))?;
            if answer.status != 200 {
                return Err(refused(&answer));
            }
            let page = std::str::from_utf8(&answer.body).context("a list that is not text")?;
            let keys = aws::elements(page, "Key").filter_map(|key| Some(key.strip_prefix(&self.prefix)?.to_owned()));
            names.extend(keys.filter(|name| name.len() <= LONGEST_NAME));
            ensure!(names.len() <= MOST_NAMES, "the store has more than {MOST_NAMES} names");
            if aws::element(page, "IsTruncated").as_deref() != Some("true") {
                return Ok(names);
            }
            let next = aws::element(page, "NextContinuationToken");
            ensure!(next.is_some() && next != token, "a list that goes on, and does not say where");
            token = next;
        }
        bail!("a list of more than {MOST_PAGES} pages")
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let answer = self.object(name, Keep::Beginning(limit))?;
        Ok(answer.filter(|answer| answer.size <= limit).map(|answer| answer.body))
    }

    fn fetch(&self, name: &str, to: &Path, limit: u64) -> Result<Option<u64>> {
        let into = File::create_new(to).with_context(|| format!("cannot make `{}`", to.display()))?;
        let answer = self.object(name, Keep::File(into, limit)).with_context(|| format!("cannot fetch `{name}`"));
        if !matches!(answer, Ok(Some(_))) {
            std::fs::remove_file(to).with_context(|| format!("cannot remove `{}`", to.display()))?;
        }
        Ok(answer?.map(|answer| answer.size))
    }
}

/// Why the server refuses.
fn refused(answer: &Answer) -> anyhow::Error {
    let text = String::from_utf8_lossy(&answer.body);
    let part = |name: &str| aws::element(&text, name).map(|text| printable(&text)).unwrap_or_default();
    anyhow!("the server answers {} {} {}", answer.status, part("Code"), part("Message"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::sigv4::Credentials;
    use super::*;
    use crate::secret::Secret;

    /// A bucket of a server that answers its requests, which have numbers, with this.
    fn store(watch: Watch, answer: impl Fn(usize, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> S3Store {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("s3://bucket?endpoint={}&scheme=http", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).count() > 0 {
                    number += 1;
                    if answer(number, &mut stream).is_err() {
                        break;
                    }
                }
            }
        });
        let credentials =
            Credentials { access_key: "key".into(), secret_key: Secret::of_test("secret"), session_token: None };
        S3Store::new(&Bucket::parse(&url).unwrap(), "run", |_| Ok(Source::Given(credentials)), watch).unwrap()
    }

    fn page(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
        // In one piece: the rest of two would wait for the other side.
        let answer = format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes())
    }

    /// Says that a megabyte comes, and sends a byte at a time until nobody hears it.
    fn trickle(stream: &mut TcpStream) -> std::io::Result<()> {
        write!(stream, "HTTP/1.1 200 x\r\nContent-Length: 1000000\r\n\r\n")?;
        loop {
            stream.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_list_without_an_end_is_left_and_names_that_are_too_long_are_not_kept() {
        let long = "a".repeat(LONGEST_NAME + 1);
        let next =
            |number| format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{number}</NextContinuationToken>");
        let ends = store(Watch::default(), move |number, stream| {
            let key = |name: &str| format!("<Key>nixdag-workers/run/{name}</Key>");
            let more = if number == 1 { next(number) } else { String::new() };
            page(stream, &format!("{more}{}{}", key(&long), key(&format!("claim-{number}-0"))))
        });
        assert_eq!(ends.list().unwrap(), ["claim-1-0", "claim-2-0"]);
        let endless = store(Watch::default(), move |number, stream| page(stream, &next(number)));
        let error = endless.list().unwrap_err().to_string();
        assert_eq!(error, format!("a list of more than {MOST_PAGES} pages"));
    }

    #[test]
    fn a_server_that_answers_a_byte_at_a_time_is_left_alone() {
        let watch = Watch { time: Duration::from_millis(200), ..Watch::default() };
        let store = store(watch, |_, stream| trickle(stream));
        let dir = tempfile::tempdir().unwrap();
        assert!(store.list().unwrap_err().to_string().starts_with("no answer in "));
        let error = format!("{:#}", store.fetch("built", &dir.path().join("to"), 1 << 30).unwrap_err());
        assert!(error.contains("no answer in "), "{error}");
    }

    #[test]
    fn a_signal_ends_requests_that_are_on_their_way() {
        static STOPPED: AtomicBool = AtomicBool::new(false);
        let stopped = || STOPPED.load(Ordering::Relaxed).then_some("SIGTERM");
        // It never answers at all.
        let store = store(Watch { stopped, ..Watch::default() }, |_, _| {
            STOPPED.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_secs(3600));
            Ok(())
        });
        assert_eq!(store.list().unwrap_err().to_string(), "stopped by SIGTERM");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("claim"), "").unwrap();
        // It is not asked anything more, and what was asked may have been done.
        assert_eq!(store.create("claim-0-0", &dir.path().join("claim")).unwrap(), Made::Lost);
    }
}
