//! Takes out of Nix's texts what is not meant for the reader: terminal escapes, paths of this machine, what is quoted.

use crate::nix::store_path;
use crate::printable::printable;

/// The file with the questions; errors that point into it point nowhere for the user.
pub const QUERY_FILE: &str = "nixdag-query.nix";

/// Longest message, in characters.
pub const MAX_CHARS: usize = 1000;

/// What the names of files that are part of Nix end with.
const INTERNAL: &str = "-internal»";

/// Without what stands in quotes.
pub fn without_quotes(message: &str) -> String {
    let mut words = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(open) = rest.find(['\'', '"', '‘', '`', '«']) {
        words.push_str(&rest[..open]);
        let quote = rest[open..].chars().next().unwrap_or_default();
        let close = match quote {
            '‘' => '’',
            '«' => '»',
            other => other,
        };
        rest = &rest[open + quote.len_utf8()..];
        match rest.find(close) {
            Some(end) => rest = &rest[end + close.len_utf8()..],
            // An apostrophe.
            None => words.push(quote),
        }
    }
    words.push_str(rest);
    words
}

/// Takes the folder of a source off each path: `/nix/store/…-source/x.nix`, `«git+file:///…»/x.nix` and, in the flake's own folder
/// `root`, `/home/me/flake/x.nix` are `x.nix`.
pub fn without_source_paths(text: &str, root: Option<&str>) -> String {
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
    match root.filter(|root| root.len() > 1) {
        Some(root) => without_folder(&shown, root),
        None => shown,
    }
}

/// Takes a folder off each path below it; the folder itself is `.`.
fn without_folder(text: &str, folder: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(folder) {
        let (before, after) = (&rest[..at], &rest[at + folder.len()..]);
        let continues = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
        shown.push_str(before);
        if before.ends_with(|c: char| continues(c) || c == '/') || after.starts_with(continues) {
            shown.push_str(folder);
            rest = after;
        } else {
            let below = after.strip_prefix('/');
            shown.push_str(if below.is_some() { "" } else { "." });
            rest = below.unwrap_or(after);
        }
    }
    shown.push_str(rest);
    shown
}

/// Without terminal escapes; other control characters but line ends become spaces.
pub fn without_escapes(text: &str) -> String {
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

/// `flake.nix:7:96` of `/nix/store/…-source/flake.nix:7:96`, or nothing for a place that no source file of the user has.
pub fn place_in_source(at: &str, root: Option<&str>) -> Option<String> {
    let shown = without_source_paths(at, root);
    (shown != at && !shown.starts_with(QUERY_FILE) && !at.contains(INTERNAL)).then_some(shown)
}

/// A text that is safe to print, cut where it is long.
pub fn shorten(message: &str) -> String {
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
    fn no_machine_path_remains() {
        let text = format!("path '{SOURCE}/sub/x.nix' in {SOURCE} and «git+file:///home/u/f»/y.nix, {SOURCE}.drv");
        assert_eq!(without_source_paths(&text, None), format!("path 'sub/x.nix' in . and y.nix, {SOURCE}.drv"));
        assert_eq!(without_source_paths("open-source/x «a»b", None), "open-source/x «a»b");
        let text = "in /home/u/f and /home/u/f/x, not /home/u/f2 or /srv/home/u/f";
        assert_eq!(without_folder(text, "/home/u/f"), "in . and x, not /home/u/f2 or /srv/home/u/f");
    }
}
