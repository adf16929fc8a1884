//! `nixdag forget`

use anyhow::Result;

use super::exit_code::ExitCode;
use super::say;
use crate::cli::ForgetArgs;
use crate::settings::job;

pub(super) fn run(args: &ForgetArgs) -> Result<ExitCode> {
    job::registry(&args.packages)?.remove()?.iter().for_each(say::done);
    Ok(ExitCode::Done)
}
