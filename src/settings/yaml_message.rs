//! What the YAML reader complains about, in words that say what to write. In: its error, the file's text. Out: one line for a terminal.

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
    ("mapping values are not allowed", "put what has a colon with a space behind it in quotes"),
    ("more than one document", "leave out all but one, with the `---` between them"),
    ("unknown key `<<`", "YAML's merge keys are not read: write the keys out"),
    ("`<<`, expected", "YAML's merge keys are not read: write the keys out"),
];

/// The reader's message about a text.
pub fn message(error: &serde_yaml::Error, text: &str) -> String {
    let mut said = error.to_string();
    // The reader leaves out the very first place.
    if let Some(place) = error.location()
        && !said.contains(" at line ")
    {
        said.push_str(&format!(" at line {} column {}", place.line(), place.column()));
    }
    for (theirs, ours) in VALUES {
        said = said.replacen(theirs, ours, 1);
    }
    let advice = advice(error, &said, text).map(|advice| format!(" ({advice})")).unwrap_or_default();
    format!("{}{advice}", shortened(&printable(&said)))
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
                "at line 2 column 1, while scanning for the next token (YAML is indented with spaces",
            ),
            ("select: [@x]", "(put what begins with `@`, `%` or a backtick in quotes)"),
            ("select: [packages.*.{a,b}]", "(in a list in brackets, put a pattern with braces in quotes)"),
            ("final:\n- name: a\n  run: echo: x", "(put what has a colon with a space behind it in quotes)"),
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
