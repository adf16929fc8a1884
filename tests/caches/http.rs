//! Binary caches: what planning takes from them, what it asks, whom it believes, and that it stays right whatever they do.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::cache_server::{self, Reply, Seen, Server, dead, file};
use crate::support::recorded::{Drv, Recorded, store_path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nixdag::nix::hash::Sha256;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::SecretKey;
use serde_json::{Value, json};

const INFO: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n";

/// A recorded evaluation: `top` takes `mid^dev`, `mid` and `other` take `leaf`; `top` and `other` are targets.
struct World(Recorded);

/// The path of an output in that evaluation, or of one that is not in it.
fn path(name: &str) -> String {
    match ["leaf", "mid", "top", "other"].iter().position(|known| *known == name) {
        Some(at) => store_path(at + 1, name),
        None if name == "mid-dev" => format!("/nix/store/1{:031}-mid-dev", 2),
        None => store_path(0, name),
    }
}

fn narinfo_name(name: &str) -> String {
    format!("/{}.narinfo", &path(name)["/nix/store/".len()..][..32])
}

fn key(name: &str, seed: u8) -> SecretKey {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = ring::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    SecretKey::parse(&format!("{name}:{}", STANDARD.encode([vec![seed; 32], public].concat()))).unwrap()
}

fn trusted() -> SecretKey {
    key("test-1", 7)
}

/// A narinfo without signatures.
fn info(name: &str) -> NarInfo {
    NarInfo {
        store_path: path(name),
        url: format!("nar/{name}.nar"),
        compression: "none".into(),
        file_hash: None,
        file_size: None,
        nar_hash: Sha256::of(name.as_bytes()),
        nar_size: 120,
        references: vec![path(name)["/nix/store/".len()..].to_owned()],
        deriver: None,
        signatures: Vec::new(),
        content_address: None,
    }
}

fn signed(name: &str) -> NarInfo {
    let mut info = info(name);
    info.signatures = vec![trusted().sign(&info.fingerprint())];
    info
}

/// What a cache with these outputs serves.
fn files(infos: impl IntoIterator<Item = NarInfo>) -> BTreeMap<String, Vec<u8>> {
    let entry = |info: NarInfo| (format!("/{}", info.file_name()), info.to_text().into_bytes());
    let infos = infos.into_iter().map(entry);
    infos.chain([("/nix-cache-info".to_owned(), INFO.as_bytes().to_vec())]).collect()
}

/// Everything but `top`.
fn most() -> BTreeMap<String, Vec<u8>> {
    files(["mid", "mid-dev", "leaf", "other"].map(signed))
}

fn served(files: BTreeMap<String, Vec<u8>>) -> Server {
    Server::new(move |seen| file(files.get(&seen.path).cloned()))
}

/// A server that answers for narinfo files as told, and otherwise as it should.
fn narinfos(reply: impl Fn(&Seen, Option<Vec<u8>>) -> Reply + Send + Sync + 'static) -> Server {
    let files = most();
    Server::new(move |seen| {
        let file = files.get(&seen.path).cloned();
        if seen.path.ends_with(".narinfo") { reply(seen, file) } else { cache_server::file(file) }
    })
}

impl World {
    fn new() -> Self {
        let mid = Drv { key: "mid", outputs: &["dev"], inputs: &["leaf"], ..Drv::default() };
        let recorded = Recorded::new().drv("leaf", "", &[], &[]).add(&mid);
        let recorded = recorded.drv("top", "", &["mid^dev"], &[]).drv("other", "", &["leaf"], &[]);
        for (name, output) in
            [("leaf", "leaf"), ("mid", "mid"), ("mid-dev", "mid^dev"), ("top", "top"), ("other", "other")]
        {
            assert_eq!(path(name), recorded.output(output));
        }
        let targets = ["top", "other"].into_iter();
        Self(targets.fold(recorded, |all, name| all.target(&format!("packages.x86_64-linux.{name}"), name)))
    }

    fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = self.0.nixdag("plan");
        command.args(arguments).env_remove("NIX_SSL_CERT_FILE").env("no_proxy", "127.0.0.1,localhost");
        command
    }

    /// Plans with caches that trust the test's key.
    fn plan(&self, arguments: &[&str]) -> Planned {
        let public = trusted().public().to_string();
        let arguments = [&["--format", "json", "--trusted-public-key", &public], arguments].concat();
        Planned::of(self.command(&arguments).output().unwrap())
    }
}

