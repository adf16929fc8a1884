//! Reader of `--log-format internal-json`: what Nix writes to stderr while it builds, a line at a time, into [`Event`]s.
//!
//! The format has no specification; this was held against Nix 2.8, 2.26 and 2.34. Builders write what they like: a line may be
//! binary, or hundreds of megabytes long. What is not understood comes out as [`Event::Text`], what is too long is cut.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;

/// Longest line that is read, in bytes; of a longer one only the length is told, and whose it is.
pub const MAX_LINE: usize = 1 << 20;

/// Longest text that an event has, in bytes: thousands of events may wait for whoever takes them.
const MAX_TEXT: usize = 4096;

/// Bytes of the end of a line that is too long, where the number of its build is.
const END: usize = 128;

/// One thing that Nix says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An activity begins.
    Start {
        /// Its number, by which later events name it.
        id: u64,
        /// What begins.
        activity: Activity,
    },
    /// An activity ends; before 2.34 that of a derivation asked for by name ends with the whole call.
    Stop {
        /// The activity's number.
        id: u64,
    },
    /// A line that a builder printed.
    LogLine {
        /// The build's number.
        id: u64,
        /// The line, without colours.
        line: String,
    },
    /// A builder begins a phase, e.g. `installPhase`.
    Phase {
        /// The build's number.
        id: u64,
        /// The phase.
        phase: String,
    },
    /// How far an activity has come.
    Progress {
        /// The activity's number.
        id: u64,
        /// Parts that are done.
        done: u64,
        /// Parts that failed.
        failed: u64,
    },
    /// A message for people, without colours. Level 0 is an error, 1 a warning; a daemon's warnings come as 0.
    Message {
        /// Nix's verbosity level.
        level: u64,
        /// The message.
        text: String,
        /// True where it is an error of this Nix. A builder may print messages, too, and a daemon's errors come like those.
        is_own: bool,
    },
    /// A line that is not Nix's.
    Text(String),
    /// A line that was longer than [`MAX_LINE`].
    TooLong {
        /// The build's number, where a builder has printed it.
        id: Option<u64>,
        /// Its length in bytes.
        bytes: u64,
    },
}

/// What an activity is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// One derivation is built.
    Build {
        /// Path of the derivation.
        drv: String,
        /// The remote machine; empty for this one.
        machine: String,
    },
    /// One path is fetched.
    Substitute {
        /// The path.
        path: String,
        /// The cache that has it.
        from: String,
    },
    /// Counts all builds.
    Builds,
    /// Anything else.
    Other,
}

// Numbers of activities and results in Nix's `logging.hh`.
const ACTIVITY_BUILDS: u64 = 104;
const ACTIVITY_BUILD: u64 = 105;
const ACTIVITY_SUBSTITUTE: u64 = 108;
const RESULT_LOG_LINE: u64 = 101;
const RESULT_PHASE: u64 = 104;
const RESULT_PROGRESS: u64 = 105;
/// The log of a build hook's or daemon's post-build hook; treated like the builder's.
const RESULT_POST_BUILD_LOG_LINE: u64 = 107;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(default)]
    id: u64,
    #[serde(default, rename = "type")]
    kind: u64,
    #[serde(default)]
    fields: Vec<Value>,
    #[serde(default)]
    level: u64,
    #[serde(default, borrow)]
    msg: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    raw_msg: Option<Cow<'a, str>>,
}

impl Line<'_> {
    fn text(&self, index: usize) -> Option<String> {
        self.fields.get(index).and_then(Value::as_str).map(str::to_owned)
    }

    fn number(&self, index: usize) -> Option<u64> {
        self.fields.get(index).and_then(Value::as_u64)
    }

    fn event(&self) -> Option<Event> {
        let id = self.id;
        match &*self.action {
            "start" => {
                let activity = match self.kind {
                    ACTIVITY_BUILD => Activity::Build { drv: self.text(0)?, machine: self.text(1).unwrap_or_default() },
                    ACTIVITY_SUBSTITUTE => {
                        Activity::Substitute { path: self.text(0)?, from: self.text(1).unwrap_or_default() }
                    }
                    ACTIVITY_BUILDS => Activity::Builds,
                    _ => Activity::Other,
                };
                Some(Event::Start { id, activity })
            }
            "stop" => Some(Event::Stop { id }),
            "result" => match self.kind {
                RESULT_LOG_LINE | RESULT_POST_BUILD_LOG_LINE => {
                    Some(Event::LogLine { id, line: shown(self.fields.first()?.as_str()?) })
                }
                RESULT_PHASE => Some(Event::Phase { id, phase: short(self.text(0)?) }),
                RESULT_PROGRESS => Some(Event::Progress { id, done: self.number(0)?, failed: self.number(3)? }),
                _ => None,
            },
            "msg" => {
                let text = shown(self.raw_msg.as_ref().or(self.msg.as_ref())?);
                Some(Event::Message { level: self.level, text, is_own: self.raw_msg.is_some() })
            }
            _ => None,
        }
    }
}

