//! `nixdag collect`: what the jobs of a pipeline have recorded, put together for the next one and for people.

use std::env;
use std::fs;

use anyhow::{Context, Result};

use super::exit_code::ExitCode;
use super::say::{self, warning};
use crate::build::records_place;
use crate::choice::Choice;
use crate::cli::CollectArgs;
use crate::duration::now;
use crate::output::{Output, read_input};
use crate::page::folder;
use crate::plan::{json, worker_jobs};
use crate::printable::{error_lines, printable};
use crate::provider::Provider;
use crate::settings::job;

pub(super) fn run(args: &CollectArgs) -> Result<ExitCode> {
    let plan = json::read(&read_input(&args.plan)?).with_context(|| format!("cannot use `{}`", args.plan.display()))?;
    let place = job::records_place(&args.records, args.records_of.as_deref(), &plan, None)?;
    let collected = records_place::collect(&plan, &place, args.into.as_deref(), now());
    for line in collected.notes.iter().flat_map(|note| error_lines(note)) {
        say::done(line);
    }
    if let Some(dir) = &args.pages {
        let (records, notes) = place.reports(worker_jobs::runs(&plan).iter().map(|(job, _)| job.as_str()));
        notes.iter().flat_map(|note| error_lines(note)).for_each(|line| eprintln!("{line}"));
        // Records for the next plan count more than pictures of this one.
        let provider = plan.provider.as_deref().and_then(|name| Provider::parse(name).ok());
        let address = provider.and_then(|provider| provider.page_address(|name| env::var(name).ok()));
        if let Err(error) = folder::write(dir, &plan, records, address.as_deref()) {
            eprintln!("warning: there is no page: {}", printable(&format!("{error:#}")));
        }
    }
    if let records_place::RecordsPlace::Store(stored) = &place {
        stored.keep(&collected.records)?;
    }
    let Some(into) = &args.into else { return Ok(ExitCode::Done) };
    if let Some(folder) = into.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    }
    // It may come out of a cache: a link would have another file written, a pipe would be waited for.
    if fs::symlink_metadata(into).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        fs::remove_file(into).with_context(|| format!("cannot replace `{}`", into.display()))?;
    }
    Output::File(into.clone()).write(|out| collected.records.write(out))?;
    if args.remove
        && let records_place::RecordsPlace::Registry { registry, .. } = &place
    {
        // The records are kept by now.
        match registry.remove() {
            Ok(lines) => lines.iter().for_each(say::done),
            Err(error) => {
                warning!("the records of the jobs stay in the registry: {}", printable(&format!("{error:#}")))
            }
        }
    }
    Ok(ExitCode::Done)
}
