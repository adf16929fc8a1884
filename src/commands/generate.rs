//! `nixdag generate`

use anyhow::{Result, bail};

use super::{ExitCode, stages};
use crate::cli::GenerateArgs;
use crate::settings::Settings;

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let _plan = stages::plan(&Settings::new(&args.planning)?)?;
    bail!("not yet");
}
