//! How the bundle and earlier results reach jobs. CircleCI's cache can be written by every branch, and unpacks at the absolute paths of
//! whoever saved it: behind a restore neither a program nor a check of it can be trusted.
//!
//! In: the plan and how results travel. Out: a [`Transport`]. Without secrets each job restores what it needs, and checks it
//! afterwards. With secrets, of whatever kind, only jobs that do nothing else run `restore_cache`, see [`super::restore`].

use anyhow::Result;

use super::super::job_script::Places;
use super::options::Options;
use crate::delivery::Reuse;
use crate::plan::Plan;

/// Where the setup job writes the bundle, and where the generated jobs find it. CircleCI's caches come back at the absolute
/// path that they were saved from, and home directories differ between images: hence a path that all of them have.
pub const BUNDLE_DIR: &str = "/tmp/nixdag/bundle";

/// The folder of links to restored outputs: an absolute path, since nothing expands `~` in a variable.
pub const RESTORED_DIR: &str = "/tmp/nixdag/restored";

/// Where the workspace is attached.
pub const WORKSPACE: &str = "~/.nixdag/workspace";

/// The folder of what earlier pipelines left and this one leaves; a path that all images have, as the bundle's.
pub const REUSE_DIR: &str = "/tmp/nixdag/reuse";

/// Where jobs leave what they have recorded, a folder each; a path that all images have, as the bundle's.
pub const RECORDS_DIR: &str = "/tmp/nixdag/records";

/// Where the bundle is in a workspace. No id of a job holds a dot, so no job's folder has this name.
pub const BUNDLE_IN_WORKSPACE: &str = "nixdag.bundle";

/// Where earlier results are in a workspace, a folder for each hash of a job's content.
pub const REUSE_IN_WORKSPACE: &str = "nixdag.reuse";

/// How the bundle and earlier results reach the jobs of one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What jobs take from earlier pipelines.
    pub reuse: Reuse,
    /// True where some job has secrets: none but those that only restore may run `restore_cache`.
    pub is_guarded: bool,
    /// True where jobs leave what they have recorded in the CI's cache, for the job that puts it together.
    pub leaves_records: bool,
}

impl Transport {
    /// What goes together with the plan's contexts, and with what jobs sign and push with.
    pub fn new(plan: &Plan, options: &Options) -> Result<Self> {
        let delivery = &options.setup.delivery;
        let contexts = plan.all_jobs().any(|job| !job.options.context.is_empty());
        let reuse = if options.has_workspace() { delivery.reuse_beside(contexts)? } else { Reuse::Off };
        let has_bundle = options.setup.bundle.is_some();
        Ok(Self {
            reuse,
            is_guarded: has_bundle && (contexts || delivery.has_secrets()),
            leaves_records: has_bundle && options.setup.records_in.is_none(),
        })
    }

    /// Where jobs have their things.
    pub fn places(self) -> Places {
        Places {
            bundle: if self.is_guarded { "~/.nixdag/workspace/nixdag.bundle" } else { BUNDLE_DIR },
            program: "~/.nixdag/program",
            workspace: WORKSPACE,
            reuse: REUSE_DIR,
            packages: "",
            signed: "",
            results: "~/.nixdag/results",
            records: if self.leaves_records { RECORDS_DIR } else { "" },
            restored: RESTORED_DIR,
            job: "$id",
        }
    }
}
