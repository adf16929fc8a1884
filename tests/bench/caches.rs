//! `cargo bench --bench caches`: how fast caches are asked, as ratios against `nix path-info --store` on the same paths, and how
//! many requests a plan takes against the fewest that can do.
//!
//! 10,000 signed paths, served by nginx where it is installed (else by the tests' own server), once directly and once through a
//! relay that holds every answer back for 100 ms. Needs `nix` on PATH for the comparison. The second part needs the real graph that
//! `NIXDAG_GRAPH` names, a folder with `.drv` files and `roots.json`; `NIXDAG_MISSING` is the name of the derivation that no cache
//! has, default `zlib`.

#![allow(clippy::unwrap_used, unsafe_code)] // a benchmark that cannot go on has failed; the kernel's accounting is asked for in C

#[path = "../support/cache_server.rs"]
mod cache_server;
#[path = "../support/empty_store.rs"]
mod empty_store;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cache_server::{Reply, Server, file};
use nixdag::availability::{AvailabilitySource, find_needed};
use nixdag::graph::{DrvId, Graph};
use nixdag::nix::binary_cache::netrc::Netrc;
use nixdag::nix::binary_cache::store_url::StoreUrl;
use nixdag::nix::binary_cache::{
    Caches, CachesRequest, DEFAULT_CONNECTIONS, DEFAULT_TIMEOUT, Origin, Question, Substituter,
};
use nixdag::nix::hash::Sha256;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::{PublicKeys, SecretKey};

const PATHS: usize = 10_000;

/// Nix asks for one path after the other: it gets fewer where each takes 100 ms.
const PATHS_FOR_NIX: usize = 300;

const LATENCY: Duration = Duration::from_millis(100);

fn key() -> SecretKey {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = ring::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    SecretKey::parse(&format!("bench-1:{}", STANDARD.encode([vec![7; 32], public].concat()))).unwrap()
}

fn base(number: usize) -> String {
    format!("{}-p{number}", &Sha256::of(number.to_string().as_bytes()).base32()[..32])
}

fn narinfo(base: &str) -> NarInfo {
    let mut info = NarInfo {
        store_path: format!("/nix/store/{base}"),
        url: format!("nar/{base}.nar.xz"),
        compression: "xz".into(),
        file_hash: None,
        file_size: Some(1000),
        nar_hash: Sha256::of(base.as_bytes()),
        nar_size: 5000,
        references: (0..5).map(|number| self::base(number + 1_000_000)).collect(),
        deriver: None,
        signatures: Vec::new(),
        content_address: None,
    };
    info.signatures = vec![key().sign(&info.fingerprint())];
    info
}

fn open(url: &str) -> Caches {
    let substituter = Substituter { url: StoreUrl::parse(url).unwrap(), token_variable: None, origin: Origin::Named };
    let request = CachesRequest {
        substituters: vec![substituter],
        named_keys: PublicKeys::from_iter([key().public()]),
        machine_keys: PublicKeys::default(),
        netrc: Netrc::default(),
        connections: DEFAULT_CONNECTIONS,
        timeout: DEFAULT_TIMEOUT,
    };
    Caches::open(request, "/nix/store")
}

/// Looks all paths up, in this process; gives seconds.
fn look_up(url: &str) -> f64 {
    let start = Instant::now();
    let caches = open(url);
    let questions = (0..PATHS).map(|number| Question { about: (), base: base(number) }).collect();
    let mut found = 0;
    caches
        .follow(questions, &mut |(), place| {
            found += usize::from(place.is_some());
            Vec::new()
        })
        .unwrap();
    assert_eq!(found, PATHS, "{:?}", caches.warnings());
    start.elapsed().as_secs_f64()
}

/// Largest resident size of the children that have ended, in bytes.
fn children_memory() -> u64 {
    // SAFETY: the kernel fills the whole structure, which has no invalid bit patterns.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), 0);
        usage
    };
    u64::try_from(usage.ru_maxrss).unwrap() * 1024
}

/// The same in a process of its own: seconds.
fn look_up_apart(url: &str) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap()).args(["look-up", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Seconds that Nix takes for the first `count` paths; none without a Nix.
fn look_up_with_nix(url: &str, count: usize) -> Option<f64> {
    let home = tempfile::tempdir().unwrap();
    let mut command = empty_store::empty_store();
    command.arg("nix").args(["--extra-experimental-features", "nix-command", "path-info", "--store", url]);
    command.args((0..count).map(|number| format!("/nix/store/{}", base(number))));
    command.env("HOME", home.path()).env("NIX_CONFIG", "substituters =").stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.output().ok()?;
    if !output.status.success() {
        eprintln!("no comparison: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
        return None;
    }
    Some(start.elapsed().as_secs_f64())
}

/// Holds back every answer of a server.
fn relay(to: &str, latency: Duration) -> String {
    let to = to.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let small = || thread::Builder::new().stack_size(128 << 10);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            small().spawn(move || pass(&client, &server, Duration::ZERO)).unwrap();
            small().spawn(move || pass(&forth, &back, latency)).unwrap();
        }
    });
    url
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, latency: Duration) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        thread::sleep(latency);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(std::net::Shutdown::Both));
}

