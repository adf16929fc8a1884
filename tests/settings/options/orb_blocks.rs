//! The parts of the orb's source that come from the definitions of options. In: a file with pairs of lines `# options: KIND` and
//! `# options: end`. Out: the same with what belongs between them.

use std::fs;

use crate::support::orb;
use clap::Arg;
use nixdag::settings::file::GROUPS;
use nixdag::settings::option::{OptionInfo, OrbForm, OrbParameter};

/// The file with its blocks filled.
pub fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        filled.push_str(line);
        filled.push('\n');
        let Some(kind) = line.trim_start().strip_prefix("# options: ") else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        for written in block(kind).iter().flat_map(|text| text.split('\n')) {
            let space = if written.is_empty() { "" } else { indent };
            filled.push_str(&format!("{space}{written}\n"));
        }
        let end = lines.find(|line| line.trim() == "# options: end");
        filled.push_str(&format!("{}\n", end.unwrap_or_else(|| panic!("`{line}` has no end"))));
    }
    filled
}

fn block(kind: &str) -> Vec<String> {
    if kind == "install" {
        let script = orb::source().join("scripts/install.sh");
        return vec![fs::read_to_string(script).unwrap().trim_end().to_owned()];
    }
    parameters()
        .flat_map(|(option, parameter, argument)| match kind {
            "parameters" => declaration(option, parameter, &argument),
            "environment" => vec![format!("{}: << parameters.{} >>", variable(parameter), parameter.name)],
            "values" => vec![format!("{0}: << parameters.{0} >>", parameter.name)],
            "arguments" => vec![argument_of(option, parameter)],
            "inputs" => input(parameter, declaration(option, parameter, &argument)),
            "variables" if parameter.form == OrbForm::Switch => Vec::new(),
            "variables" => vec![format!(
                "{}: {{ value: \"$[[ inputs.{} ]]\", expand: false }}",
                variable(parameter),
                input_name(parameter)
            )],
            // Whole numbers and booleans are no values of variables.
            "switches" if parameter.form == OrbForm::Switch => {
                vec![format!("{}=$[[ inputs.{} ]]", variable(parameter), input_name(parameter))]
            }
            "switches" => Vec::new(),
            "github-inputs" => action_input(declaration(option, parameter, &argument)),
            "github-environment" => vec![format!("{}: ${{{{ inputs.{} }}}}", variable(parameter), parameter.name)],
            other => panic!("`# options: {other}` is not known"),
        })
        .collect()
}

/// The options that are parameters of the orb, with their flags.
fn parameters() -> impl Iterator<Item = (&'static OptionInfo, OrbParameter, Arg)> {
    GROUPS.iter().flat_map(|group| {
        let command = (group.command)();
        group.options.iter().filter_map(move |option| {
            let parameter = option.orb.ok().filter(|parameter| parameter.form != OrbForm::Own)?;
            let argument = command.get_arguments().find(|argument| argument.get_id() == option.name)?.clone();
            Some((option, parameter, argument))
        })
    })
}

fn variable(parameter: OrbParameter) -> String {
    format!("PARAM_{}", parameter.name.to_uppercase())
}

