//! `nixdag continue` against a real server on this machine: what is sent, what is made of each answer, and that the key never shows.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::api_server::{ApiServer, KEY, Turn};
use crate::support::nixdag;
use crate::support::recorded::Recorded;
use predicates::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIG: &str = "version: 2.1\nparameters:\n  deploy: {type: boolean, default: false}\njobs:\n  a:\n    type: no-op\n\
    workflows:\n  own:\n    jobs: [a]\n";

/// A run of `nixdag continue` that shows nothing of the key.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    #[track_caller]
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
        let run = Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        for stream in [&run.stdout, &run.stderr] {
            assert!(!stream.contains("continuation-key-0123"), "the key shows: {stream}");
        }
        run
    }

    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    #[track_caller]
    fn fails(self, said: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}", self.stderr);
        for said in said {
            assert!(self.stderr.contains(said), "`{said}` is missing in: {}", self.stderr);
        }
        self
    }
}

/// The program, without what this machine has set.
fn plain_nixdag() -> assert_cmd::Command {
    let mut command = nixdag();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    for name in ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CIRCLE_CONTINUATION_KEY"] {
        command.env_remove(name);
    }
    command
}

fn config(text: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("config.yml");
    fs::write(&path, text).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

#[track_caller]
fn continue_with(text: &str, url: &str, more: &[&str]) -> Run {
    let (_dir, path) = config(text);
    let mut command = plain_nixdag();
    command.env("CIRCLE_CONTINUATION_KEY", KEY).args(["continue", &path, "--api-url", url]).args(more);
    Run::new(&command.output().unwrap())
}

fn answers(status: u16, message: &str) -> ApiServer {
    let body = json!({ "message": message }).to_string();
    ApiServer::new(std::iter::repeat_n(Turn::Answer(status, "", body), 9))
}

#[test]
fn a_configuration_is_handed_over() {
    let server = ApiServer::new([]);
    let run = continue_with(CONFIG, &server.url(), &["--parameters", r#"{"deploy": true}"#]).succeeds();
    assert_eq!(run.stdout, "");
    let body = server.continued_with().unwrap();
    assert_eq!(body, json!({"continuation-key": KEY, "configuration": CONFIG, "parameters": {"deploy": true}}));
}

#[test]
fn what_nixdag_generates_is_handed_over() {
    let recorded = Recorded::of(&[("a", &[]), ("b", &["a"])]);
    let text = recorded.said("generate", &["--bundle", "bundle"]);
    let server = ApiServer::new([]);
    continue_with(&text, &server.url(), &[]).succeeds();
    assert_eq!(server.continued_with().unwrap()["configuration"], text);
    let made =
        recorded.nixdag("generate").assert().success().stderr(predicate::str::contains("warning: this is a preview"));
    let preview = String::from_utf8(made.get_output().stdout.clone()).unwrap();
    continue_with(&preview, &server.url(), &[]).fails(&["it is a preview"]);
    let broken = text.replace("no-op", "approval");
    continue_with(&broken, &server.url(), &[]).fails(&["CircleCI would refuse it"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_configuration_and_parameters_come_from_standard_input_and_a_file() {
    let server = ApiServer::new([]);
    let (dir, path) = config(CONFIG);
    let parameters = dir.path().join("parameters.json");
    fs::write(&parameters, " {\"deploy\": false}\n").unwrap();
    let mut command = plain_nixdag();
    command.env("CIRCLE_CONTINUATION_KEY", KEY).args(["continue", "-", "--api-url", &server.url(), "--parameters"]);
    let output = command.arg(&parameters).pipe_stdin(path).unwrap().output().unwrap();
    Run::new(&output).succeeds();
    assert_eq!(server.continued_with().unwrap()["parameters"], json!({"deploy": false}));
}

#[test]
fn a_dry_run_shows_everything_but_the_key_and_sends_nothing() {
    let server = ApiServer::new([]);
    let run = continue_with(CONFIG, &server.url(), &["--dry-run"]).succeeds();
    let shown: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(shown["url"], format!("{}/api/v2/pipeline/continue", server.url()));
    assert_eq!(shown["body"], json!({"configuration": CONFIG, "parameters": {}}));
    assert_eq!(server.requests().len(), 0);

    let (_dir, path) = config(CONFIG);
    let run = Run::new(&plain_nixdag().args(["continue", &path, "--dry-run"]).output().unwrap()).succeeds();
    assert!(
        run.stderr.contains("`CIRCLE_CONTINUATION_KEY` is not set")
            && run.stdout.contains("https://circleci.com/api/v2/")
    );
}

#[test]
fn nothing_is_sent_that_is_known_to_be_refused() {
    let server = ApiServer::new([]);
    let leaking = format!("# {KEY}\n{CONFIG}");
    for (text, more, said) in [
        (format!("setup: true\n{CONFIG}").as_str(), &[][..], "setup: true"),
        (&leaking, &[], "hold the continuation key"),
        (CONFIG, &["--parameters", "{\"deplyo\": true}"], "did you mean `deploy`?"),
        (CONFIG, &["--parameters", "{\"deploy\": \"yes\"}"], "type: boolean"),
        (CONFIG, &["--parameters", "/nowhere.json"], "neither a JSON object nor a file"),
        ("", &[], "not a mapping"),
    ] {
        continue_with(text, &server.url(), more).fails(&[said]);
    }
    let (_dir, path) = config(CONFIG);
    let without = plain_nixdag().args(["continue", &path, "--api-url", &server.url()]).output().unwrap();
    Run::new(&without).fails(&["`CIRCLE_CONTINUATION_KEY` is not set", "--dry-run"]);
    continue_with(CONFIG, "http://example.org", &[]).fails(&["not safe for the continuation key"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_rerun_of_the_setup_workflow_is_told_to_start_a_new_pipeline() {
    let server = ApiServer::new([]);
    continue_with(CONFIG, &server.url(), &[]).succeeds();
    let run = continue_with(CONFIG, &server.url(), &[]);
    run.fails(&["Pipeline is not in setup state.", "cannot be run again", "Start a new pipeline"]);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_lost_answer_and_then_no_setup_state_is_said_to_be_ambiguous() {
    for first in [Turn::LoseAnswer, Turn::Hang] {
        let server = ApiServer::new([first]);
        let run = continue_with(CONFIG, &server.url(), &["--timeout", "2"]);
        let run = run.fails(&["not in setup state", "its answer was lost", "look at the pipeline"]);
        assert!(!run.stderr.contains("cannot be run again"), "{}", run.stderr);
        assert_eq!(server.requests().len(), 2);
        assert_eq!(server.continued_with().unwrap()["configuration"], CONFIG);
    }
}

#[test]
fn what_passes_is_tried_again() {
    let answer = |status: u16, headers: &'static str| Turn::Answer(status, headers, "busy".into());
    let server = ApiServer::new([Turn::Close, answer(503, ""), answer(429, "retry-after: 1\r\n")]);
    let run = continue_with(CONFIG, &server.url(), &[]).succeeds();
    assert!(
        run.stderr.contains("status 503: busy; trying again") && run.stderr.contains("trying again in 1.0 s"),
        "{}",
        run.stderr
    );
    assert!(server.continued_with().is_some());
}

#[test]
fn attempts_are_bounded() {
    let server = answers(500, &format!("broken, {KEY}"));
    let run = continue_with(CONFIG, &server.url(), &["--retries", "1"]);
    run.fails(&["in 2 attempts", "status 500: broken, […]", "an attempt may have succeeded"]);
    assert_eq!(server.requests().len(), 2);

    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = continue_with(CONFIG, &format!("http://{closed}"), &["--retries", "1"]).fails(&["in 2 attempts"]);
    assert!(!run.stderr.contains("may have succeeded"), "{}", run.stderr);
}

#[test]
fn a_refusal_is_final_and_says_what_to_do() {
    for (status, message, said) in [
        (409, "expired", "within six hours"),
        (400, "Unexpected argument(s): deploy", "--parameters-from"),
        (400, "Conflicting pipeline parameters.", "leave it out of `--parameters`"),
        (400, "anything else", "CircleCI answers 400: anything else"),
        (401, "no", "`--domain`"),
        (404, "no", "`--domain`"),
        (413, "too large", "--max-jobs"),
    ] {
        let server = answers(status, message);
        continue_with(CONFIG, &server.url(), &[]).fails(&[message, said]);
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[test]
fn the_key_never_shows_whatever_the_server_sends_back() {
    for body in [
        format!("bad key {KEY}"),
        json!({"message": format!("bad\n{KEY}\u{1b}[31m")}).to_string(),
        format!("{{\"message\": \"{}\"", &KEY[..30]),
        format!("{}{KEY}", "x".repeat(990)),
    ] {
        let server = ApiServer::new([Turn::Answer(400, "", body)]);
        let run = continue_with(CONFIG, &server.url(), &[]).fails(&["CircleCI answers 400"]);
        assert!(!run.stderr.contains('\u{1b}') && !run.stderr.contains(&KEY[..12]), "{}", run.stderr);
    }
}

#[test]
fn a_redirect_does_not_get_the_key() {
    for status in [301, 302, 307, 308] {
        let elsewhere = ApiServer::new([]);
        let location: &'static str = format!("location: {}/api/v2/pipeline/continue\r\n", elsewhere.url()).leak();
        let server = ApiServer::new([Turn::Answer(status, location, String::new())]);
        continue_with(CONFIG, &server.url(), &[]).fails(&["not sent after a redirect"]);
        assert_eq!((server.requests().len(), elsewhere.requests().len()), (1, 0));
    }
}

#[test]
fn an_answer_without_an_end_is_cut() {
    let server = ApiServer::new([Turn::Endless(400)]);
    continue_with(CONFIG, &server.url(), &[]).fails(&["CircleCI answers 400: (the answer has more than 65536 bytes)"]);
    // What is known by the status needs no body.
    let server = ApiServer::new([Turn::Endless(200)]);
    continue_with(CONFIG, &server.url(), &[]).succeeds();
}

#[test]
fn a_proxy_is_asked_for_the_server_and_never_sees_the_key() {
    let proxy = ApiServer::new(std::iter::repeat_n(Turn::Answer(403, "", String::new()), 9));
    let (_dir, path) = config(CONFIG);
    let mut command = plain_nixdag();
    command.env("CIRCLE_CONTINUATION_KEY", KEY).env("HTTPS_PROXY", proxy.url());
    command.args(["continue", &path, "--domain", "circleci.invalid", "--retries", "0"]);
    Run::new(&command.output().unwrap()).fails(&[]);
    let requests = proxy.requests();
    assert_eq!(requests[0].line, "CONNECT circleci.invalid:443 HTTP/1.1");
    assert!(requests.iter().all(|request| request.body.is_empty()));

    // This machine itself is asked directly.
    let server = ApiServer::new([]);
    let mut command = plain_nixdag();
    command.env("CIRCLE_CONTINUATION_KEY", KEY).env("ALL_PROXY", proxy.url());
    command.args(["continue", &path, "--api-url", &server.url()]);
    Run::new(&command.output().unwrap()).succeeds();
    assert_eq!(proxy.requests().len(), requests.len());
}

/// A server with a certificate of its own; it answers everything with 200.
struct TlsServer {
    child: Child,
    url: String,
    certificate: String,
    _dir: TempDir,
}

impl TlsServer {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout key.pem \
            -out certificate.pem -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1";
        let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let script = "import http.server, ssl\n\
            class Handler(http.server.BaseHTTPRequestHandler):\n \
             def do_POST(self):\n  \
              self.rfile.read(int(self.headers['content-length']))\n  \
              self.send_response(200)\n  self.send_header('content-length', '2')\n  self.end_headers()\n  self.wfile.write(b'{}')\n\
            server = http.server.HTTPServer(('127.0.0.1', 0), Handler)\n\
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            context.load_cert_chain('certificate.pem', 'key.pem')\n\
            server.socket = context.wrap_socket(server.socket, server_side=True)\n\
            print(server.server_port, flush=True)\n\
            server.serve_forever()";
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", script])
            .current_dir(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut port).unwrap();
        let certificate = dir.path().join("certificate.pem").to_str().unwrap().to_owned();
        Self { child, url: format!("https://127.0.0.1:{}", port.trim()), certificate, _dir: dir }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn certificates_are_checked_and_come_from_where_nix_takes_them() {
    let server = TlsServer::new();
    let (dir, path) = config(CONFIG);
    let with = |name: &str, value: &Path| {
        let mut command = plain_nixdag();
        command.env("CIRCLE_CONTINUATION_KEY", KEY).env(name, value);
        command.args(["continue", &path, "--api-url", &server.url, "--retries", "0"]);
        Run::new(&command.output().unwrap())
    };
    let certificate = Path::new(&server.certificate);
    with("NIX_SSL_CERT_FILE", certificate).succeeds();
    with("SSL_CERT_FILE", certificate).succeeds();
    with("UNRELATED", certificate).fails(&["certificate"]);
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    with("NIX_SSL_CERT_FILE", &empty).fails(&["`NIX_SSL_CERT_FILE` names", "no certificate"]);
    with("NIX_SSL_CERT_FILE", Path::new("/nowhere.pem")).fails(&["`/nowhere.pem`, which holds no certificate"]);
}
