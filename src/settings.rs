//! Settings: what the stages are told, resolved once. A flag wins over `nixdag.yml`, that over the default.

pub mod additions;
mod aim;
mod amounts;
pub mod arguments;
pub mod at_base;
pub mod available;
pub mod cache_request;
pub mod caches;
pub mod change;
mod comment;
mod costs;
mod credential_hosts;
pub mod delivery;
pub mod downloads;
pub mod evaluation;
mod evaluation_request;
mod executor_entry;
pub mod file;
mod final_entry;
mod found;
pub mod grants;
mod history;
mod inputs;
pub mod job;
pub mod machines;
pub mod new_file;
pub mod nix_settings;
pub mod option;
pub mod orb_arguments;
pub mod package;
mod planner;
pub mod planning;
pub mod provider;
mod push;
pub mod records;
pub mod repository_file;
mod rule_entry;
pub mod schema;
pub mod selection;
mod size_limits;
mod source;
mod values;
mod words;
pub mod worker;
pub mod workers;
mod yaml;
mod yaml_message;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use serde_json::{Map, Value};

use self::caches::CacheSettings;
use self::credential_hosts::CredentialHosts;
use self::delivery::{DeliveryFlags, DeliverySaid};
use crate::attribute::AttributePath;
use crate::choice::Choice;
use crate::delivery::destination::Destination;
use crate::delivery::{Delivery, HandOff, HandOffKind};
use crate::fleet::Fleet;
use crate::fleet::executor::{self, Executor};
use crate::graph::derivation_files::DerivationFiles;
use crate::history::History;
use crate::history::store::KeptIn;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::evaluate::Systems;
use crate::pattern::Pattern;
use crate::plan::Plan;
use crate::plan::allowed_failure::AllowedFailure;
use crate::plan::estimate::CostModel;
use crate::plan::final_job::FinalJobRequest;
use crate::plan::model::PartitionOptions;
use crate::plan::rules::Rule;
use crate::printable::printable;
use crate::provider::Provider;
use crate::provider::additions::Additions;
use crate::provider::job_setup::CommentJob;
use crate::secret::{Secret, VariableName};
use crate::usage::usage;
use additions::AdditionFlags;
use arguments::Planning;
pub use available::Available;
use available::check_signed;
use change::ChangeSettings;
use comment::CommentEntry;
use evaluation::EvaluationSettings;
use file::SettingsFile;
use found::FoundSettings;
use package::Packages;
use planning::PlanningOptions;
use selection::SelectionOptions;
pub use source::{Source, split_installable};
use words::patterns;

/// Everything that planning is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the plan comes from.
    pub source: Source,
    /// Folder with `.drv` files; none for the store directory.
    pub drv_dir: Option<PathBuf>,
    /// Patterns of attributes to take; none for the default.
    pub select: Vec<Pattern>,
    /// Flags say what to take: it may be less than is there otherwise.
    pub flags_select: bool,
    /// Flags say that less is taken than the settings file says: attributes, or systems.
    pub flags_narrow: bool,
    /// Patterns of attributes to leave out.
    pub exclude: Vec<Pattern>,
    /// What may fail.
    pub allow_failure: Vec<AllowedFailure>,
    /// What messages call those of the settings file.
    pub failure_names: Vec<String>,
    /// Which systems' attributes to take.
    pub systems: Systems,
    /// An attribute that does not evaluate is fatal.
    pub strict: bool,
    /// How the flake is evaluated.
    pub evaluation: EvaluationSettings,
    /// What counts as available.
    pub available: Available,
    /// What the change is compared with.
    pub change: ChangeSettings,
    /// Assumptions about time.
    pub costs: CostModel,
    /// What the planner is asked for.
    pub planner: PartitionOptions,
    /// How results reach the jobs that need them.
    pub handoff: HandOffKind,
    /// Where jobs keep what they record, where it is the store that they hand on through.
    pub records_in: Option<KeptIn>,
    /// The CI system.
    pub provider: Provider,
    /// Its machines, as the settings change them.
    pub fleet: Fleet,
    /// Where and how derivations are built, the first rule that matches wins.
    pub rules: Vec<Rule>,
    /// What messages call each of them: `nixdag.yml:3:5: rule 1`.
    pub rule_names: Vec<String>,
    /// What runs after other jobs.
    pub final_jobs: Vec<FinalJobRequest>,
    /// What may not be as its author thinks, in sentences.
    pub warnings: Vec<String>,
    file: SettingsFile,
    file_path: Option<PathBuf>,
    file_is_named: bool,
}

