//! Files and folders that the repository names, or that are links in it: a branch could have any file of the machine read or replaced, and
//! messages and configurations show what is in it.
//!
//! In: a path, and the folder of the settings file. Out: an error where it leads out of the repository, or into Git's own folder.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::checkout::Checkout;

/// Refuses a file outside of the repository that `folder` is in, links followed. `flag` names it all the same.
pub fn check(path: &Path, folder: &Path, flag: &str) -> Result<()> {
    // In a folder that is not there, nothing is.
    let Ok(checkout) = Checkout::around(folder) else { return Ok(()) };
    ensure!(
        checkout.holds(path),
        "`{}` is outside of the repository: name it with `{flag}`",
        path.display().to_string().escape_debug()
    );
    Ok(())
}

/// Refuses a file of the repository that `folder` is in, named by a flag, that a branch has made a link out of it. Other files are where the
/// flag says.
pub fn check_named(path: &Path, folder: &Path) -> Result<()> {
    let Ok(checkout) = Checkout::around(folder) else { return Ok(()) };
    ensure!(
        !checkout.spells(path) || checkout.holds(path),
        "`{}` is a link that leads out of the repository, or in Git's own folder: name the file itself",
        path.display().to_string().escape_debug()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_read_inside_of_the_repository_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("repository");
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::create_dir_all(root.join("nix/deep")).unwrap();
        for file in ["repository/.git/config", "repository/ci.yml", "outside"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        symlink("../../outside", root.join("nix/link")).unwrap();
        symlink("../ci.yml", root.join("nix/inside")).unwrap();
        let folder = root.join("nix");
        let check = |path: &str| check(&folder.join(path), &folder, "--merge");
        for fine in ["../ci.yml", "inside", "missing", "deep"] {
            check(fine).unwrap();
        }
        for wrong in ["link", "../../outside", "/etc/passwd", "../.git/config"] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains("outside of the repository: name it with `--merge`"), "{wrong}: {error}");
        }
        let named = |path: &str| check_named(&folder.canonicalize().unwrap().join(path), &folder);
        for fine in ["../ci.yml", "inside", "../../outside", "/etc/passwd"] {
            named(fine).unwrap();
        }
        for wrong in ["link", "../.git/config"] {
            let error = named(wrong).unwrap_err().to_string();
            assert!(error.contains("is a link that leads out of the repository"), "{wrong}: {error}");
        }
    }
}
