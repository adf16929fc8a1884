//! The comments of one pull request (GitHub) or merge request (GitLab), over HTTP on loopback, as strict as their APIs: nothing without the token,
//! no field more, nobody's comment but one's own is changed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The token that may read and write.
pub const TOKEN: &str = "token-0123456789-secret";

/// Its owner.
pub const OWNER: &str = "github-actions[bot]";

/// What the server does with the next request that writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Too many requests: wait so many seconds.
    Limit(u64),
    /// It carries the request out, and closes the connection without an answer.
    LoseAnswer,
    /// It is broken.
    Status(u16),
}

/// Whose API.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Api {
    GitHub,
    GitLab,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Comment {
    pub id: u64,
    pub author: String,
    pub body: String,
}

#[derive(Default)]
pub struct State {
    pub comments: Vec<Comment>,
    pub turns: VecDeque<Turn>,
    /// The token may read only.
    pub reads_only: bool,
    /// `METHOD /path`
    pub requests: Vec<String>,
}

pub struct CommentServer {
    port: u16,
    api: Api,
    pub state: Arc<Mutex<State>>,
}

impl CommentServer {
    /// With these comments, author and text, in this order.
    pub fn new(api: Api, comments: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let comment =
            |(id, (author, body)): (u64, &(&str, String))| Comment { id, author: (*author).into(), body: body.clone() };
        let comments = (1..).zip(comments).map(comment).collect();
        let state = Arc::new(Mutex::new(State { comments, ..State::default() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, api, &shared));
            }
        });
        Self { port, api, state }
    }

    pub fn url(&self) -> String {
        match self.api {
            Api::GitHub => format!("http://127.0.0.1:{}", self.port),
            Api::GitLab => format!("http://127.0.0.1:{}/api/v4", self.port),
        }
    }

    pub fn comments(&self) -> Vec<(String, String)> {
        let state = self.state.lock().unwrap();
        state.comments.iter().map(|comment| (comment.author.clone(), comment.body.clone())).collect()
    }

    /// Requests that change something.
    pub fn writes(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|request| !request.starts_with("GET")).cloned().collect()
    }
}

fn serve(mut stream: TcpStream, api: Api, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            match header.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let mut state = state.lock().unwrap();
        state.requests.push(format!("{method} {target}"));
        let turn = if method == "GET" { None } else { state.turns.pop_front() };
        let (status, more, answer) = match &turn {
            Some(Turn::Limit(seconds)) => (
                if api == Api::GitHub { 403 } else { 429 },
                format!("retry-after: {seconds}\r\n"),
                json!({ "message": "rate limit" }),
            ),
            Some(Turn::Status(status)) => (*status, String::new(), json!({ "message": "broken" })),
            Some(Turn::LoseAnswer) | None => {
                let token = match api {
                    Api::GitHub => header("authorization").strip_prefix("Bearer "),
                    Api::GitLab => Some(header("private-token")),
                };
                let (status, answer) = if token == Some(TOKEN) {
                    answer(api, &mut state, (&method, &target), (header("content-type"), &body))
                } else {
                    (401, json!({ "message": format!("Bad credentials {token:?}") }))
                };
                (status, String::new(), answer)
            }
        };
        if turn == Some(Turn::LoseAnswer) {
            return;
        }
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            text.len()
        );
        if stream.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

