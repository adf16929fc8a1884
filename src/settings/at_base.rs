//! The settings at the base: what its own pipeline builds, which need not be what those of the change would have it build.
//!
//! In: the settings of the change, and the base's own settings file. Out: [`SettingsAtBase`]: how the base is evaluated, and which of its
//! targets count as built there. What is in doubt does not: then more is built, which is never wrong.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Settings;
use super::file::{MAX_SIZE, SettingsFile};
use super::selection::{self, SelectionFlags};
use super::words::patterns;
use crate::affected::repository_flake::RepositoryFlake;
use crate::attribute::AttributePath;
use crate::nix::evaluate::{DEFAULT_PATTERNS, EvaluationRequest, Systems};
use crate::nix::system;
use crate::pattern::{Pattern, Segment};
use crate::plan::allowed_failure::{AllowedFailure, allows};
use crate::plan::final_job;
use crate::printable::printable;

/// The base's own settings, as far as they say what is built.
#[derive(Clone, Debug)]
pub struct SettingsAtBase {
    /// What they select.
    own: Selected,
    /// The base is evaluated with what flags select instead.
    by_flags: Option<Selected>,
    /// What may fail there, but not now.
    allow_failure: Vec<AllowedFailure>,
    /// The keys that say something else now.
    pub changed: Vec<&'static str>,
}

/// What is selected, and how deep it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selected {
    select: Vec<Pattern>,
    also: Vec<Pattern>,
    exclude: Vec<Pattern>,
    systems: Systems,
    depth: Option<u32>,
}

impl Selected {
    fn of_file(file: &SettingsFile) -> Result<Self> {
        let listed = |patterns: Option<Vec<Pattern>>, as_meant: fn(&Pattern) -> Pattern| -> Vec<Pattern> {
            patterns.iter().flatten().map(as_meant).collect()
        };
        Ok(Self {
            select: listed(file.selection.select.as_ref().map(patterns), Pattern::to_derivations),
            also: final_job::built_patterns(&file.final_requests(None)?),
            exclude: listed(file.selection.exclude.as_ref().map(patterns), Pattern::meant),
            systems: selection::systems(&SelectionFlags::default(), &file.selection),
            depth: file.evaluation.as_ref().and_then(|entry| entry.keys.eval_depth).map(|depth| depth.0),
        })
    }

    fn of_request(request: &EvaluationRequest) -> Self {
        let EvaluationRequest { select, also, exclude, systems, depth, .. } = request.clone();
        Self { select, also, exclude, systems, depth }
    }

    /// The keys that another selection has otherwise.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("select", self.select == other.select),
            ("exclude", self.exclude == other.exclude),
            ("systems", self.systems == other.systems),
            ("final", self.also == other.also),
            ("evaluation.depth", self.depth == other.depth),
        ];
        keys.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }

    /// True for an attribute that the patterns select, as far as they tell without the flake.
    fn selects(&self, attribute: &AttributePath) -> bool {
        let names = attribute.names();
        let defaults = DEFAULT_PATTERNS.iter().filter(|_| self.select.is_empty()).flat_map(|text| Pattern::parse(text));
        let selected = self.select.iter().chain(&self.also).map(Pattern::meant).chain(defaults);
        let is_taken = |pattern: Pattern| {
            pattern.alternatives().iter().any(|segments| {
                let is_meant = pattern.with_alternatives(vec![segments.clone()]).matches_at_or_above(names);
                is_meant && self.takes_system(segments, names)
            })
        };
        let is_excluded = self.exclude.iter().any(|pattern| pattern.matches_at_or_above(names));
        !is_excluded && selected.into_iter().any(is_taken)
    }

    /// A glob in the place of the system stands for those that are taken.
    fn takes_system(&self, segments: &[Segment], names: &[String]) -> bool {
        let ([output, name, ..], Some(systems)) = (names, self.systems.listed()) else { return true };
        !system::is_per_system(output) || matches!(segments.get(1), Some(Segment::Literal(_))) || systems.contains(name)
    }
}

