//! The reference page: every option in all its forms, by group, then what the larger keys hold, the orb's other parameters, and the flags
//! of the other commands.

use crate::support::orb;
use clap::{Arg, ArgAction, Command, CommandFactory};
use nixdag::cli::Cli;
use nixdag::settings::file::GROUPS;
use nixdag::settings::option::{OptionGroup, OptionInfo, OrbForm};
use serde_json::Value;
use serde_yaml::Value as Yaml;

const INTRODUCTION: &str = "\
# Settings

<!-- Written from the definitions in src/settings by `NIXDAG_GOLDEN=write cargo test --test settings`. Do not edit. -->

An option is set by a flag, by a key of nixdag.yml, or by a parameter of the orb's job `setup` and command `generate`. Flags win
over nixdag.yml, which wins over defaults; a parameter of the orb becomes a flag. A flag that takes a list takes one value and is
repeated for more, and replaces the list of the file. A list in a parameter of the orb is one string, separated by spaces or newlines.
If an option lacks a form, the reason is given.

`nixdag.yml` is in the flake's folder, or in its `.circleci`, `.gitlab` or `.github`; `--settings FILE` names another file. For a flake that is not a local
folder, and with `--roots` or `--plan`, nixdag looks for it in the working directory. Unknown keys and wrong types are errors with line and
column.

`nixdag schema` prints the JSON schema of the file, which is also [nixdag.schema.json](https://github.com/org/nixdag/blob/main/src/settings/nixdag.schema.json). Editors
complete and check the file if its first line is `# yaml-language-server: $schema=PATH_OR_URL_OF_THE_SCHEMA`.
";

/// The page.
pub fn text() -> String {
    let mut page = INTRODUCTION.to_owned();
    for group in GROUPS {
        let command = (group.command)();
        page.push_str(&format!("\n## {}\n\n{}.\n", group.title, group.about));
        for option in group.options {
            let argument = command.get_arguments().find(|argument| argument.get_id() == option.name);
            page.push_str(&entry(group, option, argument));
        }
    }
    page.push_str(&orb_only());
    page.push_str(&other_flags());
    page
}

fn entry(group: &OptionGroup, option: &OptionInfo, argument: Option<&Arg>) -> String {
    let name = option.key.unwrap_or(option.name);
    let name = if group.under.is_empty() || option.key.is_err() { name.to_owned() } else { full(group, name) };
    let mut entry = format!("\n### `{name}`\n\n{}.\n\n", option.about);
    let values = argument.map(Arg::get_possible_values).unwrap_or_default();
    for value in values.iter().filter_map(|value| Some((value.get_name(), value.get_help()?))) {
        entry.push_str(&format!("- `{}`: {}\n", value.0, value.1));
    }
    match (argument, option.no_flag) {
        (Some(argument), None) => entry.push_str(&format!("- flag: {}\n", usage(argument))),
        (_, reason) => entry.push_str(&format!("- no flag: {}\n", reason.unwrap_or_default())),
    }
    match option.key {
        Ok(key) => {
            let value = value(&option.schema());
            entry.push_str(&format!("- nixdag.yml: `{}`, {value}\n", full(group, key)));
        }
        Err(reason) => entry.push_str(&format!("- no key of nixdag.yml: it {reason}\n")),
    }
    match option.orb {
        Ok(parameter) => {
            let form = match parameter.form {
                OrbForm::List | OrbForm::Systems => ", a list",
                OrbForm::Switch => ", a boolean",
                OrbForm::Choice | OrbForm::Text | OrbForm::Variable | OrbForm::Own => "",
            };
            entry.push_str(&format!("- orb: `{}`{form}\n", parameter.name));
        }
        Err(reason) => entry.push_str(&format!("- no parameter of the orb: {reason}\n")),
    }
    if let Some(default) = option.default() {
        entry.push_str(&format!("- default: {default}\n"));
    }
    if let (Ok(_), Some(keys)) = (option.key, mapping(&option.schema())) {
        entry.push_str(&format!("\n{}", table(keys)));
    }
    entry
}

/// The key with the one that it stands under.
fn full(group: &OptionGroup, key: &str) -> String {
    if group.under.is_empty() { key.to_owned() } else { format!("{}.{key}", group.under) }
}

/// A flag as it is written, and whether it is repeated.
fn usage(argument: &Arg) -> String {
    let names: Vec<&str> = argument.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let optional = argument.get_num_args().is_some_and(|values| values.min_values() == 0);
    let takes = argument.get_action().takes_values();
    let flag = format!("--{}", argument.get_long().unwrap_or_default());
    let written = match (takes, optional) {
        (false, _) => flag,
        (true, true) => format!("{flag}[={}]", names.join(" ")),
        (true, false) => format!("{flag} {}", names.join(" ")),
    };
    let again = if matches!(argument.get_action(), ArgAction::Append) { ", repeated for more" } else { "" };
    format!("`{written}`{again}")
}

/// What a key takes, in words.
fn value(schema: &Value) -> String {
    let alternatives = schema["anyOf"].as_array().map(|all| all.iter().map(value).collect::<Vec<_>>().join(" or "));
    if let Some(alternatives) = alternatives {
        return alternatives;
    }
    let constant = |value: &Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(constant).collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = schema.get("const") {
        return constant(value);
    }
    match (schema["type"].as_str(), schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some("array"), ..) => match schema["items"]["type"].as_str() {
            Some("object") => "a list of mappings".to_owned(),
            _ => "a list".to_owned(),
        },
        (Some("object"), ..) => "a mapping".to_owned(),
        (Some("boolean"), ..) => "a boolean".to_owned(),
        (Some("integer"), Some(least), Some(most)) if most < f64::from(u32::MAX) => format!("{least} to {most}"),
        (Some("integer" | "number"), Some(least), _) => format!("a number from {least}"),
        _ => "a string".to_owned(),
    }
}