/// What `nixdag plan` said.
struct Planned {
    code: Option<i32>,
    plan: Value,
    stderr: String,
}

impl Planned {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            plan: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn needed(&self) -> u64 {
        self.plan["estimates"]["needed"].as_u64().unwrap_or_else(|| panic!("no plan: {}", self.stderr))
    }

    /// Attribute names and places of what is skipped.
    fn skipped(&self) -> Vec<(String, Value)> {
        let skipped = self.plan["skipped"].as_array().unwrap().iter();
        skipped.map(|one| (one["target"][2].as_str().unwrap().to_owned(), one["where"].clone())).collect()
    }
}

#[test]
fn what_a_cache_has_is_skipped_and_nothing_below_it_is_asked_for() {
    let (world, server) = (World::new(), served(most()));
    let planned = world.plan(&["--substituter", &server.url()]);
    assert_eq!((planned.code, planned.stderr.as_str()), (Some(0), ""));
    assert_eq!(planned.needed(), 1);
    assert_eq!(planned.skipped(), [("other".to_owned(), json!(server.url()))]);
    let mut asked = server.narinfos();
    asked.sort();
    let mut expected = ["top", "other", "mid-dev"].map(narinfo_name);
    expected.sort();
    assert_eq!(asked, expected, "each wanted output once, nothing below what is there, the cache once");

    // `top` takes `mid-dev` from there, whose narinfo says 120 bytes.
    let downloads = &planned.plan["estimates"]["downloads"];
    assert_eq!(
        ["derivations", "unknown", "bytes", "nar_bytes"].map(|key| downloads[key].as_u64()),
        [1, 0, 120, 120].map(Some),
        "{downloads}"
    );

    let mut table =
        world.command(&["--substituter", &server.url(), "--trusted-public-key", &trusted().public().to_string()]);
    let table = String::from_utf8(table.output().unwrap().stdout).unwrap();
    assert!(table.contains(&format!("available in {}", server.url())), "{table}");
    assert!(table.contains("Jobs fetch outputs from caches 1 time, at least "), "{table}");
}

