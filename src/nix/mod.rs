//! Everything that knows a Nix format or runs Nix.

pub mod aterm;
pub mod binary_cache;
pub mod command;
pub mod configuration;
mod configuration_files;
pub mod content_address;
pub mod derivation;
pub mod derivation_hash;
pub(crate) mod environment;
pub mod evaluate;
pub mod fixed_output;
pub mod hash;
mod known_answer;
pub mod local_store;
pub mod log;
pub mod machine_fault;
pub mod nar;
pub mod narinfo;
pub mod path_info;
pub mod resolved_derivation;
pub mod signature;
pub mod store;
pub mod store_path;
mod sudo;
pub mod system;
pub mod temporary_roots;
pub mod unpack;
