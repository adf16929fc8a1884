//! Questions about a flake's outputs and the answers to them, as `query.nix` reads and writes them.
//!
//! In: [`Question`]s, and lines that an evaluating process wrote. Out: the text of as many questions as one process can be given,
//! and [`Answer`]s.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::message::EvaluationFailure;
use crate::printable::printable;

/// The questions, as a function of the outputs.
pub const QUERY: &str = include_str!("query.nix");

/// Most bytes of one process's questions as they stand on its command line; Linux takes no argument over 128 KiB.
const MAX_BYTES: usize = 112 << 10;

/// The attribute with which a set asks to be entered.
pub const MARK: &str = "recurseForDerivations";

/// Most names of a set whose derivations the process that has listed them answers as well: another process costs more.
pub const FOLLOWED: usize = 250;

/// Most attributes that are looked at: a machine's memory, and far more than a pipeline has jobs.
pub const MAX_ATTRIBUTES: usize = 500_000;

/// Most outputs that a message lists.
const MAX_LISTED: usize = 12;

/// Characters that are shown of an output's name.
const MAX_SHOWN: usize = 100;

/// A question about the outputs of the flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which attributes are there at this path? A derivation is looked into only if `inside`. If `followed`, and if they are few, which
    /// derivations they are will be the next question; sets among them that ask for it are entered so many levels deep.
    Names { path: Vec<String>, inside: bool, followed: Option<usize> },
    /// Which derivation is there at this path, and what does it say about its own job? Of a set that asks to be entered, or of any set if
    /// `every`: which attributes are there? One that asks for it is entered at once, so many levels deep as `enter` says, if it is small.
    Derivation { path: Vec<String>, every: bool, enter: usize },
    /// Are the sets at these two paths equal?
    Same { path: Vec<String>, other: Vec<String> },
}

/// A question that failed when it was asked guarded.
#[derive(Clone, Copy, Debug)]
pub struct OpenQuestion<'q> {
    /// Its number.
    pub index: usize,
    pub question: &'q Question,
    /// Evaluated code has thrown the error; else that is not known.
    pub thrown: bool,
}

/// What a process that outlives failures is asked.
#[derive(Clone, Copy)]
pub enum Asked<'q> {
    /// Questions that failed before, each of which is to say why.
    Why(&'q [OpenQuestion<'q>]),
    /// Derivations, with what is in sets that ask to be entered.
    All(&'q [&'q Question]),
}

/// What the flake has at the path of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Names(Vec<String>),
    /// The path of the `.drv` file, and what the package says about its own job; both unchecked.
    Derivation(String, Map<String, Value>),
    /// The same where what it says about its own job does not evaluate: Nix's message.
    Mute(String, String),
    /// The attributes of a set, whether it asks to be entered, and whether it is, so that answers about what is in it follow.
    Set {
        names: Vec<String>,
        marked: bool,
        followed: bool,
    },
    Same(bool),
    /// Nothing has the name with this index in the path.
    Missing(usize),
    /// A value of another type, in Nix's words; `above` the end of the path or at it.
    Other {
        kind: String,
        above: bool,
    },
    /// It does not evaluate.
    Failed(EvaluationFailure),
}

/// A line that an evaluating process wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerLine {
    /// The outputs are there, and the question with this number begins; `hides` where they hide what Nix itself defines.
    Ready {
        at: Option<usize>,
        hides: bool,
    },
    /// The job for the derivation at this path begins.
    Begin(Vec<String>),
    /// Where the attribute in question is defined, as Nix writes places; none where Nix does not know.
    Place(Option<String>),
    /// The derivation whose word about its own job is evaluated next.
    Found(String),
    Answer(Answer),
    /// What would answer the question for the derivation at this path.
    Under(Vec<String>, Box<AnswerLine>),
    /// The evaluation fails in a way that `tryEval` catches.
    Caught,
}

/// A line as `query.nix` writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Under {
        under: Vec<String>,
        is: Box<Written>,
    },
    Ready {
        ready: Option<usize>,
        hides: bool,
    },
    Begin {
        begin: Vec<String>,
    },
    Place {
        place: Position,
    },
    #[expect(dead_code, reason = "only its presence counts")]
    Unplaced {
        unplaced: bool,
    },
    Found {
        found: String,
    },
    Names {
        names: Vec<String>,
    },
    Derivation {
        drv: String,
        #[serde(default)]
        says: Map<String, Value>,
        lacks: Option<String>,
        #[serde(default)]
        has: Vec<String>,
    },
    Set {
        set: Vec<String>,
        marked: bool,
        #[serde(default)]
        followed: bool,
    },
    Same {
        same: bool,
    },
    Missing {
        missing: usize,
    },
    Other {
        kind: String,
        #[serde(default)]
        above: bool,
    },
    // Without it nothing would tell this answer from a wrong one.
    #[expect(dead_code, reason = "only its presence counts")]
    Failed {
        failed: bool,
    },
}

