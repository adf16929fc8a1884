//! `nixdag man [COMMAND]`

use std::io::{self, Write};

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
    let mut command = match name {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(subcommand) => subcommand.clone(),
            None => {
                let mut known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
                known.sort_unstable();
                bail!(usage(unknown("command", name, &known)))
            }
        },
    };
    // What `-h` leaves out has its place here.
    command = command.mut_args(|argument| argument.hide_short_help(false));
    let synopsis = command.render_usage().to_string();
    let page = Man::new(command.clone()).source(format!("nixdag {VERSION}"));
    Output::Stdout.write(|mut out| {
        page.render_title(&mut out)?;
        page.render_name_section(&mut out)?;
        writeln!(out, ".SH SYNOPSIS\n{}", roff(synopsis.trim_start_matches("Usage:").trim()))?;
        page.render_description_section(&mut out)?;
        page.render_options_section(&mut out)?;
        if command.has_subcommands() {
            page.render_subcommands_section(&mut out)?;
        }
        examples(cli::examples(command.get_name()), out)?;
        page.render_version_section(&mut out)
    })?;
    Ok(ExitCode::Done)
}

/// Command lines as they are typed, each with what it does below it.
fn examples(examples: &[(&str, &str)], out: &mut dyn Write) -> io::Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    writeln!(out, ".SH EXAMPLES\n.nf")?;
    for (line, what) in examples {
        writeln!(out, "{}\n    # {}", roff(line), roff(what))?;
    }
    writeln!(out, ".fi")
}

/// Text that roff prints as it is.
fn roff(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        if line.starts_with('.') { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}