impl Settings {
    /// Resolves the command line and the settings file, to plan.
    pub fn new(flags: &Planning) -> Result<Self> {
        let found = FoundSettings::new(flags)?;
        let file = delivery::handoff_of(&found.file.handoff, &found.file.stores);
        let handoff = HandOff::resolve_kind(flags.handoff.handoff, file, found.provider.handoff())?;
        let key = flags.handoff.handoff.is_none().then(|| found.named("handoff"));
        delivery::check_handoff(found.provider, handoff, key.as_deref())?;
        let store = found.file.stores.cache.as_deref().filter(|_| handoff == HandOffKind::Cache);
        let store = store.map(StoreUrl::public).transpose().with_context(|| found.named("cache"))?;
        let hosts = CredentialHosts::parse(&flags.availability.credential_host)?;
        store.iter().try_for_each(|url| check_named_by_file(url, &hosts)).with_context(|| found.named("cache"))?;
        let mut settings = Self::resolve(flags, found, handoff, store.as_ref())?;
        let lacks = settings.lacks(store.is_some());
        settings.warnings.extend(lacks);
        Ok(settings)
    }

    /// What is enough to plan, but not for `nixdag generate`, in sentences.
    fn lacks(&self, has_store: bool) -> Vec<String> {
        let mut lacks = Vec::new();
        // Of what is read from a file nothing is planned.
        if matches!(self.source, Source::Plan(_)) {
            return lacks;
        }
        if let Some(names) = &self.planner.workers {
            lacks.extend(workers::lacks(names.0.is_some(), self.provider, self.handoff));
        }
        if self.handoff == HandOffKind::Cache && !has_store {
            lacks.push("`handoff: cache` needs a store: `cache` in nixdag.yml (or `--cache URL`)".to_owned());
        }
        lacks.iter().map(|lack| format!("`nixdag generate` will refuse this plan: {lack}")).collect()
    }

    /// The same, to generate a configuration: how its jobs deliver, and what the store that they hand on through has counts as
    /// available. `take_secret` takes the secret key out of its variable, where there is one.
    pub fn to_generate(
        planning: &Planning,
        flags: &DeliveryFlags,
        take_secret: impl FnOnce(&VariableName) -> Option<Secret>,
    ) -> Result<(Self, Delivery)> {
        let found = FoundSettings::new(planning)?;
        let SettingsFile { handoff, stores, signing, push, logs, .. } = &found.file;
        let said = DeliverySaid { handoff, stores, signing, push, logs, handoff_name: &found.named("handoff") };
        let delivery = delivery::resolve(&planning.handoff, flags, &said, found.provider, take_secret)?;
        let hosts = CredentialHosts::parse(&planning.availability.credential_host)?;
        if let (HandOff::Cache(url), None) = (&delivery.handoff, &flags.stores.cache) {
            check_named_by_file(url, &hosts).with_context(|| found.named("cache"))?;
        }
        if flags.push.push.is_empty() {
            for destination in &delivery.push.destinations {
                if let Destination::Store(url) = destination {
                    check_named_by_file(&StoreUrl::public(url)?, &hosts).with_context(|| found.named("push"))?;
                }
            }
        }
        let store = if let HandOff::Cache(url) = &delivery.handoff { Some(url) } else { None };
        let mut settings = Self::resolve(planning, found, delivery.handoff.kind(), store)?;
        if let (HandOff::Cache(url), Available::Caches(caches)) = (&delivery.handoff, &mut settings.available) {
            caches.ask_hand_off(url, &delivery.signing.public_keys);
        }
        check_signed(&delivery, &settings.available)?;
        Ok((settings, delivery))
    }