fn declaration(option: &OptionInfo, parameter: OrbParameter, argument: &Arg) -> Vec<String> {
    let unset = match (parameter.form, option.default(), option.key) {
        (OrbForm::Switch, ..) => String::new(),
        (OrbForm::Variable, Some(default), _) => format!("; {default} means: use nixdag.yml, else this name"),
        (_, default, Ok(_)) => {
            let none = if parameter.form == OrbForm::Choice { "default" } else { "empty" };
            let default = default.map(|default| format!(", else {default}")).unwrap_or_default();
            format!("; {none} means: use nixdag.yml{default}")
        }
        (_, default, Err(_)) => default.map(|default| format!("; default: {default}")).unwrap_or_default(),
    };
    let list = match parameter.form {
        OrbForm::List => " (a list)",
        OrbForm::Systems => " (a list), or all",
        _ => "",
    };
    let description = format!("{}{list}{unset}", option.about).replace('\\', "\\\\").replace('"', "\\\"");
    let (kind, default) = match parameter.form {
        OrbForm::Choice => ("enum", "default".to_owned()),
        OrbForm::Switch => ("boolean", "false".to_owned()),
        OrbForm::Variable => ("env_var_name", option.default().unwrap_or_default()),
        OrbForm::Text | OrbForm::List | OrbForm::Systems | OrbForm::Own => ("string", "\"\"".to_owned()),
    };
    let mut lines =
        vec![format!("{}:", parameter.name), format!("  description: \"{description}\""), format!("  type: {kind}")];
    if parameter.form == OrbForm::Choice {
        let values = argument.get_possible_values().into_iter().map(|value| quoted(value.get_name()));
        let values: Vec<String> = ["default".to_owned()].into_iter().chain(values).collect();
        lines.push(format!("  enum: [{}]", values.join(", ")));
    }
    lines.push(format!("  default: {default}"));
    lines
}

/// An input of the component for GitLab, from a parameter of the orb.
fn input(parameter: OrbParameter, declaration: Vec<String>) -> Vec<String> {
    let lines = declaration.into_iter().enumerate().map(|(at, line)| match line.trim_start() {
        _ if at == 0 => format!("{}:", input_name(parameter)),
        "type: enum" | "type: env_var_name" => "  type: string".to_owned(),
        values if values.starts_with("enum: ") => format!("  options: {}", &values["enum: ".len()..]),
        _ => line,
    });
    lines.collect()
}

/// An input of the action for GitHub, where all values are text.
fn action_input(declaration: Vec<String>) -> Vec<String> {
    let lines = declaration.into_iter().filter(|line| !line.starts_with("  type: "));
    lines
        .map(|line| match line.strip_prefix("  enum: ") {
            Some(_) => String::new(),
            None if line == "  default: false" => "  default: \"false\"".to_owned(),
            None => line,
        })
        .filter(|line| !line.is_empty())
        .collect()
}

/// The component has an input `image` of its own, for the jobs that plan.
fn input_name(parameter: OrbParameter) -> String {
    if parameter.name == "image" { "build_image".into() } else { parameter.name.into() }
}

/// A value as YAML; what would be a boolean there in quotes.
fn quoted(value: &str) -> String {
    if ["on", "off", "yes", "no", "true", "false"].contains(&value) { format!("\"{value}\"") } else { value.into() }
}

/// The line of the script that makes arguments of a parameter.
fn argument_of(option: &OptionInfo, parameter: OrbParameter) -> String {
    let flag = option.flag().expect("a parameter of the orb becomes a flag");
    let variable = variable(parameter);
    match parameter.form {
        OrbForm::List => {
            format!("for word in $(given \"${{{variable}:-}}\"); do set -- \"$@\" {flag}=\"$word\"; done")
        }
        OrbForm::Systems => format!(
            "for word in $(given \"${{{variable}:-}}\"); do\n    \
             if [ \"$word\" = all ]; then set -- \"$@\" --all-systems; else set -- \"$@\" {flag}=\"$word\"; fi\ndone"
        ),
        OrbForm::Switch => format!("if is_true \"${{{variable}:-}}\"; then set -- \"$@\" {flag}; fi"),
        OrbForm::Choice => {
            format!("value=$(chosen \"${{{variable}:-}}\"); set -- \"$@\" ${{value:+\"{flag}=$value\"}}")
        }
        OrbForm::Text | OrbForm::Own => {
            format!("value=$(given \"${{{variable}:-}}\"); set -- \"$@\" ${{value:+\"{flag}=$value\"}}")
        }
        OrbForm::Variable => format!(
            "value=$(given \"${{{variable}:-}}\")\n\
             if [ \"$value\" != {} ]; then set -- \"$@\" ${{value:+\"{flag}=$value\"}}; fi",
            option.default().unwrap_or_default()
        ),
    }
}
