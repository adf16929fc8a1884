//! A web server on this machine that gives the files of a folder, as a mirror does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::prelude::{BASE64_STANDARD, Engine};

/// Serves until it is dropped.
pub struct FileServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl FileServer {
    /// Serves what is in the folder now and later.
    pub fn start(folder: &Path) -> Self {
        Self::serve(folder, None)
    }

    /// The same to who comes with the login `name:password`.
    pub fn start_for(folder: &Path, login: &str) -> Self {
        Self::serve(folder, Some(format!("authorization: basic {}", BASE64_STANDARD.encode(login))))
    }

    /// Serves to who sends this header, its name and its first word in lower case.
    fn serve(folder: &Path, wanted: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (folder, record) = (folder.to_owned(), requests.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some((path, headers)) = requested(&stream) else { return };
                record.lock().unwrap().push(path.clone());
                if wanted.as_ref().is_none_or(|wanted| headers.contains(wanted)) {
                    answer(&stream, &folder, &path);
                } else {
                    send(&stream, "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"files\"", &[]);
                }
            }
        });
        Self { address, requests, thread: Some(thread) }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths that were asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        // A connection that says nothing ends the server.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The path that is asked for, and the headers.
fn requested(stream: &TcpStream) -> Option<(String, Vec<String>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.strip_prefix("GET /")?.split(' ').next()?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            return Some((path, headers));
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        headers.push(format!("{}: {}", name.to_lowercase(), value.replacen("Basic", "basic", 1)));
    }
}

fn answer(stream: &TcpStream, folder: &Path, path: &str) {
    let file: PathBuf = folder.join(path);
    let (status, body) = match fs::read(file) {
        Ok(body) if !path.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    send(stream, status, &body);
}

fn send(mut stream: &TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Who goes away early loses the rest.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}
