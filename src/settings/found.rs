//! What is found before anything is resolved: where the plan comes from, its settings file, and for which CI system it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::arguments::Planning;
use super::file::SettingsFile;
use super::provider::{ChosenProvider, ProviderOptions};
use super::repository_file;
use super::source::{Source, split_installable};
use crate::provider::Provider;
use crate::usage::usage;

/// Where the plan comes from, and the settings file for it.
pub struct FoundSettings {
    /// Where the plan comes from.
    pub source: Source,
    /// What stands behind a `#` in the flake's reference.
    pub fragment: Option<String>,
    /// The settings file; an empty one where there is none.
    pub file: SettingsFile,
    /// Its path, where there is one.
    pub file_path: Option<PathBuf>,
    /// A flag names it.
    pub file_is_named: bool,
    /// The CI system.
    pub provider: Provider,
    /// What there is to be said about the provider.
    pub note: Option<String>,
}

impl FoundSettings {
    /// Looks for the file and reads it.
    pub fn new(flags: &Planning) -> Result<Self> {
        let (flake, fragment) = split_installable(flags.flake.as_deref().unwrap_or("."));
        let source = match (&flags.plan, &flags.roots) {
            (Some(plan), _) => Source::Plan(plan.clone()),
            (None, Some(roots)) => Source::Roots(roots.clone()),
            (None, None) => Source::Flake(flake.to_owned()),
        };
        if flags.drv_dir.is_some() && matches!(source, Source::Flake(_)) {
            bail!(usage("`--drv-dir` requires `--roots` or `--plan`: a flake's derivations are in the store"));
        }
        let file_path = find_file(flags.settings.as_deref(), &source);
        if let Some(path) = file_path.as_deref().filter(|_| flags.settings.is_none()) {
            let folder = path.parent().unwrap_or(Path::new(""));
            repository_file::check(path, folder, "--settings").context("the settings file")?;
        }
        let file = file_path.as_deref().map(SettingsFile::read).transpose()?.unwrap_or_default();
        let said = ProviderOptions::new(&flags.provider, &file.provider).provider;
        let chosen = ChosenProvider::new(said, &source.folder(), is_set);
        let (provider, note) = (chosen.provider, chosen.warning());
        let file_is_named = flags.settings.is_some();
        Ok(Self { source, fragment: fragment.map(str::to_owned), file, file_path, file_is_named, provider, note })
    }

    /// What messages call a key of the file.
    pub fn named(&self, key: &str) -> String {
        self.file.key_name(key, self.file_path.as_deref())
    }
}

/// The settings file: the one that is named, else that of the flake's folder, else that of the working directory.
fn find_file(named: Option<&Path>, source: &Source) -> Option<PathBuf> {
    named.map_or_else(|| SettingsFile::find(&source.folder()), |path| Some(path.to_owned()))
}

/// Settings files of a folder that are not read, a sentence each; `read` is the one that is.
pub(super) fn passed_over(read: Option<&Path>, folder: &Path) -> Vec<String> {
    let misnamed = SettingsFile::find_misnamed(folder).into_iter();
    let Some(read) = read else {
        return misnamed.map(|path| format!("`{}` is not read: name it `nixdag.yml`", path.display())).collect();
    };
    let others = SettingsFile::find_others(folder).into_iter().chain(misnamed).filter(|other| other != read);
    others.map(|other| format!("`{}` is not read, since there is `{}`", other.display(), read.display())).collect()
}

/// True where a variable of the environment is set and not empty.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}
