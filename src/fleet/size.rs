//! What machines there are, and how large they are.

use serde::{Deserialize, Serialize};

/// How a machine comes into being, which decides how it is written down and what it needs before it can build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// A container made from an image.
    #[default]
    Docker,
    /// A Linux virtual machine made from an image.
    LinuxVm,
    /// A macOS virtual machine made from an image.
    MacOs,
    /// A machine of the user's own, which has no image.
    SelfHosted,
}
