//! Forms in which commands print.

use crate::choice::choice;
use crate::output::Format;

choice! {
    /// Formats of what is for people first.
    #[derive(Default)]
    pub enum TextFormat {
        /// For people
        #[default]
        Text = "text",
        /// For programs
        Json = "json",
    }
}

impl Format for TextFormat {
    fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["txt"],
            Self::Json => &["json"],
        }
    }
}

choice! {
    /// Formats of `nixdag history`.
    #[derive(Default)]
    pub enum HistoryFormat {
        /// For people
        #[default]
        Text = "text",
        /// For `--history`
        Json = "json",
        /// A line a build, for spreadsheets
        Csv = "csv",
    }
}

impl Format for HistoryFormat {
    fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["txt"],
            Self::Json => &["json"],
            Self::Csv => &["csv"],
        }
    }
}

choice! {
    /// Formats of `nixdag report`.
    #[derive(Default)]
    pub enum ReportFormat {
        /// For people
        #[default]
        Text = "text",
        /// For programs
        Json = "json",
        /// For the page of a run, a step summary of GitHub for example
        Markdown = "markdown",
        /// A page to look at, one file that loads nothing; best with `--plan`
        Html = "html",
        /// A time line in Chrome's trace format, for Perfetto
        Trace = "trace",
        /// Spans of OpenTelemetry, a line of OTLP's JSON each job
        Otlp = "otlp",
        /// Failures as GitHub's workflow commands, which become annotations
        GitHub = "github",
    }
}

impl Format for ReportFormat {
    fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["txt"],
            Self::Json => &["json"],
            Self::Markdown => &["md", "markdown"],
            Self::Html => &["html", "htm"],
            Self::Trace => &["trace", "json"],
            Self::Otlp => &["otlp", "jsonl", "json"],
            Self::GitHub => &[],
        }
    }
}

choice! {
    /// What `nixdag schema` prints a schema of.
    pub enum Schema {
        /// nixdag.yml
        Settings = "settings",
        /// What `nixdag report --format json` prints
        Report = "report",
    }
}

choice! {
    /// Formats of `nixdag plan`.
    #[derive(Default)]
    pub enum PlanFormat {
        /// For people
        #[default]
        Table = "table",
        /// The contract; every command reads it back with `--plan`
        Json = "json",
        /// A page to look at, one file that loads nothing
        Html = "html",
    }
}

impl Format for PlanFormat {
    fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Table => &["txt"],
            Self::Json => &["json"],
            Self::Html => &["html", "htm"],
        }
    }

    fn instead(end: &str) -> Option<String> {
        let draws = ["svg", "dot", "mmd", "md"].contains(&end);
        draws.then(|| format!("`nixdag graph -o plan.{end}` draws the plan"))
    }
}

choice! {
    /// Levels of `nixdag graph`.
    pub enum GraphLevel {
        /// One node a job
        Jobs = "jobs",
        /// One node a derivation, grouped by job
        Derivations = "derivations",
    }
}
