//! Which source file imports which. In: the folder of a crate's sources. Out: an arrow for each file that another one imports.
//!
//! Read are `use`, `pub use`, and paths in code, in macros and in attributes. What is under `#[cfg(test)]` is left out: unit tests may look
//! around. A path counts for the file of the innermost module that it names, so a re-exported item counts for the file that re-exports it,
//! which has an arrow of its own to where the item comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, LitStr, Macro, Meta, UseTree};

/// Names from the root of the crate: `crate::a::b` is `["a", "b"]`.
type Names = Vec<String>;

/// One file imports another.
#[derive(Clone, Debug)]
pub struct Arrow {
    /// The file with the import, from the folder of the sources.
    pub from: String,
    /// The file that is imported.
    pub to: String,
    /// The first line with such an import.
    pub line: usize,
    /// What is imported there, from the root of the crate.
    pub path: String,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{} imports `{}` from {}", self.from, self.line, self.path, self.to)
    }
}

/// The sources of a crate.
pub struct Sources {
    /// The file of each module; several inline modules may be in one.
    modules: BTreeMap<Names, String>,
    files: Vec<(String, Names, syn::File)>,
}

impl Sources {
    /// Reads `lib.rs` and every file that it reaches by `mod`, and `main.rs`.
    pub fn read(folder: &Path) -> Self {
        let mut sources = Self { modules: BTreeMap::new(), files: Vec::new() };
        sources.add(folder, "lib.rs", Vec::new());
        sources.files.push(("main.rs".into(), vec!["main".into()], parse(folder, "main.rs")));
        sources
    }

    /// All files, in order.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(file, ..)| file.as_str())
    }

    /// All arrows, in order; `library` is what `main.rs` calls the library.
    pub fn arrows(&self, library: &str) -> Vec<Arrow> {
        let mut arrows = BTreeMap::new();
        for (file, module, code) in &self.files {
            let mut names = LocalNames::new(self, module);
            if file == "main.rs" {
                names.imported.entry(library.to_owned()).or_default().insert(Vec::new());
            }
            names.visit_file(code);
            let mut reader = Reader { names, file, arrows: &mut arrows };
            reader.visit_file(code);
        }
        arrows.into_values().collect()
    }

    fn add(&mut self, folder: &Path, file: &str, module: Names) {
        let code = parse(folder, file);
        let stem = file.strip_suffix("mod.rs").or(file.strip_suffix("lib.rs")).map(str::to_owned);
        let beside = stem.unwrap_or_else(|| format!("{}/", file.trim_end_matches(".rs")));
        self.modules.insert(module.clone(), file.to_owned());
        self.add_modules(folder, file, &beside, &module, &code.items);
        self.files.push((file.to_owned(), module, code));
    }

    /// The modules that these items declare; `beside` is the folder of their files.
    fn add_modules(&mut self, folder: &Path, file: &str, beside: &str, module: &Names, items: &[Item]) {
        for item in items {
            let Item::Mod(declared) = item else { continue };
            if is_test(&declared.attrs) {
                continue;
            }
            assert!(!declared.attrs.iter().any(|a| a.path().is_ident("path")), "{file}: `#[path]` cannot be followed");
            let name = declared.ident.to_string();
            let child: Names = module.iter().chain([&name]).cloned().collect();
            if let Some((_, items)) = &declared.content {
                self.modules.insert(child.clone(), file.to_owned());
                self.add_modules(folder, file, &format!("{beside}{name}/"), &child, items);
                continue;
            }
            let flat = format!("{beside}{name}.rs");
            let nested = format!("{beside}{name}/mod.rs");
            self.add(folder, if folder.join(&flat).exists() { &flat } else { &nested }, child);
        }
    }
}

fn parse(folder: &Path, file: &str) -> syn::File {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("cannot parse `{}`: {error}", path.display()))
}

/// True for what only tests see.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if attribute.path().is_ident("cfg") => {
            let condition = list.tokens.to_string();
            let has = |word| condition.split(|c: char| !c.is_alphanumeric()).any(|found| found == word);
            has("test") && !has("not")
        }
        _ => false,
    })
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// What the names in a file mean: first filled from its imports, then asked.
struct LocalNames<'s> {
    sources: &'s Sources,
    /// Where the reader is.
    module: Names,
    /// What each imported name may mean, anywhere in the file.
    imported: BTreeMap<String, BTreeSet<Names>>,
    /// Modules of which everything is imported.
    globs: BTreeSet<Names>,
}

impl<'s> LocalNames<'s> {
    fn new(sources: &'s Sources, module: &Names) -> Self {
        Self { sources, module: module.clone(), imported: BTreeMap::new(), globs: BTreeSet::new() }
    }

    /// What a path may mean, from the root of the crate; nothing where it leads out of the crate or to something in the file.
    fn resolve(&self, path: &[String]) -> Vec<Names> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let below = |begin: &[String], rest: &[String]| begin.iter().chain(rest).cloned().collect::<Names>();
        match first.as_str() {
            "crate" => vec![rest.to_vec()],
            "self" => vec![below(&self.module, rest)],
            "super" => {
                let up = path.iter().take_while(|name| *name == "super").count();
                let depth = self.module.len().checked_sub(up).expect("`super` stays in the crate");
                vec![below(&self.module[..depth], &path[up..])]
            }
            _ => {
                let child = below(&self.module, path);
                if self.sources.modules.contains_key(&child[..=self.module.len()]) {
                    return vec![child];
                }
                if let Some(meanings) = self.imported.get(first) {
                    return meanings.iter().map(|meaning| below(meaning, rest)).collect();
                }
                let globbed = self.globs.iter().map(|module| below(module, path));
                globbed
                    .filter(|path| self.sources.modules.contains_key(&path[..=path.len() - 1 - rest.len()]))
                    .collect()
            }
        }
    }
}