#[test]
fn a_plan_names_the_caches_and_keys_that_its_jobs_need() {
    let (world, server) = (World::new(), served(most()));
    let planned = world.plan(&["--substituter", &format!("{}/?priority=3", server.url())]);
    let expected = json!({
        "substituters": [{"url": format!("{}/?priority=3", server.url()), "token_variable": null}],
        "trusted_public_keys": [trusted().public().to_string()],
    });
    assert_eq!(planned.plan["caches"], expected);
    // Without caches the plan does not speak of them.
    assert_eq!(world.plan(&[]).plan["caches"]["substituters"], json!(null));

    for (pointer, value) in [
        ("/caches/substituters/0/url", json!("https://a b")),
        ("/caches/substituters/0/url", json!("https://user:s3cret@host")),
        ("/caches/substituters/0/token_variable", json!("a=b")),
        ("/caches/trusted_public_keys/0", json!("x\" --option")),
    ] {
        let mut plan = planned.plan.clone();
        *plan.pointer_mut(pointer).unwrap() = value;
        world.0.file("plan.json", plan.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixdag"));
        let output = command.args(["plan", "--plan", "plan.json"]).current_dir(world.0.dir()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("`caches` of the plan"), "{pointer}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn caches_are_asked_by_priority_and_the_first_that_has_a_path_is_named() {
    let world = World::new();
    let with = |priority: u32, names: &[&str]| {
        let mut files = files(names.iter().map(|name| signed(name)));
        files.insert("/nix-cache-info".into(), format!("StoreDir: /nix/store\nPriority: {priority}\n").into_bytes());
        served(files)
    };
    let (last, first) = (with(50, &["top", "other"]), with(10, &["other"]));
    let planned = world.plan(&["--substituter", &last.url(), "--substituter", &first.url()]);
    assert_eq!(planned.skipped(), [("other".to_owned(), json!(first.url())), ("top".to_owned(), json!(last.url()))]);
    assert_eq!(last.narinfos(), [narinfo_name("top")], "nobody is asked for what an earlier cache has");
    // The URL's own parameter wins.
    let planned = world.plan(&["--substituter", &format!("{}?priority=1", last.url()), "--substituter", &first.url()]);
    assert_eq!(planned.skipped()[0], ("other".to_owned(), json!(last.url())));
}

#[test]
fn a_folder_is_a_cache_too() {
    let world = World::new();
    let cache = world.0.dir().join("cache with blank");
    fs::create_dir(&cache).unwrap();
    for (name, text) in most() {
        fs::write(cache.join(&name[1..]), text).unwrap();
    }
    let url = format!("file://{}", cache.display()).replace(' ', "%20");
    let planned = world.plan(&["--substituter", &url]);
    assert_eq!((planned.needed(), planned.stderr.as_str()), (1, ""));
    assert_eq!(planned.skipped(), [("other".to_owned(), json!(url))]);
    fs::remove_file(cache.join("nix-cache-info")).unwrap();
    assert_eq!(world.plan(&["--substituter", &url]).needed(), 1);
    // Neither waited for nor read without end.
    for hostile in ["mkfifo", "ln -s /dev/zero"] {
        let victim = cache.join(&narinfo_name("other")[1..]);
        fs::remove_file(&victim).unwrap();
        let mut words = hostile.split(' ');
        assert!(Command::new(words.next().unwrap()).args(words).arg(&victim).status().unwrap().success());
        let planned = world.plan(&["--substituter", &url]);
        assert!(
            planned.needed() > 1 && planned.stderr.contains("1 of 4 paths could not be queried"),
            "{}",
            planned.stderr
        );
    }
}

#[test]
fn only_what_nix_would_accept_counts() {
    let world = World::new();
    let stranger = |name: &str| {
        let mut info = info(name);
        info.signatures = vec![key("stranger-1", 9).sign(&info.fingerprint())];
        info
    };
    let lie = |name: &str| {
        let mut info = signed(name);
        info.nar_hash = Sha256::of(b"something else");
        info
    };
    let all = ["mid-dev", "leaf", "other"];
    let cases: [(&str, Server, &str, u64); 4] = [
        ("unsigned", served(files(all.map(info))), "paths without a signature treated as not available", 4),
        ("foreign", served(files(all.map(stranger))), "paths signed by `stranger-1`, which is not trusted, treated", 4),
        ("lies", served(files(all.map(lie))), "paths with a wrong signature in the name of `test-1`", 4),
        (
            "mixed",
            served(files([signed("mid-dev"), signed("leaf"), info("other")])),
            "1 path without a signature treated",
            2,
        ),
    ];
    for (name, server, words, needed) in cases {
        let planned = world.plan(&["--substituter", &server.url(), "--require-caches"]);
        assert_eq!((planned.code, planned.needed()), (Some(0), needed), "{name}: {}", planned.stderr);
        let lines: Vec<&str> = planned.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].contains(words) && lines[0].contains(&server.url()), "{name}: {lines:?}");
        assert!(name == "lies" || lines[0].contains("--trusted-public-key"), "{name}: {lines:?}");
        // A cache that is trusted as a whole.
        let planned = world.plan(&["--substituter", &format!("{}?trusted=1", server.url())]);
        assert_eq!((planned.needed(), planned.stderr.as_str()), (1, ""), "{name}");
    }
}

#[test]
fn a_settings_file_alone_sends_no_variable_anywhere() {
    let world = World::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let server = Server::new(move |request| {
        count.fetch_add(usize::from(request.headers.contains_key("authorization")), Ordering::Relaxed);
        Reply::Answer(404, String::new(), Vec::new())
    });
    world.0.file("nixdag.yml", format!("caches: [{{url: {}, token_variable: AWS_SECRET_ACCESS_KEY}}]\n", server.url()));
    let host = server.url().replace("http://", "");
    let (other, elsewhere) = (format!("{host}=OTHER"), "127.0.0.1=AWS_SECRET_ACCESS_KEY");
    // Another variable, another host, and another port of the same host.
    for arguments in [
        [].as_slice(),
        &["--cache-token", &other],
        &["--cache-token", "h=AWS_SECRET_ACCESS_KEY"],
        &["--cache-token", elsewhere],
    ] {
        let output = world.command(arguments).env("AWS_SECRET_ACCESS_KEY", "s3cret").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("add `--cache-token {host}=AWS_SECRET_ACCESS_KEY`")), "{said}");
        assert!(output.status.code() == Some(1) && !said.contains("s3cret"), "{said}");
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    let named = ["--substituter", &server.url(), "--cache-token", &other];
    assert!(world.command(&named).env("OTHER", "token").output().unwrap().status.success());
    assert!(seen.load(Ordering::Relaxed) > 0, "the host that a flag names gets no token");
}

