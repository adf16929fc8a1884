//! Reads YAML that people wrote for a provider into the tree that is written: aliases and merge keys resolved, unquoted words as
//! YAML 1.1 takes them. In: a file's text, untrusted. Out: the entries of its mapping, or an error with the line at fault.
//!
//! What an alias repeats counts each time that it does, so that a few lines cannot stand for more than a configuration may hold.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, anyhow, bail, ensure};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Yaml, scalar};
use crate::printable::printable;
use crate::yaml::{MAX_BRACKETS, MAX_WEIGHT, NODE_WEIGHT, check_nesting, scan_error};

/// Mappings and sequences that may be open at once.
const MAX_DEPTH: usize = 100;

/// An entry of the document's mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Yaml,
    /// Something in it has an anchor: it may be there only to be repeated.
    pub has_anchor: bool,
}

/// Reads a document that is a mapping; an empty one has no entries.
pub fn read(text: &str) -> Result<Vec<Entry>> {
    read_tagged(text, false)
}

/// The same, with GitLab's `!reference [a, b]` as [`Yaml::Reference`].
pub fn read_with_references(text: &str) -> Result<Vec<Entry>> {
    read_tagged(text, true)
}

fn read_tagged(text: &str, references: bool) -> Result<Vec<Entry>> {
    check_nesting(text, MAX_BRACKETS)?;
    let parser = Parser::new_from_str(text);
    let mut reader = Reader { parser, references, anchors: HashMap::new(), anchored: 0, weight: 0 };
    let (first, span) = reader.content()?;
    let entries = match first {
        Event::StreamEnd => return Ok(Vec::new()),
        Event::MappingStart(..) => reader.entries(1)?,
        Event::Scalar(word, ScalarStyle::Plain, ..)
            if scalar::resolve(&word).is_ok_and(|value| value == Yaml::Null) =>
        {
            Vec::new()
        }
        _ => return Err(at(span, anyhow!("a mapping with keys such as `jobs` is expected"))),
    };
    let (end, span) = reader.content()?;
    ensure!(end == Event::StreamEnd, "line {}: a second document in one file", span.start.line());
    Ok(entries)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Whether `!reference` is read.
    references: bool,
    /// By number; what has an anchor is there when it is complete.
    anchors: HashMap<usize, Yaml>,
    /// Anchors seen so far.
    anchored: usize,
    /// What has been read and repeated so far.
    weight: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(Event<'_>, Span)> {
        let event = self.parser.next_event().context("the text ends early")?;
        event.map_err(|error| scan_error(&error))
    }

    /// The next event that is about content, or the end.
    fn content(&mut self) -> Result<(Event<'static>, Span)> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => return Ok((owned(event), span)),
            }
        }
    }

    fn spend(&mut self, weight: usize, span: Span) -> Result<()> {
        self.weight += weight;
        ensure!(
            self.weight <= MAX_WEIGHT,
            "line {}: with everything that aliases repeat, the file comes to more than {} MB",
            span.start.line(),
            MAX_WEIGHT >> 20
        );
        Ok(())
    }

    fn keep(&mut self, anchor: usize, value: &Yaml, span: Span) -> Result<()> {
        if anchor > 0 {
            self.anchored += 1;
            self.spend(weight(value), span)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'static>, span: Span, depth: usize) -> Result<Yaml> {
        ensure!(depth <= MAX_DEPTH, "line {}: nested more than {MAX_DEPTH} deep", span.start.line());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(NODE_WEIGHT + text.len(), span)?;
                let value = value(&text, style, tag.as_deref()).map_err(|error| at(span, error))?;
                self.keep(anchor, &value, span)?;
                Ok(value)
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| at(span, anyhow!("an alias inside of what it repeats")))?;
                self.spend(weight(&value), span)?;
                Ok(value)
            }
            Event::SequenceStart(anchor, tag) => {
                let is_reference = self.references && tag.as_deref().is_some_and(is_reference);
                if !is_reference {
                    refuse(tag.as_deref(), "seq").map_err(|error| at(span, error))?;
                }
                self.spend(NODE_WEIGHT, span)?;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.content()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, span, depth + 1)?);
                }
                let value = if is_reference {
                    Yaml::Reference(place(items).map_err(|error| at(span, error))?)
                } else {
                    Yaml::List(items)
                };
                self.keep(anchor, &value, span)?;
                Ok(value)
            }
            Event::MappingStart(anchor, tag) => {
                refuse(tag.as_deref(), "map").map_err(|error| at(span, error))?;
                self.spend(NODE_WEIGHT, span)?;
                let entries = self.entries(depth + 1)?;
                let value = Yaml::Map(entries.into_iter().map(|entry| (entry.key, entry.value)).collect());
                self.keep(anchor, &value, span)?;
                Ok(value)
            }
            _ => Err(at(span, anyhow!("the text ends early"))),
        }
    }

    /// The entries of a mapping that has begun, up to its end.
    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = HashSet::new();
        let mut merged = None;
        loop {
            let (event, span) = self.content()?;
            if event == Event::MappingEnd {
                break;
            }
            let anchored = self.anchored;
            let key = key(&event).map_err(|error| at(span, error))?;
            if let Event::Scalar(_, _, anchor, _) = event {
                self.keep(anchor, &Yaml::text(&key), span)?;
            }
            self.spend(NODE_WEIGHT + key.len(), span)?;
            let (event, value_span) = self.content()?;
            let value = self.node(event, value_span, depth)?;
            if key == MERGE {
                let twice = merged.replace(value).is_some();
                ensure!(!twice, "line {}: two keys `<<` (write `<<: [*a, *b]`)", span.start.line());
                continue;
            }
            let shown = printable(&key);
            ensure!(keys.insert(key.clone()), "line {}: duplicate key `{shown}`", span.start.line());
            entries.push(Entry { key, value, has_anchor: self.anchored > anchored });
        }
        // Keys of the mapping itself win over merged ones, and what is merged first over what comes later.
        for (key, value) in merged.map(merges).transpose()?.unwrap_or_default() {
            if keys.insert(key.clone()) {
                entries.push(Entry { key, value, has_anchor: false });
            }
        }
        Ok(entries)
    }
}

