//! The action `checks`: a check for each target, on a stand-in for GitHub's API, by what jobs have recorded.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{repository, shown};

const TOKEN: &str = "token-0123456789";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Takes check runs as GitHub documents them, after answering with these statuses. Out: the address, and what it has taken.
fn api(statuses: &[u16]) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (shared, mut statuses) = (taken.clone(), statuses.iter().copied().collect::<VecDeque<u16>>());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let status = statuses.pop_front().unwrap_or_else(|| status(&head, &body));
            if status == 201 {
                shared.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            }
            write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
        }
    });
    (address, taken)
}

/// What GitHub answers.
fn status(head: &str, body: &[u8]) -> u16 {
    if !head.starts_with("post /repos/o/r/check-runs http/1.1\r\n") {
        return 404;
    }
    if !head.contains(&format!("authorization: bearer {TOKEN}\r\n")) {
        return 401;
    }
    let Ok(Value::Object(check)) = serde_json::from_slice(body) else { return 400 };
    let text = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_commit = text("head_sha").len() == 40 && text("head_sha").bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_end = text("status") == "completed"
        && ["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"]
            .contains(&text("conclusion"));
    let output = &check["output"];
    let has_output = output["title"].is_string() && output["summary"].is_string();
    if is_commit && has_end && has_output && !text("name").is_empty() && check.len() == 5 { 201 } else { 422 }
}

/// A run's folder: a plan with these targets, each with its derivation and job, and one record for each list of outcomes.
fn run_of(targets: &[(&[&str], &str, Option<&str>)], records: &[Value]) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join(".nixdag/bundle");
    fs::create_dir_all(&bundle).unwrap();
    let targets: Vec<Value> = targets
        .iter()
        .map(|(target, derivation, job)| json!({ "target": target, "derivation": derivation, "job": job }))
        .collect();
    let jobs = json!([{ "id": "may", "options": { "allow_failure": true } }, { "id": "a", "options": {} }]);
    fs::write(bundle.join("plan.json"), json!({ "jobs": jobs, "targets": targets }).to_string()).unwrap();
    let sum = |name: &str| {
        let said = Command::new("sha256sum").arg(name).current_dir(&bundle).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    fs::write(bundle.join("manifest"), sum("plan.json")).unwrap();
    for (at, record) in records.iter().enumerate() {
        let results = folder.path().join(format!(".nixdag/results/nixdag-results-{at}"));
        fs::create_dir_all(&results).unwrap();
        fs::write(results.join("report.json"), record.to_string()).unwrap();
    }
    let manifest = sum("manifest")[..64].to_owned();
    (folder, manifest)
}

fn write_checks(folder: &Path, manifest: &str, address: &str, event: &Value) -> Output {
    fs::write(folder.join("event.json"), event.to_string()).unwrap();
    let mut command = Command::new("bash");
    command.arg(repository().join("github/checks/checks.sh")).current_dir(folder).env("MANIFEST", manifest);
    command.env("NIXDAG_CHECKS_TOKEN", TOKEN).env("NIXDAG_CHECKS_PAUSE", "0").env("GITHUB_API_URL", address);
    command.env("GITHUB_REPOSITORY", "o/r").env("GITHUB_SHA", COMMIT);
    command.env("GITHUB_EVENT_PATH", folder.join("event.json")).output().unwrap()
}

fn outcome(derivation: &str, outcome: &str) -> Value {
    json!({ "derivation": derivation, "outcome": outcome, "class": "builder" })
}

#[test]
fn each_target_has_a_check_by_what_jobs_have_recorded() {
    let targets: [(&[&str], &str, Option<&str>); 7] = [
        (&["packages", "x86_64-linux", "a"], "/a.drv", Some("a")),
        (&["packages", "x86_64-linux", "b.c"], "/b.drv", Some("a")),
        (&["packages", "x86_64-linux", "d"], "/d.drv", Some("a")),
        (&["packages", "x86_64-linux", "e"], "/e.drv", Some("a")),
        (&["packages", "x86_64-linux", "f"], "/f.drv", Some("may")),
        (&["packages", "x86_64-linux", "g"], "/g.drv", None),
        (&["packages", "x86_64-linux", "h"], "/h.drv", Some("a")),
    ];
    let records = [
        json!({ "derivations": [outcome("/a.drv", "failed"), outcome("/b.drv", "failed"), outcome("/d.drv", "dependency-failed")] }),
        json!({ "derivations": [outcome("/a.drv", "built"), outcome("/f.drv", "failed"), outcome("/h.drv", "present")] }),
        json!({ "derivations": [7, { "derivation": "/e.drv", "outcome": 3 }, { "outcome": "built" }] }),
        json!("words"),
    ];
    let (folder, manifest) = run_of(&targets, &records);
    let (address, taken) = api(&[502, 429]);
    let head = "f".repeat(40);
    let said =
        write_checks(folder.path(), &manifest, &address, &json!({ "pull_request": { "head": { "sha": head } } }));
    assert!(said.status.success() && shown(&said).contains("checks: 6"), "{}", shown(&said));
    let taken = taken.lock().unwrap();
    let of = |name: &str| {
        let name = format!("nixdag: packages.x86_64-linux.{name}");
        let check =
            taken.iter().find(|check| check["name"] == name.as_str()).unwrap_or_else(|| panic!("{name}: {taken:?}"));
        assert_eq!(check["head_sha"], head.as_str());
        check["conclusion"].as_str().unwrap().to_owned()
    };
    let said = ["a", "\"b.c\"", "d", "e", "f", "h"].map(of);
    assert_eq!(said, ["success", "failure", "failure", "failure", "neutral", "success"]);
    assert_eq!(taken.len(), 6, "nothing that was not to be built, and nothing twice");
}

#[test]
fn without_the_permission_or_an_api_it_says_so_and_fails_nothing() {
    let (folder, manifest) = run_of(&[(&["packages", "x86_64-linux", "a"], "/a.drv", Some("a"))], &[]);
    for (statuses, words) in [(&[403][..], "`checks: write`"), (&[500, 500, 500], "status 500"), (&[422], "status 422")]
    {
        let (address, taken) = api(statuses);
        let said = write_checks(folder.path(), &manifest, &address, &json!({}));
        assert!(said.status.success() && shown(&said).contains(words), "{}", shown(&said));
        assert!(taken.lock().unwrap().is_empty());
    }
    let (address, taken) = api(&[]);
    let said = write_checks(folder.path(), &manifest, &address, &json!({}));
    assert!(said.status.success() && !shown(&said).contains(TOKEN), "{}", shown(&said));
    assert_eq!(taken.lock().unwrap()[0]["head_sha"], COMMIT);
}

#[test]
fn a_plan_that_is_not_the_planned_one_is_not_read() {
    let (folder, manifest) = run_of(&[(&["packages", "x86_64-linux", "a"], "/a.drv", Some("a"))], &[]);
    fs::write(folder.path().join(".nixdag/bundle/plan.json"), "{}").unwrap();
    let (address, taken) = api(&[]);
    let said = write_checks(folder.path(), &manifest, &address, &json!({}));
    assert!(!said.status.success() && taken.lock().unwrap().is_empty(), "{}", shown(&said));
}