#[test]
fn a_token_does_not_follow_a_redirection_to_another_port() {
    let world = World::new();
    let leaked = Arc::new(AtomicUsize::new(0));
    let (count, files) = (Arc::clone(&leaked), most());
    let other = Server::new(move |seen| {
        count.fetch_add(usize::from(seen.headers.contains_key("authorization")), Ordering::Relaxed);
        file(files.get(&seen.path).cloned())
    });
    let (elsewhere, files) = (other.url(), most());
    let private = Server::new(move |seen| match seen.headers.contains_key("authorization") {
        false => Reply::Answer(401, String::new(), Vec::new()),
        // On the same server it goes along.
        true if seen.path == "/nix-cache-info" => Reply::Answer(302, "Location: /info\r\n".to_owned(), Vec::new()),
        true if seen.path == "/info" => file(files.get("/nix-cache-info").cloned()),
        true => Reply::Answer(302, format!("Location: {elsewhere}{}\r\n", seen.path), Vec::new()),
    });
    let token = format!("{}=CACHE_TOKEN", private.url().replace("http://", ""));
    let url = format!("{}?trusted=1", private.url());
    let arguments = ["--format", "json", "--substituter", &url, "--cache-token", &token];
    let planned = Planned::of(world.command(&arguments).env("CACHE_TOKEN", "s3cret").output().unwrap());
    assert_eq!((planned.needed(), planned.stderr.as_str()), (1, ""));
    assert!(!other.narinfos().is_empty());
    assert_eq!(leaked.load(Ordering::Relaxed), 0, "the token went to another port");
}

#[test]
fn the_file_alone_sends_no_variable_anywhere() {
    let world = World::new();
    let server = Server::new(|_| Reply::Answer(404, String::new(), Vec::new()));
    let host = server.url().replace("http://", "");
    let settings = format!("caches: [{{url: \"{}\", token_variable: AWS_SECRET_ACCESS_KEY}}]\n", server.url());
    world.0.file("nixdag.yml", settings);
    // Neither another host nor another variable than a flag names.
    let elsewhere = "cache.example.org=AWS_SECRET_ACCESS_KEY".to_owned();
    for token in [None, Some(elsewhere), Some(format!("{host}=CACHE_TOKEN"))] {
        let mut command = world.command(&[]);
        command.args(token.iter().flat_map(|token| ["--cache-token", token]));
        let output = command.env("AWS_SECRET_ACCESS_KEY", "s3cret").env("CACHE_TOKEN", "t0ken").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let words = format!("nixdag.yml alone cannot send the variable `AWS_SECRET_ACCESS_KEY` to `{host}`");
        assert!(output.status.code() == Some(1) && said.contains(&words), "{token:?}: {said}");
        assert!(said.contains(&format!("add `--cache-token {host}=AWS_SECRET_ACCESS_KEY`")), "{said}");
        assert!(!said.contains("s3cret") && server.log().is_empty(), "{said}");
    }
}

