//! Evaluates a flake: which of its attributes are derivations, and which derivations they are.
//!
//! In: a flake reference, patterns of attributes, systems. Out: an [`Evaluation`], a plain sorted value. It takes one `nix` process
//! for the flake itself, one for each level of globs below the system, and then several at once that share the attributes. Only
//! selected attributes are forced; one that does not evaluate is an entry in `errors` and hides no other.

mod asker;
mod budget;
mod fingerprint;
mod flake;
mod flake_config;
mod literal;
mod machine;
mod message;
mod message_text;
mod outputs;
mod process;
mod query;
mod reference;
mod request;
mod round;
mod selection;
mod session;
mod survey;
mod survivor;
mod systems;
mod wrapper;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::asker::Asker;
use self::budget::Budget;
use self::flake::Flake;
use self::flake_config::FlakeConfig;
use self::message::{Cause, Failure};
use self::outputs::Outputs;
use self::query::{Answer, Question};
use self::selection::Selected;
use self::session::Session;
use super::command::Nix;
use super::hash::Sha256;
use super::{store_path, system};
use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::pattern::{Pattern, Segment};
use crate::printable::printable;
use crate::target::Target;

pub use self::budget::BudgetRequest;
pub use self::flake::FlakeInfo;
pub use self::flake_config::FlakeCaches;
pub use self::reference::{URL_PATH, url_escaped};
pub use self::request::{DEFAULT_PATTERNS, Request};
pub use self::session::Progress;
pub use self::systems::Systems;

/// Outputs that hold nothing but derivations, so that anything else in them is a mistake.
const DERIVATION_OUTPUTS: [&str; 3] = ["packages", "checks", "devShells"];

/// How many names a message lists.
const MAX_LISTED: usize = 12;

/// A flake, evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    pub flake: FlakeInfo,
    /// By attribute.
    pub targets: Vec<Target>,
    /// The attributes that an exclusion matched, in order; not evaluated.
    pub excluded: Vec<AttributePath>,
    /// By attribute.
    pub errors: Vec<EvalError>,
    /// Those of `errors` that a pattern names in full and that are not there; by attribute.
    #[serde(default)]
    pub absent: Vec<AttributePath>,
    /// Sentences for people, about what may not be as they think.
    pub warnings: Vec<String>,
    /// What packages say about their own jobs, by attribute: plain values that nobody has checked.
    #[serde(default)]
    pub says: Vec<(AttributePath, Map<String, Value>)>,
    /// The caches that the flake names itself.
    #[serde(default)]
    pub caches: FlakeCaches,
    /// Whether globs stood for all systems that the flake has; `false` where that is not known.
    #[serde(default)]
    pub has_all_systems: bool,
    /// Whether another run may come to something else: it went over a budget, or a download failed.
    #[serde(skip)]
    pub is_incidental: bool,
}

/// A selected attribute that does not evaluate to a derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EvalError {
    pub attribute: AttributePath,
    /// Nix's own words where it is Nix that failed; one line, safe to print.
    pub message: String,
    /// The end of Nix's trace, a line each, safe to print; empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
}

/// Evaluates the selected attributes, see [`Resolved::evaluate`].
pub fn evaluate(nix: &Nix, request: &Request, watch: &(dyn Fn(&Progress) + Sync)) -> Result<Evaluation> {
    Resolved::new(nix, request)?.evaluate(watch)
}

/// A flake that is known, but not evaluated yet.
pub struct Resolved<'r> {
    nix: &'r Nix,
    request: &'r Request,
    flake: Flake,
}

impl<'r> Resolved<'r> {
    /// Finds the flake of a request.
    pub fn new(nix: &'r Nix, request: &'r Request) -> Result<Self> {
        Ok(Self { nix, request, flake: Flake::resolve(nix, request)? })
    }

    /// The digest of all that evaluation depends on; none where that is more than can be known.
    pub fn fingerprint(&self) -> Option<Sha256> {
        fingerprint::of_evaluation(self.nix, self.flake.fingerprint.as_ref(), self.request)
    }

