//! Short names: which attributes `hello` or `packages.hello` mean, as `nix build` would find them.
//!
//! In: patterns. Out: the same with whole paths, for each system that is taken, and what there is to be said about it. A name that is no
//! output is looked for in the outputs that packages are in, then among configurations of machines. It costs three questions for names
//! where some pattern may be short, else none.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::asker::Asker;
use super::found::{listed, quoted};
use super::message::EvaluationFailure;
use super::query::{Answer, Question};
use super::systems::Systems;
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::nix::system;
use crate::pattern::short::{self, SEARCHED};
use crate::pattern::{Pattern, Segment};

/// Patterns without short names.
#[derive(Default)]
pub struct Resolved {
    pub patterns: Vec<Pattern>,
    /// Sentences about names that may mean something else.
    pub notes: Vec<String>,
    /// Names that mean nothing, each with the index of its pattern.
    pub absent: BTreeMap<AttributePath, (usize, EvaluationFailure)>,
}

/// Finds what short names mean.
pub fn resolve(asker: &Asker, patterns: &[Pattern], systems: &Systems) -> Result<Resolved> {
    let mut resolved = Resolved { patterns: patterns.to_vec(), ..Resolved::default() };
    if !patterns.iter().flat_map(Pattern::alternatives).any(|segments| short::may_be_short(segments)) {
        return Ok(resolved);
    }
    // Whatever is wrong with the outputs is found and told later.
    let Some(names) = Names::ask(asker, systems)? else { return Ok(resolved) };
    for (index, pattern) in patterns.iter().enumerate() {
        let mut alternatives = Vec::new();
        for segments in pattern.alternatives() {
            if names.is_whole(segments) {
                alternatives.push(segments.clone());
                continue;
            }
            let found = names.find(asker, segments)?;
            resolved.notes.extend(found.note);
            alternatives.extend(found.paths);
            if let Some((attribute, message)) = found.absent {
                resolved.absent.insert(attribute, (index, message.into()));
            }
        }
        resolved.patterns[index] = pattern.with_alternatives(alternatives);
    }
    Ok(resolved)
}

/// What the flake has, as far as its outputs and their systems.
struct Names {
    outputs: Vec<String>,
    /// The systems of outputs, in the order in which names are looked for.
    of: Vec<(String, Vec<String>)>,
    /// The systems that are taken; none for all.
    systems: Option<Vec<String>>,
}

/// What one name means.
#[derive(Default)]
struct Meaning {
    paths: Vec<Vec<Segment>>,
    note: Option<String>,
    absent: Option<(AttributePath, String)>,
}

/// Where a name may be.
struct NamedSet {
    output: String,
    system: String,
    segments: Vec<Segment>,
}

impl Names {
    fn ask(asker: &Asker, systems: &Systems) -> Result<Option<Self>> {
        let names_at = |path: &[&str]| Question::Names {
            path: path.iter().map(ToString::to_string).collect(),
            inside: true,
            followed: None,
        };
        let Some(Answer::Names(outputs)) = asker.ask(&[names_at(&[])])?.pop() else { return Ok(None) };
        let has = |output: &str| outputs.iter().any(|name| name == output);
        let others = outputs.iter().map(String::as_str);
        let others = others.filter(|output| system::is_per_system(output) && !SEARCHED.contains(output));
        let per_system: Vec<&str> = SEARCHED.into_iter().filter(|output| has(output)).chain(others).collect();
        let answers = asker.ask(&per_system.iter().map(|output| names_at(&[output])).collect::<Vec<_>>())?;
        let of = per_system.iter().zip(answers).map(|(output, answer)| {
            ((*output).to_owned(), if let Answer::Names(names) = answer { names } else { Vec::new() })
        });
        let of = of.collect();
        Ok(Some(Self { outputs, of, systems: systems.listed() }))
    }

