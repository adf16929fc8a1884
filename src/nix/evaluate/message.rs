//! From what Nix prints on standard error to the sentence that matters.
//!
//! In: the standard error of a failed `nix`. Out: Nix's own last error, without its trace, without escapes, and without
//! paths of this machine: `attribute 'nope' missing (at flake.nix:7:96)`.

use crate::nix::store_path;
use crate::printable::printable;

/// The file with the questions; errors that point into it point nowhere for the user.
pub const QUERY_FILE: &str = "nixdag-query.nix";

/// Longest message, in characters.
const MAX_CHARS: usize = 1000;

/// Most lines of one error that are kept.
const MAX_LINES: usize = 12;

/// What Nix of any version says when something could not be fetched.
const FETCH_FAILURES: [&str; 13] = [
    "unable to download",
    "cannot fetch input",
    "cannot find flake",
    "failed to fetch",
    "failed to open archive",
    "could not resolve host",
    "unable to access",
    "could not read from remote",
    "hash mismatch",
    "program 'git' failed",
    "shallow",
    "revspec",
    "network is unreachable",
];

/// The last error on a process's standard error, or nothing if there is none.
pub fn from_stderr(stderr: &str) -> Option<String> {
    let clean = without_escapes(stderr);
    let lines: Vec<&str> = clean.lines().collect();
    let start = lines.iter().rposition(|line| {
        let line = line.trim_start();
        line.strip_prefix("error:").is_some_and(|text| !text.trim().is_empty())
    })?;
    let mut kept = vec![lines[start].trim_start().trim_start_matches("error:").trim()];
    let mut place = None;
    for line in &lines[start + 1..] {
        let line = line.trim();
        if let Some(at) = line.strip_prefix("at ").and_then(|at| at.strip_suffix(':')) {
            place = place_in_source(at);
            break;
        }
        // The advice after a wrong argument is for people who have given it themselves.
        let ends = ["…", "(use '--show-trace'", "(stack trace", "Try '"];
        if ends.iter().any(|end| line.starts_with(end)) {
            break;
        }
        if kept.len() < MAX_LINES {
            kept.push(line);
        }
    }
    // A message of several paragraphs, as nixpkgs has them, says what is wrong in the first one; 2.8 puts the position after a blank line.
    let end = kept.iter().position(|line| line.is_empty()).unwrap_or(kept.len());
    let message = without_source_paths(&kept[..end].join(" "));
    let message = match place {
        Some(at) if !message.contains(&at) => format!("{message} (at {at})"),
        _ => message,
    };
    if message.contains("allow-import-from-derivation") {
        return Some(shorten(&format!("{message} (it needs import from derivation: allow that with `--allow-ifd`)")));
    }
    if !is_fetch_failure(&message) {
        return Some(shorten(&message));
    }
    // What was to be fetched stands in the trace, and what git says of it apart: the first line of it names the cause.
    let git = lines.iter().find_map(|line| line.trim_start().strip_prefix("fatal: "));
    let input = lines.iter().find_map(|line| line.trim_start().strip_prefix("… while fetching the input "));
    let more: Vec<&str> = git.into_iter().chain(input).map(str::trim).filter(|text| !message.contains(text)).collect();
    Some(shorten(&if more.is_empty() { message } else { format!("{message} ({})", more.join("; ")) }))
}

/// True for the message of a failed download or checkout, which says nothing about the attribute that was evaluated.
pub fn is_fetch_failure(message: &str) -> bool {
    let message = message.to_lowercase();
    FETCH_FAILURES.iter().any(|failure| message.contains(failure))
}

/// `flake.nix:7:96` of `/nix/store/…-source/flake.nix:7:96`, or nothing for a place that no source file of the user has.
fn place_in_source(at: &str) -> Option<String> {
    let shown = without_source_paths(at);
    (shown != at && !shown.starts_with(QUERY_FILE)).then_some(shown)
}

/// Takes the folder of a fetched source off each path: `/nix/store/…-source/x.nix` and `«git+file:///…»/x.nix` are `x.nix`.
fn without_source_paths(text: &str) -> String {
    const MARK: &str = "-source";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        let opens = |c: char| c.is_whitespace() || "'\"`«‘“(".contains(c);
        let start = before.char_indices().rfind(|(_, c)| opens(*c)).map_or(0, |(quote, c)| quote + c.len_utf8());
        let path = &before[start..];
        let in_name = after.starts_with(|c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c));
        if !in_name && store_path::split(path).is_ok() {
            shown.push_str(&before[..start]);
            match after.strip_prefix('/') {
                Some(below) => rest = below,
                None => {
                    shown.push('.');
                    rest = after;
                }
            }
        } else {
            shown.push_str(before);
            rest = after;
        }
    }
    shown.push_str(rest);
    // Newer versions write `«git+file:///…»/x.nix` for a source that they have not copied.
    while let Some(open) = shown.find('«') {
        let Some(close) = shown[open..].find("»/") else { break };
        shown.replace_range(open..open + close + "»/".len(), "");
    }
    shown
}

