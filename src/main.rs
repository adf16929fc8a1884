//! Parses the command line, dispatches, and turns the result into an exit code.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    nixdag::secret::hide_environment();
    nixdag::user_folder::forget_relative_folders();
    nixdag::private_file::keep_others_from_writing();
    match nixdag::commands::run(nixdag::cli::parse()) {
        Ok(code) => code.into(),
        Err(error) => nixdag::commands::failed(&error).into(),
    }
}
