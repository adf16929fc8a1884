//! The command line as clap reads it, and nothing else: [`crate::settings`] turns it into what the stages take.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Turns a Nix flake into a CI pipeline in which nothing is built twice.
#[derive(Debug, Parser)]
#[command(name = "nixdag", version, arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the plan: which jobs build what, in which order, and what that is predicted to take
    Plan(PlanArgs),
    /// Draw the plan's jobs or derivations
    Graph(GraphArgs),
    /// Write the CI configuration that runs the plan
    Generate(GenerateArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `nixdag plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// How to print it
    #[arg(long, value_enum, default_value_t = PlanFormat::Table)]
    pub format: PlanFormat,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `nixdag graph`
#[derive(Debug, Args)]
pub struct GraphArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub format: GraphFormat,
    /// What the nodes are
    #[arg(long, value_enum, default_value_t = GraphLevel::Jobs)]
    pub level: GraphLevel,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `nixdag generate`
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub planning: Planning,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write nothing; fail if the output file is not what would be written
    #[arg(long, requires = "output")]
    pub check: bool,
}

/// Formats of `nixdag plan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    Table,
    /// The contract; every command reads it back with `--plan`
    Json,
}

/// Formats of `nixdag graph`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, which GitHub and GitLab draw in Markdown
    Mermaid,
    /// Nodes and edges
    Json,
}

/// Levels of `nixdag graph`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphLevel {
    /// One node a job
    Jobs,
    /// One node a derivation, grouped by job
    Derivations,
}

/// What every planning command takes.
#[derive(Debug, Args)]
pub struct Planning {
    /// The flake: a path, `git+file:`, `github:owner/repo`, … [default: .]
    #[arg(value_name = "FLAKE", conflicts_with_all = ["plan", "roots"])]
    pub flake: Option<String>,

    /// Take a plan that `nixdag plan --format json` printed
    #[arg(long, value_name = "FILE", help_heading = "Instead of a flake", conflicts_with_all = ["roots", "select", "exclude", "system", "all_systems", "available", "local_store", "concurrency", "override_input", "allow_ifd"])]
    pub plan: Option<PathBuf>,
    /// Take a recorded evaluation: JSON from attribute to derivation path
    #[arg(long, value_name = "FILE", help_heading = "Instead of a flake", conflicts_with_all = ["override_input", "allow_ifd"])]
    pub roots: Option<PathBuf>,
    /// Read `.drv` files from this folder [default: the store directory]
    #[arg(long, value_name = "DIR", help_heading = "Instead of a flake", conflicts_with = "flake")]
    pub drv_dir: Option<PathBuf>,

    /// Attributes to build, e.g. `packages.*.*` or `checks.x86_64-linux.{lint,test-*}` [default: packages.*.* checks.*.*]
    #[arg(long, value_name = "PATTERN", num_args = 1.., help_heading = "Selection")]
    pub select: Vec<String>,
    /// Attributes to leave out
    #[arg(long, value_name = "PATTERN", num_args = 1.., help_heading = "Selection")]
    pub exclude: Vec<String>,
    /// Systems whose attributes to take [default: this machine's]
    #[arg(long, value_name = "SYSTEM", num_args = 1.., conflicts_with = "all_systems", help_heading = "Selection")]
    pub system: Vec<String>,
    /// Take the attributes of all systems
    #[arg(long, help_heading = "Selection")]
    pub all_systems: bool,
    /// Fail if an attribute does not evaluate
    #[arg(long, help_heading = "Selection")]
    pub strict: bool,

    /// Take another flake for an input of the flake
    #[arg(long, value_names = ["INPUT", "FLAKE"], num_args = 2, action = clap::ArgAction::Append, help_heading = "Evaluation")]
    pub override_input: Vec<String>,
    /// Let evaluation build derivations (import from derivation)
    #[arg(long, help_heading = "Evaluation")]
    pub allow_ifd: bool,

    /// Exactly these store paths exist, one a line; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "local_store", help_heading = "Availability")]
    pub available: Option<PathBuf>,
    /// What is in this machine's store exists
    #[arg(long, help_heading = "Availability")]
    pub local_store: bool,

    /// Jobs that run at once
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Planning")]
    pub concurrency: u32,
}
