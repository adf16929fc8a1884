//! Reading YAML that comes from outside: what is refused before the reader spends time on it.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, ensure};
use saphyr_parser::{Event, Parser, ScanError};

use crate::printable::printable;

/// Flow collections that may be open at once in a configuration.
pub const MAX_BRACKETS: usize = 4_096;

/// Refuses text in which more than `most` flow collections are open at once: the reader's own work grows with the square of it.
/// Counts brackets in strings too, of which no sound file leaves many open.
pub fn check_nesting(text: &str, most: usize) -> Result<()> {
    let (mut open, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = open.max(deepest);
    }
    ensure!(deepest <= most, "{deepest} brackets are open at once, {most} are allowed");
    Ok(())
}

/// What is wrong with a text that is not YAML, behind its line and column.
pub fn scan_error(error: &ScanError) -> anyhow::Error {
    let (place, said) = (error.marker(), printable(error.info()));
    let advice = if said.contains("tabs disallowed") {
        " (YAML is indented with spaces, not with tabs)"
    } else if said.contains("unknown anchor") {
        " (an alias `*name` repeats what has `&name` before it; put anything else that begins with `*` in quotes)"
    } else {
        ""
    };
    anyhow!("line {}, column {}: {said}{advice}", place.line(), place.col() + 1)
}

/// Most bytes that a document may come to, with everything that it repeats: more than any CI takes.
pub const MAX_WEIGHT: usize = 16 << 20;

/// What a value weighs beside its text.
pub const NODE_WEIGHT: usize = 16;

/// Refuses text whose aliases repeat so much that it comes to more than [`MAX_WEIGHT`], for readers that copy what they repeat.
pub fn check_repetition(text: &str) -> Result<()> {
    if !text.contains('*') {
        return Ok(());
    }
    let (mut anchors, mut open, mut total) = (HashMap::new(), Vec::new(), 0usize);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        let (anchor, weight) = match event {
            Event::Scalar(text, _, anchor, _) => (anchor, NODE_WEIGHT + text.len()),
            Event::Alias(anchor) => {
                let weight = anchors.get(&anchor).copied();
                (
                    0,
                    weight
                        .with_context(|| format!("line {}: an alias inside of what it repeats", span.start.line()))?,
                )
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push((anchor, total));
                (0, NODE_WEIGHT)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, before)) = open.pop() {
                    anchors.insert(anchor, total - before);
                }
                continue;
            }
            _ => continue,
        };
        anchors.insert(anchor, weight);
        total = total.saturating_add(weight);
        ensure!(
            total <= MAX_WEIGHT,
            "line {}: with everything that aliases repeat, the file comes to more than {} MB",
            span.start.line(),
            MAX_WEIGHT >> 20
        );
    }
    Ok(())
}

/// Where a key of the document's mapping stands, and what it has: lines and columns, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The key itself; none where it is missing.
    pub key: Option<(usize, usize)>,
    /// Each entry of the list that it has; none where there is no such list.
    pub entries: Vec<(usize, usize)>,
    /// Each key of the mapping that it has; none where there is no such mapping.
    pub keys: Vec<(String, (usize, usize))>,
}

/// Finds a key of the document's mapping.
pub fn places(text: &str, key: &str) -> Places {
    let (mut depth, mut nodes, mut is_wanted, mut places) = (0usize, 0usize, false, Places::default());
    let mut opened_mapping = false;
    // Keys and values of the mapping that the wanted key has take turns, too.
    let mut inner = None;
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let opens = match &event {
            Event::SequenceStart(..) | Event::MappingStart(..) => true,
            Event::Scalar(..) | Event::Alias(_) => false,
            Event::SequenceEnd | Event::MappingEnd => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => continue,
        };
        let place = (span.start.line(), span.start.col() + 1);
        match depth {
            0 => opened_mapping = matches!(event, Event::MappingStart(..)),
            // Keys and values take turns.
            1 => {
                if nodes.is_multiple_of(2) {
                    is_wanted = opened_mapping && matches!(&event, Event::Scalar(text, ..) if text == key);
                    if is_wanted {
                        places.key = Some(place);
                    }
                }
                nodes += 1;
                inner = matches!(event, Event::MappingStart(..)).then_some(0usize);
            }
            2 if is_wanted => match (&mut inner, &event) {
                (None, _) => places.entries.push(place),
                (Some(count), event) => {
                    if usize::is_multiple_of(*count, 2) {
                        let key = if let Event::Scalar(text, ..) = event { text.to_string() } else { String::new() };
                        places.keys.push((key, place));
                    }
                    *count += 1;
                }
            },
            _ => {}
        }
        depth += usize::from(opens);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_list_have_places_however_they_are_written() {
        let text = "a: [x, {rules: [y]}]\nrules:\n  - {b: 1}\n\n  - c:\n      - d\n  - &e\n    f: 2\nlast: [z]\n";
        let found = places(text, "rules");
        assert_eq!((found.key, found.entries.len()), (Some((2, 1)), 3));
        assert_eq!(found.entries[..2], [(3, 5), (5, 5)]);
        assert_eq!(places("rules: [ {a: 1}, {b: 2} ]", "rules").entries, [(1, 10), (1, 18)]);
        let keys = places("a: {b: c}\nrules:\n  x: {y: z}\n  w: [v, u]\n", "rules");
        assert_eq!(keys.keys, [("x".to_owned(), (3, 3)), ("w".to_owned(), (4, 3))]);
        assert_eq!(keys.entries, []);
        let empty = Places { key: Some((2, 1)), ..Places::default() };
        assert_eq!(places("a: 1\nrules: {}\nx: [", "rules"), empty);
        assert_eq!(places("- rules", "rules"), Places::default());
    }

    #[test]
    fn what_aliases_repeat_counts_each_time() {
        let long = |times| format!("a: &a {}\nb:\n{}", "x".repeat(1 << 20), "  - *a\n".repeat(times));
        assert!(check_repetition(&long(10)).is_ok());
        assert!(check_repetition(&long(20)).unwrap_err().to_string().contains("more than 16 MB"));
        let levels: String =
            (1..9).map(|at| format!("a{at}: &a{at} [{}]\n", vec![format!("*a{}", at - 1); 9].join(","))).collect();
        assert!(
            check_repetition(&format!("a0: &a0 [x]\n{levels}")).unwrap_err().to_string().contains("more than 16 MB")
        );
        assert!(check_repetition("a: &a {b: *a}").is_err() && check_repetition("a: &a {b: 1}\nc: {<<: *a}\n").is_ok());
    }
}
