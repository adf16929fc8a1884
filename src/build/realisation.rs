//! Realisations: which output a content-addressed derivation turned out to have. A cache that hands such outputs on needs them beside its
//! narinfo files, where [`realisation_files`](crate::handoff::realisation_files) says: a record of its own up to Nix 2.34, and from 2.35 on, where
//! they are called build traces, the value alone, whose key is its path.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::handoff::realisation_files::{REALISATIONS, TRACES};
use crate::nix::command::{Version, parse_version};
use crate::nix::hash::shortened;
use crate::nix::store::{self, Store};
use crate::nix::store_path;
use crate::regular_file;

/// The commands used here have been experimental in every version so far.
const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command ca-derivations"];

/// The first version that has build traces.
const TRACES_SINCE: Version = Version { major: 2, minor: 35 };

/// How the names of realisations' files end.
const ENDING: &str = ".doi";

/// Longest file that is read, in bytes; those that Nix writes are of a few hundred, and of a line more for each output that was taken.
const MAX_SIZE: u64 = 1 << 20;

/// What a realisation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Up to 2.34: `sha256:<hash modulo>!<output name>`.
    Digest(String),
    /// From 2.35 on: base name of the derivation as resolved, and the output's name.
    Resolved(String, String),
}

/// One output of one content-addressed derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Realisation {
    /// What it is about.
    pub key: Key,
    /// Base name of the output's store path.
    pub output: String,
    /// The contents of its file as Nix writes it.
    json: String,
}

/// A record as `nix realisation info` (2.4 to 2.34) or `nix store build-trace info` (from 2.35 on) prints it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    id: Option<String>,
    out_path: Option<String>,
    key: Option<PrintedKey>,
    value: Option<serde_json::Value>,
    /// A path that is no output of a content-addressed derivation.
    opaque_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrintedKey {
    drv_path: String,
    output_name: String,
}

/// What a build trace's file holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    out_path: String,
}

/// Asks the store for the realisations of a derivation that has been built. None where it knows of none.
pub fn of(store: &Store, drv: &str) -> Result<Vec<Realisation>> {
    let has_traces = parse_version(store.version()).is_some_and(|version| version >= TRACES_SINCE);
    let words: &[&str] = if has_traces { &["store", "build-trace", "info"] } else { &["realisation", "info"] };
    // Up to 2.8 a derivation stands for its outputs, later `^*` says so.
    for installable in [format!("{drv}^*"), drv.to_owned()] {
        let mut command = store.program_beside("nix", &FEATURES);
        command.args(words).args(["--json", &installable]);
        let output = store::run(&mut command)?;
        if output.status.success() {
            return parse(&output.stdout).with_context(|| format!("cannot read the realisations of `{drv}`"));
        }
    }
    Ok(Vec::new())
}

/// A record that is not understood is an error: what it says would be handed on as nothing.
fn parse(json: &[u8]) -> Result<Vec<Realisation>> {
    let records: Vec<serde_json::Value> = serde_json::from_slice(json)?;
    let mut found = Vec::new();
    for record in records {
        let json = record.to_string();
        let printed: Printed =
            serde_json::from_value(record).with_context(|| format!("`{}` is not a realisation", shortened(&json)))?;
        match printed {
            Printed { id: Some(id), out_path: Some(output), .. } => {
                found.push(checked(Key::Digest(id), output, json)?);
            }
            Printed { key: Some(key), value: Some(value), .. } => {
                let json = value.to_string();
                let Value { out_path } = serde_json::from_value(value)?;
                let drv = key.drv_path.rsplit('/').next().unwrap_or_default().to_owned();
                found.push(checked(Key::Resolved(drv, key.output_name), out_path, json)?);
            }
            Printed { opaque_path: Some(_), .. } => {}
            _ => bail!("`{}` is a realisation of a kind that this nixdag does not know", shortened(&json)),
        }
    }
    Ok(found)
}

fn checked(key: Key, output: String, json: String) -> Result<Realisation> {
    let is_plain = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte) || more.contains(&byte))
    };
    let is_key = match &key {
        Key::Digest(id) => is_plain(id, b":!"),
        Key::Resolved(drv, name) => {
            drv.ends_with(".drv")
                && store_path::is_base_name(drv.as_bytes())
                && is_plain(name, b"")
                && !name.starts_with('.')
        }
    };
    ensure!(is_key, "`{}` is not a realisation", shortened(&format!("{key:?}")));
    ensure!(store_path::is_base_name(output.as_bytes()), "`{}` is not an output", shortened(&output));
    Ok(Realisation { key, output, json })
}

impl Realisation {
    /// Where its file is in a cache.
    pub fn file(&self) -> PathBuf {
        match &self.key {
            Key::Digest(id) => Path::new(REALISATIONS).join(format!("{id}{ENDING}")),
            Key::Resolved(drv, output) => Path::new(TRACES).join(drv).join(format!("{output}{ENDING}")),
        }
    }
}

