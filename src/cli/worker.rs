//! The command line of `nixdag worker`.

use std::path::PathBuf;

use clap::Args;

use super::source::SourceFlags;
use crate::settings::delivery::{BuilderFlags, LogFlags, PushFlags, SigningFlags};
use crate::whole_number::whole;

/// `nixdag worker`
///
/// Builds one derivation after another of a plan for workers, as others do beside it, until none is left that it could build. Ends with 0 where everything that it has begun was built, and
/// nothing had failed before. What all workers have done together `--gate` says, when they have left.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").args(["bundle", "plan"]).multiple(true).required(true)))]
#[command(group(clap::ArgGroup::new("part").args(["number", "gate"]).required(true)))]
pub struct WorkerArgs {
    #[command(flatten)]
    pub source: SourceFlags,
    /// Which of the plan's workers this is, from 0 on
    #[arg(long, value_name = "K", value_parser = whole::<u32>(0, u32::MAX))]
    pub number: Option<u32>,
    /// Build nothing: report what all workers have done, and end with 0 if everything was built
    #[arg(long)]
    pub gate: bool,

    /// Where workers talk: a folder that all of them see, a bucket (`s3://BUCKET?region=…`), or `pipe`: a program at standard output and input answers
    #[arg(long, value_name = "STORE", required = true, help_heading = "Workers")]
    pub names: String,
    /// A word for this pipeline: workers with different words ignore each other
    #[arg(long, value_name = "WORD", help_heading = "Workers")]
    pub run: Option<String>,
    /// Seconds between two looks for tasks that have become ready
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds, help_heading = "Workers")]
    pub poll: f64,
    /// Seconds without a sign of life after which another worker is taken for dead
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds, help_heading = "Workers")]
    pub silence: f64,

    /// Folder for results in transit, where those of this worker stay for later jobs [default: a temporary one]
    #[arg(long, value_name = "DIR", help_heading = "Hand-off")]
    pub workspace: Option<PathBuf>,
    /// Copy results to this store, e.g. `s3://bucket`, and fetch those of other workers from there, instead of handing them on through `--names`
    #[arg(long, value_name = "URL", help_heading = "Hand-off")]
    pub cache: Option<String>,
    #[command(flatten)]
    pub signing: SigningFlags,
    #[command(flatten)]
    pub push: PushFlags,
    #[command(flatten)]
    pub logs: LogFlags,
    #[command(flatten)]
    pub builders: BuilderFlags,

    /// Write `report.json`, `records.json`, `junit.xml`, `verdict` and the logs of what failed into this folder
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    pub results: Option<PathBuf>,
    /// End with 0 once the verdict is recorded, whatever it is
    #[arg(long, requires = "results", help_heading = "Results")]
    pub record_verdict: bool,

    /// Cores that a builder may use [default: as Nix is set up]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0, u32::MAX), help_heading = "Nix")]
    pub cores: Option<u32>,
    /// Seconds after which a build is ended
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u64>(0, u32::MAX), help_heading = "Nix")]
    pub timeout: Option<u64>,
    /// Seconds without output after which a build is ended
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u64>(0, u32::MAX), help_heading = "Nix")]
    pub max_silent_time: Option<u64>,
    /// Any other setting of Nix
    #[arg(long, value_names = ["NAME", "VALUE"], num_args = 2, action = clap::ArgAction::Append, help_heading = "Nix")]
    pub nix_option: Vec<String>,
}

/// Seconds, a tenth at least and a day at most.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.1..=86_400.0).contains(number));
    number.ok_or_else(|| "expected seconds, from 0.1 to 86400".to_owned())
}
