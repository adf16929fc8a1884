//! The error where patterns select nothing: what was looked for, and what the flake has in its place.

use std::error;
use std::fmt;

use anyhow::{Error, Result};

use super::asker::Asker;
use super::found::{listed, quoted};
use super::query::{Answer, Question};
use super::request::EvaluationRequest;
use super::systems::Systems;
use crate::nix::system;
use crate::pattern::{Pattern, Segment};
use crate::printable::printable;

/// Patterns select nothing, in words.
#[derive(Debug)]
pub struct NothingFound(String);

impl fmt::Display for NothingFound {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl error::Error for NothingFound {}

/// The error for a flake, which is named as people may see it; `left_out` are sentences about what was not looked at. Fails where the flake's
/// outputs cannot be asked for.
pub fn error(
    asker: &Asker,
    request: &EvaluationRequest,
    patterns: &[Pattern],
    flake: &str,
    left_out: impl Iterator<Item = String>,
) -> Result<Error> {
    let wanted: Vec<String> = patterns.iter().map(|pattern| format!("`{}`", printable(&pattern.to_string()))).collect();
    let systems = match &request.systems {
        Systems::Current => format!(" for `{}`", system::current()),
        Systems::Listed(systems) => {
            let slip = systems.iter().find_map(|name| system::meant(name)).unwrap_or_default();
            format!(" for {}{slip}", listed(systems))
        }
        Systems::All => String::new(),
    };
    let left_out: String = left_out.map(|sentence| format!("; {sentence}")).collect();
    Ok(Error::new(NothingFound(format!(
        "nothing to build in flake `{flake}`: no derivation matches {}{systems}; {} (choose attributes with `--select`, systems \
         with `--system` or `--all-systems`){left_out}",
        wanted.join(", "),
        what_there_is(asker, patterns)?
    ))))
}

/// The outputs of the flake, and the systems of those that the patterns look into.
fn what_there_is(asker: &Asker, patterns: &[Pattern]) -> Result<String> {
    let names_at = |paths: &[Vec<String>]| -> Result<Vec<Vec<String>>> {
        let questions: Vec<_> =
            paths.iter().map(|path| Question::Names { path: path.clone(), inside: true, followed: None }).collect();
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
