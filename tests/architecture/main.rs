//! The order of the modules that `docs/architecture.md` gives holds in `src/`: nothing imports what is above it, nothing imports in a circle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod imports;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use imports::{Arrow, Sources};

/// Where the order is.
const PAGE: &str = "docs/architecture.md";

/// The groups of modules, from the top down; a module is a file or a folder in `src/`.
struct Order(Vec<Vec<String>>);

impl Order {
    /// Reads the page's block `order`: a group a line.
    fn read(page: &str) -> Self {
        let (_, block) = page.split_once("```order\n").expect("the page has a block `order`");
        let (block, _) = block.split_once("```").expect("the block `order` ends");
        Self(block.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    }

    /// The group of a file.
    fn group(&self, file: &str) -> Option<usize> {
        let module = module(file);
        self.0.iter().position(|group| group.iter().any(|name| name == module))
    }

    /// Files that are in no group: a line each.
    fn gaps(&self, sources: &Sources) -> Vec<String> {
        let lacking = sources.files().filter(|file| self.group(file).is_none());
        lacking.map(|file| format!("`{}` ({file}) is not in the order", module(file))).collect()
    }

    /// Names in the order that no file has any more: a line each.
    fn leftovers(&self, sources: &Sources) -> Vec<String> {
        let is_there = |name: &&String| sources.files().any(|file| module(file) == *name);
        let left = self.0.iter().flatten().filter(|name| !is_there(name));
        left.map(|name| format!("`{name}` of the order is not a module")).collect()
    }

    /// The arrows that go up: a line each.
    fn violations(&self, arrows: &[Arrow]) -> Vec<String> {
        let up = arrows.iter().filter(
            |arrow| matches!((self.group(&arrow.from), self.group(&arrow.to)), (Some(from), Some(to)) if from > to),
        );
        up.map(|arrow| format!("against the order: {arrow}")).collect()
    }
}

/// The top module of a file: `plan` for `plan/names.rs`.
fn module(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// The circles among these arrows: for each the arrows in it, a line each.
fn circles(arrows: &[Arrow]) -> Vec<String> {
    let mut graph = DiGraph::<&str, ()>::new();
    let mut nodes = HashMap::new();
    for arrow in arrows {
        let [from, to] =
            [&arrow.from, &arrow.to].map(|file| *nodes.entry(file).or_insert_with(|| graph.add_node(file)));
        graph.add_edge(from, to, ());
    }
    let mut found = Vec::new();
    for circle in tarjan_scc(&graph).into_iter().filter(|files| files.len() > 1) {
        let is_inside = |file: &str| circle.iter().any(|node| graph[*node] == file);
        let within = arrows.iter().filter(|arrow| is_inside(&arrow.from) && is_inside(&arrow.to));
        found.push(format!("a circle of {} files:", circle.len()));
        found.extend(within.map(|arrow| format!("  {arrow}")));
    }
    found
}

/// The folder of a provider that a file is in: folders of `provider/` with a `mod.rs` are providers, others are for all of them.
fn provider<'a>(file: &'a str, sources: &Sources) -> Option<&'a str> {
    let (name, _) = file.strip_prefix("provider/")?.split_once('/')?;
    let root = format!("provider/{name}/mod.rs");
    sources.files().any(|file| file == root).then_some(name)
}

/// The arrows into a provider from where nobody should know it, a line each: only the enum of providers does. So no provider
/// imports another one, and neither `settings` nor `commands` knows the inside of one.
fn intrusions(sources: &Sources, arrows: &[Arrow]) -> Vec<String> {
    let intrudes = |arrow: &&Arrow| {
        let to = provider(&arrow.to, sources);
        to.is_some() && provider(&arrow.from, sources) != to && arrow.from != "provider/mod.rs"
    };
    arrows.iter().filter(intrudes).map(|arrow| format!("a provider's inside: {arrow}")).collect()
}

/// All that is wrong, a line each.
fn problems(order: &Order, sources: &Sources, library: &str) -> Vec<String> {
    let arrows = sources.arrows(library);
    [
        order.gaps(sources),
        order.leftovers(sources),
        order.violations(&arrows),
        intrusions(sources, &arrows),
        circles(&arrows),
    ]
    .concat()
}

#[test]
fn imports_go_down_and_never_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let order = Order::read(&fs::read_to_string(root.join(PAGE)).unwrap());
    let sources = Sources::read(&root.join("src"));
    let wrong = problems(&order, &sources, "nixdag");
    assert!(wrong.is_empty(), "see `{PAGE}`:\n{}", wrong.join("\n"));
}

