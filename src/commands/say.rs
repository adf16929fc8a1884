//! Messages to people, on standard error: which are shown, and in which colour. Set once from the command line, before anything is said.

use std::env;
use std::fmt::{Arguments, Display};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::cli::{Color, Manners};
use crate::output::Output;
use crate::printable::printable;
use crate::view::look::Look;

/// What there is to be said, by its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// What nixdag does, for those who ask.
    Detail,
    /// What people may want to know.
    Note,
    /// What may not be as they think.
    Warning,
    /// Why it failed.
    Error,
}

impl Level {
    /// Its first word, and the colour that clap gives to such a word.
    fn word(self) -> (&'static str, &'static str) {
        match self {
            Self::Detail => ("detail", "\x1b[2m"),
            Self::Note => ("note", "\x1b[1;36m"),
            Self::Warning => ("warning", "\x1b[1;33m"),
            Self::Error => ("error", "\x1b[1;31m"),
        }
    }
}

/// How things are said.
#[derive(Clone, Copy, Debug)]
struct Voice {
    least: Level,
    color: Color,
    progress: bool,
}

static VOICE: OnceLock<Voice> = OnceLock::new();

fn voice() -> Voice {
    *VOICE.get_or_init(|| Voice { least: Level::Note, color: Color::Auto, progress: true })
}

/// Takes the command line's word for it; what was said before stays.
pub(super) fn configure(manners: &Manners) {
    let least = match (manners.quiet, manners.verbose) {
        (true, _) => Level::Error,
        (false, true) => Level::Detail,
        (false, false) => Level::Note,
    };
    let progress = !manners.no_progress && !manners.quiet;
    let _ = VOICE.set(Voice { least, color: manners.color, progress });
}

/// True if progress is to be shown.
pub(super) fn shows_progress() -> bool {
    voice().progress
}

/// True if somebody asks for details.
pub(super) fn shows_details() -> bool {
    voice().least == Level::Detail
}

/// True if this stream is to be coloured.
pub(super) fn colors(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    match voice().color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            stream.is_terminal() && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
        }
    }
}

/// How a result looks where it goes: a file is as wide as need be.
pub(super) fn look(output: &Output) -> Look {
    let stdout = io::stdout();
    match output {
        Output::Stdout => Look { width: width(&stdout), color: colors(&stdout) },
        Output::File(_) => Look { width: None, color: voice().color == Color::Always },
    }
}

/// Characters of a line, as `COLUMNS` says for a terminal and for a pipe, else as wide as the terminal; none where nobody says.
pub(super) fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let said = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let own = || rustix::termios::tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col));
    said.or_else(|| own().filter(|_| stream.is_terminal())).filter(|width| *width > 0)
}

/// Says it, in as many lines as it has.
pub(super) fn line(level: Level, text: Arguments) {
    if level >= voice().least {
        plain(&format!("{}{text}", prefix(level)));
    }
}

/// `warning: `, coloured where that is wanted.
pub(super) fn prefix(level: Level) -> String {
    let (word, color) = level.word();
    if colors(&io::stderr()) { format!("{color}{word}:\x1b[0m ") } else { format!("{word}: ") }
}

/// A line that says what was done; none if only errors are wanted.
pub(super) fn done(text: impl Display) {
    if Level::Note >= voice().least {
        plain(&text.to_string());
    }
}

/// Says that a file was written, and what it holds, where there is something to say of that; standard output speaks for itself.
pub(super) fn wrote(output: &Output, what: &str) {
    if let Output::File(path) = output {
        let colon = if what.is_empty() { "" } else { ": " };
        done(format_args!("wrote `{}`{colon}{}", printable(&path.to_string_lossy()), printable(what)));
    }
}

/// A line that stays, in the place of one that passes.
pub(super) fn plain(text: &str) {
    write(&mut PASSING.lock().unwrap_or_else(PoisonError::into_inner), text, false);
}

/// A line of a terminal that the next one takes the place of.
pub(super) fn passing(text: &str) {
    write(&mut PASSING.lock().unwrap_or_else(PoisonError::into_inner), text, true);
}

/// Takes away a line that passes.
pub(super) fn clear_line() {
    let mut is_there = PASSING.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *is_there) {
        let _ = io::stderr().write_all(CLEAR.as_bytes());
    }
}

/// Back to the beginning of the line, and away with it.
const CLEAR: &str = "\r\x1b[K";

/// Whether the terminal's last line is one that passes. Messages come from several threads.
static PASSING: Mutex<bool> = Mutex::new(false);

fn write(is_there: &mut bool, text: &str, passes: bool) {
    let (before, after) = (if *is_there { CLEAR } else { "" }, if passes { "" } else { "\n" });
    *is_there = passes;
    // Nobody to tell is not a reason to fail.
    let _ = io::stderr().write_all(format!("{before}{text}{after}").as_bytes());
}

macro_rules! warning {
    ($($text:tt)*) => { $crate::commands::say::line($crate::commands::say::Level::Warning, format_args!($($text)*)) };
}
macro_rules! note {
    ($($text:tt)*) => { $crate::commands::say::line($crate::commands::say::Level::Note, format_args!($($text)*)) };
}
macro_rules! detail {
    ($($text:tt)*) => { $crate::commands::say::line($crate::commands::say::Level::Detail, format_args!($($text)*)) };
}
pub(super) use {detail, note, warning};
