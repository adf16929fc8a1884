//! The calls of workers: one that builds, and one that says what all of them have done.
//!
//! In: the same as for a job, and how workers talk. Out: commands of a POSIX shell.

use super::kinds::Kind;
use super::{Common, Places, program, push, sign};
use crate::choice::Choice;
use crate::delivery::{BuildLogs, HandOff, Sign};
use crate::provider::shell::{ShellCommand, Word};

/// Where workers talk, and by which word they know those of the same pipeline; both as a shell reads them.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// The store of names.
    pub names: &'static str,
    /// The pipeline.
    pub run: &'static str,
}

/// The call of the worker with a number, as a shell reads it. `hands_on` says whether something behind the workers takes what they have built from a folder.
pub fn worker(
    kind: &Kind,
    common: &Common,
    places: &Places,
    talk: &Talk,
    number: &'static str,
    hands_on: bool,
) -> ShellCommand {
    let mut call = begin(kind, common, places, talk);
    call.extend(["--number".into(), Word::shell(number)]);
    match &common.delivery.handoff {
        HandOff::Cache(url) => call.extend(["--cache".into(), url.text().into()]),
        _ if hands_on => call.extend(["--workspace".into(), Word::shell(places.workspace)]),
        _ => {}
    }
    sign(&common.delivery.signing, &mut call);
    if common.delivery.sign == Sign::Jobs {
        push(&common.delivery.push, &mut call);
    }
    if common.delivery.build_logs != BuildLogs::default() {
        call.extend(["--build-logs".into(), common.delivery.build_logs.name().into()]);
    }
    for name in &common.delivery.build_variables {
        call.extend(["--build-env".into(), name.to_string().into()]);
    }
    for (name, value) in &kind.nix_settings {
        call.extend(["--nix-option".into(), (*name).into(), value.as_str().into()]);
    }
    call.extend(["--results".into(), Word::shell(places.results)]);
    call
}

/// The call that fails unless workers have built everything.
pub fn gate(kind: &Kind, common: &Common, places: &Places, talk: &Talk) -> ShellCommand {
    let mut call = begin(kind, common, places, talk);
    call.extend(["--gate".into()]);
    call
}

fn begin(kind: &Kind, common: &Common, places: &Places, talk: &Talk) -> ShellCommand {
    let call = [program(kind, places), "worker".into(), "--bundle".into(), Word::shell(places.bundle)];
    let mut call = ShellCommand::new(call);
    call.extend(["--bundle-sha256".into(), common.bundle.manifest_sha256.as_str().into()]);
    call.extend(["--names".into(), Word::shell(talk.names), "--run".into(), Word::shell(talk.run)]);
    call
}
