//! Flags about binary caches: which are asked, whom to believe, how long to wait.

use clap::Args;

/// Which caches planning asks, and how.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What these stores have exists, e.g. `https://cache.example.org` [default: the caches of nixdag.yml]
    #[arg(long, value_name = "URL", conflicts_with_all = ["available", "local_store"], help_heading = "Availability")]
    pub substituter: Vec<String>,
    /// Believe what this key has signed, besides the keys of Nix's settings
    #[arg(long, value_name = "KEY", help_heading = "Availability")]
    pub trusted_public_key: Vec<String>,
    /// Do not ask the substituters of this machine's Nix settings
    #[arg(long, help_heading = "Availability")]
    pub no_machine_substituters: bool,
    /// Fail if a cache cannot be asked
    #[arg(long, help_heading = "Availability")]
    pub require_caches: bool,
    /// Connections to all caches together [default: 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = "Availability")]
    pub cache_connections: Option<u32>,
    /// Seconds that a cache may take for an answer [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = "Availability")]
    pub cache_timeout: Option<u32>,
}