    /// True for what begins with an output, and then with what that has.
    fn is_whole(&self, segments: &[Segment]) -> bool {
        if !short::may_be_short(segments) {
            return true;
        }
        let Some(first) = segments.first() else { return true };
        if !self.outputs.iter().any(|output| first.matches(output)) {
            return false;
        }
        let (Segment::Literal(output), Some(second @ Segment::Literal(_))) = (first, segments.get(1)) else {
            return true;
        };
        let known = self.of.iter().find(|(name, _)| name == output);
        known.is_none_or(|(_, systems)| systems.iter().any(|name| second.matches(name)))
    }

    fn find(&self, asker: &Asker, segments: &[Segment]) -> Result<Meaning> {
        let is_taken = |system: &String| self.systems.as_ref().is_none_or(|systems| systems.contains(system));
        let (places, elsewhere): (Vec<NamedSet>, Vec<NamedSet>) =
            self.places(segments).into_iter().partition(|place| is_taken(&place.system));
        let (there, names) = look(asker, places)?;
        let mut meaning = Meaning::default();
        let systems: BTreeSet<&str> = there.iter().map(|place| place.system.as_str()).collect();
        for system in systems {
            let mut here = there.iter().filter(|place| place.system == system);
            let Some(first) = here.next() else { continue };
            meaning.paths.push(first.segments.clone());
            // A package is in both package sets, and a shell has the name of what it is for.
            let is_other = |place: &&NamedSet| place.output == "checks";
            let others: Vec<String> = here.filter(is_other).map(|place| written(&place.segments)).collect();
            if !others.is_empty() {
                meaning.note = Some(format!(
                    "`{}` means `{}`, as for `nix build`, not {} (to take another, write it out)",
                    written(segments),
                    written(&first.segments),
                    others.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>().join(", ")
                ));
            }
        }
        if meaning.paths.is_empty() {
            self.find_configuration(asker, segments, &mut meaning)?;
        }
        if !meaning.paths.is_empty() {
            return Ok(meaning);
        }
        let Some(literal) = literal(segments) else {
            // A glob that finds nothing selects nothing.
            meaning.paths.push(segments.to_vec());
            return Ok(meaning);
        };
        let near_output = nearest(&literal[0], self.outputs.iter().map(String::as_str));
        if literal.len() > 1 && near_output.is_some_and(|near| near != literal[0]) {
            // It is a whole path with a slip in its first name.
            meaning.paths.push(segments.to_vec());
            return Ok(meaning);
        }
        let (elsewhere, _) = look(asker, elsewhere)?;
        meaning.absent = Some((AttributePath::new(literal.clone()), self.absent(&literal, &elsewhere, &names)));
        Ok(meaning)
    }

    /// Where a name may be, in the order in which it is looked for.
    fn places(&self, segments: &[Segment]) -> Vec<NamedSet> {
        let output_of =
            |segment: &Segment| self.of.iter().find(|(output, _)| *segment == Segment::Literal(output.clone()));
        let (outputs, below): (Vec<&(String, Vec<String>)>, &[Segment]) = match segments.first().and_then(output_of) {
            Some(output) => (vec![output], &segments[1..]),
            None => (self.of.iter().filter(|(output, _)| SEARCHED.contains(&output.as_str())).collect(), segments),
        };
        let place = |output: &String, system: &String| NamedSet {
            output: output.clone(),
            system: system.clone(),
            segments: [output, system]
                .into_iter()
                .cloned()
                .map(Segment::Literal)
                .chain(below.iter().cloned())
                .collect(),
        };
        outputs.iter().flat_map(|(output, systems)| systems.iter().map(move |system| place(output, system))).collect()
    }

    /// A configuration of that name.
    fn find_configuration(&self, asker: &Asker, segments: &[Segment], meaning: &mut Meaning) -> Result<()> {
        let [name] = segments else { return Ok(()) };
        let is_there = |output: &str| self.outputs.iter().any(|name| name == output);
        let places = short::CONFIGURATIONS.iter().filter(|(output, _)| is_there(output)).map(|(output, _)| NamedSet {
            output: (*output).to_owned(),
            system: String::new(),
            segments: vec![Segment::Literal((*output).to_owned()), name.clone()],
        });
        let (there, _) = look(asker, places.collect())?;
        meaning.paths.extend(there.iter().flat_map(|place| short::completed(&place.segments)));
        Ok(())
    }

