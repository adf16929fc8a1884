//! How text for people looks where it is shown: how wide the terminal is, and whether there is colour.
//!
//! In: where the text goes, the environment. Out: a [`Look`].

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::duration::{in_short, in_words};
use crate::printable::{printable, shortened};

/// Characters of a cell that are shown: names come from anybody, and may be of any length.
const MAX_CELL: usize = 200;

/// The same of the last cell in a row.
const MAX_SENTENCE: usize = 1000;

/// How wide a column stays, however narrow the terminal is.
const MIN_COLUMN: usize = 8;

/// Columns of a line below which durations are short.
const NARROW: usize = 80;

/// How a duration in milliseconds is written.
pub type InText = fn(u64) -> String;

/// Where something is shown. The default is a file: as wide as need be, without colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Columns of a line; none for as many as need be.
    pub width: Option<usize>,
    /// Whether there is colour.
    pub color: bool,
}

impl Look {
    /// Text in bold, where there is colour.
    pub fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Text that reports a failure, in red where there is colour.
    pub fn red(&self, text: &str) -> String {
        self.styled("1;31", text)
    }

    /// How durations are written there, in tables and in sentences.
    pub fn duration(&self) -> InText {
        if self.width.is_some_and(|width| width < NARROW) { in_short } else { in_words }
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes a sentence, over several lines where the terminal is narrow.
    pub fn sentence(&self, text: &str, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let Some(width) = self.width else { return writeln!(out, "{text}") };
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                writeln!(out, "{line}")?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        writeln!(out, "{line}")
    }

    /// Writes a line that may begin with spaces, over several lines where the terminal is narrow: those that follow begin two spaces further.
    /// Words are never cut.
    pub fn line(&self, text: &str, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let Some(width) = self.width.filter(|width| text.width() > *width) else {
            return writeln!(out, "{text}");
        };
        let words = text.trim_start_matches(' ');
        let indent = " ".repeat((text.len() - words.len()).min(width / 2));
        let (mut line, mut is_begun) = (indent.clone(), false);
        for word in words.split(' ') {
            if is_begun && line.width() + 1 + word.width() > width {
                writeln!(out, "{}", line.trim_end())?;
                line = format!("{indent}  ");
            } else if is_begun {
                line.push(' ');
            }
            line.push_str(word);
            is_begun = true;
        }
        writeln!(out, "{line}")
    }

    /// Writes rows in columns, or the second, shorter form of them where the first is wider than the terminal. True for the shorter one.
    pub fn columns_or(
        &self,
        rows: &[Vec<String>],
        shorter: impl FnOnce() -> Vec<Vec<String>>,
        out: &mut (impl Write + ?Sized),
    ) -> io::Result<bool> {
        let widths = (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
        match self.width {
            Some(most) if total(&widths.collect::<Vec<_>>()) > most => self.columns(&shorter(), out).map(|()| true),
            _ => self.columns(rows, out).map(|()| false),
        }
    }

    /// Writes rows in columns, the first one as their head. Where they are wider than the terminal, cells of the widest columns are cut in the
    /// middle; figures never are, for half of one is another one.
    pub fn columns(&self, rows: &[Vec<String>], out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        // The last column has the sentences, and widens no other.
        let shown = |row: &Vec<String>| -> Vec<String> {
            let most = |column: usize| if column + 1 == row.len() { MAX_SENTENCE } else { MAX_CELL };
            row.iter().enumerate().map(|(column, cell)| printable(&shortened(cell, most(column)))).collect()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        let is_figures =
            |column: usize| rows[1..].iter().all(|row| row[column].starts_with(|first: char| first.is_ascii_digit()));
        let figures: Vec<bool> = (0..rows[0].len()).map(is_figures).collect();
        if let Some(most) = self.width {
            narrow(&mut widths, &figures, most);
        }
        for (number, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = cut(cell, *width);
                // Formatting counts characters, of which some are two columns wide.
                let space = width.saturating_sub(cell.width()) + 2;
                line.push_str(&cell);
                line.extend(std::iter::repeat_n(' ', space));
            }
            let line = line.trim_end();
            writeln!(out, "{}", if number == 0 { self.bold(line) } else { line.to_owned() })?;
        }
        Ok(())
    }
}

/// A row of these cells.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).to_vec()
}

/// Columns of a line with cells of these widths, two spaces between them.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * (widths.len() - 1)
}