    /// `store` is the one that jobs hand on through.
    fn resolve(flags: &Planning, found: FoundSettings, handoff: HandOffKind, store: Option<&StoreUrl>) -> Result<Self> {
        let FoundSettings { source, fragment, file, file_path, file_is_named, provider, note } = found;
        let selection = SelectionOptions::new(&flags.selection, &file.selection);
        let planning = PlanningOptions::new(&flags.planning, &file.planning);
        let is_flake = matches!(source, Source::Flake(_));
        let named = |key: &str| file.key_name(key, file_path.as_deref());
        let folder = file_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let mut fleet = provider.fleet();
        let mut warnings: Vec<String> = note.into_iter().collect();
        if let Some(entries) = &file.machines.executors {
            warnings.extend(entries.apply(&mut fleet).with_context(|| named("executors"))?);
        }
        warnings.extend(found::passed_over(file_path.as_deref(), &source.folder()));
        warnings.extend(machines::change(&mut fleet, &flags.machines.resource_class, &flags.machines.image)?);
        let mut select = match &fragment {
            Some(_) if flags.selection.select.is_empty() => Vec::new(),
            _ => choose(&flags.selection.select, file.selection.select.as_ref().map(patterns))
                .context(usage("`--select`"))?,
        };
        if let Some(fragment) = &fragment {
            let (pattern, outputs) = Pattern::installable(fragment).context("behind the `#`")?;
            if let Some(outputs) = outputs {
                warnings.push(format!("a job builds all outputs of a derivation, not only `^{}`", printable(&outputs)));
            }
            select.push(pattern);
        }
        let change = ChangeSettings::new(&flags.change, &file.change, &source)?;
        let recorded = history::read(&history::Asked {
            named: &flags.planning.history,
            store: store.filter(|_| is_flake),
            folder: &source.folder(),
            provider,
            default_branch: change.default_branch.as_deref(),
        })?;
        warnings.extend(recorded.warnings);
        let history = History::new(&recorded.records);
        let costs = costs::resolve(file.planning.cost.as_ref(), &flags.planning.cost, &mut fleet)?;
        let settings_file = file_path.as_deref().unwrap_or(Path::new(""));
        let rules = file.rules(settings_file, &fleet, &mut warnings)?;
        warnings.extend(file.doubtful_systems(settings_file));
        let rule_names = (0..rules.len()).map(|at| file.rule_name(at, settings_file)).collect();
        let has_base = change.base.is_some() || change.base_roots.is_some();
        if file.change.size_limits.as_ref().is_some_and(|limits| limits.0.limit_growth()) && !has_base {
            warnings.push(
                "`size_limits` of nixdag.yml limits growth, and without a base nobody knows it (set `base: auto`)"
                    .to_owned(),
            );
        }
        let final_jobs = file.final_requests(Some(settings_file))?;
        check_executors(&final_jobs, &fleet.executors)?;
        let available = match (&flags.availability.available, flags.availability.local_store) {
            (Some(file), _) => Available::File(file.clone()),
            (None, true) => Available::LocalStore,
            (None, false) => {
                let accepts = flags.evaluation.accept_flake_config;
                let mut caches = CacheSettings::new(&flags.availability, &file.availability, is_flake, accepts)?;
                if let Some(url) = file.stores.cache.as_deref().filter(|_| is_flake) {
                    let url = StoreUrl::public(url).with_context(|| named("cache"))?;
                    let hosts = CredentialHosts::parse(&flags.availability.credential_host)?;
                    check_named_by_file(&url, &hosts).with_context(|| named("cache"))?;
                    caches.ask_hand_off(&url, &file.signing.public_keys());
                }
                if caches.is_empty() { Available::Nothing } else { Available::Caches(caches) }
            }
        };
        let evaluation =
            EvaluationSettings::new(&flags.evaluation, file.evaluation.as_ref(), folder, &source.folder())?;
        Ok(Self {
            change,
            source,
            drv_dir: flags.drv_dir.clone(),
            select: select
                .iter()
                .map(|pattern| if is_flake { pattern.to_derivations() } else { pattern.meant() })
                .collect(),
            flags_select: !flags.selection.select.is_empty() || fragment.is_some(),
            flags_narrow: !flags.selection.select.is_empty()
                || fragment.is_some()
                || !flags.selection.exclude.is_empty()
                || !flags.selection.system.is_empty(),
            exclude: choose(&flags.selection.exclude, file.selection.exclude.as_ref().map(patterns))
                .context(usage("`--exclude`"))?
                .iter()
                .map(Pattern::meant)
                .collect(),
            allow_failure: selection::allow_failure(&flags.selection, &file.selection)?,
            failure_names: file.failure_names(settings_file),
            systems: selection::systems(&flags.selection, &file.selection),
            strict: selection.strict,
            evaluation,
            available,
            costs: CostModel {
                concurrency: planning.concurrency.map_or(fleet.concurrency, |jobs| jobs as usize),
                history,
                ..costs
            },
            records_in: recorded.kept_in,
            provider,
            fleet,
            rules,
            rule_names,
            final_jobs,
            warnings,
            planner: planner::options(
                &planning,
                provider,
                file.planning.limits.as_ref(),
                flags.handoff.handoff.or(file.handoff.handoff),
            )?,
            handoff,
            file,
            file_path,
            file_is_named,
        })
    }

