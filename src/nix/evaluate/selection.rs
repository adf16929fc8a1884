//! Walks a flake's outputs along the patterns, so that nothing is forced that nobody selected.
//!
//! In: the patterns, the excluded ones, the systems. Out: [`Selected`], the attribute paths that may be targets, found level by level:
//! literal names cost nothing, and each level of globs is one round of questions for attribute names.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::asker::Asker;
use super::message::Failure;
use super::query::{Answer, Question};
use super::systems::Systems;
use crate::attribute::AttributePath;
use crate::nix::system;
use crate::pattern::{Pattern, Segment};

/// What the walk found.
#[derive(Debug, Default)]
pub struct Selected {
    /// The paths to evaluate.
    pub candidates: BTreeMap<AttributePath, Candidate>,
    /// The paths that an exclusion matched, not looked at.
    pub excluded: BTreeSet<AttributePath>,
    /// The exclusions, by index, that matched something.
    pub used_exclusions: BTreeSet<usize>,
    /// Sets on the way whose names do not evaluate.
    pub errors: BTreeMap<AttributePath, Failure>,
    /// Globs stood for all systems that there are, as far as that was found out without asking for nothing else.
    pub has_all_systems: bool,
}

/// How a path was selected.
#[derive(Debug, Default)]
pub struct Candidate {
    /// Some pattern wrote the path out in full, so it has to be there.
    pub literal: bool,
    /// The patterns, by index, that selected it.
    pub patterns: BTreeSet<usize>,
}

/// A place in the flake and what one alternative of one pattern still wants below it.
struct Visit<'p> {
    path: Vec<String>,
    rest: &'p [Segment],
    pattern: usize,
    /// No glob so far.
    literal: bool,
    /// The last name was written out, so that a derivation may be looked into.
    named: bool,
}

/// Visits that wait for the names at a path; the flag is that of [`Question::Names`].
type Waiting<'p> = BTreeMap<(Vec<String>, bool), Vec<Visit<'p>>>;

/// Finds all candidates.
pub fn select(asker: &Asker, patterns: &[Pattern], exclude: &[Pattern], systems: &Systems) -> Result<Selected> {
    let listed = systems.listed();
    let systems = listed.as_deref();
    let selected = Selected { has_all_systems: true, ..Selected::default() };
    let mut walk = Walk { exclude, systems, waiting: Waiting::new(), cut: BTreeSet::new(), selected };
    for (index, pattern) in patterns.iter().enumerate() {
        for rest in pattern.alternatives() {
            walk.visit(Visit { path: Vec::new(), rest, pattern: index, literal: true, named: true });
        }
    }
    while !walk.waiting.is_empty() {
        let waiting: Vec<_> = std::mem::take(&mut walk.waiting).into_iter().collect();
        let mut questions: Vec<Question> =
            waiting.iter().map(|((path, inside), _)| Question::Names { path: path.clone(), inside: *inside }).collect();
        let cut = std::mem::take(&mut walk.cut).into_iter();
        questions.extend(cut.map(|output| Question::Names { path: vec![output], inside: false }));
        let mut answers = asker.ask(&questions)?;
        walk.selected.has_all_systems &= answers.drain(waiting.len()..).all(|answer| walk.has_systems(&answer));
        for (((path, _), visits), answer) in waiting.into_iter().zip(answers) {
            match answer {
                Answer::Names(names) => visits.iter().for_each(|visit| walk.descend(visit, &names)),
                Answer::Failed(failure) => drop(walk.selected.errors.insert(AttributePath(path), failure)),
                // A glob that finds nothing selects nothing.
                Answer::Missing(_) | Answer::Other { .. } | Answer::Derivation(..) | Answer::Mute(..) => {}
            }
        }
    }
    walk.selected.has_all_systems &= walk.cut.is_empty();
    Ok(walk.selected)
}

struct Walk<'p> {
    exclude: &'p [Pattern],
    /// The only systems that a glob stands for; none for all.
    systems: Option<&'p [String]>,
    waiting: Waiting<'p>,
    /// Outputs in which a glob stood for those systems, which were not asked for theirs yet.
    cut: BTreeSet<String>,
    selected: Selected,
}

impl<'p> Walk<'p> {
    /// Goes down as far as names are known without asking.
    fn visit(&mut self, mut visit: Visit<'p>) {
        loop {
            let excluded_by = self.exclude.iter().position(|pattern| pattern.matches(&visit.path));
            if let Some(index) = excluded_by {
                self.selected.used_exclusions.insert(index);
                self.selected.excluded.insert(AttributePath(visit.path));
                return;
            }
            match visit.rest.split_first() {
                None => {
                    let candidate = self.selected.candidates.entry(AttributePath(visit.path)).or_default();
                    candidate.literal |= visit.literal;
                    candidate.patterns.insert(visit.pattern);
                    return;
                }
                Some((Segment::Literal(name), below)) => {
                    visit.path.push(name.clone());
                    visit.rest = below;
                    visit.named = true;
                }
                Some((Segment::Glob(_), _)) => {
                    match (visit.path.as_slice(), self.systems) {
                        ([output], Some(systems)) if system::is_per_system(output) => {
                            self.cut.insert(output.clone());
                            self.descend(&visit, systems);
                        }
                        _ => self.waiting.entry((visit.path.clone(), visit.named)).or_default().push(visit),
                    }
                    return;
                }
            }
        }
    }

    /// True where an output has no systems but those that a glob stands for.
    fn has_systems(&self, answer: &Answer) -> bool {
        let listed = |name: &String| self.systems.is_none_or(|systems| systems.contains(name));
        match answer {
            Answer::Names(names) => names.iter().all(listed),
            Answer::Missing(_) => true,
            Answer::Derivation(..) | Answer::Mute(..) | Answer::Other { .. } | Answer::Failed(_) => false,
        }
    }

    /// Visits those of the names that the next glob matches.
    fn descend(&mut self, visit: &Visit<'p>, names: &[String]) {
        let Some((glob, below)) = visit.rest.split_first() else { return };
        for name in names.iter().filter(|name| glob.matches(name)) {
            let mut path = visit.path.clone();
            path.push(name.clone());
            self.visit(Visit { path, rest: below, pattern: visit.pattern, literal: false, named: false });
        }
    }
}
