//! A git server on this machine that wants a name and a password, as a forge does for private repositories: `git http-backend` behind a
//! small web server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use base64::prelude::{BASE64_STANDARD, Engine};

/// Serves until it is dropped.
pub struct GitServer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl GitServer {
    /// Serves the bare repositories in the folder to who comes with the login `name:password`.
    pub fn start(folder: &Path, login: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wanted = format!("Basic {}", BASE64_STANDARD.encode(login));
        let folder = folder.to_owned();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(&stream, &folder, &wanted).is_none() {
                    return;
                }
            }
        });
        Self { address, thread: Some(thread) }
    }

    /// Host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        // A connection that says nothing ends the server.
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Answers one request; none if nothing was asked.
fn answer(mut stream: &TcpStream, folder: &Path, wanted: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    if header("authorization") != wanted {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        drop(stream.write_all(refusal.as_bytes()));
        return Some(());
    }
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .envs([("PATH_INFO", path), ("QUERY_STRING", query), ("REQUEST_METHOD", method), ("REMOTE_USER", "x")])
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let said = child.wait_with_output().unwrap().stdout;
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let length = said.len() - end - 4;
    let head = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    // Who goes away early loses the rest.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&said[end + 4..])));
    Some(())
}