/// The keys of the mapping that a schema holds, however deep in lists and alternatives.
fn mapping(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    let below = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key));
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    schema["properties"].as_object().or_else(|| below.chain(alternatives).find_map(mapping))
}

fn table(keys: &serde_json::Map<String, Value>) -> String {
    let mut table = "| key | value | meaning |\n|---|---|---|\n".to_owned();
    let mut nested = String::new();
    for (key, schema) in keys {
        let about = schema["description"].as_str().unwrap_or_default();
        table.push_str(&format!("| `{key}` | {} | {} |\n", value(schema), cell(about)));
        if let Some(keys) = mapping(schema) {
            nested.push_str(&format!("\nUnder `{key}`:\n\n{}", self::table(keys)));
        }
    }
    table + &nested
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The parameters of the orb's job `setup` that are no options of nixdag.
fn orb_only() -> String {
    let job = orb::read(&orb::source().join("jobs/setup.yml")).expect("the orb has a job `setup`");
    let options: Vec<&str> = GROUPS
        .iter()
        .flat_map(|group| group.options)
        .filter_map(|option| option.orb.ok().filter(|parameter| parameter.form != OrbForm::Own))
        .map(|parameter| parameter.name)
        .collect();
    let mut text =
        "\n## More parameters of the orb\n\nParameters of the job `nixdag/setup` that the orb itself sees to.\n\n\
                    | parameter | type | default | meaning |\n|---|---|---|---|\n"
            .to_owned();
    for (name, declaration) in job["parameters"].as_mapping().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if options.contains(&name) {
            continue;
        }
        let words = |value: &Yaml| match value {
            Yaml::String(text) => text.clone(),
            other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
        };
        let kind = match declaration["enum"].as_sequence() {
            Some(values) => values.iter().map(words).collect::<Vec<_>>().join("\\|"),
            None => words(&declaration["type"]),
        };
        let default = match words(&declaration["default"]) {
            text if text.is_empty() => "empty".to_owned(),
            text if text.contains("<<include") => "of this release".to_owned(),
            text => format!("`{text}`"),
        };
        text.push_str(&format!("| `{name}` | {kind} | {default} | {} |\n", cell(&words(&declaration["description"]))));
    }
    text
}

/// The flags of commands that are no options.
fn other_flags() -> String {
    let mut text =
        "\n## Flags of the commands\n\nThese belong to single commands; the options above are not repeated.\n"
            .to_owned();
    let options: Vec<&OptionInfo> = GROUPS.iter().flat_map(|group| group.options).collect();
    let help = |argument: &Arg| argument.get_help().map(ToString::to_string).unwrap_or_default();
    // `nixdag build` has flags of its own with the names of options.
    let is_option = |argument: &Arg| {
        options.iter().any(|option| argument.get_id() == option.name && help(argument) == option.help())
    };
    let command: Command = Cli::command();
    for command in command.get_subcommands() {
        let plain = |argument: &&Arg| argument.get_long().is_some() && !is_option(argument);
        let flags: Vec<&Arg> = command.get_arguments().filter(plain).collect();
        if flags.is_empty() {
            continue;
        }
        text.push_str(&format!("\n### `nixdag {}`\n\n| flag | meaning |\n|---|---|\n", command.get_name()));
        for flag in flags {
            let default: Vec<_> = flag.get_default_values().iter().filter_map(|value| value.to_str()).collect();
            let takes_values = flag.get_action().takes_values();
            let default = if default.is_empty() || !takes_values {
                String::new()
            } else {
                format!(" [default: {}]", default.join(" "))
            };
            text.push_str(&format!("| {} | {}{default} |\n", cell(&usage(flag)), cell(&help(flag))));
        }
    }
    text
}
