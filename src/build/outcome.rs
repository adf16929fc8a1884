//! What became of each derivation, and which store paths the job hands on. In: the store before and after, and what Nix said.
//! Out: records, and the paths of a hand-off.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::builder_log::log_file;
use super::class::Class;
use super::evidence::{self, Evidence};
use super::ledger::Build;
use super::nix_words::is_about_dependencies;
use super::progress::Tracker;
use super::realisation::{self, Realisation};
use super::record::{DerivationRecord, Instead, Names, Outcome, Role};
use crate::graph::{DrvId, Graph};
use crate::history::used::Used;
use crate::nix::store::Store;
use crate::nix::store_path;
use crate::plan::Job;
use crate::printable::{printable_url, shortened};

/// Bytes of logs that are kept of what did not fail.
const MAX_OTHER_LOGS: u64 = 64 << 20;

/// Longest name of a cache in a record, characters.
const LONGEST_CACHE: usize = 200;

/// What is known after a run.
pub struct Facts<'a> {
    /// The job's derivations and all below them.
    pub graph: &'a Graph,
    /// The job.
    pub job: &'a Job,
    /// Outputs that were not valid before.
    pub before: &'a HashSet<String>,
    /// Outputs that are not valid now.
    pub after: &'a HashSet<String>,
    /// True where Nix succeeded with everything that it was asked for.
    pub complete: bool,
    /// True where a signal ended the job: what was being built then has not failed.
    pub cancelled: bool,
    /// What Nix said.
    pub tracker: &'a Tracker<'a>,
}

/// What became of the job's derivations in build order, and then of those that were built beyond that, by path.
pub fn derivations(facts: &Facts) -> Vec<DerivationRecord> {
    let mut accounted = HashSet::new();
    let mut records = Vec::new();
    let roles = [(&facts.job.derivations, Role::Owned), (&facts.job.co_located, Role::CoLocated)];
    for (paths, role) in roles {
        for path in paths.iter().filter_map(|path| facts.graph.find(path)) {
            records.push(one(facts, path, role, &mut accounted));
        }
    }
    let ledger = facts.tracker.ledger();
    // What another one has made is in the record of its own.
    let made_up_for = ledger.others().iter().filter(|(_, stands)| ledger.made_by(stands).is_some());
    accounted.extend(made_up_for.map(|(other, _)| other.clone()));
    let others: BTreeSet<&String> = ledger.builds().keys().chain(ledger.others().keys()).collect();
    for drv in others.into_iter().filter(|drv| !accounted.contains(drv.as_str())) {
        let known = facts.graph.find(drv);
        let failure = ledger.failure(drv);
        let build = ledger.builds().get(drv);
        let stands = ledger.others().get(drv);
        let role = stands.and_then(|stands| records.iter().find(|record| record.derivation == *stands));
        records.push(DerivationRecord {
            derivation: drv.clone(),
            name: name_of(drv).to_owned(),
            system: known.map_or(&*facts.job.system, |id| &*facts.graph.node(id).system).to_owned(),
            role: role.map_or(Role::Other, |record| record.role),
            outcome: match failure {
                None => Outcome::Built,
                Some(message) if build.is_none() && is_about_dependencies(message) => Outcome::DependencyFailed,
                Some(_) => Outcome::Failed,
            },
            duration: build.map(millis),
            fetched_from: None,
            used: build.map(|build| used(build, ledger.earlier(drv))).unwrap_or_default(),
            message: failure.map(str::to_owned),
            log: build.filter(|_| failure.is_some()).map(|build| build.log.clone()),
            class: failure.map(|message| class_of(facts, known, message, build)),
            retried: ledger.retried(drv).to_vec(),
            instead: None,
            names: Names::default(),
        });
    }
    blame_dependencies(facts, &mut records);
    records
}

/// Says of what was never begun that something below it failed, where that is so; Nix does not always.
fn blame_dependencies(facts: &Facts, records: &mut [DerivationRecord]) {
    let graph = facts.graph;
    // With the class of what failed by itself.
    let mut failed: BTreeMap<DrvId, (String, Option<Class>)> = BTreeMap::new();
    let mut ascending: Vec<(DrvId, usize)> = records
        .iter()
        .enumerate()
        .filter_map(|(index, record)| Some((graph.find(&record.derivation)?, index)))
        .collect();
    // Inputs come before their consumers.
    ascending.sort_unstable();
    for (id, index) in ascending {
        let record = &mut records[index];
        let below = graph.inputs(id).iter().find_map(|input| Some((input.drv, failed.get(&input.drv)?)));
        if record.outcome == Outcome::NotBuilt
            && let Some((drv, (below, _))) = &below
        {
            let is_named = graph.named_inputs(id).iter().any(|input| input.drv == *drv);
            let more = if is_named { "" } else { " (as the output of another derivation, which has the same outputs)" };
            record.outcome = Outcome::DependencyFailed;
            record.message = Some(format!("`{below}` failed, which this needs{more}"));
        }
        if record.outcome == Outcome::DependencyFailed {
            record.class = below.and_then(|(_, (_, class))| *class);
        }
        // What a signal ended has not failed.
        if !(record.outcome.is_good() || facts.cancelled && record.outcome == Outcome::NotBuilt) {
            failed.insert(id, (record.derivation.clone(), record.class));
        }
    }
}

