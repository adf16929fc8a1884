//! Evaluates a flake: which of its attributes are derivations, and which derivations they are.
//!
//! In: a flake reference, patterns of attributes, systems. Out: an [`Evaluation`], a plain sorted value. It takes one `nix` process
//! for the flake itself, one for each level of globs below the system, and one for every thousand attributes. Only selected
//! attributes are forced; one that does not evaluate is an entry in `errors` and hides no other.

mod flake;
mod message;
mod outputs;
mod query;
mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use anyhow::{Result, bail};

use self::flake::Flake;
use self::outputs::Outputs;
use self::query::{Answer, Asker, Question};
use self::selection::Selected;
use super::command::Nix;
use super::{store_path, system};
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::pattern::{Pattern, Segment};

pub use self::flake::FlakeInfo;
pub use self::message::printable;

/// What is built when nobody says what.
pub const DEFAULT_PATTERNS: [&str; 2] = ["packages.*.*", "checks.*.*"];

/// Outputs that hold nothing but derivations, so that anything else in them is a mistake.
const DERIVATION_OUTPUTS: [&str; 3] = ["packages", "checks", "devShells"];

/// How many names a message lists.
const MAX_LISTED: usize = 12;

/// The systems that a globbed system name in `packages.*.*` and its like stands for. A system that is written out is always taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Systems {
    /// That of this machine.
    #[default]
    Current,
    Listed(Vec<String>),
    /// Every system that the flake has.
    All,
}

/// What to evaluate, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Any flake reference, without an attribute: `.`, a path, `git+file:…`, `github:owner/repo`, a registry name.
    pub flake: String,
    /// Which attributes; none for [`DEFAULT_PATTERNS`].
    pub select: Vec<Pattern>,
    /// Which of these not, nor anything below them.
    pub exclude: Vec<Pattern>,
    pub systems: Systems,
    /// Inputs to replace, as `(input, flake reference)`; a path is relative to the working directory.
    pub override_inputs: Vec<(String, String)>,
    /// Whether evaluation may build.
    pub allow_import_from_derivation: bool,
    /// How many `nix` processes may run at the same time; 0 for one a processor, at most 4.
    pub workers: usize,
}

/// A flake, evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    pub flake: FlakeInfo,
    /// By attribute.
    pub targets: Vec<Target>,
    /// The attributes that an exclusion matched, in order; not evaluated.
    pub excluded: Vec<AttributePath>,
    /// By attribute.
    pub errors: Vec<EvalError>,
    /// Sentences for people, about what may not be as they think.
    pub warnings: Vec<String>,
}

/// An attribute that is a derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub attribute: AttributePath,
    /// The store path of its `.drv` file.
    pub drv_path: String,
}

/// A selected attribute that does not evaluate to a derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvalError {
    pub attribute: AttributePath,
    /// Nix's own words where it is Nix that failed; one line, safe to print.
    pub message: String,
}

/// Evaluates the selected attributes. Fails if the flake as a whole does not evaluate or the patterns select nothing.
pub fn evaluate(nix: &Nix, request: &Request) -> Result<Evaluation> {
    let flake = Flake::resolve(nix, &request.flake, &request.override_inputs)?;
    let outputs = Outputs::new(nix, &flake, &request.override_inputs, request.allow_import_from_derivation)?;
    let shown = printable(&request.flake);
    let workers = match request.workers {
        0 => thread::available_parallelism().map_or(2, |count| count.get().min(4)),
        given => given,
    };
    let asker = Asker::new(nix, &outputs, &shown, workers);
    let defaults: Vec<Pattern> = DEFAULT_PATTERNS.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
    let patterns = if request.select.is_empty() { &defaults } else { &request.select };

    let selected = selection::select(&asker, patterns, &request.exclude, &request.systems)?;
    let mut found = Found::default();
    found.evaluate(&asker, &selected)?;
    if found.targets.is_empty() {
        check_not_empty(&asker, request, patterns, &selected, &found, &shown)?;
    }
    let mut warnings = Vec::new();
    if flake.lock_is_incomplete {
        warnings.push(format!(
            "the `flake.lock` of `{shown}` does not cover all inputs, so another run may see others (run `nix flake lock` and commit the file)"
        ));
    }
    if !request.select.is_empty() {
        let idle = patterns.iter().enumerate().filter(|(index, _)| !found.fruitful.contains(index));
        warnings
            .extend(idle.map(|(_, pattern)| format!("pattern `{}` selects nothing", printable(&pattern.to_string()))));
    }
    Ok(Evaluation {
        flake: flake.info,
        targets: found.targets,
        excluded: selected.excluded.into_iter().collect(),
        errors: found.errors.into_iter().map(|(attribute, message)| EvalError { attribute, message }).collect(),
        warnings,
    })
}

/// What the candidates turned out to be.
#[derive(Default)]
struct Found {
    targets: Vec<Target>,
    errors: BTreeMap<AttributePath, String>,
    /// The patterns, by index, that led to a target or an error.
    fruitful: BTreeSet<usize>,
}

