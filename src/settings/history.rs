//! What earlier pipelines have measured, for a plan: from the files and stores that flags name, else from the store that jobs hand on through,
//! where pipelines keep records in it.
//!
//! Records are hints: what cannot be read is a warning. A file that does not exist was mistyped, and so was a URL that is none.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::duration::now;
use crate::git::Repository;
use crate::history::files;
use crate::history::records::{Keep, Records};
use crate::history::store::{KeptIn, RecordStore, Subject};
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::printable::{printable, shortened};
use crate::provider::Provider;
use crate::usage::usage;

/// Characters of a warning's reason, which may quote what a store says.
const LONGEST: usize = 300;

/// The branch that changes go to where nobody says so.
const DEFAULT_BRANCH: &str = "main";

/// Whose records are asked for.
pub(super) struct Asked<'a> {
    /// The files, folders and stores that flags name.
    pub named: &'a [PathBuf],
    /// The store that jobs hand on through.
    pub store: Option<&'a StoreUrl>,
    /// A folder of the repository.
    pub folder: &'a Path,
    /// The CI system.
    pub provider: Provider,
    /// The branch that changes go to, where the settings say so.
    pub default_branch: Option<&'a str>,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The records.
    pub records: Records,
    /// What cannot be used.
    pub warnings: Vec<String>,
    /// Where the pipelines of this branch keep theirs.
    pub kept_in: Option<KeptIn>,
}

/// The branch, and the one that changes go to.
struct Branches {
    own: Option<Subject>,
    default: Option<Subject>,
}

/// Reads what is asked for.
pub(super) fn read(asked: &Asked) -> Result<Found> {
    let (urls, paths): (Vec<&PathBuf>, Vec<&PathBuf>) = asked.named.iter().partition(|path| is_url(path));
    let paths: Vec<PathBuf> = paths.into_iter().cloned().collect();
    let (mut records, mut warnings) = files::read(&paths, Keep::default(), now()).context("`--history`")?;
    let store = asked.store.filter(|_| asked.provider.keeps_records_in_store());
    if urls.is_empty() && store.is_none() {
        return Ok(Found { records, warnings, kept_in: None });
    }
    let branches = branches(asked);
    if let (false, Err(why)) = (urls.is_empty(), &branches) {
        warnings.push(format!("no records are read from a store, which has them by repository and branch: {why:#}"));
    }
    let branches = branches.unwrap_or(Branches { own: None, default: None });
    let named = urls.iter().map(|url| {
        let text = url.to_str().context("it is not text")?;
        StoreUrl::parse(text)
    });
    let mut stores = named.collect::<Result<Vec<_>>>().context(usage("`--history`"))?;
    if asked.named.is_empty() {
        stores.extend(store.cloned());
    }
    for url in stores {
        let shown = url.to_string();
        match of_store(url, &branches) {
            Ok(found) => {
                warnings.extend(found.remarks().iter().map(|remark| format!("records in `{shown}`: {remark}")));
                records.merge(found);
            }
            Err(why) => warnings.push(format!(
                "records in `{shown}` are left out: {}",
                shortened(&printable(&format!("{why:#}")), LONGEST)
            )),
        }
    }
    records.prune(Keep::default(), now());
    let kept_in = store.zip(branches.own).map(|(url, of)| KeptIn { url: url.public_text(), of });
    Ok(Found { records, warnings, kept_in })
}

fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains("://"))
}

/// The records of the branch, else of the one that changes go to.
fn of_store(url: StoreUrl, branches: &Branches) -> Result<Records> {
    let store = RecordStore::new(url, None, None)?;
    for subject in [&branches.own, &branches.default].into_iter().flatten() {
        if let Some(text) = store.get(subject)? {
            return Records::read(&text, now());
        }
    }
    Ok(Records::default())
}

/// The names that records have in a store: the repository is that of the remote.
fn branches(asked: &Asked) -> Result<Branches> {
    let folder = if asked.folder.as_os_str().is_empty() { Path::new(".") } else { asked.folder };
    let repository = Repository::around(folder)?;
    let remote = repository.remote()?.context("the repository has no remote")?;
    let address = repository.remote_address(&remote)?.context("the remote has no address")?;
    let given = |name: &'static str| std::env::var(name).ok();
    let hints = asked.provider.hints(given);
    let own = hints.branch.map_or_else(|| repository.branch(), |branch| Ok(Some(branch)))?;
    let default = match asked.default_branch.map(str::to_owned).or(hints.default_branch) {
        Some(branch) => branch,
        None => repository.known_default_branch(&remote)?.unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
    };
    Ok(Branches {
        own: own.and_then(|branch| Subject::branch(&address, &branch)),
        default: Subject::branch(&address, &default),
    })
}
