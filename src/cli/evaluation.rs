//! What the planning commands take about evaluation.

use std::path::PathBuf;

use clap::Args;

/// How a flake is evaluated.
#[derive(Debug, Args)]
pub struct EvaluationArgs {
    /// Take another flake for an input of the flake
    #[arg(long, value_names = ["INPUT", "FLAKE"], num_args = 2, action = clap::ArgAction::Append, help_heading = "Evaluation")]
    pub override_input: Vec<String>,
    /// Let evaluation build derivations (import from derivation)
    #[arg(long, help_heading = "Evaluation")]
    pub allow_ifd: bool,
    /// Let evaluation read the machine: files, the environment that is left, unlocked inputs; nothing of it is cached
    #[arg(long, help_heading = "Evaluation")]
    pub impure: bool,
    /// Any other setting of Nix, for evaluation
    #[arg(long, value_names = ["NAME", "VALUE"], num_args = 2, action = clap::ArgAction::Append, help_heading = "Evaluation")]
    pub option: Vec<String>,
    /// Use the settings of Nix that the flake brings along (`nixConfig`)
    #[arg(long, help_heading = "Evaluation")]
    pub accept_flake_config: bool,
    /// Let these variables of the environment through to the evaluator, which sees no others but those that Nix itself needs
    #[arg(long, value_name = "NAME", help_heading = "Evaluation")]
    pub eval_env: Vec<String>,
    /// Evaluating processes at the same time [default: by processors and memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Evaluation")]
    pub eval_workers: Option<u32>,
    /// Megabytes of memory that one of them may take [default: its share of all]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Evaluation")]
    pub eval_memory: Option<u32>,
    /// Megabytes of memory that all of them may take [default: three quarters of the machine's or container's]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Evaluation")]
    pub eval_total_memory: Option<u32>,
    /// Seconds that one attribute may take [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Evaluation")]
    pub eval_timeout: Option<u32>,
    /// Keep what was evaluated in this folder, and take it from there when nothing has changed
    #[arg(long, value_name = "DIR", help_heading = "Evaluation")]
    pub eval_cache: Option<PathBuf>,
}
