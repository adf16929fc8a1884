//! `nixdag completions SHELL`

use anyhow::Result;
use clap::CommandFactory;

use super::exit_code::ExitCode;
use crate::cli::Cli;
use crate::output::Output;

pub(super) fn run(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nixdag", &mut script);
    Output::Stdout.write(|out| out.write_all(&script))?;
    Ok(ExitCode::Done)
}
