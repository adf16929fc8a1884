//! Links within the repository lead to files and headings that exist; the book has every page.

use std::path::{Component, Path, PathBuf};

use crate::page::Page;
use crate::support::repository;

/// Where a link leads from a page, from the repository's root.
fn place(page: &str, link: &str) -> PathBuf {
    let mut place = PathBuf::new();
    for part in Path::new(page).parent().unwrap().join(link).components() {
        match part {
            Component::ParentDir => assert!(place.pop(), "{page}: `{link}` leads out of the repository"),
            part => place.push(part),
        }
    }
    place
}

/// The repository's files by address: pages of the book name those so that are no part of it.
const FILES: [&str; 2] = ["https://github.com/org/nixdag/blob/main/", "https://github.com/org/nixdag/tree/main/"];

/// What is wrong with a link.
fn fault(pages: &[Page], page: &Page, link: &str) -> Option<String> {
    let of_repository = FILES.iter().find_map(|files| link.strip_prefix(files));
    if link.contains("://") && of_repository.is_none() {
        return None;
    }
    let whole = of_repository.unwrap_or(link);
    let (file, anchor) = whole.split_once('#').unwrap_or((whole, ""));
    let place = match of_repository {
        Some(_) => PathBuf::from(file),
        None if file.is_empty() => PathBuf::from(&page.path),
        None => place(&page.path, file),
    };
    if page.path.starts_with("docs/") && of_repository.is_none() && !place.starts_with("docs") {
        return Some(format!("`{link}` leads out of the book: name the file by its address, {}…", FILES[0]));
    }
    if !repository().join(&place).exists() {
        return Some(format!("`{link}`: there is no {}", place.display()));
    }
    let target = pages.iter().find(|page| Path::new(&page.path) == place);
    let leads = anchor.is_empty() || target.is_some_and(|target| target.anchors().iter().any(|name| name == anchor));
    (!leads).then(|| format!("`{link}`: {} has no heading `#{anchor}`", place.display()))
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let pages = Page::all();
    let links = pages.iter().flat_map(|page| page.links().into_iter().map(move |(line, link)| (page, line, link)));
    let checked: Vec<_> =
        links.map(|(page, line, link)| (format!("{}:{line}", page.path), fault(&pages, page, &link))).collect();
    let faults: Vec<String> =
        checked.iter().filter_map(|(at, fault)| Some(format!("{at}: {}", fault.as_ref()?))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked.len() > 80, "{} links found", checked.len());
}

#[test]
fn the_book_has_every_page_once() {
    let summary = Page::read("docs/SUMMARY.md");
    let mut named: Vec<String> = summary.links().into_iter().map(|(_, link)| link).collect();
    named.sort();
    assert_eq!(named, Page::names());
    let book = std::fs::read_to_string(repository().join("docs/book.toml")).unwrap();
    assert!(book.contains("src = \".\""), "SUMMARY.md is beside book.toml");
}
