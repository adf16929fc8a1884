//! Parses the command line, dispatches, and turns the result into an exit code.

use std::process::ExitCode;

use clap::Parser;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    nixdag::secret::hide_environment();
    nixdag::program::forget_relative_folders();
    nixdag::private_file::keep_others_from_writing();
    match nixdag::commands::run(nixdag::cli::Cli::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            // It may quote what comes from outside.
            for line in nixdag::printable::error_lines(&format!("error: {error:#}")) {
                eprintln!("{line}");
            }
            nixdag::commands::ExitCode::Failed.into()
        }
    }
}
