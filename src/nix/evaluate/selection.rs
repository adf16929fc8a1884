//! Walks a flake's outputs along the patterns, so that nothing is forced that nobody selected.
//!
//! In: the patterns, the excluded ones, the systems, and the names of sets as they become known. Out: the attribute paths to ask about
//! next. Literal names cost nothing, each level of globs is one round of questions for attribute names. A set that a pattern ends at is
//! entered where it asks for that (`recurseForDerivations`), any set by `**`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::asker::Asker;
use super::query::{Answer, MARK, MAX_ATTRIBUTES, Question};
use super::selected::Selected;
use super::sets::{Sameness, Sets};
use super::systems::Systems;
use crate::attribute::AttributePath;
use crate::nix::system;
use crate::pattern::{Pattern, Segment};
use crate::printable::printable;

/// True for outputs that a flake need not have, and for their systems.
fn may_lack(path: &[String]) -> bool {
    path.len() <= 2 && path.first().is_some_and(|output| system::is_per_system(output))
}

/// A path to evaluate.
#[derive(Debug, Default)]
pub struct Candidate {
    /// Some pattern wrote the path out in full, so it has to be there.
    pub literal: bool,
    /// How it was selected.
    pub ways: Vec<Way>,
}

/// How a pattern came to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Index of the pattern.
    pub pattern: usize,
    /// Every set is entered, not only one that asks for it.
    every: bool,
    /// Sets that were entered on the way.
    depth: usize,
}

impl Candidate {
    /// Whether any set is entered.
    pub fn enters_every_set(&self) -> bool {
        self.ways.iter().any(|way| way.every)
    }

    /// The indexes of the patterns.
    pub fn patterns(&self) -> impl Iterator<Item = usize> {
        self.ways.iter().map(|way| way.pattern)
    }
}

/// A candidate that is a set.
pub struct Set<'c> {
    pub path: &'c AttributePath,
    pub candidate: &'c Candidate,
    pub names: Vec<String>,
    /// It asks to be entered.
    pub marked: bool,
}

/// A place in the flake and what one alternative of one pattern still wants below it.
#[derive(Clone)]
struct Visit<'p> {
    path: Vec<String>,
    rest: &'p [Segment],
    pattern: usize,
    /// No glob so far.
    literal: bool,
    /// The last name was written out, so that a derivation may be looked into.
    named: bool,
    /// Sets that were entered so far.
    depth: usize,
}

/// Visits that wait for the names at a path; the flag is that of [`Question::Names`].
type Waiting<'p> = BTreeMap<(Vec<String>, bool), Vec<Visit<'p>>>;

/// The walk.
pub struct Walk<'p> {
    patterns: &'p [Pattern],
    exclude: &'p [Pattern],
    /// The only systems that a glob stands for; none for all.
    systems: Option<Vec<String>>,
    /// How many sets are entered on the way to an attribute.
    max_depth: usize,
    waiting: Waiting<'p>,
    /// Somebody has listed these systems, so each of them has to be there.
    are_named: bool,
    /// Outputs in which a glob stood for those systems, which were not asked for theirs yet.
    cut: BTreeSet<String>,
    /// The paths to evaluate.
    candidates: BTreeMap<AttributePath, Candidate>,
    /// How many there were so far.
    count: usize,
    sets: Sets,
    pub selected: Selected,
}

impl<'p> Walk<'p> {
    /// Begins at the outputs.
    pub fn new(patterns: &'p [Pattern], exclude: &'p [Pattern], systems: &Systems, max_depth: usize) -> Self {
        let mut walk = Self {
            patterns,
            exclude,
            systems: systems.listed(),
            are_named: matches!(systems, Systems::Listed(_)),
            max_depth,
            waiting: Waiting::new(),
            cut: BTreeSet::new(),
            candidates: BTreeMap::new(),
            count: 0,
            sets: Sets::default(),
            selected: Selected { has_all_systems: true, ..Selected::default() },
        };
        for (index, pattern) in patterns.iter().enumerate() {
            for rest in pattern.alternatives() {
                walk.visit(Visit { path: Vec::new(), rest, pattern: index, literal: true, named: true, depth: 0 });
            }
        }
        walk
    }

    /// The paths to evaluate, as far as they are known without entering one of them; empty at the end.
    pub fn next(&mut self, asker: &Asker) -> Result<BTreeMap<AttributePath, Candidate>> {
        self.check_count()?;
        while !self.waiting.is_empty() || self.are_named && !self.cut.is_empty() {
            self.ask_for_names(asker)?;
            self.check_count()?;
        }
        self.selected.has_all_systems &= self.cut.is_empty();
        Ok(std::mem::take(&mut self.candidates))
    }

    fn check_count(&self) -> Result<()> {
        if self.count <= MAX_ATTRIBUTES {
            return Ok(());
        }
        let last = self.candidates.iter().next_back();
        let pattern = last.and_then(|(_, candidate)| self.patterns.get(candidate.patterns().last()?));
        bail!(
            "the patterns lead to more than {MAX_ATTRIBUTES} attributes{}{} (select less, or leave out sets that lead in circles with \
             `--exclude`)",
            pattern.map(|pattern| format!(", `{}`", printable(&pattern.to_string()))).unwrap_or_default(),
            last.map(|(path, _)| format!(" as far as `{}`", printable(&path.to_string()))).unwrap_or_default()
        );
    }

