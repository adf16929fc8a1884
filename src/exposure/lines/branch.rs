//! What whoever can push a branch may be after.

use super::super::line::{ALL, Asset, Attacker, CIRCLECI, Exposure, GITHUB, GITLAB, Gap, OTHERS, Remedy, Stop};

/// All of it.
pub const LINES: &[Exposure] = &[
    Exposure {
        attacker: Attacker::Branch,
        asset: Asset::Programs,
        stops: &[
            Stop {
                on: ALL,
                how: "programs are looked for in absolute folders of PATH alone, only a `.git` folder, which cannot be committed, makes a repository, and the folder of evaluations that nixdag.yml names is in the checkout",
                tests: &[
                    "no_program_of_the_checkout_is_run_in_the_place_of_the_machines",
                    "the_folder_of_the_evaluation_cache_that_the_file_names_is_in_the_checkout",
                    "no_files_of_a_checkout_become_a_repository_that_runs_a_program",
                ],
            },
            Stop {
                on: CIRCLECI,
                how: "the setup job and jobs with secrets restore nothing; elsewhere what was restored is checked by its digest before it runs",
                tests: &[
                    "a_hostile_branch_gets_nothing_into_the_setup_job",
                    "a_bundle_that_was_tampered_with_is_not_run",
                    "a_program_with_another_checksum_is_not_run",
                    "what a cache brought is verified too, and replaced if it is another file",
                    "the program is not on PATH, and nothing else that a cache brought is beside it",
                ],
            },
            Stop {
                on: OTHERS,
                how: "the bundle is an artifact, and the digest that its jobs check before anything in it runs is in what the planning job puts out; no program comes from a cache",
                tests: &[
                    "a_bundle_that_another_job_has_replaced_is_not_run",
                    "a_bundle_that_an_artifact_of_the_run_has_replaced_is_not_run",
                    "a_release_is_used_where_its_checksum_is_that_of_the_action",
                ],
            },
        ],
        gaps: &[
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.is_on("trust_branches", false),
                reach: "the setup job unpacks caches that any branch may have saved, over any program of its machine",
                remedy: Remedy::Setting("trust_branches: false"),
            },
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.has_own_machines(),
                reach: "a job without secrets unpacks caches that any branch may have saved on a machine that later jobs use",
                remedy: Remedy::Elsewhere("machines that are thrown away after each job"),
            },
            Gap {
                on: OTHERS,
                is_open: |situation| situation.has_own_machines(),
                reach: "whatever a branch's job leaves on a machine is there for the next job",
                remedy: Remedy::Elsewhere(
                    "machines that are thrown away after each job, and others for protected branches",
                ),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Branch,
        asset: Asset::Signatures,
        stops: &[
            Stop {
                on: ALL,
                how: "`reuse: branch` is refused beside a signing key, push or contexts; what is restored for jobs with secrets is compared by digest and signature",
                tests: &[
                    "what_strangers_have_saved_is_named_and_built_again",
                    "other_contents_under_a_right_signature_are_refused",
                    "a_hostile_branch_changes_nothing_that_another_signs_and_pushes",
                    "unsigned_results_of_a_branch_are_refused_beside_secrets",
                ],
            },
            Stop {
                on: GITLAB,
                how: "jobs that build with secrets unpack no cache: signed results come from the package registry, file by file, and are compared before they are used",
                tests: &["what_others_put_under_the_names_of_signed_results_is_named_and_built_again"],
            },
        ],
        gaps: &[],
    },
    Exposure {
        attacker: Attacker::Branch,
        asset: Asset::ContinuationKey,
        stops: &[Stop {
            on: CIRCLECI,
            how: "the setup job restores nothing that another branch can have saved",
            tests: &["a_hostile_branch_gets_nothing_into_the_setup_job"],
        }],
        gaps: &[Gap {
            on: CIRCLECI,
            is_open: |situation| situation.is_on("trust_branches", false),
            reach: "programs that a cache brought run beside the key",
            remedy: Remedy::Setting("trust_branches: false"),
        }],
    },
    Exposure {
        attacker: Attacker::Branch,
        asset: Asset::Results,
        stops: &[
            Stop {
                on: ALL,
                how: "signed results are checked against the keys that are trusted, contents and references included",
                tests: &[
                    "signed_results_are_taken_by_other_branches_and_by_forks",
                    "other_contents_under_a_right_signature_are_refused",
                ],
            },
            Stop {
                on: GITHUB,
                how: "a branch reads what it has saved itself and what the default branch has",
                tests: &["later_workflows_build_nothing_again_and_branches_stay_apart"],
            },
            Stop {
                on: GITLAB,
                how: "the caches of protected branches are others than those of the rest",
                tests: &["a_second_pipeline_builds_nothing_and_an_unprotected_branch_takes_nothing_of_a_protected_one"],
            },
        ],
        gaps: &[
            Gap {
                on: CIRCLECI,
                is_open: |situation| situation.reuses_unsigned(),
                reach: "any branch can save results under another branch's key",
                remedy: Remedy::Setting("reuse: signed or reuse: off"),
            },
            Gap {
                on: GITLAB,
                is_open: |situation| situation.reuses_unsigned(),
                reach: "branches that are both protected, or both not, take what the other has saved under their names",
                remedy: Remedy::Setting("reuse: signed or reuse: off"),
            },
            Gap {
                on: GITLAB,
                is_open: |situation| situation.reuses_unsigned(),
                reach: "without `Use separate caches for protected branches`, or on runners that share a volume `/cache`, every branch writes the caches of all",
                remedy: Remedy::Elsewhere(
                    "`Settings > CI/CD > General pipelines`, and a cache in S3 or runners of their own for protected branches",
                ),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Branch,
        asset: Asset::Secrets,
        stops: &[
            Stop {
                on: ALL,
                how: "inputs of the flake and files that nixdag.yml names are read in the checkout alone, links followed and Git's own folder left out; an input elsewhere on the machine is one that a flag names, or a commit of a repository that the lock names",
                tests: &[
                    "no_input_of_a_branch_reads_the_machine_that_plans",
                    "no_override_in_the_file_and_no_lock_reads_the_machine_that_plans",
                    "no_input_of_an_input_reads_the_machine_that_plans",
                    "what_leads_out_of_the_checkout_is_refused_unless_a_flag_or_a_lock_names_it",
                    "links_are_followed_and_the_folder_of_git_is_outside",
                ],
            },
            Stop {
                on: GITHUB,
                how: "nixdag's workflow gives secrets of an environment to the job that names it, and to no other",
                tests: &["a_job_with_a_context_gets_the_secrets_of_that_environment_and_no_other_does"],
            },
        ],
        gaps: &[
            Gap {
                on: CIRCLECI,
                is_open: |_| true,
                reach: "a branch brings its own .circleci/config.yml, which may name any context that is not restricted, and print the project's variables",
                remedy: Remedy::Elsewhere(
                    "restrict each context to branches (an expression such as `pipeline.git.branch == \"main\"`), and keep secrets out of the project's variables",
                ),
            },
            Gap {
                on: GITLAB,
                is_open: |_| true,
                reach: "a branch brings its own .gitlab-ci.yml, which may print every variable that is not protected, and name any environment",
                remedy: Remedy::Elsewhere(
                    "protect the variables, give them the scope of an environment, and protect that environment",
                ),
            },
            Gap {
                on: GITLAB,
                is_open: |situation| situation.gives_every_job_the_comments_token(),
                reach: "every job of the project has the token of `comment`, with which a branch can write to all of the project that the scope `api` reaches",
                remedy: Remedy::Setting("comment: {token_variable: …, environment: …}"),
            },
            Gap {
                on: GITHUB,
                is_open: |_| true,
                reach: "a branch brings its own workflows, which may use every secret of the repository, and name any environment",
                remedy: Remedy::Elsewhere(
                    "put secrets into environments whose rules name the branches that may deploy, and none into the repository",
                ),
            },
        ],
    },
    Exposure {
        attacker: Attacker::Branch,
        asset: Asset::Plan,
        stops: &[
            Stop {
                on: ALL,
                how: "an evaluation of another tree, or one that is damaged or brings anything but derivations and sources, is evaluated again; records change estimates, and so how builds are divided into jobs and the size of their machines, and nothing else",
                tests: &[
                    "a_pipe_or_a_device_in_an_entry_is_an_error_at_once",
                    "a_forged_derivation_source_or_output_does_not_come_into_the_store",
                    "records_that_anybody_may_have_written_change_no_verdict_and_are_named",
                ],
            },
            Stop {
                on: GITLAB,
                how: "the job that plans unpacks no cache: what is recorded comes from a job without a checkout, one file of it",
                tests: &["what_another_branch_saves_under_the_key_of_records_is_not_what_is_planned"],
            },
        ],
        gaps: &[Gap {
            on: CIRCLECI,
            is_open: |situation| situation.is_on("trust_branches", false),
            reach: "an evaluation that any branch may have saved says what is built",
            remedy: Remedy::Setting("trust_branches: false"),
        }],
    },
];
