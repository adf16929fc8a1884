//! Names and ids of jobs: the same from pipeline to pipeline, as long as a job does the same.
//!
//! A job is named after the target that it completes, else after the largest derivation that it owns, with the number of others
//! behind a plus sign. Where two jobs would share a name, both carry a short hash of what they build, so that adding a third one
//! changes neither.

use std::collections::{HashMap, HashSet};

use super::worker_job;
use crate::attribute::AttributePath;
use crate::pattern::short;
use crate::printable::printable;

/// Longest id of the contract.
const MAX_ID: usize = 63;

/// Longest name, in characters: more does not fit on anybody's screen.
const MAX_NAME: usize = 100;

/// What a job is named after.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// The name that it gets unless another job has it too.
    pub preferred: String,
    /// What it builds, in words that stay when inputs change: attributes, else derivation names.
    pub content: Vec<String>,
    /// Its paths, which tell apart what words do not.
    pub paths: Vec<String>,
}

/// A job's name and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobName {
    /// Unique without regard to case.
    pub name: String,
    /// Unique, `[a-z][a-z0-9_-]{0,62}`.
    pub id: String,
}

/// The short form of an attribute: without `packages` or `legacyPackages` and without the system where that is also the derivation's,
/// so that what is left says which package of which cross system it is; and without what leads from a configuration to what builds it.
pub fn label(attribute: &AttributePath, system: &str) -> String {
    if let Some(names) = short::configuration(attribute.names()) {
        return AttributePath::new(names.to_vec()).to_string();
    }
    match attribute.names() {
        [kind, on, rest @ ..] if on == system && !rest.is_empty() => {
            let rest: AttributePath = rest.iter().cloned().collect();
            if kind == "packages" || kind == "legacyPackages" {
                rest.to_string()
            } else {
                format!("{}.{rest}", AttributePath::new(vec![kind.clone()]))
            }
        }
        _ => attribute.to_string(),
    }
}

/// The attribute that stands for a derivation with several: not a `default` where there is another, the shortest, the first.
pub fn representative<'a>(attributes: impl IntoIterator<Item = &'a AttributePath>) -> Option<&'a AttributePath> {
    attributes.into_iter().min_by_key(|attribute| {
        (attribute.names().last().is_some_and(|name| name == "default"), attribute.names().len(), *attribute)
    })
}

/// Names for all jobs, in their order. The reserved names, in lower case, are nobody's.
pub fn assign(namings: &[Naming], reserved: &[&str]) -> Vec<JobName> {
    let names = unique(
        namings,
        reserved,
        |naming| shown(&naming.preferred),
        str::to_lowercase,
        |name, suffix| {
            let room = MAX_NAME - suffix.len() - 1;
            format!("{}~{suffix}", name.chars().take(room).collect::<String>())
        },
    );
    let ids = unique(
        namings,
        reserved,
        |naming| id_of(&naming.preferred),
        str::to_owned,
        |id, suffix| {
            let room = MAX_ID - suffix.len() - 1;
            format!("{}-{suffix}", &id[..id.len().min(room)])
        },
    );
    names.into_iter().zip(ids).map(|(name, id)| JobName { name, id }).collect()
}

/// Names for final jobs, in their order, which no other job has; those are given by id and name.
pub fn assign_beside<'t>(
    namings: &[&str],
    reserved: &[&str],
    taken: impl Iterator<Item = (&'t str, &'t str)>,
) -> Vec<JobName> {
    let naming = |name: &&str| Naming { preferred: (*name).into(), content: vec![(*name).into()], paths: Vec::new() };
    let (mut ids, mut names): (HashSet<String>, HashSet<String>) =
        taken.map(|(id, name)| (id.to_owned(), name.to_lowercase())).unzip();
    let mut assigned = assign(&namings.iter().map(naming).collect::<Vec<_>>(), reserved);
    for job in &mut assigned {
        let (mut name, mut id, mut number) = (job.name.clone(), job.id.clone(), 1);
        while !(ids.insert(id.clone()) & names.insert(name.to_lowercase())) {
            let suffix = if number == 1 { "final".to_owned() } else { format!("final-{number}") };
            number += 1;
            name = format!("{} ({suffix})", job.name);
            id = format!("{}-{suffix}", &job.id[..job.id.len().min(50)]);
        }
        *job = JobName { name, id };
    }
    assigned
}

