//! A loopback server with the part of GitLab's API that is about generic packages: files are put, the newest of a name is given, packages are
//! listed and removed. It keeps files elsewhere, to where it redirects, and refuses a token there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The token of all jobs.
pub const TOKEN: &str = "glcbt-token";

/// What the server does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// Uploads are refused, and lists.
    pub refuses_uploads: bool,
    /// Downloads are refused.
    pub refuses_downloads: bool,
    /// Somebody puts another file of the same name behind each upload.
    pub is_poisoned: bool,
    /// Whoever starts pipelines may remove packages.
    pub is_maintainer: bool,
    /// Entries of the list of packages that are none stand before the others.
    pub lists_nonsense: bool,
    /// The first upload of each file meets another one.
    pub collides: bool,
    /// Uploads are taken with the token as a password too, as GitLab does since 2026; downloads always are.
    pub takes_passwords: bool,
}

/// `gitlab-ci-token` and [`TOKEN`] as user and password.
const BASIC: &str = "Basic Z2l0bGFiLWNpLXRva2VuOmdsY2J0LXRva2Vu";

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    requests: Vec<String>,
    collided: Vec<String>,
}

/// The server; it ends with the test's process.
#[derive(Clone)]
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Registry {
    /// Starts one.
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || drop(serve(&stream, address, behaviour, &shared)));
            }
        });
        Self { address, state }
    }

    /// As `CI_API_V4_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/api/v4", self.address)
    }

    /// `METHOD PATH STATUS`, in the order of the answers.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// What a file holds.
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.state.lock().unwrap().files[name].clone()
    }

    /// Somebody puts another file of the same name there.
    pub fn change(&self, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let changed = change(self.content(name));
        self.state.lock().unwrap().files.insert(name.to_owned(), changed);
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<String> {
        self.state.lock().unwrap().files.keys().cloned().collect()
    }
}

fn serve(stream: &TcpStream, address: SocketAddr, behaviour: Behaviour, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let words: Vec<String> = first.split_whitespace().map(str::to_owned).collect();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        if headers.contains_key("expect") {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length: Option<u64> = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = Vec::new();
        (&mut reader).take(length.unwrap_or(0)).read_to_end(&mut body)?;
        let may = behaviour.takes_passwords || words[0] != "PUT";
        let by_password = || headers.get("authorization").filter(|given| *given == BASIC && may).map(|_| TOKEN);
        let token = headers.get("job-token").map(String::as_str).or_else(by_password);
        let (status, location, answer) =
            answer(&words[0], &words[1], token, length.is_some(), body, behaviour, &mut state.lock().unwrap());
        state.lock().unwrap().requests.push(format!("{} {} {status}", words[0], words[1]));
        // Another host, for which nobody has a password.
        let port = address.port();
        let location = location.map(|path| format!("Location: http://localhost:{port}{path}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} x\r\n{location}Content-Length: {}\r\n\r\n", answer.len());
        (&*stream).write_all(head.as_bytes())?;
        if words[0] != "HEAD" {
            (&*stream).write_all(&answer)?;
        }
    }
}

/// Names and versions of packages.
fn packages(state: &State) -> Vec<(String, String)> {
    let mut packages: Vec<_> = state
        .files
        .keys()
        .filter_map(|key| {
            let mut parts = key.split('/');
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        })
        .collect();
    packages.dedup();
    packages
}

fn answer(
    method: &str,
    path: &str,
    token: Option<&str>,
    has_length: bool,
    body: Vec<u8>,
    behaviour: Behaviour,
    state: &mut State,
) -> (u16, Option<String>, Vec<u8>) {
    let only = |status: u16, text: &str| (status, None, text.as_bytes().to_vec());
    if let Some(key) = path.strip_prefix("/storage/") {
        return match (token, state.files.get(key)) {
            (Some(_), _) => only(400, "a token where none belongs"),
            (None, Some(file)) => (200, None, file.clone()),
            (None, None) => only(404, ""),
        };
    }
    if token != Some(TOKEN) {
        return only(401, "{\"message\":\"401 Unauthorized\"}");
    }
    let Some(rest) = path.strip_prefix("/api/v4/projects/42/packages") else { return only(404, "") };
    match (method, rest.strip_prefix("/generic/")) {
        ("PUT", _) if behaviour.refuses_uploads => only(403, "{\"message\":\"403 Forbidden\"}"),
        ("GET", Some(_)) if behaviour.refuses_downloads => only(403, "{\"message\":\"403 Forbidden\"}"),
        ("PUT", Some(_)) if !has_length => only(411, ""),
        ("PUT", Some(key)) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._+-~@/".contains(c);
            if key.split('/').count() < 3 || !key.chars().all(plain) {
                return only(400, "{\"error\":\"file_name is invalid\"}");
            }
            if behaviour.collides && !state.collided.iter().any(|known| known == key) {
                state.collided.push(key.to_owned());
                return only(409, "{\"message\":\"409 Conflict\"}");
            }
            let file = if behaviour.is_poisoned { vec![b'x'; body.len()] } else { body };
            state.files.insert(key.to_owned(), file);
            only(201, "{\"message\":\"201 Created\"}")
        }
        ("GET" | "HEAD", Some(key)) if state.files.contains_key(key) => {
            (302, Some(format!("/storage/{key}")), Vec::new())
        }
        ("GET", None) if behaviour.refuses_uploads => only(403, "{\"message\":\"403 Forbidden\"}"),
        ("GET", None) if rest.starts_with('?') => {
            let mut list: Vec<_> = packages(state)
                .iter()
                .enumerate()
                .map(|(id, (name, version))| serde_json::json!({ "id": id, "name": name, "version": version, "package_type": "generic" }))
                .collect();
            if behaviour.lists_nonsense {
                let nonsense = serde_json::json!([null, { "id": "\u{1b}[2J", "name": 7 }, { "id": -1, "name": [] }]);
                list.splice(..0, nonsense.as_array().unwrap().clone());
            }
            only(200, &serde_json::Value::Array(list).to_string())
        }
        ("DELETE", None) if behaviour.is_maintainer => {
            let id = rest.strip_prefix('/').and_then(|id| id.parse::<usize>().ok());
            let Some((name, version)) = id.and_then(|id| packages(state).into_iter().nth(id)) else {
                return only(404, "");
            };
            state.files.retain(|key, _| !key.starts_with(&format!("{name}/{version}/")));
            only(204, "")
        }
        ("DELETE", _) => only(403, "{\"message\":\"403 Forbidden\"}"),
        _ => only(404, "{\"message\":\"404 Not Found\"}"),
    }
}
