//! Everything that knows a Nix format or runs Nix.

pub mod derivation;
pub mod hash;
pub mod log;
pub mod nar;
pub mod narinfo;
pub mod store;
pub mod store_path;
