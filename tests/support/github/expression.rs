//! GitHub's expressions: text and contexts go in, a value comes out. What the documentation does not have is an error.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Number, Value};

/// Most characters of a scalar that holds an expression.
pub const SCALAR_CHARACTERS: usize = 21_000;

/// What an expression can see.
pub struct Scope<'a> {
    /// Contexts by name.
    pub contexts: &'a Map<String, Value>,
    /// What the functions of status say; none where they are not there.
    pub status: Option<Status>,
}

/// What has happened before a job or a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    pub failure: bool,
    pub cancelled: bool,
    /// Something that it needs was skipped.
    pub skipped: bool,
}

/// The value of a scalar: that of the expression where it is one expression and nothing else, else text.
pub fn scalar(text: &str, scope: &Scope) -> Result<Value> {
    if !text.contains("${{") {
        return Ok(Value::String(text.to_owned()));
    }
    ensure!(text.chars().count() <= SCALAR_CHARACTERS, "Exceeded max expression length {SCALAR_CHARACTERS}");
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        out.push_str(&rest[..at]);
        let (inner, after) = braces(&rest[at + 3..])?;
        let value = evaluate(inner, scope).with_context(|| format!("in `{inner}`"))?;
        if out.is_empty() && after.is_empty() && at == 0 && rest.len() == text.len() {
            return Ok(value);
        }
        out.push_str(&to_text(&value)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(Value::String(out))
}

/// The expression up to the closing braces, which a string may hold.
fn braces(text: &str) -> Result<(&str, &str)> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '}' if !quoted && text[at..].starts_with("}}") => return Ok((&text[..at], &text[at + 2..])),
            _ => {}
        }
    }
    bail!("an expression is not closed")
}

/// What `if:` says: an expression with or without braces, and `success()` where it names no function of status.
pub fn condition(text: Option<&str>, scope: &Scope) -> Result<bool> {
    let text = text.unwrap_or("success()").trim();
    let inner = match text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")) {
        Some(inner) if !inner.contains("${{") => inner,
        _ => {
            ensure!(!text.contains("${{"), "`if: {text}` is text, which is always true");
            text
        }
    };
    let tokens = tokens(inner)?;
    let names_status = tokens.iter().any(
        |token| matches!(token, Token::Word(word) if ["success", "failure", "always", "cancelled"].contains(&&**word)),
    );
    let value = evaluate(inner, scope).with_context(|| format!("in `if: {text}`"))?;
    let status = scope.status.unwrap_or_default();
    let success = !status.failure && !status.cancelled && !status.skipped;
    Ok(truth(&value) && (names_status || success))
}

/// The value of an expression.
pub fn evaluate(text: &str, scope: &Scope) -> Result<Value> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, scope };
    let value = parser.or()?;
    ensure!(parser.at == tokens.len(), "`{:?}` is left over", &tokens[parser.at..]);
    Ok(value)
}

/// True for what counts as true.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// A value in the middle of a text.
pub fn to_text(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        // GitHub writes `Array` and `Object`, which nobody means.
        Value::Array(_) | Value::Object(_) => bail!("a list or mapping in a text"),
    })
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [".*", "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ".", ","];

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (word, after) = quoted(&rest[1..])?;
            found.push(Token::Text(word));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            found.push(Token::Number(rest[..end].parse()?));
            rest = &rest[end..];
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).with_context(|| format!("`{rest}`"))?;
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

fn quoted(text: &str) -> Result<(String, &str)> {
    let mut word = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('\'').context("a string is not closed")?;
        word.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                word.push('\'');
                rest = after;
            }
            None => return Ok((word, rest)),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    scope: &'a Scope<'a>,
}

