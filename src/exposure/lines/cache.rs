//! What whoever runs a binary cache may be after.

use super::super::line::{ALL, Asset, Attacker, Exposure, Gap, Remedy, Stop};

/// All of it.
pub const LINES: &[Exposure] = &[
    Exposure {
        attacker: Attacker::Cache,
        asset: Asset::Results,
        stops: &[Stop {
            on: ALL,
            how: "a path counts only with a trusted signature, or by its content",
            tests: &[
                "an_unsigned_cache_counts_only_if_it_is_trusted",
                "missing_foreign_and_wrong_signatures_are_told_apart",
            ],
        }],
        gaps: &[Gap {
            on: ALL,
            is_open: |situation| situation.trusts_a_store(),
            reach: "a store with `trusted: true` is believed whatever it says",
            remedy: Remedy::Setting("caches: a public_key in the place of trusted: true"),
        }],
    },
    Exposure {
        attacker: Attacker::Cache,
        asset: Asset::Secrets,
        stops: &[Stop {
            on: ALL,
            how: "planning sends a token to the host and port that a flag names and nowhere else, and over TLS; jobs send it to that host alone",
            tests: &[
                "the_file_alone_sends_no_variable_anywhere",
                "a_token_does_not_follow_a_redirection_to_another_port",
                "a_token_reaches_the_cache_and_nothing_else",
                "in_a_job_a_token_does_not_follow_a_redirection_to_another_host",
                "secrets_in_the_wrong_place_are_refused_and_not_shown",
            ],
        }],
        gaps: &[Gap {
            on: ALL,
            is_open: |situation| situation.sends_a_token(),
            reach: "in jobs it is Nix that reads the cache, and Nix knows tokens by the host alone: where the cache redirects to another port of its own host, the token goes along",
            remedy: Remedy::Elsewhere("a host of its own for a cache with a token"),
        }],
    },
    Exposure {
        attacker: Attacker::Cache,
        asset: Asset::Plan,
        stops: &[Stop {
            on: ALL,
            how: "answers are bounded in size, time and words; what is missing later is named, not rebuilt silently",
            tests: &["served_narinfo", "narinfo", "an_archive_does_not_choose_how_much_memory_it_takes"],
        }],
        gaps: &[],
    },
];
