//! The page: what a pipeline will do or has done, as one HTML file that loads nothing.
//!
//! In: a plan, the records of its jobs, or both ([`gather::pipeline`]). Out: HTML. Verdict, failures, numbers, critical path, cost and tables are
//! there without a script; the script adds time line, graph, search and sorting. Text from outside goes through [`markup`](crate::view::markup), into
//! elements and attributes, or into data that the script reads. The script itself only sets text and attributes. The same pipeline for
//! other programs: [`trace`] and [`telemetry`].

mod bars;
mod change;
pub mod comment;
mod critical;
mod data;
mod document;
mod failed;
mod failure_list;
pub mod folder;
pub mod gather;
mod links;
pub mod pipeline;
pub mod summary;
mod tables;
pub mod telemetry;
mod time;
pub mod trace;
mod words;

pub use document::write;