    /// Evaluates the selected attributes. Fails if the flake as a whole does not evaluate or the patterns select nothing.
    ///
    /// `watch` hears how far it has come, many times a second and from any thread.
    pub fn evaluate(self, watch: &(dyn Fn(&Progress) + Sync)) -> Result<Evaluation> {
        let Self { nix, request, flake } = self;
        let mut warnings = Vec::new();
        let config = match FlakeConfig::read(nix, &flake) {
            Ok(config) => config,
            Err(error) if request.accept_flake_config => bail!("{error:#} (leave out `--accept-flake-config`)"),
            Err(error) => {
                warnings.push(format!("{error:#}"));
                FlakeConfig::default()
            }
        };
        let outputs = Outputs::new(nix, &flake, &config, request)?;
        let shown = printable(&request.flake);
        let asker = Asker::new(Session::new(nix, &outputs, &shown, watch)?, Budget::new(&request.budget));
        let defaults: Vec<Pattern> = DEFAULT_PATTERNS.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
        let patterns = [if request.select.is_empty() { &defaults } else { &request.select }, &*request.also].concat();

        let selected = selection::select(&asker, &patterns, &request.exclude, &request.systems)?;
        let mut found = Found::default();
        found.evaluate(&asker, &selected)?;
        if found.targets.is_empty() {
            check_not_empty(&asker, request, &patterns, &selected, &found, &shown)?;
        }
        warnings.append(&mut found.warnings);
        if flake.lock_is_incomplete {
            warnings.push(format!(
                "the `flake.lock` of `{shown}` does not cover all inputs, so another run may see others (run `nix flake lock` and commit the file)"
            ));
        }
        // Nobody has written the defaults.
        let mut used = found.fruitful;
        used.extend(0..if request.select.is_empty() { defaults.len() } else { 0 });
        warnings.extend(idle("pattern", "selects nothing", &patterns, &used));
        warnings.extend(idle(
            "exclusion",
            "matches nothing that is selected",
            &request.exclude,
            &selected.used_exclusions,
        ));
        Ok(Evaluation {
            flake: flake.info,
            targets: found.targets,
            excluded: selected.excluded.into_iter().collect(),
            errors: found
                .errors
                .into_iter()
                .map(|(attribute, Failure { message, trace, .. })| EvalError { attribute, message, trace })
                .collect(),
            absent: found.absent.into_iter().collect(),
            warnings,
            says: found.says,
            caches: config.caches(),
            has_all_systems: selected.has_all_systems,
            is_incidental: asker.is_incidental(),
        })
    }
}

/// A sentence for each pattern that did nothing.
fn idle(what: &str, does: &str, patterns: &[Pattern], used: &BTreeSet<usize>) -> Vec<String> {
    let unused = patterns.iter().enumerate().filter(|(index, _)| !used.contains(index));
    unused.map(|(_, pattern)| format!("{what} `{}` {does}", printable(&pattern.to_string()))).collect()
}

/// What the candidates turned out to be.
#[derive(Default)]
struct Found {
    targets: Vec<Target>,
    errors: BTreeMap<AttributePath, Failure>,
    /// Those of them that are not there, though a pattern names them.
    absent: BTreeSet<AttributePath>,
    /// The patterns, by index, that led to a target or an error.
    fruitful: BTreeSet<usize>,
    /// What packages say about their own jobs, unchecked.
    says: Vec<(AttributePath, Map<String, Value>)>,
    /// Sentences for people.
    warnings: Vec<String>,
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
        let answers = asker.ask(&questions)?;
        for ((attribute, candidate), answer) in selected.candidates.iter().zip(answers) {
            let wrong = match answer {
                Answer::Derivation(drv_path, says) => self.take(attribute, drv_path, says).map(Failure::from),
                Answer::Mute(drv_path, message) => {
                    let name = quoted(attribute.names());
                    self.warnings
                        .push(format!("attribute `{name}`: what it says about its job does not evaluate: {message}"));
                    self.take(attribute, drv_path, Map::new()).map(Failure::from)
                }
                Answer::Failed(failure) => Some(failure),
                Answer::Missing(depth) if candidate.literal => {
                    missing.push((attribute, depth));
                    continue;
                }
                Answer::Other { kind, above: true } if candidate.literal => {
                    self.absent.insert(attribute.clone());
                    Some(format!("there is no such attribute: an attribute above it is {}", with_article(&kind)).into())
                }
                Answer::Other { kind, above: false } if candidate.literal || holds_derivations(attribute) => {
                    Some(format!("it is {}, not a derivation", with_article(&kind)).into())
                }
                // Only a glob led here.
                Answer::Missing(_) | Answer::Other { .. } | Answer::Names(_) => continue,
            };
            self.fruitful.extend(&candidate.patterns);
            if let Some(failure) = wrong {
                self.errors.insert(attribute.clone(), failure);
            }
        }
        let questions: Vec<Question> = missing
            .iter()
            .map(|(attribute, depth)| Question::Names { path: attribute.names()[..*depth].to_vec(), inside: true })
            .collect();
        for ((attribute, depth), answer) in missing.into_iter().zip(asker.ask(&questions)?) {
            let names = if let Answer::Names(names) = answer { names } else { Vec::new() };
            self.absent.insert(attribute.clone());
            self.errors.insert(attribute.clone(), no_such_attribute(attribute, depth, &names).into());
            self.fruitful.extend(&selected.candidates[attribute].patterns);
        }
        Ok(())
    }
}

impl Found {
    /// Takes a derivation as a target, or says what is wrong with it.
    fn take(&mut self, attribute: &AttributePath, drv_path: String, says: Map<String, Value>) -> Option<String> {
        if !store_path::split(&drv_path).is_ok_and(|(_, base)| base.ends_with(".drv")) {
            return Some(format!("its `drvPath` is `{}`, which is not the path of a derivation", printable(&drv_path)));
        }
        if !says.is_empty() {
            self.says.push((attribute.clone(), says));
        }
        self.targets.push(Target { attribute: attribute.clone(), drv_path });
        None
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
    let mut failures = found.errors.values();
    if let Some(first) = failures.next() {
        // Of one download newer versions say how many milliseconds it took to fail.
        if first.cause == Cause::Input && failures.all(|failure| failure.cause == Cause::Input) {
            return Err(flake::cannot_fetch(flake, &first.message));
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