/// The key that takes in the entries of other mappings.
const MERGE: &str = "<<";

fn at(span: Span, error: anyhow::Error) -> anyhow::Error {
    anyhow!("line {}: {error:#}", span.start.line())
}

fn owned(event: Event<'_>) -> Event<'static> {
    let tag = |tag: Option<std::borrow::Cow<'_, Tag>>| tag.map(|tag| std::borrow::Cow::Owned(tag.into_owned()));
    match event {
        Event::Scalar(text, style, anchor, of) => Event::Scalar(text.into_owned().into(), style, anchor, tag(of)),
        Event::SequenceStart(anchor, of) => Event::SequenceStart(anchor, tag(of)),
        Event::MappingStart(anchor, of) => Event::MappingStart(anchor, tag(of)),
        Event::Alias(anchor) => Event::Alias(anchor),
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingEnd => Event::MappingEnd,
        Event::StreamEnd => Event::StreamEnd,
        Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => Event::Nothing,
    }
}

/// The mappings behind a merge key, flattened.
fn merges(value: Yaml) -> Result<Vec<(String, Yaml)>> {
    match value {
        Yaml::Map(entries) => Ok(entries),
        Yaml::List(items) if items.iter().all(|item| matches!(item, Yaml::Map(_))) => Ok(items
            .into_iter()
            .flat_map(|item| if let Yaml::Map(entries) = item { entries } else { Vec::new() })
            .collect()),
        _ => bail!("`<<` merges a mapping or a list of them"),
    }
}

fn key(event: &Event<'_>) -> Result<String> {
    let Event::Scalar(text, style, _, tag) = event else { bail!("a key that is not a string") };
    if *style != ScalarStyle::Plain || tag.is_some() {
        let text = value(text, *style, tag.as_deref())?;
        let text = text.as_text().unwrap_or_default().to_owned();
        ensure!(text.trim() != MERGE, "a key `\"<<\"`: providers do not take it");
        return Ok(text);
    }
    match scalar::resolve(text)? {
        Yaml::Text(text) => Ok(text),
        _ => bail!("the key `{text}` is not a string in YAML 1.1: put it in quotes"),
    }
}

fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Yaml> {
    match (style, tag) {
        (_, Some(_)) => {
            refuse(tag, "str")?;
            Ok(Yaml::text(text))
        }
        (ScalarStyle::Plain, None) => scalar::resolve(text),
        (ScalarStyle::Literal, None) => Ok(Yaml::Script(text.to_owned())),
        (_, None) => Ok(Yaml::text(text)),
    }
}

/// True for GitLab's own tag.
fn is_reference(tag: &Tag) -> bool {
    tag.handle == "!" && tag.suffix == "reference"
}

/// The keys that a reference names.
fn place(items: Vec<Yaml>) -> Result<Vec<String>> {
    let keys = items.into_iter().map(|item| match item {
        Yaml::Text(key) => Ok(key),
        _ => bail!("`!reference` with something else than names"),
    });
    let keys: Vec<String> = keys.collect::<Result<_>>()?;
    ensure!(!keys.is_empty(), "`!reference` without a name");
    Ok(keys)
}

/// Refuses all tags but the one that says what a value is anyway.
fn refuse(tag: Option<&Tag>, allowed: &str) -> Result<()> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == allowed) => {
            bail!("the tag `{}`: tags are not read", printable(&format!("{}{}", tag.handle, tag.suffix)))
        }
        _ => Ok(()),
    }
}