impl Parser<'_> {
    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expects(&mut self, sign: &str) -> Result<()> {
        ensure!(self.takes(sign), "`{sign}` is expected before {:?}", self.tokens.get(self.at));
        Ok(())
    }

    /// Both sides are evaluated: what is wrong in one is an error here that GitHub may not see.
    fn or(&mut self) -> Result<Value> {
        let mut left = self.and()?;
        while self.takes("||") {
            let right = self.and()?;
            left = if truth(&left) { left } else { right };
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Value> {
        let mut left = self.comparison()?;
        while self.takes("&&") {
            let right = self.comparison()?;
            left = if truth(&left) { right } else { left };
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Value> {
        let left = self.not()?;
        for sign in ["==", "!=", "<=", ">=", "<", ">"] {
            if self.takes(sign) {
                let right = self.not()?;
                return Ok(Value::Bool(compare(sign, &left, &right)?));
            }
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Value> {
        if self.takes("!") {
            return Ok(Value::Bool(!truth(&self.not()?)));
        }
        self.member()
    }

    fn member(&mut self) -> Result<Value> {
        let mut value = self.primary()?;
        loop {
            if self.takes(".*") {
                let Some(map) = value.as_object() else { bail!("`.*` of {value}") };
                ensure!(self.takes("."), "`.*` without a name behind it");
                let Some(Token::Word(name)) = self.tokens.get(self.at) else { bail!("a name behind the point") };
                self.at += 1;
                value = map.values().filter_map(|item| item.get(name).cloned()).collect();
            } else if self.takes(".") {
                let Some(Token::Word(name)) = self.tokens.get(self.at) else { bail!("a name behind the point") };
                self.at += 1;
                value = value.get(name).cloned().unwrap_or(Value::Null);
            } else if self.takes("[") {
                let index = self.or()?;
                self.expects("]")?;
                value = match (&value, &index) {
                    (Value::Object(map), Value::String(key)) => map.get(key).cloned().unwrap_or(Value::Null),
                    (Value::Array(items), Value::Number(number)) => {
                        let at = number.as_f64().filter(|at| at.fract() == 0.0 && *at >= 0.0).context("an index")?;
                        items.get(at as usize).cloned().unwrap_or(Value::Null)
                    }
                    _ => bail!("{index} of {value}"),
                };
            } else {
                return Ok(value);
            }
        }
    }

    fn primary(&mut self) -> Result<Value> {
        if self.takes("(") {
            let value = self.or()?;
            self.expects(")")?;
            return Ok(value);
        }
        let token = self.tokens.get(self.at).context("it ends too early")?.clone();
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Value::String(text)),
            Token::Number(number) => Ok(Number::from_f64(number).map_or(Value::Null, Value::Number)),
            Token::Word(word) => match &*word {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "null" => Ok(Value::Null),
                name if self.takes("(") => {
                    let mut arguments = Vec::new();
                    while !self.takes(")") {
                        if !arguments.is_empty() {
                            self.expects(",")?;
                        }
                        arguments.push(self.or()?);
                    }
                    self.call(name, &arguments)
                }
                name => {
                    self.scope.contexts.get(name).cloned().with_context(|| format!("there is no context `{name}` here"))
                }
            },
            Token::Sign(sign) => bail!("`{sign}` is not expected"),
        }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value> {
        let text = |at: usize| arguments.get(at).map_or(Ok(String::new()), to_text);
        if ["success", "failure", "always", "cancelled"].contains(&name) {
            ensure!(arguments.is_empty(), "`{name}()` takes nothing");
            let status = self.scope.status.with_context(|| format!("`{name}()` is for `if:`"))?;
            return Ok(Value::Bool(match name {
                "always" => true,
                "cancelled" => status.cancelled,
                "failure" => status.failure && !status.cancelled,
                _ => !status.failure && !status.cancelled && !status.skipped,
            }));
        }
        match (name, arguments.len()) {
            ("fromJSON", 1) => {
                serde_json::from_str(&text(0)?).with_context(|| format!("fromJSON of `{}`", arguments[0]))
            }
            ("toJSON", 1) => Ok(Value::String(serde_json::to_string_pretty(&arguments[0])?)),
            ("contains", 2) => Ok(Value::Bool(match &arguments[0] {
                Value::Array(items) => items.contains(&arguments[1]),
                other => to_text(other)?.to_lowercase().contains(&text(1)?.to_lowercase()),
            })),
            ("startsWith", 2) => Ok(Value::Bool(text(0)?.to_lowercase().starts_with(&text(1)?.to_lowercase()))),
            ("format", 2..) => {
                let mut out = text(0)?;
                for at in 1..arguments.len() {
                    out = out.replace(&format!("{{{}}}", at - 1), &text(at)?);
                }
                Ok(Value::String(out))
            }
            _ => bail!("this stand-in has no function `{name}` of {} arguments", arguments.len()),
        }
    }
}

/// Text without regard to case; values of different types as numbers.
fn compare(sign: &str, left: &Value, right: &Value) -> Result<bool> {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.to_lowercase().cmp(&right.to_lowercase())),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            bail!("lists and mappings are the same only where they are one")
        }
        _ => number(left).partial_cmp(&number(right)),
    };
    Ok(match sign {
        "==" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null | Value::Bool(false) => 0.0,
        Value::Bool(true) => 1.0,
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) if text.trim().is_empty() => 0.0,
        Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}
