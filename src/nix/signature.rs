//! Ed25519 keys and signatures in Nix's text form, `name:base64`: what makes a store path from a stranger's cache acceptable.
//!
//! In: keys as `nix key generate-secret` and `nix key convert-secret-to-public` print them, and fingerprints
//! ([`super::narinfo::NarInfo::fingerprint`]). Out: signatures, and by whose key a fingerprint is signed. The text of a key is
//! never part of an error or of what `Debug` prints: what stands in the place of a public key may be a secret one.

use std::fmt;

use anyhow::{Result, anyhow, bail, ensure};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Nix writes padding and takes a text without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// True for the text of a signature as Nix reads it, `name:base64`; whose it is and whether it is right is another matter.
pub fn is_signature(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    text.split_once(':').is_some_and(|(name, signature)| {
        let signature = signature.trim_end_matches('=');
        !name.is_empty() && !signature.is_empty() && signature.bytes().all(is_base64)
    })
}

/// The longest text of a key or signature that is looked at, in bytes; real ones have about a hundred beside the name.
const MAX_LEN: usize = 4096;

const PUBLIC_LEN: usize = 32;
const SEED_LEN: usize = 32;
const SECRET_LEN: usize = SEED_LEN + PUBLIC_LEN;

/// The name before the colon, and the bytes behind it; none for what is not of this form.
fn split(text: &str) -> Option<(&str, Vec<u8>)> {
    let text = text.trim();
    let (name, encoded) = text.split_once(':').filter(|(name, _)| !name.is_empty() && text.len() <= MAX_LEN)?;
    let printable = name.chars().all(|c| !c.is_whitespace() && !c.is_control());
    Some((name, BASE64.decode(encoded).ok().filter(|_| printable)?))
}

/// True for the text of a key, a public or a secret one.
pub fn is_key(text: &str) -> bool {
    split(text).is_some_and(|(_, bytes)| [PUBLIC_LEN, SECRET_LEN].contains(&bytes.len()))
}

/// A key that signatures are verified with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    name: String,
    key: [u8; PUBLIC_LEN],
}

impl PublicKey {
    /// Reads `name:base64`, as `trusted-public-keys` has it.
    pub fn parse(text: &str) -> Result<PublicKey> {
        let (name, bytes) = split(text).ok_or_else(|| {
            let hint = if text.trim().contains(|c: char| c.is_whitespace() || c == ',') {
                ": give each key by itself"
            } else if !text.trim().is_empty() && text.split_once(':').is_none_or(|(name, _)| name.trim().is_empty()) {
                ": it has no name before a colon"
            } else {
                ""
            };
            anyhow!("this is not `name:base64`, the form of a public key that `nix key convert-secret-to-public` prints{hint}")
        })?;
        ensure!(
            bytes.len() != SECRET_LEN,
            "key `{name}` is a secret one: where a public key is asked for, give what `nix key convert-secret-to-public` makes of it"
        );
        let key = bytes.try_into().map_err(|bytes: Vec<u8>| {
            anyhow!("public key `{name}` has {} bytes, expected {PUBLIC_LEN} (is it whole?)", bytes.len())
        })?;
        Ok(PublicKey { name: name.to_owned(), key })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.key))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that signatures are made with.
pub struct SecretKey {
    name: String,
    pair: Ed25519KeyPair,
}

impl SecretKey {
    /// Reads `name:base64`, as `nix key generate-secret` prints it; blanks around it are left out. Errors show the name at most.
    pub fn parse(text: &str) -> Result<SecretKey> {
        let (name, bytes) = split(text).ok_or_else(|| {
            anyhow!("this is not `name:base64`, the form of a secret key (`nix key generate-secret --key-name NAME` makes one)")
        })?;
        match bytes.len() {
            SECRET_LEN => {}
            PUBLIC_LEN => bail!("key `{name}` is a public one, which cannot sign"),
            len => bail!("secret key `{name}` has {len} bytes, expected {SECRET_LEN}"),
        }
        let (seed, public) = bytes.split_at(SEED_LEN);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public)
            .map_err(|_| anyhow!("secret key `{name}` is damaged: its two halves do not belong together"))?;
        Ok(SecretKey { name: name.to_owned(), pair })
    }

    /// A new key.
    #[cfg(test)]
    pub fn generated(name: &str) -> Result<SecretKey> {
        use ring::rand::{SecureRandom, SystemRandom};
        let mut seed = [0; SEED_LEN];
        SystemRandom::new().fill(&mut seed).map_err(|_| anyhow!("no randomness"))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| anyhow!("no key"))?;
        Ok(SecretKey { name: name.to_owned(), pair })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; PUBLIC_LEN];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey { name: self.name.clone(), key }
    }

    /// Signs a fingerprint; gives `name:base64`, as narinfo files have it behind `Sig`.
    pub fn sign(&self, fingerprint: &str) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.pair.sign(fingerprint.as_bytes())))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The keys that somebody trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    /// Reads keys. Of two with one name the first counts, as for Nix.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<PublicKeys> {
        texts.into_iter().map(PublicKey::parse).collect()
    }

    /// True where nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> std::slice::Iter<'_, PublicKey> {
        self.0.iter()
    }

    /// The name of a trusted key that one of the signatures of the fingerprint was made with. Signatures that cannot be read and
    /// those of unknown keys are passed over.
    pub fn verify(&self, fingerprint: &str, signatures: &[String]) -> Option<&str> {
        signatures.iter().find_map(|signature| {
            let (name, bytes) = split(signature)?;
            let key = self.0.iter().find(|key| key.name == name)?;
            let verified = UnparsedPublicKey::new(&ED25519, key.key).verify(fingerprint.as_bytes(), &bytes);
            verified.is_ok().then_some(key.name.as_str())
        })
    }
}

