//! The list: who, after what, what stops it, and under which settings nothing does. A test holds the names of tests against the tests.

use super::line::{Asset, Attacker, Gap, Line, Remedy};

/// All attackers and assets that meet.
pub const LINES: &[Line] = &[
    Line {
        attacker: Attacker::Branch,
        asset: Asset::Programs,
        stopped: "the setup job and jobs with secrets restore nothing; elsewhere what was restored is checked by its digest before it runs",
        tests: &[
            "a_hostile_branch_gets_nothing_into_the_setup_job",
            "a_bundle_that_was_tampered_with_is_not_run",
            "a_program_with_another_checksum_is_not_run",
            "what a cache brought is verified too, and replaced if it is another file",
            "the program is not on PATH, and nothing else that a cache brought is beside it",
        ],
        gaps: &[
            Gap {
                is_open: |situation| situation.is_on("trust_branches", false),
                reach: "the setup job unpacks caches that any branch may have saved, over any program of its machine",
                remedy: Remedy::Setting("trust_branches: false"),
            },
            Gap {
                is_open: |situation| situation.has_own_machines(),
                reach: "a job without secrets unpacks caches that any branch may have saved on a machine that later jobs use",
                remedy: Remedy::Elsewhere("machines that are thrown away after each job"),
            },
        ],
    },
    Line {
        attacker: Attacker::Branch,
        asset: Asset::Signatures,
        stopped: "`reuse: branch` is refused beside a signing key, push or contexts; what is restored for jobs with secrets is compared by digest and signature",
        tests: &[
            "what_strangers_have_saved_is_named_and_built_again",
            "other_contents_under_a_right_signature_are_refused",
            "a_hostile_branch_changes_nothing_that_another_signs_and_pushes",
            "unsigned_results_of_a_branch_are_refused_beside_secrets",
        ],
        gaps: &[],
    },
    Line {
        attacker: Attacker::Branch,
        asset: Asset::ContinuationKey,
        stopped: "the setup job restores nothing that another branch can have saved",
        tests: &["a_hostile_branch_gets_nothing_into_the_setup_job"],
        gaps: &[Gap {
            is_open: |situation| situation.is_on("trust_branches", false),
            reach: "programs that a cache brought run beside the key",
            remedy: Remedy::Setting("trust_branches: false"),
        }],
    },
    Line {
        attacker: Attacker::Branch,
        asset: Asset::Results,
        stopped: "signed results are held against the keys that are trusted, contents and references included",
        tests: &[
            "signed_results_are_taken_by_other_branches_and_by_forks",
            "other_contents_under_a_right_signature_are_refused",
        ],
        gaps: &[Gap {
            is_open: |situation| situation.reuses_unsigned(),
            reach: "a result saved under the key that carries another branch's name is taken there: keys are names, not locks",
            remedy: Remedy::Setting("reuse: signed (or off)"),
        }],
    },
    Line {
        attacker: Attacker::Branch,
        asset: Asset::Secrets,
        stopped: "",
        tests: &[],
        gaps: &[Gap {
            is_open: |_| true,
            reach: "a branch brings its own .circleci/config.yml, which may name any context that is not restricted, and print the project's variables",
            remedy: Remedy::Elsewhere(
                "restrict each context to branches (an expression such as `pipeline.git.branch == \"main\"`), and keep secrets out of the project's variables",
            ),
        }],
    },
    Line {
        attacker: Attacker::Branch,
        asset: Asset::Plan,
        stopped: "an evaluation of another tree, or one that is damaged, is made anew; records change estimates and nothing else",
        tests: &[
            "a_pipe_or_a_device_in_an_entry_is_an_error_at_once",
            "absurd_records_are_bounded_and_impossible_ones_refused",
        ],
        gaps: &[Gap {
            is_open: |situation| situation.is_on("trust_branches", false),
            reach: "an evaluation that any branch may have saved says what is built",
            remedy: Remedy::Setting("trust_branches: false"),
        }],
    },
    Line {
        attacker: Attacker::Fork,
        asset: Asset::Secrets,
        stopped: "",
        tests: &[],
        gaps: &[Gap {
            is_open: |_| true,
            reach: "pipelines of forks run what the fork says, with secrets if the project passes them on",
            remedy: Remedy::Elsewhere(
                "keep *Pass secrets to builds from forked pull requests* off, as it is by default",
            ),
        }],
    },
    Line {
        attacker: Attacker::Fork,
        asset: Asset::Signatures,
        stopped: "a job without the key signs, saves and pushes nothing, and takes what is signed",
        tests: &[
            "without_the_key_everything_is_green_and_nothing_is_saved",
            "without_secrets_or_clients_it_builds_and_says_that_nothing_is_pushed",
        ],
        gaps: &[],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::Results,
        stopped: "a job delivers only what the plan has it build, and takes its own outputs from no other; fetches are held against their hash",
        tests: &[
            "a_job_delivers_only_what_the_plan_has_it_build",
            "a_jobs_own_output_comes_from_no_other_job",
            "content_addressed_outputs_come_from_the_job_that_builds_them_alone",
            "fixed_outputs_are_held_against_their_hash",
            "forged_hand_offs_count_as_absent",
        ],
        gaps: &[
            Gap {
                is_open: |situation| situation.settings.evaluation.accept_flake_config,
                reach: "caches and keys that the flake's nixConfig names are believed",
                remedy: Remedy::Setting("accept_flake_config: false"),
            },
            Gap {
                is_open: |situation| situation.has_containers(),
                reach: "containers have no sandbox: where the image's Nix has no users for builders, what one leaves running changes what its job builds later",
                remedy: Remedy::Elsewhere(
                    "images whose Nix has users for builders, as nixos/nix does, or executors with `machine: ubuntu-…`, whose Nix has a sandbox",
                ),
            },
        ],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::Signatures,
        stopped: "the key leaves the environment before anything runs and is in no file and no argument; calls that build have no credentials; with `sign: separate` no job that builds has either, and what is signed comes from the job that the plan names",
        tests: &[
            "a_store_is_signed_for_with_a_key_that_no_file_and_no_argument_holds",
            "a_fetch_sees_what_it_needs_and_no_secret_of_the_job",
            "a_cache_with_a_token_is_read_and_no_builder_finds_the_token",
            "a_job_of_its_own_signs_and_pushes_and_no_job_that_builds_has_a_secret",
            "what_a_job_of_its_own_signs_is_what_the_plan_has_each_job_build",
        ],
        gaps: &[Gap {
            is_open: |situation| situation.signs_where_it_builds() && situation.has_containers(),
            reach: "containers have no sandbox: where the image's Nix has no users for builders, one can read the memory of nixdag, which holds the key",
            remedy: Remedy::Elsewhere(
                "sign: separate (with handoff: workspace), images whose Nix has users for builders, as nixos/nix does, or executors with `machine: ubuntu-…`",
            ),
        }],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::Secrets,
        stopped: "evaluated code and builders see a list of variables that holds no secret",
        tests: &[
            "no_secret_reaches_the_evaluator",
            "a_job_with_contexts_never_builds_what_another_should_have_delivered",
            "even_impure_evaluation_sees_no_secret_that_is_not_let_through",
            "a_fetch_sees_what_it_needs_and_no_secret_of_the_job",
            "a_cache_with_a_token_is_read_and_no_builder_finds_the_token",
        ],
        gaps: &[
            Gap {
                is_open: |situation| !situation.settings.evaluation.variables.is_empty(),
                reach: "all evaluated code sees the variables that --eval-env names",
                remedy: Remedy::Setting("eval_env: \"\""),
            },
            Gap {
                is_open: |situation| situation.settings.evaluation.impure,
                reach: "evaluated code reads the files of the setup job",
                remedy: Remedy::Setting("impure: false"),
            },
            Gap {
                is_open: |situation| situation.has_contexts(),
                reach: "a target's own builder runs in the job that has its context",
                remedy: Remedy::Elsewhere(
                    "give contexts to targets whose code is yours; what needs a secret and no builder belongs into a final job",
                ),
            },
        ],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::ContinuationKey,
        stopped: "evaluation builds nothing, reads no file and does not see the variable; no process of the orb's steps shows it",
        tests: &[
            "no_secret_reaches_the_evaluator",
            "what_widens_trust_is_not_for_the_file_to_say",
            "no_process_of_a_step_shows_the_continuation_key_while_evaluation_builds",
        ],
        gaps: &[
            Gap {
                is_open: |situation| situation.settings.evaluation.allow_import_from_derivation,
                reach: "builders run in the setup job, where the processes of CircleCI's agent hold the key",
                remedy: Remedy::Setting("allow_ifd: false"),
            },
            Gap {
                is_open: |situation| situation.settings.evaluation.impure,
                reach: "evaluated code reads /proc, where CircleCI's agent may have the key",
                remedy: Remedy::Setting("impure: false"),
            },
        ],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::Machines,
        stopped: "a package may choose among what nixdag.yml grants: no context, and no namespaced, GPU or unknown class without it",
        tests: &[
            "only_what_is_usual_or_listed_can_be_chosen",
            "a_plan_from_a_file_gets_only_what_these_settings_grant",
            "contexts_are_for_targets_alone",
        ],
        gaps: &[],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::Plan,
        stopped: "an attribute's nonsense is that attribute's failure; what it prints is cut and escaped",
        tests: &[
            "hostile_derivations_are_named",
            "nonsense_of_one_attribute_is_that_attributes_failure_alone",
            "hostile_names_reach_neither_templates_nor_shells",
            "a_flake_cannot_forge_an_answer",
        ],
        gaps: &[],
    },
    Line {
        attacker: Attacker::Input,
        asset: Asset::Programs,
        stopped: "files of other jobs are read, never run; links in them lead nowhere",
        tests: &[
            "a_job_writes_and_removes_nothing_through_links_in_its_own_folder",
            "links_lead_nowhere_and_unsigned_realisations_go",
        ],
        gaps: &[Gap {
            is_open: |situation| situation.has_own_machines(),
            reach: "a builder without a sandbox leaves processes and files on a machine that outlives the job",
            remedy: Remedy::Elsewhere(
                "a daemon with `sandbox = true` and users for builders, or machines that are thrown away after each job",
            ),
        }],
    },
    Line {
        attacker: Attacker::MachineUser,
        asset: Asset::Secrets,
        stopped: "no secret is in an argument, and files that hold one are for their user alone",
        tests: &["it_is_in_no_folder", "a_store_is_signed_for_with_a_key_that_no_file_and_no_argument_holds"],
        gaps: &[Gap {
            is_open: |situation| situation.has_own_machines(),
            reach: "the Nix store can be read by every user of the machine, sources and results included",
            remedy: Remedy::Elsewhere("no other users on machines that build what is private"),
        }],
    },
    Line {
        attacker: Attacker::MachineUser,
        asset: Asset::Programs,
        stopped: "folders below /tmp are made, for their user alone, or the job stops; the bundle is held against the digest in the configuration before anything in it is used",
        tests: &[
            "a_folder_that_another_user_of_the_machine_has_made_first_stops_the_setup_job",
            "a_folder_that_another_user_of_the_machine_has_made_first_stops_a_job",
            "a_bundle_that_was_tampered_with_is_not_run",
        ],
        gaps: &[],
    },
    Line {
        attacker: Attacker::Cache,
        asset: Asset::Results,
        stopped: "a path counts only with a trusted signature, or by its content",
        tests: &[
            "an_unsigned_cache_counts_only_if_it_is_trusted",
            "missing_foreign_and_wrong_signatures_are_told_apart",
        ],
        gaps: &[Gap {
            is_open: |situation| situation.trusts_a_store(),
            reach: "a store with `trusted: true` is believed whatever it says",
            remedy: Remedy::Setting("caches: a public_key in the place of `trusted: true`"),
        }],
    },
    Line {
        attacker: Attacker::Cache,
        asset: Asset::Secrets,
        stopped: "a token goes to the host that a flag names and nowhere else, and over TLS",
        tests: &["a_token_reaches_the_cache_and_nothing_else", "secrets_in_the_wrong_place_are_refused_and_not_shown"],
        gaps: &[],
    },
    Line {
        attacker: Attacker::Cache,
        asset: Asset::Plan,
        stopped: "answers are bounded in size, time and words; what is missing later is named, not rebuilt silently",
        tests: &["served_narinfo", "narinfo", "an_archive_does_not_choose_how_much_memory_it_takes"],
        gaps: &[],
    },
];
