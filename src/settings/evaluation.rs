//! How a flake is evaluated: `evaluation` in `nixdag.yml`, and what that and the flags come to.
//!
//! What widens the trust in a flake (impure evaluation, settings of Nix, variables) is for flags alone: the file comes with the flake.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::words::Count;
use super::yaml::mapping;
use crate::cli::EvaluationArgs;
use crate::nix::evaluate::BudgetRequest;

/// What `evaluation` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationEntry {
    /// `workers`
    pub workers: Option<Count>,
    /// `memory`, in megabytes
    pub memory: Option<Count>,
    /// `total_memory`, in megabytes
    pub total_memory: Option<Count>,
    /// `timeout`, in seconds
    pub timeout: Option<Count>,
    /// `cache`, a folder
    pub cache: Option<String>,
    /// `allow_ifd`
    pub allow_ifd: Option<bool>,
}

mapping!(EvaluationEntry, "a mapping of settings for evaluation", {
    "workers" => workers: "Processes that evaluate at the same time",
    "memory" => memory: "Megabytes that one of them may take",
    "total_memory" => total_memory: "Megabytes that all of them may take",
    "timeout" => timeout: "Seconds that one attribute may take",
    "cache" => cache: "A folder that keeps what was evaluated",
    "allow_ifd" => allow_ifd: "Whether evaluation may build derivations",
});

/// How a flake is evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Inputs of the flake and what to take for them.
    pub override_inputs: Vec<(String, String)>,
    /// Evaluation may build derivations.
    pub allow_import_from_derivation: bool,
    /// Evaluation may read the machine.
    pub impure: bool,
    /// Settings of Nix.
    pub options: Vec<(String, String)>,
    /// The flake's own settings of Nix count.
    pub accept_flake_config: bool,
    /// Variables that the evaluator sees beyond those that Nix needs.
    pub variables: Vec<String>,
    /// What it may take.
    pub budget: BudgetRequest,
    /// The folder with earlier results.
    pub cache: Option<PathBuf>,
}

impl Evaluation {
    /// Resolves the flags and the file.
    pub fn new(flags: &EvaluationArgs, file: Option<&EvaluationEntry>) -> Result<Self> {
        let none = EvaluationEntry::default();
        let file = file.unwrap_or(&none);
        let pairs = |values: &[String]| values.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let number = |flag: Option<u32>, entry: Option<Count>| flag.or(entry.map(|count| count.0));
        let bytes = |megabytes: u32| u64::from(megabytes) << 20;
        for name in &flags.eval_env {
            ensure!(!name.is_empty() && !name.contains(['=', '\0']), "`--eval-env`: `{name}` is no name of a variable");
        }
        Ok(Self {
            override_inputs: pairs(&flags.override_input),
            allow_import_from_derivation: flags.allow_ifd || file.allow_ifd == Some(true),
            impure: flags.impure,
            options: pairs(&flags.option),
            accept_flake_config: flags.accept_flake_config,
            variables: flags.eval_env.clone(),
            budget: BudgetRequest {
                workers: number(flags.eval_workers, file.workers),
                memory: number(flags.eval_memory, file.memory).map(bytes),
                total_memory: number(flags.eval_total_memory, file.total_memory).map(bytes),
                attribute_seconds: number(flags.eval_timeout, file.timeout).map(u64::from),
            },
            cache: flags.eval_cache.clone().or_else(|| file.cache.as_ref().map(PathBuf::from)),
        })
    }
}