impl FromIterator<PublicKey> for PublicKeys {
    fn from_iter<T: IntoIterator<Item = PublicKey>>(keys: T) -> Self {
        PublicKeys(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Made with `nix key generate-secret --key-name test-1` for this test, and used nowhere else.
    const SECRET: &str =
        "test-1:sviudUwWefhcn73hCE9WtvORKbVoXkp+WDctwnyx0SvTKIowvFzud1r4mTryx5ff+FdCrnbwOUTuZYm3DAgiCQ==";
    const PUBLIC: &str = "test-1:0yiKMLxc7nda+Jk68seX3/hXQq528DlE7mWJtwwIIgk=";

    fn keys() -> PublicKeys {
        PublicKeys::parse([PUBLIC]).unwrap()
    }

    #[test]
    fn what_a_secret_key_signs_its_public_half_verifies() {
        let secret = SecretKey::parse(&format!(" {SECRET}\n")).unwrap();
        assert_eq!(secret.public().to_string(), PUBLIC);
        let signature = secret.sign("text");
        assert!(signature.starts_with("test-1:"));
        let strangers =
            ["", "test-1", "test-1:", "test-1:!", "other-1:AAAA", ":AAAA", "test-1:AAAA"].map(str::to_owned);
        assert_eq!(keys().verify("text", &strangers), None);
        assert_eq!(keys().verify("text", &[&strangers[..], std::slice::from_ref(&signature)].concat()), Some("test-1"));
        assert_eq!(keys().verify("other text", std::slice::from_ref(&signature)), None);
        assert_eq!(keys().verify("text", &[signature.replace("test-1:", "test-2:")]), None);
        assert_eq!(PublicKeys::default().verify("text", &[signature]), None);
    }

    #[test]
    fn a_key_of_another_name_or_with_other_bytes_verifies_nothing() {
        let signature = [SecretKey::parse(SECRET).unwrap().sign("text")];
        let other = format!("test-1:{}", BASE64.encode([7; PUBLIC_LEN]));
        assert_eq!(PublicKeys::parse([other.as_str(), PUBLIC]).unwrap().verify("text", &signature), None);
        assert_eq!(PublicKeys::parse([PUBLIC, other.as_str()]).unwrap().verify("text", &signature), Some("test-1"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let (_, encoded) = SECRET.split_once(':').unwrap();
        let swapped = {
            let mut bytes = BASE64.decode(encoded).unwrap();
            bytes[SECRET_LEN - 1] ^= 1;
            format!("test-1:{}", BASE64.encode(bytes))
        };
        for (text, expected) in [
            (encoded, "not `name:base64`"),
            ("", "not `name:base64`"),
            (&SECRET[..SECRET.len() - 20], "bytes, expected 64"),
            (&swapped, "do not belong together"),
            (PUBLIC, "is a public one"),
        ] {
            let error = format!("{:?}", SecretKey::parse(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&encoded[..10]), "{error}");
        }
        for (text, hint) in [
            (encoded, "no name before a colon"),
            (&format!(":{encoded}"), "no name before a colon"),
            (&format!("{PUBLIC} {PUBLIC}"), "each key by itself"),
            (&format!("{PUBLIC},{PUBLIC}"), "each key by itself"),
            (&PUBLIC[..PUBLIC.len() - 8], "is it whole?"),
        ] {
            let error = PublicKey::parse(text).unwrap_err().to_string();
            assert!(error.contains(hint) && !error.contains(&encoded[..10]), "{error}");
        }
        let error = format!("{:?}", PublicKey::parse(SECRET).unwrap_err());
        assert!(error.contains("`test-1` is a secret one") && !error.contains(&encoded[..10]), "{error}");
        let shown = format!("{:?}", SecretKey::parse(SECRET).unwrap());
        assert_eq!(shown, "SecretKey { name: \"test-1\", .. }");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".{0,200}", base64 in "[a-z]{0,2}:[A-Za-z0-9+/]{0,90}={0,3}") {
            for text in [text, base64] {
                let _ = PublicKey::parse(&text);
                let _ = SecretKey::parse(&text);
                prop_assert!(keys().verify("text", &[text]).is_none());
            }
        }
    }
}
