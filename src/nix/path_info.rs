//! What the store knows of a path, as `nix-store --dump-db` prints it: the same from Nix 2.8 to the newest.

use anyhow::{Context, Result};

use super::hash::Sha256;
use super::store_path;

/// What the store knows of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The store path.
    pub path: String,
    /// Digest of its NAR.
    pub nar_hash: Sha256,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// The derivation that it was built from.
    pub deriver: Option<String>,
    /// The paths that it refers to.
    pub references: Vec<String>,
}

/// Reads what `nix-store --dump-db` prints: a line each for path, digest, size, deriver, number of references, references.
pub fn parse_dump(text: &str) -> Result<Vec<PathInfo>> {
    let mut lines = text.lines();
    let mut infos = Vec::new();
    while let Some(path) = lines.next() {
        let mut line = || lines.next().with_context(|| format!("the store's record of `{path}` is cut short"));
        store_path::split(path)?;
        let nar_hash = Sha256::parse(line()?)?;
        let nar_size = line()?.parse().with_context(|| format!("the store's record of `{path}` has no size"))?;
        let deriver = Some(line()?).filter(|deriver| !deriver.is_empty()).map(str::to_owned);
        let count: usize =
            line()?.parse().with_context(|| format!("the store's record of `{path}` has no references"))?;
        let references = (0..count).map(|_| line().map(str::to_owned)).collect::<Result<_>>()?;
        infos.push(PathInfo { path: path.to_owned(), nar_hash, nar_size, deriver, references });
    }
    Ok(infos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_store_are_read_and_cuts_are_errors() {
        let text = "/nix/store/ym5zc67iw84kbm7zrsi8khbiipwwq86c-m\n\
            072e538990d92f65886af7353797898c0d4f8933d698cee4602994d339854efd\n160\n\
            /nix/store/mijmkhwlzf00lgf2qj6z08ha30sgy0h4-m.drv\n1\n\
            /nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a\n";
        let infos = parse_dump(text).unwrap();
        assert_eq!((infos[0].nar_size, infos[0].references.len()), (160, 1));
        for lines in 1..6 {
            let cut: Vec<&str> = text.lines().take(lines).collect();
            assert!(parse_dump(&cut.join("\n")).is_err(), "{lines} lines");
        }
    }
}
