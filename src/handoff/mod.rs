//! Hand-off: moving what a job built to the jobs that need it, and the derivations to all of them.
//!
//! A job writes a [`partial_cache`], a starting job [`merge`]s those of its ancestors; the drv [`bundle`] carries the
//! derivations, the plan and this program from the planning machine to every job. What an earlier run of the
//! same job left comes from the folder of [`reuse`].

pub mod bundle;
pub mod drv_closure;
pub mod drv_file;
pub mod free_space;
pub mod merge;
pub mod partial_cache;
pub mod path_archive;
pub mod realisation_files;
pub mod registry;
pub mod reuse;
pub mod signed_results;
mod trusted_signature;
