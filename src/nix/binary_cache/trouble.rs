//! Why a cache could not be asked. Each kind has the words that people read, and says whether another attempt may do better.

use std::fmt;
use std::io;

use crate::http;
use crate::printable::printable;

/// Redirections that are followed.
pub const MAX_REDIRECTS: u32 = 5;

/// Characters of somebody else's words that are kept.
const MAX_WORDS: usize = 160;

/// What went wrong with a request, or with what came back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// No connection.
    Unreachable(String),
    /// The connection broke before the whole answer was there.
    Broken,
    /// No whole answer in time.
    TimedOut,
    /// A status that is no answer.
    Status(u16),
    /// It redirects on and on.
    Redirects,
    /// A body beyond the bound, in bytes.
    TooLong(usize),
    /// What came is not what was asked for.
    Garbage(&'static str),
    /// Anything else, in somebody else's words.
    Other(String),
}

impl Trouble {
    /// Sorts a failure of a request.
    pub fn of(error: &ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::TimedOut,
            ureq::Error::TooManyRedirects => Self::Redirects,
            ureq::Error::HostNotFound => Self::Unreachable("the host is not known".into()),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Self::Unreachable("the connection is refused".into())
            }
            other => match http::failure(other) {
                http::RequestFailure::NotSent => Self::Unreachable(words(&other.to_string())),
                http::RequestFailure::AnswerLost => Self::Broken,
                http::RequestFailure::Final => Self::Other(words(&other.to_string())),
            },
        }
    }

    /// Sorts a failure while a body was read.
    pub fn of_body(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(ureq::Error::Timeout(_)) => Self::TimedOut,
            Some(ureq::Error::Decompress(..)) => Self::Garbage("it cannot be decompressed"),
            _ if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            _ if error.kind() == io::ErrorKind::InvalidData => Self::Garbage("it cannot be decompressed"),
            _ => Self::Broken,
        }
    }

    /// Somebody else's words.
    pub fn other(text: &str) -> Self {
        Self::Other(words(text))
    }

    /// Attempts that are worth it, the first one included.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Broken | Self::Garbage(_) => 5,
            Self::Status(status) if http::is_passing(*status) => 5,
            Self::Unreachable(_) | Self::TimedOut => 2,
            Self::Status(_) | Self::Redirects | Self::TooLong(_) | Self::Other(_) => 1,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) | Self::Other(text) => f.write_str(text),
            Self::Broken => f.write_str("the connection broke"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Redirects => write!(f, "more than {} redirections", MAX_REDIRECTS),
            Self::TooLong(limit) => write!(f, "an answer of more than {limit} bytes"),
            Self::Garbage(text) => write!(f, "an answer that is not a narinfo ({text})"),
        }
    }
}

/// Printable, on one line, shortened.
fn words(text: &str) -> String {
    let line: Vec<&str> = text.strip_prefix("io: ").unwrap_or(text).split_whitespace().collect();
    printable(&line.join(" ")).chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        let io = |kind: io::ErrorKind, text: &str| Trouble::of(&ureq::Error::Io(io::Error::new(kind, text.to_owned())));
        let lookup = io(io::ErrorKind::Other, "failed to lookup address information: Name or service not known");
        assert_eq!((lookup.attempts(), matches!(lookup, Trouble::Unreachable(_))), (2, true));
        assert_eq!(lookup.to_string(), "failed to lookup address information: Name or service not known");
        assert_eq!(io(io::ErrorKind::ConnectionRefused, "x").attempts(), 2);
        assert_eq!(io(io::ErrorKind::ConnectionReset, "x"), Trouble::Broken);
        assert_eq!(io(io::ErrorKind::InvalidData, "invalid peer certificate").attempts(), 1);
        assert_eq!(Trouble::of(&ureq::Error::TooManyRedirects).attempts(), 1);
        for (status, attempts) in [(500, 5), (503, 5), (429, 5), (401, 1), (400, 1)] {
            assert_eq!(Trouble::Status(status).attempts(), attempts, "{status}");
        }
    }

    #[test]
    fn other_peoples_words_are_short_and_printable() {
        let text = Trouble::other(&format!("a\u{1b}[31m\n b {}", "x".repeat(1000))).to_string();
        assert!(text.starts_with("a\\u{1b}[31m b x") && text.chars().count() <= MAX_WORDS, "{text}");
    }
}
