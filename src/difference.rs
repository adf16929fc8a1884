//! How a text differs from what it should be. In: both texts. Out: a unified difference of bounded length, for people.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::plural::counted;
use crate::printable::shortened;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// Most lines that are shown.
const MAX_LINES: usize = 200;

/// Most characters of a line that are shown.
const MAX_WIDTH: usize = 200;

/// After this time a shorter difference is not looked for any more.
const MAX_TIME: Duration = Duration::from_secs(2);

/// What has to change in `old` so that it becomes `new`: hunks as `diff -u` writes them; nothing for equal texts.
pub fn unified(old: &str, new: &str) -> String {
    let difference = TextDiff::configure().timeout(MAX_TIME).diff_lines(old, new);
    let mut lines = Vec::new();
    let mut left_out = 0;
    for hunk in difference.unified_diff().context_radius(CONTEXT).iter_hunks() {
        let header = std::iter::once(hunk.header().to_string());
        let changes = hunk.iter_changes().map(|change| {
            let text = change.value().trim_end_matches('\n');
            let end = if change.missing_newline() { " (no newline at the end)" } else { "" };
            format!("{}{}{end}", sign(change.tag()), shortened(text, MAX_WIDTH))
        });
        for line in header.chain(changes) {
            if lines.len() < MAX_LINES { lines.push(line) } else { left_out += 1 }
        }
    }
    if left_out > 0 {
        lines.push(format!("… and {}", counted(left_out, "more line")));
    }
    lines.join("\n")
}

fn sign(tag: ChangeTag) -> char {
    match tag {
        ChangeTag::Equal => ' ',
        ChangeTag::Delete => '-',
        ChangeTag::Insert => '+',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_some_lines_around_it() {
        let old: String = (1..=20).map(|number| format!("{number}\n")).collect();
        let new = old.replace("10\n", "ten\n").trim_end().to_owned();
        let shown = unified(&old, &new);
        assert!(
            shown.starts_with("@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n@@ -17,4 +17,4 @@\n"),
            "{shown}"
        );
        assert!(shown.ends_with(" 19\n-20\n+20 (no newline at the end)"), "{shown}");
        assert_eq!(unified(&old, &old), "");
    }

    #[test]
    fn a_difference_is_bounded_and_so_are_its_lines() {
        let text = |letter: char| (0..5_000).map(|number| format!("{letter}{number}\n")).collect::<String>();
        let shown = unified(&text('a'), &(text('b') + &"x".repeat(100_000)));
        assert_eq!(shown.lines().count(), MAX_LINES + 1);
        assert!(shown.ends_with("more lines") && shown.len() < 10_000, "{}", shown.lines().last().unwrap_or_default());
        let long = unified("", &"ü".repeat(100_000));
        assert!(long.chars().count() < 300, "{long}");
    }
}
