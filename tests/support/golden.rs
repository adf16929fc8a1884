//! Texts that are recorded in the repository: what is made now has to be the same. `NIXDAG_GOLDEN=write` writes them anew.

use std::fs;
use std::path::Path;

/// Compares a text with the file that it is recorded in, a path from the repository's root.
#[track_caller]
pub fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let is_same = || fs::read_to_string(&path).is_ok_and(|recorded| recorded == text);
    // Other tests may be reading the file.
    if std::env::var("NIXDAG_GOLDEN").as_deref() == Ok("write") && !is_same() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, recorded, "{file} differs (NIXDAG_GOLDEN=write writes it anew)");
}