#[test]
fn settings_name_caches_with_their_keys_priorities_and_tokens() {
    let world = World::new();
    let files = most();
    let private = Server::new(move |seen| match seen.headers.get("authorization").map(String::as_str) {
        Some("Bearer s3cret-token") => file(files.get(&seen.path).cloned()),
        _ => Reply::Answer(401, String::new(), Vec::new()),
    });
    let settings = format!(
        "caches:\n  - url: {}\n    public_key: \"{}\"\n    priority: 7\n    token_variable: CACHE_TOKEN\n",
        private.url(),
        trusted().public()
    );
    world.0.file("nixdag.yml", settings);
    let token = format!("{}=CACHE_TOKEN", private.url().replace("http://", ""));
    let arguments = ["--format", "json", "--cache-token", &token];
    let output = world.command(&arguments).env("CACHE_TOKEN", "s3cret-token").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("s3cret"), "{text}");
    let planned = Planned::of(output);
    assert_eq!((planned.needed(), planned.stderr.as_str()), (1, ""));
    let store = json!({"url": format!("{}?priority=7", private.url()), "token_variable": "CACHE_TOKEN"});
    assert_eq!(planned.plan["caches"]["substituters"], json!([store]));

    let without = Planned::of(world.command(&arguments).output().unwrap());
    assert_eq!(without.needed(), 4);
    assert!(
        without.stderr.contains("the variable `CACHE_TOKEN`, which should hold its token, is not set"),
        "{}",
        without.stderr
    );
    let wrong = world.command(&arguments).env("CACHE_TOKEN", "wrong").output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("status 401"));

    for (text, words) in [
        ("caches: [\"https://user:s3cret@host\"]", "comes with a user"),
        ("caches: [{url: \"https://h\", token_variable: \"s3cret token\"}]", "give the variable's name, not its value"),
        ("caches: [{public_key: \"a:b\"}]", "public key"),
        ("caches: [{priority: 1}]", "a cache has no `url`"),
        ("caches: [{url: \"https://h?priority=2\", priority: 1}]", "`priority` in its URL too"),
        ("caches: [{uri: x}]", "did you mean `url`?"),
        ("caches: [3]", "the URL of a cache, or a mapping with `url`"),
        ("caches: https://h", "a list of caches"),
        ("caches: [hello]", "is not a store URL"),
    ] {
        world.0.file("nixdag.yml", text);
        let output = world.command(&[]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(words) && !said.contains("s3cret"), "{text}: {said}");
    }
}

#[test]
fn hundreds_of_caches_are_asked_and_the_last_may_have_everything() {
    let world = World::new();
    let files = most();
    let server = Server::new(move |seen| {
        let (cache, path) = seen.path[1..].split_once('/').unwrap();
        let is_there = cache == "c199" || path == "nix-cache-info";
        file(files.get(&format!("/{path}")).filter(|_| is_there).cloned())
    });
    let urls: Vec<String> = (0..200).map(|number| format!("{}/c{number}", server.url())).collect();
    let arguments: Vec<&str> = urls.iter().flat_map(|url| ["--substituter", url.as_str()]).collect();
    let planned = world.plan(&arguments);
    assert_eq!((planned.needed(), planned.stderr.as_str()), (1, ""));
    assert!(planned.skipped().iter().all(|(_, place)| *place == urls[199]), "{:?}", planned.skipped());
}

/// What a program makes of its input.
fn filtered(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut pipe, input).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

#[test]
fn bodies_may_be_compressed_and_somewhere_else() {
    let world = World::new();
    let gzip = |body: &[u8]| filtered("gzip", &[], body);
    let xz = |body: &[u8]| filtered("xz", &["-9"], body);
    let zstd = |body: &[u8]| zstd::encode_all(body, 3).unwrap();
    let compressed = |name: &'static str, compress: fn(&[u8]) -> Vec<u8>| {
        let files: BTreeMap<_, _> = most().into_iter().map(|(path, body)| (path, compress(&body))).collect();
        Server::new(move |seen| match files.get(&seen.path) {
            Some(body) => Reply::Answer(200, format!("Content-Encoding: {name}\r\n"), body.clone()),
            None => file(None),
        })
    };
    let moved = served(most());
    let target = moved.url();
    let servers = [
        compressed("gzip", gzip),
        compressed("zstd", zstd),
        compressed("xz", xz),
        Server::new(move |seen| Reply::Answer(302, format!("Location: {target}{}\r\n", seen.path), Vec::new())),
        // As Amazon's S3 says that something is not there.
        narinfos(|_, file| match file {
            Some(file) => cache_server::file(Some(file)),
            None => Reply::Answer(403, String::new(), b"<Code>AccessDenied</Code>".to_vec()),
        }),
    ];
    for (number, server) in servers.iter().enumerate() {
        let planned = world.plan(&["--substituter", &server.url()]);
        assert_eq!((planned.needed(), planned.stderr.as_str()), (1, ""), "server {number}");
    }
}

