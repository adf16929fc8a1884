//! Folders that another user of the machine can fill: on a machine with several users, whoever made a folder decides about what nixdag finds in it.
//!
//! In: a folder that a flag names. Out: an error where another user owns it, or can have put it there. That user is not one where the folder is
//! in a checkout that is his as well, since everything there comes from him. For root, in whose containers volumes belong to
//! anybody, only folders count below one where every user can make some, as in `/tmp`. A folder that only this user may fill is looked at more strictly.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path};

use anyhow::{Result, bail};

/// Every user can make files in it and nobody can remove another's.
const SHARED: u32 = 0o1002;

/// A group, or everybody, can make files in it.
const OTHERS: u32 = 0o022;

/// What is looked at of a file.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    mode: u32,
}

/// Refuses a folder that another user can fill. One that is not there is not.
pub fn check(folder: &Path) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    let here = std::env::current_dir().unwrap_or_default();
    let look = |path: &Path| {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Owner { user: found.uid(), mode: found.mode() })
    };
    let named = path::absolute(folder)?;
    // A link's owner can have it lead elsewhere, and so can the owner of what it leads to.
    let meant = fs::canonicalize(&named).unwrap_or_else(|_| named.clone());
    for path in [&named, &meant] {
        if let Some((path, user)) = anothers(path, me, &here, look) {
            bail!(
                "`{}` belongs to another user of this machine (the one with number {user}), who decides about what is in it: name a folder of \
                 your own",
                path.display()
            );
        }
    }
    Ok(())
}

/// Refuses a folder that is open, whose owner and mode these are, where anybody but this user and the superuser can make something. `made` owns what this user has made in it:
/// servers of files may know the user by another number.
pub fn check_private(folder: &Path, (user, mode): (u32, u32), made: Option<u32>) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if ![Some(0), Some(me), made].contains(&Some(user)) {
        bail!(
            "`{}` belongs to another user (the one with number {user}), who could leave anything there: name a folder of your own, and use it as \
             the same user everywhere",
            folder.display()
        );
    }
    if mode & OTHERS != 0 {
        bail!(
            "`{}` has the mode {:o}: not only its owner can write to it, and others could leave anything there. Remove it; if it comes back \
             so, its file system gives these permissions (`umask`, ACLs, options of `mount`)",
            folder.display(),
            mode & 0o7777
        );
    }
    Ok(())
}

/// The part of an absolute path that another user can have put there, and that user.
fn anothers<'p>(
    folder: &'p Path,
    me: u32,
    here: &Path,
    look: impl Fn(&Path) -> Option<Owner>,
) -> Option<(&'p Path, u32)> {
    let of_checkout = look(here).map(|owner| owner.user).filter(|_| folder.starts_with(here));
    folder.ancestors().find_map(|path| {
        let Owner { user, .. } = look(path)?;
        let is_shared = || path.parent().and_then(&look).is_some_and(|parent| parent.mode & SHARED == SHARED);
        let counts = (path == folder && me != 0) || is_shared();
        let is_trusted = [Some(0), Some(me), of_checkout].contains(&Some(user));
        (counts && !is_trusted).then_some((path, user))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_unless_another_user_can_have_made_it() {
        let (root, me, other) = (0, 1000, 1001);
        let look = |path: &Path| {
            let (user, mode) = match path.to_str().unwrap() {
                "/" | "/home" | "/cache" => (root, 0o755),
                "/tmp" => (root, 0o1777),
                // As the checkout of a container of GitLab.
                "/builds" => (root, 0o777),
                "/builds/p" | "/builds/p/cache" | "/home/other" | "/home/other/cache" | "/volume" | "/tmp/other"
                | "/tmp/p" | "/tmp/p/cache" => (other, 0o777),
                "/tmp/other/mine" | "/tmp/mine" | "/home/me" => (me, 0o700),
                _ => return None,
            };
            Some(Owner { user, mode })
        };
        let check = |user, here: &str, folder: &str| anothers(Path::new(folder), user, Path::new(here), look).is_none();
        for (folder, as_me, as_root) in [
            ("/cache", true, true),
            ("/cache/none", true, true),
            ("/tmp/none", true, true),
            ("/tmp/mine", true, false),
            ("/tmp/other", false, false),
            ("/tmp/other/mine", false, false),
            ("/tmp/other/none", false, false),
            ("/home/other/cache", false, true),
            ("/volume", false, true),
            ("/builds/p/cache", false, true),
        ] {
            assert_eq!([check(me, "/home/me", folder), check(root, "/", folder)], [as_me, as_root], "{folder}");
        }
        assert!(check(me, "/builds/p", "/builds/p/cache") && check(me, "/tmp/p", "/tmp/p/cache"));
        assert!(!check(me, "/builds/p", "/volume") && !check(me, "/builds/p", "/tmp/other"));
    }

    #[test]
    fn a_private_folder_is_this_users_by_whatever_number_and_nobody_elses() {
        let me = rustix::process::geteuid().as_raw();
        let is_private = |user, mode, made| check_private(Path::new("/names"), (user, mode), made).is_ok();
        let (nobody, other) = (65_534, 4_242);
        assert!(is_private(me, 0o755, None) && is_private(0, 0o700, Some(me)));
        // A server of files that takes the superuser for nobody.
        assert!(is_private(nobody, 0o755, Some(nobody)) && !is_private(nobody, 0o755, Some(me)));
        assert!(!is_private(other, 0o755, Some(me)) && !is_private(other, 0o700, None));
        assert!([0o777, 0o1777, 0o775, 0o2775, 0o757].into_iter().all(|mode| !is_private(me, mode, Some(me))));
    }

    #[test]
    fn what_this_user_has_made_is_his_own() {
        let root = tempfile::tempdir().unwrap();
        check(root.path()).unwrap();
        check(&root.path().join("not/there")).unwrap();
    }
}