/// Without terminal escapes; other control characters but line ends become spaces.
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' || c == '\u{9b}' {
            // A control sequence runs to its final byte; any other escape is one character.
            if c == '\u{9b}' || chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
            }
            chars.next_if(|c| *c != '\n');
        } else if c == '\n' {
            clean.push(c);
        } else if c.is_control() {
            clean.push(' ');
        } else {
            clean.push(c);
        }
    }
    clean
}

fn shorten(message: &str) -> String {
    let message = printable(message);
    if message.chars().count() <= MAX_CHARS {
        return message;
    }
    message.chars().take(MAX_CHARS).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "/nix/store/qh85qvms1l9pnsjyax352py2s2w72hs6-source";

    #[test]
    fn advice_about_arguments_is_no_part_of_it() {
        let said = "error: Cannot parse Nix store 'x'\nTry '/opt/nix/bin/nix --help' for more information.\n";
        assert_eq!(from_stderr(said).unwrap(), "Cannot parse Nix store 'x'");
    }

    #[test]
    fn old_and_new_versions_give_the_same_sentence() {
        let old = format!(
            "warning: x\nerror: attribute 'nope' missing\n\n       at {SOURCE}/flake.nix:7:96:\n\n            6|\n       Did you mean one?\n"
        );
        let new = format!(
            "error:\n       … while calling the 'seq' builtin\n         at {SOURCE}/{QUERY_FILE}:42:18:\n           41|  found\n\n       \
             (stack trace truncated; use '--show-trace')\n\n       error: attribute 'nope' missing\n       at {SOURCE}/flake.nix:7:96:\n            6|\n"
        );
        for stderr in [old, new] {
            assert_eq!(from_stderr(&stderr).unwrap(), "attribute 'nope' missing (at flake.nix:7:96)");
        }
    }

    #[test]
    fn the_place_in_the_question_is_left_out() {
        let stderr = format!("error: attribute 'drvPath' missing\n\n       at {SOURCE}/{QUERY_FILE}:35:42:\n");
        assert_eq!(from_stderr(&stderr).unwrap(), "attribute 'drvPath' missing");
    }

    #[test]
    fn several_lines_become_one_and_later_paragraphs_go() {
        let stderr = "error:\n       … while x\n\n       error: Package ‘a’ is broken,\n       refusing to evaluate.\n\n       a) allow it\n";
        assert_eq!(from_stderr(stderr).unwrap(), "Package ‘a’ is broken, refusing to evaluate.");
        assert_eq!(from_stderr("error: x\n(use '--show-trace' to show)\n").unwrap(), "x");
        assert_eq!(
            from_stderr(
                "fatal: unable to access 'https://x': refused\nerror: program 'git' failed with exit code 128\n"
            )
            .unwrap(),
            "program 'git' failed with exit code 128 (unable to access 'https://x': refused)"
        );
        assert_eq!(from_stderr("warning: error: unable to download; retrying\n"), None);
        assert_eq!(from_stderr(""), None);
    }

    #[test]
    fn no_machine_path_remains() {
        let text = format!("path '{SOURCE}/sub/x.nix' in {SOURCE} and «git+file:///home/u/f»/y.nix, {SOURCE}.drv");
        assert_eq!(without_source_paths(&text), format!("path 'sub/x.nix' in . and y.nix, {SOURCE}.drv"));
        assert_eq!(without_source_paths("open-source/x «a»b"), "open-source/x «a»b");
    }

    #[test]
    fn escapes_do_not_get_through() {
        let stderr = "\u{1b}[31;1merror:\u{1b}[0m a\u{1b}[2Jb\u{1b}]0;t\u{7}c\u{9b}1md \u{202e}e\rf\n";
        let message = from_stderr(stderr).unwrap();
        assert_eq!(message, "ab0;t cd \\u{202e}e f");
        assert!(from_stderr(&format!("error: {}", "x".repeat(5000))).unwrap().chars().count() <= MAX_CHARS + 1);
    }

    #[test]
    fn failed_downloads_are_known() {
        assert!(is_fetch_failure("unable to download 'https://x': Could not resolve host"));
        assert!(is_fetch_failure("Failed to open archive (Source threw exception)"));
        assert!(!is_fetch_failure("attribute 'x' missing"));
    }
}