fn one(facts: &Facts, id: DrvId, role: Role, accounted: &mut HashSet<String>) -> DerivationRecord {
    let graph = facts.graph;
    let path = graph.path(id);
    let floating = graph.node(id).is_floating();
    let known = || known_outputs(graph, id);
    // A content-addressed derivation is built under another path, as resolved; its name is the same.
    let named = if floating && !facts.tracker.ledger().builds().contains_key(&path) {
        let mut resolved = facts.tracker.ledger().builds().keys().filter(|drv| {
            graph.find(drv).is_none() && !accounted.contains(drv.as_str()) && name_of(drv) == name_of(&path)
        });
        resolved.next().cloned().unwrap_or_else(|| path.clone())
    } else {
        path.clone()
    };
    let made = facts.tracker.ledger().made_by(&path);
    let built = made.map_or(&named, |made| &made.other);
    let build = facts.tracker.ledger().builds().get(built);
    accounted.insert(named.clone());
    let message = facts.tracker.ledger().failure(&named).or_else(|| facts.tracker.ledger().failure(&path));
    let exists = if floating {
        facts.complete || build.is_some() && message.is_none()
    } else {
        !known().any(|output| facts.after.contains(&output))
    };
    let fetched =
        known().filter_map(|output| facts.tracker.ledger().fetched().get(&output)).max_by_key(|it| it.duration);
    let outcome = match (exists, build, message) {
        (true, Some(_), _) => Outcome::Built,
        (true, None, _) if !floating && !known().any(|output| facts.before.contains(&output)) => Outcome::Present,
        (true, None, _) => Outcome::Substituted,
        (false, Some(_), None) if facts.cancelled => Outcome::NotBuilt,
        (false, Some(_), _) => Outcome::Failed,
        (false, None, Some(message)) if is_about_dependencies(message) => Outcome::DependencyFailed,
        (false, None, Some(_)) => Outcome::Failed,
        (false, None, None) => Outcome::NotBuilt,
    };
    let failed = !outcome.is_good();
    let cancelled = (outcome == Outcome::NotBuilt && facts.cancelled).then_some(match build {
        Some(_) => "the job was cancelled while this was built",
        None => "the job was cancelled before this was begun",
    });
    DerivationRecord {
        name: graph.node(id).name().to_owned(),
        system: graph.node(id).system.to_string(),
        role,
        outcome,
        duration: build.map(millis).or_else(|| fetched.map(|fetched| fetched.duration.as_millis() as u64)),
        fetched_from: fetched.filter(|_| build.is_none()).map(|fetched| cache_name(&fetched.from)),
        used: build.map(|build| used(build, facts.tracker.ledger().earlier(built))).unwrap_or_default(),
        message: message.filter(|_| failed).or(cancelled).map(str::to_owned),
        log: build.filter(|build| failed && !build.log.is_empty()).map(|build| build.log.clone()),
        class: (outcome == Outcome::Failed).then(|| class_of(facts, Some(id), message.unwrap_or_default(), build)),
        retried: facts.tracker.ledger().retried(&named).to_vec(),
        instead: made.map(|made| {
            let log = facts.tracker.ledger().builds().get(&path).map_or("", |build| build.log.trim_end());
            let has_log = log.is_empty() || made.message.contains(log);
            let failure = if has_log { made.message.clone() } else { format!("{}\n{log}", made.message) };
            Instead { derivation: made.other.clone(), failure }
        }),
        names: Names::default(),
        derivation: path,
    }
}

/// What is known of a build as soon as it has ended; `earlier` are its attempts before.
fn used(build: &Build, earlier: &[Duration]) -> Used {
    let millis = |time: &Duration| u64::try_from(time.as_millis()).ok();
    let (begun, earlier) = (millis(&build.begun), earlier.iter().filter_map(millis).collect());
    Used { begun, slot: Some(build.slot), earlier, ..Used::default() }
}

/// What a cache is called in a record: its URL without what may be secret in it, or the last part of a folder's, as folders are the machine's own.
fn cache_name(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let folder = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url));
    let last = |folder: &str| folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    shortened(&printable_url(&folder.map_or_else(|| url.to_owned(), last)), LONGEST_CACHE)
}

fn millis(build: &Build) -> u64 {
    u64::try_from(build.duration.as_millis()).unwrap_or(u64::MAX)
}

fn name_of(drv: &str) -> &str {
    store_path::name_of(drv.rsplit('/').next().unwrap_or(drv))
}

