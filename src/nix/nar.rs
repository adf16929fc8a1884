//! Writer of NAR archives and of the export format around them. A file tree goes in, the bytes of `nix-store --dump` or
//! `nix-store --export` go out.
//!
//! Written here because a process for each of thousands of small sources costs more than its work, and because a pipe of a
//! gigabyte is felt on two cores. What is written is held against the store's own digest by whoever calls.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Deepest nesting of directories that is written; a path of more would not open anyway.
const MAX_DEPTH: usize = 2048;

/// Nix's ending for names that differ only in case, on file systems that do not tell them apart.
const CASE_HACK: &[u8] = b"~nix~case~hack~";

/// The number between a NAR and its description in an export: `NIXE`.
const EXPORT_MAGIC: u64 = 0x4558_494e;

fn string(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)?;
    pad(out, bytes.len() as u64)
}

fn pad(out: &mut impl Write, length: u64) -> io::Result<()> {
    out.write_all(&[0; 8][..(length.next_multiple_of(8) - length) as usize])
}

fn strings(out: &mut impl Write, parts: &[&str]) -> io::Result<()> {
    parts.iter().try_for_each(|part| string(out, part.as_bytes()))
}

/// Bytes of a NAR that holds one plain file of `length` bytes.
pub fn size_of_file(length: u64) -> u64 {
    let words = ["nix-archive-1", "(", "type", "regular", "contents", ")"];
    words.iter().map(|word| 8 + (word.len() as u64).next_multiple_of(8)).sum::<u64>() + 8 + length.next_multiple_of(8)
}

/// Writes the NAR of one plain file with these contents.
pub fn write_file(contents: &[u8], out: &mut impl Write) -> io::Result<()> {
    strings(out, &["nix-archive-1", "(", "type", "regular", "contents"])?;
    string(out, contents)?;
    strings(out, &[")"])
}

/// Writes the NAR of whatever is at `path`, the same bytes as `nix-store --dump`. Memory stays flat.
pub fn write(path: &Path, out: &mut impl Write) -> io::Result<()> {
    strings(out, &["nix-archive-1"])?;
    node(path, out, &mut vec![0; 256 * 1024], 0)
}

fn node(path: &Path, out: &mut impl Write, buffer: &mut [u8], depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("`{}` is nested too deeply", path.display())));
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display()));
    let metadata = fs::symlink_metadata(path).map_err(named)?;
    let kind = metadata.file_type();
    strings(out, &["(", "type"])?;
    if kind.is_file() {
        strings(out, &["regular"])?;
        if metadata.permissions().mode() & 0o100 != 0 {
            strings(out, &["executable", ""])?;
        }
        strings(out, &["contents"])?;
        out.write_all(&metadata.len().to_le_bytes())?;
        let mut file = File::open(path).map_err(named)?;
        let mut left = metadata.len();
        while left > 0 {
            let limit = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match file.read(&mut buffer[..limit]) {
                Ok(0) => {
                    return Err(io::Error::other(format!("`{}` became shorter while it was read", path.display())));
                }
                Ok(read) => {
                    out.write_all(&buffer[..read])?;
                    left -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(named(error)),
            }
        }
        pad(out, metadata.len())?;
    } else if kind.is_symlink() {
        strings(out, &["symlink", "target"])?;
        string(out, fs::read_link(path).map_err(named)?.as_os_str().as_bytes())?;
    } else if kind.is_dir() {
        strings(out, &["directory"])?;
        let mut entries = fs::read_dir(path)
            .and_then(|entries| {
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
            })
            .map_err(named)?
            .into_iter()
            .map(|name| (archived_name(&name), name))
            .collect::<Vec<(OsString, OsString)>>();
        entries.sort_unstable();
        for (archived, name) in entries {
            strings(out, &["entry", "(", "name"])?;
            string(out, archived.as_bytes())?;
            strings(out, &["node"])?;
            node(&path.join(name), out, buffer, depth + 1)?;
            strings(out, &[")"])?;
        }
    } else {
        return Err(io::Error::other(format!("`{}` is neither file, directory nor symlink", path.display())));
    }
    strings(out, &[")"])
}

/// The name that goes into the archive: on macOS without the ending that Nix gave it there.
fn archived_name(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    match bytes.windows(CASE_HACK.len()).rposition(|window| window == CASE_HACK) {
        Some(at) if cfg!(target_os = "macos") => OsString::from_vec(bytes[..at].to_vec()),
        _ => name.to_owned(),
    }
}

/// Begins one path of an export; its NAR follows.
pub fn export_begin(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&1u64.to_le_bytes())
}

/// Ends one path of an export: its store path and those that it refers to, all whole.
pub fn export_describe<'a>(
    out: &mut impl Write,
    path: &str,
    references: impl ExactSizeIterator<Item = &'a str>,
) -> io::Result<()> {
    out.write_all(&EXPORT_MAGIC.to_le_bytes())?;
    string(out, path.as_bytes())?;
    out.write_all(&(references.len() as u64).to_le_bytes())?;
    for reference in references {
        string(out, reference.as_bytes())?;
    }
    // No deriver, no signature.
    string(out, b"")?;
    out.write_all(&0u64.to_le_bytes())
}

/// Ends an export.
pub fn export_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&0u64.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::hash::Sha256;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_tree_has_the_hash_that_nix_gives_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir_all(root.join("b/empty")).unwrap();
        fs::write(root.join("b/plain"), "hello\n").unwrap();
        fs::write(root.join("a-script"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("a-script"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("b/plain", root.join("link")).unwrap();
        let mut nar = Vec::new();
        write(&root, &mut nar).unwrap();
        // `nix-hash --type sha256 --base32` of the same tree.
        assert_eq!(Sha256::of(&nar).base32(), "19jzp47r864766rii8f91mzbxqsaskwxzvb88hwwm6ljcbiskyca");
    }

    #[test]
    fn one_plain_file_is_the_same_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        for contents in [&b""[..], b"12345678", b"123456789"] {
            let path = dir.path().join("file");
            fs::write(&path, contents).unwrap();
            let (mut from_disk, mut from_memory) = (Vec::new(), Vec::new());
            write(&path, &mut from_disk).unwrap();
            write_file(contents, &mut from_memory).unwrap();
            assert_eq!(from_disk, from_memory);
            assert_eq!(size_of_file(contents.len() as u64), from_memory.len() as u64);
        }
    }

    #[test]
    fn what_has_no_place_in_a_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(write(&socket, &mut Vec::new()).unwrap_err().to_string().contains("neither file"));
        assert!(write(&dir.path().join("absent"), &mut Vec::new()).unwrap_err().to_string().contains("absent"));
    }
}
