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
use crate::usage::usage;

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
    let text = String::from_utf8(read_input(&args.file)?).with_context(|| usage(format!("`{name}` is not UTF-8")))?;
    if Provider::is_output_of_planning(&text) {
        bail!(usage(format!(
            "`{name}` is what `nixdag generate` writes for GitHub's called workflow, and not a workflow: there is nothing to check"
        )));
    }
    let guessed = || Provider::of_file(&place).or_else(|| Provider::of_text(&text));
    // Any other YAML is CircleCI's.
    let of_name = || {
        place
            .extension()
            .filter(|end| ["yml", "yaml", "json"].iter().any(|known| end == known))
            .map(|_| Provider::default())
    };
    let Some(provider) = args.provider.or_else(guessed).or_else(of_name) else {
        bail!(usage(format!("`{name}` does not look like a CI's configuration (`--provider` says which one it is)")));
    };
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
