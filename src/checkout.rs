//! The checkout of a repository, and what lies in it: what a file of a branch names may be read there, and nowhere else on the machine.
//!
//! In: a folder of the checkout. Out: a [`Checkout`], which says of a path whether it is inside, links followed.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Git's own folder, which holds what the checkout was made with: tokens, too.
pub const GIT: &str = ".git";

/// A folder with all that a repository has.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Without links.
    root: PathBuf,
}

impl Checkout {
    /// The checkout that a folder is in: the nearest folder upwards with a `.git`, else the folder itself.
    pub fn around(folder: &Path) -> io::Result<Self> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = here.canonicalize()?;
        let root = folder.ancestors().find(|folder| folder.join(GIT).exists()).unwrap_or(&folder);
        Ok(Self { root: root.to_owned() })
    }

    /// Its folder, without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True for a path that is spelled as one in the checkout, wherever links lead.
    pub fn spells(&self, path: &Path) -> bool {
        let Ok(path) = std::path::absolute(path) else { return false };
        let mut spelled = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(spelled.pop()),
                part => spelled.push(part),
            }
        }
        spelled.starts_with(&self.root)
    }

    /// True for a path in the checkout that is not in Git's own folder. What is not there yet is where the folder is that it would be made in.
    pub fn holds(&self, path: &Path) -> bool {
        let Some(meant) = resolved(path) else { return false };
        let inside = meant.strip_prefix(&self.root);
        inside.is_ok_and(|inside| inside.components().all(|part| part.as_os_str() != GIT))
    }
}

/// Follows the links of a path as far as it exists; none where the rest cannot be told.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    for known in path.ancestors() {
        match known.canonicalize() {
            Ok(found) => {
                let rest = path.strip_prefix(known).ok()?;
                let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
                return is_plain.then(|| found.join(rest));
            }
            // A link that leads nowhere leads somewhere tomorrow.
            Err(_) if known.is_symlink() => return None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_the_folder_of_git_is_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("repository");
        fs::create_dir_all(root.join(".git/hooks")).unwrap();
        fs::create_dir_all(root.join("nix/deep")).unwrap();
        fs::create_dir_all(root.join("nested/.git")).unwrap();
        fs::create_dir_all(dir.path().join("other")).unwrap();
        symlink("../../other", root.join("nix/link")).unwrap();
        symlink("../nowhere", root.join("nix/dangling")).unwrap();
        symlink("deep", root.join("nix/inside")).unwrap();
        let checkout = Checkout::around(&root.join("nix")).unwrap();
        for inside in ["nix", "nix/inside", "nix/inside/new/folder", "new", "nix/../nested", "."] {
            assert!(checkout.holds(&root.join(inside)), "{inside}");
        }
        for outside in [
            "nix/link",
            "nix/link/new",
            "nix/dangling",
            "nix/dangling/new",
            ".git",
            ".git/hooks/new",
            "..",
            "../other",
            "new/../../other",
            "nix/link/../new",
            "/proc/self/environ",
        ] {
            assert!(!checkout.holds(&root.join(outside)), "{outside}");
        }
        // As Git spells the root.
        let root = checkout.root();
        for (path, is_spelled) in
            [("nix/link", true), ("nix/../nix/link/new", true), ("../other", false), ("/etc/passwd", false)]
        {
            assert_eq!(checkout.spells(&root.join(path)), is_spelled, "{path}");
        }
    }
}
