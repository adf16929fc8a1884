//! Everything that knows a Nix format or runs Nix.

pub mod command;
pub mod derivation;
pub mod evaluate;
pub mod local_store;
pub mod store_path;
pub mod system;
