//! Whether a trusted key vouches for a path. In: what a partial binary cache says of it, and the keys. Out: nothing, or a sentence that says
//! which of the possible things is wrong.

use anyhow::{Result, bail};

use crate::nix::hash::shortened;
use crate::nix::narinfo::NarInfo;
use crate::nix::signature::PublicKeys;

/// Fails for a path that none of the keys has signed.
pub fn check_signature(info: &NarInfo, keys: &PublicKeys) -> Result<()> {
    if keys.verify(&info.fingerprint(), &info.signatures).is_none() {
        bail!("`{}` {}", info.store_path, distrust(info, keys));
    }
    Ok(())
}

/// Why no key vouches for a path.
fn distrust(info: &NarInfo, keys: &PublicKeys) -> String {
    let mut names: Vec<&str> =
        info.signatures.iter().filter_map(|signature| Some(signature.split_once(':')?.0)).collect();
    names.sort_unstable();
    names.dedup();
    let known = names.iter().find(|name| keys.iter().any(|key| key.name() == **name));
    match (known, names.first()) {
        (Some(name), _) => format!("has a wrong signature of key `{}`", shortened(name)),
        (None, Some(name)) => format!("is signed with key `{}`, which is not trusted here", shortened(name)),
        (None, None) => "is not signed".to_owned(),
    }
}
