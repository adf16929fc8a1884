//! What evaluation is asked for, as the settings say.

use super::Settings;
use crate::nix::evaluate::EvaluationRequest;
use crate::plan::final_job;

impl Settings {
    /// The attributes that the settings select, of this flake.
    pub fn evaluation_request(&self, flake: &str) -> EvaluationRequest {
        let how = &self.evaluation;
        EvaluationRequest {
            flake: flake.into(),
            select: self.select.clone(),
            also: final_job::built_patterns(&self.final_jobs),
            exclude: self.exclude.clone(),
            systems: self.systems.clone(),
            depth: how.depth,
            override_inputs: how.override_inputs.clone(),
            allow_import_from_derivation: how.allow_import_from_derivation,
            impure: how.impure,
            show_trace: how.show_trace,
            options: how.options.clone(),
            accept_flake_config: how.accept_flake_config,
            budget: how.budget,
        }
    }
}
