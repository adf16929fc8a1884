//! Rules that are for nothing. In: the rules, and what was planned. Out: a sentence for each rule whose patterns match nothing there,
//! though they would have if anything of the kind were in the flake: what filters left out may be what a rule is for.

use super::rules::Rule;
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::nix::system;
use crate::pattern::{Pattern, Segment};
use crate::printable::printable;

/// Most names that globs are compared with, over all rules: a warning is not worth more.
const MOST_COMPARISONS: usize = 10_000_000;

/// Rules that have a sentence of their own; the rest is only counted.
const MOST_SENTENCES: usize = 8;

/// Longest text of a pattern in a sentence, in characters.
const MAX_PATTERN: usize = 100;

/// Where targets were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// What was selected; none for everything.
    pub select: Option<Vec<Pattern>>,
    /// The systems that globs stood for; none where that is all that there are.
    pub systems: Option<Vec<String>>,
}

impl Scope {
    /// True where every attribute that a pattern could mean was selected. `false` may also mean that this is hard to tell.
    fn has_all(&self, wanted: &[Segment]) -> bool {
        let covers = |selected: &Vec<Segment>| {
            let pairs = || selected.iter().zip(wanted);
            let covered = selected.len() == wanted.len() && pairs().all(|(selected, wanted)| selected.covers(wanted));
            covered && pairs().nth(1).is_none_or(|pair| self.has_systems(&wanted[0], pair))
        };
        let alternatives = |patterns: &Vec<Pattern>| patterns.iter().flat_map(Pattern::alternatives).any(covers);
        self.select.as_ref().is_none_or(alternatives)
    }

    /// The same for the second names, which are systems below some outputs; only those that are written out are always taken.
    fn has_systems(&self, output: &Segment, (selected, wanted): (&Segment, &Segment)) -> bool {
        let Some(systems) = &self.systems else { return true };
        let others = matches!(output, Segment::Literal(name) if !system::is_per_system(name));
        let taken = matches!(wanted, Segment::Literal(name) if systems.contains(name));
        others || taken || matches!(selected, Segment::Literal(_))
    }
}

/// A sentence for each rule that is for targets under certain attributes where there are none of these. `attributes` are those that
/// were selected, whatever became of them: what is below one that was excluded or does not evaluate, nobody knows.
pub fn without_targets<'t>(
    rules: &[Rule],
    scope: &Scope,
    attributes: impl Iterator<Item = &'t AttributePath> + Clone,
) -> Vec<String> {
    let is_idle = |segments: &Vec<Segment>| {
        let is_exact = !segments.contains(&Segment::Levels);
        is_exact && scope.has_all(segments) && !attributes.clone().any(|a| begins(segments, a))
    };
    let mut sentences = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let Some(patterns) = &rule.condition.attribute else { continue };
        if !patterns.iter().flat_map(Pattern::alternatives).all(is_idle) {
            continue;
        }
        let last_names = attributes.clone().filter_map(|target| target.names().last()).map(String::as_str);
        let literal = |pattern: &Pattern| match pattern.alternatives().first()?.last()? {
            Segment::Literal(name) => Some(name.clone()),
            Segment::Glob(_) | Segment::Levels => None,
        };
        let meant =
            patterns.iter().find_map(literal).and_then(|name| nearest(&name, last_names).filter(|near| *near != name));
        let hint = meant.map(|name| format!("; did you mean one named `{}`?", printable(name))).unwrap_or_default();
        sentences.push(format!(
            "rule {} of nixdag.yml applies to no target: {} matches none{hint}",
            at + 1,
            list(patterns)
        ));
    }
    bounded(sentences)
}

/// True where the pattern means the attribute, or something below it.
fn begins(segments: &[Segment], attribute: &AttributePath) -> bool {
    let names = attribute.names();
    names.len() <= segments.len() && segments.iter().zip(names).all(|(segment, name)| segment.matches(name))
}

/// A sentence for each rule that is for derivations of certain names where no derivation has such a name; none where that would take
/// long to find out.
pub fn without_names<'n>(rules: &[Rule], names: impl ExactSizeIterator<Item = &'n str> + Clone) -> Vec<String> {
    let named = || rules.iter().enumerate().filter_map(|(at, rule)| Some((at, rule.condition.name.as_ref()?)));
    if named().count().saturating_mul(names.len()) > MOST_COMPARISONS {
        return Vec::new();
    }
    let idle = named().filter(|(_, globs)| !names.clone().any(|name| globs.iter().any(|glob| glob.matches_name(name))));
    let sentence = |(at, globs): (usize, &Vec<Pattern>)| {
        format!("rule {} of nixdag.yml applies to no derivation: {} matches no name", at + 1, list(globs))
    };
    bounded(idle.map(sentence).collect())
}

