//! What the author of an input or a dependency may be after.

use super::super::line::{ALL, Asset, Attacker, CIRCLECI, Exposure, GITHUB, GITLAB, Gap, Remedy, Stop};

/// All of it.
pub const LINES: &[Exposure] = &[
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::Results,
        stops: &[
            Stop {
                on: ALL,
                how: "a job delivers only what the plan has it build, and takes its own outputs from no other; fetches are checked against their hash",
                tests: &[
                    "a_job_delivers_only_what_the_plan_has_it_build",
                    "a_jobs_own_output_comes_from_no_other_job",
                    "content_addressed_outputs_come_from_the_job_that_builds_them_alone",
                    "fixed_outputs_are_held_against_their_hash",
                    "forged_hand_offs_count_as_absent",
                ],
            },
            Stop {
                on: GITLAB,
                how: "a job's artifact is its own folder; what is in the package registry counts with the digest that is in that artifact",
                tests: &[
                    "what_a_builder_puts_into_another_jobs_folder_reaches_nobody",
                    "every_job_finds_its_inputs_alone_and_no_job_that_builds_passes_on_anothers",
                    "a_file_that_somebody_else_has_put_there_counts_as_missing",
                ],
            },
        ],
        gaps: &[
            Gap {
                on: ALL,
                is_open: |situation| situation.settings.evaluation.accept_flake_config,
                reach: "caches and keys that the flake's nixConfig names are believed",
                remedy: Remedy::Setting("accept_flake_config: false"),
            },
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.has_containers(),
                reach: "containers have no sandbox: if the image has no build users, a process left by one build can tamper with later ones",
                remedy: Remedy::Elsewhere(
                    "images whose Nix has users for builders, as nixos/nix does, or executors with `machine: ubuntu-…`, whose Nix has a sandbox",
                ),
            },
            Gap {
                on: GITLAB,
                is_open: |situation| situation.has_containers(),
                reach: "containers have no sandbox: if the image has no build users, a process left by one build can tamper with later ones",
                remedy: Remedy::Elsewhere("images whose Nix has users for builders, as nixos/nix does"),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::Signatures,
        stops: &[
            Stop {
                on: ALL,
                how: "the key leaves the environment before anything runs and is in no file and no argument; calls that build have no credentials; with `sign: separate` no job that builds has either, and what is signed comes from the job that the plan names",
                tests: &[
                    "a_store_is_signed_for_with_a_key_that_no_file_and_no_argument_holds",
                    "a_fetch_sees_what_it_needs_and_no_secret_of_the_job",
                    "a_cache_with_a_token_is_read_and_no_builder_finds_the_token",
                    "a_job_of_its_own_signs_and_pushes_and_no_job_that_builds_has_a_secret",
                    "on_gitlab_one_job_signs_and_pushes_and_no_job_that_builds_has_a_secret",
                    "what_a_job_of_its_own_signs_is_what_the_plan_has_each_job_build",
                ],
            },
            Stop {
                on: GITHUB,
                how: "one job behind the waves has the secrets of its environment, builds nothing, and signs and pushes",
                tests: &["one_job_signs_and_pushes_and_no_job_that_builds_has_a_secret"],
            },
        ],
        gaps: &[
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.signs_where_it_builds() && situation.has_containers(),
                reach: "containers have no sandbox: where the image's Nix has no users for builders, one can read the memory of nixdag, which holds the key",
                remedy: Remedy::Elsewhere(
                    "sign: separate (with handoff: workspace), images whose Nix has users for builders, as nixos/nix does, or executors with `machine: ubuntu-…`",
                ),
            },
            Gap {
                on: GITLAB,
                is_open: |situation| situation.signs_where_it_builds() && situation.has_containers(),
                reach: "containers have no sandbox: where the image's Nix has no users for builders, one can read the memory of nixdag, which holds the key",
                remedy: Remedy::Elsewhere(
                    "sign: separate (with handoff: artifacts or packages), or images whose Nix has users for builders, as nixos/nix does",
                ),
            },
            Gap {
                on: ALL,
                is_open: |situation| situation.signs() && situation.runs_code_where_it_plans(),
                reach: "where the job that plans has the key or a store's credentials, what evaluation builds or reads can take them (`generate` refuses those that it knows)",
                remedy: Remedy::Setting("allow_ifd: false, impure: false"),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::Secrets,
        stops: &[Stop {
            on: ALL,
            how: "evaluated code and builders see a list of variables that holds no secret",
            tests: &[
                "no_secret_reaches_the_evaluator",
                "a_job_with_contexts_never_builds_what_another_should_have_delivered",
                "even_impure_evaluation_sees_no_secret_that_is_not_let_through",
                "a_fetch_sees_what_it_needs_and_no_secret_of_the_job",
                "a_cache_with_a_token_is_read_and_no_builder_finds_the_token",
            ],
        }],
        gaps: &[
            Gap {
                on: ALL,
                is_open: |situation| !situation.settings.evaluation.variables.is_empty(),
                reach: "all evaluated code sees the variables that --eval-env names",
                remedy: Remedy::Setting("eval_env: \"\""),
            },
            Gap {
                on: ALL,
                is_open: |situation| situation.settings.evaluation.impure,
                reach: "evaluated code reads the files of the job that plans",
                remedy: Remedy::Setting("impure: false"),
            },
            Gap {
                on: ALL,
                is_open: |situation| situation.has_contexts(),
                reach: "a target's own builder runs in the job that has its context",
                remedy: Remedy::Elsewhere(
                    "give contexts to targets whose code is yours; what needs a secret and no builder belongs in a final job",
                ),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::ContinuationKey,
        stops: &[Stop {
            on: CIRCLECI,
            how: "evaluation builds nothing, reads no file and does not see the variable; no process of the orb's steps shows it",
            tests: &[
                "no_secret_reaches_the_evaluator",
                "what_widens_trust_is_not_for_the_file_to_say",
                "no_process_of_a_step_shows_the_continuation_key_while_evaluation_builds",
            ],
        }],
        gaps: &[
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.settings.evaluation.allow_import_from_derivation,
                reach: "builders run in the setup job, where the processes of CircleCI's agent hold the key",
                remedy: Remedy::Setting("allow_ifd: false"),
            },
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.settings.evaluation.impure,
                reach: "evaluated code reads /proc, where CircleCI's agent may have the key",
                remedy: Remedy::Setting("impure: false"),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::JobToken,
        stops: &[Stop {
            on: GITLAB,
            how: "evaluated code and builders do not see `CI_JOB_TOKEN`; nixdag takes it out of its environment, and it goes to the project's registry alone, never along a redirection",
            tests: &[
                "no_builder_and_no_evaluation_sees_the_token_of_a_gitlab_job",
                "everything_is_built_once_and_what_was_uploaded_goes",
            ],
        }],
        gaps: &[
            Gap {
                on: GITLAB,
                is_open: |situation| situation.runs_code_where_it_plans(),
                reach: "the shell of GitLab's runner shows the token and all variables of the job that plans in /proc, where what evaluation builds or reads can see them",
                remedy: Remedy::Setting("allow_ifd: false, impure: false"),
            },
            Gap {
                on: GITLAB,
                is_open: |situation| situation.has_own_machines() || situation.has_containers(),
                reach: "the shell of GitLab's runner shows the token in /proc to programs of the same user: to builders where Nix has no users for them",
                remedy: Remedy::Elsewhere("images and machines whose Nix has users for builders, as nixos/nix has"),
            },
            Gap {
                on: GITHUB,
                is_open: |situation| situation.has_own_machines(),
                reach: "GitHub's runner and its actions show tokens in /proc to programs of the same user: to builders where Nix has no users for them",
                remedy: Remedy::Elsewhere("machines with a Nix daemon, as GitHub's own get"),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::Machines,
        stops: &[Stop {
            on: ALL,
            how: "a package may choose among what nixdag.yml grants: no context, and no namespaced, GPU or unknown class without it",
            tests: &[
                "only_what_is_usual_or_listed_can_be_chosen",
                "a_plan_from_a_file_gets_only_what_these_settings_grant",
                "contexts_are_for_targets_alone",
            ],
        }],
        gaps: &[],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::Plan,
        stops: &[
            Stop {
                on: ALL,
                how: "an attribute's nonsense is that attribute's failure; what it prints is cut and escaped",
                tests: &[
                    "hostile_derivations_are_named",
                    "nonsense_of_one_attribute_is_that_attributes_failure_alone",
                    "hostile_names_reach_neither_templates_nor_shells",
                    "a_flake_cannot_forge_an_answer",
                ],
            },
            Stop {
                on: GITHUB,
                how: "what builders and evaluation print cannot be a command of GitHub's",
                tests: &["what_builders_evaluation_and_commands_print_stays_text"],
            },
        ],
        gaps: &[],
    },
    Exposure {
        attacker: Attacker::Input,
        asset: Asset::Programs,
        stops: &[Stop {
            on: ALL,
            how: "files of other jobs are read, never run; links in them lead nowhere",
            tests: &[
                "a_job_writes_and_removes_nothing_through_links_in_its_own_folder",
                "links_lead_nowhere_and_unsigned_realisations_go",
            ],
        }],
        gaps: &[Gap {
            on: ALL,
            is_open: |situation| situation.has_own_machines(),
            reach: "a builder without a sandbox leaves processes and files on a machine that outlives the job",
            remedy: Remedy::Elsewhere(
                "a daemon with `sandbox = true` and users for builders, or machines that are thrown away after each job",
            ),
        }],
    },
];
