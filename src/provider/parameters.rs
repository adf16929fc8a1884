//! What a repository's own configuration gives to the part of nixdag that plans, read without a closer look: files of users hold whatever their
//! CI takes.
//!
//! In: a file. Out: its documents, and what one of its mappings gives, as text.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_yaml::{Deserializer, Value};

use crate::regular_file;
use crate::yaml::{MAX_BRACKETS, check_nesting, check_repetition};

/// Longest file that is read, in bytes.
const MAX_SIZE: u64 = 3 << 20;

/// The documents of a file; none where there is no such file.
pub fn documents(path: &Path) -> Result<Vec<Value>> {
    let what = || format!("cannot read `{}`", path.display());
    let file = match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.with_context(what)?,
    };
    let mut text = String::new();
    file.take(MAX_SIZE + 1).read_to_string(&mut text).with_context(what)?;
    ensure!(text.len() as u64 <= MAX_SIZE, "`{}` has more than {MAX_SIZE} bytes", path.display());
    check_nesting(&text, MAX_BRACKETS).with_context(what)?;
    check_repetition(&text).with_context(what)?;
    Deserializer::from_str(&text).map(|document| Value::deserialize(document).with_context(what)).collect()
}

/// What a mapping gives, less what is no plain value.
pub fn given(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_mapping).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), text(value)?))).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
