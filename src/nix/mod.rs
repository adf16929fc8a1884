//! Everything that knows a Nix format or runs Nix.

pub mod command;
pub mod evaluate;
pub mod store_path;
pub mod system;
