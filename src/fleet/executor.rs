//! Executors: the kinds of machine that a provider offers, which systems each of them builds, and what it offers beyond that.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::keep::Keep;
use super::size::{Architecture, Machine};
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
    /// What the machine starts from; empty for a self-hosted machine.
    pub image: String,
    /// The provider's name for the machine's size, or [`AUTO`].
    pub resource_class: String,
    /// The processor that the name of the size tells of; none where it tells nothing.
    pub architecture: Option<Architecture>,
    /// Derivations built side by side.
    pub cores: u32,
    /// Memory, in GB, where somebody has said that; else its size has what the provider says.
    pub memory: Option<u32>,
    /// Disk, in GB, where somebody has said that; else its size has what the provider says.
    pub disk: Option<u32>,
    /// How much stays in its store behind jobs; nothing for machines that are new for each job.
    pub keep: Vec<Keep>,
    /// What a minute costs, in what the provider counts in.
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

/// True for a container whose image is known to bring Nix.
pub fn brings_nix(machine: Machine, image: &str) -> bool {
    machine == Machine::Docker && image.split([':', '@']).next() == Some("nixos/nix")
}

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
        let first = self.systems.first().map(String::as_str);
        let is_automatic = self.resource_class == AUTO;
        let architecture = match self.machine {
            Machine::MacOs => Some(Architecture::Aarch64),
            _ if is_automatic && first == Some("aarch64-linux") => Some(Architecture::Aarch64),
            _ => self.architecture,
        };
        let Some(own) = self.machine.system(architecture.unwrap_or(Architecture::X86_64)) else {
            return first.unwrap_or("x86_64-linux");
        };
        // A size that nobody knows says nothing about the processor.
        let is_arm_linux = own == "aarch64-linux";
        if is_automatic || is_arm_linux || self.builds(own) { own } else { first.unwrap_or(own) }
    }

    /// The systems whose programs its machine runs by itself.
    pub fn native_systems(&self) -> Vec<String> {
        native(self.system()).into_iter().map(str::to_owned).collect()
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
