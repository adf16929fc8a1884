//! What the selected attributes turn out to be: targets, errors, sets to enter.
//!
//! In: a [`Walk`]. Out: a [`Findings`]. One round of questions for each level of sets that are entered, and one for all that failed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Map, Value};

use super::asker::Asker;
use super::kind::{self, is_misplaced, with_article};
use super::message::{EvaluationFailure, FailureCause};
use super::query::{Answer, Question};
use super::selection::{Candidate, Set, Walk};
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::nix::hash::Sha256;
use crate::nix::store_path;
use crate::pattern::short;
use crate::printable::printable;

/// Longest name of an attribute, in bytes.
const MAX_NAME: usize = 1024;

/// Characters that are shown of what is longer.
const MAX_SHOWN: usize = 100;

/// How many names a message lists.
const MAX_LISTED: usize = 12;

/// What the candidates turned out to be.
#[derive(Default)]
pub struct Findings {
    /// Paths of derivations.
    pub targets: BTreeMap<AttributePath, String>,
    pub errors: BTreeMap<AttributePath, EvaluationFailure>,
    /// Those of them that are not there, though a pattern names them.
    pub absent: BTreeSet<AttributePath>,
    /// The patterns, by index, that led to a target or an error.
    pub fruitful: BTreeSet<usize>,
    /// The last names of what is there, each with the patterns, by index, that lead to it.
    pub last_names: BTreeSet<(usize, String)>,
    /// What packages say about their own jobs, unchecked.
    pub package_settings: BTreeMap<AttributePath, Map<String, Value>>,
    /// The first set in `hydraJobs` that is deeper than what a glob takes.
    deep_jobs: Option<AttributePath>,
    /// Sentences for people.
    pub warnings: Vec<String>,
}

impl Findings {
    /// Begins with what is known not to be there: the pattern's index and the error.
    pub fn new(absent: BTreeMap<AttributePath, (usize, EvaluationFailure)>) -> Self {
        let mut found = Self::default();
        for (attribute, (pattern, failure)) in absent {
            found.fruitful.insert(pattern);
            found.absent.insert(attribute.clone());
            found.errors.insert(attribute, failure);
        }
        found
    }

    /// The failed download of an input that all errors are about. Of one newer versions say how many milliseconds it took to fail, so
    /// their messages differ.
    pub fn failed_input(&self) -> Option<&EvaluationFailure> {
        let first = self.errors.values().next()?;
        self.errors.values().all(|failure| failure.cause == FailureCause::Input).then_some(first)
    }

    /// Evaluates all that the walk leads to.
    pub fn evaluate(&mut self, asker: &Asker, walk: &mut Walk) -> Result<()> {
        let mut failed: BTreeMap<AttributePath, Candidate> = BTreeMap::new();
        loop {
            let mut candidates = walk.next(asker)?;
            candidates.retain(|attribute, candidate| {
                let is_known = self.targets.contains_key(attribute) || self.errors.contains_key(attribute);
                if is_known {
                    self.fruitful.extend(candidate.patterns());
                    self.learn_name(attribute, candidate);
                } else if let Some(before) = failed.get_mut(attribute) {
                    before.ways.append(&mut candidate.ways);
                    return false;
                }
                !is_known
            });
            // There may be more of them, where a process had too little memory for a set.
            let is_last = candidates.is_empty();
            if is_last {
                candidates = std::mem::take(&mut failed);
            }
            if candidates.is_empty() {
                self.warnings.extend(self.deep_jobs.take().map(|path| jobs_are_deeper(&path)));
                return Ok(());
            }
            let question = |(attribute, candidate): (&AttributePath, &Candidate)| Question::Derivation {
                path: attribute.names().to_vec(),
                every: candidate.enters_every_set(),
                enter: walk.levels_below(attribute, candidate),
            };
            let questions: Vec<Question> = candidates.iter().map(question).collect();
            let answers = if is_last {
                asker.ask_again(&questions)?
            } else {
                let mut answers = Vec::new();
                for (named, answer) in std::mem::take(&mut candidates).into_iter().zip(asker.ask_once(&questions)?) {
                    if answer.is_some() { &mut candidates } else { &mut failed }.extend([named]);
                    answers.extend(answer);
                }
                answers
            };
            let sets = self.level(asker, &candidates, answers)?;
            walk.enter(asker, &sets)?;
        }
    }

