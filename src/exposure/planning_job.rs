//! What a job that plans should not have: what a store can be written or signed for with. Evaluated code and whatever a cache brings run there,
//! and planning has no use for it.
//!
//! In: how jobs deliver, and which variables are set. Out: the variables that are in the wrong place, as a warning, or as an error where
//! builders run beside them, or code that reads the machine.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::build::destination;
use crate::delivery::{Delivery, HandOff};
use crate::plural::counted;
use crate::provider::Provider;
use crate::settings::Settings;

/// Says which of the variables with write access are set here; none where all is as it should be.
///
/// Fails where the flake's code could read them.
pub fn check(
    provider: Provider,
    settings: &Settings,
    delivery: &Delivery,
    is_set: impl Fn(&str) -> bool,
) -> Result<Option<String>> {
    let (writing, maybe) = variables(delivery);
    let found: Vec<String> = writing.into_iter().filter(|name| is_set(name)).map(|name| format!("`{name}`")).collect();
    let also: Vec<String> = maybe.into_iter().filter(|name| is_set(name)).map(|name| format!("`{name}`")).collect();
    let keep = provider.keeps_secrets_from_planning();
    let evaluation = &settings.evaluation;
    let danger = match (evaluation.allow_import_from_derivation, evaluation.impure) {
        (true, _) => Some(("builders run in it, which can read its processes", "--allow-ifd")),
        (false, true) => Some(("evaluated code reads its files and processes", "--impure")),
        (false, false) => None,
    };
    if let (Some((why, flag)), false) = (danger, found.is_empty()) {
        bail!("this job plans, has {}, and {why}: {keep}, or plan without `{flag}`", found.join(", "));
    }
    if found.is_empty() && also.is_empty() {
        return Ok(None);
    }
    let read_only =
        if also.is_empty() { "" } else { "; what planning reads a bucket with should not be able to write" };
    let all = [found, also].concat();
    let what = if all.len() == 1 { "it" } else { "them" };
    Ok(Some(format!(
        "this job plans, and has {} that only jobs which sign or push need: {} ({keep}{read_only}); nixdag hides {what} from what it starts",
        counted(all.len() as u64, "secret"),
        all.join(", "),
    )))
}

/// Variables that can be written with, and those of which nobody can tell.
fn variables(delivery: &Delivery) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut writing: BTreeSet<String> = delivery.push.credentials.iter().map(ToString::to_string).collect();
    writing.insert(delivery.signing.variable.to_string());
    let destinations = &delivery.push.destinations;
    writing.extend(destinations.iter().flat_map(destination::variables).map(|&name| name.to_owned()));
    let in_bucket = |url: &str| url.starts_with("s3://");
    let hands_off = matches!(&delivery.handoff, HandOff::Cache(url) if in_bucket(url.text()));
    let has_bucket = hands_off || destinations.iter().any(|destination| in_bucket(&destination.to_string()));
    let maybe = if has_bucket { &destination::S3_VARIABLES[..] } else { &[] };
    let maybe = maybe.iter().map(|&name| name.to_owned()).filter(|name| !writing.contains(name)).collect();
    (writing, maybe)
}
