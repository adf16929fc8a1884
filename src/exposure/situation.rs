//! What decides which gaps are open: settings, and what the setup job of the orb is given.

use std::collections::BTreeMap;

use crate::delivery::{Delivery, Reuse, Sign};
use crate::fleet::size::Machine;
use crate::settings::{Available, Settings};

/// A repository's settings, seen by somebody who means harm.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// How the flake is planned.
    pub settings: &'a Settings,
    /// How its jobs deliver.
    pub delivery: &'a Delivery,
    /// Parameters that the orb is given, or the component, or the action, by name.
    pub parameters: &'a BTreeMap<String, String>,
}

impl Situation<'_> {
    /// True where a switch of the orb is on, or may be.
    pub fn is_on(&self, parameter: &str, by_default: bool) -> bool {
        self.parameters.get(parameter).map_or(by_default, |value| value != "false")
    }

    /// Jobs build in containers.
    pub fn has_containers(&self) -> bool {
        self.settings.fleet.executors.iter().any(|executor| executor.machine == Machine::Docker)
    }

    /// Jobs may run on machines that outlive them.
    pub fn has_own_machines(&self) -> bool {
        self.settings.fleet.executors.iter().any(|executor| executor.machine == Machine::SelfHosted)
    }

    /// Some jobs get the variables of contexts.
    pub fn has_contexts(&self) -> bool {
        let rules = self.settings.rules.iter().filter_map(|rule| rule.settings.context.as_ref());
        rules.flatten().next().is_some()
    }

    /// What evaluation builds runs in the job that plans, or evaluated code reads that machine.
    pub fn runs_code_where_it_plans(&self) -> bool {
        self.settings.evaluation.allow_import_from_derivation || self.settings.evaluation.impure
    }

    /// Jobs sign or push, with secrets.
    pub fn signs(&self) -> bool {
        self.delivery.has_secrets()
    }

    /// Jobs that build hold the key or the credentials.
    pub fn signs_where_it_builds(&self) -> bool {
        self.signs() && self.delivery.sign == Sign::Jobs
    }

    /// Results go to later pipelines through the CI's cache without a signature.
    pub fn reuses_unsigned(&self) -> bool {
        self.delivery.reuse_beside(self.has_contexts()).is_ok_and(|reuse| reuse == Reuse::Branch)
    }

    /// Some cache gets a token.
    pub fn sends_a_token(&self) -> bool {
        let Available::Caches(caches) = &self.settings.available else { return false };
        caches.substituters.iter().any(|substituter| substituter.token_variable.is_some())
    }

    /// The variable with the token that writes comments belongs to no environment.
    pub fn gives_every_job_the_comments_token(&self) -> bool {
        self.settings.comment().is_ok_and(|job| job.is_some_and(|job| job.context.is_none()))
    }

    /// Some store is believed without signatures.
    pub fn trusts_a_store(&self) -> bool {
        let Available::Caches(caches) = &self.settings.available else { return false };
        caches.substituters.iter().any(|substituter| substituter.url.trusted)
    }
}
