//! `nixdag forget`

use anyhow::Result;

use super::exit_code::ExitCode;
use crate::cli::ForgetArgs;
use crate::settings::job;

pub(super) fn run(args: &ForgetArgs) -> Result<ExitCode> {
    eprintln!("{}", job::registry(&args.packages)?.remove()?);
    Ok(ExitCode::Done)
}
