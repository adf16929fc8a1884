//! Content addresses: whether a store path is the one that follows from what is in it. Such a path needs no signature, since Nix
//! holds the content against it.
//!
//! The scheme is that of Nix's `makeStorePath` and `makeFixedOutputPath`; `fixed:r:sha256:…`, `fixed:sha1:…`, `text:sha256:…`.

use super::hash::{Sha256, base32_decode, base32_encode};
use super::store_path;

/// Bytes of the hash part of a store path.
const PATH_HASH: usize = 20;

/// True if `store_path` is the path of content with this address and these references (base names, the path's own perhaps
/// among them). False for what is malformed.
pub fn leads_to(address: &str, store_path: &str, references: &[String]) -> bool {
    expected(address, store_path, references).is_some_and(|expected| expected == store_path)
}

fn expected(address: &str, path: &str, references: &[String]) -> Option<String> {
    let (store_dir, base) = store_path::split(path).ok()?;
    let name = &base[store_path::HASH_LEN + 1..];
    let (kind, rest) = address.split_once(':')?;
    let (method, rest) = match (kind, rest.split_once(':')?) {
        ("fixed", ("r", rest)) => ("r:", rest),
        ("fixed", ("git", rest)) => ("git:", rest),
        ("fixed" | "text", _) => ("", rest),
        _ => return None,
    };
    let (algorithm, digits) = rest.split_once(':')?;
    let digest = base32_decode(digits)?;
    let length = match algorithm {
        "md5" => 16,
        "sha1" => 20,
        "sha256" | "blake3" => 32,
        "sha512" => 64,
        _ => return None,
    };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if digest.len() != length {
        return None;
    }
    let inner = format!("{algorithm}:{hex}");
    Some(match (kind, method, algorithm) {
        ("text", _, "sha256") => make(&with_references("text", store_dir, base, references), &inner, store_dir, name),
        ("text", ..) => return None,
        ("fixed", "r:", "sha256") => {
            make(&with_references("source", store_dir, base, references), &inner, store_dir, name)
        }
        _ if !references.is_empty() => return None,
        _ => {
            let fixed = Sha256::of(format!("fixed:out:{method}{inner}:").as_bytes());
            make("output:out", &format!("sha256:{}", fixed.base16()), store_dir, name)
        }
    })
}

fn with_references(kind: &str, store_dir: &str, own: &str, references: &[String]) -> String {
    let mut others: Vec<&str> = references.iter().map(String::as_str).filter(|reference| *reference != own).collect();
    others.sort_unstable();
    others.dedup();
    let mut text = kind.to_owned();
    for other in others {
        text.push_str(&format!(":{store_dir}/{other}"));
    }
    if references.iter().any(|reference| reference == own) {
        text.push_str(":self");
    }
    text
}

/// The store path with this name whose fingerprint begins with a kind and a digest.
pub(super) fn make(kind: &str, inner: &str, store_dir: &str, name: &str) -> String {
    let digest = Sha256::of(format!("{kind}:{inner}:{store_dir}:{name}").as_bytes());
    let mut folded = [0; PATH_HASH];
    for (index, byte) in digest.0.iter().enumerate() {
        folded[index % PATH_HASH] ^= byte;
    }
    format!("{store_dir}/{}-{name}", base32_encode(&folded))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Nix 2.26 wrote them with `nix copy --to file://…`.
    const REAL: [(&str, &str, &[&str]); 5] = [
        (
            "184as4ansdrqycvrial4bzlpkc3942wi-src",
            "fixed:r:sha256:0addczm9fjxkwraq3rf9z66ndy1w8scg7pi05xdyf4rjpl2h73gj",
            &[],
        ),
        (
            "gfa3x68423nhylzr301dhvnknf4ccw9j-flat",
            "fixed:sha256:1b6rqyma5pbr9v565ks2kp9xmww2c80m6c1jld64ka47lrc3ijvk",
            &[],
        ),
        ("jwgfg0fwvsyfk9fz4ccc8zpj3ji8azzg-src", "fixed:r:sha1:s02jm751jwzq8wdrxvwd2ddlwij9a036", &[]),
        (
            "zzjckbr82vy1vf0nqkvdddi0c2113xy1-flat",
            "fixed:sha512:3a8qmw30hvczbwp98w6addk4cdw26fyv1y7afcq8p77khnd7g0r8xhr7qgwds6xa1x996yjwkgddrviybikdwc6698qxnprxi43d125",
            &[],
        ),
        (
            "r64gwr9xxh777ma10hsv81zpld0lci9h-t",
            "text:sha256:1qhz0k4qjgmn5ca8q6y5g3flvbgkc7l2hyj648j10xm419bpdgjr",
            &["iimj7zaw7zi5n3px6swdcppxvqr8km6f-u"],
        ),
    ];

    #[test]
    fn real_addresses_lead_to_their_paths_and_to_no_other() {
        for (base, address, references) in REAL {
            let references: Vec<String> = references.iter().map(|&name| name.to_owned()).collect();
            let path = format!("/nix/store/{base}");
            assert!(leads_to(address, &path, &references), "{base}");
            assert!(!leads_to(address, &format!("{path}x"), &references), "{base}");
            assert!(!leads_to(address, &format!("/other/store/{base}"), &references), "{base}");
            let more = [references.as_slice(), &["iimj7zaw7zi5n3px6swdcppxvqr8km6f-v".to_owned()]].concat();
            assert!(!leads_to(address, &path, &more), "{base}");
        }
    }

    #[test]
    fn what_is_malformed_leads_nowhere() {
        let path = "/nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a";
        let digest = Sha256::of(b"").base32();
        for address in [
            "".to_owned(),
            "fixed".into(),
            "fixed:r:sha256:".into(),
            format!("fixed:r:sha256:{digest}0"),
            format!("fixed:r:md5:{digest}"),
            format!("text:r:sha256:{digest}"),
            format!("other:sha256:{digest}"),
            format!("fixed:r:sha256:{digest}"),
        ] {
            assert!(!leads_to(&address, path, &[]), "{address}");
        }
        assert!(!leads_to(&format!("fixed:r:sha256:{digest}"), "/etc/passwd", &[]));
    }
}
