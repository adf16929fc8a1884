//! Narinfo files: what a binary cache says about one store path. Text in, a checked [`NarInfo`] out, and back.
//!
//! The format is `Key: value` a line, as Nix writes and reads it. A reader of somebody else's cache must not believe it: sizes
//! and names are checked before anything is opened or allocated after them.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::hash::{self, Sha256};
use super::{signature, store_path};

/// The longest narinfo that is read, in bytes; the largest real ones have some thousand references of 100 bytes.
pub const MAX_SIZE: usize = 4 << 20;

/// What a binary cache says about one store path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// The store path, whole.
    pub store_path: String,
    /// Where the NAR is, relative to the cache.
    pub url: String,
    /// How the NAR is compressed: `zstd`, `xz`, `none`, …; Nix takes a missing line for `bzip2`.
    pub compression: String,
    /// Digest of the compressed file.
    pub file_hash: Option<Sha256>,
    /// Bytes of the compressed file.
    pub file_size: Option<u64>,
    /// Digest of the NAR.
    pub nar_hash: Sha256,
    /// Bytes of the NAR.
    pub nar_size: u64,
    /// Base names of the paths that this one refers to, itself perhaps among them; in the file's order.
    pub references: Vec<String>,
    /// Base name of the derivation that it was built from.
    pub deriver: Option<String>,
    /// Signatures, `key name:base64`.
    pub signatures: Vec<String>,
    /// What makes the path content-addressed, e.g. `fixed:r:sha256:…`.
    pub content_address: Option<String>,
}

impl NarInfo {
    /// Reads a narinfo. Errors name the line.
    pub fn parse(text: &[u8]) -> Result<NarInfo> {
        ensure!(text.len() <= MAX_SIZE, "narinfo of {} bytes, more than {MAX_SIZE}", text.len());
        let text = std::str::from_utf8(text).context("narinfo that is not UTF-8")?;
        ensure!(text.ends_with('\n'), "narinfo without a line end at its end (cut short?)");
        let mut fields = Fields::default();
        for (index, line) in text.split_terminator('\n').enumerate() {
            fields.take(line).with_context(|| format!("narinfo line {}", index + 1))?;
        }
        fields.finish()
    }

    /// The file's name in a cache: the hash part of the store path.
    pub fn file_name(&self) -> String {
        // Both ways to make a value of this type have checked the path.
        let base = self.store_path.rsplit('/').next().unwrap_or_default();
        format!("{}.narinfo", &base[..store_path::HASH_LEN.min(base.len())])
    }

    /// What signatures sign: path, digest and size of the NAR, and whole references in ascending order, each once.
    pub fn fingerprint(&self) -> String {
        let store_dir = self.store_path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let names: BTreeSet<&str> = self.references.iter().map(String::as_str).collect();
        let references: Vec<String> = names.iter().map(|name| format!("{store_dir}/{name}")).collect();
        format!("1;{};sha256:{};{};{}", self.store_path, self.nar_hash.base32(), self.nar_size, references.join(","))
    }

    /// Writes the narinfo, keys in Nix's order.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        };
        line("StorePath", &self.store_path);
        line("URL", &self.url);
        line("Compression", &self.compression);
        if let Some(digest) = self.file_hash {
            line("FileHash", &format!("sha256:{}", digest.base32()));
        }
        if let Some(size) = self.file_size {
            line("FileSize", &size.to_string());
        }
        line("NarHash", &format!("sha256:{}", self.nar_hash.base32()));
        line("NarSize", &self.nar_size.to_string());
        line("References", &self.references.join(" "));
        if let Some(deriver) = &self.deriver {
            line("Deriver", deriver);
        }
        for signature in &self.signatures {
            line("Sig", signature);
        }
        if let Some(address) = &self.content_address {
            line("CA", address);
        }
        text
    }
}

/// The lines read so far.
#[derive(Default)]
struct Fields {
    store_path: Option<String>,
    url: Option<String>,
    compression: Option<String>,
    file_hash: Option<Sha256>,
    file_size: Option<u64>,
    nar_hash: Option<Sha256>,
    nar_size: Option<u64>,
    references: Option<Vec<String>>,
    deriver: Option<String>,
    signatures: Vec<String>,
    content_address: Option<String>,
}