impl SettingsAtBase {
    /// Compares. Fails where the base's pipeline evaluates something else, or may have done so.
    pub fn new(settings: &Settings, file: &SettingsFile, flake: &str) -> Result<Self> {
        check_inputs(settings, file)?;
        let own = Selected::of_file(file)?;
        let mut changed = own.differences(&Selected::of_file(&settings.file)?);
        let asked = Selected { depth: own.depth, ..Selected::of_request(&settings.evaluation_request(flake)) };
        let by_flags = (changed.is_empty() && asked != own).then_some(asked);
        let allowed = selection::allow_failure(&SelectionFlags::default(), &file.selection)?;
        let allow_failure: Vec<_> =
            allowed.into_iter().filter(|entry| !settings.allow_failure.contains(entry)).collect();
        if !allow_failure.is_empty() {
            changed.push("allow_failure");
        }
        Ok(Self { own, by_flags, allow_failure, changed })
    }

    /// True where the base's pipeline builds what is asked for now.
    pub fn is_same(&self) -> bool {
        self.by_flags.is_none() && self.changed.is_empty()
    }

    /// What there is to be said where the base, `name`, does not build all that was evaluated of it; `others` are the targets that it does not.
    pub fn note(&self, name: &str, others: usize) -> Option<String> {
        let keys: Vec<String> = self.changed.iter().map(|key| format!("`{key}`")).collect();
        if let Some((last, first)) = keys.split_last() {
            let keys = if first.is_empty() { last.clone() } else { format!("{} and {last}", first.join(", ")) };
            return Some(format!(
                "{keys} in nixdag.yml changed since the base `{name}`: what its pipeline did not have to build counts as affected"
            ));
        }
        let (are, count) =
            if others == 1 { ("1 target is".to_owned(), "counts") } else { (format!("{others} targets are"), "count") };
        (self.by_flags.is_some() && others > 0).then(|| {
            format!(
                "{are} selected by flags alone, not by nixdag.yml at the base `{name}`, and {count} as affected (to have them compared, \
                 commit `select`, `exclude` and `systems` in nixdag.yml)"
            )
        })
    }

    /// The request for the base, `reference`.
    pub fn request(&self, settings: &Settings, reference: &str) -> EvaluationRequest {
        let Selected { select, also, exclude, systems, depth } = self.by_flags.clone().unwrap_or(self.own.clone());
        EvaluationRequest { select, also, exclude, systems, depth, ..settings.evaluation_request(reference) }
    }

    /// True for a target of that request that has to succeed in the base's own pipeline.
    pub fn requires(&self, attribute: &AttributePath, allowed_now: &[AllowedFailure]) -> bool {
        let is_selected = self.by_flags.is_none() || self.own.selects(attribute);
        is_selected && (!allows(&self.allow_failure, attribute) || allows(allowed_now, attribute))
    }
}

/// A file's path from the root of its repository; none where it is elsewhere.
fn from_top(path: &Path, top: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.strip_prefix(top).ok()?.join(path.file_name()?))
}

impl Settings {
    /// True where the settings file is in the flake's repository, which does not track it: git tells of none of its changes.
    pub fn file_is_untracked(&self, flake: &RepositoryFlake) -> Result<bool> {
        let top = flake.repository.top().canonicalize().context("cannot find the repository")?;
        let path = self.file_path.as_deref().and_then(|path| from_top(path, &top));
        path.map_or(Ok(false), |path| Ok(!flake.tracks(&path)?))
    }

    /// The settings file of a commit of the flake's repository; that of now where it belongs to no repository, or to another one.
    pub fn file_at(&self, flake: &RepositoryFlake, commit: &str) -> Result<SettingsFile> {
        let top = flake.repository.top().canonicalize().context("cannot find the repository")?;
        let from_top = |path: &Path| from_top(path, &top);
        let places: Vec<PathBuf> = match &self.file_path {
            Some(named) if self.file_is_named => match from_top(named) {
                Some(path) => vec![path],
                // No change of the repository has a part in it.
                None => return Ok(self.file.clone()),
            },
            _ => {
                let folder = from_top(&self.source.folder().join("flake.nix"));
                let folder = folder.context("the flake is in another repository")?;
                SettingsFile::places(folder.parent().unwrap_or(Path::new(""))).collect()
            }
        };
        for place in places {
            let what = || format!("its `{}` cannot be read", printable(&place.to_string_lossy()));
            if let Some(bytes) = flake.repository.file_at(commit, &place, MAX_SIZE).with_context(what)? {
                return SettingsFile::from_bytes(bytes).with_context(what);
            }
        }
        Ok(SettingsFile::default())
    }
}