/// What the API says to a request with the right token.
fn answer(api: Api, state: &mut State, (method, target): (&str, &str), (kind, body): (&str, &[u8])) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (user, list, edit, change) = match api {
        Api::GitHub => ("/user", "/repos/o/r/issues/7/comments", "/repos/o/r/issues/comments/", "PATCH"),
        Api::GitLab => {
            let notes = "/api/v4/projects/3/merge_requests/7/notes";
            ("/api/v4/user", notes, "/api/v4/projects/3/merge_requests/7/notes/", "PUT")
        }
    };
    let shown = |comment: &Comment| match api {
        Api::GitHub => json!({ "id": comment.id, "user": { "login": comment.author }, "body": comment.body }),
        Api::GitLab => json!({ "id": comment.id, "author": { "username": comment.author }, "body": comment.body }),
    };
    let text = || -> Option<String> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let object = value.as_object().filter(|object| object.len() == 1 && kind == "application/json")?;
        object["body"].as_str().map(str::to_owned)
    };
    match (method, path) {
        // An installation's token, which GitHub gives to each job, may not ask who it is.
        ("GET", path) if path == user && api == Api::GitHub => {
            (403, json!({ "message": "Resource not accessible by integration" }))
        }
        ("GET", path) if path == user => (200, json!({ "username": OWNER })),
        ("GET", path) if path == list => {
            let number =
                |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
            let (size, page): (usize, usize) = (number("per_page").unwrap_or(30).min(100), number("page").unwrap_or(1));
            (200, state.comments.iter().skip((page - 1) * size).take(size).map(shown).collect())
        }
        ("POST", path) if path == list => match (state.reads_only, text()) {
            (true, _) => (403, json!({ "message": "Resource not accessible by integration" })),
            (false, None) => (422, json!({ "message": "body is missing" })),
            (false, Some(body)) => {
                let comment = Comment { id: state.comments.len() as u64 + 1, author: OWNER.into(), body };
                state.comments.push(comment.clone());
                (201, shown(&comment))
            }
        },
        (method, path) if method == change && path.starts_with(edit) => {
            let id: Option<u64> = path[edit.len()..].parse().ok();
            let found = state.comments.iter_mut().find(|comment| Some(comment.id) == id);
            match (found, text()) {
                (Some(comment), Some(body)) if comment.author == OWNER && !state.reads_only => {
                    comment.body = body;
                    (200, shown(comment))
                }
                _ => (403, json!({ "message": "Forbidden" })),
            }
        }
        _ => (404, json!({ "message": "Not Found" })),
    }
}

/// The checks that both APIs have to pass; `run` runs `nixdag comment` with a file and a token, against the address of an API.
pub fn checks(api: Api, run: &dyn Fn(&str, &str, &str) -> (bool, String)) {
    let mark = nixdag::page::comment::MARK;
    let text = |body: &str| format!("{mark}\n{body}\n");
    let others: Vec<(&str, String)> = std::iter::once(("somebody", text("not its own, though it has the mark")))
        .chain(std::iter::once((OWNER, "its own, without the mark".to_owned())))
        .chain((0..230).map(|_| ("somebody", "more than a page".to_owned())))
        .collect();
    // Made, the same, updated: never a second one, and nobody else's.
    let server = CommentServer::new(api, &others);
    for (body, said) in [("one", "made"), ("one", "as it should be"), ("two", "updated")] {
        let (succeeded, output) = run(&text(body), TOKEN, &server.url());
        assert!(succeeded && output.contains(said), "{output}");
    }
    let comments = server.comments();
    assert_eq!(comments.len(), others.len() + 1);
    assert_eq!(comments.last(), Some(&(OWNER.to_owned(), text("two"))));
    assert!(comments.iter().zip(&others).all(|(now, before)| now.0 == before.0 && now.1 == before.1));
    assert_eq!(server.writes().len(), 2, "{:?}", server.writes());

    // A limit is waited for, a lost answer makes no second comment, a broken server is asked again.
    let server = CommentServer::new(api, &[]);
    server.state.lock().unwrap().turns.extend([Turn::Limit(0), Turn::LoseAnswer, Turn::Status(502)]);
    let (succeeded, output) = run(&text("one"), TOKEN, &server.url());
    assert!(succeeded, "{output}");
    let (succeeded, output) = run(&text("two"), TOKEN, &server.url());
    assert!(succeeded, "{output}");
    assert_eq!(server.comments(), [(OWNER.to_owned(), text("two"))]);
    // One that is too long is not.
    server.state.lock().unwrap().turns.extend([Turn::Limit(3_600)]);
    let (succeeded, output) = run(&text("three"), TOKEN, &server.url());
    assert!(!succeeded && output.contains("limit of requests"), "{output}");

    // Without rights, with a wrong token: said, the token itself never.
    server.state.lock().unwrap().reads_only = true;
    let (succeeded, output) = run(&text("four"), TOKEN, &server.url());
    assert!(!succeeded && output.contains("the token may not do this") && output.contains("it needs"), "{output}");
    let (succeeded, output) = run(&text("five"), "another-token-9876", &server.url());
    assert!(!succeeded && output.contains("does not take the token") && !output.contains("9876"), "{output}");
    assert_eq!(server.comments(), [(OWNER.to_owned(), text("two"))]);

    // What is no comment of nixdag's, or too long, is refused before anything is asked.
    let before = server.state.lock().unwrap().requests.len();
    for (wrong, said) in
        [("no mark\n".to_owned(), "mark"), (text(&"x\n".repeat(60)), "lines"), (text(&"x".repeat(70_000)), "bytes")]
    {
        let (succeeded, output) = run(&wrong, TOKEN, &server.url());
        assert!(!succeeded && output.contains(said), "{output}");
    }
    assert_eq!(server.state.lock().unwrap().requests.len(), before);
}