/// Makes names unique: first as preferred, then with a hash of the content, then of the paths, then with a number.
fn unique(
    namings: &[Naming],
    reserved: &[&str],
    preferred: impl Fn(&Naming) -> String,
    key: impl Fn(&str) -> String,
    with_suffix: impl Fn(&str, &str) -> String,
) -> Vec<String> {
    let mut names: Vec<String> = namings.iter().map(&preferred).collect();
    for content in [|naming: &Naming| hash(&naming.content), |naming: &Naming| hash(&naming.paths)] {
        let mut count: HashMap<String, usize> = HashMap::new();
        for name in &names {
            *count.entry(key(name)).or_default() += 1;
        }
        for (name, naming) in names.iter_mut().zip(namings) {
            let key = key(name);
            let is_reserved = reserved.contains(&key.as_str()) || worker_job::is_own(&key);
            if count[&key] > 1 || is_reserved {
                *name = with_suffix(&preferred(naming), &content(naming));
            }
        }
    }
    let mut taken = HashSet::new();
    for name in &mut names {
        let mut number = 1;
        while !taken.insert(key(name)) {
            number += 1;
            *name = with_suffix(name, &number.to_string());
        }
    }
    names
}

/// Six hexadecimal digits of FNV-1a over the parts.
pub(super) fn hash(parts: &[String]) -> String {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{:06x}", (state ^ (state >> 24) ^ (state >> 48)) & 0xff_ffff)
}

/// The name as people may see it, and not too long.
fn shown(name: &str) -> String {
    let shown = printable(name);
    if shown.chars().count() <= MAX_NAME { shown } else { shown.chars().take(MAX_NAME - 1).chain(['…']).collect() }
}

fn id_of(name: &str) -> String {
    let mut id = String::new();
    for c in name.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' {
            id.push(c);
        } else if !id.ends_with('-') {
            id.push('-');
        }
        if id.len() > MAX_ID + 2 {
            break;
        }
    }
    let trimmed = id.trim_matches('-');
    let id = if trimmed.starts_with(|c: char| c.is_ascii_lowercase()) {
        trimmed.to_owned()
    } else {
        format!("job-{trimmed}")
    };
    id[..id.len().min(MAX_ID)].trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::json::is_id;

    fn named(text: &str) -> Naming {
        Naming { preferred: text.into(), content: vec![text.into()], paths: vec![text.into()] }
    }

    #[test]
    fn odd_names_become_ids_and_stay_apart() {
        let namings: Vec<_> = [
            "Foo",
            "foo",
            "a.b",
            "a_b",
            "a b",
            "\"quo\\\"te\"",
            "ünï",
            "",
            "-dash",
            "123",
            "gate",
            "Gate",
            "\u{1b}[31m",
            "<<merge",
        ]
        .into_iter()
        .map(named)
        .chain([named(&"x".repeat(200)), named(&"x".repeat(201))])
        .collect();
        let names = assign(&namings, &["gate"]);
        let ids: HashSet<_> = names.iter().map(|name| &name.id).collect();
        let lower: HashSet<_> = names.iter().map(|name| name.name.to_lowercase()).collect();
        assert_eq!((ids.len(), lower.len()), (namings.len(), namings.len()));
        for name in &names {
            assert!(is_id(&name.id), "{}", name.id);
            assert!(name.name.chars().count() <= MAX_NAME && !name.name.chars().any(char::is_control), "{}", name.name);
            assert!(name.name.to_lowercase() != "gate" && name.id != "gate");
        }
    }

    #[test]
    fn a_third_job_of_the_same_name_changes_nothing() {
        let twins: Vec<_> = ["a.b", "a_b"].map(named).into();
        let more: Vec<_> = ["a.b", "a b", "a_b", "c"].map(named).into();
        let (two, four) = (assign(&twins, &[]), assign(&more, &[]));
        assert_eq!(two[1], four[2]);
        assert_eq!(assign(&[named("c")], &[])[0], four[3]);
    }

    #[test]
    fn equal_content_is_told_apart_by_paths() {
        let twin = |path: &str| Naming {
            preferred: "source".into(),
            content: vec!["source".into()],
            paths: vec![path.into()],
        };
        let names = assign(&[twin("p1"), twin("p2"), twin("p2")], &[]);
        assert_eq!(names.iter().map(|name| &name.id).collect::<HashSet<_>>().len(), 3);
    }

    #[test]
    fn labels_leave_out_what_everybody_knows() {
        let path = |text: &str| AttributePath::parse(text).unwrap();
        assert_eq!(label(&path("packages.x86_64-linux.hello"), "x86_64-linux"), "hello");
        assert_eq!(label(&path("checks.x86_64-linux.\"a.b\""), "x86_64-linux"), "checks.\"a.b\"");
        assert_eq!(label(&path("packages.aarch64-linux.hello"), "x86_64-linux"), "packages.aarch64-linux.hello");
        assert_eq!(label(&path("hello"), "x86_64-linux"), "hello");
        let cross = path("legacyPackages.x86_64-linux.pkgsCross.musl64.hello");
        assert_eq!(label(&cross, "x86_64-linux"), "pkgsCross.musl64.hello");
        let host = path("nixosConfigurations.web.config.system.build.toplevel");
        assert_eq!(label(&host, "x86_64-linux"), "nixosConfigurations.web");
        let all = [path("packages.x.default"), path("packages.x.hello"), path("packages.x.zz")];
        assert_eq!(representative(&all), Some(&all[1]));
    }
}
