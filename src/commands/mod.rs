//! One file a subcommand: the stages in order, no logic of their own. The only place that prints.

mod availability;
mod build;
mod change;
mod completions;
mod continue_pipeline;
mod evaluation;
mod explain;
mod generate;
mod graph;
mod plan;
mod report;
mod schema;
mod stages;

use anyhow::Result;

use crate::cli::{Cli, Command};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Carries out the command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Plan(args) => plan::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Explain(args) => explain::run(args),
        Command::Generate(args) => generate::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Continue(args) => continue_pipeline::run(&args),
        Command::Schema => schema::run(),
        Command::Completions { shell } => completions::run(shell),
    }
}
