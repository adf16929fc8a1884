//! `nixdag continue`

use std::env::VarError;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::exit_code::ExitCode;
use crate::cli::ContinueArgs;
use crate::output::{Output, read_input};
use crate::provider::circleci::api::{self, Continuation, ContinuationKey, Patience};
use crate::provider::circleci::continuation::{check_configuration, read_parameters};
use crate::provider::circleci::environment::CONTINUATION_KEY;

pub(super) fn run(args: &ContinueArgs) -> Result<ExitCode> {
    let address = match &args.api_url {
        Some(url) => api::address_below(url).context("`--api-url`")?,
        None => api::address_at(args.domain.as_deref().unwrap_or(api::DOMAIN)).context("`--domain`")?,
    };
    let what = || format!("cannot continue with `{}`", args.config.display());
    let configuration = read_text(&args.config).with_context(what)?;
    let config = check_configuration(&configuration).with_context(what)?;
    let parameters = match &args.parameters {
        Some(text) if text.trim_start().starts_with('{') => text.clone(),
        Some(path) => read_text(Path::new(path)).context("`--parameters` is neither a JSON object nor a file")?,
        None => "{}".into(),
    };
    let parameters = read_parameters(&parameters, &config).context("`--parameters`")?;
    let continuation = Continuation { configuration, parameters };

    let key = key()?;
    if let Some(key) = &key {
        let body = continuation.body_without_key().to_string();
        ensure!(
            !key.is_in(&body),
            "the configuration or its parameters hold the continuation key: keep it out of them"
        );
    }
    if args.dry_run {
        if key.is_none() {
            eprintln!("warning: `{CONTINUATION_KEY}` is not set: without `--dry-run` this would fail");
        }
        let request = json!({ "method": "POST", "url": address.to_string(), "body": continuation.body_without_key() });
        Output::Stdout.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &request)?;
            writeln!(out)
        })?;
        return Ok(ExitCode::Done);
    }
    let Some(key) = key else {
        bail!(
            "`{CONTINUATION_KEY}` is not set: CircleCI sets it in the jobs of a configuration with `setup: true` (`--dry-run` shows what \
             would be sent)"
        );
    };
    let patience = Patience { retries: args.retries, timeout: Duration::from_secs(args.timeout) };
    let said =
        api::continue_pipeline(&address, &key, &continuation, patience, &mut |note| eprintln!("warning: {note}"))?;
    eprintln!("the pipeline goes on with `{}` ({said})", args.config.display());
    Ok(ExitCode::Done)
}

/// The key, where the environment has one.
fn key() -> Result<Option<ContinuationKey>> {
    match std::env::var(CONTINUATION_KEY) {
        Ok(key) => ContinuationKey::new(key).map(Some),
        Err(VarError::NotPresent) => Ok(None),
        // The error would show the value.
        Err(VarError::NotUnicode(_)) => bail!("`{CONTINUATION_KEY}` is not UTF-8"),
    }
}

fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_input(path)?).ok().with_context(|| format!("`{}` is not UTF-8", path.display()))
}
