//! Which command of a configuration calls which. In: the configuration. Out: its commands, each behind those that it calls, or a problem.

use std::collections::HashMap;

use serde_yaml::{Mapping, Value};

use crate::provider::yaml::lenient::map;
use crate::topological::{InDegrees, by_rank};

/// The commands, each after all those that it calls. Where they call each other without an end, a sentence that names them.
pub(super) fn in_order(top: &Mapping) -> Result<Vec<&str>, String> {
    let commands = map(top, "commands");
    let names: Vec<&str> = commands.keys().filter_map(Value::as_str).collect();
    let numbers: HashMap<&str, u32> = names.iter().zip(0..).map(|(name, number)| (*name, number)).collect();
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); names.len()];
    let mut called = vec![0; names.len()];
    for (caller, &name) in (0..).zip(&names) {
        let steps = commands.get(name).and_then(|command| command.get("steps"));
        each_step(steps, &mut |step, _| {
            if let Some(&number) = numbers.get(step) {
                callers[number as usize].push(caller);
                called[caller as usize] += 1;
            }
        });
    }
    match by_rank(InDegrees::new(called), |number| callers[number as usize].iter().copied(), |_| ()) {
        Ok(order) => Ok(order.into_iter().map(|number| names[number as usize]).collect()),
        Err(left) => {
            let waiting: Vec<String> =
                left.waiting().take(5).map(|number| format!("`{}`", names[number as usize])).collect();
            Err(format!(
                "commands call themselves, or each other, without an end: {} and what calls them",
                waiting.join(", ")
            ))
        }
    }
}

/// Hands on the name of each step and the whole of it, those under `when` and `unless` in their place.
pub(super) fn each_step<'a>(list: Option<&'a Value>, each: &mut impl FnMut(&'a str, &'a Value)) {
    for step in list.and_then(Value::as_sequence).into_iter().flatten() {
        let name = match step {
            Value::String(name) => Some(name.as_str()),
            _ => step.as_mapping().and_then(|step| step.keys().next()).and_then(Value::as_str),
        };
        match name {
            Some(name @ ("when" | "unless")) => each_step(step.get(name).and_then(|body| body.get("steps")), each),
            Some(name) => each(name, step),
            None => each("", step),
        }
    }
}
