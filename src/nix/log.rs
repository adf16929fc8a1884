//! Reader of `--log-format internal-json`: what Nix writes to stderr while it builds, a line at a time, into [`Event`]s.
//!
//! The format has no specification; this was held against Nix 2.8, 2.26 and 2.34. Builders write what they like: a line may be
//! binary, or hundreds of megabytes long. What is not understood comes out as [`Event::Text`], what is too long is cut.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;

/// Longest line that is kept, in bytes; of a longer one only the length is told.
pub const MAX_LINE: usize = 1 << 20;

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
                    Some(Event::LogLine { id, line: plain(self.fields.first()?.as_str()?) })
                }
                RESULT_PHASE => Some(Event::Phase { id, phase: self.text(0)? }),
                RESULT_PROGRESS => Some(Event::Progress { id, done: self.number(0)?, failed: self.number(3)? }),
                _ => None,
            },
            "msg" => {
                let text = plain(self.raw_msg.as_ref().or(self.msg.as_ref())?);
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
        return Some(Event::Text(plain(text.trim_end_matches('\r'))));
    };
    match serde_json::from_str::<Line>(json) {
        Ok(line) => line.event(),
        Err(_) => Some(Event::Text(plain(&text))),
    }
}

/// Reads lines to the end and gives each event to `take`, until it says false. Memory is bounded by [`MAX_LINE`].
pub fn read(mut reader: impl BufRead, mut take: impl FnMut(Event) -> bool) -> io::Result<()> {
    let mut line = Vec::new();
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
        let consumed = part.len() + usize::from(newline.is_some());
        reader.consume(consumed);
        if newline.is_some() || at_end && length > 0 {
            let event =
                if length > MAX_LINE as u64 { Some(Event::TooLong { bytes: length }) } else { parse_line(&line) };
            line.clear();
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(bytes: &[u8]) -> Vec<Event> {
        let mut found = Vec::new();
        read(bytes, |event| {
            found.push(event);
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn real_lines_of_three_versions_are_understood() {
        let lines = concat!(
            // 2.8 has no `parent`.
            r#"@nix {"action":"start","fields":["/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv","",1,1],"id":57281978826758,"level":3,"text":"building '/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv'","type":105}"#,
            "\n",
            r#"@nix {"action":"result","fields":["hi from a"],"id":57281978826758,"type":101}"#,
            "\n",
            r#"@nix {"action":"result","fields":[1,7,0,2],"id":57281978826755,"type":105}"#,
            "\n",
            r#"@nix {"action":"result","fields":[101,0],"id":57281978826754,"type":106}"#,
            "\n",
            r#"@nix {"action":"stop","id":57281978826758}"#,
            "\n",
            r#"@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m builder for '\u001b[35;1m/nix/store/x.drv\u001b[0m' failed with exit code 3","raw_msg":"builder for '\u001b[35;1m/nix/store/x.drv\u001b[0m' failed with exit code 3"}"#,
            "\n",
            "plain text\n",
            r#"@nix {"action":"start","id":1,"level":0,"parent":0,"text":"","type":104}"#,
        );
        assert_eq!(
            events(lines.as_bytes()),
            [
                Event::Start {
                    id: 57281978826758,
                    activity: Activity::Build {
                        drv: "/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv".into(),
                        machine: String::new()
                    }
                },
                Event::LogLine { id: 57281978826758, line: "hi from a".into() },
                Event::Progress { id: 57281978826755, done: 1, failed: 2 },
                Event::Stop { id: 57281978826758 },
                Event::Message {
                    level: 0,
                    text: "builder for '/nix/store/x.drv' failed with exit code 3".into(),
                    is_own: true,
                },
                Event::Text("plain text".into()),
                Event::Start { id: 1, activity: Activity::Builds },
            ]
        );
    }

    #[test]
    fn what_is_strange_is_text_or_nothing() {
        assert_eq!(events(b"@nix {\"action\":\"sing\"}\n@nix {\"action\":\"result\",\"type\":101}\n"), []);
        assert_eq!(events(b"@nix {\"action\":\n"), [Event::Text("@nix {\"action\":".into())]);
        assert_eq!(
            events(b"\xff\x00\x1b[31mred\x1b[0m\x1b]0;title\x07!\n"),
            [Event::Text("\u{fffd}\u{fffd}red!".into())]
        );
        assert_eq!(
            events(b"@nix {\"action\":\"start\",\"type\":105,\"id\":-1}"),
            [Event::Text("@nix {\"action\":\"start\",\"type\":105,\"id\":-1}".into())]
        );
    }

    #[test]
    fn a_line_without_end_is_counted_not_kept() {
        let long = MAX_LINE as u64 * 3;
        let reader = io::BufReader::new(io::Read::chain(io::Read::take(io::repeat(b'x'), long), &b"\nafter\n"[..]));
        let mut found = Vec::new();
        read(reader, |event| {
            found.push(event);
            true
        })
        .unwrap();
        assert_eq!(found, [Event::TooLong { bytes: long }, Event::Text("after".into())]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            events(&bytes);
            let mut line = b"@nix ".to_vec();
            line.extend(bytes);
            parse_line(&line);
        }

        #[test]
        fn nothing_unprintable_comes_out(text in any::<String>()) {
            prop_assert!(plain(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        }
    }
}