impl<'c> Visit<'c> for LocalNames<'_> {
    fn visit_item(&mut self, item: &'c Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'c ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'c ItemUse) {
        for leaf in leaves(&item.tree) {
            for meaning in self.resolve(&leaf.path) {
                match &leaf.name {
                    Some(name) => self.imported.entry(name.clone()).or_default().insert(meaning),
                    None => self.globs.insert(meaning),
                };
            }
        }
    }
}

/// One import of a `use`.
struct Leaf {
    path: Names,
    /// What it is called in the file; none for everything of a module.
    name: Option<String>,
    line: usize,
}

fn leaves(tree: &UseTree) -> Vec<Leaf> {
    fn walk(tree: &UseTree, mut path: Names, leaves: &mut Vec<Leaf>) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                walk(&step.tree, path, leaves);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, path.clone(), leaves)),
            UseTree::Glob(glob) => leaves.push(Leaf { path, name: None, line: line(glob.star_token.spans[0]) }),
            UseTree::Name(leaf) => add(path, &leaf.ident, &leaf.ident, leaves),
            UseTree::Rename(leaf) => add(path, &leaf.ident, &leaf.rename, leaves),
        }
    }
    fn add(mut path: Names, ident: &syn::Ident, name: &syn::Ident, leaves: &mut Vec<Leaf>) {
        let mut name = name.to_string();
        match ident.to_string().as_str() {
            "self" if name == "self" => name = path.last().cloned().unwrap_or_default(),
            "self" => {}
            ident => path.push(ident.to_owned()),
        }
        leaves.push(Leaf { path, name: Some(name), line: line(ident.span()) });
    }
    let mut found = Vec::new();
    walk(tree, Vec::new(), &mut found);
    found
}

fn line(span: proc_macro2::Span) -> usize {
    span.start().line
}

/// Reads the arrows of one file.
struct Reader<'r> {
    names: LocalNames<'r>,
    file: &'r str,
    arrows: &'r mut BTreeMap<(String, String), Arrow>,
}

impl Reader<'_> {
    fn found(&mut self, path: &[String], line: usize) {
        for path in self.names.resolve(path) {
            let longest = (0..=path.len()).rev().find_map(|length| self.names.sources.modules.get(&path[..length]));
            let Some(to) = longest.filter(|to| *to != self.file) else { continue };
            let arrow = Arrow { from: self.file.to_owned(), to: to.clone(), line, path: path.join("::") };
            let known = self.arrows.entry((arrow.from.clone(), arrow.to.clone())).or_insert_with(|| arrow.clone());
            if arrow.line < known.line {
                *known = arrow;
            }
        }
    }

    /// Paths in what a macro or an attribute is given. Attributes quote paths too.
    fn tokens(&mut self, tokens: TokenStream, are_attribute: bool) {
        let (mut path, mut at, mut colons, mut is_rooted) = (Names::new(), 0, 0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.end(&mut path, at);
                    // `::a` and `x.a` are not names of this file.
                    if !is_rooted {
                        (path, at) = (vec![ident.to_string()], line(ident.span()));
                    }
                }
                TokenTree::Punct(punct) => {
                    if punct.as_char() == ':' {
                        (colons, is_rooted) = (colons + 1, path.is_empty() && colons == 1);
                        continue;
                    }
                    self.end(&mut path, at);
                    is_rooted = punct.as_char() == '.';
                    colons = 0;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end(&mut path, at);
                    self.tokens(group.stream(), are_attribute);
                }
                TokenTree::Literal(literal) => {
                    self.end(&mut path, at);
                    let quoted = syn::parse_str::<LitStr>(&literal.to_string());
                    if let (true, Ok(quoted)) = (are_attribute, quoted)
                        && let Ok(path) = syn::parse_str::<syn::Path>(&quoted.value())
                    {
                        self.path(&path, line(literal.span()));
                    }
                }
            }
            (colons, is_rooted) = (0, false);
        }
        self.end(&mut path, at);
    }

    fn end(&mut self, path: &mut Names, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.found(&path, line);
        }
    }

    /// A single name is a variable, or has been imported.
    fn path(&mut self, path: &syn::Path, line: usize) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.found(&names, line);
        }
    }
}

impl<'c> Visit<'c> for Reader<'_> {
    fn visit_item(&mut self, item: &'c Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'c ImplItem) {
        let is_test = matches!(item, ImplItem::Fn(function) if is_test(&function.attrs));
        if !is_test {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'c ItemMod) {
        self.names.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.names.module.pop();
    }

    fn visit_item_use(&mut self, item: &'c ItemUse) {
        if item.leading_colon.is_none() {
            leaves(&item.tree).iter().for_each(|leaf| self.found(&leaf.path, leaf.line));
        }
    }

    fn visit_path(&mut self, path: &'c syn::Path) {
        self.path(path, path.segments.first().map_or(0, |segment| line(segment.ident.span())));
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'c syn::Visibility) {
        // `pub(in crate::a)` and `pub(super)` import nothing.
    }

    fn visit_macro(&mut self, called: &'c Macro) {
        visit::visit_macro(self, called);
        self.tokens(called.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'c Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), true);
        }
    }
}
