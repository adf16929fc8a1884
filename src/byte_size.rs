//! Bytes as people read and write them: `96.2 MB`, `500MB`, `1.5 GiB`.

use anyhow::{Context, Result, ensure};

/// What a text may be, for messages.
pub const EXPECTED: &str = "a number of bytes such as `500MB` or `1.5 GiB`";

/// Units and their bytes; a text ends in the first of them that fits.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Most bytes that a text may say: a million gigabytes.
const MOST: f64 = 1e15;

/// Bytes: `312 B`, `41 kB`, `96.2 MB`, `1.31 GB`.
pub fn text(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Reads a number of bytes, with a unit or without.
pub fn parse(text: &str) -> Result<u64> {
    let what = || format!("`{}`, expected {EXPECTED}", text.escape_debug());
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    let digits = digits.trim();
    let is_plain =
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    ensure!(is_plain, what());
    let bytes = digits.parse::<f64>().ok().with_context(what)? * unit as f64;
    ensure!((0.0..=MOST).contains(&bytes), what());
    Ok(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (written, bytes) in [("1", 1), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("2kB", 2_000), ("7 B", 7)] {
            assert_eq!(parse(written).unwrap(), bytes, "{written}");
        }
        for wrong in ["", "MB", "-1", "1e3", "1 mb", "5%", "1.2.3", "9999999TB", ".5GB", "1 000"] {
            assert!(parse(wrong).unwrap_err().to_string().contains("`500MB`"), "{wrong}");
        }
        assert_eq!([312, 41_400, 96_240_000, 1_312_000_000].map(text), ["312 B", "41 kB", "96.2 MB", "1.31 GB"]);
    }
}
