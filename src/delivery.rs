//! How results travel: between the jobs of a pipeline, to later pipelines, to other stores. One type a choice, for settings, plan,
//! providers and runner alike.

use crate::choice::choice;

choice! {
    /// How results travel from job to job.
    pub enum HandOffKind {
        /// In the CI's workspace
        Workspace = "workspace",
        /// In a binary cache
        Cache = "cache",
    }
}

choice! {
    /// What a pipeline that hands off through the workspace takes from earlier ones through the CI's own cache.
    #[derive(Default)]
    pub enum Reuse {
        /// Results of the same branch, and of the default branch where that is named
        #[default]
        Branch = "branch",
        /// Results of any branch that are signed with a trusted key
        Signed = "signed",
        /// Nothing
        Off = "off",
    }
}

choice! {
    /// What to do where pushing goes on failing.
    #[derive(Default)]
    pub enum OnPushFailure {
        /// Say so
        #[default]
        Warn = "warn",
        /// Fail the job
        Fail = "fail",
    }
}