    /// Takes what these turned out to be, and gives the sets among them.
    fn level<'c>(
        &mut self,
        asker: &Asker,
        candidates: &'c BTreeMap<AttributePath, Candidate>,
        answers: Vec<Answer>,
    ) -> Result<Vec<Set<'c>>> {
        let (mut missing, mut sets) = (Vec::new(), Vec::new());
        for ((attribute, candidate), answer) in candidates.iter().zip(answers) {
            if let Some(shown) = too_long(attribute) {
                let failure = format!("its name has more than {MAX_NAME} bytes");
                self.errors.insert(shown, failure.into());
                self.fruitful.extend(candidate.patterns());
                continue;
            }
            if !matches!(answer, Answer::Missing(_) | Answer::Other { above: true, .. }) {
                self.learn_name(attribute, candidate);
            }
            let wrong = match answer {
                Answer::Derivation(drv_path, says) => self.take(attribute, drv_path, says).map(EvaluationFailure::from),
                Answer::Mute(drv_path, message) => {
                    let name = quoted(attribute.names());
                    self.warnings
                        .push(format!("attribute `{name}`: its settings for its job do not evaluate: {message}"));
                    self.take(attribute, drv_path, Map::new()).map(EvaluationFailure::from)
                }
                Answer::Failed(failure) => Some(failure),
                Answer::Set { names, marked, .. } => {
                    sets.push(Set { path: attribute, candidate, names, marked });
                    continue;
                }
                Answer::Missing(depth) if candidate.literal => {
                    missing.push((attribute, depth));
                    continue;
                }
                Answer::Other { kind, above: true } if candidate.literal => {
                    self.absent.insert(attribute.clone());
                    Some(format!("there is no such attribute: an attribute above it is {}", with_article(&kind)).into())
                }
                Answer::Other { kind, above: false } if candidate.literal || is_misplaced(attribute.names(), &kind) => {
                    Some(no_derivation(attribute, candidate, &kind).into())
                }
                Answer::Missing(depth) if is_in_configuration(attribute, depth) => {
                    missing.push((attribute, depth));
                    continue;
                }
                Answer::Other { kind, above: true } if short::configuration(attribute.names()).is_some() => {
                    Some(format!("an attribute above it is {}, not a set of attributes", with_article(&kind)).into())
                }
                Answer::Other { kind, .. } if kind == "set" && short::is_deepest_job(attribute.names()) => {
                    self.deep_jobs.get_or_insert_with(|| attribute.clone());
                    continue;
                }
                // Only a glob led here.
                Answer::Missing(_) | Answer::Other { .. } | Answer::Names(_) | Answer::Same(_) => continue,
            };
            self.fruitful.extend(candidate.patterns());
            if let Some(failure) = wrong {
                self.errors.insert(attribute.clone(), failure);
            }
        }
        for (attribute, _) in &missing {
            self.fruitful.extend(candidates[*attribute].patterns());
        }
        let named = missing.iter().filter(|(attribute, _)| candidates[*attribute].literal);
        self.absent.extend(named.map(|(attribute, _)| (*attribute).clone()));
        self.lacks(asker, missing)?;
        Ok(sets)
    }

    /// Takes note of attributes that are not there though they have to be, each with the index of the name that is missing.
    pub fn lacks(&mut self, asker: &Asker, missing: Vec<(&AttributePath, usize)>) -> Result<()> {
        let siblings = |(attribute, depth): &(&AttributePath, usize)| Question::Names {
            path: attribute.names()[..*depth].to_vec(),
            inside: true,
            followed: None,
        };
        let answers = asker.ask(&missing.iter().map(siblings).collect::<Vec<_>>())?;
        for ((attribute, depth), answer) in missing.into_iter().zip(answers) {
            let names = if let Answer::Names(names) = answer { names } else { Vec::new() };
            self.errors.insert(attribute.clone(), no_such_attribute(attribute, depth, &names).into());
        }
        Ok(())
    }

    /// Takes note of something that is there, whatever it is.
    fn learn_name(&mut self, attribute: &AttributePath, candidate: &Candidate) {
        if let Some(last) = attribute.names().last() {
            self.last_names.extend(candidate.patterns().map(|pattern| (pattern, last.clone())));
        }
    }

    /// Drops targets whose paths are in no store: evaluated code may call anything its `drvPath`, and Nix refuses a question about such a path
    /// together with all others.
    pub fn drop_outside_store(&mut self) {
        let paths: Vec<&str> = self.targets.values().map(String::as_str).collect();
        let store_dir = store_path::common_dir(&paths).to_owned();
        let is_inside = |path: &str| store_path::split(path).is_ok_and(|(dir, _)| dir == store_dir);
        let (inside, outside) = std::mem::take(&mut self.targets).into_iter().partition(|(_, path)| is_inside(path));
        self.targets = inside;
        let outside: BTreeMap<AttributePath, String> = outside;
        self.errors
            .extend(outside.into_iter().map(|(attribute, path)| (attribute, no_path_of_derivation(&path).into())));
        self.package_settings.retain(|attribute, _| self.targets.contains_key(attribute));
    }

    /// Takes a derivation as a target, or says what is wrong with it.
    fn take(&mut self, attribute: &AttributePath, drv_path: String, says: Map<String, Value>) -> Option<String> {
        if !store_path::split(&drv_path).is_ok_and(|(_, base)| base.ends_with(".drv")) {
            return Some(no_path_of_derivation(&drv_path));
        }
        if !says.is_empty() {
            self.package_settings.insert(attribute.clone(), says);
        }
        self.targets.insert(attribute.clone(), drv_path);
        None
    }
}

