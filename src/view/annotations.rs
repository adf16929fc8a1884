//! What failed in GitHub's words: workflow commands that become annotations of a run, with the place in the flake where Nix named one.
//!
//! In: a report. Out: a line `::error file=…,line=…,title=…::message` for each failure. The rules of escaping are those of GitHub's toolkit.

use std::io::{self, Write};

use crate::build::report::{JobFailure, Report};
use crate::printable::{printable, shortened};

/// Annotations that GitHub shows of a step.
const MOST: usize = 10;

/// Characters of a message.
const MAX_MESSAGE: usize = 2_000;

/// Writes the lines.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let shown = if report.failures.len() > MOST { MOST - 1 } else { MOST };
    for failure in report.failures.iter().take(shown) {
        let title = match &failure.class {
            Some(class) => format!("{} ({class})", what(failure)),
            None => what(failure),
        };
        let place = failure.attributes.first().and_then(|_| place(&failure.message));
        let place = place.map(|place| format!("{},", place.properties())).unwrap_or_default();
        let mut message = shortened(&failure.message, MAX_MESSAGE);
        for line in failure.next.iter().chain(&failure.reproduce) {
            message.push_str(&format!("\n{line}"));
        }
        let lines: Vec<String> = message.lines().map(printable).collect();
        writeln!(out, "::error {place}title={}::{}", property(&title), data(&lines.join("\n")))?;
    }
    let more = report.failures.len().saturating_sub(shown);
    if more > 0 {
        writeln!(out, "::error title={more} more::{more} more failures are in the log and in the summary")?;
    }
    Ok(())
}

/// What failed, for a title.
pub fn what(failure: &JobFailure) -> String {
    let name = match (&failure.attributes[..], &failure.derivation) {
        ([], None) => format!("job {}", failure.job),
        ([], Some(derivation)) => derivation.clone(),
        (attributes, _) => attributes.join(", "),
    };
    printable(&shortened(&name, 200))
}

/// A place in a file of the flake.
#[derive(Debug, PartialEq, Eq)]
struct FilePlace<'a> {
    file: &'a str,
    line: u32,
    column: u32,
}

impl FilePlace<'_> {
    fn properties(&self) -> String {
        format!("file={},line={},col={}", property(self.file), self.line, self.column)
    }
}

/// The last `(at flake.nix:3:5)` of a message; an absolute path is none of the repository's.
fn place(message: &str) -> Option<FilePlace<'_>> {
    let (_, rest) = message.rsplit_once("(at ")?;
    let (place, _) = rest.split_once(')')?;
    let mut parts = place.rsplitn(3, ':');
    let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let file = parts.next().filter(|file| !file.is_empty() && !file.starts_with('/') && !file.contains(".."))?;
    Some(FilePlace { file, line, column })
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(attribute: &str, message: &str) -> JobFailure {
        JobFailure {
            job: "a".into(),
            derivation: None,
            attributes: vec![attribute.into()],
            class: Some("evaluation".into()),
            message: message.into(),
            next: None,
            reproduce: None,
            log: None,
        }
    }

    fn written(failures: Vec<JobFailure>) -> String {
        let mut out = Vec::new();
        write(&Report { failures, ..Report::new(Vec::new()) }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failure_stands_at_its_place_and_stays_one_command() {
        let text = written(vec![failure("packages.x.a,b:c", "not today\n::error::x 100 % (at sub/flake.nix:58:11)")]);
        assert_eq!(
            text,
            "::error file=sub/flake.nix,line=58,col=11,title=packages.x.a%2Cb%3Ac (evaluation)::not today%0A::error::x 100 %25 (at sub/flake.nix:58:11)\n"
        );
    }

    #[test]
    fn places_outside_of_the_repository_are_none() {
        for message in ["x", "x (at /etc/passwd:1:1)", "x (at ../a:1:1)", "x (at :1:1)", "x (at a:b:c)", "(at a:1"] {
            assert_eq!(place(message), None, "{message}");
        }
    }

    #[test]
    fn no_more_lines_than_github_shows() {
        let text = written(vec![failure("a", "x\r\n"); 12]);
        assert_eq!(text.lines().count(), 10);
        assert!(text.ends_with("::3 more failures are in the log and in the summary\n"), "{text}");
    }
}