/// A cache that fails in one way, what is needed then, and what is said.
struct Fault {
    name: &'static str,
    url: String,
    server: Option<Server>,
    needed: u64,
    words: String,
    /// `--require-caches` is not met.
    fails: bool,
}

fn faults() -> Vec<Fault> {
    let encoded = |encoding: &'static str, body: Vec<u8>| {
        narinfos(move |_, _| Reply::Answer(200, format!("Content-Encoding: {encoding}\r\n"), body.clone()))
    };
    let bomb = filtered("xz", &[], &vec![b'\n'; 64 << 20]);
    let greedy = filtered("xz", &["--lzma2=dict=1GiB"], b"StorePath: ");
    let not_asked = |kind: &str| format!("4 of 4 paths could not be queried, treated as not available ({kind}");
    let fault = |name, server: Server, needed, words: &str| Fault {
        name,
        url: server.url(),
        server: Some(server),
        needed,
        words: words.to_owned(),
        fails: true,
    };
    let html = || b"<!DOCTYPE html><html><body>Sign in to the network</body></html>".to_vec();
    let wrong_dir = |seen: &Seen| match seen.path.as_str() {
        "/nix-cache-info" => file(Some(b"StoreDir: /gnu/store\n".to_vec())),
        _ => file(None),
    };
    let dead_url = dead();
    vec![
        Fault {
            name: "down",
            url: dead_url,
            server: None,
            needed: 4,
            words: "is left out: the connection is refused".into(),
            fails: true,
        },
        Fault {
            name: "unknown host",
            url: "http://cache.invalid".into(),
            server: None,
            needed: 4,
            words: "is left out: ".into(),
            fails: true,
        },
        fault(
            "slow",
            Server::new(|_| Reply::Late(Duration::from_secs(20), Box::new(file(None)))),
            4,
            "is left out: no answer in time",
        ),
        fault(
            "slow after a good start",
            narinfos(|_, body| Reply::Late(Duration::from_secs(20), Box::new(file(body)))),
            4,
            &not_asked(""),
        ),
        fault("a byte now and then", narinfos(|_, _| Reply::Trickle), 4, &not_asked("")),
        fault("resets at once", Server::new(|_| Reply::Reset), 4, "is left out: the connection broke"),
        fault("resets", narinfos(|_, _| Reply::Reset), 4, &not_asked("")),
        Fault {
            fails: false,
            ..fault(
                "500 every third time",
                narinfos(
                    |seen, body| {
                        if seen.number % 3 == 2 { Reply::Answer(500, String::new(), Vec::new()) } else { file(body) }
                    },
                ),
                1,
                "",
            )
        },
        fault("500 every time", narinfos(|_, _| Reply::Answer(500, String::new(), Vec::new())), 4, &not_asked("")),
        Fault {
            fails: false,
            ..fault(
                "lies about hashes",
                served(files(
                    ["mid-dev", "leaf", "other"].map(|name| NarInfo { nar_hash: Sha256::of(b"x"), ..signed(name) }),
                )),
                4,
                "with a wrong signature in the name of `test-1`",
            )
        },
        Fault {
            fails: false,
            ..fault(
                "wrong signature",
                served(files(
                    ["mid-dev", "leaf", "other"]
                        .map(|name| NarInfo { signatures: signed("top").signatures, ..info(name) }),
                )),
                4,
                "with a wrong signature in the name of `test-1`",
            )
        },
        fault(
            "another path",
            narinfos(|_, _| file(Some(signed("elsewhere").to_text().into_bytes()))),
            4,
            &not_asked(""),
        ),
        fault("cut short", narinfos(|_, body| Reply::Short(body.unwrap_or_default())), 4, &not_asked("")),
        fault(
            "cut short in good order",
            narinfos(|_, _| file(Some(signed("other").to_text().into_bytes()[..150].to_vec()))),
            4,
            &not_asked(""),
        ),
        fault(
            "a page for everything",
            Server::new(move |_| file(Some(html()))),
            4,
            "is left out: its `nix-cache-info` names no `StoreDir`",
        ),
        fault("a page for every path", narinfos(move |_, _| file(Some(html()))), 4, &not_asked("")),
        fault("endless", narinfos(|_, _| Reply::Endless), 4, &not_asked("4 × an answer of more than 4194304 bytes)")),
        fault("64 MiB as xz", encoded("xz", bomb), 4, &not_asked("4 × an answer of more than 4194304 bytes)")),
        fault(
            "xz that takes 1 GiB",
            encoded("xz", greedy),
            4,
            &not_asked("4 × an answer that is not a narinfo (it cannot"),
        ),
        fault(
            "xz that is none",
            encoded("xz", html()),
            4,
            &not_asked("4 × an answer that is not a narinfo (it cannot"),
        ),
        fault(
            "compressed strangely",
            encoded("lzip", Vec::new()),
            4,
            &not_asked("4 × an answer compressed as `lzip`, which nixdag does not read)"),
        ),
        fault("endless at once", Server::new(|_| Reply::Endless), 4, "is left out: an answer of more than 16384 bytes"),
        {
            let server = served(most());
            let url = server.url().replace("http:", "https:");
            Fault { url, ..fault("no TLS", server, 4, "is left out: ") }
        },
        fault(
            "wrong store directory",
            Server::new(wrong_dir),
            4,
            "is left out: it is for the store directory `/gnu/store`, not `/nix/store`",
        ),
        fault(
            "redirects in circles",
            narinfos(|seen, _| Reply::Answer(302, format!("Location: {}\r\n", seen.path), Vec::new())),
            4,
            &not_asked("4 × more than 5 redirections)"),
        ),
        fault("no cache", Server::new(|_| file(None)), 4, "is left out: it has no `nix-cache-info` (status 404)"),
        fault("closed", Server::new(|_| Reply::Answer(403, String::new(), Vec::new())), 4, "is left out: status 403"),
    ]
}

