//! What machines a provider offers, and how large they are: tables that it fills in.

use super::image::ImageForm;

/// How a machine comes into being, which decides how it is written down and what it needs before it can build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Machine {
    /// A container made from an image.
    #[default]
    Docker,
    /// A Linux virtual machine.
    LinuxVm,
    /// A macOS virtual machine.
    MacOs,
    /// A machine of the user's own, which has no image.
    SelfHosted,
}

/// A kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// AMD's and Intel's.
    X86_64,
    /// Arm's.
    Aarch64,
}

/// A size that machines come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What a job names to get it: a resource class, a runner's tag or label.
    pub name: &'static str,
    /// What machines with another processor call the same size, where that is another name: it is understood here too.
    pub alias: Option<&'static str>,
    /// Processors.
    pub cores: u32,
    /// Memory, in MB.
    pub memory: u32,
    /// Disk, in GB; none where the provider promises no number.
    pub disk: Option<u32>,
    /// What a minute costs, in what the provider counts in.
    pub credits_per_minute: u32,
}

/// What builders may use of so many bytes of memory: a tenth is for the system, Nix and nixdag.
pub const fn for_builds(memory: u64) -> u64 {
    memory / 10 * 9
}

impl Size {
    /// Memory for builds, bytes.
    pub const fn memory_for_builds(&self) -> u64 {
        for_builds(self.memory as u64 * 1_000_000)
    }
}

/// A kind of machine that a provider offers, in all sizes.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// How the machine comes into being; [`Machine::SelfHosted`] is nothing that is offered.
    pub machine: Machine,
    /// Its processor.
    pub architecture: Architecture,
    /// What its images are called; none where the size is all that can be chosen.
    pub image_form: Option<ImageForm>,
    /// The image where nobody names one; empty without a form.
    pub image: &'static str,
    /// The size where nobody names one.
    pub size: &'static str,
    /// All sizes, smallest first.
    pub sizes: &'static [Size],
}

impl Machine {
    /// The Nix system of such a machine with this processor; none for one that only its owner knows.
    pub fn system(self, architecture: Architecture) -> Option<&'static str> {
        match (self, architecture) {
            (Self::Docker | Self::LinuxVm, Architecture::X86_64) => Some("x86_64-linux"),
            (Self::Docker | Self::LinuxVm, Architecture::Aarch64) => Some("aarch64-linux"),
            (Self::MacOs, Architecture::X86_64) => Some("x86_64-darwin"),
            (Self::MacOs, Architecture::Aarch64) => Some("aarch64-darwin"),
            (Self::SelfHosted, _) => None,
        }
    }
}
