//! `nixdag schema`

use anyhow::Result;

use super::exit_code::ExitCode;
use crate::build::report;
use crate::cli::Schema;
use crate::output::Output;
use crate::settings::file::SettingsFile;

pub(super) fn run(of: Schema) -> Result<ExitCode> {
    let schema = match of {
        Schema::Settings => SettingsFile::schema_text(),
        Schema::Report => report::SCHEMA.to_owned(),
    };
    Output::Stdout.write(|out| out.write_all(schema.as_bytes()))?;
    Ok(ExitCode::Done)
}
