//! README.md and the pages in `docs/` say what is true: links and anchors lead somewhere, the book has all pages, commands run, settings parse,
//! messages exist, and the plan that is shown is what nixdag prints.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod links;
mod page;
mod settings;
mod shown;
