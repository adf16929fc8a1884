//! Rules and allowed failures that are for nothing. In: these, and what was planned. Out: a sentence for each whose patterns match nothing there,
//! though they would have if anything of the kind were in the flake: what filters left out may be what a rule is for.

use super::allowed_failure::AllowedFailure;
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

/// Characters of a name that is a slip if it is near another one: short names are near to many.
const SHORTEST_SLIP: usize = 5;

/// Where targets were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// What was selected; none for everything.
    pub select: Option<Vec<Pattern>>,
    /// The systems that globs stood for; none where that is all that there are.
    pub systems: Option<Vec<String>>,
}

/// Systems that nobody has looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// They may have what was not found.
    Counted,
    /// They are as those that were looked at.
    Ignored,
}

impl Scope {
    /// True where every attribute that a pattern could mean was selected. `false` may also mean that this is hard to tell.
    fn has_all(&self, wanted: &[Segment], others: Others) -> bool {
        let covers = |selected: &Vec<Segment>| {
            let pairs = || selected.iter().zip(wanted);
            let covered = selected.len() == wanted.len() && pairs().all(|(selected, wanted)| selected.covers(wanted));
            covered
                && (others == Others::Ignored || pairs().nth(1).is_none_or(|pair| self.has_systems(&wanted[0], pair)))
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

/// A sentence for each rule that is for targets under certain attributes where there are none of these; `names` are what rules are called.
/// `attributes` are those that were selected, whatever became of them: what is below one that was excluded or does not evaluate, nobody knows.
pub fn without_targets<'t>(
    rules: &[Rule],
    names: &[String],
    scope: &Scope,
    attributes: impl Iterator<Item = &'t AttributePath> + Clone,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for (rule, name) in rules.iter().zip(names) {
        let Some(patterns) = &rule.condition.attribute else { continue };
        let alternatives: Vec<&Vec<Segment>> = patterns.iter().flat_map(Pattern::alternatives).collect();
        if alternatives.iter().any(|segments| attributes.clone().any(|a| begins(segments, a))) {
            continue;
        }
        if let Some(hint) = hint(&alternatives, scope, attributes.clone()) {
            sentences.push(format!("{name} applies to no target: {} matches none{hint}", list(patterns)));
        }
    }
    bounded(sentences, "more rules of nixdag.yml apply to nothing")
}

/// A sentence for each entry of `allow_failure` that names attributes where there are none of these; `names` are what those are called that a
/// file has.
pub fn without_failures<'t>(
    allowed: &[AllowedFailure],
    names: &[String],
    scope: &Scope,
    attributes: impl Iterator<Item = &'t AttributePath> + Clone,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for (at, entry) in allowed.iter().enumerate() {
        let AllowedFailure::Attributes(pattern) = entry else { continue };
        let alternatives: Vec<&Vec<Segment>> = pattern.alternatives().iter().collect();
        let is_met = |attribute: &AttributePath| {
            pattern.matches_at_or_above(attribute.names()) || alternatives.iter().any(|all| begins(all, attribute))
        };
        if attributes.clone().any(is_met) {
            continue;
        }
        if let Some(hint) = hint(&alternatives, scope, attributes.clone()) {
            sentences.push(format!(
                "{} allows nothing to fail by {}, which matches no target{hint}",
                names.get(at).map_or("`allow_failure`", String::as_str),
                list(std::slice::from_ref(pattern))
            ));
        }
    }
    bounded(sentences, "more entries of `allow_failure` match nothing")
}

/// What was meant by patterns that match nothing, as the end of a sentence; none where what they match may have been left out. For other
/// systems than those that were looked at, that is so unless the name looks like a slip.
fn hint<'t>(
    alternatives: &[&Vec<Segment>],
    scope: &Scope,
    attributes: impl Iterator<Item = &'t AttributePath> + Clone,
) -> Option<String> {
    let is_looked_for = |systems| {
        let all = |segments: &&Vec<Segment>| !segments.contains(&Segment::Levels) && scope.has_all(segments, systems);
        alternatives.iter().all(all)
    };
    if !is_looked_for(Others::Ignored) {
        return None;
    }
    let last_names = attributes.filter_map(|target| target.names().last()).map(String::as_str);
    let literal = |segments: &&Vec<Segment>| match segments.last()? {
        Segment::Literal(name) => Some(name.clone()),
        Segment::Glob(_) | Segment::Levels => None,
    };
    let name = alternatives.iter().find_map(literal);
    let is_slip = name.as_ref().is_some_and(|name| name.chars().count() >= SHORTEST_SLIP);
    let meant = name.and_then(|name| nearest(&name, last_names).filter(|near| *near != name));
    let hint = meant.map(|name| format!("; did you mean one named `{}`?", printable(name)));
    match hint {
        Some(hint) if is_slip => Some(hint),
        hint => is_looked_for(Others::Counted).then(|| hint.unwrap_or_default()),
    }
}

