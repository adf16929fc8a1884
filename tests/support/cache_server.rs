//! Binary caches over HTTP on loopback: a strict little server that counts what it is asked, and that fails in every way that the
//! real ones do.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does with one request.
pub enum Reply {
    /// An answer: status, more header lines, body.
    Answer(u16, String, Vec<u8>),
    /// The same, after a while.
    Late(Duration, Box<Reply>),
    /// The connection is reset.
    Reset,
    /// The body ends before its length says.
    Short(Vec<u8>),
    /// The body never ends.
    Endless,
    /// A byte now and then.
    Trickle,
}

/// The plain answer with a file, or that there is none.
pub fn file(body: Option<Vec<u8>>) -> Reply {
    match body {
        Some(body) => Reply::Answer(200, String::new(), body),
        None => Reply::Answer(404, String::new(), b"<html>not found</html>".to_vec()),
    }
}

/// A request as the server saw it.
pub struct Seen {
    /// The path, with the slash at its beginning.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its number, from 0.
    pub number: u64,
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves what `reply` says.
    pub fn new(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stopped, log) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (reply, number) = (Arc::new(reply), Arc::new(AtomicU64::new(0)));
        let shared = (stopped.clone(), log.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.0.load(Ordering::Relaxed) {
                    return;
                }
                let (reply, number, log) = (reply.clone(), number.clone(), shared.1.clone());
                let run = move || drop(serve(&stream.unwrap(), &*reply, &number, &log));
                thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap();
            }
        });
        Self { address, stopped, log }
    }

    /// Serves a folder.
    pub fn folder(dir: &Path) -> Self {
        let dir: PathBuf = dir.to_owned();
        Self::new(move |seen| file(fs::read(dir.join(seen.path.trim_start_matches('/'))).ok()))
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Paths that were asked for so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Narinfo files that were asked for so far.
    pub fn narinfos(&self) -> Vec<String> {
        self.log().into_iter().filter(|path| path.ends_with(".narinfo")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // The listener looks at that when somebody calls.
        drop(TcpStream::connect(self.address));
    }
}

/// An address where nobody listens.
pub fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn serve(
    stream: &TcpStream,
    reply: &dyn Fn(&Seen) -> Reply,
    number: &AtomicU64,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = match line.trim_end().split(' ').collect::<Vec<_>>()[..] {
            ["GET", path, "HTTP/1.1"] => path.to_owned(),
            _ => panic!("no proper request: {line:?}"),
        };
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        assert!(headers.contains_key("host"), "no host: {headers:?}");
        log.lock().unwrap().push(path.clone());
        let seen = Seen { path, headers, number: number.fetch_add(1, Ordering::Relaxed) };
        if !send(stream, reply(&seen))? {
            return Ok(());
        }
    }
}

/// Sends a reply; true if the connection can go on.
fn send(mut stream: &TcpStream, reply: Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{headers}\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat())?;
            Ok(true)
        }
        Reply::Late(wait, reply) => {
            thread::sleep(wait);
            send(stream, *reply)
        }
        Reply::Reset => {
            reset(stream);
            Ok(false)
        }
        Reply::Short(body) => {
            let head = format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n", body.len() + 100);
            stream.write_all(&[head.as_bytes(), &body].concat())?;
            stream.shutdown(Shutdown::Both)?;
            Ok(false)
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 x\r\n\r\n")?;
            loop {
                stream.write_all(&[b'a'; 8192])?;
            }
        }
        Reply::Trickle => {
            stream.write_all(b"HTTP/1.1 200 x\r\nContent-Length: 1000000\r\n\r\n")?;
            loop {
                stream.write_all(b"a")?;
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Ends a connection the hard way.
#[allow(unsafe_code, reason = "the standard library sets no linger time")]
fn reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value lives as long as the call.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
}