    fn ask_for_names(&mut self, asker: &Asker) -> Result<()> {
        let waiting: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        let question = |((path, inside), visits): &((Vec<String>, bool), Vec<Visit>)| Question::Names {
            path: path.clone(),
            inside: *inside,
            followed: self.takes_all(path, visits).then_some(self.max_depth),
        };
        let mut questions: Vec<Question> = waiting.iter().map(question).collect();
        let cut: Vec<String> = std::mem::take(&mut self.cut).into_iter().collect();
        let names_of = |output: &String| Question::Names { path: vec![output.clone()], inside: false, followed: None };
        questions.extend(cut.iter().map(names_of));
        let mut answers = asker.ask(&questions)?;
        for (output, answer) in cut.into_iter().zip(answers.split_off(waiting.len())) {
            self.selected.has_all_systems &= self.has_systems(&answer);
            self.learn_systems(output, answer);
        }
        let enters = |visit: &Visit| matches!(visit.rest, [Segment::Levels, ..]);
        let entered: Vec<(AttributePath, &[String])> = waiting
            .iter()
            .zip(&answers)
            .filter_map(|(((path, _), visits), answer)| match answer {
                Answer::Names(names) if visits.iter().any(enters) => {
                    Some((AttributePath::new(path.clone()), names.as_slice()))
                }
                _ => None,
            })
            .collect();
        let met: Vec<_> = entered.iter().map(|(path, names)| (path, *names, true)).collect();
        let same: BTreeMap<AttributePath, Sameness> =
            entered.iter().map(|(path, _)| path.clone()).zip(self.sets.meet(asker, &met)?).collect();
        for (((path, _), visits), answer) in waiting.into_iter().zip(answers) {
            let same = same.get(&AttributePath::new(path.clone())).copied().unwrap_or_default();
            match answer {
                Answer::Names(names) => {
                    let path = AttributePath::new(path);
                    self.sets.note(path.clone(), &names);
                    for visit in visits.iter().filter(|visit| !same.before || !enters(visit)) {
                        if enters(visit) && same.varies && visit.depth > 0 {
                            self.selected.variations.insert(path.clone());
                        } else {
                            self.descend(visit, &names);
                        }
                    }
                }
                Answer::Failed(failure) => drop(self.selected.errors.insert(AttributePath::new(path), failure)),
                Answer::Other { kind, above } => {
                    let is_written = visits.iter().any(|visit| visit.literal);
                    self.selected.no_set(path, &kind, above, is_written);
                }
                Answer::Missing(depth) if visits.iter().any(|visit| visit.literal) && !may_lack(&path) => {
                    self.selected.absent.insert(AttributePath::new(path), depth);
                }
                // A glob that finds nothing selects nothing.
                _ => {}
            }
        }
        Ok(())
    }

    /// True where whatever has a name at a path is evaluated next.
    fn takes_all(&self, path: &[String], visits: &[Visit]) -> bool {
        let is_all = |visit: &Visit| matches!(visit.rest, [segment] if segment.is_any());
        visits.iter().any(is_all) && !self.may_exclude_below(path)
    }

    /// True where an exclusion may be about something below a path.
    fn may_exclude_below(&self, path: &[String]) -> bool {
        let may_exclude = |segments: &Vec<Segment>| {
            segments.contains(&Segment::Levels)
                || segments.iter().zip(path).all(|(segment, name)| segment.matches(name))
        };
        self.exclude.iter().flat_map(Pattern::alternatives).any(may_exclude)
    }

    /// How many levels deep sets are entered below a candidate if they ask for it, as far as that is known beforehand.
    pub fn levels_below(&self, path: &AttributePath, candidate: &Candidate) -> usize {
        // Not all that an output has need be for a system that is wanted.
        if path.names().len() == 1 || self.may_exclude_below(path.names()) {
            return 0;
        }
        let depth = candidate.ways.iter().map(|way| way.depth).min();
        self.max_depth - depth.unwrap_or_default().min(self.max_depth)
    }

    /// Enters sets, each once.
    pub fn enter(&mut self, asker: &Asker, sets: &[Set]) -> Result<()> {
        let met: Vec<_> =
            sets.iter().map(|set| (set.path, set.names.as_slice(), set.candidate.enters_every_set())).collect();
        for (set, same) in sets.iter().zip(self.sets.meet(asker, &met)?) {
            let varies = |way: &Way| way.every && same.varies && !set.marked && way.depth > 0;
            let may = |way: &Way| if way.every { !same.before && !varies(way) } else { set.marked && !same.above };
            if !same.before && set.candidate.ways.iter().any(varies) {
                self.selected.variations.insert(set.path.clone());
            }
            let ways: Vec<Way> = set.candidate.ways.iter().filter(|way| may(way)).copied().collect();
            self.enter_set(set.path, &ways, &set.names);
        }
        Ok(())
    }

