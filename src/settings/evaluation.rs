//! How a flake is evaluated: `evaluation` in `nixdag.yml`, and what that and the flags come to.
//!
//! What widens the trust in a flake (impure evaluation, settings of Nix, variables) is for flags alone: the file comes with the flake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::inputs::Inputs;
use super::option::options;
use super::repository_file;
use super::values::{Count, Number};
use super::yaml::mapping;
use crate::nix::evaluate::{BudgetRequest, InputOverride};
use crate::whole_number::whole;

/// What stands for no cache.
const OFF: &str = "off";

options! {
    /// How the flake is evaluated
    "Evaluation" under "evaluation": EvaluationFlags, EvaluationKeys, EvaluationOptions {
        /// Replace an input of the flake by another flake; a flag wins over the key for the same input, and may name a flake anywhere on this machine; a path in nixdag.yml is relative to the flake's folder
        override_input {
            flag Vec<String> [value_names = ["INPUT", "FLAKE"], num_args = 2, action = clap::ArgAction::Append];
            key "override_inputs": Inputs;
            no orb: "`extra_arguments` passes it on";
        }
        /// Let evaluation build derivations (import from derivation)
        allow_ifd {
            flag bool;
            no key: "widens what the flake's code may do, so the flake's own repository cannot say it";
            default bool = false;
            orb Switch "allow_ifd";
        }
        /// Let evaluation read files, the remaining environment and unlocked inputs; the result is not cached
        impure {
            flag bool;
            no key: "widens what the flake's code may do, so the flake's own repository cannot say it";
            default bool = false;
            orb Switch "impure";
        }
        /// Show Nix's trace with each attribute that does not evaluate
        show_trace {
            flag bool;
            no key: "is for debugging";
            default bool = false;
            no orb: "`extra_arguments` passes it on";
        }
        /// Any other setting of Nix, for evaluation
        option {
            flag Vec<String> [value_names = ["NAME", "VALUE"], num_args = 2, action = clap::ArgAction::Append];
            no key: "widens what the flake's code may do, so the flake's own repository cannot say it";
            no orb: "`extra_arguments` passes it on";
        }
        /// Use the Nix settings of the flake (`nixConfig`), including its caches and keys; for repositories whose branches trust one another
        accept_flake_config {
            flag bool;
            no key: "widens what the flake's code may do, so the flake's own repository cannot say it";
            default bool = false;
            orb Switch "accept_flake_config";
        }
        /// Pass this environment variable to the evaluator, which otherwise sees only those that Nix needs
        eval_env {
            flag Vec<String> [value_name = "NAME"];
            no key: "widens what the flake's code may do, so the flake's own repository cannot say it";
            orb List "eval_env";
        }
        /// Number of processes that evaluate in parallel
        eval_workers {
            flag Option<u32> [value_name = "N", value_parser = whole::<u32>(1, 1024)];
            key "workers": Number<1, 1024>;
            optional u32;
            unset: "by processors and memory";
            no orb: "nixdag.yml has it";
        }
        /// Memory limit of one evaluating process, in megabytes
        eval_memory {
            flag Option<u32> [value_name = "MB", value_parser = whole::<u32>(1, u32::MAX)];
            key "memory": Count;
            optional u32;
            unset: "its share of all";
            no orb: "nixdag.yml has it";
        }
        /// Memory limit of all evaluating processes together, in megabytes
        eval_total_memory {
            flag Option<u32> [value_name = "MB", value_parser = whole::<u32>(1, u32::MAX)];
            key "total_memory": Count;
            optional u32;
            unset: "three quarters of the machine's or container's";
            no orb: "nixdag.yml has it";
        }
        /// Time limit of one attribute, in seconds
        eval_timeout {
            flag Option<u32> [value_name = "SECONDS", value_parser = whole::<u32>(1, u32::MAX)];
            key "timeout": Count;
            optional u32;
            unset: "300";
            no orb: "nixdag.yml has it";
        }
        /// Sets that are entered on the way to an attribute: those that a `**` stands for, and those that ask for it (`recurseForDerivations`)
        eval_depth {
            flag Option<u32> [value_name = "N", value_parser = whole::<u32>(1, 64)];
            key "depth": Number<1, 64>;
            optional u32;
            unset: "8";
            no orb: "nixdag.yml has it";
        }
        /// Keep evaluations in this folder and reuse them when nothing has changed; `off` disables this. nixdag.yml can only name a folder of the repository
        eval_cache {
            flag Option<PathBuf> [value_name = "DIR|off"];
            key "cache": String;
            unset: "`off` in CI, elsewhere the user's cache folder";
            no orb: "`trust_branches` keeps a folder of its own in CircleCI's cache";
        }
    }
}

