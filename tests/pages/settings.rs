//! Blocks of nixdag.yml on the pages are settings that nixdag takes.

use nixdag::settings::file::SettingsFile;

use crate::page::Page;

/// A public key, for those that the pages cut short.
const KEY: &str = ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Words of blocks that are a CI's own files.
const OTHERS: [&str; 10] = [
    "restore_cache:",
    "version: 2.1",
    "nixdag/setup",
    "- run:",
    "- name:",
    "steps:",
    "component:",
    "script:",
    "uses:",
    "workflow:",
];

#[test]
fn blocks_of_settings_are_taken() {
    let mut settings = 0;
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            if OTHERS.iter().any(|word| block.text.contains(word)) && !block.text.starts_with("final:") {
                continue;
            }
            settings += 1;
            let parsed = SettingsFile::parse(&block.text.replace(":qDXc…=", KEY).replace(":…", KEY));
            assert!(parsed.is_ok(), "{}:{}: {:#}", page.path, block.line, parsed.unwrap_err());
        }
    }
    assert!(settings >= 10, "{settings} blocks of settings");
}
