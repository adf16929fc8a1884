//! Fixed outputs: whether a NAR holds what the derivation says its output must hash to. Such content needs no trust in whoever sends it.
//!
//! In: an output of a derivation, and a NAR. Out: yes or no; no as well for hashes that cannot be computed here (MD5, git trees, text).

use std::io::{self, Read};

use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};

use super::derivation::Output;
use super::hash::{Hasher, Sha256, base16_decode};

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// The contents of one plain file.
    Flat,
    /// The whole NAR.
    Nar,
}

/// What a fixed output must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedOutput {
    method: Method,
    algorithm: &'static Algorithm,
    digest: Vec<u8>,
}

impl FixedOutput {
    /// Reads what the derivation says; none where that cannot be verified here.
    pub fn of(output: &Output) -> Option<FixedOutput> {
        let text = output.hash_algorithm.bytes();
        let (method, name) = match text.strip_prefix(b"r:") {
            Some(name) => (Method::Nar, name),
            None => (Method::Flat, &*text),
        };
        let algorithm = match name {
            b"sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
            b"sha256" => &SHA256,
            b"sha512" => &SHA512,
            _ => return None,
        };
        let digest = base16_decode(std::str::from_utf8(&output.hash.bytes()).ok()?)?;
        (digest.len() == algorithm.output_len()).then_some(FixedOutput { method, algorithm, digest })
    }

    /// True if the digest of the NAR alone shows that it is the right one.
    pub fn is_nar(&self, nar_hash: &Sha256) -> bool {
        self.method == Method::Nar && self.algorithm == &SHA256 && self.digest == nar_hash.0
    }

    /// True if this NAR is the right one. Memory stays flat.
    pub fn matches(&self, mut nar: impl Read) -> io::Result<bool> {
        match self.method {
            Method::Nar => self.is_digest_of(nar),
            Method::Flat => {
                let mut head = Vec::new();
                Read::by_ref(&mut nar).take(FILE_HEAD.len() as u64).read_to_end(&mut head)?;
                let mut length = [0; 8];
                // An executable one has other words there.
                if head != FILE_HEAD || nar.read_exact(&mut length).is_err() {
                    return Ok(false);
                }
                self.is_digest_of(nar.take(u64::from_le_bytes(length)))
            }
        }
    }

