//! Evaluates a flake: which of its attributes are derivations, and which derivations they are.
//!
//! In: a flake reference, patterns of attributes, systems. Out: an [`Evaluation`], a plain sorted value. It takes one `nix` process
//! for the flake itself, one for each level of globs below the system, and then several at once that share the attributes, unless they are
//! few: then the process that lists them goes on. Only selected attributes are forced; one that does not evaluate is an entry in `errors` and hides no other.

mod asker;
mod budget;
mod covered;
mod declared;
pub mod failed_build;
mod fingerprint;
mod flake;
mod flake_config;
mod flake_text;
mod following;
mod found;
mod inputs;
mod kind;
mod literal;
mod local_inputs;
mod machine;
mod message;
mod message_text;
mod nothing_found;
mod nowhere;
mod outputs;
mod place;
mod process;
mod query;
mod reference;
mod repl_text;
mod request;
mod round;
mod selected;
mod selection;
mod session;
mod sets;
mod shares;
mod short_names;
mod survey;
mod survivor;
mod sweep;
mod systems;
mod trace;
mod words;
mod wrapper;
mod written;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::asker::Asker;
use self::budget::Budget;
use self::failed_build::FailedBuild;
use self::flake::LOCAL;
use self::flake::{Changed, Flake};
use self::flake_config::FlakeConfig;
use self::found::Findings;
use self::local_inputs::LocalInputs;
use self::message::EvaluationFailure;
use self::outputs::Outputs;
use self::reference::{PlainFolder, Reference};
use self::selection::Walk;
use self::session::{Pace, Session};
use super::command::Nix;
use super::hash::Sha256;
use crate::attribute::AttributePath;
use crate::later::Later;
use crate::pattern::Pattern;
use crate::printable::printable;
use crate::target::Target;

pub use self::budget::BudgetRequest;
pub use self::flake::FlakeInfo;
pub use self::flake_config::FlakeCaches;
pub use self::nothing_found::NothingFound;
pub use self::reference::{URL_PATH, url_escaped};
pub use self::request::{DEFAULT_DEPTH, DEFAULT_PATTERNS, EvaluationRequest, InputOverride};
pub use self::session::Progress;
pub use self::systems::Systems;

/// An evaluation that takes no more processor time is not looked for in a cache: to find out what is in a flake takes another process.
const SHORT: Duration = Duration::from_millis(100);

/// The longest wait for that time, where a machine is busy or does not tell it.
const LONGEST_WAIT: Duration = Duration::from_millis(400);

/// What the store has from its first use on, where Nix uses it without a daemon.
const STORE_IS_MADE: &str = "/nix/var/nix/db/schema";

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
    /// A sentence about what a pattern or a list of systems names and the flake has nowhere: a mistake, unless this is the base of a change.
    #[serde(default)]
    pub nowhere: Option<String>,
    /// Sentences for people, about what may not be as they think.
    pub warnings: Vec<String>,
    /// What packages say about their own jobs, by attribute: plain values that nobody has checked.
    #[serde(default, rename = "says")] // as evaluations are kept
    pub package_settings: Vec<(AttributePath, Map<String, Value>)>,
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
    /// The build that failed, where evaluation asked for one; such an evaluation is kept nowhere.
    #[serde(skip)]
    pub build: Option<FailedBuild>,
}

/// Evaluates the selected attributes, see [`Resolved::evaluate`].
pub fn evaluate(nix: &Nix, request: &EvaluationRequest, watch: &(dyn Fn(&Progress) + Sync)) -> Result<Evaluation> {
    Resolved::new(nix, request)?.evaluate(watch)
}

/// True where a flake and its inputs are still what they were when this digest was taken of the evaluation. One that only the network can
/// change is not asked about again.
pub fn is_still(nix: &Nix, request: &EvaluationRequest, evaluated: &FlakeInfo, digest: &str) -> bool {
    if evaluated.url != LOCAL && request.override_inputs.is_empty() {
        return true;
    }
    let now = flake::asked(&request.flake).and_then(|asked| Flake::resolve(nix, request, &asked));
    let now = now.ok().and_then(|flake| fingerprint::of_evaluation(nix, flake.fingerprint.as_ref(), request));
    now.is_some_and(|now| now.base16() == digest)
}

