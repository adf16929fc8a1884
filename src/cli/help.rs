//! Help that fits: `-h` shows what most people need, `--help` everything and examples. In: the command line as clap derives it. Out: the
//! same with options hidden from the short help.

use std::ffi::OsString;

use clap::{Arg, ColorChoice, Command};

use super::color::Color;
use crate::choice::Choice;

/// Options of the planning commands that `-h` shows.
const PLANNING: [&str; 7] = ["flake", "select", "system", "base", "granularity", "history", "provider"];

/// The same of `nixdag build`.
const BUILD: [&str; 11] = [
    "bundle",
    "bundle_sha256",
    "plan",
    "job",
    "workspace",
    "handoff",
    "cache",
    "results",
    "verdict",
    "on_missing",
    "push",
];

/// The same of `nixdag worker`.
const WORKER: [&str; 8] = ["bundle", "bundle_sha256", "number", "gate", "names", "run", "cache", "results"];

/// What is the command's own, which `-h` always shows.
const OWN: [&str; 10] = ["format", "json", "output", "level", "attribute", "check", "bundle", "merge", "help", "quiet"];

/// Commands with more options than fit on a screen.
const LONG: [(&str, &[&str]); 6] = [
    ("plan", &PLANNING),
    ("graph", &PLANNING),
    ("explain", &PLANNING),
    ("generate", &PLANNING),
    ("build", &BUILD),
    ("worker", &WORKER),
];

/// Commands with examples.
const EXAMPLES: [(&str, &[(&str, &str)]); 18] = [
    (
        "plan",
        &[
            ("nixdag plan", "what the flake of this folder needs"),
            ("nixdag plan --select 'packages.*.{hello,world}' --all-systems", "some packages, on every system"),
            ("nixdag plan --base auto", "only what this branch changes"),
            ("nixdag plan github:owner/repo --json", "another flake, for programs"),
        ],
    ),
    ("init", &[("nixdag init --dry-run", "what it would write"), ("nixdag init --provider gitlab", "for GitLab")]),
    (
        "graph",
        &[
            ("nixdag graph -o plan.md", "the jobs, for Markdown"),
            ("nixdag graph --level derivations -o plan.dot", "the derivations, for Graphviz"),
        ],
    ),
    (
        "explain",
        &[
            ("nixdag explain hello", "packages.<system>.hello of this folder's flake"),
            ("nixdag explain hello --base main", "and what makes it differ from the branch main"),
        ],
    ),
    (
        "generate",
        &[
            ("nixdag generate -o config.yml", "a preview"),
            ("nixdag generate --bundle bundle -o config.yml", "a configuration that runs"),
            ("nixdag generate --check -o config.yml", "is the file what the plan says?"),
        ],
    ),
    (
        "build",
        &[
            ("nixdag build --plan plan.json --job hello", "one job of a plan, on this machine"),
            ("nixdag build --verdict results", "end with the verdict of a job that has run"),
        ],
    ),
    (
        "worker",
        &[
            ("nixdag worker --bundle bundle --names /shared/names --number 0", "the first worker of a plan"),
            ("nixdag worker --bundle bundle --names /shared/names --gate", "what all of them have done"),
        ],
    ),
    (
        "check",
        &[
            ("nixdag check .circleci/config.yml", "would CircleCI refuse it?"),
            ("nixdag check --provider gitlab pipeline.yml", "a file whose name does not say what it is for"),
        ],
    ),
    (
        "report",
        &[
            ("nixdag report results", "what the jobs have recorded that left their results in this folder"),
            ("nixdag report --plan plan.json -o report.html results", "the page, beside the plan"),
            ("nixdag report --format trace -o trace.json results", "a time line, for Perfetto"),
        ],
    ),
    (
        "history",
        &[
            ("nixdag history records", "what takes longest and what fails"),
            ("nixdag history records --format csv -o builds.csv", "what was measured, for a spreadsheet"),
        ],
    ),
    (
        "collect",
        &[(
            "nixdag collect --plan plan.json --into history/records.json results",
            "add what this pipeline recorded to that of earlier ones",
        )],
    ),
    (
        "comment",
        &[(
            "nixdag comment --provider github --token-variable GITHUB_TOKEN comment.md",
            "in a job of the pull request",
        )],
    ),
    ("continue", &[("nixdag continue config.yml", "in a CircleCI setup job")]),
    (
        "forget",
        &[(
            "nixdag forget --packages https://gitlab.com/api/v4/projects/1/packages/generic/nixdag/7",
            "what pipeline 7 left in the registry",
        )],
    ),
    ("doctor", &[("nixdag doctor", "the settings of this folder, as its CI uses them")]),
    (
        "schema",
        &[
            ("nixdag schema > nixdag.schema.json", "the schema of nixdag.yml"),
            ("nixdag schema report", "the schema of `nixdag report --format json`"),
        ],
    ),
    ("completions", &[("nixdag completions bash > nixdag.bash", "for bash")]),
    ("man", &[("nixdag man plan | man -l -", "the manual page of `nixdag plan`")]),
];

