//! What another user of a machine may be after.

use super::super::line::{ALL, Asset, Attacker, CIRCLECI, Exposure, Gap, OTHERS, Remedy, Stop};

/// All of it.
pub const LINES: &[Exposure] = &[
    Exposure {
        attacker: Attacker::MachineUser,
        asset: Asset::Secrets,
        stops: &[Stop {
            on: ALL,
            how: "no secret is in an argument, and files that hold one are for their user alone",
            tests: &["it_is_in_no_folder", "a_store_is_signed_for_with_a_key_that_no_file_and_no_argument_holds"],
        }],
        gaps: &[Gap {
            on: ALL,
            is_open: |situation| situation.has_own_machines(),
            reach: "the Nix store can be read by every user of the machine, sources and results included",
            remedy: Remedy::Elsewhere("no other users on machines that build what is private"),
        }],
    },
    Exposure {
        attacker: Attacker::MachineUser,
        asset: Asset::Results,
        stops: &[Stop {
            on: ALL,
            how: "folders of evaluations, hand-offs, earlier results, records and the bundle are refused where another user owns them or can have made them",
            tests: &[
                "a_folder_counts_unless_another_user_can_have_made_it",
                "a_folder_of_evaluations_that_another_user_has_made_is_refused",
                "folders_that_another_user_has_made_are_refused_by_a_job",
            ],
        }],
        gaps: &[],
    },
    Exposure {
        attacker: Attacker::MachineUser,
        asset: Asset::Programs,
        stops: &[
            Stop {
                on: CIRCLECI,
                how: "folders below /tmp are made, for their user alone, or the job stops; the bundle is checked against the digest in the configuration before anything in it is used",
                tests: &[
                    "a_folder_that_another_user_of_the_machine_has_made_first_stops_the_setup_job",
                    "a_folder_that_another_user_of_the_machine_has_made_first_stops_a_job",
                    "a_bundle_that_was_tampered_with_is_not_run",
                ],
            },
            Stop {
                on: OTHERS,
                how: "everything is in the runner's own folder, what runs in one that is made for its user alone, and the bundle is checked against its digest",
                tests: &[
                    "a_bundle_that_another_job_has_replaced_is_not_run",
                    "a_bundle_that_an_artifact_of_the_run_has_replaced_is_not_run",
                ],
            },
        ],
        gaps: &[],
    },
];