#[derive(Deserialize)]
struct Position {
    file: String,
    line: u64,
    column: u64,
}

/// Reads a line as `query.nix` writes it.
pub fn read(line: &[u8]) -> serde_json::Result<AnswerLine> {
    Ok(line_of(serde_json::from_slice(line)?))
}

fn line_of(written: Written) -> AnswerLine {
    match written {
        Written::Under { under, is } => AnswerLine::Under(under, Box::new(line_of(*is))),
        Written::Ready { ready, hides } => AnswerLine::Ready { at: ready, hides },
        Written::Begin { begin } => AnswerLine::Begin(begin),
        Written::Place { place: Position { file, line, column } } => {
            AnswerLine::Place(Some(format!("{file}:{line}:{column}")))
        }
        Written::Unplaced { .. } => AnswerLine::Place(None),
        Written::Found { found } => AnswerLine::Found(found),
        Written::Names { names } => AnswerLine::Answer(Answer::Names(names)),
        Written::Derivation { lacks: Some(output), has, .. } => {
            AnswerLine::Answer(Answer::Failed(lacks(&output, &has).into()))
        }
        Written::Derivation { drv, says, .. } => AnswerLine::Answer(Answer::Derivation(drv, says)),
        Written::Set { set, marked, followed } => AnswerLine::Answer(Answer::Set { names: set, marked, followed }),
        Written::Same { same } => AnswerLine::Answer(Answer::Same(same)),
        Written::Missing { missing } => AnswerLine::Answer(Answer::Missing(missing)),
        Written::Other { kind, above } => AnswerLine::Answer(Answer::Other { kind, above }),
        Written::Failed { .. } => AnswerLine::Caught,
    }
}

/// Says that a derivation lacks the output that an attribute stands for.
fn lacks(output: &str, has: &[String]) -> String {
    let shown = |name: &str| format!("`{}`", printable(&name.chars().take(MAX_SHOWN).collect::<String>()));
    let more = if has.len() > MAX_LISTED { " and more" } else { "" };
    let has: Vec<String> = has.iter().take(MAX_LISTED).map(|name| shown(name)).collect();
    format!("its derivation has no output {} (there is {}{more})", shown(output), has.join(", "))
}

/// The first of these questions, as many as one process can be given, as JSON; none if the first alone is too long.
///
/// Only with `follow` are there answers that follow others.
pub fn text(mark: &str, guarded: bool, follow: bool, questions: &[&Question]) -> Option<(String, usize)> {
    let (mut bytes, mut before) = (256, None);
    let fitting = questions.iter().take_while(|question| {
        let parent = question.parent();
        bytes += if parent.is_some() && parent == before { question.bytes_of_name() } else { question.bytes() };
        before = parent;
        bytes <= MAX_BYTES
    });
    let count = fitting.count();
    let written = written(&questions[..count], guarded && follow);
    let text = json!({ "mark": mark, "guarded": guarded, "most": FOLLOWED, "questions": written });
    (count > 0).then(|| (text.to_string(), count))
}

/// A question with its number, unguarded, as JSON.
pub fn numbered(mark: &str, OpenQuestion { index, question, thrown }: OpenQuestion, words: bool) -> Value {
    let questions = written(&[question], false);
    json!({ "mark": mark, "guarded": false, "words": words, "at": index, "thrown": thrown, "questions": questions })
}

/// These questions about derivations as jobs, as JSON. Each fails itself where its question does, unless that is an error that is thrown and there
/// are to be no `words`, and is the only attribute of a set.
pub fn jobs(mark: &str, questions: &[&Question], words: bool) -> Value {
    let questions = written(questions, true);
    json!({ "mark": mark, "guarded": false, "words": words, "jobs": true, "wrapped": true, "questions": questions })
}