/// The first sentences, and how many there are more.
fn bounded(mut sentences: Vec<String>) -> Vec<String> {
    if let more @ 1.. = sentences.len().saturating_sub(MOST_SENTENCES) {
        sentences.truncate(MOST_SENTENCES);
        sentences.push(format!("{more} more rules of nixdag.yml apply to nothing"));
    }
    sentences
}

fn list(patterns: &[Pattern]) -> String {
    let shown = |pattern: &Pattern| {
        let text = printable(&pattern.to_string());
        match text.char_indices().nth(MAX_PATTERN) {
            Some((end, _)) => format!("`{}…`", &text[..end]),
            None => format!("`{text}`"),
        }
    };
    patterns.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::rules::Condition;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap().meant()).collect()
    }

    fn path(text: &str) -> AttributePath {
        text.split('.').collect()
    }

    /// Whether a rule with these patterns is idle beside these attributes.
    fn is_idle(rule: &[&str], select: &[&str], systems: &[&str], attributes: &[&str]) -> bool {
        let rule = Rule {
            condition: Condition { attribute: Some(patterns(rule)), ..Condition::default() },
            ..Rule::default()
        };
        let scope = Scope {
            select: (!select.is_empty()).then(|| patterns(select)),
            systems: (!systems.is_empty()).then(|| systems.iter().map(|&system| system.to_owned()).collect()),
        };
        let attributes: Vec<AttributePath> = attributes.iter().map(|text| path(text)).collect();
        !without_targets(&[rule], &scope, attributes.iter()).is_empty()
    }

    #[test]
    fn a_rule_is_idle_where_all_that_it_could_mean_was_looked_for() {
        let all = ["packages.*.*", "checks.*.*", "nixosConfigurations.*"];
        let there = ["packages.x.a", "checks.x.b"];
        assert!(is_idle(&["packages.*.c"], &[], &[], &there));
        assert!(!is_idle(&["packages.*.a"], &[], &[], &there));
        for rule in ["packages.*.c", "packages.x.c*", "checks.y.{a,c}", "nixosConfigurations.web"] {
            assert!(is_idle(&[rule], &all, &[], &there), "{rule}");
        }
        for rule in ["devShells.*.c", "*.*.c", "packages.x.c.d", "checks.x.{b,c}"] {
            assert!(!is_idle(&[rule], &all, &[], &there), "{rule}: not selected, or hard to tell, or there");
        }
        assert!(is_idle(&["packages.*.c", "packages.*.d"], &all, &[], &there));
        assert!(!is_idle(&["packages.*.c", "packages.*.a"], &all, &[], &there));
        assert!(!is_idle(&["packages.*.c", "devShells.*.d"], &all, &[], &there));
        assert!(!is_idle(&["packages.*.c"], &["packages.*.a"], &[], &there));
        assert!(!is_idle(&["packages.*.[c]"], &["packages.*.c*"], &[], &there), "two globs are not compared");
    }

    #[test]
    fn other_systems_may_have_it() {
        let all = ["packages.*.*", "hydraJobs.*.*", "packages.z.c"];
        let there = ["packages.x.a"];
        let of = |rule: &str| is_idle(&[rule], &all, &["x"], &there);
        assert!(of("packages.x.c") && of("hydraJobs.*.c") && of("packages.z.c"));
        assert!(!of("packages.*.c") && !of("packages.y.c") && !of("*.*.c"));
    }

    #[test]
    fn what_lies_below_an_exclusion_or_an_error_is_not_known() {
        assert!(!is_idle(&["packages.*.c"], &[], &[], &["packages.x.a", "packages.y"]));
        assert!(is_idle(&["packages.x.c"], &[], &[], &["packages.x.a", "packages.y"]));
    }

    #[test]
    fn a_rule_for_names_is_idle_where_no_derivation_has_one() {
        let rule = |globs: &[&str]| {
            let name = Some(globs.iter().map(|text| Pattern::name(text).unwrap()).collect());
            Rule { condition: Condition { name, ..Condition::default() }, ..Rule::default() }
        };
        let rules = [rule(&["linux-*"]), rule(&["hell?-1.0", "x"]), rule(&["linx-*", "y"]), Rule::default()];
        let names = ["linux-6.1", "hello-1.0"];
        assert_eq!(
            without_names(&rules, names.into_iter()),
            ["rule 3 of nixdag.yml applies to no derivation: `linx-*`, `y` matches no name"]
        );
        let long = without_names(&[rule(&[&"ü".repeat(9000)])], names.into_iter()).concat();
        assert!(long.chars().count() < 200 && long.contains("ü…` matches"), "{long}");
        let said = without_names(&vec![rule(&["x"]); 300], names.into_iter());
        assert_eq!((said.len(), said[8].as_str()), (9, "292 more rules of nixdag.yml apply to nothing"));
        let many = vec!["a"; MOST_COMPARISONS / 2];
        assert!(without_names(&rules, many.into_iter()).is_empty());
    }
}