/// Reads a realisation's file, whose name has to be the one that belongs to what is in it.
pub fn read(path: &Path) -> Result<Realisation> {
    let what = || format!("cannot read `{}`", path.display());
    let mut json = Vec::new();
    regular_file::open(path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut json)).with_context(what)?;
    let realisation = if path.ancestors().nth(2).is_some_and(|folder| folder.ends_with(TRACES)) {
        let name =
            |path: Option<&Path>| path.and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned);
        let output = name(Some(path)).and_then(|name| name.strip_suffix(ENDING).map(str::to_owned));
        let key = name(path.parent()).zip(output).map(|(drv, output)| Key::Resolved(drv, output)).with_context(what)?;
        let Value { out_path } = serde_json::from_slice(&json).with_context(what)?;
        checked(key, out_path, String::from_utf8(json).with_context(what)?).with_context(what)?
    } else {
        let mut found = parse(&[b"[".as_slice(), &json, b"]"].concat()).with_context(what)?;
        ensure!(found.len() == 1, "`{}` does not hold one realisation", path.display());
        found.remove(0)
    };
    ensure!(path.ends_with(realisation.file()), "`{}` describes `{:?}`", path.display(), realisation.key);
    Ok(realisation)
}

/// Writes realisations into a partial binary cache, each file whole or not there.
pub fn write(dir: &Path, realisations: &[Realisation]) -> Result<()> {
    for realisation in realisations {
        let path = dir.join(realisation.file());
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        let temporary = dir.join(REALISATIONS).with_extension("tmp");
        fs::write(&temporary, &realisation.json)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "qkcjym7f4s8gzgna572cn811pjqm9cj4-ca";

    #[test]
    fn what_nix_prints_is_read_and_odd_names_are_refused() {
        let json = br#"[{"dependentRealisations":{},"id":"sha256:cd3f!out","outPath":"qkcjym7f4s8gzgna572cn811pjqm9cj4-ca","signatures":[]}]"#;
        let found = parse(json).unwrap();
        assert_eq!((&found[0].key, found[0].output.as_str()), (&Key::Digest("sha256:cd3f!out".into()), CA));
        // An input-addressed path.
        assert!(parse(br#"[{"opaquePath":"/nix/store/x"}]"#).unwrap().is_empty());
        assert!(parse(br#"[{"id":"../x","outPath":"qkcjym7f4s8gzgna572cn811pjqm9cj4-ca"}]"#).is_err());
    }

    /// As Nix 2.35.3 printed it for two content-addressed derivations, the second of which takes the first.
    const TRACES_OF_TWO: &str = r#"[{"key":{"drvPath":"lzq127bq9wh9p5xlf4xl5cn0p55mq574-x.drv","outputName":"out"},"value":{"outPath":"ccp3f1d7f815g7iwqyxrkj24wxmv6gh5-x","signatures":[]}},{"key":{"drvPath":"s26dicqf1zhp040n0xkx5srd6ik5x5xq-y.drv","outputName":"out"},"value":{"outPath":"kn4jj37fv5sbnv6griskma87c6ffsdy8-y","signatures":[]}},{"opaquePath":"/nix/store/kn4jj37fv5sbnv6griskma87c6ffsdy8-y"}]"#;

    #[test]
    fn build_traces_are_written_as_nix_2_35_writes_them_and_read_back() {
        let found = parse(TRACES_OF_TWO.as_bytes()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &found).unwrap();
        let file = dir.path().join("build-trace-v2/s26dicqf1zhp040n0xkx5srd6ik5x5xq-y.drv/out.doi");
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, r#"{"outPath":"kn4jj37fv5sbnv6griskma87c6ffsdy8-y","signatures":[]}"#);
        assert_eq!((read(&file).unwrap(), found.len()), (found[1].clone(), 2));
        let files = crate::handoff::realisation_files::of(dir.path()).unwrap();
        assert_eq!(files, found.iter().map(Realisation::file).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_that_is_not_understood_is_an_error() {
        for odd in [
            r#"[{"key":"x.drv^out","outPath":"x"}]"#,
            r#"[{}]"#,
            r#"[{"key":{"drvPath":"../x.drv","outputName":"out"},"value":{"outPath":"x"}}]"#,
        ] {
            assert!(parse(odd.as_bytes()).is_err(), "{odd}");
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("build-trace-v2/lzq127bq9wh9p5xlf4xl5cn0p55mq574-x.drv");
        fs::create_dir_all(&folder).unwrap();
        let value = |output: &str| format!(r#"{{"outPath":"{output}","signatures":[]}}"#);
        for (name, text) in [
            ("out.doi", value("../x")),
            ("out.doi", r#"{"outPaths":{}}"#.to_owned()),
            ("..doi", value(CA)),
            ("a b.doi", value(CA)),
            ("out", value(CA)),
        ] {
            fs::write(folder.join(name), &text).unwrap();
            assert!(read(&folder.join(name)).is_err(), "{name} {text}");
        }
    }
}
