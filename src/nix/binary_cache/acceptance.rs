//! Whether Nix would accept a path as a cache describes it: signed by a trusted key, or addressed by its content, or from a cache
//! that is trusted as a whole.

use super::health::Distrust;
use crate::nix::content_address;
use crate::nix::narinfo::NarInfo;
use crate::nix::signature::PublicKeys;

/// Names of unknown keys that are kept of one narinfo.
const MAX_KEYS: usize = 4;

/// Characters of such a name.
const MAX_NAME: usize = 80;

/// Why a path is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A key of this name has signed it.
    Signed(String),
    /// It needs no signature.
    WithoutSignature,
}

/// Judges a description of a path.
pub fn judge(info: &NarInfo, is_trusted: bool, keys: &PublicKeys) -> Result<Accepted, Distrust> {
    let is_addressed = |address: &String| content_address::leads_to(address, &info.store_path, &info.references);
    if is_trusted || info.content_address.as_ref().is_some_and(is_addressed) {
        return Ok(Accepted::WithoutSignature);
    }
    if let Some(key) = keys.verify(&info.fingerprint(), &info.signatures) {
        return Ok(Accepted::Signed(key.to_owned()));
    }
    let names = || info.signatures.iter().filter_map(|signature| Some(signature.split_once(':')?.0));
    if let Some(forged) = names().find(|name| keys.iter().any(|key| key.name() == *name)) {
        return Err(Distrust::Forged(forged.to_owned()));
    }
    let mut unknown: Vec<String> =
        names().take(MAX_KEYS).map(|name| crate::printable::printable(name).chars().take(MAX_NAME).collect()).collect();
    unknown.sort();
    unknown.dedup();
    Err(if unknown.is_empty() { Distrust::Unsigned } else { Distrust::UnknownKeys(unknown) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::signature::SecretKey;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn key(name: &str, seed: u8) -> SecretKey {
        let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = ring::signature::KeyPair::public_key(&pair).as_ref().to_vec();
        SecretKey::parse(&format!("{name}:{}", STANDARD.encode([vec![seed; 32], public].concat()))).unwrap()
    }

    fn info(more: &str) -> NarInfo {
        let text = format!(
            "StorePath: /nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a\nURL: nar/x.nar\nCompression: none\n\
             NarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\nNarSize: 120\nReferences: \n{more}"
        );
        NarInfo::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_nix_would_take() {
        let (ours, other) = (key("ours-1", 1), key("other-1", 2));
        let keys = PublicKeys::from_iter([ours.public()]);
        let fingerprint = info("").fingerprint();
        let signed = info(&format!("Sig: {}\nSig: {}\n", other.sign(&fingerprint), ours.sign(&fingerprint)));
        assert_eq!(judge(&signed, false, &keys), Ok(Accepted::Signed("ours-1".into())));
        assert_eq!(judge(&info(""), true, &keys), Ok(Accepted::WithoutSignature));
        assert_eq!(judge(&info(""), false, &keys), Err(Distrust::Unsigned));
        let foreign = info(&format!("Sig: {}\n", other.sign(&fingerprint)));
        assert_eq!(judge(&foreign, false, &keys), Err(Distrust::UnknownKeys(vec!["other-1".into()])));
        // Signed, but something else: another path, another size.
        for lie in [fingerprint.replace("-a;", "-b;"), fingerprint.replace(";120;", ";121;")] {
            let forged = info(&format!("Sig: {}\n", ours.sign(&lie)));
            assert_eq!(judge(&forged, false, &keys), Err(Distrust::Forged("ours-1".into())));
        }
        let address = "CA: fixed:r:sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\n";
        assert_eq!(judge(&info(address), false, &keys), Err(Distrust::Unsigned), "an address of another path");
    }

    #[test]
    fn names_of_keys_are_bounded_and_printable() {
        let sigs: String = (0..50).map(|n| format!("Sig: {n}\u{1b}{}:AAAA\n", "x".repeat(500))).collect();
        let Err(Distrust::UnknownKeys(names)) = judge(&info(&sigs), false, &PublicKeys::default()) else { panic!() };
        assert!(names.len() <= MAX_KEYS && names.iter().all(|name| name.chars().count() <= MAX_NAME));
        assert!(!names.concat().contains('\u{1b}'));
    }
}
