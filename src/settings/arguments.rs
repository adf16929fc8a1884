//! The command line of every planning command: what to plan, and the options that shape the plan.

use std::path::PathBuf;

use clap::Args;

use super::caches::AvailabilityFlags;
use super::change::ChangeFlags;
use super::delivery::HandOffFlags;
use super::evaluation::EvaluationFlags;
use super::machines::MachineFlags;
use super::planning::PlanningFlags;
use super::provider::ProviderFlags;
use super::selection::SelectionFlags;

/// What every planning command takes.
#[derive(Debug, Args)]
pub struct Planning {
    /// The flake: a path, `git+file:`, `github:owner/repo`, … [default: .]
    #[arg(value_name = "FLAKE", conflicts_with_all = ["plan", "roots"])]
    pub flake: Option<String>,

    /// Take a plan that `nixdag plan --format json` printed
    #[arg(long, value_name = "FILE", help_heading = "Instead of a flake", conflicts_with_all = ["roots", "SelectionFlags", "EvaluationFlags", "AvailabilityFlags", "PlanningFlags", "MachineFlags"])]
    pub plan: Option<PathBuf>,
    /// Take a recorded evaluation: JSON from attribute to derivation path
    #[arg(long, value_name = "FILE", help_heading = "Instead of a flake", conflicts_with = "EvaluationFlags")]
    pub roots: Option<PathBuf>,
    /// Read `.drv` files from this folder [default: the store directory]
    #[arg(long, value_name = "DIR", help_heading = "Instead of a flake", conflicts_with = "flake")]
    pub drv_dir: Option<PathBuf>,

    #[command(flatten)]
    pub selection: SelectionFlags,
    #[command(flatten)]
    pub evaluation: EvaluationFlags,
    #[command(flatten)]
    pub availability: AvailabilityFlags,
    #[command(flatten)]
    pub change: ChangeFlags,
    #[command(flatten)]
    pub planning: PlanningFlags,
    #[command(flatten)]
    pub handoff: HandOffFlags,
    #[command(flatten)]
    pub machines: MachineFlags,
    #[command(flatten)]
    pub provider: ProviderFlags,

    /// Take settings from this file [default: nixdag.yml, else .circleci/nixdag.yml, else .gitlab/nixdag.yml, of the flake's folder]
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub settings: Option<PathBuf>,
}
