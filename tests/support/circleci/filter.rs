//! Filters of jobs: expressions over pipeline values, and the older form with branches and tags.

use anyhow::{Context, Result, bail, ensure};
use serde_yaml::Value;

use super::Facts;
use super::document::{mapping, strings};

/// True if a job with these filters runs.
pub fn runs(filters: Option<&Value>, facts: &Facts, place: &str) -> Result<bool> {
    let (branch, tag) = (&*facts.branch, &*facts.tag);
    match filters {
        None => Ok(!branch.is_empty()),
        Some(Value::String(expression)) => {
            ensure!(!expression.contains("<<"), "{place}: a filter takes no `<<`");
            let tokens = tokens(expression)?;
            let mut parser = Parser { tokens: &tokens, facts };
            let value = parser.or()?;
            ensure!(parser.tokens.is_empty(), "{place}: `{expression}` goes on behind its end");
            Ok(value)
        }
        Some(map) => {
            let map = mapping(map, &format!("{place}: `filters`"), &["branches", "tags"])?;
            let allowed = |kind: &str, name: &str, otherwise: bool| -> Result<bool> {
                let Some(rules) = map.get(kind) else { return Ok(otherwise) };
                let rules = mapping(rules, place, &["only", "ignore"])?;
                let only = strings(rules, "only", place)?;
                let ignore = strings(rules, "ignore", place)?;
                Ok((only.is_empty() || matches(&only, name)?) && !matches(&ignore, name)?)
            };
            if tag.is_empty() { allowed("branches", branch, true) } else { allowed("tags", tag, false) }
        }
    }
}

fn matches(rules: &[String], name: &str) -> Result<bool> {
    for rule in rules {
        ensure!(!rule.starts_with('/') || rule == "/.*/", "of regular expressions the stand-in knows `/.*/` only");
        if rule == "/.*/" || rule == name {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tokens(text: &str) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' => 1,
            '"' => rest[1..].find('"').context("a quote that does not end")? + 2,
            '=' | '!' => 2,
            _ => rest.find(|c: char| c.is_whitespace() || "()\"=!".contains(c)).unwrap_or(rest.len()),
        };
        tokens.push(rest.get(..length).context("an operator that does not end")?.to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [String],
    facts: &'a Facts,
}

impl Parser<'_> {
    fn next_is(&mut self, word: &str) -> bool {
        let found = self.tokens.first().is_some_and(|token| token == word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn or(&mut self) -> Result<bool> {
        let mut value = self.and()?;
        while self.next_is("or") {
            value |= self.and()?;
        }
        Ok(value)
    }

    fn and(&mut self) -> Result<bool> {
        let mut value = self.not()?;
        while self.next_is("and") {
            value &= self.not()?;
        }
        Ok(value)
    }

    fn not(&mut self) -> Result<bool> {
        if self.next_is("not") {
            return Ok(!self.not()?);
        }
        if self.next_is("(") {
            let value = self.or()?;
            ensure!(self.next_is(")"), "a parenthesis that does not close");
            return Ok(value);
        }
        let left = self.operand()?;
        if self.next_is("==") {
            return Ok(left == self.operand()?);
        }
        if self.next_is("!=") {
            return Ok(left != self.operand()?);
        }
        if self.next_is("starts-with") {
            return Ok(left.starts_with(&self.operand()?));
        }
        Ok(!left.is_empty() && left != "false")
    }

    fn operand(&mut self) -> Result<String> {
        let (first, rest) = self.tokens.split_first().context("an expression that ends too early")?;
        self.tokens = rest;
        Ok(match &**first {
            "pipeline.git.branch" => self.facts.branch.clone(),
            "pipeline.git.tag" => self.facts.tag.clone(),
            "pipeline.git.revision" => self.facts.revision.clone(),
            "true" | "false" => first.clone(),
            quoted if quoted.starts_with('"') => quoted.trim_matches('"').to_owned(),
            other => bail!("`{other}` is nothing that a filter knows"),
        })
    }
}