/// A process that ends with the benchmark.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn nginx(root: &Path, work: &Path) -> Option<(Nginx, String)> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "daemon off; master_process off; worker_rlimit_nofile 8192; error_log stderr crit; pid {0}/pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
         fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
         server {{ listen {address} backlog=2048; root {1}; }} }}\n",
        work.display(),
        root.display()
    );
    fs::write(work.join("nginx.conf"), config).unwrap();
    let child = Command::new("nginx").arg("-c").arg(work.join("nginx.conf")).arg("-p").arg(work).spawn().ok()?;
    let server = Nginx(child);
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return Some((server, format!("http://{address}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

fn speed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, work) = (dir.path().join("cache"), dir.path().join("work"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&work).unwrap();
    // nginx without a master still reads as another user where it is started by root.
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(root.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
    for number in 0..PATHS {
        let info = narinfo(&base(number));
        fs::write(root.join(info.file_name()), info.to_text()).unwrap();
    }
    let nginx = nginx(&root, &work);
    let own = nginx.is_none().then(|| Server::folder(&root));
    let url = nginx.as_ref().map_or_else(|| own.as_ref().unwrap().url(), |(_, url)| url.clone());
    println!("{PATHS} paths, served by {}", if nginx.is_some() { "nginx" } else { "the tests' own server" });
    for (name, url, count) in
        [("no latency", url.clone(), PATHS), ("100 ms a request", relay(&url, LATENCY), PATHS_FOR_NIX)]
    {
        let ours = (0..3).map(|_| look_up_apart(&url)).fold(f64::INFINITY, f64::min);
        let rate = PATHS as f64 / ours;
        print!("{name}: {rate:.0} look-ups a second, at most {} MB", children_memory() / 1_000_000);
        match look_up_with_nix(&url, count) {
            Some(theirs) => {
                let nix = count as f64 / theirs;
                println!("; `nix path-info --store`: {nix:.0} a second ({count} paths), ratio {:.1}", rate / nix);
            }
            None => println!(),
        }
    }
}

/// How many requests a plan takes, with a cache that has all outputs but those that `is_missing` names.
fn requests(graph: &Graph, targets: &[DrvId], is_missing: impl Fn(DrvId) -> bool) -> (usize, usize, usize) {
    let bases = graph.ids().filter(|&id| !is_missing(id)).flat_map(|id| {
        graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref()).map(str::to_owned).collect::<Vec<_>>()
    });
    let listed: HashSet<String> = bases.collect();
    let files: HashMap<String, String> =
        listed.iter().map(|base| (format!("/{}.narinfo", &base[..32]), base.clone())).collect();
    let server = Server::new(move |seen| match (seen.path.as_str(), files.get(&seen.path)) {
        ("/nix-cache-info", _) => file(Some(b"StoreDir: /nix/store\n".to_vec())),
        (_, Some(base)) => file(Some(narinfo(base).to_text().into_bytes())),
        _ => Reply::Answer(404, String::new(), Vec::new()),
    });
    let caches = AvailabilitySource::Caches(Box::new(open(&server.url())));
    let found = find_needed(graph, targets, &caches).unwrap();
    let expected = find_needed(graph, targets, &AvailabilitySource::Listed(listed)).unwrap();
    assert!(found.ids().eq(expected.ids()), "the cache says something else than the list");
    let fewest: usize = graph
        .ids()
        .map(|id| {
            let wanted = (0..graph.node(id).outputs.len()).filter(|&index| expected.wanted(id).has(index)).count();
            if expected.has(id) { wanted.min(1) } else { wanted }
        })
        .sum();
    (server.narinfos().len(), fewest, expected.ids().count())
}

fn economy(dir: &Path) {
    let roots = nixdag::recorded_evaluation::read(&fs::read(dir.join("roots.json")).unwrap()).unwrap();
    let graph = Graph::load(roots.iter().map(|target| &*target.drv_path), dir, "/nix/store").unwrap();
    let targets: Vec<DrvId> = roots.iter().map(|target| graph.find(&target.drv_path).unwrap()).collect();
    let distinct: HashSet<DrvId> = targets.iter().copied().collect();
    let outputs: usize = distinct.iter().map(|id| graph.node(*id).outputs.len()).sum();
    let (asked, fewest, _) = requests(&graph, &targets, |_| false);
    println!(
        "{} targets of {} derivations with {outputs} outputs, all cached: {asked} requests, {:.2} a target, {:.2} an output, {:.2} of the fewest",
        targets.len(),
        distinct.len(),
        asked as f64 / targets.len() as f64,
        asked as f64 / outputs as f64,
        asked as f64 / fewest as f64
    );
    let missing = std::env::var("NIXDAG_MISSING").unwrap_or_else(|_| "zlib".into());
    let mut rebuilt: HashSet<DrvId> = HashSet::new();
    for id in graph.ids() {
        let name = graph.node(id).name();
        let is_it = name == missing || name.strip_prefix(&missing).is_some_and(|rest| rest.starts_with('-'));
        if is_it && !graph.node(id).fixed_output || graph.inputs(id).iter().any(|input| rebuilt.contains(&input.drv)) {
            rebuilt.insert(id);
        }
    }
    let (asked, fewest, needed) = requests(&graph, &targets, |id| rebuilt.contains(&id));
    println!(
        "`{missing}` and what depends on it missing: {needed} derivations to build, {asked} requests, {:.2} of the fewest",
        asked as f64 / fewest as f64
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, url] = &arguments[..]
        && command == "look-up"
    {
        println!("{}", look_up(url));
        return;
    }
    speed();
    match std::env::var_os("NIXDAG_GRAPH") {
        Some(dir) => economy(&PathBuf::from(dir)),
        None => println!("requests a plan: not measured, NIXDAG_GRAPH is not set"),
    }
}
