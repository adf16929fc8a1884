//! `nixdag man [COMMAND]`

use anyhow::{Result, bail};
use clap_mangen::Man;

use super::exit_code::ExitCode;
use crate::cli;
use crate::nearest::unknown;
use crate::output::Output;
use crate::usage::usage;
use crate::version::VERSION;

pub(super) fn run(name: Option<&str>) -> Result<ExitCode> {
    let mut command = cli::command().disable_help_subcommand(true);
    // So that each subcommand has its full name and the flags that all have.
    command.build();
    let command = match name {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(subcommand) => subcommand.clone(),
            None => {
                let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
                bail!(usage(unknown("command", name, &known)))
            }
        },
    };
    let page = Man::new(command).source(format!("nixdag {VERSION}"));
    Output::Stdout.write(|mut out| page.render(&mut out))?;
    Ok(ExitCode::Done)
}