/// What values are called that are numbers.
const NUMBERS: [&str; 6] = ["N", "K", "SECONDS", "MB", "DAYS", "PERCENT"];

/// What `-h` says last where it leaves something out.
const MORE: &str = "`--help` has all options, and examples.";

/// Hides what few people need from `-h`, and adds examples to `--help`.
pub fn with_examples(mut command: Command) -> Command {
    for (name, shown) in LONG {
        command = command.mut_subcommand(name, |command| {
            let keeps = |id: &str| shown.contains(&id) || (name != "build" && OWN.contains(&id));
            command
                .mut_args(|argument| {
                    let hides = !argument.is_positional() && !keeps(argument.get_id().as_str());
                    if hides { argument.hide_short_help(true) } else { argument }
                })
                .after_help(MORE)
        });
    }
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |command| command.mut_args(with_negative_numbers));
    }
    for (name, examples) in EXAMPLES {
        let width = examples.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let lines: Vec<String> = examples.iter().map(|(line, what)| format!("  {line:width$}  # {what}")).collect();
        command =
            command.mut_subcommand(name, |command| command.after_long_help(format!("Examples:\n{}", lines.join("\n"))));
    }
    command
}

/// Lets a number be negative, so that the message about it says which numbers there are.
fn with_negative_numbers(argument: Arg) -> Arg {
    let names = argument.get_value_names().unwrap_or_default();
    let is_number = names.first().is_some_and(|name| NUMBERS.contains(&name.as_str()));
    if is_number { argument.allow_negative_numbers(true) } else { argument }
}

/// Example command lines of a command, each with what it does.
pub fn examples(command: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| examples)
}

/// What `--color` says, for help and errors that are printed before the command line has been read.
pub fn color(arguments: impl Iterator<Item = OsString>) -> ColorChoice {
    let arguments: Vec<String> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
    let value = |at: usize| match arguments[at].split_once('=') {
        Some(("--color", value)) => Some(value),
        None if arguments[at] == "--color" => arguments.get(at + 1).map(String::as_str),
        _ => None,
    };
    match (0..arguments.len()).find_map(value).map(Color::parse) {
        Some(Ok(Color::Always)) => ColorChoice::Always,
        Some(Ok(Color::Never)) => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, command};
    use super::*;

    #[test]
    fn short_help_fits_on_a_screen_and_says_where_the_rest_is() {
        let mut command = command().term_width(100);
        command.build();
        assert!(command.render_help().to_string().lines().count() <= 40);
        for subcommand in command.get_subcommands_mut() {
            let name = subcommand.get_name().to_owned();
            let mut subcommand = subcommand.clone().term_width(100);
            let (short, long) = (subcommand.render_help().to_string(), subcommand.render_long_help().to_string());
            assert!(short.lines().count() <= 48, "`nixdag {name} -h` has {} lines:\n{short}", short.lines().count());
            assert!(short.lines().count() <= long.lines().count(), "{name}");
        }
    }

    #[test]
    fn examples_are_command_lines() {
        for (line, _) in EXAMPLES.iter().flat_map(|(_, examples)| examples.iter()) {
            // What a shell does with the output is not nixdag's.
            let line = line.split(" | ").next().and_then(|line| line.split(" > ").next()).unwrap();
            let words = line.split(' ').map(|word| word.trim_matches('\''));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn color_is_known_before_anything_else() {
        let of = |words: &[&str]| color(words.iter().map(OsString::from));
        assert_eq!(of(&["nixdag", "--color=always", "x"]), ColorChoice::Always);
        assert_eq!(of(&["nixdag", "x", "--color", "never"]), ColorChoice::Never);
        assert_eq!(of(&["nixdag", "--color"]), ColorChoice::Auto);
    }
}
