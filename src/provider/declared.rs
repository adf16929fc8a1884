//! What one of nixdag's own parts (orb, component, action) declares, beside what a configuration gives it.
//!
//! In: declarations, a mapping from names to `type`, `default`, `enum` or `options`, and the values that are given. Out: a sentence a problem.

use serde_yaml::{Mapping, Value};

use super::yaml::lenient::{text, text_list};
use crate::nearest::meant;

/// What does not fit. `begins` is what an expression of the CI's begins with, whose value is not known here.
pub fn problems(place: &str, declared: &Mapping, given: &Mapping, begins: &str) -> Vec<String> {
    let names: Vec<String> = declared.keys().map(text).collect();
    let mut problems = Vec::new();
    for (name, value) in given {
        let name = text(name);
        let Some(declaration) = declared.get(&*name) else {
            let meant = meant(&name, names.iter().map(String::as_str));
            problems.push(format!("{place} has no input `{name}`{meant}"));
            continue;
        };
        if value.as_str().is_some_and(|value| value.contains(begins)) {
            continue;
        }
        let kind = declaration.get("type").map(text).unwrap_or_default();
        let fits = match &*kind {
            "boolean" => value.is_bool(),
            "number" | "integer" => value.is_number(),
            "array" => value.is_sequence(),
            "string" | "enum" => value.is_string(),
            _ => true,
        };
        let choices = text_list(declaration.get("enum").or_else(|| declaration.get("options")));
        if !fits {
            problems.push(format!("{place}: the input `{name}` is a {kind}, and is given {}", said(value)));
        } else if !choices.is_empty() && !choices.contains(&text(value)) {
            let choices: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            problems.push(format!(
                "{place}: the input `{name}` is one of {}, not `{}`",
                choices.join(", "),
                text(value)
            ));
        }
    }
    let lacks = |(name, declaration): (&Value, &Value)| {
        // GitHub says which are required, the others which have a default.
        let needs = match declaration.get("required") {
            Some(required) => required == &Value::Bool(true),
            None => declaration.get("default").is_none(),
        };
        (needs && !given.contains_key(name)).then(|| format!("{place} needs the input `{}`", text(name)))
    };
    problems.extend(declared.iter().filter_map(lacks));
    problems
}

fn said(value: &Value) -> String {
    match value {
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Null => "nothing".to_owned(),
        value => format!("`{}`", text(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_has_to_be_declared_and_of_its_type() {
        let declared: Mapping = serde_yaml::from_str(
            "{a: {type: boolean, default: false}, b: {type: string}, c: {type: string, options: [x, y], default: x}}",
        )
        .unwrap();
        let of = |given: &str| problems("part", &declared, &serde_yaml::from_str(given).unwrap(), "$").join("; ");
        assert_eq!(of("{a: true, b: z, c: y}"), "");
        assert_eq!(of("{a: $X, b: $Y, c: $Z}"), "");
        assert_eq!(
            of("{a: 'true', b: 3, c: z, aa: 1}"),
            "part: the input `a` is a boolean, and is given `true`; part: the input `b` is a string, and is given `3`; \
             part: the input `c` is one of `x`, `y`, not `z`; part has no input `aa` (did you mean `a`?)"
        );
        assert_eq!(of("{}"), "part needs the input `b`");
    }
}
