//! Commands that a pipeline runs beside its building jobs: before them, and behind all of them.

use std::path::PathBuf;

use clap::Args;

use super::format::ReportFormat;
use crate::provider::Provider;
use crate::whole_number::whole;

/// `nixdag forget`
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The version of a package: `…/packages/generic/NAME/VERSION`; the token is in `CI_JOB_TOKEN`
    #[arg(long, value_name = "URL")]
    pub packages: String,
}

/// `nixdag collect`
///
/// Records are hints: jobs that left none and unusable files are named, and have no other effect.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// Where the jobs have left their records (`nixdag build --records`)
    #[arg(value_name = "DIR|URL")]
    pub records: String,
    /// The plan of the jobs
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The URL is a store, which keeps the records of this branch of a repository: add them to those
    #[arg(long, value_name = "REPOSITORY@BRANCH")]
    pub records_of: Option<String>,
    /// Add them to the records of earlier pipelines in this file, and drop the oldest beyond its limits
    #[arg(long, value_name = "FILE", required_unless_present = "records_of")]
    pub into: Option<PathBuf>,
    /// Write the pipeline's page and report into this folder: `nixdag.html`, `summary.md`, `report.json`, `trace.json`
    #[arg(long, value_name = "DIR")]
    pub pages: Option<PathBuf>,
    /// Remove what the jobs have left in a registry
    #[arg(long)]
    pub remove: bool,
}

/// `nixdag comment`
///
/// For a separate job that has a token and nothing else. Never writes for a pull request from a fork, and changes only its own comment: one that
/// the token's owner has written, with nixdag's hidden mark.
#[derive(Debug, Args)]
pub struct CommentArgs {
    /// The `comment.md` that `nixdag collect --pages` has written
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose pull request or merge request it is
    #[arg(long, value_enum)]
    pub provider: Provider,
    /// The environment variable with the token
    #[arg(long, value_name = "NAME")]
    pub token_variable: String,
}

/// `nixdag report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Records of jobs, or folders that hold them
    #[arg(value_name = "FILE|DIR", required_unless_present = "plan")]
    pub records: Vec<PathBuf>,
    /// The plan of the jobs, as `plan --format json` prints it; `markdown` and `html` show it, without records too
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// How to print it [default: by the output file's extension, else text]
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `nixdag continue`
///
/// The key comes from the environment variable `CIRCLE_CONTINUATION_KEY`, which CircleCI sets in the jobs of a setup workflow.
#[derive(Debug, Args)]
pub struct ContinueArgs {
    /// The configuration; `-` for standard input
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Values of pipeline parameters: a JSON object, or a file that holds one
    #[arg(long, value_name = "JSON|FILE")]
    pub parameters: Option<String>,
    /// Check everything and print what would be sent, without the key
    #[arg(long)]
    pub dry_run: bool,
    /// The domain of a CircleCI Server [default: circleci.com]
    #[arg(long, value_name = "DOMAIN", conflicts_with = "api_url", help_heading = "Server")]
    pub domain: Option<String>,
    /// The whole address of the API, e.g. `https://circleci.com/api/v2`; without TLS on this machine only
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub api_url: Option<String>,
    /// Attempts after the first one, for a server that is busy or out of reach
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole::<u32>(0, 20), help_heading = "Server")]
    pub retries: u32,
    /// Seconds that one attempt may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = whole::<u64>(1, 600), help_heading = "Server")]
    pub timeout: u64,
}