/// What a value and all in it weigh, see [`MAX_WEIGHT`].
pub(in crate::provider) fn weight(value: &Yaml) -> usize {
    NODE_WEIGHT
        + match value {
            Yaml::Map(entries) => entries.iter().map(|(key, value)| NODE_WEIGHT + key.len() + weight(value)).sum(),
            Yaml::List(items) => items.iter().map(weight).sum(),
            Yaml::Text(text) | Yaml::Script(text) | Yaml::Float(text) => text.len(),
            Yaml::Reference(keys) => keys.iter().map(|key| NODE_WEIGHT + key.len()).sum(),
            Yaml::Integer(_) | Yaml::Bool(_) | Yaml::Null => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Yaml {
        Yaml::Map(read(text).unwrap().into_iter().map(|entry| (entry.key, entry.value)).collect())
    }

    fn written(text: &str) -> String {
        super::super::to_string(&tree(text))
    }

    #[test]
    fn meaning_arrives_and_style_does_not() {
        assert_eq!(
            written("a: on\nb: 'on'\nc: [012, \"012\", 1.10, ~]\nd: |\n  x\n  y\ne: >\n  x\n  y\n'on': y\n"),
            "a: true\nb: \"on\"\nc:\n  - 10\n  - \"012\"\n  - 1.10\n  - null\nd: |\n  x\n  y\ne: \"x y\\n\"\n\"on\": \"y\"\n"
        );
        assert_eq!(written("run: echo << parameters.x >> # comment\n"), "run: \"echo << parameters.x >>\"\n");
        assert_eq!(tree("!!map {a: !!str 1}"), tree("a: \"1\""));
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        let text = "base: &base {a: 1, b: {c: 2}}\nother: &other {b: 9, d: 3}\nuse:\n  <<: [*base, *other]\n  a: 7\nlist: [*base]\n";
        let read = tree(text);
        assert_eq!(read.get("use"), Some(&tree("{a: 7, b: {c: 2}, d: 3}")));
        assert_eq!(read.get("list"), Some(&Yaml::List(vec![tree("{a: 1, b: {c: 2}}")])));
        let anchors: Vec<bool> = super::read(text).unwrap().iter().map(|entry| entry.has_anchor).collect();
        assert_eq!(anchors, [true, true, false, false]);
    }

    #[test]
    fn nothing_is_an_empty_mapping() {
        for text in ["", "# nothing\n", "---\n", "~\n", "{}"] {
            assert_eq!(read(text).unwrap(), [], "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (text, said) in [
            ("a: 1\nb: 2\na: 3\n", "line 3: duplicate key `a`"),
            ("a: 1\n---\nb: 2\n", "a second document"),
            ("- a\n", "line 1: a mapping"),
            ("text\n", "line 1: a mapping"),
            ("a: *b\n", "unknown anchor"),
            ("a: &a [*a]\n", "line 1: an alias inside of what it repeats"),
            ("a: 1\non: 2\n", "line 2: the key `on` is not a string in YAML 1.1"),
            ("a:\n  1: 2\n", "line 2: the key `1`"),
            ("[a]: 1\n", "line 1: a key that is not a string"),
            ("? [a]\n: 1\n", "not a string"),
            ("a: !secret x\n", "line 1: the tag `!secret`"),
            ("a: !!int 1\n", "the tag"),
            ("a: 2026-08-01\n", "line 1: `2026-08-01` is a date"),
            ("a: {<<: 1}\n", "`<<` merges a mapping"),
            ("a: {'<<': {}}\n", "a key `\"<<\"`"),
            ("a: &a {}\nb: {<<: *a, <<: *a}\n", "two keys `<<`"),
            ("a: [\n", ""),
            ("a: \"\\x1b[31m\n", ""),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\u{1b}'), "{text:?}: {error}");
        }
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let last = format!("*a{}", level - 1);
            laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![last; 10].join(", ")));
        }
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
        let merges = format!("a: &a {{b: {}}}\nc: [{}]\n", "x".repeat(1 << 20), vec!["{<<: *a}"; 1000].join(", "));
        for bomb in [laughs, long, merges] {
            assert!(read(&bomb).unwrap_err().to_string().contains("more than 16 MB"));
        }
        assert!(read(&format!("a: {}", "[".repeat(100_000))).is_err());
        assert!(
            read(&format!("a: {}{}", "[".repeat(200), "]".repeat(200))).unwrap_err().to_string().contains("100 deep")
        );
        let deep: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(read(&deep).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9 :&*<>{}\\[\\],\n'\"|!#~-]{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn what_is_written_is_read_back(text in ".{0,20}", key in "[a-z]{1,5}") {
            let value = Yaml::entry(key, Yaml::List(vec![Yaml::text(text), Yaml::Null, Yaml::Bool(true), Yaml::Integer(-3)]));
            proptest::prop_assert_eq!(tree(&super::super::to_string(&value)), value);
        }
    }
}
