//! What the YAML reader complains about, in words that say what to write. In: its error, the file's text. Out: one line for a terminal.

use std::fmt;

use crate::printable::printable;

/// Longest message, in characters; of a longer one the middle is left out, as the place stands at its end.
const MAX_MESSAGE: usize = 1_000;

/// What the reader calls values, and what people do.
const VALUES: [(&str, &str); 4] = [
    ("invalid type: unit value,", "it is empty,"),
    ("invalid type: map,", "a mapping,"),
    ("invalid type: sequence,", "a list,"),
    ("invalid type: enum,", "a tag (`!…`),"),
];

/// What people run into, by the reader's words for it, and what to do about it.
const ADVICE: [(&str, &str); 6] = [
    ("while scanning an alias", "put what begins with `*` in quotes"),
    ("unknown anchor", "put what begins with `*` in quotes"),
    ("mapping values are not allowed", "put text that has a colon followed by a space in quotes"),
    ("more than one document", "leave out all but one, with the `---` between them"),
    ("unknown key `<<`", "YAML's merge keys are not read: write the keys out"),
    ("`<<`, expected", "YAML's merge keys are not read: write the keys out"),
];

/// What is wrong with a file, and where.
#[derive(Debug)]
pub struct Fault {
    said: String,
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    advice: Option<&'static str>,
}

impl Fault {
    /// The reader's error about a text.
    pub fn new(error: &serde_yaml::Error, text: &str) -> Self {
        let mut said = error.to_string();
        let advice = advice(error, &said, text);
        let mut place = error.location().map(|place| (place.line(), place.column()));
        // What the scanner says in its sentence is where the fault begins.
        if let Some(named) = named_place(&said) {
            said = said.replacen(&at(named), "", 1);
            place = Some(named);
        }
        for (theirs, ours) in VALUES {
            said = said.replacen(theirs, ours, 1);
        }
        Self { said: shortened(&printable(&in_plain_words(&said))), place, advice }
    }

    /// An error about what is at this place.
    pub fn at(error: &anyhow::Error, place: Option<(usize, usize)>) -> Self {
        Self { said: shortened(&printable(&format!("{error:#}"))), place, advice: None }
    }

    /// With the file, as compilers name a place: `nixdag.yml:1:14: …`.
    pub fn in_file(&self, file: &str) -> String {
        let advice = self.advice.map(|advice| format!(" ({advice})")).unwrap_or_default();
        match self.place {
            Some((line, column)) => format!("{file}:{line}:{column}: {}{advice}", self.said),
            None => format!("{file}: {}{advice}", self.said),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let advice = self.advice.map(|advice| format!(" ({advice})")).unwrap_or_default();
        write!(f, "{}{}{advice}", self.said, self.place.map(at).unwrap_or_default())
    }
}

impl std::error::Error for Fault {}

/// The line and the column in ` at line 3 column 1`.
fn named_place(said: &str) -> Option<(usize, usize)> {
    let (line, rest) = said.rsplit_once(" at line ")?.1.split_once(" column ")?;
    let column = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

fn at((line, column): (usize, usize)) -> String {
    format!(" at line {line} column {column}")
}

/// `invalid type: string "a", expected a list` says what is expected alone; a number is one where another is expected, and is named itself.
fn in_plain_words(said: &str) -> String {
    let numbers = ["integer", "floating point"].iter().flat_map(|kind| ["type", "value"].map(|of| (of, kind)));
    for (of, kind) in numbers {
        if let Some((before, number)) = said.split_once(&format!("invalid {of}: {kind} `")) {
            return format!("{before}`{number}");
        }
    }
    let Some((before, rest)) = said.split_once("invalid type: ") else { return said.to_owned() };
    let known = [("string \"", "a string"), ("boolean `", "`true` or `false`")];
    let value = known.into_iter().find(|(theirs, _)| rest.starts_with(theirs));
    match (value, rest.rfind(", expected ")) {
        (Some((_, ours)), Some(end)) => format!("{before}{ours}{}", &rest[end..]),
        _ => said.to_owned(),
    }
}

fn advice(error: &serde_yaml::Error, said: &str, text: &str) -> Option<&'static str> {
    let place = error.location();
    let at_fault = || text.lines().nth(place.as_ref()?.line().checked_sub(1)?);
    if said.contains("cannot start any token") {
        let column = place.as_ref()?.column().checked_sub(1)?;
        return Some(match at_fault()?.chars().nth(column)? {
            '\t' => "YAML is indented with spaces, not with tabs",
            _ => "put what begins with `@`, `%` or a backtick in quotes",
        });
    }
    if said.contains("has an empty name") && at_fault().is_some_and(|line| line.contains(".{")) {
        return Some("in a list in brackets, put a pattern with braces in quotes");
    }
    ADVICE.iter().find(|(theirs, _)| said.contains(theirs)).map(|(_, advice)| *advice)
}

fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MAX_MESSAGE {
        return text.to_owned();
    }
    let begin: String = text.chars().take(MAX_MESSAGE / 2).collect();
    let end: String = text.chars().skip(length - MAX_MESSAGE / 2).collect();
    format!("{begin} … {end}")
}

#[cfg(test)]
mod tests {
    use crate::settings::file::SettingsFile;

    #[test]
    fn people_are_told_what_to_write() {
        for (text, words) in [
            ("select: [*.*.a]", "at line 1 column 10 (put what begins with `*` in quotes)"),
            ("select:\n- *.x86_64-linux.a", "(put what begins with `*` in quotes)"),
            ("rules:\n- match: {name: *foo}\n  timeout: 5m", "(put what begins with `*` in quotes)"),
            (
                "executors:\n\tbig: {}",
                ", while scanning for the next token at line 2 column 1 (YAML is indented with spaces",
            ),
            ("select: [@x]", "(put what begins with `@`, `%` or a backtick in quotes)"),
            ("select: [packages.*.{a,b}]", "(in a list in brackets, put a pattern with braces in quotes)"),
            ("final:\n- name: a\n  run: echo: x", "(put text that has a colon followed by a space in quotes)"),
            ("select: [a]\n---\nselect: [b]", "(leave out all but one"),
            ("executors: {a: &a {cores: 1}, b: {<<: *a}}", "(YAML's merge keys are not read: write the keys out)"),
            ("executors:\n  <<: {b: {}}", "(YAML's merge keys are not read: write the keys out)"),
            ("executors: {big: null}", "executors.big: it is empty, expected a mapping that describes a machine at"),
            ("rules: {}", "rules: a mapping, expected a list of rules"),
            ("executors: []", "executors: a list, expected a mapping of names to machines"),
        ] {
            let error = format!("{:#}", SettingsFile::parse(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_message_does_not_grow_with_what_it_complains_about() {
        let error = SettingsFile::parse(&format!("executors: {{\"{}\": {{}}}}", "ü".repeat(60_000))).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.chars().count() < 1_100 && error.ends_with("at line 1 column 13"), "{error}");
    }
}
