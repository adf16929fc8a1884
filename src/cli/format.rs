//! Forms in which commands print.

use crate::choice::choice;

choice! {
    /// Formats of what is for people first.
    pub enum TextFormat {
        /// For people
        Text = "text",
        /// For programs
        Json = "json",
    }
}

choice! {
    /// Formats of `nixdag history`.
    pub enum HistoryFormat {
        /// For people
        Text = "text",
        /// For `--history`
        Json = "json",
        /// A line a build, for spreadsheets
        Csv = "csv",
    }
}

choice! {
    /// Formats of `nixdag report`.
    pub enum ReportFormat {
        /// For people
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
    pub enum PlanFormat {
        /// For people
        Table = "table",
        /// The contract; every command reads it back with `--plan`
        Json = "json",
        /// A page to look at, one file that loads nothing
        Html = "html",
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
