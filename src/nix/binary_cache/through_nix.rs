//! Stores that only Nix knows how to reach: `s3://`, `ssh-ng://`, `daemon`, a folder with a store. Asked with `nix path-info`, many
//! paths a run.

use anyhow::{Result, bail};
use serde_json::Value;

use super::trouble::Trouble;
use crate::nix::command::Nix;
use crate::nix::hash::Sha256;
use crate::nix::narinfo::NarInfo;
use crate::nix::store::complaint;
use crate::nix::store_path;

/// Most bytes of one answer: 2,000 paths with a thousand references each.
const MAX_SIZE: usize = 256 << 20;

/// Settings that keep a store which is down from holding up a plan or a job.
pub const BOUNDS: [&str; 9] = [
    "--option",
    "connect-timeout",
    "5",
    "--option",
    "download-attempts",
    "2",
    "--option",
    "stalled-download-timeout",
    "10",
];

/// A store that Nix has to be run for.
#[derive(Debug)]
pub struct ThroughNix {
    nix: Nix,
    url: String,
}

impl ThroughNix {
    /// Finds Nix.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { nix: Nix::find()?.with_store_access(), url: url.to_owned() })
    }

    /// What the store knows of each path; none for those that it does not have.
    pub fn ask(&self, paths: &[String]) -> Result<Vec<Option<NarInfo>>, Trouble> {
        let begin = ["path-info", "--json", "--store", &self.url].into_iter().chain(BOUNDS);
        let arguments = begin.chain(paths.iter().map(String::as_str));
        let answer = self.nix.nix(arguments, MAX_SIZE).map_err(|error| Trouble::other(&format!("{error:#}")))?;
        if !answer.status.success() {
            return Err(Trouble::other(&complaint(answer.stderr.as_bytes())));
        }
        let known: Value =
            serde_json::from_slice(&answer.stdout).map_err(|_| Trouble::Garbage("Nix did not print JSON"))?;
        Ok(paths.iter().map(|path| find(&known, path).and_then(|value| info(path, value).ok())).collect())
    }
}

/// What Nix printed of one path: up to 2.18 in a list of objects with `path`, later in an object by path.
fn find<'a>(known: &'a Value, path: &str) -> Option<&'a Value> {
    let found = match known {
        Value::Array(list) => list.iter().find(|item| item["path"] == path)?,
        other => other.get(path)?,
    };
    // Paths that the store does not have are `null`, or have this and nothing else.
    (found.is_object() && found["valid"] != false).then_some(found)
}

fn info(path: &str, value: &Value) -> Result<NarInfo> {
    let texts = |key: &str| -> Vec<String> {
        value[key].as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let Some(nar_size) = value["narSize"].as_u64() else { bail!("no size") };
    Ok(NarInfo {
        store_path: path.to_owned(),
        url: String::new(),
        compression: String::new(),
        file_hash: None,
        file_size: None,
        nar_hash: Sha256::parse(value["narHash"].as_str().unwrap_or_default())?,
        nar_size,
        references: texts("references")
            .iter()
            .map(|path| Ok(store_path::split(path)?.1.to_owned()))
            .collect::<Result<_>>()?,
        deriver: None,
        signatures: texts("signatures"),
        content_address: value["ca"].as_str().map(str::to_owned),
    })
}
