//! Calls of nixdag in jobs that build nothing: they put records together, comment on a pull request, and remove what a pipeline leaves in a
//! registry. In: the kind of machine, and where its things are. Out: commands of a POSIX shell.

use anyhow::Result;

use super::kinds::Kind;
use super::{Places, program};
use crate::history::records::FILE;
use crate::history::store::KeptIn;
use crate::provider::shell::{ShellCommand, Word};

/// The call that adds to a final job's records how its command ended; `ended` is `success` or `failure`.
pub fn command_ended(kind: &Kind, places: &Places, ended: Word) -> ShellCommand {
    let call = [program(kind, places), "build".into(), "--command-ended".into(), ended];
    let mut call = ShellCommand::new(call);
    call.extend(["--results".into(), Word::shell(places.results)]);
    if !places.records.is_empty() {
        call.extend(["--records".into(), Word::shell(places.records)]);
    }
    call
}

/// Lines for a shell that runs a final job's command afterwards: however the shell ends, that is recorded.
pub fn record_end(kind: &Kind, places: &Places) -> Result<String> {
    let call = command_ended(kind, places, Word::shell("\"$nixdag_ended\"")).line()?;
    Ok(format!(
        "nixdag_end() {{\n  nixdag_code=$?\n  trap - EXIT\n  nixdag_ended=success\n  [ \"$nixdag_code\" = 0 ] || nixdag_ended=failure\n  \
         {call} || :\n  exit \"$nixdag_code\"\n}}\ntrap nixdag_end EXIT\n"
    ))
}

/// The call that removes what a pipeline has put into the registry of packages.
pub fn forget(kind: &Kind, places: &Places) -> ShellCommand {
    ShellCommand::new([program(kind, places), "forget".into(), "--packages".into(), Word::shell(places.packages)])
}

/// The call that puts together what jobs have left in `records`, and what the folder `history` has of earlier pipelines; the pages of this one go
/// to the job's results.
pub fn collect(kind: &Kind, places: &Places, records: &str, history: &str) -> ShellCommand {
    let plan = Word::Shell(format!("{}/plan.json", places.bundle));
    let into = Word::Shell(format!("{history}/{FILE}"));
    let call = [program(kind, places), "collect".into(), "--plan".into(), plan, "--into".into(), into];
    let mut call = ShellCommand::new(call);
    call.extend(["--pages".into(), Word::shell(places.results), Word::Shell(records.to_owned())]);
    call
}

/// The same for what jobs have left in a store, and what that has of earlier pipelines.
pub fn collect_in_store(kind: &Kind, places: &Places, stored: &KeptIn) -> ShellCommand {
    let plan = Word::Shell(format!("{}/plan.json", places.bundle));
    let mut call = ShellCommand::new([program(kind, places), "collect".into(), "--plan".into(), plan]);
    call.extend(["--pages".into(), Word::shell(places.results)]);
    call.extend(["--records-of".into(), stored.of.text().into(), stored.url.as_str().into()]);
    call
}

/// The call that writes a comment, with the token in a variable; `file` is what the job that puts records together has left.
pub fn comment(kind: &Kind, places: &Places, provider: &str, token_variable: &str, file: &str) -> ShellCommand {
    let call = [program(kind, places), "comment".into(), "--provider".into(), provider.into()];
    let mut call = ShellCommand::new(call);
    call.extend(["--token-variable".into(), token_variable.into(), Word::Shell(file.to_owned())]);
    call
}
