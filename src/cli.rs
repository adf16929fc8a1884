//! The command line as clap reads it, and nothing else: [`crate::settings`] turns it into what the stages take.

mod color;
mod format;
mod help;
mod pipeline;
mod source;
mod tip;
mod worker;

use std::path::PathBuf;

use clap::{Args, FromArgMatches, Parser, Subcommand};

pub use self::color::Color;
pub use self::format::{GraphLevel, HistoryFormat, PlanFormat, ReportFormat, Schema, TextFormat};
pub use self::help::examples;
pub use self::pipeline::{CollectArgs, CommentArgs, ContinueArgs, ForgetArgs, ReportArgs};
pub use self::source::SourceFlags;
pub use self::worker::WorkerArgs;
use crate::build::OnMissing;
use crate::build::command_end::CommandEnd;
use crate::delivery::HandOffKind;
use crate::fleet::keep::Keep;
use crate::provider::Provider;
use crate::settings::additions::AdditionFlags;
use crate::settings::arguments::Planning;
use crate::settings::delivery::{BuilderFlags, DeliveryFlags, LogFlags, PushFlags, SigningFlags};
use crate::settings::downloads::DownloadFlags;
use crate::settings::records::RecordFlags;
use crate::view::GraphFormat;
use crate::whole_number::{count_or_auto, whole};

/// Turns a Nix flake into a CI pipeline in which nothing is built twice.
#[derive(Debug, Parser)]
#[command(name = "nixdag", version = crate::version::VERSION, arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub manners: Manners,
}

/// How nixdag talks to people.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct Manners {
    /// Print results and errors only
    #[arg(short, long, global = true, overrides_with = "quiet")]
    pub quiet: bool,
    /// Say what is done and how long it takes
    #[arg(short, long, global = true, conflicts_with = "quiet", overrides_with = "verbose")]
    pub verbose: bool,
    /// Colour tables and messages: auto, always or never
    #[arg(long, value_name = "WHEN", value_enum, global = true, hide_possible_values = true, default_value_t = Color::Auto)]
    pub color: Color,
    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// Reads the command line of this process, or prints what is asked for or wrong and ends it.
pub fn parse() -> Cli {
    let command = command().color(help::color(std::env::args_os()));
    let matches = command.clone().try_get_matches().unwrap_or_else(|error| tip::with_tip(error, &command).exit());
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The whole command line, with short helps of at most a screen and examples in the long ones.
pub fn command() -> clap::Command {
    help::with_examples(<Cli as clap::CommandFactory>::command())
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the plan: which jobs build what, in which order, and how long that is predicted to take
    Plan(PlanArgs),
    /// Write what a repository needs to begin: the file that starts the CI, and nixdag.yml
    Init(InitArgs),
    /// Draw the plan's jobs or derivations
    Graph(GraphArgs),
    /// Explain why a target is built or skipped, in which job, and what changed since the base
    Explain(ExplainArgs),
    /// Write the CI configuration that runs the plan
    Generate(Box<GenerateArgs>),
    /// Build what one job of a plan owns, and hand it on
    Build(BuildArgs),
    /// Build one derivation after another of a plan, beside other workers, until none is left
    Worker(Box<WorkerArgs>),
    /// Combine the records of all jobs: times, what was built twice, what failed
    Report(ReportArgs),
    /// Show, merge, prune and export measurements of earlier pipelines
    History(HistoryArgs),
    /// Remove what a pipeline has put into a package registry
    Forget(ForgetArgs),
    /// Combine what the jobs of a pipeline recorded, for the next plan
    Collect(CollectArgs),
    /// Write a pipeline's summary as a comment on its pull request, or update the one that is there
    Comment(CommentArgs),
    /// Continue a CircleCI pipeline with a configuration
    Continue(ContinueArgs),
    /// Check a CI configuration against the rules of CircleCI, GitLab or GitHub
    Check(CheckArgs),
    /// List what an attacker could reach with these settings, and which setting prevents it
    Doctor(DoctorArgs),
    /// Print the JSON schema of nixdag.yml, for editors, or of a report
    Schema {
        /// What it is about
        #[arg(value_enum, default_value_t = Schema::Settings)]
        of: Schema,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of nixdag or of one of its commands, e.g. for `man -l -`
    Man {
        /// The command
        command: Option<String>,
    },
}

/// `nixdag plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// How to print it [default: by the output file's extension, else table]
    #[arg(long, value_enum, help_heading = "Output")]
    pub format: Option<PlanFormat>,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub json: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// `nixdag init`
///
/// Plans the flake and chooses the better granularity. Existing files stay, except that a CircleCI configuration which can be continued moves to `.circleci/continue.yml`. Ends with what is left to do on the provider's pages.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The flake's folder, or one below it
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The CI system [default: the one that nixdag.yml names or whose file the repository has, else the one of its remote]
    #[arg(long, value_enum)]
    pub provider: Option<Provider>,
    /// Write nothing; print what would be written
    #[arg(long)]
    pub dry_run: bool,
}

/// `nixdag explain`
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// The attribute: its path, or a short form as for Nix, `hello` for packages.<system>.hello; also `FLAKE#ATTRIBUTE`
    #[arg(value_name = "ATTRIBUTE", required = true, help_heading = None::<&'static str>)]
    pub attribute: String,
    /// How to print it [default: by the output file's extension, else text]
    #[arg(long, value_enum, help_heading = "Output")]
    pub format: Option<TextFormat>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// `nixdag graph`
#[derive(Debug, Args)]
pub struct GraphArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// How to draw it [default: by the output file's extension, else dot]
    #[arg(long, value_enum, help_heading = "Output")]
    pub format: Option<GraphFormat>,
    /// What the nodes are
    #[arg(long, value_enum, default_value_t = GraphLevel::Jobs, help_heading = "Output")]
    pub level: GraphLevel,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// `nixdag generate`
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Write nothing; fail if the output file or the bundle is out of date
    #[arg(long, requires = "output", help_heading = "Output")]
    pub check: bool,

    /// Write what the jobs build from (plan, derivations, this program) into this folder, and its digest beside it
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    pub delivery: DeliveryFlags,
    #[command(flatten)]
    pub records: RecordFlags,
    #[command(flatten)]
    pub additions: AdditionFlags,
    #[command(flatten)]
    pub downloads: DownloadFlags,
}

