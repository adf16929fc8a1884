//! The inputs that the text of a `flake.nix` declares, as far as they are plain: addresses, what follows what, which ones are flakes.
//!
//! In: the bindings of the text. Out: the inputs by name, or none where any of it is written in a way that only Nix can read.

use std::collections::BTreeMap;

use super::flake_text::{self, Bindings};

/// Names in the longest path of an attribute: `inputs.a.inputs.b.follows`.
const MAX_DEPTH: usize = 5;

/// An input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Declared<'t> {
    /// Its address; without one its name is that.
    pub url: Option<&'t str>,
    /// The path of the input that it follows.
    pub follows: Option<&'t str>,
    /// Unless it is a tree without a flake.
    pub is_flake: Option<bool>,
    /// What its own inputs follow, by name.
    pub inner: BTreeMap<&'t str, Option<&'t str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    /// Also a text where that is a name.
    Name(&'t str),
    Text(&'t str),
    Symbol(u8),
}

#[derive(Clone, Copy)]
enum Value<'t> {
    Text(&'t str),
    Bool(bool),
    Set,
}

/// The inputs, those among them that only the arguments of `outputs` name.
pub fn inputs<'t>(bindings: &Bindings<'t>) -> Option<BTreeMap<&'t str, Declared<'t>>> {
    let mut inputs = BTreeMap::new();
    for binding in &bindings.inputs {
        let mut tokens = Tokens(binding);
        let mut found = Vec::new();
        statement(&mut tokens, &mut Vec::new(), &mut found)?;
        tokens.is_end().then_some(())?;
        for (path, value) in found {
            declare(&mut inputs, &path, value)?;
        }
    }
    for name in formals(bindings.outputs?)? {
        inputs.entry(name).or_default();
    }
    inputs.remove("self").is_none_or(|own: Declared| own == Declared::default()).then_some(inputs)
}

/// Adds what one attribute says; none where that has another meaning than those above, or is said twice.
fn declare<'t>(inputs: &mut BTreeMap<&'t str, Declared<'t>>, path: &[&'t str], value: Value<'t>) -> Option<()> {
    let Some((&name, rest)) = path.get(1..)?.split_first() else {
        return matches!(value, Value::Set).then_some(());
    };
    // It is about the flake itself.
    (name != "self").then_some(())?;
    let input = inputs.entry(name).or_default();
    let is_new = match (rest, value) {
        ([] | ["inputs"], Value::Set) => true,
        (["url"], Value::Text(text)) => input.url.replace(text).is_none(),
        (["follows"], Value::Text(text)) => input.follows.replace(text).is_none(),
        (["flake"], Value::Bool(is_flake)) => input.is_flake.replace(is_flake).is_none(),
        (["inputs", inner], Value::Set) => {
            input.inner.entry(inner).or_default();
            true
        }
        (["inputs", inner, "follows"], Value::Text(text)) => {
            input.inner.entry(inner).or_default().replace(text).is_none()
        }
        _ => false,
    };
    is_new.then_some(())
}

/// Reads `a.b = value`.
fn statement<'t>(
    tokens: &mut Tokens<'t>,
    above: &mut Vec<&'t str>,
    found: &mut Vec<(Vec<&'t str>, Value<'t>)>,
) -> Option<()> {
    let length = above.len();
    loop {
        let (Token::Name(name) | Token::Text(name)) = tokens.next()? else { return None };
        above.push(name);
        match tokens.next()? {
            Token::Symbol(b'.') if above.len() < MAX_DEPTH => {}
            Token::Symbol(b'=') => break,
            _ => return None,
        }
    }
    let value = match tokens.next()? {
        Token::Text(text) => Value::Text(text),
        Token::Name("true") => Value::Bool(true),
        Token::Name("false") => Value::Bool(false),
        Token::Symbol(b'{') if above.len() < MAX_DEPTH => Value::Set,
        _ => return None,
    };
    found.push((above.clone(), value));
    while matches!(value, Value::Set) && !tokens.skip(b'}') {
        statement(tokens, above, found)?;
        tokens.skip(b';').then_some(())?;
    }
    above.truncate(length);
    Some(())
}