    fn is_digest_of(&self, mut bytes: impl Read) -> io::Result<bool> {
        let mut context = Context::new(self.algorithm);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match bytes.read(&mut buffer) {
                Ok(0) => return Ok(context.finish().as_ref() == self.digest),
                Ok(read) => context.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// How the NAR of a plain file begins that is not executable; its length follows.
const FILE_HEAD: &[u8] =
    b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\x01\0\0\0\0\0\0\0(\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0type\0\0\0\0\
    \x07\0\0\0\0\0\0\0regular\0\x08\0\0\0\0\0\0\0contents";

/// A NAR that is read, and the digest of the contents of the plain file that it may hold.
pub struct PlainFile<R> {
    nar: R,
    /// What has been read of the head and the length behind it.
    head: Vec<u8>,
    /// Bytes of the contents that are still to come.
    left: u64,
    hasher: Hasher,
}

impl<R> PlainFile<R> {
    /// Watches what is read from `nar`.
    pub fn new(nar: R) -> Self {
        Self { nar, head: Vec::new(), left: 0, hasher: Hasher::default() }
    }

    /// The digest, once all has been read; none for executables, folders and links.
    pub fn digest(self) -> Option<Sha256> {
        (self.left == 0 && self.head.len() == HEAD && self.head.starts_with(FILE_HEAD)).then(|| self.hasher.finish())
    }

    fn watch(&mut self, bytes: &[u8]) {
        let (head, contents) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
        self.head.extend_from_slice(head);
        if let (false, Some(length)) = (head.is_empty(), self.head.get(FILE_HEAD.len()..HEAD)) {
            self.left = length.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        }
        let contents = &contents[..contents.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
        self.left -= contents.len() as u64;
        self.hasher.update(contents);
    }
}

impl<R: Read> Read for PlainFile<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.nar.read(buffer)?;
        self.watch(&buffer[..read]);
        Ok(read)
    }
}

/// Bytes before the contents of a plain file.
const HEAD: usize = FILE_HEAD.len() + 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::derivation::Derivation;
    use crate::nix::nar;

    fn output(algorithm: &str, hash: &str) -> Option<FixedOutput> {
        let text = format!(r#"Derive([("out","/nix/store/x","{algorithm}","{hash}")],[],[],"x","b",[],[])"#);
        FixedOutput::of(&Derivation::parse(text.as_bytes()).unwrap().outputs[0])
    }

    #[test]
    fn contents_are_held_against_the_hash_that_the_derivation_names() {
        let archive = |contents: &[u8]| {
            let mut nar = Vec::new();
            nar::write_file(contents, &mut nar).unwrap();
            nar
        };
        let (right, wrong) = (archive(b"fixed\n"), archive(b"forged"));
        let nar_hash = Sha256::of(&right);
        let digest = |algorithm, bytes: &[u8]| {
            let digest = ring::digest::digest(algorithm, bytes);
            digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        for (name, algorithm) in [("sha1", &SHA1_FOR_LEGACY_USE_ONLY), ("sha256", &SHA256), ("sha512", &SHA512)] {
            let flat = output(name, &digest(algorithm, b"fixed\n")).unwrap();
            let recursive = output(&format!("r:{name}"), &digest(algorithm, &right)).unwrap();
            for fixed in [&flat, &recursive] {
                assert!(fixed.matches(&right[..]).unwrap() && !fixed.matches(&wrong[..]).unwrap(), "{fixed:?}");
            }
            assert!(!flat.is_nar(&nar_hash));
            assert_eq!(recursive.is_nar(&nar_hash), name == "sha256");
            for end in 0..right.len() {
                // The padding and the bracket behind the contents are not hashed; Nix holds the whole NAR against its own digest.
                assert!(end > right.len() - 24 || !flat.matches(&right[..end]).unwrap(), "{end}");
                assert!(!recursive.matches(&right[..end]).unwrap());
            }
        }
    }

    #[test]
    fn the_contents_of_a_plain_file_are_hashed_however_they_are_read() {
        let mut nar = Vec::new();
        nar::write_file(b"some contents\n", &mut nar).unwrap();
        let digest = |nar: &[u8], step: usize| {
            let mut plain = PlainFile::new(nar);
            let mut buffer = vec![0; step];
            while plain.read(&mut buffer).unwrap() > 0 {}
            plain.digest()
        };
        for step in 1..=nar.len() {
            assert_eq!(digest(&nar, step), Some(Sha256::of(b"some contents\n")), "{step}");
        }
        assert_eq!(digest(&nar[..HEAD + 3], 7), None);
        assert_eq!(digest(&nar[..HEAD - 1], 7), None);
        let mut other = nar.clone();
        other[FILE_HEAD.len() - 1] ^= 1;
        assert_eq!(digest(&other, 7), None);
    }

    #[test]
    fn what_cannot_be_verified_is_not_taken_for_verified() {
        let digest = "0".repeat(64);
        for algorithm in ["md5", "r:md5", "git:sha256", "text:sha256", "", "sha512"] {
            assert_eq!(output(algorithm, &digest), None, "{algorithm}");
        }
        assert_eq!(output("sha256", "impure"), None);
        // An executable file, and a folder.
        let flat = output("sha256", &Sha256::of(b"x").base16()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, "x").unwrap();
        let nar = |path: &std::path::Path| {
            let mut bytes = Vec::new();
            nar::write(path, &mut bytes).unwrap();
            bytes
        };
        assert!(flat.matches(&nar(&file)[..]).unwrap() && !flat.matches(&nar(dir.path())[..]).unwrap());
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(!flat.matches(&nar(&file)[..]).unwrap());
    }
}