    /// Where the derivations are read from.
    pub fn derivation_files(&self) -> DerivationFiles<'_> {
        DerivationFiles::new(self.drv_dir.as_deref())
    }

    /// True for the path of a file, from a repository's root, that may be the settings file.
    fn is_settings_file(&self, path: &[u8]) -> bool {
        let named = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec);
        self.file_path.as_ref().is_some_and(|file| named(path) == named(file.as_os_str().as_encoded_bytes()))
    }

    /// True for a changed file that makes no difference, by its path from the repository's root. The settings themselves say what is built.
    pub fn ignores(&self, path: &[u8]) -> bool {
        self.change.ignore.ignores(path) && !self.is_settings_file(path)
    }

    /// The job that comments on the pull request, where there is to be one.
    pub fn comment(&self) -> Result<Option<CommentJob>> {
        self.file.change.comment.as_ref().map(CommentEntry::job).transpose()
    }

    /// What users add to a configuration. Files that the settings file names are looked for beside it.
    pub fn additions(&self, flags: &AdditionFlags) -> Result<Additions> {
        let folder = self.file_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        additions::resolve(flags, &self.file.additions, folder)
    }

    /// Checks what a plan from a file was made for, what it has its jobs run on, and with which contexts.
    pub fn check_plan(&self, plan: &Plan) -> Result<()> {
        if let Some(made_for) = plan.provider.as_deref().filter(|made_for| *made_for != self.provider.name()) {
            bail!(
                "the plan was made for {}, and this is for {} (`--provider` says for which; make a new plan for another one)",
                made_for.escape_debug(),
                self.provider.name()
            );
        }
        self.file.grants().check(plan, &self.fleet, &self.rules)
    }

    /// What packages say about their own jobs, as far as it makes sense.
    pub fn packages(&self, of_packages: &[(AttributePath, Map<String, Value>)]) -> Packages {
        Packages::read(of_packages, &self.fleet, &self.file.grants())
    }
}

/// Refuses a store that only a flag may name.
fn check_named_by_file(url: &StoreUrl, hosts: &CredentialHosts) -> Result<()> {
    credential_hosts::ensure_elsewhere(url)?;
    hosts.check(url)
}

/// The patterns of a flag, else those of the file.
fn choose(flag: &[String], file: Option<Vec<Pattern>>) -> Result<Vec<Pattern>> {
    if flag.is_empty() { Ok(file.unwrap_or_default()) } else { flag.iter().map(|text| Pattern::parse(text)).collect() }
}

/// An executor that a final job names has to exist.
fn check_executors(requests: &[FinalJobRequest], executors: &[Executor]) -> Result<()> {
    for request in requests {
        if let Some(name) = &request.executor {
            let place = request.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            executor::find(executors, name).with_context(|| format!("{place}final job `{}`", request.name))?;
        }
    }
    Ok(())
}
