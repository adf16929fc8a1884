//! `nix-cache-info`: what a binary cache says about itself.

use anyhow::{Context, Result, ensure};

/// Longest text that is read, in bytes; real ones have a hundred.
pub const MAX_SIZE: usize = 16 << 10;

/// Priority of a cache that does not name one, as Nix has it.
pub const DEFAULT_PRIORITY: u64 = 50;

/// What a cache says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheInfo {
    /// The store directory of all paths in it.
    pub store_dir: String,
    /// Caches with a smaller number are asked first.
    pub priority: u64,
    /// False for a cache that asks not to be flooded.
    pub wants_mass_query: bool,
}

impl CacheInfo {
    /// Reads the text. Unlike Nix, which takes any text for a cache's, it wants the store directory: every program that makes a
    /// cache writes it, and no page of a proxy has it.
    pub fn parse(text: &[u8]) -> Result<CacheInfo> {
        ensure!(text.len() <= MAX_SIZE, "its `nix-cache-info` has more than {MAX_SIZE} bytes");
        let text = std::str::from_utf8(text).context("its `nix-cache-info` is not UTF-8")?;
        let mut store_dir = None;
        let mut info = CacheInfo { store_dir: String::new(), priority: DEFAULT_PRIORITY, wants_mass_query: true };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match key {
                "StoreDir" => store_dir = Some(value.to_owned()),
                "Priority" => info.priority = value.parse().unwrap_or(DEFAULT_PRIORITY),
                "WantMassQuery" => info.wants_mass_query = value != "0",
                _ => {}
            }
        }
        info.store_dir = store_dir.context("its `nix-cache-info` names no `StoreDir`: it is not a binary cache")?;
        Ok(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_caches_say() {
        // cache.nixos.org's own.
        let info = CacheInfo::parse(b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n").unwrap();
        assert_eq!(info, CacheInfo { store_dir: "/nix/store".into(), priority: 40, wants_mass_query: true });
        // What `nix copy` writes.
        let info = CacheInfo::parse(b"StoreDir: /nix/store\n").unwrap();
        assert_eq!((info.priority, info.wants_mass_query), (DEFAULT_PRIORITY, true));
        let info = CacheInfo::parse(b"StoreDir: /gnu/store\r\nWantMassQuery: 0\nPriority: soon\nX: y\n").unwrap();
        assert_eq!(info, CacheInfo { store_dir: "/gnu/store".into(), priority: 50, wants_mass_query: false });
    }

    #[test]
    fn what_is_no_cache_is_refused() {
        for text in ["", "<html><p>StoreDir</html>", "Priority: 1\n"] {
            assert!(CacheInfo::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(CacheInfo::parse(&[0xff]).is_err());
        assert!(CacheInfo::parse(&vec![b'a'; MAX_SIZE + 1]).is_err());
    }
}