/// Says what is wrong with a `drvPath`.
fn no_path_of_derivation(drv_path: &str) -> String {
    let shown: String = drv_path.chars().take(MAX_SHOWN).collect();
    format!("its `drvPath` is `{}`, which is not the path of a derivation", printable(&shown))
}

/// The attribute as it is shown where a name in its path is longer than any that a job, a file or a person could have: the beginning of that
/// name, and of its digest, since several may begin in the same way.
fn too_long(attribute: &AttributePath) -> Option<AttributePath> {
    let is_long = |name: &String| name.len() > MAX_NAME;
    let shown = |name: &String| match is_long(name) {
        true => {
            let beginning: String = name.chars().take(MAX_SHOWN).collect();
            format!("{beginning}…{}", &Sha256::of(name.as_bytes()).base16()[..8])
        }
        false => name.clone(),
    };
    let is_any = attribute.names().iter().any(is_long);
    is_any.then(|| attribute.names().iter().map(shown).collect())
}

/// True where a configuration is there, and lacks what builds it at the name with this index.
fn is_in_configuration(attribute: &AttributePath, depth: usize) -> bool {
    short::configuration(attribute.names()).is_some_and(|configuration| depth >= configuration.len())
}

/// Says that jobs may be left out, as they are in this set.
fn jobs_are_deeper(path: &AttributePath) -> String {
    format!(
        "jobs more than {} levels deep in `hydraJobs` are not taken: `{}` is a set, and maybe others are (take all by `hydraJobs.**`)",
        short::HYDRA_DEPTH,
        quoted(path.names())
    )
}

/// Says what an attribute is instead of a derivation.
fn no_derivation(attribute: &AttributePath, candidate: &Candidate, kind: &str) -> String {
    let hint = if candidate.literal && kind == "set" {
        let name = quoted(attribute.names());
        format!(" (`{name}.*` is what is in it, `{name}.**` also what is in its sets)")
    } else {
        String::new()
    };
    format!("{}{hint}", kind::no_derivation(kind))
}

/// Says which name of a path does not exist, and what is there instead.
fn no_such_attribute(attribute: &AttributePath, depth: usize, names: &[String]) -> String {
    let wanted = &attribute.names()[depth];
    let place = match depth {
        0 => "the flake".to_owned(),
        _ => format!("`{}`", quoted(&attribute.names()[..depth])),
    };
    let there = match nearest(wanted, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{}`?", quoted(&[name.to_owned()])),
        None => format!("there is {}", listed(names)),
    };
    format!("{place} has no attribute `{}` ({there})", quoted(std::slice::from_ref(wanted)))
}

/// An attribute path as messages have it.
pub fn quoted(names: &[String]) -> String {
    printable(&AttributePath::new(names.to_vec()).to_string())
}

/// `` `a`, `b` and 3 more ``.
pub fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", quoted(std::slice::from_ref(name)))).collect();
    if names.len() > MAX_LISTED {
        let last = shown.pop().unwrap_or_default();
        return format!("{}, {last} and {} more", shown.join(", "), names.len() - MAX_LISTED);
    }
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}
