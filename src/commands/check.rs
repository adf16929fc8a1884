//! `nixdag check`

use anyhow::{Context, Result, bail};

use super::exit_code::ExitCode;
use super::say::{self, note};
use crate::cli::CheckArgs;
use crate::output::read_input;
use crate::printable::printable;
use crate::provider::Provider;
use crate::provider::checked::Checked;
use crate::settings::file::{NAME, SettingsFile};

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let name = args.file.display();
    let place = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    // GitHub's workflow has the same name.
    let is_configuration = Provider::all().any(|provider| place.ends_with(provider.configuration()));
    if args.provider.is_none() && !is_configuration && args.file.file_name().is_some_and(|name| name == NAME) {
        SettingsFile::read(&args.file)?;
        say::done(format_args!("`{name}` has settings that nixdag can read"));
        return Ok(ExitCode::Done);
    }
    let text = String::from_utf8(read_input(&args.file)?).with_context(|| format!("`{name}` is not UTF-8"))?;
    let guessed = || Provider::of_file(&place).or_else(|| Provider::of_text(&text)).unwrap_or_default();
    let provider = args.provider.unwrap_or_else(guessed);
    let Checked { problems, unseen } =
        provider.check(&text, &place).with_context(|| format!("cannot check `{name}`"))?;
    if !unseen.is_empty() {
        note!("not checked: {}", printable(&unseen.join("; ")));
    }
    if !problems.is_empty() {
        bail!("{} would refuse `{name}`:\n  {}", provider.title(), problems.join("\n  "));
    }
    say::done(format_args!("`{name}` breaks no rule of {} that nixdag knows", provider.title()));
    Ok(ExitCode::Done)
}
