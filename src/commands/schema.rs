//! `nixdag schema`

use anyhow::Result;

use super::exit_code::ExitCode;
use crate::output::Output;
use crate::settings::file::SettingsFile;

pub(super) fn run() -> Result<ExitCode> {
    Output::Stdout.write(|out| out.write_all(SettingsFile::schema_text().as_bytes()))?;
    Ok(ExitCode::Done)
}
