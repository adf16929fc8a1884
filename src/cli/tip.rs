//! What helps with a flag that a command does not have. In: clap's error. Out: the same with a better tip, or without one.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use crate::nearest::listed;
use crate::settings::file::GROUPS;

/// Most commands that a tip names.
const MOST: usize = 4;

/// Replaces the tip that an unknown flag might be a value: by the flag that prints JSON, for `--json`, or by the commands that have such a
/// flag, and its key in nixdag.yml.
pub fn with_tip(mut error: Error, command: &Command) -> Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let name = std::env::args().skip(1).find(|argument| command.find_subcommand(argument).is_some());
    let own = name.as_deref().and_then(|name| command.find_subcommand(name));
    let tip = match flag.as_str() {
        "--json" => own
            .filter(|own| has_json(own))
            .map(|_| "JSON comes with `--format json`, or into a file whose name ends with `.json`".to_owned()),
        flag => elsewhere(flag, command),
    };
    // For a slip a similar flag is the best tip; a flag of other commands is not one.
    if tip.is_none() && flag != "--json" && error.get(ContextKind::SuggestedArg).is_some() {
        return error;
    }
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::Suggested);
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn has_json(command: &Command) -> bool {
    let format = command.get_arguments().find(|argument| argument.get_id() == "format");
    format.is_some_and(|format| format.get_possible_values().iter().any(|value| value.matches("json", false)))
}

/// Which commands have the flag, and the key that means the same.
fn elsewhere(flag: &str, command: &Command) -> Option<String> {
    let long = flag.strip_prefix("--")?;
    let has = |command: &&Command| command.get_arguments().any(|argument| argument.get_long() == Some(long));
    let commands: Vec<String> = command
        .get_subcommands()
        .filter(has)
        .map(|command| format!("nixdag {}", command.get_name()))
        .take(MOST)
        .collect();
    if commands.is_empty() {
        return None;
    }
    let mut groups = GROUPS.iter().flat_map(|group| group.options.iter().map(|option| (group.under, option)));
    let key = groups.find(|(_, option)| option.flag().as_deref() == Some(flag)).and_then(|(under, option)| {
        let key = option.key.ok()?;
        Some(if under.is_empty() { key.to_owned() } else { format!("{under}.{key}") })
    });
    let also = key.map(|key| format!("; in nixdag.yml it is `{key}`")).unwrap_or_default();
    Some(format!("`{flag}` is a flag of {}{also}", listed(&commands)))
}