/// True where the pattern means the attribute, or something below it.
fn begins(segments: &[Segment], attribute: &AttributePath) -> bool {
    let names = attribute.names();
    names.len() <= segments.len() && segments.iter().zip(names).all(|(segment, name)| segment.matches(name))
}

/// A sentence for each rule that is for derivations of certain names where no derivation has such a name; none where that would take
/// long to find out.
pub fn without_names<'n>(
    rules: &[Rule],
    called: &[String],
    names: impl ExactSizeIterator<Item = &'n str> + Clone,
) -> Vec<String> {
    let named = || rules.iter().enumerate().filter_map(|(at, rule)| Some((at, rule.condition.name.as_ref()?)));
    if named().count().saturating_mul(names.len()) > MOST_COMPARISONS {
        return Vec::new();
    }
    let idle = named().filter(|(_, globs)| !names.clone().any(|name| globs.iter().any(|glob| glob.matches_name(name))));
    let sentence = |(at, globs): (usize, &Vec<Pattern>)| {
        format!("{} applies to no derivation: {} matches no name", called[at], list(globs))
    };
    bounded(idle.map(sentence).collect(), "more rules of nixdag.yml apply to nothing")
}

/// The first sentences, and how many there are more.
fn bounded(mut sentences: Vec<String>, what: &str) -> Vec<String> {
    if let more @ 1.. = sentences.len().saturating_sub(MOST_SENTENCES) {
        sentences.truncate(MOST_SENTENCES);
        sentences.push(format!("{more} {what}"));
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
    use crate::plan::evaluation_errors::Refused;
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
        !without_targets(&[rule], &called(1), &scope, attributes.iter()).is_empty()
    }

    fn called(rules: usize) -> Vec<String> {
        (1..=rules).map(|number| format!("rule {number} of nixdag.yml")).collect()
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
    fn a_slip_is_said_whatever_other_systems_have() {
        let (all, there) = (["packages.*.*"], ["packages.x.openssl", "packages.x.curl"]);
        assert!(is_idle(&["packages.*.opensl"], &all, &["x"], &there));
        assert!(!is_idle(&["packages.*.darwin-tools"], &all, &["x"], &there));
    }

    #[test]
    fn an_allowed_failure_that_matches_nothing_is_said() {
        let scope = Scope { select: Some(patterns(&["packages.*.*"])), systems: None };
        let there = [path("packages.x.a"), path("packages.x.set.b")];
        let said = |text: &str| {
            let allowed = AllowedFailure::Attributes(patterns(&[text]).remove(0));
            without_failures(&[allowed], &[], &scope, there.iter()).concat()
        };
        assert_eq!(
            said("packages.x.absent"),
            "`allow_failure` allows nothing to fail by `packages.x.absent`, which matches no target"
        );
        for text in ["packages.x.a", "packages.x.set", "packages.*.*", "packages", "checks.x.c", "packages.x.set.b.c"] {
            assert_eq!(said(text), "", "{text}");
        }
        assert!(without_failures(&[AllowedFailure::Refused(Refused::Unfree)], &[], &scope, there.iter()).is_empty());
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
            without_names(&rules, &called(4), names.into_iter()),
            ["rule 3 of nixdag.yml applies to no derivation: `linx-*`, `y` matches no name"]
        );
        let long = without_names(&[rule(&[&"ü".repeat(9000)])], &called(1), names.into_iter()).concat();
        assert!(long.chars().count() < 200 && long.contains("ü…` matches"), "{long}");
        let said = without_names(&vec![rule(&["x"]); 300], &called(300), names.into_iter());
        assert_eq!((said.len(), said[8].as_str()), (9, "292 more rules of nixdag.yml apply to nothing"));
        let many = vec!["a"; MOST_COMPARISONS / 2];
        assert!(without_names(&rules, &called(4), many.into_iter()).is_empty());
    }
}