impl Found {
    fn evaluate(&mut self, asker: &Asker, selected: &Selected) -> Result<()> {
        self.errors.extend(selected.errors.clone());
        let questions: Vec<Question> = selected
            .candidates
            .keys()
            .map(|attribute| Question::Derivation { path: attribute.names().to_vec() })
            .collect();
        let mut missing = Vec::new();
        for ((attribute, candidate), answer) in selected.candidates.iter().zip(asker.ask(&questions)?) {
            let wrong = match answer {
                Answer::Derivation(drv_path) => match store_path::split(&drv_path) {
                    Ok((_, base)) if base.ends_with(".drv") => {
                        self.targets.push(Target { attribute: attribute.clone(), drv_path });
                        None
                    }
                    _ => Some(format!("its `drvPath` is `{}`, no path of a derivation", printable(&drv_path))),
                },
                Answer::Failed(message) => Some(message),
                Answer::Missing(depth) if candidate.literal => {
                    missing.push((attribute, depth));
                    continue;
                }
                Answer::Other { kind, above: true } if candidate.literal => {
                    Some(format!("there is no such attribute: an attribute above it is {}", with_article(&kind)))
                }
                Answer::Other { kind, above: false } if candidate.literal || holds_derivations(attribute) => {
                    Some(format!("it is {}, not a derivation", with_article(&kind)))
                }
                // Only a glob led here.
                Answer::Missing(_) | Answer::Other { .. } | Answer::Names(_) => continue,
            };
            self.fruitful.extend(&candidate.patterns);
            if let Some(message) = wrong {
                self.errors.insert(attribute.clone(), message);
            }
        }
        let questions: Vec<Question> = missing
            .iter()
            .map(|(attribute, depth)| Question::Names { path: attribute.names()[..*depth].to_vec(), inside: true })
            .collect();
        for ((attribute, depth), answer) in missing.into_iter().zip(asker.ask(&questions)?) {
            let names = if let Answer::Names(names) = answer { names } else { Vec::new() };
            self.errors.insert(attribute.clone(), no_such_attribute(attribute, depth, &names));
            self.fruitful.extend(&selected.candidates[attribute].patterns);
        }
        Ok(())
    }
}

/// True for `packages.SYSTEM.NAME` and its like, where nothing but a derivation belongs.
fn holds_derivations(attribute: &AttributePath) -> bool {
    matches!(attribute.names(), [output, _, _] if DERIVATION_OUTPUTS.contains(&output.as_str()))
}

fn with_article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "lambda" => "a function".to_owned(),
        "bool" => "a boolean".to_owned(),
        "int" => "an integer".to_owned(),
        other => format!("a {}", printable(other)),
    }
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

fn quoted(names: &[String]) -> String {
    printable(&AttributePath(names.to_vec()).to_string())
}

/// `` `a`, `b` and 3 more ``.
fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", quoted(std::slice::from_ref(name)))).collect();
    if names.len() > MAX_LISTED {
        let last = shown.pop().unwrap_or_default();
        return format!("{}, {last} and {} more", shown.join(", "), names.len() - MAX_LISTED);
    }
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

/// Nothing to build is an error, unless everything was excluded or failed.
fn check_not_empty(
    asker: &Asker,
    request: &Request,
    patterns: &[Pattern],
    selected: &Selected,
    found: &Found,
    flake: &str,
) -> Result<()> {
    let mut messages = found.errors.values();
    if let Some(first) = messages.next() {
        if message::is_fetch_failure(first) && messages.all(|message| message == first) {
            return Err(flake::cannot_fetch(flake, first));
        }
        return Ok(());
    }
    if !selected.excluded.is_empty() {
        return Ok(());
    }
    let wanted: Vec<String> = patterns.iter().map(|pattern| format!("`{}`", printable(&pattern.to_string()))).collect();
    let systems = match &request.systems {
        Systems::Current => format!(" for `{}`", system::current()),
        Systems::Listed(systems) => format!(" for {}", listed(systems)),
        Systems::All => String::new(),
    };
    bail!(
        "nothing to build in flake `{flake}`: no derivation matches {}{systems}; {} (choose attributes with `--select`, systems \
         with `--system` or `--all-systems`)",
        wanted.join(", "),
        what_there_is(asker, patterns)?
    )
}

/// The outputs of the flake, and the systems of those that the patterns look into.
fn what_there_is(asker: &Asker, patterns: &[Pattern]) -> Result<String> {
    let names_at = |paths: &[Vec<String>]| -> Result<Vec<Vec<String>>> {
        let questions: Vec<_> = paths.iter().map(|path| Question::Names { path: path.clone(), inside: true }).collect();
        let answers = asker.ask(&questions)?.into_iter();
        Ok(answers.map(|answer| if let Answer::Names(names) = answer { names } else { Vec::new() }).collect())
    };
    let outputs = names_at(&[Vec::new()])?.concat();
    let mut sentence = format!("the flake has {}", listed(&outputs));
    let looked_into = |output: &String| {
        let mut firsts =
            patterns.iter().flat_map(Pattern::alternatives).filter_map(|segments: &Vec<Segment>| segments.first());
        system::is_per_system(output) && firsts.any(|segment| segment.matches(output))
    };
    let paths: Vec<_> = outputs.into_iter().filter(looked_into).map(|output| vec![output]).collect();
    for (path, systems) in paths.iter().zip(names_at(&paths)?) {
        sentence.push_str(&format!(", `{}` has {}", quoted(path), listed(&systems)));
    }
    Ok(sentence)
}