/// Seconds that a cache has: enough for a good one on a busy machine, too few for a slow one.
const TIMEOUT: &str = "2";

#[test]
fn whatever_a_cache_does_the_plan_is_right_and_one_warning_says_what() {
    let world = Arc::new(World::new());
    let faults = faults();
    let good = served(files([signed("other")]));
    let rows: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = faults
            .iter()
            .map(|fault| {
                let (world, good) = (world.clone(), good.url());
                scope.spawn(move || {
                    let start = Instant::now();
                    let planned = world.plan(&["--cache-timeout", TIMEOUT, "--substituter", &fault.url]);
                    let took = start.elapsed();
                    let lines: Vec<&str> = planned.stderr.lines().collect();
                    assert_eq!((planned.code, planned.needed()), (Some(0), fault.needed), "{}: {lines:?}", fault.name);
                    if fault.words.is_empty() {
                        assert!(lines.is_empty(), "{}: {lines:?}", fault.name);
                    } else {
                        assert_eq!(lines.len(), 1, "{}: {lines:?}", fault.name);
                        let begin = format!("warning: cache `{}`", fault.url);
                        assert!(
                            lines[0].starts_with(&begin) && lines[0].contains(&fault.words),
                            "{}: {lines:?}",
                            fault.name
                        );
                    }
                    // A cache that works is not held back by one that does not.
                    let both =
                        world.plan(&["--cache-timeout", TIMEOUT, "--substituter", &fault.url, "--substituter", &good]);
                    let places: Vec<String> = both.skipped().into_iter().map(|(name, _)| name).collect();
                    assert_eq!(places, ["other"], "{}: {}", fault.name, both.stderr);
                    let required =
                        world.plan(&["--cache-timeout", TIMEOUT, "--require-caches", "--substituter", &fault.url]);
                    assert_eq!(required.code, Some(i32::from(fault.fails)), "{}: {}", fault.name, required.stderr);
                    assert_eq!(required.stderr.contains("error: could not ask"), fault.fails, "{}", required.stderr);
                    let requests = fault.server.as_ref().map_or(0, |server| server.log().len());
                    format!(
                        "{:24} needed {} in {:4.1} s, {requests} requests in 3 runs; {}",
                        fault.name,
                        fault.needed,
                        took.as_secs_f64(),
                        lines.join(" ")
                    )
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    println!("{}", rows.join("\n"));
}

/// A certificate authority, and a server with its certificate that serves a folder.
#[test]
fn tls_is_checked_against_the_machines_certificates() {
    let world = World::new();
    let dir = world.0.dir();
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
        let output = output.expect("`openssl` is missing: `tests/run.sh` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca");
    openssl("req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost");
    fs::write(dir.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names");
    let cache = dir.join("cache");
    fs::create_dir(&cache).unwrap();
    for (name, text) in most() {
        fs::write(cache.join(&name[1..]), text).unwrap();
    }
    let port = dead().rsplit(':').next().unwrap().to_owned();
    let mut server = Stopped(
        Command::new("openssl")
            .args(["s_server", "-quiet", "-WWW", "-accept", &port, "-cert", "../cert.pem", "-key", "../key.pem"])
            .current_dir(&cache)
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap(),
    );
    while std::net::TcpStream::connect(format!("localhost:{port}")).is_err() {
        assert!(server.0.try_wait().unwrap().is_none(), "openssl s_server has ended");
        thread::sleep(Duration::from_millis(20));
    }
    let url = format!("https://localhost:{port}");
    let unknown = world.plan(&["--substituter", &url]);
    assert_eq!(unknown.needed(), 4);
    assert!(
        unknown.stderr.contains("is left out: ") && unknown.stderr.to_lowercase().contains("certificate"),
        "{}",
        unknown.stderr
    );
    for variable in ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"] {
        let public = trusted().public().to_string();
        let mut command = world.command(&["--format", "json", "--trusted-public-key", &public, "--substituter", &url]);
        let planned = Planned::of(command.env(variable, dir.join("ca.pem")).output().unwrap());
        assert_eq!(planned.skipped(), [("other".to_owned(), json!(url))], "{variable}: {}", planned.stderr);
    }
    let mut other_name = world.command(&["--format", "json", "--substituter", &url.replace("localhost", "127.0.0.1")]);
    let planned = Planned::of(other_name.env("NIX_SSL_CERT_FILE", dir.join("ca.pem")).output().unwrap());
    assert_eq!(planned.needed(), 4, "a certificate for another name");
}

/// What is written into a configuration is read first: it has no password in it, and is the URL of a store.
#[test]
fn a_store_that_is_no_store_or_has_a_password_reaches_no_configuration() {
    let world = World::new();
    let generate = |arguments: &[&str]| world.0.nixdag("generate").args(arguments).output().unwrap();
    for (store, words) in [
        ("https://user:s3cret@h", "comes with a user"),
        ("s3://a:s3cret@b", "comes with a user"),
        ("s3://a b", "give each URL by itself"),
        ("https://h:$PORT", "its port is not a number"),
        ("file://x", "is an absolute path"),
        ("", "is not a store to push to"),
    ] {
        let settings = world.0.dir().join("nixdag.yml");
        for (text, arguments) in [
            (String::new(), vec!["--cache", store]),
            (String::new(), vec!["--push", store]),
            (format!("cache: '{store}'\n"), vec![]),
            (format!("push: '{store}'\n"), vec![]),
        ] {
            fs::write(&settings, &text).unwrap();
            let output = generate(&arguments);
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.code() == Some(1 + i32::from(!arguments.is_empty())) && output.stdout.is_empty(),
                "{text}{arguments:?}: {said}"
            );
            assert!(said.contains(words) && !said.contains("s3cret"), "{text}{arguments:?}: {said}");
        }
    }
    fs::remove_file(world.0.dir().join("nixdag.yml")).unwrap();
    let said = String::from_utf8(generate(&["--cache", "cachix:x"]).stderr).unwrap();
    assert!(said.contains("push with `--push cachix:x`"), "{said}");
}

/// A process that ends with the test.
struct Stopped(std::process::Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn what_is_no_store_is_a_wrong_command_line() {
    let world = World::new();
    for (arguments, words) in [
        (&["--substituter", "hello"][..], "`--substituter`: `hello` is not a store URL"),
        (&["--substituter", "https://a:s3cret@b"], "comes with a user"),
        (&["--substituter", "http://127.0.0.1:1", "--trusted-public-key", "x"], "`--trusted-public-key`"),
    ] {
        let output = world.command(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && said.contains(words) && !said.contains("s3cret"),
            "{arguments:?}: {said}"
        );
    }
    for arguments in
        [&["--substituter", "http://h", "--local-store"][..], &["--cache-connections", "0"], &["--cache-timeout", "0"]]
    {
        assert_eq!(world.command(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}
