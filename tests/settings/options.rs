//! Options: each has all of its forms or says why not, and what is written from their definitions is what stands in the repository.
//! `NIXDAG_GOLDEN=write` writes it anew.

mod orb_blocks;
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{golden, orb};
use clap::CommandFactory;
use nixdag::cli::Cli;
use nixdag::settings::file::{GROUPS, SettingsFile};
use nixdag::settings::option::{OptionGroup, OptionInfo};
use serde_json::Value;

/// Flags of the planning commands that say what to plan and where to write, not how.
const ARGUMENTS: [&str; 12] = [
    "flake",
    "plan",
    "roots",
    "drv_dir",
    "settings",
    "attribute",
    "format",
    "json",
    "output",
    "level",
    "check",
    "bundle",
];

fn options() -> impl Iterator<Item = (&'static OptionGroup, &'static OptionInfo)> {
    GROUPS.iter().flat_map(|group| group.options.iter().map(move |option| (group, option)))
}

/// What the schema says of the key of an option.
fn schema_of(group: &OptionGroup, key: &str) -> Value {
    let schema: Value = serde_json::from_str(&SettingsFile::schema_text()).unwrap();
    let group = if group.under.is_empty() { &schema } else { &schema["properties"][group.under] };
    group["properties"][key].clone()
}

#[test]
fn an_option_has_each_form_or_says_why_not() {
    let mut names = BTreeSet::new();
    let command = Cli::command();
    let generate = command.find_subcommand("generate").unwrap();
    for (group, option) in options() {
        assert!(names.insert(option.name), "two options have the name `{}`", option.name);
        assert!(option.about.len() > 10 && !option.about.ends_with('.'), "`{}`: {}", option.name, option.about);
        let flag = generate.get_arguments().find(|argument| argument.get_id() == option.name);
        match option.no_flag {
            None => assert_eq!(flag.unwrap().get_help().unwrap().to_string(), option.help()),
            Some(reason) => assert!(flag.is_none() && reason.len() > 10, "`{}`", option.name),
        }
        match option.key {
            Ok(key) => assert_eq!(schema_of(group, key)["description"], option.about, "`{key}`"),
            Err(reason) => assert!(reason.len() > 10, "`{}`", option.name),
        }
        match option.orb {
            Ok(parameter) => {
                for file in ["commands/generate.yml", "jobs/setup.yml"] {
                    let component = orb::read(&orb::source().join(file)).unwrap();
                    let declaration = &component["parameters"][parameter.name];
                    assert!(declaration["description"].is_string(), "{file} has no parameter `{}`", parameter.name);
                }
            }
            Err(reason) => assert!(reason.len() > 10, "`{}`", option.name),
        }
    }
}

#[test]
fn no_flag_and_no_key_stands_outside_the_table() {
    let names: BTreeSet<&str> = options().map(|(_, option)| option.name).collect();
    for name in ["plan", "graph", "explain", "generate"] {
        let command = Cli::command();
        for argument in command.find_subcommand(name).unwrap().get_arguments() {
            let id = argument.get_id().as_str();
            assert!(names.contains(id) || ARGUMENTS.contains(&id), "`nixdag {name}`: `{id}` is in no group of options");
        }
    }
    let schema: Value = serde_json::from_str(&SettingsFile::schema_text()).unwrap();
    let known: BTreeSet<&str> =
        options().filter(|(group, _)| group.under.is_empty()).filter_map(|(_, option)| option.key.ok()).collect();
    for key in schema["properties"].as_object().unwrap().keys() {
        let is_group = GROUPS.iter().any(|group| group.under == key);
        assert!(is_group || known.contains(key.as_str()), "the key `{key}` is in no group of options");
    }
}

#[test]
fn what_widens_trust_is_not_for_the_file_to_say() {
    for (text, flag) in [
        ("evaluation: { impure: true }", "--impure"),
        ("evaluation: { allow_ifd: true }", "--allow-ifd"),
        ("evaluation: { option: [a, b] }", "--option"),
        ("evaluation: { eval_env: [TOKEN] }", "--eval-env"),
        ("evaluation: { accept_flake_config: true }", "--accept-flake-config"),
    ] {
        let error = format!("{:#}", SettingsFile::parse(text).unwrap_err());
        assert!(error.contains(&format!("only the flag `{flag}`: it widens")), "{text}: {error}");
        assert!(error.contains("at line 1 column 15"), "{text}: {error}");
    }
}

#[test]
fn the_reference_page_is_written_from_the_definitions() {
    golden::check("docs/settings.md", &reference::text());
}

#[test]
fn the_orb_the_component_and_the_action_are_written_from_the_definitions() {
    for file in [
        "orb/src/commands/generate.yml",
        "orb/src/jobs/setup.yml",
        "orb/src/scripts/generate.sh",
        "gitlab/templates/nixdag/template.yml",
        "github/plan/action.yml",
    ] {
        let file = Path::new(file);
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        golden::check(file.to_str().unwrap(), &orb_blocks::filled(&text));
    }
}