/// `nixdag build`
///
/// Ends with 0 if everything that the job owns exists, else with 1. With `--record-verdict` it ends with 0 as soon as the
/// verdict is recorded, so that a CI service runs the steps after it; `nixdag build --verdict DIR` as the last step then ends
/// with that verdict.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").args(["bundle", "plan", "verdict", "command_ended"]).multiple(true).required(true)))]
pub struct BuildArgs {
    #[command(flatten)]
    pub source: SourceFlags,
    /// The job's id
    #[arg(long, value_name = "ID", required_unless_present_any = ["verdict", "command_ended"])]
    pub job: Option<String>,

    /// Folder of hand-offs: those of other jobs are read from `DIR/<job id>`, this one's is written there
    #[arg(long, value_name = "DIR", help_heading = "Hand-off")]
    pub workspace: Option<PathBuf>,
    /// How results travel [default: workspace if `--workspace` is given, else cache if `--cache` is]
    #[arg(long, value_enum, help_heading = "Hand-off")]
    pub handoff: Option<HandOffKind>,
    /// The store that results are copied to and fetched from, e.g. `s3://bucket`
    #[arg(long, value_name = "URL", help_heading = "Hand-off")]
    pub cache: Option<String>,
    /// Where a final job's command finds its outputs: a folder of links, made again for each job
    #[arg(long, value_name = "DIR", help_heading = "Hand-off")]
    pub restore: Option<PathBuf>,
    /// Keep the NARs of the workspace in this registry of generic packages, `…/packages/generic/NAME/VERSION`; the token is in `CI_JOB_TOKEN`
    #[arg(long, value_name = "URL", requires = "workspace", help_heading = "Hand-off")]
    pub packages: Option<String>,
    /// What to do about an output that another job should have handed off
    #[arg(long, value_enum, default_value_t = OnMissing::Build, help_heading = "Hand-off")]
    pub on_missing: OnMissing,

    /// Folder that the CI keeps from pipeline to pipeline: the job takes the results that an earlier run left there, and leaves its own in
    /// `DIR/complete`, or after a failure in `DIR/partial`
    #[arg(long, value_name = "DIR", requires = "workspace", help_heading = "Hand-off")]
    pub reuse: Option<PathBuf>,
    /// Use only signed results from the folder of `--reuse`
    #[arg(long, requires_all = ["reuse", "signing_public_key"], help_heading = "Hand-off")]
    pub signed_reuse: bool,
    /// Keep signed results in this registry of generic packages, `…/packages/generic/NAME/VERSION`, instead of the folder of `--reuse`; the
    /// token is in `CI_JOB_TOKEN`
    #[arg(long, value_name = "URL", requires = "signed_reuse", help_heading = "Hand-off")]
    pub reuse_packages: Option<String>,
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
    /// Also leave the measurements for `nixdag collect`: in `DIR/<job id>`, or in a registry of generic packages,
    /// `…/packages/generic/NAME/VERSION`, with the token in `CI_JOB_TOKEN`
    #[arg(long, value_name = "DIR|URL", help_heading = "Results")]
    pub records: Option<String>,
    /// The URL of `--records` is a store, which keeps the records of this branch of a repository
    #[arg(long, value_name = "REPOSITORY@BRANCH", requires = "records", help_heading = "Results")]
    pub records_of: Option<String>,
    /// End with 0 once the verdict is recorded, whatever it is
    #[arg(long, requires = "results", help_heading = "Results")]
    pub record_verdict: bool,
    /// Build nothing: print what failed, and end with the verdict recorded in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bundle", "plan", "job", "results"], help_heading = "Results")]
    pub verdict: Option<PathBuf>,