    fn enter_set(&mut self, path: &AttributePath, ways: &[Way], names: &[String]) {
        for way in ways {
            if way.depth >= self.max_depth {
                self.selected.too_deep.get_or_insert_with(|| path.clone());
                continue;
            }
            let rest: &[Segment] = if way.every { &[Segment::Levels] } else { &[] };
            let path = path.names().to_vec();
            let (pattern, depth) = (way.pattern, way.depth);
            self.descend_all(
                &Visit { path, rest, pattern, literal: false, named: false, depth },
                names,
                rest,
                depth + 1,
            );
        }
    }

    /// Goes down as far as names are known without asking.
    fn visit(&mut self, mut visit: Visit<'p>) {
        loop {
            if self.count > MAX_ATTRIBUTES {
                return;
            }
            let excluded_by = self.exclude.iter().position(|pattern| pattern.matches(&visit.path));
            if let Some(index) = excluded_by {
                self.selected.used_exclusions.insert(index);
                self.selected.cut_short.insert(visit.pattern);
                self.selected.excluded.insert(AttributePath::new(visit.path));
                return;
            }
            match visit.rest.split_first() {
                None => return self.propose(visit, false),
                Some((Segment::Levels, [])) if !visit.path.is_empty() => return self.propose(visit, true),
                Some((Segment::Literal(name), below)) => {
                    visit.path.push(name.clone());
                    visit.rest = below;
                    visit.named = true;
                }
                Some((Segment::Levels, below)) => {
                    if !below.is_empty() {
                        self.visit(Visit { rest: below, literal: false, ..visit.clone() });
                    }
                    visit.named = false;
                    return self.wait(visit);
                }
                Some((Segment::Glob(_), _)) => return self.wait(visit),
            }
        }
    }

    fn propose(&mut self, visit: Visit<'p>, every: bool) {
        self.count += 1;
        let candidate = self.candidates.entry(AttributePath::new(visit.path)).or_default();
        candidate.literal |= visit.literal;
        let way = Way { pattern: visit.pattern, every, depth: visit.depth };
        if !candidate.ways.contains(&way) {
            candidate.ways.push(way);
        }
    }

    /// Waits for the names at a path, if they are not known.
    fn wait(&mut self, visit: Visit<'p>) {
        match (visit.path.as_slice(), &self.systems) {
            ([output], Some(systems)) if system::is_per_system(output) => {
                let systems = systems.clone();
                self.cut.insert(output.clone());
                self.descend(&visit, &systems);
            }
            _ => self.waiting.entry((visit.path.clone(), visit.named)).or_default().push(visit),
        }
    }

    /// True where an output has no systems but those that a glob stands for.
    fn has_systems(&self, answer: &Answer) -> bool {
        let listed = |name: &String| self.systems.as_ref().is_none_or(|systems| systems.contains(name));
        match answer {
            Answer::Names(names) => names.iter().all(listed),
            Answer::Missing(_) => true,
            _ => false,
        }
    }

    /// Takes note of the systems that an output has.
    fn learn_systems(&mut self, output: String, answer: Answer) {
        match answer {
            Answer::Names(names) => {
                for name in names.iter().filter(|name| !name.contains('-')) {
                    self.selected.no_system(&output, name);
                }
                self.selected.systems.get_or_insert_default().extend(names);
            }
            Answer::Other { kind, above } => self.selected.no_set(vec![output], &kind, above, false),
            Answer::Failed(failure) => drop(self.selected.errors.insert(AttributePath::new(vec![output]), failure)),
            _ => {}
        }
    }

    /// Visits those of the names that the next segment matches.
    fn descend(&mut self, visit: &Visit<'p>, names: &[String]) {
        match visit.rest.split_first() {
            Some((Segment::Levels, _)) if visit.depth >= self.max_depth => {
                self.selected.too_deep.get_or_insert_with(|| AttributePath::new(visit.path.clone()));
            }
            Some((Segment::Levels, _)) => self.descend_all(visit, names, visit.rest, visit.depth + 1),
            Some((segment, below)) => {
                let matching: Vec<String> = names.iter().filter(|name| segment.matches(name)).cloned().collect();
                self.descend_all(visit, &matching, below, visit.depth);
            }
            None => {}
        }
    }

    /// Visits all of the names.
    fn descend_all(&mut self, visit: &Visit<'p>, names: &[String], rest: &'p [Segment], depth: usize) {
        let systems = match visit.path.as_slice() {
            [output] if system::is_per_system(output) => self.systems.clone(),
            _ => None,
        };
        let is_meant = |name: &&String| *name != MARK && systems.as_ref().is_none_or(|systems| systems.contains(name));
        for name in names.iter().filter(is_meant) {
            let mut path = visit.path.clone();
            path.push(name.clone());
            self.visit(Visit { path, rest, pattern: visit.pattern, literal: false, named: false, depth });
        }
    }
}
