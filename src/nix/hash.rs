//! SHA-256 digests and the alphabets that Nix writes them in: its own base 32 and base 16. Bytes in, digests out; a reader or
//! writer can be hashed on the way.

use std::fmt;
use std::io::{self, Read, Write};

use anyhow::{Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

/// Nix's base 32: no e, o, t, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// Characters of a SHA-256 in base 32.
pub const SHA256_BASE32_LEN: usize = 52;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Sha256 {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// In Nix's base 32, 52 characters: the form that narinfo files and NAR file names use.
    pub fn base32(&self) -> String {
        base32_encode(&self.0)
    }

    /// In base 16, 64 characters: the form that `sha256sum` and Nix's database use.
    pub fn base16(&self) -> String {
        use std::fmt::Write;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Reads base 16 or Nix's base 32, with or without `sha256:` before it, or base 64 behind `sha256-`.
    pub fn parse(text: &str) -> Result<Sha256> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let bytes = match (text.strip_prefix("sha256-"), digits.len()) {
            (Some(digits), _) => STANDARD.decode(digits).ok(),
            (None, SHA256_BASE32_LEN) => base32_decode(digits),
            (None, 64) => base16_decode(digits),
            _ => None,
        };
        match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(digest) => Ok(Sha256(digest)),
            None => bail!("`{}` is not a SHA-256 in base 16, base 64 or Nix's base 32", shortened(text)),
        }
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.base32())
    }
}

/// The first hundred characters, printable: what an error message shows of bytes from outside.
pub fn shortened(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

/// A SHA-256 in the making.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Hasher(Context::new(&SHA256))
    }
}

impl Hasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Sha256 {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Sha256(digest)
    }
}

/// Passes bytes on to a writer, hashing and counting them.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes what goes to `inner`.
    pub fn new(inner: W) -> Self {
        HashingWriter { inner, hasher: Hasher::default(), size: 0 }
    }

    /// The writer, the digest and the number of bytes that went through.
    pub fn finish(self) -> (W, Sha256, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads to the end; gives the digest and the number of bytes. Memory stays flat.
pub fn of_reader(mut reader: impl Read) -> io::Result<(Sha256, u64)> {
    let mut hashing = HashingWriter::new(io::sink());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hashing.write_all(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let (_, digest, size) = hashing.finish();
    Ok((digest, size))
}

/// Nix's base 32: the digits run from the last five bits to the first.
pub fn base32_encode(bytes: &[u8]) -> String {
    let length = (bytes.len() * 8).div_ceil(5);
    (0..length)
        .rev()
        .map(|digit| {
            let (byte, shift) = (digit * 5 / 8, digit * 5 % 8);
            let low = u16::from(bytes[byte]);
            let high = u16::from(bytes.get(byte + 1).copied().unwrap_or(0));
            ALPHABET[usize::from((low | high << 8) >> shift) & 31] as char
        })
        .collect()
}

/// The bytes that [`base32_encode`] made the text of; none for foreign characters, lengths and bits beyond the last byte.
pub fn base32_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; text.len() * 5 / 8];
    if (bytes.len() * 8).div_ceil(5) != text.len() {
        return None;
    }
    for (digit, character) in text.bytes().rev().enumerate() {
        let value = ALPHABET.iter().position(|&known| known == character)? as u16;
        let (byte, shift) = (digit * 5 / 8, digit * 5 % 8);
        let bits = value << shift;
        *bytes.get_mut(byte)? |= bits as u8;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= (bits >> 8) as u8,
            None if bits >> 8 != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

pub(super) fn base16_decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|value| value as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base32_is_the_one_that_nix_writes() {
        // `nix-hash --type sha256 --base32` and `--base16` of an empty file.
        let digest = Sha256::of(b"");
        assert_eq!(digest.base32(), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
        assert_eq!(digest.base16(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Sha256::parse(&digest.base32()).unwrap(), digest);
        assert_eq!(Sha256::parse(&format!("sha256:{}", digest.base16())).unwrap(), digest);
        assert_eq!(Sha256::parse("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").unwrap(), digest);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let beyond_the_last_bit = format!("z{}", "0".repeat(51));
        for bad in ["", "sha256:", "sha512:00", &"e".repeat(52), &"g".repeat(64), &"é".repeat(26), &beyond_the_last_bit]
        {
            assert!(Sha256::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn base32_goes_there_and_back(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(base32_decode(&base32_encode(&bytes)), Some(bytes));
        }

        #[test]
        fn decoding_survives_anything(text in ".{0,80}") {
            let _ = Sha256::parse(&text);
        }
    }
}
