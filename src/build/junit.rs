//! A job's record as JUnit XML, the form of test results that CI services show: one test case a derivation.

use std::io::{self, Write};

use super::class::Class;
use super::record::{DerivationRecord, Instead, Outcome, Record, Role};

/// Writes the whole document.
pub fn write(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    let count =
        |wanted: fn(Outcome) -> bool| record.derivations.iter().filter(|derivation| wanted(derivation.outcome)).count();
    let (errors, failures) = (record.errors.len(), record.failures.len());
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites><testsuite name="{}" tests="{}" failures="{}" errors="{errors}" skipped="{}" time="{}">"#,
        escape(&record.job),
        record.derivations.len() + errors + failures,
        count(|outcome| outcome == Outcome::Failed) + failures,
        count(|outcome| matches!(outcome, Outcome::DependencyFailed | Outcome::NotBuilt)),
        seconds(record.duration),
    )?;
    for derivation in &record.derivations {
        case(record, derivation, out)?;
    }
    for failure in &record.failures {
        let mut message = format!("{}{}", failure.message, failure.remark());
        message.extend(failure.command.iter().map(|command| format!("\non your machine: {command}")));
        writeln!(
            out,
            r#"<testcase classname="{}" name="{}"><failure message="{}">{}</failure></testcase>"#,
            escape(&record.job),
            escape(&failure.target.to_string()),
            escape(message.lines().next().unwrap_or_default()),
            escape(&message),
        )?;
    }
    for error in &record.errors {
        let first = error.lines().next().unwrap_or_default();
        writeln!(
            out,
            r#"<testcase classname="{}" name="nixdag build"><error message="{}">{}</error></testcase>"#,
            escape(&record.job),
            escape(first),
            escape(error),
        )?;
    }
    writeln!(out, "</testsuite></testsuites>")
}

fn case(record: &Record, derivation: &DerivationRecord, out: &mut dyn Write) -> io::Result<()> {
    let name = match derivation.role {
        Role::Owned => derivation.name.clone(),
        Role::CoLocated => format!("{} (co-located)", derivation.name),
        Role::Other => format!("{} (not this job's)", derivation.name),
    };
    write!(
        out,
        r#"<testcase classname="{}" name="{}" time="{}" file="{}">"#,
        escape(&record.job),
        escape(&name),
        seconds(derivation.duration.unwrap_or(0)),
        escape(&derivation.derivation),
    )?;
    let message = derivation.message.as_deref().unwrap_or("not built");
    let first = escape(message.lines().next().unwrap_or_default());
    match derivation.outcome {
        Outcome::Built | Outcome::Substituted | Outcome::Present => {
            if let Some(Instead { derivation: other, failure }) = &derivation.instead {
                let text = format!("failed, and `{other}` was built in its place:\n{failure}");
                write!(out, "<system-out>{}</system-out>", escape(&text))?;
            }
        }
        Outcome::Failed => {
            let log = derivation.log.as_deref().unwrap_or("");
            let class = derivation.class.unwrap_or(Class::Builder).name();
            write!(out, r#"<failure type="{class}" message="{first}">{}"#, escape(message))?;
            for line in derivation.details() {
                write!(out, "\n{}", escape(&line))?;
            }
            write!(out, "\n\n{}</failure>", escape(log))?;
        }
        Outcome::DependencyFailed => {
            write!(out, r#"<skipped message="{first}">{}</skipped>"#, escape(&derivation.details().join("\n")))?;
        }
        Outcome::NotBuilt => write!(out, r#"<skipped message="{first}"/>"#)?,
    }
    writeln!(out, "</testcase>")
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Text as XML 1.0 may hold it, in an element or an attribute: characters that it cannot hold at all become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other if other < ' ' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_xml_forbids_comes_through() {
        assert_eq!(
            escape("a<b>&\"c\"\u{0}\u{1b}[0m\u{ffff}]]>\n"),
            "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}\u{fffd}[0m\u{fffd}]]&gt;\n"
        );
    }

    #[test]
    fn times_are_seconds_with_milliseconds() {
        assert_eq!((seconds(0), seconds(12_034)), ("0.000".to_owned(), "12.034".to_owned()));
    }
}