/// The questions as `query.nix` reads them: derivations side by side share the path of their parent. Only with `follow` anything follows.
fn written(questions: &[&Question], follow: bool) -> Vec<Value> {
    questions
        .chunk_by(|a, b| a.parent().is_some() && a.parent() == b.parent())
        .map(|group| match (group[0], group[0].parent()) {
            (Question::Names { path, inside, followed: Some(enter) }, _) if follow => {
                json!({ "names": path, "inside": inside, "enter": enter })
            }
            (Question::Names { path, inside, .. }, _) => json!({ "names": path, "inside": inside }),
            (Question::Same { path, other }, _) => json!({ "same": path, "as": other }),
            (_, shared) => {
                let names: Vec<_> = group.iter().filter_map(|question| question.path().last()).collect();
                let (parent, every, enter) = shared.unwrap_or_default();
                json!({ "below": parent, "names": names, "every": every, "enter": if follow { enter } else { 0 } })
            }
        })
        .collect()
}

impl Question {
    /// True for a question about names behind whose answer others follow.
    pub fn is_followed(&self) -> bool {
        matches!(self, Self::Names { followed: Some(_), .. })
    }

    /// True for a question about a derivation.
    pub fn is_derivation(&self) -> bool {
        matches!(self, Self::Derivation { .. })
    }

    /// The attribute path that it is about, the first of them.
    pub fn path(&self) -> &[String] {
        match self {
            Self::Names { path, .. } | Self::Derivation { path, .. } | Self::Same { path, .. } => path,
        }
    }

    /// What questions about derivations side by side share: the path of their parent, and which sets are entered.
    fn parent(&self) -> Option<(&[String], bool, usize)> {
        let Self::Derivation { path, every, enter } = self else { return None };
        path.split_last().map(|(_, parent)| (parent, *every, *enter))
    }

    /// Most bytes that it takes on a command line.
    fn bytes(&self) -> usize {
        let other = if let Self::Same { other, .. } = self { other.as_slice() } else { &[] };
        self.path().iter().chain(other).map(written_bytes).sum::<usize>() + 96
    }

    /// The same behind one that it shares its parent with.
    fn bytes_of_name(&self) -> usize {
        self.path().last().map_or(0, written_bytes)
    }
}

/// Bytes of a name as JSON in a string of Nix, in which quotes are escaped once more, with a comma.
fn written_bytes(name: &String) -> usize {
    let json = json!(name).to_string();
    json.len() + json.bytes().filter(|byte| b"\"\\$".contains(byte)).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivation(names: &[&str]) -> Question {
        Question::Derivation { path: names.iter().map(ToString::to_string).collect(), every: false, enter: 3 }
    }

    #[test]
    fn siblings_share_their_parent() {
        let questions = [
            derivation(&["packages", "a"]),
            derivation(&["packages", "b"]),
            Question::Names { path: vec!["lib".to_owned()], inside: true, followed: None },
            derivation(&["checks", "a"]),
        ];
        assert_eq!(
            Value::from(written(&questions.iter().collect::<Vec<_>>(), true)),
            json!([
                { "below": ["packages"], "names": ["a", "b"], "every": false, "enter": 3 },
                { "names": ["lib"], "inside": true },
                { "below": ["checks"], "names": ["a"], "every": false, "enter": 3 },
            ])
        );
    }

    #[test]
    fn as_many_questions_as_fit_are_taken() {
        let long = "\u{1}\"$".repeat(1000);
        let questions: Vec<_> = (0..9000).map(|n| derivation(&["x", if n < 50 { &long } else { "y" }])).collect();
        let questions: Vec<&Question> = questions.iter().collect();
        let mut at = 0;
        let mut processes = 0;
        while at < questions.len() {
            let (text, taken) = text("m", true, true, &questions[at..]).unwrap();
            let escaped = text.len() + text.bytes().filter(|byte| b"\"\\$".contains(byte)).count();
            assert!(taken > 0 && escaped < 120 << 10, "{escaped}");
            at += taken;
            processes += 1;
        }
        assert!((3..10).contains(&processes), "{processes}");
        assert!(text("m", true, true, &[&derivation(&[&long.repeat(20)])]).is_none());
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert_eq!(
            read(b"{\"drv\":\"x\"}").unwrap(),
            AnswerLine::Answer(Answer::Derivation("x".to_owned(), Map::new()))
        );
        assert_eq!(read(b"{\"failed\":true}").unwrap(), AnswerLine::Caught);
        assert_eq!(read(b"{\"ready\":null,\"hides\":false}").unwrap(), AnswerLine::Ready { at: None, hides: false });
        assert!(read(b"{\"what\":1}").is_err() && read(b"\xff").is_err());
    }
}
