//! A page of Markdown, cut into what tests look at. In: a file of the repository. Out: its headings, links and blocks, each with its line.

use std::fs;

use crate::support::repository;

/// One page.
pub struct Page {
    /// Its path from the repository's root.
    pub path: String,
    /// Lines outside blocks, each with its number, from 1.
    prose: Vec<(usize, String)>,
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// What follows the fence: `sh`, `yaml`, …
    pub language: String,
    /// The line before it that is not empty.
    pub before: String,
    /// Its text, without indentation that the fence has too.
    pub text: String,
}

impl Page {
    /// Reads a page.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut page = Self { path: path.to_owned(), prose: Vec::new(), blocks: Vec::new() };
        let mut lines = text.lines().enumerate();
        let mut before = String::new();
        while let Some((at, line)) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                page.prose.push((at + 1, line.to_owned()));
                if !line.trim().is_empty() {
                    before = line.to_owned();
                }
                continue;
            };
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text = inside.map(|line| format!("{line}\n")).collect();
            page.blocks.push(Block { line: at + 1, language: language.to_owned(), before: before.clone(), text });
        }
        page
    }

    /// All pages for people: README.md and its like, and `docs/`.
    pub fn all() -> Vec<Self> {
        let root =
            ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "gitlab/README.md", "github/README.md"];
        let mut paths: Vec<String> = root.map(String::from).to_vec();
        paths.extend(Self::names().into_iter().map(|name| format!("docs/{name}")));
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The pages in `docs/`, by name.
    pub fn names() -> Vec<String> {
        let entries = fs::read_dir(repository().join("docs")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".md") && name != "SUMMARY.md");
        names.sort();
        names
    }

    /// Where links may lead on this page: the anchor of each heading, as GitHub and mdBook make it.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for heading in self.headings() {
            let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            let base: String =
                kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect();
            let again = anchors.iter().filter(|anchor| **anchor == base).count();
            anchors.push(if again == 0 { base } else { format!("{base}-{again}") });
        }
        anchors
    }

    /// The words of the headings.
    fn headings(&self) -> impl Iterator<Item = String> {
        let lines = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        lines.map(|(_, line)| line.trim_start_matches('#').trim().replace('`', ""))
    }

    /// Targets of links outside blocks and code, each with its line.
    pub fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (at, line) in &self.prose {
            let text: Vec<&str> = line.split('`').step_by(2).collect();
            // What was code is gone; a link's text may have been code.
            let joined = text.join("");
            links.extend(
                joined.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| (*at, to.to_owned())),
            );
        }
        links
    }
}

impl Block {
    /// Why the page says that this block does not run in a test.
    pub fn excuse(&self) -> Option<&str> {
        self.before.trim().strip_prefix("<!-- not run: ")?.strip_suffix(" -->")
    }
}
