//! Everything that knows a Nix format or runs Nix.

pub mod derivation;
pub mod store_path;