/// Reads one line, without its end. None for what Nix says and nobody here needs.
pub fn parse_line(line: &[u8]) -> Option<Event> {
    let text = String::from_utf8_lossy(line);
    let Some(json) = text.strip_prefix("@nix ") else {
        return Some(Event::Text(shown(text.trim_end_matches('\r'))));
    };
    match serde_json::from_str::<Line>(json) {
        Ok(line) => line.event(),
        Err(_) => Some(Event::Text(shown(&text))),
    }
}

/// Reads lines to the end and gives each event to `take`, until it says false. Memory is bounded by [`MAX_LINE`].
pub fn read(mut reader: impl BufRead, mut take: impl FnMut(Event) -> bool) -> io::Result<()> {
    let (mut line, mut end) = (Vec::new(), Vec::new());
    let mut length = 0u64;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let at_end = available.is_empty();
        let newline = memchr::memchr(b'\n', available);
        let part = &available[..newline.unwrap_or(available.len())];
        length += part.len() as u64;
        line.extend_from_slice(&part[..part.len().min(MAX_LINE.saturating_sub(line.len()))]);
        if length > MAX_LINE as u64 {
            end.extend_from_slice(&part[part.len().saturating_sub(END)..]);
            end.drain(..end.len().saturating_sub(END));
        }
        let consumed = part.len() + usize::from(newline.is_some());
        reader.consume(consumed);
        if newline.is_some() || at_end && length > 0 {
            let event = match length > MAX_LINE as u64 {
                true => Some(Event::TooLong { id: build_of(&end), bytes: length }),
                false => parse_line(&line),
            };
            line.clear();
            end.clear();
            line.shrink_to(MAX_LINE / 16);
            length = 0;
            if event.is_some_and(|event| !take(event)) {
                return Ok(());
            }
        }
        if at_end {
            return Ok(());
        }
    }
}

/// The build that printed a line of which this is the end: its number comes behind what the builder printed, in which no quote is without a backslash.
fn build_of(end: &[u8]) -> Option<u64> {
    let end = String::from_utf8_lossy(end);
    let (_, number) = end.rsplit_once("\"],\"id\":")?;
    let (id, kind) = number.split_once(",\"type\":")?;
    (kind == format!("{RESULT_LOG_LINE}}}")).then(|| id.parse().ok())?
}

/// Text as people read it: plain, and not too long.
fn shown(text: &str) -> String {
    short(plain(text))
}

/// Cuts what is longer than people read.
fn short(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let cut = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let left_out = text.len() - cut;
        text.truncate(cut);
        text.push_str(&format!(" [{left_out} bytes left out]"));
        text.shrink_to_fit();
    }
    text
}

/// Text as it can be shown anywhere: without terminal sequences and without control characters other than newline and tab.
pub fn plain(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\n' | '\t' => shown.push(character),
            // A builder's progress line overwrites itself: only what stands last would be seen.
            '\r' => {}
            other if other.is_control() => shown.push('\u{fffd}'),
            other => shown.push(other),
        }
    }
    shown
}

/// Skips what follows an escape: `[ … letter`, `] … bell or escape backslash`, or one character.
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            while let Some(&character) = rest.peek() {
                if character.is_control() {
                    return;
                }
                rest.next();
                if ('@'..='~').contains(&character) {
                    return;
                }
            }
        }
        Some(']') => {
            while let Some(character) = rest.next_if(|&character| character != '\n') {
                match character {
                    '\u{7}' => return,
                    '\u{1b}' => {
                        rest.next_if_eq(&'\\');
                        return;
                    }
                    _ => {}
                }
            }
        }
        Some(character) if !character.is_control() => {
            rest.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
