//! A loopback server that continues pipelines as CircleCI's API documents it, and misbehaves on request.
//!
//! It takes `POST /api/v2/pipeline/continue` with a JSON object of `continuation-key`, `configuration` and `parameters`, nothing
//! else; a pipeline can be continued once. Each connection takes the next [`Turn`]; when they are used up the server behaves.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// The key of the one pipeline that the server knows.
pub const KEY: &str = "eyJraWQiOiI5-continuation-key-0123456789";

/// What the server does with a connection.
#[derive(Clone, Debug)]
pub enum Turn {
    /// What is documented.
    Behave,
    /// Continues the pipeline, and closes the connection without an answer.
    LoseAnswer,
    /// Continues the pipeline, and never answers.
    Hang,
    /// Closes the connection before it has read anything.
    Close,
    /// Answers with a status, header lines and a body, whatever is asked.
    Answer(u16, &'static str, String),
    /// Answers with a status and a body without an end.
    Endless(u16),
}

/// A request that has arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST /path HTTP/1.1`
    pub line: String,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    turns: VecDeque<Turn>,
    requests: Vec<Request>,
    continued_with: Option<Value>,
}

/// The server; it ends with the test's process.
pub struct ApiServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    /// Starts a server that takes these turns first.
    pub fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { turns: turns.into_iter().collect(), ..State::default() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let turn = shared.lock().unwrap().turns.pop_front().unwrap_or(Turn::Behave);
                    // A client that has gone away is its own business.
                    let _ = serve(stream, &turn, &shared);
                });
            }
        });
        Self { port, state }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What has arrived so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The body that the pipeline was continued with.
    pub fn continued_with(&self) -> Option<Value> {
        self.state.lock().unwrap().continued_with.clone()
    }
}

fn serve(stream: TcpStream, turn: &Turn, state: &Mutex<State>) -> std::io::Result<()> {
    if matches!(turn, Turn::Close) {
        return Ok(());
    }
    let mut out = stream.try_clone()?;
    let request = read(&mut BufReader::new(stream))?;
    state.lock().unwrap().requests.push(request.clone());
    let (status, headers, body) = match turn {
        Turn::Answer(status, headers, body) => (*status, *headers, body.clone()),
        Turn::Endless(status) => {
            write!(out, "HTTP/1.1 {status} x\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n")?;
            loop {
                out.write_all(&[b'x'; 1 << 14])?;
            }
        }
        Turn::Behave | Turn::LoseAnswer | Turn::Hang | Turn::Close => {
            let (status, message) = answer(&request, &mut state.lock().unwrap());
            (status, "content-type: application/json\r\n", serde_json::json!({ "message": message }).to_string())
        }
    };
    match turn {
        Turn::LoseAnswer => Ok(()),
        Turn::Hang => {
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        _ => write!(
            out,
            "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
    }
}

fn read(stream: &mut impl BufRead) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut request = Request { line: line.trim().to_owned(), headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.take(length).read_to_end(&mut request.body)?;
    Ok(request)
}

/// Status and message, as documented.
fn answer(request: &Request, state: &mut State) -> (u16, &'static str) {
    if request.line != "POST /api/v2/pipeline/continue HTTP/1.1" {
        return (404, "Not found.");
    }
    if request.header("content-type") != Some("application/json") {
        return (415, "Unsupported media type.");
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(&request.body) else { return (400, "Invalid JSON.") };
    if body.keys().any(|key| !["continuation-key", "configuration", "parameters"].contains(&key.as_str())) {
        return (400, "Unexpected key.");
    }
    if body.get("continuation-key").and_then(Value::as_str) != Some(KEY) {
        return (404, "Pipeline not found.");
    }
    let Some(configuration) = body.get("configuration").and_then(Value::as_str) else {
        return (400, "configuration: missing required key.");
    };
    let Ok(config) = serde_yaml::from_str::<serde_yaml::Value>(configuration) else { return (400, "Invalid YAML.") };
    if config.get("setup").and_then(serde_yaml::Value::as_bool) == Some(true) {
        return (400, "A setup configuration cannot continue a pipeline.");
    }
    if let Some(parameters) = body.get("parameters") {
        let Some(parameters) = parameters.as_object() else { return (400, "parameters: not a map.") };
        let declared = config.get("parameters");
        for (name, value) in parameters {
            if declared.and_then(|declared| declared.get(name)).is_none() {
                return (400, "Unexpected argument(s).");
            }
            if !(value.is_string() || value.is_boolean() || value.is_i64()) {
                return (400, "parameters: not a scalar.");
            }
        }
    }
    if state.continued_with.is_some() {
        return (400, "Pipeline is not in setup state.");
    }
    state.continued_with = Some(Value::Object(body));
    (200, "success")
}
