//! What a walk along the patterns finds beside attributes to evaluate: what is left out, and what is not as it should be.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{has_sets_of_derivations, with_article};
use super::message::EvaluationFailure;
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::nix::system;
use crate::plural::counted;
use crate::printable::printable;

/// What the walk found beside attributes to evaluate.
#[derive(Debug, Default)]
pub struct Selected {
    /// The paths that an exclusion matched, not looked at.
    pub excluded: BTreeSet<AttributePath>,
    /// The exclusions, by index, that matched something.
    pub used_exclusions: BTreeSet<usize>,
    /// Sets on the way whose names do not evaluate.
    pub errors: BTreeMap<AttributePath, EvaluationFailure>,
    /// Globs stood for all systems that there are, as far as that was found out without asking for nothing else.
    pub has_all_systems: bool,
    /// A set that was not entered as it is too deep, the first of them.
    pub too_deep: Option<AttributePath>,
    /// Sets that `**` does not enter as they are a set around them once more, or a variation of it.
    pub variations: BTreeSet<AttributePath>,
    /// What patterns write out in full in front of a glob and that is not there, each with the index of the name that is missing.
    pub absent: BTreeMap<AttributePath, usize>,
    /// The patterns, by index, for which an exclusion left something out: what they lead to is not known.
    pub cut_short: BTreeSet<usize>,
    /// The systems of the outputs in which a glob stood for listed ones; none where there is no such glob.
    pub systems: Option<BTreeSet<String>>,
    /// What is in the place of a system, but not named like one: nobody builds what is below.
    pub no_systems: Vec<AttributePath>,
}

impl Selected {
    /// Takes note of a name in the place of a system that is none: what is below it is never looked at.
    pub fn no_system(&mut self, output: &str, name: &str) {
        let path = AttributePath::new(vec![output.to_owned(), name.to_owned()]);
        match nearest(name, system::USUAL) {
            Some(near) => drop(self.errors.insert(path, format!("it is not a system (did you mean `{near}`?)").into())),
            None => self.no_systems.push(path),
        }
    }

    /// Takes note of a value in the place of a set: a mistake where somebody wrote its path, or where sets of derivations belong.
    pub fn no_set(&mut self, path: Vec<String>, kind: &str, above: bool, is_written: bool) {
        let is_output = path.first().is_some_and(|output| has_sets_of_derivations(output));
        let is_mistake = is_written || is_output && path.len() <= 2;
        if !is_mistake {
            return;
        }
        // Of two names the output is above the system.
        let path = if above && path.len() == 2 { vec![path[0].clone()] } else { path };
        let place = if above && path.len() > 2 { "an attribute above it" } else { "it" };
        let message = format!("{place} is {}, not a set of attributes", with_article(kind));
        self.errors.insert(AttributePath::new(path), message.into());
    }

    /// What is to be said about sets that were not entered; `depth` is how deep they may be.
    pub fn not_entered(&self, depth: usize) -> impl Iterator<Item = String> {
        let shown = |path: &AttributePath| printable(&path.to_string());
        let too_deep = self.too_deep.as_ref().map(|path| {
            format!(
                "sets more than {depth} levels below a pattern are not entered, `{}` and maybe others (enter more with `--eval-depth`)",
                shown(path)
            )
        });
        let variations = self.variations.first().map(|path| {
            let path = shown(path);
            let (others, are) = match self.variations.len() - 1 {
                0 => (String::new(), "is"),
                more => (format!(" and {}", counted(more, "other set")), "are"),
            };
            format!(
                "`{path}`{others} {are} not entered by `**`: each has the names of a set around it, so it is that set once more, or a \
                 variation of it (take one by a pattern of its own, `{path}.**`)"
            )
        });
        too_deep.into_iter().chain(variations)
    }
}
