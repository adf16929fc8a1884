//! A server that speaks as S3 does, as far as its documentation promises something: conditional `PUT` with 412 and 409, lists by pages, signatures and digests that have to be right.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use nixdag::nix::hash::Sha256;
use nixdag::workers::stores::sigv4;

/// The credentials that count.
pub const KEY: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");

/// Names on a page of a list.
const PAGE: usize = 3;

/// What the server does with a request that makes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another one is under way: 409.
    Conflict,
    /// It is made, and the connection breaks before the answer.
    LosesAnswer,
    /// The connection breaks before it is made.
    LosesRequest,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// What happens to the next requests that make an object.
    faults: Vec<Fault>,
    /// How often each object was asked to be made.
    puts: BTreeMap<String, usize>,
    ignores_conditions: bool,
}

/// The server; its threads end with the test.
pub struct S3Server {
    address: String,
    state: Arc<Mutex<State>>,
}

impl S3Server {
    /// An empty bucket. `ignores_conditions`: as servers do that do not know `If-None-Match` for `PUT`.
    pub fn new(ignores_conditions: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { ignores_conditions, ..State::default() }));
        let (host, shared) = (address.clone(), state.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (host, shared) = (host.clone(), shared.clone());
                // Clients may hang up at any moment.
                std::thread::spawn(move || drop(serve(stream.unwrap(), &host, &shared)));
            }
        });
        Self { address, state }
    }

    /// The bucket as nixdag and Nix name it.
    pub fn url(&self) -> String {
        format!("s3://bucket?endpoint={}&scheme=http&region=eu-west-1", self.address)
    }

    /// The next requests that make an object go wrong, the first one as the last of these says.
    pub fn fail(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults = faults.to_vec();
    }

    /// How often each object was asked to be made.
    pub fn puts(&self) -> BTreeMap<String, usize> {
        self.state.lock().unwrap().puts.clone()
    }
}

fn serve(stream: TcpStream, host: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = first.split_whitespace().collect();
        let (method, target) = (words[0].to_owned(), words[1].to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let Some((status, answer)) = answer(&method, &target, &headers, body, host, state) else { return Ok(()) };
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(&answer)?;
    }
}

/// Status and body; none where the connection breaks.
fn answer(
    method: &str,
    target: &str,
    headers: &BTreeMap<String, String>,
    body: Vec<u8>,
    host: &str,
    state: &Mutex<State>,
) -> Option<(u16, Vec<u8>)> {
    let error = |status: u16, code: &str| Some((status, format!("<Error><Code>{code}</Code></Error>").into_bytes()));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let query: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    if !is_signed(method, path, &query, headers, host) {
        return error(403, "SignatureDoesNotMatch");
    }
    let payload = headers.get("x-amz-content-sha256")?;
    if *payload != Sha256::of(&body).base16() {
        return error(400, "XAmzContentSHA256Mismatch");
    }
    let mut state = state.lock().unwrap();
    let key = decode(path.strip_prefix("/bucket/")?);
    match method {
        "PUT" => {
            *state.puts.entry(key.clone()).or_default() += 1;
            let fault = state.faults.pop();
            match fault {
                Some(Fault::Conflict) => return error(409, "ConditionalRequestConflict"),
                Some(Fault::LosesRequest) => return None,
                Some(Fault::LosesAnswer) | None => {}
            }
            let is_conditional = headers.get("if-none-match").is_some_and(|value| value == "*");
            if is_conditional && !state.ignores_conditions && state.objects.contains_key(&key) {
                return error(412, "PreconditionFailed");
            }
            state.objects.insert(key, body);
            (fault != Some(Fault::LosesAnswer)).then_some((200, Vec::new()))
        }
        "GET" if key.is_empty() => {
            let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            assert_eq!(value("list-type").as_deref(), Some("2"));
            let (prefix, after) = (value("prefix")?, value("continuation-token").unwrap_or_default());
            let all = state.objects.keys().filter(|key| key.starts_with(&prefix) && **key > after);
            let page: Vec<&String> = all.take(PAGE + 1).collect();
            let shown = &page[..page.len().min(PAGE)];
            let keys: String = shown.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
            let is_cut = page.len() > PAGE;
            let next = match shown.last() {
                Some(last) if is_cut => format!("<NextContinuationToken>{last}</NextContinuationToken>"),
                _ => String::new(),
            };
            let text = format!("<ListBucketResult><IsTruncated>{is_cut}</IsTruncated>{next}{keys}</ListBucketResult>");
            Some((200, text.into_bytes()))
        }
        "GET" => match state.objects.get(&key) {
            Some(object) => Some((200, object.clone())),
            None => error(404, "NoSuchKey"),
        },
        _ => error(405, "MethodNotAllowed"),
    }
}

/// True where the request is signed with the key, everything that the documentation wants signed with it.
fn is_signed(
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &BTreeMap<String, String>,
    host: &str,
) -> bool {
    let Some(authorization) = headers.get("authorization") else { return false };
    let named =
        authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let has_all = headers.keys().filter(|name| name.starts_with("x-amz-") || *name == "if-none-match");
    let is_complete = has_all.chain([&"host".to_owned()]).all(|name| named.split(';').any(|other| other == name));
    let value = |name: &str| if name == "host" { host } else { headers.get(name).map_or("", String::as_str) };
    let signed: Vec<(&str, &str)> = named.split(';').map(|name| (name, value(name))).collect();
    let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (&**name, &**value)).collect();
    let request =
        sigv4::Signed { method, path, query: &query, headers: &signed, payload: value("x-amz-content-sha256") };
    let credentials = sigv4::Credentials {
        access_key: KEY.0.into(),
        secret_key: nixdag::secret::Secret::new(KEY.1.into()),
        session_token: None,
    };
    let expected = sigv4::authorization(&request, &credentials, "eu-west-1", "s3", value("x-amz-date"));
    is_complete && *authorization == expected
}
