//! The name that somebody probably meant: among the names that exist, the one with the smallest edit distance. And the words for that,
//! to stand behind a name that does not exist.

use crate::printable::printable;

/// Longest name, in characters, that is compared: the work grows with the product of both lengths.
const MAX_LEN: usize = 100;

/// Most names that are listed before the rest is only counted.
const MOST_LISTED: usize = 60;

/// The name that was meant, in words: `` (did you mean `x`?)`` with a space before it; nothing where no name is near.
pub fn meant<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    nearest(wanted, names).map(|name| format!(" (did you mean `{}`?)", printable(name))).unwrap_or_default()
}

/// The same; where no name is near, the names that there are: `` (known: `a`, `b`)``.
pub fn meant_or_known<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str> + Clone) -> String {
    let meant = meant(wanted, names.clone());
    if !meant.is_empty() {
        return meant;
    }
    let mut names = names.into_iter();
    let mut shown: Vec<String> =
        names.by_ref().take(MOST_LISTED).map(|name| format!("`{}`", printable(name))).collect();
    match names.count() {
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    format!(" (known: {})", shown.join(", "))
}

/// Names in a row, each in backticks.
pub fn listed(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Says that a name is not known, and which one was meant.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let shown: String = name.chars().take(60).collect();
    format!("unknown {what} `{}`{}", shown.escape_debug(), meant_or_known(name, known.iter().copied()))
}

/// The existing name that is nearest to `wanted`, unless all are too different to be a slip of the fingers.
pub fn nearest<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let tolerance = (wanted.chars().count() / 2).max(1);
    names
        .into_iter()
        .filter_map(|name| Some((distance(wanted, name)?, name)))
        .min()
        .filter(|(distance, _)| *distance <= tolerance)
        .map(|(_, name)| name)
}

/// How many characters have to be put in, taken out or exchanged; a change of case counts nothing but breaks no tie.
fn distance(a: &str, b: &str) -> Option<usize> {
    let is_short = |text: &str| text.chars().nth(MAX_LEN).is_none();
    (is_short(a) && is_short(b)).then(|| strsim::levenshtein(&a.to_lowercase(), &b.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let names = ["hello", "help", "git", "openssl"];
        assert_eq!(nearest("helo", names), Some("hello"));
        assert_eq!(nearest("Git", names), Some("git"));
        assert_eq!(nearest("opnessl", names), Some("openssl"));
        assert_eq!(nearest("zzzz", names), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(distance("kitten", "sitting"), Some(3));
    }

    #[test]
    fn characters_count_not_bytes_and_long_names_are_not_compared() {
        for (a, b, expected) in [("", "", 0), ("", "äöü", 3), ("ÄÖÜ", "äöü", 0), ("naïve", "naive", 1), ("𝒳y", "y", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (Some(expected), Some(expected)), "{a} {b}");
        }
        let (longest, longer) = ("ü".repeat(MAX_LEN), "ü".repeat(MAX_LEN + 1));
        assert_eq!(
            (distance(&longest, "u"), distance(&longer, "u"), distance("u", &longer)),
            (Some(MAX_LEN), None, None)
        );
    }

    #[test]
    fn words_for_it_stand_behind_the_wrong_name() {
        let names = ["hello", "git"];
        assert_eq!(meant("helo", names), " (did you mean `hello`?)");
        assert_eq!(meant("zzzz", names), "");
        assert_eq!(meant_or_known("helo", names), " (did you mean `hello`?)");
        assert_eq!(meant_or_known("zzzz", names), " (known: `hello`, `git`)");
        assert_eq!(meant("a\u{1b}c", ["a\u{1b}b"]), " (did you mean `a\\u{1b}b`?)");
        let many: Vec<String> = (0..1000).map(|at| format!("name-{at}")).collect();
        let said = meant_or_known("z", many.iter().map(String::as_str));
        assert!(said.ends_with("`name-59`, 940 more)"), "{said}");
    }
}
