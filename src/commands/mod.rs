//! One file a subcommand: the stages in order, no logic of their own. The only place that prints.

mod availability;
mod base;
mod build;
mod check;
mod collect;
mod comment;
mod completions;
mod continue_pipeline;
mod doctor;
mod evaluation;
mod exit_code;
mod explain;
mod forget;
mod generate;
mod graph;
mod history;
mod init;
mod job_end;
mod man;
mod plan;
mod progress;
mod report;
pub(crate) mod say;
mod schema;
mod stages;
mod worker;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::printable::error_lines;
use crate::provider::Provider;
use crate::removed_at_signal;
use crate::secret::{self, VariableName};
use crate::usage::Usage;

pub use self::exit_code::ExitCode;

/// Says why a command failed, and how the program ends.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    // It may quote what comes from outside.
    for (number, line) in error_lines(&format!("{error:#}")).enumerate() {
        let prefix = if number == 0 { say::prefix(say::Level::Error) } else { String::new() };
        say::plain(&format!("{prefix}{line}"));
    }
    if error.downcast_ref::<Usage>().is_some() { ExitCode::Usage } else { ExitCode::Failed }
}

/// Carries out the command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    say::configure(&cli.manners);
    let token = VariableName::job_token();
    let is_used = |key: &str| match &cli.command {
        Command::Continue(_) => Provider::CircleCi.keys().contains(&key),
        Command::Build(args) if args.packages.is_some() || args.records.is_some() || args.reuse_packages.is_some() => {
            key == token.as_str()
        }
        Command::Forget(_) | Command::Collect(_) => key == token.as_str(),
        Command::Comment(args) => key == args.token_variable,
        _ => false,
    };
    Provider::all().flat_map(Provider::keys).filter(|key| !is_used(key)).for_each(|key| secret::forget(key));
    // A job that builds listens itself. Without this, something may stay behind.
    if !matches!(cli.command, Command::Build(_) | Command::Worker(_)) {
        let _ = removed_at_signal::listen();
    }
    match cli.command {
        Command::Plan(args) => plan::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Explain(args) => explain::run(args),
        Command::Generate(args) => generate::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Worker(args) => worker::run(&args),
        Command::Forget(args) => forget::run(&args),
        Command::Collect(args) => collect::run(&args),
        Command::Comment(args) => comment::run(&args),
        Command::History(args) => history::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Continue(args) => continue_pipeline::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Schema { of } => schema::run(of),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { command } => man::run(command.as_deref()),
    }
}
