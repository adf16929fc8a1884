//! Numbers and durations as the page writes them, with spaces that do not break.
//!
//! In: figures. Out: text without markup.

use crate::byte_size;
use crate::duration::in_words;

/// Milliseconds, as everywhere: `0.4 s`, `48 s`, `3 min 05 s`, `1 h 02 min`.
pub fn duration(millis: u64) -> String {
    in_words(millis).replace(' ', "\u{a0}")
}

/// How much longer or shorter: `+8 s`, `−1 min 03 s`.
pub fn difference(millis: u64, than: u64) -> String {
    if millis >= than { format!("+{}", duration(millis - than)) } else { format!("−{}", duration(than - millis)) }
}

/// A whole number in groups of three: `14 001`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with a noun: `1 job`, `2 301 jobs`.
pub fn counted(value: usize, noun: &str) -> String {
    format!("{}\u{a0}{noun}{}", number(value as u64), if value == 1 { "" } else { "s" })
}

/// Bytes: `312 B`, `41 kB`, `96.2 MB`, `1.31 GB`.
pub fn bytes(value: u64) -> String {
    byte_size::text(value).replace(' ', "\u{a0}")
}

/// A share of a whole: `12 %`; 0 of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    format!("{:.0}\u{a0}%", if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: String) -> String {
        text.replace(['\u{a0}', '\u{202f}'], " ")
    }

    #[test]
    fn durations_are_those_of_the_text() {
        for millis in [0, 36, 17_100, 48_400, 60_000, 185_000, 599_600, 1_440_000, 3_725_000] {
            assert_eq!(plain(duration(millis)), in_words(millis));
        }
        assert_eq!([plain(difference(9_000, 1_000)), plain(difference(0, 63_000))], ["+8 s", "−1 min 03 s"]);
    }

    #[test]
    fn numbers_have_groups_and_units() {
        assert_eq!([7, 999, 1_000, 105_931].map(|value| plain(number(value))), ["7", "999", "1 000", "105 931"]);
        assert_eq!(
            [312, 41_400, 96_240_000, 1_312_000_000].map(|value| plain(bytes(value))),
            ["312 B", "41 kB", "96.2 MB", "1.31 GB"]
        );
        assert_eq!((plain(counted(1, "job")), plain(counted(2_301, "job"))), ("1 job".into(), "2 301 jobs".into()));
        assert_eq!((plain(percent(1, 8)), plain(percent(1, 0))), ("12 %".into(), "0 %".into()));
    }
}