/// Fails where inputs are replaced otherwise than at the base, or by what may have changed since then.
fn check_inputs(settings: &Settings, file: &SettingsFile) -> Result<()> {
    let all = &settings.evaluation.override_inputs;
    let now: Vec<(String, String)> = all.iter().map(|named| (named.input.clone(), named.reference.clone())).collect();
    let of_file = |file: &SettingsFile| -> Vec<(String, String)> {
        let inputs = file.evaluation.as_ref().and_then(|entry| entry.keys.override_input.clone());
        inputs.unwrap_or_default().0.into_iter().collect()
    };
    if now != of_file(&settings.file) || all.iter().any(|named| named.by_flag) {
        bail!(
            "`--override-input` gives the flake another input than the base has (`evaluation.override_inputs` in nixdag.yml is the way to commit \
             one)"
        );
    }
    if now != of_file(file) {
        bail!("`evaluation.override_inputs` of nixdag.yml is another one there");
    }
    if let Some((input, reference)) = now.iter().find(|(_, reference)| !is_pinned(reference)) {
        bail!(
            "`evaluation.override_inputs` replaces the input `{}` with `{}`, which may have been something else then (a reference with `rev=` \
             stays the same)",
            printable(input),
            printable(reference)
        );
    }
    Ok(())
}

/// True for a reference of a flake that is the same at any time: it has a whole commit or the hash of what it holds.
fn is_pinned(reference: &str) -> bool {
    let (address, query) = reference.split_once('?').unwrap_or((reference, ""));
    let is_commit = |text: &str| [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let by_query = query.split('&').filter_map(|part| part.split_once('='));
    let mut by_query = by_query.filter(|(key, value)| *key == "narHash" || *key == "rev" && is_commit(value));
    let is_forge = ["github:", "gitlab:", "sourcehut:"].iter().any(|forge| address.starts_with(forge));
    by_query.next().is_some() || is_forge && address.rsplit('/').next().is_some_and(is_commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str) -> Selected {
        Selected::of_file(&SettingsFile::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn what_the_file_alone_selects() {
        let takes = |text: &str, attribute: &str| selected(text).selects(&AttributePath::parse(attribute).unwrap());
        let listed = "systems: [x86_64-linux]\n";
        assert!(takes(listed, "packages.x86_64-linux.a") && takes(listed, "checks.x86_64-linux.a"));
        assert!(!takes(listed, "packages.aarch64-linux.a") && !takes(listed, "devShells.x86_64-linux.a"));
        assert!(takes("systems: all\n", "packages.riscv64-linux.a"));
        let named = "select: [packages.aarch64-linux.a, hydraJobs.*]\nexclude: [hydraJobs.b]\n";
        assert!(takes(named, "packages.aarch64-linux.a") && takes(named, "hydraJobs.a.x86_64-linux"));
        assert!(!takes(named, "packages.aarch64-linux.b") && !takes(named, "hydraJobs.b.x86_64-linux"));
        let built = "select: [packages.x86_64-linux.a]\nfinal: [{name: x, build: packages.x86_64-linux.b}]\n";
        assert!(takes(built, "packages.x86_64-linux.b") && !takes(built, "packages.x86_64-linux.c"));
    }

    #[test]
    fn keys_that_say_nothing_about_what_is_built_do_not_count() {
        let one = selected("select: [packages.*.*]\n");
        let other = "select: [packages.*.*]\nobjective: cost\nevaluation: {workers: 2, timeout: 9}\nexecutors: {}\n";
        assert_eq!(one.differences(&selected(other)), [""; 0]);
        let all = "exclude: [a]\nsystems: all\nevaluation: {depth: 3}\nfinal: [{name: x, build: b}]\n";
        assert_eq!(one.differences(&selected(all)), ["select", "exclude", "systems", "final", "evaluation.depth"]);
    }

    #[test]
    fn a_pinned_reference_stays_what_it_is() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for pinned in [
            format!("github:o/r/{commit}"),
            format!("git+file:///x?dir=a&rev={commit}"),
            "path:/x?narHash=sha256-x".into(),
        ] {
            assert!(is_pinned(&pinned), "{pinned}");
        }
        for floating in [
            "github:o/r",
            "github:o/r/main",
            "path:/x",
            "./lib",
            "git+https://x/y?rev=main",
            "nixpkgs",
            &format!("/{commit}"),
        ] {
            assert!(!is_pinned(floating), "{floating}");
        }
    }
}
