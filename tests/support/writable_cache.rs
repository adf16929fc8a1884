//! A binary cache over HTTP that takes uploads, as a plain folder.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// The cache; its threads end with the test.
pub struct WritableCache {
    folder: TempDir,
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How many uploads are still refused.
    refusals: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl WritableCache {
    /// An empty cache.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("cache").unwrap();
        fs::write(folder.path().join("nix-cache-info"), "StoreDir: /nix/store\nWantMassQuery: 1\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let (dir, state) = (folder.path().to_owned(), shared.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (dir, state) = (dir.clone(), state.clone());
                // Clients may hang up at any moment.
                std::thread::spawn(move || drop(answer(stream.unwrap(), &dir, &state)));
            }
        });
        Self { folder, url, shared }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The next uploads are answered with 503.
    pub fn refuse(&self, uploads: usize) {
        self.shared.refusals.store(uploads, Ordering::SeqCst);
    }

    /// All requests so far, e.g. `PUT /x.narinfo`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The uploads among them.
    pub fn uploads(&self) -> usize {
        self.requests().iter().filter(|request| request.starts_with("PUT ")).count()
    }

    /// The texts of all narinfo files.
    pub fn narinfos(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "narinfo"));
        files.sort();
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

/// One request a connection.
fn answer(mut stream: TcpStream, dir: &Path, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        let header = header.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        assert!(!header.starts_with("transfer-encoding:"), "an upload of unknown length");
        if header.starts_with("expect:") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
    }
    shared.requests.lock().unwrap().push(format!("{method} {path}"));
    assert!(path.starts_with('/') && !path.contains(".."), "{path}");
    let file = dir.join(&path[1..]);
    let mut body = Vec::new();
    let status = match method.as_str() {
        "PUT" => {
            let mut upload = vec![0; length];
            reader.read_exact(&mut upload)?;
            let refused = shared.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if refused.is_ok() {
                "503 Service Unavailable"
            } else {
                fs::create_dir_all(file.parent().unwrap())?;
                // Nobody reads half of it.
                let whole = tempfile::NamedTempFile::new_in(dir)?;
                fs::write(&whole, upload)?;
                whole.persist(&file)?;
                "201 Created"
            }
        }
        "GET" | "HEAD" if file.is_file() => {
            body = fs::read(&file)?;
            "200 OK"
        }
        _ => "404 Not Found",
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    Ok(())
}
