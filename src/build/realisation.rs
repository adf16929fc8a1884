//! Realisations: which output a content-addressed derivation turned out to have. A cache that hands such outputs on needs them
//! beside its narinfo files, as `realisations/<id>.doi`.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::nix::hash::shortened;
use crate::nix::store::{self, Store};
use crate::nix::store_path;
use crate::regular_file;

/// The commands used here have been experimental in every version so far.
const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command ca-derivations"];

/// How the names of realisations' files end.
const ENDING: &str = ".doi";

/// Longest file that is read, in bytes; those that Nix writes are of a few hundred, and of a line more for each output that was taken.
const MAX_SIZE: u64 = 1 << 20;

/// One output of one content-addressed derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Realisation {
    /// `sha256:<hash modulo>!<output name>`.
    pub id: String,
    /// Base name of the output's store path.
    pub output: String,
    /// The whole record as Nix writes it.
    json: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    id: Option<String>,
    out_path: Option<String>,
}

/// Asks the store for the realisations of a derivation that has been built. None where it knows of none.
pub fn of(store: &Store, drv: &str) -> Result<Vec<Realisation>> {
    // Up to 2.8 a derivation stands for its outputs, later `^*` says so.
    for installable in [format!("{drv}^*"), drv.to_owned()] {
        let mut command = store.program_beside("nix", &FEATURES);
        command.args(["realisation", "info", "--json", &installable]);
        let output = store::run(&mut command)?;
        if output.status.success() {
            return parse(&output.stdout).with_context(|| format!("cannot read the realisations of `{drv}`"));
        }
    }
    Ok(Vec::new())
}

fn parse(json: &[u8]) -> Result<Vec<Realisation>> {
    let records: Vec<serde_json::Value> = serde_json::from_slice(json)?;
    let mut found = Vec::new();
    for record in records {
        let json = record.to_string();
        if let Known { id: Some(id), out_path: Some(output) } = serde_json::from_value(record)? {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":!+-._?=".contains(&byte);
            ensure!(id.bytes().all(is_plain), "`{}` is no realisation", shortened(&id));
            ensure!(store_path::is_base_name(output.as_bytes()), "`{}` is no output", shortened(&output));
            found.push(Realisation { id, output, json });
        }
    }
    Ok(found)
}

/// Reads a realisation's file, whose name has to be the one that belongs to what is in it.
pub fn read(path: &Path) -> Result<Realisation> {
    let what = || format!("cannot read `{}`", path.display());
    let mut json = vec![b'['];
    regular_file::open(path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut json)).with_context(what)?;
    json.push(b']');
    let mut found = parse(&json).with_context(what)?;
    ensure!(found.len() == 1, "`{}` does not hold one realisation", path.display());
    let realisation = found.remove(0);
    ensure!(
        path.file_name().is_some_and(|name| *name == *format!("{}{ENDING}", realisation.id)),
        "`{}` describes `{}`",
        path.display(),
        realisation.id
    );
    Ok(realisation)
}

/// Writes realisations into a partial binary cache, each file whole or not there.
pub fn write(dir: &Path, realisations: &[Realisation]) -> Result<()> {
    if realisations.is_empty() {
        return Ok(());
    }
    let dir = dir.join("realisations");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    for realisation in realisations {
        let path = dir.join(format!("{}{ENDING}", realisation.id));
        let temporary = dir.with_extension("tmp");
        fs::write(&temporary, &realisation.json)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nix_prints_is_read_and_odd_names_are_refused() {
        let json = br#"[{"dependentRealisations":{},"id":"sha256:cd3f!out","outPath":"qkcjym7f4s8gzgna572cn811pjqm9cj4-ca","signatures":[]}]"#;
        let found = parse(json).unwrap();
        assert_eq!(
            (found[0].id.as_str(), found[0].output.as_str()),
            ("sha256:cd3f!out", "qkcjym7f4s8gzgna572cn811pjqm9cj4-ca")
        );
        // An input-addressed path.
        assert!(parse(br#"[{"opaquePath":"/nix/store/x"}]"#).unwrap().is_empty());
        assert!(parse(br#"[{"id":"../x","outPath":"qkcjym7f4s8gzgna572cn811pjqm9cj4-ca"}]"#).is_err());
    }
}