/// The class of a failure.
fn class_of(facts: &Facts, id: Option<DrvId>, message: &str, build: Option<&Build>) -> Class {
    evidence::class(&Evidence {
        message,
        log: build.map_or("", |build| &build.log),
        is_fixed_output: id.is_some_and(|id| facts.graph.node(id).fixed_output),
        has_room: build.is_some_and(|build| build.has_room),
    })
}

/// Leaves the logs of what failed, and of the others as many as have room, by name.
pub fn keep_logs(logs: &Path, records: &[DerivationRecord]) -> Result<()> {
    let failed: HashSet<_> = records
        .iter()
        .filter(|record| record.outcome == Outcome::Failed)
        .map(|record| log_file(logs, &record.derivation))
        .collect();
    let entries = match fs::read_dir(logs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot read `{}`", logs.display()))?,
    };
    let mut room = MAX_OTHER_LOGS;
    let entries: BTreeMap<_, _> =
        entries.flatten().map(|entry| (entry.path(), entry.metadata().map_or(0, |data| data.len()))).collect();
    for (path, bytes) in entries.into_iter().filter(|(path, _)| !failed.contains(path)) {
        match room.checked_sub(bytes) {
            Some(left) => room = left,
            None => fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?,
        }
    }
    Ok(())
}

/// What a job hands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Outputs of the job's own derivations, and outputs of those that it repeats which these refer to; ascending.
    pub paths: Vec<String>,
    /// Which outputs content-addressed derivations have.
    pub realisations: Vec<Realisation>,
    /// Sentences about those of which Nix does not say that, or not so that it is understood.
    pub unknown: Vec<String>,
}

/// Finds what a job hands on: what it owns as far as it exists, and what that refers to of all that the plan has it repeat. What it had
/// to build beyond that, nobody would take from it. `gone` was handed on before and is no longer in the store.
pub fn results(store: &Store, graph: &Graph, records: &[DerivationRecord], gone: &BTreeSet<String>) -> Result<Results> {
    let (mut realisations, mut unknown) = (Vec::new(), Vec::new());
    let mut own = BTreeSet::new();
    let mut beside = HashSet::new();
    for record in records.iter().filter(|record| record.outcome.is_good() && record.role != Role::Other) {
        let mut outputs: Vec<String> = Vec::new();
        match graph.find(&record.derivation) {
            Some(id) if graph.node(id).is_floating() => {
                let found = realisation::of(store, &record.derivation).unwrap_or_else(|error| {
                    unknown.push(format!("{error:#}: it is not handed on"));
                    Vec::new()
                });
                if found.is_empty() && unknown.is_empty() {
                    unknown.push(format!(
                        "Nix does not say which outputs `{}` has: they are not handed on",
                        record.derivation
                    ));
                }
                outputs.extend(found.iter().map(|realisation| graph.full_path(&realisation.output)));
                realisations.extend(found);
            }
            Some(id) => outputs.extend(known_outputs(graph, id)),
            None => {}
        }
        if record.role == Role::Owned { own.extend(outputs) } else { beside.extend(outputs) }
    }
    if !beside.is_empty() && !own.is_empty() {
        let roots: Vec<&str> = own.difference(gone).map(String::as_str).collect();
        own.extend(store.requisites(&roots)?.into_iter().filter(|path| beside.contains(path)));
    }
    realisations.sort();
    realisations.dedup();
    Ok(Results { paths: own.into_iter().collect(), realisations, unknown })
}

/// The outputs of a derivation whose paths are known.
pub fn known_outputs(graph: &Graph, id: DrvId) -> impl Iterator<Item = String> {
    graph.node(id).outputs.iter().filter_map(|output| output.base.as_deref()).map(|base| graph.full_path(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_named_without_secrets_and_folders_of_the_machine() {
        let names = [
            "https://user:word@cache.example/a?priority=1",
            "file:///tmp/nixdag-x/cache?trusted=1",
            "s3://bucket?region=x",
        ];
        assert_eq!(names.map(cache_name), ["https://…@cache.example/a", "cache", "s3://bucket"]);
    }

    #[test]
    fn logs_of_failures_stay_and_others_while_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let record = |name: &str, outcome| DerivationRecord {
            derivation: format!("/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-{name}.drv"),
            name: name.into(),
            system: "x86_64-linux".into(),
            role: Role::Owned,
            outcome,
            duration: None,
            fetched_from: None,
            used: Used::default(),
            message: None,
            log: None,
            class: None,
            retried: Vec::new(),
            instead: None,
            names: Names::default(),
        };
        let records = [record("good", Outcome::Built), record("bad", Outcome::Failed)];
        let left = |bytes: u64| {
            for record in &records {
                fs::File::create(log_file(dir.path(), &record.derivation)).unwrap().set_len(bytes).unwrap();
            }
            keep_logs(dir.path(), &records).unwrap();
            let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            left.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(left(MAX_OTHER_LOGS).len(), 2);
        assert!(left(MAX_OTHER_LOGS + 1).iter().eq(["jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-bad.log"]));
    }
}
