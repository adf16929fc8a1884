//! A web server on this machine that gives the files of a folder, as a mirror does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Serves until it is dropped.
pub struct FileServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl FileServer {
    /// Serves what is in the folder now and later.
    pub fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (folder, record) = (folder.to_owned(), requests.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(path) = requested(&stream) else { return };
                record.lock().unwrap().push(path.clone());
                answer(&stream, &folder, &path);
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

fn requested(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.strip_prefix("GET /")?.split(' ').next()?.to_owned();
    let mut line = String::from("header");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    Some(path)
}

fn answer(mut stream: &TcpStream, folder: &Path, path: &str) {
    let file: PathBuf = folder.join(path);
    let (status, body) = match fs::read(file) {
        Ok(body) if !path.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Who goes away early loses the rest.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
}