    /// Says where a name was looked for.
    fn absent(&self, name: &[String], elsewhere: &[NamedSet], near: &[AttributePath]) -> String {
        let systems: BTreeSet<String> = elsewhere.iter().map(|place| place.system.clone()).collect();
        let last = name.last().map(String::as_str).unwrap_or_default();
        let nearest = nearest(last, near.iter().filter_map(|path| path.names().last()).map(String::as_str));
        let nearest = near.iter().find(|path| path.names().last().map(String::as_str) == nearest);
        let hint = if !systems.is_empty() {
            let systems: Vec<String> = systems.into_iter().collect();
            format!("it is there for {}: choose systems with `--system` or `--all-systems`", listed(&systems))
        } else if let Some(path) = nearest {
            format!("did you mean `{}`?", quoted(path.names()))
        } else if near.is_empty() {
            format!("the flake has {}", listed(&self.outputs))
        } else {
            let names: BTreeSet<&String> = near.iter().filter_map(|path| path.names().last()).collect();
            format!("there is {}", listed(&names.into_iter().cloned().collect::<Vec<_>>()))
        };
        let searched = self.of.iter().map(|(output, _)| output.clone());
        let searched: Vec<String> = match self.of.iter().find(|(output, _)| *output == name[0]) {
            Some((output, _)) => vec![output.clone()],
            None => searched.filter(|output| SEARCHED.contains(&output.as_str())).collect(),
        };
        let systems = self.systems.as_ref().map(|systems| format!(" for {}", listed(systems))).unwrap_or_default();
        let is_output = self.outputs.contains(&name[0]);
        if searched.is_empty() {
            format!("the flake has no output `{}` and no packages ({hint})", quoted(&name[..1]))
        } else if name.len() > 1 && !is_output {
            let (output, searched) = (quoted(&name[..1]), listed(&searched));
            format!("the flake has no output `{output}`, and there is none in {searched}{systems} ({hint})")
        } else {
            format!("there is none in {}{systems} ({hint})", listed(&searched))
        }
    }
}

/// Those of the places where there is something, and what there is beside it.
fn look(asker: &Asker, places: Vec<NamedSet>) -> Result<(Vec<NamedSet>, Vec<AttributePath>)> {
    let prefix = |place: &NamedSet| -> Vec<String> {
        let names = place.segments[..place.segments.len() - 1].iter().map_while(|segment| match segment {
            Segment::Literal(name) => Some(name.clone()),
            Segment::Glob(_) | Segment::Levels => None,
        });
        names.collect()
    };
    let prefixes: Vec<Vec<String>> = places.iter().map(prefix).collect();
    let questions: Vec<Question> =
        prefixes.iter().map(|path| Question::Names { path: path.clone(), inside: true, followed: None }).collect();
    let (mut there, mut beside) = (Vec::new(), Vec::new());
    for ((place, prefix), answer) in places.into_iter().zip(prefixes).zip(asker.ask(&questions)?) {
        let Answer::Names(names) = answer else { continue };
        let next = &place.segments[prefix.len()];
        let is_there = *next == Segment::Levels || names.iter().any(|name| next.matches(name));
        beside.extend(names.into_iter().map(|name| prefix.iter().cloned().chain([name]).collect()));
        if is_there {
            there.push(place);
        }
    }
    Ok((there, beside))
}

/// The names of what has no globs.
fn literal(segments: &[Segment]) -> Option<Vec<String>> {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(name) => Some(name.clone()),
            Segment::Glob(_) | Segment::Levels => None,
        })
        .collect()
}

/// Segments as messages have them.
fn written(segments: &[Segment]) -> String {
    match literal(segments) {
        Some(names) => quoted(&names),
        None => "the pattern".to_owned(),
    }
}
