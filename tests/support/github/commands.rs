//! Workflow commands: what a step prints that GitHub takes for more than text.

use anyhow::{Result, ensure};

/// Commands that nothing here gives.
const REFUSED: [&str; 6] = ["set-output", "set-env", "add-path", "save-state", "add-matcher", "remove-matcher"];

/// The annotations that a step's output makes, `error file=…::message`; other commands have no effect here.
pub fn annotations(printed: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut stopped: Option<String> = None;
    for line in printed.lines().map(|line| line.trim_start()) {
        if let Some(token) = &stopped {
            if line == format!("::{token}::") {
                stopped = None;
            }
            continue;
        }
        let Some((command, message)) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")) else {
            // The older form counts anywhere in a line.
            ensure!(!line.contains("##["), "a command of the older form: {line}");
            continue;
        };
        let (name, _) = command.split_once(' ').unwrap_or((command, ""));
        ensure!(!REFUSED.contains(&name), "the command `{line}`");
        match name {
            "stop-commands" => {
                ensure!(message.len() >= 32, "a token that can be guessed");
                stopped = Some(message.to_owned());
            }
            "error" | "warning" | "notice" => found.push(format!("{command}::{message}")),
            "add-mask" | "group" | "endgroup" | "debug" => {}
            other => ensure!(false, "the command `{other}`: {line}"),
        }
    }
    ensure!(stopped.is_none(), "commands stay stopped");
    Ok(found)
}
