//! Narinfo files as a server sends them, plain or compressed, read without another attempt.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nixdag::http::{self, Requests};
use nixdag::nix::binary_cache::remote::{Client, Remote, Reply};
use nixdag::nix::narinfo::{self, NarInfo};

use super::harness::{Got, fuzz};
use super::mutate::Corpus;
use super::seeds;

#[test]
fn served_narinfo() {
    let served: Arc<Mutex<(&str, Vec<u8>)>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shared = served.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let mut requests = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            let mut line = String::new();
            while requests.read_line(&mut line).is_ok_and(|length| length > 0) {
                if line == "\r\n" {
                    let (encoding, body) = shared.lock().unwrap().clone();
                    let head = format!("HTTP/1.1 200 OK\r\n{encoding}Content-Length: {}\r\n\r\n", body.len());
                    if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                        break;
                    }
                }
                line.clear();
            }
        }
    });
    let requests = Requests {
        connect_timeout: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        connections: 1,
        redirects: 0,
        proxy: false,
    };
    let client = Client::new(http::agent(&requests).unwrap());
    let remote = Remote { address, authorization: None };

    let plain = seeds::narinfos();
    let zstd = plain.iter().map(|text| zstd::encode_all(&text[..], 3).unwrap());
    let packed = plain.iter().cloned().chain(zstd).collect::<Vec<_>>();
    fuzz("served narinfo", &Corpus::new(packed), |bytes| {
        let is_zstd = bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let encoding = if is_zstd { "Content-Encoding: zstd\r\n" } else { "" };
        *served.lock().unwrap() = (encoding, bytes.to_vec());
        match client.get(&remote, "x.narinfo", narinfo::MAX_SIZE) {
            Ok(Reply::Whole(text)) => Got::of(true, &NarInfo::parse(&text)),
            Ok(Reply::Absent(_)) | Err(_) => Got::Refused,
        }
    });
}
