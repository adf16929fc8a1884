//! `nixdag continue`

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::exit_code::ExitCode;
use super::say::{self, warning};
use crate::cli::ContinueArgs;
use crate::output::{Output, read_input};
use crate::provider::Provider;
use crate::provider::continue_request::ContinueRequest;

pub(super) fn run(args: &ContinueArgs) -> Result<ExitCode> {
    let what = || format!("cannot continue with `{}`", args.config.display());
    let request = ContinueRequest {
        configuration: read_text(&args.config).with_context(what)?,
        parameters: parameters(args)?,
        domain: args.domain.clone(),
        api_url: args.api_url.clone(),
        retries: args.retries,
        timeout: Duration::from_secs(args.timeout),
    };
    let continuation = Provider::default().continuation(&request, |name| env::var(name)).with_context(what)?;
    if args.dry_run {
        if let Some(lack) = continuation.lacks() {
            warning!("{lack}: without `--dry-run` this would fail");
        }
        Output::Stdout.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &continuation.shown())?;
            writeln!(out)
        })?;
        return Ok(ExitCode::Done);
    }
    let said = continuation.send(&mut |note| warning!("{note}"))?;
    say::done(format_args!("the pipeline continues with `{}` ({said})", args.config.display()));
    Ok(ExitCode::Done)
}

/// The text of the JSON object that is given, or that is in the file that is given.
fn parameters(args: &ContinueArgs) -> Result<String> {
    match &args.parameters {
        Some(text) if text.trim_start().starts_with('{') => Ok(text.clone()),
        Some(path) => read_text(Path::new(path)).context("`--parameters` is neither a JSON object nor a file"),
        None => Ok("{}".into()),
    }
}

fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_input(path)?).ok().with_context(|| format!("`{}` is not UTF-8", path.display()))
}
