//! Downloads that failed, by the lines that programs print: on the way, which may go away by itself, or refused.
//!
//! In: one line of a log, or of what Nix says. Out: what it tells of a download, if anything.

/// What libcurl's numbers stand for that a transfer ends with on the way: no name, no connection, HTTP/2, a part, time, TLS, nothing, sending,
/// receiving, a stream.
const CURL_ON_THE_WAY: [u32; 11] = [5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92];

/// The same as one word: of Node's libraries, of Haskell's, of registries of images, of S3.
const WORDS_ON_THE_WAY: [&str; 13] = [
    "etimedout",
    "esockettimedout",
    "econnreset",
    "eai_again",
    "enotfound",
    "connectiontimeout",
    "responsetimeout",
    "connectionfailure",
    "noresponsedatareceived",
    "toomanyrequests",
    "slowdown",
    "internalerror",
    "requesttimeout",
];

/// How a line ends or goes on that announces one more try: what was wrong then may have been survived.
const TRIED_AGAIN: [&str; 5] = ["will retry", "retries left", "tries remaining", "retrying (", "retrying in"];

/// What lines have that tell of a failure.
const FAILURES: [&str; 6] = ["error:", "failed", "fatal:", "failure", "mismatch", "panic"];

/// What lines have that tell what a failed download has led to.
const FOLLOWS: [&str; 9] = [
    "cannot download",
    "failed to download",
    "failed to fetch",
    "failed to get",
    "fetch-pack",
    "bytes of body",
    "unknown error",
    "npm err",
    "failed with errors",
];

/// What the lines of programs that download have: Nix, git, ssh, wget, Go, Rust's reqwest, Python's urllib3, requests and urllib, Mercurial, Subversion,
/// Maven, RubyGems.
const PROGRAMS: [&str; 20] = [
    "unable to download",
    "wget: ",
    "fetch-pack",
    "error: rpc failed",
    "dial tcp ",
    "dial tcp: ",
    "\": stream error: ",
    "\": net/http: ",
    "error sending request for url",
    "httpconnectionpool(",
    "httpsconnectionpool(",
    "requests.exceptions.",
    "urllib.error.",
    "ssh: connect to host ",
    "abort: error: ",
    "svn: e",
    "aws error ",
    "could not transfer artifact",
    "gem::remotefetcher::fetcherror",
    "net::opentimeout",
];

/// Downloads that failed on the way.
const ON_THE_WAY: [&str; 37] = [
    "could not resolve host",
    "couldn't resolve host",
    "temporary failure in name resolution",
    "failed to connect to",
    "connection refused",
    "connection reset",
    "connection timed out",
    "connect timed out",
    "read timed out",
    "operation timed out",
    "timeout was reached",
    "recv failure",
    "send failure",
    "empty reply from server",
    "transfer closed with",
    "ssl connect error",
    "ssl_error_syscall",
    "tls connection was non-properly terminated",
    "rpc failed",
    "early eof",
    "unexpected disconnect while reading sideband packet",
    "network is unreachable",
    "http/2 stream",
    "http2 framing layer",
    "http/2 framing layer",
    "couldn't connect to server",
    "failure when receiving data from the peer",
    "invalid index-pack output",
    "i/o timeout",
    "tls handshake timeout",
    "failed to open tcp connection",
    "connection closed before message completed",
    "remote end closed connection",
    "remote end hung up unexpectedly",
    "stream error: stream id",
    " server error: ",
    "protocol error: ",
];

/// Whether a line tells of a download that failed on the way (true) or was refused (false); none for other lines.
pub fn download(line: &str) -> Option<bool> {
    let lower = line.to_ascii_lowercase();
    if TRIED_AGAIN.iter().any(|words| lower.contains(words)) {
        return None;
    }
    if let Some(status) = http_status(&lower) {
        return Some(matches!(status, 408 | 429 | 500 | 502..=504));
    }
    if let Some(code) = curl_code(&lower) {
        return Some(CURL_ON_THE_WAY.contains(&code));
    }
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    if words.any(|word| WORDS_ON_THE_WAY.contains(&word)) {
        return Some(true);
    }
    // The last word of git, but for the one that it adds to what ssh has said.
    let is_last_of_git = lower.contains("fatal: ") && !lower.contains("could not read from remote repository");
    let is_download = is_last_of_git || PROGRAMS.iter().any(|start| lower.contains(start));
    is_download.then(|| ON_THE_WAY.iter().any(|words| lower.contains(words)))
}

/// Some(false) for a line that tells of a failure, and not of a download that came to nothing.
pub fn own_failure(line: &str) -> Option<bool> {
    let lower = line.to_ascii_lowercase();
    let is_failure =
        FAILURES.iter().any(|word| lower.contains(word)) && !TRIED_AGAIN.iter().any(|words| lower.contains(words));
    (is_failure && !FOLLOWS.iter().any(|words| lower.contains(words))).then_some(false)
}

/// The number of libcurl's error: `curl: (28) …`, `curl error 28 while …` as Composer prints it, `[28] …` as cargo does, `unable to download '…': … (28)`
/// as Nix does, `curlCode: 28, …` as the library for S3 does.
fn curl_code(lower: &str) -> Option<u32> {
    let of_curl = lower.split_once("curl: (").and_then(|(_, rest)| rest.split_once(')'));
    let of_composer = || lower.split_once("curl error ")?.1.split_once(" while downloading");
    let of_cargo = || lower.trim_start().strip_prefix('[')?.split_once("] ");
    let of_nix = || {
        let (_, said) = lower.split_once("unable to download '")?.1.split_once("': ")?;
        said.split_once('(')?.1.split_once(')')
    };
    let of_s3 = || lower.split_once("curlcode: ")?.1.split_once(',');
    let (digits, _) = of_curl.or_else(of_composer).or_else(of_cargo).or_else(of_nix).or_else(of_s3)?;
    (digits.len() <= 2).then(|| digits.parse().ok())?
}

/// The status in `The requested URL returned error: 503`, `HTTP error 503`, Yarn's `Response Code: 502` and Go's `reading https://…: 502 Bad Gateway`;
/// none where the server had agreed.
fn http_status(lower: &str) -> Option<u32> {
    let of_go = || lower.split_once("reading http")?.1.split_once(": ");
    let rests =
        ["returned error: ", "http error ", "response code: "].iter().filter_map(|before| lower.split_once(before));
    rests.chain(of_go()).find_map(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|status| *status >= 400)
    })
}