/// A flake that Nix is asked about, but that is not evaluated yet.
pub struct Resolved<'r> {
    nix: &'r Nix,
    request: &'r EvaluationRequest,
    flake: Later<Flake>,
    /// How Nix can be asked for its outputs before it has answered.
    early: Option<Reference>,
    /// The flake as it is known without asking Nix about it, which is not worth a process beside a short evaluation.
    alone: Option<Later<Flake>>,
    pace: Pace,
}

impl<'r> Resolved<'r> {
    /// Asks about the flake of a request.
    pub fn new(nix: &'r Nix, request: &'r EvaluationRequest) -> Result<Self> {
        let asked = flake::asked(&request.flake)?;
        LocalInputs::check_before(nix, request, &asked)?;
        // Nothing is built for a result that may be known.
        let may_build = request.allow_import_from_derivation || request.accept_flake_config;
        // 2.8 fails where two processes make a store at the same time.
        let has_store = Path::new(STORE_IS_MADE).is_file();
        let is_plain = has_store && !may_build && request.override_inputs.is_empty();
        let plain = if is_plain { PlainFolder::of(&asked) } else { None };
        let (own_nix, own_request) = (nix.clone(), request.clone());
        let ask = move || Flake::resolve(&own_nix, &own_request, &asked);
        let alone = plain.clone().filter(|plain| plain.is_alone);
        let flake = if alone.is_some() { Later::when_wanted(ask) } else { Later::begin(ask) };
        let alone = alone.map(|plain| Later::begin(move || Flake::alone(&plain)));
        let early = plain.map(|plain| plain.reference);
        Ok(Self { nix, request, flake, early, alone, pace: Pace::default() })
    }

    /// Waits for what Nix says about the flake; without that, evaluation may begin before.
    pub fn known(mut self) -> Result<Self> {
        (self.early, self.alone) = (None, None);
        match self.flake.get() {
            Some(_) => Ok(self),
            None => Err(self.flake.into_inner().err().unwrap_or_else(|| anyhow!("the flake is not known"))),
        }
    }

    /// The digest of all that evaluation depends on; none where that is more than can be known, or nothing is known. Waits.
    pub fn fingerprint(&self) -> Option<Sha256> {
        fingerprint::of_evaluation(self.nix, self.flake.get()?.fingerprint.as_ref(), self.request)
    }

    /// Evaluates the selected attributes. Fails if the flake as a whole does not evaluate or the patterns select nothing.
    ///
    /// `watch` hears how far it has come, many times a second and from any thread.
    pub fn evaluate(self, watch: &(dyn Fn(&Progress) + Sync)) -> Result<Evaluation> {
        match &self.alone {
            Some(_) => {
                let evaluated = self.run(self.early.as_ref(), watch);
                self.unless_no_flake(evaluated)
            }
            None => self.evaluate_unless(watch, |_| None),
        }
    }

