//! Sets that are entered, each once as far as that can be known.
//!
//! In: sets with their attributes' names. Out: which of them are others again. Package sets hold themselves (`pkgs.pkgs`). Nix says that
//! two sets are equal at once where they are one and the same. Others it compares to the bottom, which may fail or have no end: then they
//! count as different, and how deep sets are entered is the limit. A package set holds many variations of itself, too (`pkgsCross.*`), each
//! of which holds all of them again: it is known by its names, and nothing of it is evaluated.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::Result;

use super::asker::Asker;
use super::query::{Answer, MARK, Question};
use crate::attribute::AttributePath;

/// With so many sets that have the same names a set is compared.
const MAX_COMPARED: usize = 8;

/// What a set is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sameness {
    /// A set that it is in.
    pub above: bool,
    /// Any set that was met before.
    pub before: bool,
    /// A variation of a set that it is in, or that set: it has its names.
    pub varies: bool,
}

/// Sets with fewer names may have those of a set around them by chance.
const MIN_VARIED: usize = 64;

/// After so many comparisons in a row that find a difference no more are asked for, as each may take long: with sets beside it, and with
/// sets in which it is.
const MAX_MISSES: [usize; 2] = [64, 256];

/// Comparisons that are asked for at the same time: so many at first, twice as many each time after that.
const BATCH: usize = 16;

/// Most of them.
const MAX_BATCH: usize = 1024;

/// The sets that were met.
#[derive(Default)]
pub struct Sets {
    /// By their names.
    groups: HashMap<u64, SameNames>,
    /// The digests of the names of large ones, in order.
    large: HashMap<AttributePath, Vec<u64>>,
    /// A comparison had no answer: no more are asked for.
    gave_up: bool,
    /// Comparisons of either kind since the last one that found no difference.
    misses: [usize; 2],
}

/// Sets with the same names.
#[derive(Default)]
struct SameNames {
    first: Vec<AttributePath>,
    all: HashSet<AttributePath>,
}

impl Sets {
    /// Counts a set as met that nothing is asked about.
    pub fn note(&mut self, path: AttributePath, names: &[String]) {
        self.note_large(&path, names);
        self.groups.entry(hash(names)).or_default().all.insert(path);
    }

    fn note_large(&mut self, path: &AttributePath, names: &[String]) {
        if names.len() >= MIN_VARIED && !self.large.contains_key(path) {
            self.large.insert(path.clone(), digests(names));
        }
    }

    /// True for a set that has nine of ten names of a large one in which it is.
    fn varies(&self, path: &AttributePath, names: &[String]) -> bool {
        let above = (0..path.names().len()).filter_map(|depth| {
            let above = self.large.get(&AttributePath::new(path.names()[..depth].to_vec()))?;
            (names.len() >= above.len() / 10 * 9).then_some(above)
        });
        let mut own = None;
        above.into_iter().any(|above| {
            let own = own.get_or_insert_with(|| digests(names));
            let lacks = above.iter().filter(|name| own.binary_search(name).is_err()).count();
            lacks <= above.len() / 10
        })
    }

    /// What each of these sets (path, names, whether any set is entered) is; they count as met from then on. One is compared with sets of the
    /// same names in which it is, and with the first others if any set is entered.
    pub fn meet(&mut self, asker: &Asker, sets: &[(&AttributePath, &[String], bool)]) -> Result<Vec<Sameness>> {
        // Those in which a set is first: some of the others may be the end of the process.
        let (mut above_questions, mut before_questions) = (Vec::new(), Vec::new());
        let mut found = vec![Sameness::default(); sets.len()];
        for (path, names, _) in sets {
            self.note_large(path, names);
        }
        // Sets without names lead nowhere.
        for (at, (path, names, every)) in sets.iter().enumerate().filter(|(_, (_, names, _))| !names.is_empty()) {
            found[at].varies = *every && self.varies(path, names);
            let group = self.groups.entry(hash(names)).or_default();
            let mut others = BTreeSet::new();
            for depth in 0..path.names().len() {
                others.extend(group.all.get(&AttributePath::new(path.names()[..depth].to_vec())));
            }
            let above = others.clone();
            let is_compared = *every && !found[at].varies;
            others.extend(group.first.iter().filter(|other| is_compared && *other != *path));
            for other in others {
                let question = Question::Same { path: path.names().to_vec(), other: other.names().to_vec() };
                if above.contains(other) { &mut above_questions } else { &mut before_questions }.push((at, question));
            }
            group.all.insert((*path).clone());
            if group.first.len() < MAX_COMPARED && !group.first.contains(path) {
                group.first.push((*path).clone());
            }
        }
        for (asked, is_above) in [(above_questions, true), (before_questions, false)] {
            let (mut rest, mut size) = (asked.as_slice(), BATCH);
            let kind = usize::from(is_above);
            while !rest.is_empty() && !self.gave_up && self.misses[kind] < MAX_MISSES[kind] {
                let (batch, behind) = rest.split_at(size.min(rest.len()));
                (rest, size) = (behind, (size * 2).min(MAX_BATCH));
                let questions: Vec<Question> = batch.iter().map(|(_, question)| question.clone()).collect();
                for ((at, _), answer) in batch.iter().zip(asker.try_ask(&questions)?) {
                    self.gave_up |= !matches!(answer, Some(Answer::Same(_)));
                    if answer == Some(Answer::Same(true)) {
                        found[*at].before = true;
                        found[*at].above |= is_above;
                        self.misses[kind] = 0;
                    } else {
                        self.misses[kind] += 1;
                    }
                }
            }
        }
        Ok(found)
    }
}

/// A digest of names. That with which a set asks to be entered tells no sets apart.
fn hash(names: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.iter().filter(|name| *name != MARK).for_each(|name| name.hash(&mut hasher));
    hasher.finish()
}

/// Digests of names, in order.
fn digests(names: &[String]) -> Vec<u64> {
    let mut digests: Vec<u64> = names.iter().map(|name| hash(std::slice::from_ref(name))).collect();
    digests.sort_unstable();
    digests
}
