//! The lines that `nix repl` reads: questions, in parts, each of which says when it is done.
//!
//! In: what is asked. Out: the parts. Questions below a name that cannot be written in the scope are left out, as are those that are too long.

use std::collections::{BTreeSet, VecDeque};

use super::literal::{is_identifier, typed_json, typed_string};
use super::query::{self, Asked, OpenQuestion, QUERY, Question};

/// Bytes of lines that `nix repl` gets at a time, and of the longest.
const PART: usize = 16 << 10;

/// What asks nothing.
const NOTHING: &str = "at = null; questions = [ ];";

/// Bytes of a line of the questions' function. `nix repl` reads what it has so far anew after each line, which takes most of its time if
/// there are many; errors quote lines, so none is long.
const LINE: usize = 400;

/// Code without comments and with few lines, but for the last ones, which most errors quote.
fn wrapped(code: &str) -> String {
    let lines: Vec<&str> =
        code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (body, end) = lines.split_at(lines.len().saturating_sub(2));
    let mut text = String::with_capacity(code.len());
    let mut length = 0;
    for line in body {
        text.push(if length + line.len() > LINE { '\n' } else { ' ' });
        length = if length + line.len() > LINE { line.len() } else { length + line.len() };
        text.push_str(line);
    }
    end.iter().for_each(|line| text.extend(["\n", line]));
    text
}

/// The parts that ask this, behind one with the function that answers where they come first.
pub fn parts(mark: &str, asked: Asked, is_first: bool) -> VecDeque<String> {
    let mut text = ReplText::new(mark, asked);
    if is_first {
        text.define();
    }
    text.ask(asked);
    text.end()
}

/// The lines for `nix repl`. It reads byte by byte, and errors quote the lines that they went through: so they are few and short.
struct ReplText {
    parts: VecDeque<String>,
    /// The part that is not complete.
    text: String,
    /// The name of the function that answers. Not the mark, as errors quote the line that they are in.
    query: String,
    /// The name of the function that asks about one derivation: short, and not that of an output.
    ask: String,
    mark: String,
    /// The output, the set and whether it is entered that `ask` is about at the moment.
    about: Option<(String, Vec<String>, bool)>,
}

impl ReplText {
    fn new(mark: &str, asked: Asked) -> Self {
        let outputs: BTreeSet<&String> = match asked {
            Asked::Why(open) => open.iter().filter_map(|open| open.question.path().first()).collect(),
            Asked::All(questions) => questions.iter().filter_map(|question| question.path().first()).collect(),
        };
        let mut ask = "q".to_owned();
        while outputs.contains(&ask) {
            ask.push('q');
        }
        let query = format!("nixdag_{mark}");
        Self { parts: VecDeque::new(), text: String::new(), query, ask, mark: mark.to_owned(), about: None }
    }

    /// The function itself. It goes on until it is complete, which a definition does not do in newer versions.
    fn define(&mut self) {
        self.text.push_str(&format!(":a {{ {} =\n{}\n; }}\n", self.query, wrapped(QUERY)));
        self.end_part();
    }

    fn ask(&mut self, asked: Asked) {
        match asked {
            Asked::Why(open) => open.iter().for_each(|open| self.ask_why(*open)),
            Asked::All(questions) => {
                let about = |question: &&Question| match question {
                    Question::Derivation { path, every, enter } => {
                        path.split_last().map(|(_, below)| (below.to_vec(), *every, *enter))
                    }
                    _ => None,
                };
                questions.chunk_by(|a, b| about(a) == about(b)).for_each(|group| self.ask_all(group));
            }
        }
    }

    /// Asks for all of these, side by side. What cannot be written in the scope is left out.
    fn ask_all(&mut self, group: &[&Question]) {
        let Some(Question::Derivation { path, every, enter }) = group.first() else { return };
        let Some((_, below)) = path.split_last() else { return };
        let Some(first) = path.first().filter(|name| is_identifier(name)) else { return };
        let below: Vec<String> = below.iter().map(|name| typed_string(name)).collect();
        let begin = format!(
            ":p {} {{ inherit {first}; }} {{ mark = {}; guarded = true; jobs = true; questions = [ {{ below = [ {} ]; every = {every}; \
             enter = {enter}; names = [",
            self.query,
            typed_string(&self.mark),
            below.join(" ")
        );
        let names = group.iter().filter_map(|question| question.path().last()).map(|name| typed_string(name));
        let names: Vec<String> = names.filter(|name| begin.len() + name.len() < PART / 2).collect();
        let mut rest = names.as_slice();
        while !rest.is_empty() {
            let mut bytes = begin.len();
            let fits = |name: &&String| {
                bytes += name.len() + 1;
                bytes < PART
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            self.line(&format!("{begin} {} ]; }} ]; }}", now.join(" ")));
            self.end_part();
            rest = later;
        }
    }

    /// A question below a name that cannot be written in the scope is left out, as is one that is too long for a part.
    fn ask_why(&mut self, open: OpenQuestion) {
        let OpenQuestion { index, question, thrown } = open;
        let Some(first) = question.path().first().filter(|name| is_identifier(name)) else { return };
        let bytes: usize = question.path().iter().map(|name| typed_string(name).len() + 1).sum();
        if 4 * bytes > PART {
            return;
        }
        let (is_other, is_full) = match (&self.about, question) {
            (Some((last, below, entered)), Question::Derivation { path, every, .. }) => {
                (last != first || !path.starts_with(below) || path.len() != below.len() + 1 || every != entered, false)
            }
            _ => (true, self.text.len() > PART / 4),
        };
        if is_other || is_full || self.text.len() > PART / 2 {
            self.end_part();
        }
        match question {
            Question::Derivation { path, every, .. } => {
                let Some((name, below)) = path.split_last() else { return };
                if is_other {
                    // Where there is no such output the next line cannot be read: then it must not be about another.
                    self.line(&format!("{} = null", self.ask));
                    let shown: Vec<String> = below.iter().map(|name| typed_string(name)).collect();
                    let questions =
                        format!("[ {{ below = [ {} ]; names = [ name ]; every = {every}; }} ]", shown.join(" "));
                    self.line(&format!(
                        "{} = at: thrown: name: {}",
                        self.ask,
                        self.call(first, &format!("inherit at thrown; questions = {questions};"))
                    ));
                    self.about = Some((first.clone(), below.to_vec(), *every));
                }
                self.line(&format!("{} {index} {thrown} {}", self.ask, typed_string(name)));
            }
            Question::Names { .. } | Question::Same { .. } => {
                let asked = query::numbered(&self.mark, open, true);
                self.line(&format!("{} {{ inherit {first}; }} (builtins.fromJSON {})", self.query, typed_json(&asked)));
                self.about = None;
            }
        }
    }

    fn call(&self, first: &str, asked: &str) -> String {
        let outputs = if first.is_empty() { String::new() } else { format!("inherit {first};") };
        format!("{} {{ {outputs} }} {{ mark = {}; guarded = false; {asked} }}", self.query, typed_string(&self.mark))
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A part says when it is done: what comes then is no message for a question in it.
    fn end_part(&mut self) {
        if !self.text.is_empty() {
            self.line(&self.call("", NOTHING));
            self.parts.push_back(std::mem::take(&mut self.text));
        }
    }

    fn end(mut self) -> VecDeque<String> {
        self.end_part();
        self.parts
    }
}
