//! Whether pipelines plan from what earlier ones have measured, where that is for the user to say.

use super::option::options;

options! {
    /// What pipelines measure for later ones
    "Records": RecordFlags, RecordKeys, RecordOptions {
        /// CircleCI: jobs keep what they measure in the cache, which every branch can write, for the plans of later pipelines; elsewhere they always do
        trust_branches {
            flag bool;
            no key: "says that branches trust one another, and each of them could change nixdag.yml";
            orb Own "trust_branches";
        }
    }
}