/// The names that a function `outputs` takes as arguments; none where it may be something else, or has defaults.
fn formals(binding: &[u8]) -> Option<Vec<&str>> {
    let mut tokens = Tokens(binding);
    let begins = [tokens.next()?, tokens.next()?] == [Token::Name("outputs"), Token::Symbol(b'=')];
    begins.then_some(())?;
    if let Token::Name(_) = tokens.clone().next()? {
        tokens.next()?;
        if tokens.skip(b':') {
            return Some(Vec::new());
        }
        tokens.skip(b'@').then_some(())?;
    }
    tokens.skip(b'{').then_some(())?;
    let mut names = Vec::new();
    while !tokens.skip(b'}') {
        match tokens.next()? {
            Token::Name(name) => names.push(name),
            Token::Symbol(b'.') if tokens.skip(b'.') && tokens.skip(b'.') => {}
            _ => return None,
        }
        (tokens.skip(b',') || tokens.0.starts_with(b"}")).then_some(())?;
    }
    if tokens.skip(b'@') {
        matches!(tokens.next()?, Token::Name(_)).then_some(())?;
    }
    tokens.skip(b':').then_some(names)
}

/// The rest of a text.
#[derive(Clone)]
struct Tokens<'t>(&'t [u8]);

impl<'t> Tokens<'t> {
    /// None at the end, and at what is unusual.
    fn next(&mut self) -> Option<Token<'t>> {
        self.skip_blanks();
        let begin = self.0;
        let (token, length) = match *begin.first()? {
            b'"' => {
                let length = memchr::memchr(b'"', &begin[1..])?;
                let text = &begin[1..=length];
                text.iter().all(|&byte| flake_text::is_of_address(byte)).then_some(())?;
                (Token::Text(str::from_utf8(text).ok()?), length + 2)
            }
            byte if flake_text::begins_name(byte) => {
                let name = &begin[..flake_text::name_length(begin)];
                (Token::Name(str::from_utf8(name).ok()?), name.len())
            }
            byte if b"{}.=;:@,".contains(&byte) => (Token::Symbol(byte), 1),
            _ => return None,
        };
        self.0 = &begin[length..];
        Some(token)
    }

    fn skip_blanks(&mut self) {
        while let Some(length) = self.0.first().and_then(|_| flake_text::blank(self.0)) {
            self.0 = &self.0[length.min(self.0.len())..];
        }
    }

    /// Goes past a byte, if it is next.
    fn skip(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn is_end(&mut self) -> bool {
        self.skip_blanks();
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<BTreeMap<&str, Declared<'_>>> {
        inputs(&flake_text::bindings(text)?)
    }

    #[test]
    fn plain_inputs_are_read() {
        let text = "{ # inputs\n inputs.a = { url = \"github:o/r\"; flake = false; }; inputs.b.follows = \"a/c\"; inputs.d = { };
                    inputs.\"e\" = { inputs = { f.follows = \"b\"; }; /* g */ }; outputs = x @ { self, b, h, ... }: { }; }";
        let found = read(text).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["a", "b", "d", "e", "h"]);
        assert_eq!((found["a"].url, found["a"].is_flake), (Some("github:o/r"), Some(false)));
        assert_eq!((found["b"].follows, &found["d"]), (Some("a/c"), &found["h"]));
        assert_eq!(found["e"].inner, BTreeMap::from([("f", Some("b"))]));
        for outputs in ["_: 1", "{ self }: 1", "inputs: { a, b }: 1", "{ self, ... }@inputs: 1", "{ }: 1"] {
            let text = format!("{{ outputs = {outputs}; }}");
            assert_eq!(read(&text), Some(BTreeMap::new()), "{outputs}");
        }
    }

    #[test]
    fn what_is_unusual_is_not_read() {
        for text in [
            "inputs = import ./inputs.nix; outputs = _: 1",
            "inputs.a = { inherit url; }; outputs = _: 1",
            "inputs.a.url = \"${\"path:\"}/x\"; outputs = _: 1",
            "inputs.a.url = x; outputs = _: 1",
            "inputs.a.type = \"path\"; outputs = _: 1",
            "inputs.a.url = \"a\"; inputs.a.url = \"b\"; outputs = _: 1",
            "inputs.a.inputs.b.url = \"c\"; outputs = _: 1",
            "inputs.a.inputs.b.inputs.c.follows = \"d\"; outputs = _: 1",
            "inputs.self.submodules = true; outputs = _: 1",
            "inputs = 5; outputs = _: 1",
            "inputs.a = {",
            "inputs.a.url = \"b\"",
            "outputs = import ./outputs.nix",
            "outputs = { self, a ? null }: 1",
            "outputs = ({ self, a }: 1)",
            "outputs = let x = 1; in { self, a }: 1",
            "outputs = _: 1; outputs = { a }: 1",
            "x = let outputs = _: 1; in 1; \"outputs\" = { a }: 1",
        ] {
            assert_eq!(read(&format!("{{ {text}; }}")), None, "{text}");
        }
    }
}
