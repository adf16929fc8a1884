//! nixdag turns a Nix flake into a CI pipeline in which nothing is built twice.
//!
//! Data flows in one direction, each stage a plain value that the next one takes:
//! flake -> [`nix::evaluate`] -> targets -> [`graph`] -> [`availability`] -> [`plan`] -> [`provider`] and [`view`].
//! [`commands`] strings the stages together and is the only module that prints.

pub mod affected;
pub mod attribute;
pub mod availability;
pub mod build;
pub mod byte_size;
pub mod checkout;
pub mod choice;
pub mod cli;
pub mod closure;
pub mod commands;
pub mod delivery;
pub mod difference;
pub mod duration;
pub mod evaluated;
pub mod evaluation_cache;
pub mod explain;
pub mod exposure;
pub mod fleet;
pub mod folder_owner;
pub mod git;
pub mod graph;
pub mod handoff;
pub mod history;
pub mod http;
pub mod later;
pub mod nearest;
pub mod nix;
pub mod output;
pub mod page;
pub mod pattern;
pub mod plan;
pub mod plural;
pub mod printable;
pub mod private_file;
pub mod program;
pub mod provider;
pub mod recorded_evaluation;
pub mod regular_file;
pub mod removed_at_signal;
pub mod secret;
pub mod settings;
pub mod target;
pub mod topological;
pub mod usage;
pub mod user_folder;
pub mod version;
pub mod view;
pub mod whole_number;
pub mod workers;
pub mod yaml;