/// A crate with these files beside a `main.rs`, and all that is wrong with it; the groups of its modules from the top down.
fn wrong(groups: &[&str], files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files.iter().chain(&[("main.rs", "fn main() { it::a::run() }")]) {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let order = Order::read(&format!("```order\nmain lib\n{}\n```\n", groups.join("\n")));
    problems(&order, &Sources::read(folder.path()), "it")
}

#[test]
fn every_way_to_import_is_seen() {
    for import in [
        "use crate::a::Item;",
        "use crate::{b, a::{self as other, Item}};",
        "pub use super::a::*;",
        "pub(crate) use super::a;",
        "fn f() -> crate::a::Item { loop {} }",
        "fn f() { use crate::a; }",
        "fn f() { super::a::run() }",
        "use super::*; fn f() { a::run() }",
        "fn f() { println!(\"{}\", crate::a::VALUE) }",
        "macro_rules! m { () => { $crate::a::run() } }",
        "#[derive(Args)] struct S { #[arg(value_parser = crate::a::parse)] x: u8 }",
        "struct S { #[serde(with = \"super::a\")] x: u8 }",
        "mod inside { fn f() { super::super::a::run() } }",
        "impl crate::a::Trait for u8 {}",
        "#[cfg(not(test))] use crate::a;",
    ] {
        let found = wrong(&["a", "b"], &[("lib.rs", "pub mod a; pub mod b;"), ("a.rs", ""), ("b.rs", import)]);
        assert!(
            found.iter().any(|line| line.starts_with("against the order: b.rs:1 imports `a")),
            "{import}: {found:?}"
        );
    }
}

#[test]
fn what_goes_down_or_is_only_for_tests_is_fine() {
    let a = "mod deep; use crate::b::Item; use b::Item as B; fn f() { let deep = 1; deep + b::f() }";
    let deep = "use crate::b; fn f(x: std::a::B) { x.a::<u8>(); ::a::run(); \"crate::a\"; }";
    let b = "//! See [`crate::a`].\n#[cfg(test)] mod tests { use crate::a::*; }\n#[cfg(test)] use crate::a;";
    let lib = "//! [`a`]\npub mod a; pub mod b;";
    let files = [("lib.rs", lib), ("a.rs", a), ("a/deep.rs", deep), ("b/mod.rs", b)];
    assert_eq!(wrong(&["a", "b"], &files), [""; 0]);
}

#[test]
fn circles_are_found_between_files_of_one_folder() {
    let files = [
        ("lib.rs", "pub mod a; pub mod c;"),
        ("a/mod.rs", "mod one; mod two; pub use one::Item;"),
        ("a/one.rs", "use super::two;"),
        ("a/two.rs", "use super::Item;"),
        ("c.rs", ""),
    ];
    assert_eq!(
        wrong(&["a"], &files),
        [
            "`c` (c.rs) is not in the order",
            "a circle of 3 files:",
            "  a/mod.rs:1 imports `a::one::Item` from a/one.rs",
            "  a/one.rs:1 imports `a::two` from a/two.rs",
            "  a/two.rs:1 imports `a::Item` from a/mod.rs",
        ]
    );
}

#[test]
fn providers_keep_their_insides_to_themselves() {
    let files = [
        ("lib.rs", "pub mod commands; pub mod provider; pub mod settings;"),
        ("commands.rs", "use crate::provider::one::Item;"),
        ("settings.rs", "use crate::provider::Provider; use crate::provider::one;"),
        ("provider/mod.rs", "pub mod one; pub mod two; pub mod yaml; use one::Item;"),
        ("provider/one/mod.rs", "mod deep; use deep::Item; use super::yaml;"),
        ("provider/one/deep.rs", ""),
        ("provider/two/mod.rs", "use crate::provider::one::Item;"),
        ("provider/yaml.rs", "mod read;"),
        ("provider/yaml/read.rs", ""),
    ];
    assert_eq!(
        wrong(&["commands", "settings provider", "gone"], &files),
        [
            "`gone` of the order is not a module",
            "a provider's inside: commands.rs:1 imports `provider::one::Item` from provider/one/mod.rs",
            "a provider's inside: provider/two/mod.rs:1 imports `provider::one::Item` from provider/one/mod.rs",
            "a provider's inside: settings.rs:1 imports `provider::one` from provider/one/mod.rs",
        ]
    );
}