/// Keeps a value, refusing a second one.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    ensure!(slot.is_none(), "a duplicate key");
    *slot = Some(value);
    Ok(())
}

fn number(text: &str) -> Result<u64> {
    ensure!(text.bytes().all(|byte| byte.is_ascii_digit()), "`{}` is not a size in bytes", hash::shortened(text));
    text.parse().map_err(|_| anyhow!("`{}` is not a size in bytes", hash::shortened(text)))
}

fn base_name(text: &str) -> Result<String> {
    ensure!(store_path::is_base_name(text.as_bytes()), "`{}` is not the name of a store path", hash::shortened(text));
    Ok(text.to_owned())
}

impl Fields {
    fn take(&mut self, line: &str) -> Result<()> {
        let (key, value) =
            line.split_once(':').ok_or_else(|| anyhow!("`{}` is not `Key: value`", hash::shortened(line)))?;
        // Nix skips one character, whatever it is, and takes the next line for the value where there is none.
        let mut characters = value.chars();
        ensure!(characters.next().is_some(), "`{}:` without a value", hash::shortened(key));
        let value = characters.as_str();
        match key {
            "StorePath" => {
                store_path::split(value)?;
                once(&mut self.store_path, value.to_owned())
            }
            "URL" => {
                ensure!(!value.is_empty(), "an empty URL");
                once(&mut self.url, value.to_owned())
            }
            "Compression" => once(&mut self.compression, value.to_owned()),
            "FileHash" => once(&mut self.file_hash, Sha256::parse(value)?),
            "FileSize" => once(&mut self.file_size, number(value)?),
            "NarHash" => once(&mut self.nar_hash, Sha256::parse(value)?),
            "NarSize" => once(&mut self.nar_size, number(value)?),
            "References" => {
                let names = value.split(' ').filter(|name| !name.is_empty());
                once(&mut self.references, names.map(base_name).collect::<Result<_>>()?)
            }
            // Nix once wrote this for paths whose derivation it did not know.
            "Deriver" if value == "unknown-deriver" => Ok(()),
            "Deriver" => once(&mut self.deriver, base_name(value)?),
            "Sig" => {
                // From 2.34 on Nix refuses the file, up to 2.26 the signature.
                ensure!(signature::is_signature(value), "`{}` is not a signature", hash::shortened(value));
                self.signatures.push(value.to_owned());
                Ok(())
            }
            "CA" if value.is_empty() => Ok(()),
            "CA" => {
                let is_known = ["fixed:", "text:"].iter().any(|method| value.starts_with(method));
                ensure!(is_known, "`{}` is not a content address", hash::shortened(value));
                once(&mut self.content_address, value.to_owned())
            }
            // Later versions of Nix may add keys.
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<NarInfo> {
        fn required<T>(value: Option<T>, key: &str) -> Result<T> {
            match value {
                Some(value) => Ok(value),
                None => bail!("narinfo without `{key}` (cut short?)"),
            }
        }
        let nar_size = required(self.nar_size, "NarSize")?;
        ensure!(nar_size > 0, "narinfo with `NarSize` 0");
        Ok(NarInfo {
            store_path: required(self.store_path, "StorePath")?,
            url: required(self.url, "URL")?,
            compression: self.compression.filter(|name| !name.is_empty()).unwrap_or_else(|| "bzip2".into()),
            file_hash: self.file_hash,
            file_size: self.file_size,
            nar_hash: required(self.nar_hash, "NarHash")?,
            nar_size,
            references: self.references.unwrap_or_default(),
            deriver: self.deriver,
            signatures: self.signatures,
            content_address: self.content_address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // As Nix 2.26 wrote it with `nix copy --to file://…`, signed.
    const REAL: &str = "StorePath: /nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a\n\
        URL: nar/0rd0ssfqk8pxmxg7wcdqfz8c8mjv7hnhcnhxbqhvjgk6bpqlncg7.nar.xz\n\
        Compression: xz\n\
        FileHash: sha256:0rd0ssfqk8pxmxg7wcdqfz8c8mjv7hnhcnhxbqhvjgk6bpqlncg7\n\
        FileSize: 184\n\
        NarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\n\
        NarSize: 120\n\
        References: ifjvyksv78awiwky6qkr4dnjsj9qps42-a l5msvycnq9qhsag73mg5j9wbm40pnc78-us\n\
        Deriver: jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv\n\
        Sig: key-1:c2lnbmF0dXJl\n";

    #[test]
    fn a_real_narinfo_is_printed_as_it_was_read() {
        let info = NarInfo::parse(REAL.as_bytes()).unwrap();
        assert_eq!(info.references.len(), 2);
        assert_eq!(info.file_name(), "ifjvyksv78awiwky6qkr4dnjsj9qps42.narinfo");
        assert_eq!(info.to_text(), REAL);
    }

    #[test]
    fn a_fingerprint_names_whole_references_in_order_and_once() {
        let doubled = REAL.replace("References: ", "References: l5msvycnq9qhsag73mg5j9wbm40pnc78-us ");
        for text in [REAL, &doubled] {
            assert_eq!(
                NarInfo::parse(text.as_bytes()).unwrap().fingerprint(),
                "1;/nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a;\
                 sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73;120;\
                 /nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a,/nix/store/l5msvycnq9qhsag73mg5j9wbm40pnc78-us"
            );
        }
        let none = REAL.replace("ifjvyksv78awiwky6qkr4dnjsj9qps42-a l5msvycnq9qhsag73mg5j9wbm40pnc78-us", "");
        assert!(NarInfo::parse(none.as_bytes()).unwrap().fingerprint().ends_with(";120;"));
    }

    #[test]
    fn every_cut_is_an_error_or_lacks_only_what_may_be_missing() {
        for cut in 0..REAL.len() {
            if let Ok(info) = NarInfo::parse(&REAL.as_bytes()[..cut]) {
                assert_eq!(info.nar_hash, NarInfo::parse(REAL.as_bytes()).unwrap().nar_hash, "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_nix_calls_corrupt_is_an_error() {
        let odd = [
            REAL.trim_end().to_owned(),
            REAL.replace("Deriver: jk", "Deriver:\nX: jk"),
            format!("{REAL}References:\n"),
            format!("{REAL}Unknown:\n"),
            REAL.replace("Deriver: jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv", "Deriver: "),
            format!("{REAL}Sig: no-colon\n"),
            format!("{REAL}Sig: key:!!!\n"),
            format!("{REAL}Sig: key:\n"),
            format!("{REAL}Sig: :abc\n"),
            format!("{REAL}CA: sha256\n"),
        ];
        for text in odd {
            assert!(NarInfo::parse(text.as_bytes()).is_err(), "{text}");
        }
        let as_nix = REAL.replace("Deriver: ", "Deriver:\t").replace("Compression: xz", "Compression: ");
        let info = NarInfo::parse(format!("{as_nix}CA: \nSig: short:YWJj\nUnknown: \n").as_bytes()).unwrap();
        assert_eq!((info.compression.as_str(), info.signatures.len(), info.content_address), ("bzip2", 2, None));
    }

    #[test]
    fn errors_name_the_line() {
        for (from, to, line) in [
            ("StorePath: /nix", "StorePath: nix", "line 1"),
            ("URL: nar", "URL nar", "line 2"),
            ("FileSize: 184", "FileSize: -1", "line 5"),
            ("NarSize: 120", "NarSize: 99999999999999999999999", "line 7"),
            ("References: i", "References: ../i", "line 8"),
            ("Deriver: jk", "Deriver: ", "line 9"),
            ("Compression: xz", "NarSize: 120", "line 7"),
        ] {
            let text = REAL.replace(from, to);
            let error = format!("{:#}", NarInfo::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(line), "{to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = NarInfo::parse(&text);
        }

        #[test]
        fn no_changed_byte_makes_it_panic(at in 0..REAL.len(), byte in any::<u8>()) {
            let mut text = REAL.as_bytes().to_vec();
            text[at] = byte;
            let _ = NarInfo::parse(&text);
        }
    }
}