    /// Build nothing: add to the results of a final job how its command ended
    #[arg(long, value_name = "HOW", requires = "results", conflicts_with = "verdict", help_heading = "Results")]
    pub command_ended: Option<CommandEnd>,

    /// Derivations that Nix builds at the same time, a number or `auto` [default: as Nix is set up]
    #[arg(long, value_name = "N", value_parser = count_or_auto, help_heading = "Nix")]
    pub max_jobs: Option<String>,
    /// Cores that a builder may use [default: as Nix is set up]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0, u32::MAX), help_heading = "Nix")]
    pub cores: Option<u32>,
    /// Seconds after which a build is ended
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u64>(0, u32::MAX), help_heading = "Nix")]
    pub timeout: Option<u64>,
    /// Seconds without output after which a build is ended
    #[arg(long, value_name = "SECONDS", value_parser = whole::<u64>(0, u32::MAX), help_heading = "Nix")]
    pub max_silent_time: Option<u64>,
    /// After the job, remove garbage from the store until it has at most this size (`50GB`), or garbage that is older than this (`14d`); repeat
    /// the flag for both
    #[arg(long, value_name = "LIMIT", value_parser = Keep::parse, help_heading = "Nix")]
    pub keep: Vec<Keep>,
    /// Any other setting of Nix
    #[arg(long, value_names = ["NAME", "VALUE"], num_args = 2, action = clap::ArgAction::Append, help_heading = "Nix")]
    pub nix_option: Vec<String>,
}

/// `nixdag history`
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Records, or folders that hold them as `records.json`
    #[arg(value_name = "FILE|DIR", required = true)]
    pub records: Vec<PathBuf>,
    /// How to print them; `json` is what `--history` reads [default: by the output file's extension, else text]
    #[arg(long, value_enum)]
    pub format: Option<HistoryFormat>,
    /// Leave out what is older
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = whole::<u64>(1, 36_500))]
    pub max_age: u64,
    /// Number of builds to keep, the most recent ones
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = whole::<u64>(1, 1_000_000))]
    pub max_builds: u64,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `nixdag check`
///
/// Ends with 1 if the provider would refuse the file. Parts that only the provider has, such as orbs, are not checked.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The CI system that the file is for [default: by the file's name, folder or contents, else circleci]
    #[arg(long, value_enum)]
    pub provider: Option<Provider>,
}

/// `nixdag doctor`
///
/// Reads nixdag.yml and the parameters of the orb's setup job; evaluates nothing and asks nobody. Ends with 1 if a setting would close a gap, else
/// with 0, even if there are gaps that only the provider's settings can close.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The flake's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The configuration that plans [default: .circleci/config.yml, .gitlab-ci.yml or .github/workflows/nixdag.yml, of the folder]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print it [default: by the output file's extension, else text]
    #[arg(long, value_enum)]
    pub format: Option<TextFormat>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Flags that your pipeline gives to `nixdag generate`
    #[arg(last = true, value_name = "FLAG")]
    pub generate: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_flag_takes_one_value_for_each_of_its_names_so_that_what_follows_is_an_argument() {
        for command in Cli::command().get_subcommands_mut() {
            command.build();
            for flag in command.get_arguments().filter(|argument| !argument.is_positional()) {
                let names = flag.get_value_names().map_or(0, <[_]>::len);
                let most = flag.get_num_args().map_or(0, |values| values.max_values());
                assert!(
                    most <= names.max(1),
                    "`nixdag {} --{}` takes {most} values",
                    command.get_name(),
                    flag.get_id()
                );
            }
        }
    }

    #[test]
    fn a_list_is_a_repeated_flag_and_the_flake_stands_anywhere() {
        let read = |arguments: &[&str]| match Cli::try_parse_from(arguments).unwrap().command {
            Command::Plan(args) => (args.planning.flake.unwrap_or_default(), args.planning.selection.system),
            other => panic!("{other:?}"),
        };
        let both = ["a", "b"].map(String::from).to_vec();
        assert_eq!(read(&["nixdag", "plan", "--system", "a", ".", "--system", "b"]), (".".into(), both.clone()));
        assert_eq!(read(&["nixdag", "plan", "--system=a", "--system", "b", "github:o/r"]), ("github:o/r".into(), both));
    }
}
