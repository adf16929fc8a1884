//! Executors: the kinds of machine that a provider offers, and which systems each of them builds.

use serde::{Deserialize, Serialize};

/// How a machine comes into being, which decides how it is written down and what it needs before it can build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// A container made from an image.
    Docker,
    /// A Linux virtual machine made from an image.
    LinuxVm,
    /// A macOS virtual machine; the image is an Xcode version.
    MacOs,
}

/// One named kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// What plans and configurations call it; `[a-z][a-z0-9_-]*`.
    pub name: String,
    /// How the machine comes into being.
    pub machine: Machine,
    /// The Nix systems that it builds; the first executor that has a system gets its jobs.
    pub systems: Vec<String>,
    /// Docker image, VM image or Xcode version.
    pub image: String,
    /// The provider's name for the machine's size.
    pub resource_class: String,
    /// Derivations built side by side.
    pub cores: u32,
    /// What a minute costs. CircleCI documents only that its `medium` class takes 10; the others are assumptions.
    pub credits_per_minute: u32,
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
        };
    vec![
        executor("docker", Machine::Docker, &["x86_64-linux", "i686-linux"], NIX_IMAGE, "large", 4, 20),
        executor("arm", Machine::Docker, &["aarch64-linux"], NIX_IMAGE, "arm.large", 4, 20),
        executor("macos", Machine::MacOs, &["aarch64-darwin"], "26.6.0", "m4pro.medium", 6, 200),
    ]
}
