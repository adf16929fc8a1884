//! Executors: the kinds of machine that a provider offers, which systems each of them builds, and what it offers beyond that.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::size::Machine;
use super::system::{BUILTIN, native};
use crate::nearest::meant_or_known;

/// One named kind of machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executor {
    /// What plans and configurations call it; `[a-z][a-z0-9_-]*`.
    pub name: String,
    /// How the machine comes into being.
    pub machine: Machine,
    /// The Nix systems that it builds, its own first where it builds that; the first executor that has a system gets its jobs.
    pub systems: Vec<String>,
    /// Docker image, VM image or Xcode version; empty for a self-hosted machine.
    pub image: String,
    /// The provider's name for the machine's size, or [`AUTO`].
    pub resource_class: String,
    /// Derivations built side by side.
    pub cores: u32,
    /// What a minute costs. CircleCI documents only that its `medium` class takes 10; the others are assumptions.
    pub credits_per_minute: u32,
    /// What it offers to derivations with `requiredSystemFeatures`, beside [`COMMON_FEATURES`].
    pub features: Vec<String>,
    /// Variables of all its jobs.
    pub environment: BTreeMap<String, String>,
    /// The shell of all steps; none for the provider's default.
    pub shell: Option<String>,
    /// Commands that run before everything else, a step each.
    pub setup: Vec<String>,
}

/// The resource class that stands for the one that fits what is built.
pub const AUTO: &str = "auto";

/// What every Nix offers that nobody has set up otherwise. `kvm` is not among them: it depends on the machine.
pub const COMMON_FEATURES: [&str; 3] = ["benchmark", "big-parallel", "nixos-test"];

impl Executor {
    /// True where it builds derivations of this system.
    pub fn builds(&self, system: &str) -> bool {
        system == BUILTIN || self.systems.iter().any(|has| has == system)
    }

    /// True where it offers a feature.
    pub fn offers(&self, feature: &str) -> bool {
        self.declares(feature) || COMMON_FEATURES.contains(&feature)
    }

    /// True where somebody has said that it offers a feature.
    pub fn declares(&self, feature: &str) -> bool {
        self.features.iter().any(|has| has == feature)
    }

    /// The system of the machine itself, which is not one that it only emulates.
    pub fn system(&self) -> &str {
        let own = match self.machine {
            Machine::Docker | Machine::LinuxVm if self.is_arm() => "aarch64-linux",
            Machine::Docker | Machine::LinuxVm => "x86_64-linux",
            Machine::MacOs => "aarch64-darwin",
            Machine::SelfHosted => return self.systems.first().map_or("x86_64-linux", String::as_str),
        };
        // A class that nobody knows says nothing about the processor.
        let known = self.resource_class == AUTO || self.builds(own) || self.is_arm();
        if known { own } else { self.systems.first().map_or(own, String::as_str) }
    }

    fn is_arm(&self) -> bool {
        self.resource_class.starts_with("arm.")
            || (self.resource_class == AUTO && self.systems.first().is_some_and(|system| system == "aarch64-linux"))
    }

    /// Systems that it builds though its processor does not run their programs by itself.
    pub fn emulated(&self) -> impl Iterator<Item = &str> {
        let native = native(self.system());
        self.systems.iter().map(String::as_str).filter(move |system| !native.contains(system))
    }
}

/// The executor of a name. The error says which name was meant, or which there are.
pub fn find<'e>(executors: &'e [Executor], name: &str) -> Result<&'e Executor> {
    executors.iter().find(|executor| executor.name == name).ok_or_else(|| {
        let known = meant_or_known(name, executors.iter().map(|executor| executor.name.as_str()));
        anyhow!("no executor `{}`{known}", name.escape_debug())
    })
}

/// The image with Nix in it that containers start from.
pub const NIX_IMAGE: &str = "nixos/nix:2.34.7";

/// CircleCI's executors as nixdag uses them when nobody says otherwise.
pub fn circleci_defaults() -> Vec<Executor> {
    let executor =
        |name: &str, machine, systems: &[&str], image: &str, class: &str, cores, credits_per_minute| Executor {
            name: name.into(),
            machine,
            systems: systems.iter().map(|&system| system.into()).collect(),
            image: image.into(),
            resource_class: class.into(),
            cores,
            credits_per_minute,
            ..Executor::default()
        };
    vec![
        executor("docker", Machine::Docker, &["x86_64-linux", "i686-linux"], NIX_IMAGE, "large", 4, 20),
        executor("arm", Machine::Docker, &["aarch64-linux"], NIX_IMAGE, "arm.large", 4, 20),
        executor("macos", Machine::MacOs, &["aarch64-darwin"], "26.6.0", "m4pro.medium", 6, 200),
    ]
}