/// Takes from the widest columns that are not figures until they fit into a line.
fn narrow(widths: &mut [usize], figures: &[bool], most: usize) {
    while total(widths) > most {
        let others = widths.iter_mut().zip(figures).filter(|(width, is_figures)| !**is_figures && **width > MIN_COLUMN);
        let Some(widest) = others.map(|(width, _)| width).max() else { return };
        *widest -= 1;
    }
}

/// The text without its middle, where it is wider than `most` columns.
fn cut(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let start = fitting(text.chars(), kept.div_ceil(2));
    let end: String = fitting(text.chars().rev(), kept / 2).chars().rev().collect();
    format!("{start}…{end}")
}

/// The first characters, as far as they fit into so many columns.
fn fitting(characters: impl Iterator<Item = char>, most: usize) -> String {
    let mut taken = 0;
    characters
        .take_while(|character| {
            taken += character.width().unwrap_or(0);
            taken <= most
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(look: &Look, rows: &[Vec<String>]) -> String {
        let mut text = Vec::new();
        look.columns(rows, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_name_of_any_length_is_a_row() {
        let rows = [vec!["x".repeat(70_000), "y".repeat(70_000)], vec!["é".repeat(200), "z".to_owned()]];
        let text = written(&Look::default(), &rows);
        assert!(text.lines().all(|line| line.chars().count() < 1210) && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn rows_fit_and_are_cut_in_the_middle() {
        let rows = [
            ["JOB", "SYSTEM", "TARGETS"].map(String::from).to_vec(),
            ["a", "x86_64-linux", &format!("packages.x86_64-linux.{}", "long-name".repeat(9))]
                .map(String::from)
                .to_vec(),
        ];
        for width in [60, 100, 200] {
            let text = written(&Look { width: Some(width), color: false }, &rows);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            assert_eq!(text.contains('…'), width < 120, "{text}");
        }
        assert_eq!(cut("packages.hello", 9), "pack…ello");
        // Below that nothing could be read.
        assert!(written(&Look { width: Some(5), color: false }, &rows).lines().all(|line| line.chars().count() <= 28));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [row(["JOB", "TARGETS"]), row(["日本語", "x"]), row(["ab", "y"])];
        assert_eq!(written(&Look::default(), &rows), "JOB     TARGETS\n日本語  x\nab      y\n");
        assert_eq!([cut("日本語日本語", 9), cut("🦀🦀🦀🦀🦀", 6)], ["日本…本語", "🦀…🦀"]);
        let mut text = Vec::new();
        Look { width: Some(10), color: false }.sentence("日本語 日本 x", &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "日本語\n日本 x\n");
    }

    #[test]
    fn figures_are_never_cut() {
        let rows = [row(["PREDICTED", "WALL TIME"]), row(["job per derivation", "1 h 07 min 12 s and more"])];
        let text = written(&Look { width: Some(30), color: false }, &rows);
        assert!(text.contains("1 h 07 min 12 s and more") && text.contains("job …ion"), "{text}");
    }

    #[test]
    fn what_is_wider_than_the_terminal_has_a_shorter_form() {
        let long = [row(["WALL TIME"]), row(["1 h 07 min"])];
        for (width, expected) in [(Some(10), "1 h 07 min"), (Some(9), "1h07m"), (None, "1 h 07 min")] {
            let mut text = Vec::new();
            let shorter = || vec![row(["WALL TIME"]), row(["1h07m"])];
            Look { width, color: false }.columns_or(&long, shorter, &mut text).unwrap();
            assert!(String::from_utf8(text).unwrap().ends_with(&format!("\n{expected}\n")), "{width:?}");
        }
    }

    #[test]
    fn sentences_are_broken_between_words() {
        let mut text = Vec::new();
        Look { width: Some(10), color: false }.sentence("one two three four", &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "one two\nthree four\n");
    }

    #[test]
    fn lines_keep_their_indentation_and_their_words() {
        let mut text = Vec::new();
        let look = Look { width: Some(12), color: false };
        for line in ["  one two three four", "  short", "/nix/store/a-long-path b", ""] {
            look.line(line, &mut text).unwrap();
        }
        let expected = "  one two\n    three\n    four\n  short\n/nix/store/a-long-path\n  b\n\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn there_is_colour_where_it_is_wanted() {
        assert_eq!(Look { width: None, color: true }.red("x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Look::default().bold("x"), "x");
    }
}
