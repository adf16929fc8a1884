//! What led to an error, as Nix prints it in front of the error, or behind it as 2.8 does.
//!
//! In: what Nix printed. Out: the trace for people, without what is about nixdag's own question, and the place in it that is nearest to the
//! error.

use super::message_text::{QUERY_FILE, place_in_source, shorten, without_escapes, without_source_paths};

/// Most lines of a trace that are kept, the last ones.
const MAX_TRACE: usize = 200;

/// What Nix printed from its first error on, without the outermost part, which is about nixdag's own question.
pub fn trace(lines: &[&str], root: Option<&str>) -> Vec<String> {
    let says = |line: &str| line.trim_start().strip_prefix("error:").map(|text| !text.trim().is_empty());
    let begins = lines.iter().position(|line| says(line).is_some()).unwrap_or(lines.len());
    let mut entries: Vec<Vec<&str>> = Vec::new();
    for line in lines[begins..].iter().filter(|line| !line.trim().is_empty()) {
        match entries.last_mut() {
            Some(last) if says(line).is_none() && !line.trim_start().starts_with('…') => last.push(line),
            _ => entries.push(vec![line]),
        }
    }
    let is_own = |entry: &Vec<&str>| entry.iter().any(|line| line.contains("«string»") || line.contains(QUERY_FILE));
    // 2.8 prints the error first and then what led to it, newer versions the other way round.
    let is_error_first = lines.get(begins).is_some_and(|line| says(line) == Some(true));
    let kept = if is_error_first {
        &entries[..entries.iter().position(is_own).unwrap_or(entries.len())]
    } else {
        &entries[entries.iter().rposition(is_own).unwrap_or(0) + 1..]
    };
    let shown: Vec<String> =
        kept.iter().flatten().map(|line| shorten(without_source_paths(line, root).trim_end())).collect();
    shown[shown.len().saturating_sub(MAX_TRACE)..].to_vec()
}

/// Where in the flake's own files the error comes from, for one that has no place itself.
pub fn nearest_place(stderr: &str, root: Option<&str>) -> Option<String> {
    let clean = without_escapes(stderr);
    let lines = clean.lines().map(str::trim).skip_while(|line| !line.starts_with("error:"));
    let mut places =
        lines.clone().filter_map(|line| place_in_source(line.strip_prefix("at ")?.strip_suffix(':')?, root));
    let is_error_first = lines.clone().next().is_some_and(|line| line != "error:");
    if is_error_first { places.next() } else { places.last() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_nearest_to_the_error_is_found() {
        let source = "/nix/store/qh85qvms1l9pnsjyax352py2s2w72hs6-source";
        let old = format!(
            "warning: x\nerror: out\n\n       … while evaluating 'outputs'\n\n       at {source}/flake.nix:1:13:\n\n            1| {{\n\n       \
             … from call site\n\n       at «string»:45:21:\n\n       at {source}/other.nix:1:1:\n"
        );
        let new = format!(
            "error:\n       … from call site\n         at «flakes-internal»/call-flake.nix:72:17:\n           71|\n\n       … while calling 'outputs'\n         at {source}/flake.nix:1:9:\n\n       \
             … while calling the 'throw' builtin\n         at {source}/flake.nix:1:13:\n\n       error: out\n"
        );
        for stderr in [old, new] {
            assert_eq!(nearest_place(&stderr, None).unwrap(), "flake.nix:1:13");
        }
        assert_eq!(nearest_place("error:\n  at «nix-internal»/call-flake.nix:72:17:\n  error: x\n", None), None);
    }
}
