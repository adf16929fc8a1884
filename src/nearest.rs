//! The name that somebody probably meant: among the names that exist, the one with the smallest edit distance.

/// Longest name, in characters, that is compared: the work grows with the product of both lengths.
const MAX_LEN: usize = 100;

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
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).take(MAX_LEN + 1).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    if a.len() > MAX_LEN || b.len() > MAX_LEN {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied()
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
}