mapping!(EvaluationEntry, "a mapping of settings for evaluation", {}, groups { keys: EvaluationKeys });

/// What stands under `evaluation`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationEntry {
    /// Its keys.
    pub keys: EvaluationKeys,
}

/// How a flake is evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationSettings {
    /// Inputs of the flake and what to take for them.
    pub override_inputs: Vec<InputOverride>,
    /// Evaluation may build derivations.
    pub allow_import_from_derivation: bool,
    /// Evaluation may read the machine.
    pub impure: bool,
    /// Nix's traces are wanted.
    pub show_trace: bool,
    /// Settings of Nix.
    pub options: Vec<(String, String)>,
    /// The flake's own settings of Nix count.
    pub accept_flake_config: bool,
    /// Variables that the evaluator sees beyond those that Nix needs.
    pub variables: Vec<String>,
    /// Sets that are entered on the way to an attribute; none for the default.
    pub depth: Option<u32>,
    /// What it may take.
    pub budget: BudgetRequest,
    /// Where earlier results are.
    pub cache: EvaluationCacheChoice,
}

/// Where evaluations are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EvaluationCacheChoice {
    /// In a folder that may go from machine to machine.
    Folder(PathBuf),
    /// In the user's own folder, but for CI.
    #[default]
    User,
    /// Nowhere.
    Off,
}

impl EvaluationCacheChoice {
    fn new(said: Option<PathBuf>) -> Self {
        match said {
            None => Self::User,
            Some(word) if word.as_os_str() == OFF => Self::Off,
            Some(dir) => Self::Folder(dir),
        }
    }
}

impl EvaluationSettings {
    /// The flags with which evaluation sees a variable that it does not see now.
    pub fn hides(&self, variable: &str) -> Option<String> {
        let is_let_through = self.variables.iter().any(|name| name == variable);
        let flag = if self.impure { "" } else { "--impure " };
        (!is_let_through || !self.impure).then(|| format!("{flag}--eval-env {variable}"))
    }

    /// Resolves the flags and the file. `folder` is the file's; what it names is relative to the flake's, `of_flake`.
    pub fn new(
        flags: &EvaluationFlags,
        file: Option<&EvaluationEntry>,
        folder: &Path,
        of_flake: &Path,
    ) -> Result<Self> {
        let keys = file.map(|entry| entry.keys.clone()).unwrap_or_default();
        let resolved = EvaluationOptions::new(flags, &keys);
        let named = |input: String, reference: String, by_flag| {
            let folder = if by_flag { PathBuf::new() } else { of_flake.to_owned() };
            (input.clone(), InputOverride { input, reference, folder, by_flag })
        };
        let by_file = keys.override_input.unwrap_or_default().0.into_iter();
        let mut override_inputs: BTreeMap<String, InputOverride> =
            by_file.map(|(input, reference)| named(input, reference, false)).collect();
        let by_flag = flags.override_input.chunks_exact(2);
        override_inputs.extend(by_flag.map(|pair| named(pair[0].clone(), pair[1].clone(), true)));
        let cache = flags.eval_cache.clone().or_else(|| keys.eval_cache.map(|dir| kept_in(of_flake, dir)));
        if let (Some(dir), None) = (cache.as_ref().filter(|dir| dir.as_os_str() != OFF), &flags.eval_cache) {
            // It is filled, and results that are old are removed.
            repository_file::check(dir, folder, "--eval-cache").context("`evaluation.cache` in nixdag.yml")?;
        }
        let pairs = |values: &[String]| values.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let bytes = |megabytes: u32| u64::from(megabytes) << 20;
        for name in &flags.eval_env {
            ensure!(
                !name.is_empty() && !name.contains(['=', '\0']),
                "`--eval-env`: `{name}` is not the name of a variable"
            );
        }
        Ok(Self {
            override_inputs: override_inputs.into_values().collect(),
            allow_import_from_derivation: resolved.allow_ifd,
            impure: resolved.impure,
            show_trace: resolved.show_trace,
            options: pairs(&flags.option),
            accept_flake_config: resolved.accept_flake_config,
            variables: flags.eval_env.clone(),
            depth: resolved.eval_depth,
            budget: BudgetRequest {
                workers: resolved.eval_workers,
                memory: resolved.eval_memory.map(bytes),
                total_memory: resolved.eval_total_memory.map(bytes),
                attribute_seconds: resolved.eval_timeout.map(u64::from),
                words: None,
            },
            cache: EvaluationCacheChoice::new(cache),
        })
    }
}

/// The folder that a file of a flake in `folder` names.
fn kept_in(folder: &Path, named: String) -> PathBuf {
    if named == OFF || folder == Path::new(".") { PathBuf::from(named) } else { folder.join(named) }
}
