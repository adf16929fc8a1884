//! `nixdag comment`: the finished Markdown as a comment on the pull request, updated in place.

use std::env;

use anyhow::{Context, Result};

use super::exit_code::ExitCode;
use super::say::{done, note};
use crate::cli::CommentArgs;
use crate::output::read_input;
use crate::provider::comment::{self, CommentPlace, Written};
use crate::secret::{Secret, VariableName};
use crate::usage::usage;

pub(super) fn run(args: &CommentArgs) -> Result<ExitCode> {
    let name = VariableName::parse(&args.token_variable).context(usage("`--token-variable`"))?;
    // First of all, so that nothing inherits it.
    let token = Secret::take(&name);
    let text = String::from_utf8(read_input(&args.file)?).ok();
    let text = text.with_context(|| format!("`{}` is not UTF-8", args.file.display()))?;
    comment::check(&text).with_context(|| format!("`{}` cannot be a comment", args.file.display()))?;
    let api = match args.provider.comment_place(|name| env::var(name).ok())? {
        CommentPlace::Api(api) => api,
        CommentPlace::Nowhere(why) => {
            note!("no comment is written: {why}");
            return Ok(ExitCode::Done);
        }
    };
    let token = token.with_context(|| format!("the variable `{name}` holds no token"))?;
    let written = comment::write(&api, &token, &text).context("the comment cannot be written")?;
    done(format_args!(
        "{}",
        match written {
            Written::Made => "the comment is made",
            Written::Updated => "the comment is updated",
            Written::Same => "the comment is as it should be",
        }
    ));
    Ok(ExitCode::Done)
}