    /// The same, unless the result for the flake's [fingerprint](Self::fingerprint) is known. That is not asked for where evaluation takes no
    /// longer than asking.
    pub fn evaluate_unless(
        self,
        watch: &(dyn Fn(&Progress) + Sync),
        known: impl FnOnce(Option<Sha256>) -> Option<Evaluation> + Send,
    ) -> Result<Evaluation> {
        let Some(early) = &self.early else {
            let resolved = self.known()?;
            return known(resolved.fingerprint()).map_or_else(|| resolved.run(None, watch), Ok);
        };
        // Nothing is sent: it is over when one of both is gone.
        let (evaluating, end) = mpsc::channel::<()>();
        let (found, evaluated) = thread::scope(|scope| {
            let resolved = &self;
            let waiting = scope.spawn(move || {
                if resolved.alone.is_some() && resolved.is_over_soon(&end) {
                    return None;
                }
                let found = resolved.flake.get().map(|_| known(resolved.fingerprint()));
                // It is known, or there is no such flake.
                resolved.pace.stop.store(!matches!(found, Some(None)), Ordering::Relaxed);
                found.flatten()
            });
            let evaluated = self.run(Some(early), watch);
            drop(evaluating);
            (waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), evaluated)
        });
        match found {
            Some(found) => Ok(found),
            None => self.unless_no_flake(evaluated),
        }
    }

    /// Waits for an evaluation that may be short; `end` has no sender any more once it is over.
    fn is_over_soon(&self, end: &Receiver<()>) -> bool {
        let (begun, mut patience) = (Instant::now(), SHORT);
        while end.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            if self.pace.spent() >= SHORT || begun.elapsed() >= LONGEST_WAIT {
                return false;
            }
            patience = SHORT / 5;
        }
        true
    }

    /// What came of an evaluation that began early. What Nix says about the flake itself says most.
    fn unless_no_flake(self, evaluated: Result<Evaluation>) -> Result<Evaluation> {
        if self.alone.is_none() || evaluated.is_err() {
            self.flake.into_inner()?;
        }
        evaluated
    }

    /// Evaluates, with an early reference or the one that Nix gives.
    fn run(&self, early: Option<&Reference>, watch: &(dyn Fn(&Progress) + Sync)) -> Result<Evaluation> {
        let (nix, request) = (self.nix, self.request);
        let flake = || self.flake.get().context("the flake is not known");
        let mut warnings = Vec::new();
        let config = match early.map_or_else(|| FlakeConfig::read(nix, flake()?), |_| Ok(FlakeConfig::default())) {
            Ok(config) => config,
            Err(error) if request.accept_flake_config => bail!("{error:#} (leave out `--accept-flake-config`)"),
            Err(error) => {
                warnings.push(format!("{error:#}"));
                FlakeConfig::default()
            }
        };
        let reference = early.map_or_else(|| Ok(&flake()?.reference), Ok::<_, anyhow::Error>)?;
        let outputs = Outputs::new(nix, reference, self.alone.as_ref().unwrap_or(&self.flake), &config, request)?;
        let shown = printable(&request.flake);
        let asker = Asker::new(Session::new(nix, &outputs, &shown, watch, &self.pace)?, Budget::new(&request.budget));
        let defaults: Vec<Pattern> = DEFAULT_PATTERNS.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
        let patterns = [if request.select.is_empty() { &defaults } else { &request.select }, &*request.also].concat();

        let short = short_names::resolve(&asker, &patterns, &request.systems)?;
        warnings.extend(short.notes);
        let mut walk = Walk::new(&short.patterns, &request.exclude, &request.systems, request.depth());
        let mut found = Findings::new(short.absent);
        found.evaluate(&asker, &mut walk)?;
        found.drop_outside_store();
        let mut selected = walk.selected;
        let absent = std::mem::take(&mut selected.absent);
        found.absent.extend(absent.keys().cloned());
        found.lacks(&asker, absent.iter().map(|(attribute, depth)| (attribute, *depth)).collect())?;
        let is_all_known = selected.errors.is_empty();
        found.errors.extend(std::mem::take(&mut selected.errors));
        asker.count_result(found.targets.len(), found.errors.len());
        if found.targets.is_empty() {
            if let Some(failure) = found.failed_input() {
                return Err(flake::cannot_fetch(&shown, &failure.message));
            }
            if found.errors.is_empty() && selected.excluded.is_empty() {
                let left_out = found.warnings.into_iter().chain(selected.not_entered(request.depth()));
                return Err(nothing_found::error(&asker, request, &patterns, &shown, left_out)?);
            }
        }
        let nowhere = is_all_known.then(|| nowhere::find(request, &patterns, &found, &selected)).flatten();
        for path in &selected.no_systems {
            let path = printable(&path.to_string());
            warnings
                .push(format!("`{path}` is skipped: its last name is not a system (name it in `select` to build it)"));
        }
        warnings.append(&mut found.warnings);
        warnings.extend(selected.not_entered(request.depth()));
        // An argument of `outputs` is an input, too.
        let is_alone = self.alone.as_ref().filter(|alone| !asker.has_new_inputs() && alone.get().is_some());
        let flake = is_alone.map_or_else(flake, |alone| alone.get().context("the flake is not known"))?;
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
        let revision = flake.evaluated_revision(nix, request).unwrap_or_else(|Changed| {
            warnings.push(format!(
                "files of `{shown}` changed while it was evaluated: the plan may hold some of both states (plan again)"
            ));
            None
        });
        Ok(Evaluation {
            flake: FlakeInfo { revision, ..flake.info.clone() },
            targets: found
                .targets
                .into_iter()
                .map(|(attribute, drv_path)| Target { attribute, drv_path: drv_path.into() })
                .collect(),
            excluded: selected.excluded.into_iter().collect(),
            errors: found
                .errors
                .into_iter()
                .map(|(attribute, EvaluationFailure { message, trace, build, .. })| EvalError {
                    attribute,
                    message,
                    trace,
                    build,
                })
                .collect(),
            absent: found.absent.into_iter().collect(),
            nowhere,
            warnings,
            package_settings: found.package_settings.into_iter().collect(),
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
