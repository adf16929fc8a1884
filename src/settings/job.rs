//! What `nixdag build` is to do, from its flags, the environment and the plan.
//!
//! Secrets are taken out of the environment here, before anything is started that could inherit them.

use std::path::{self, Path};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cache_request;
use super::caches::CacheSettings;
use super::delivery::{self, LogKeys, LogOptions, PushKeys, SigningKeys};
use crate::build::credentials;
use crate::build::destination::{Credentials, SigningKey};
use crate::build::push::{Prepared, Pushes};
use crate::build::records_place::RecordsPlace;
use crate::build::stored_records::StoredRecords;
use crate::build::usage::age_of_the_machine;
use crate::build::{Derivations, HandOffPlace, JobKeys, JobRequest, JobTime, OnMissing};
use crate::choice::Choice;
use crate::cli::BuildArgs;
use crate::delivery::destination::Destination;
use crate::delivery::{HandOffKind, Signing as Named};
use crate::folder_owner;
use crate::handoff::bundle::Bundle;
use crate::handoff::registry::{FOR_HAND_OFFS, FOR_RECORDS, FOR_REUSE, Registry};
use crate::handoff::reuse::ReuseFolder;
use crate::handoff::signed_results::SignedResults;
use crate::history::store::{RecordStore, Subject};
use crate::nearest::meant_or_known;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::nix::binary_cache::{CachesRequest, Origin, Reliance, Substituter};
use crate::nix::command::Nix;
use crate::nix::configuration::Configuration;
use crate::nix::evaluate::FlakeCaches;
use crate::nix::hash::Sha256;
use crate::nix::signature::{PublicKeys, SecretKey};
use crate::output::read_input;
use crate::plan::{JobIndex, Plan, delivery_job, failures, json};
use crate::secret::{Secret, VariableName};
use crate::usage::usage;

/// Holds the seconds that a job of GitLab may run.
const GITLABS_LIMIT: &str = "CI_JOB_TIMEOUT";

/// Holds the number of a pipeline of GitLab.
const GITLABS_PIPELINE: &str = "CI_PIPELINE_ID";

/// At most so much is left for what comes behind the builds; a tenth of the job's time where that is less.
const MOST_TIME_LEFT: Duration = Duration::from_secs(10 * 60);

/// What a job does.
#[derive(Debug)]
pub enum BuildTask {
    /// Report what failed before anything was built; the plan has it.
    Failures(Box<Plan>),
    /// Build.
    Build(Box<JobRequest>),
    /// Hold sizes against their limits; the caches know some of them.
    Sizes(Box<JobRequest>, CachesRequest),
}

/// The job's work. `say` hears what there is to be said about secrets and destinations.
pub fn work(args: &BuildArgs, say: &mut dyn FnMut(&str)) -> Result<BuildTask> {
    if args.job.as_deref() == Some(failures::JOB) {
        let (plan, _) = plan_and_derivations(args)?;
        if failures::are_in(&plan) {
            return Ok(BuildTask::Failures(Box::new(plan)));
        }
    }
    let request = Box::new(request(args, say)?);
    if request.plan.sizes.as_ref().is_some_and(|sizes| sizes.job == request.job().id) {
        let caches = caches(&request)?;
        return Ok(BuildTask::Sizes(request, caches));
    }
    Ok(BuildTask::Build(request))
}

/// The caches that a job asks for what it neither builds nor is handed: the one that results travel through, those of the plan, the machine's own.
fn caches(request: &JobRequest) -> Result<CachesRequest> {
    let Reliance { substituters, trusted_public_keys } = &request.plan.caches;
    let hand_off = match &request.hand_off {
        HandOffPlace::Cache(url) => {
            Some(Substituter { url: StoreUrl::parse(url)?, token_variable: None, origin: Origin::HandOff })
        }
        HandOffPlace::Workspace(_) | HandOffPlace::None => None,
    };
    let mut settings = CacheSettings::of_job(hand_off, request.signing.trusted.clone());
    for store in substituters {
        let (url, token_variable) = (StoreUrl::parse(&store.url)?, store.token_variable.clone());
        settings.substituters.push(Substituter { url, token_variable, origin: Origin::Named });
    }
    let keys = PublicKeys::parse(trusted_public_keys.iter().map(String::as_str))?;
    settings.keys = settings.keys.iter().chain(keys.iter()).cloned().collect();
    let machine = Configuration::of(&Nix::find()?)?;
    Ok(cache_request::resolve(&settings, &machine, &FlakeCaches::default()).request)
}

/// What the job builds, and from what.
pub(super) fn plan_and_derivations(args: &BuildArgs) -> Result<(Plan, Derivations)> {
    let expected =
        args.source.bundle_sha256.as_deref().map(Sha256::parse).transpose().context(usage("`--bundle-sha256`"))?;
    match (&args.source.bundle, &args.source.plan) {
        (Some(dir), plan) => {
            let (bundle, bundled) = Bundle::open(dir, expected)?;
            if let Some(path) = plan
                && read_plan(path)? != bundled
            {
                bail!("plan `{}` and bundle `{}` do not belong together", path.display(), dir.display());
            }
            Ok((bundled, Derivations::Bundle(bundle)))
        }
        (None, Some(path)) => {
            let derivations = args.source.drv_dir.clone().map_or(Derivations::Store, Derivations::Folder);
            Ok((read_plan(path)?, derivations))
        }
        (None, None) => bail!("neither `--bundle` nor `--plan` is given"),
    }
}

fn request(args: &BuildArgs, say: &mut dyn FnMut(&str)) -> Result<JobRequest> {
    request_for(args, say, |plan| {
        let id = args.job.as_deref().context("`--job` is not given")?;
        let delivers = if id == delivery_job::JOB { delivery_job::add(plan)? } else { None };
        delivers.map_or_else(|| find_job(plan, id), Ok)
    })
}

/// The request for the job that is chosen in the plan, or added to it.
pub(super) fn request_for(
    args: &BuildArgs,
    say: &mut dyn FnMut(&str),
    choose: impl FnOnce(&mut Plan) -> Result<JobIndex>,
) -> Result<JobRequest> {
    // First of all, so that nothing that is started below can inherit it.
    let named = delivery::signing(&args.signing, &SigningKeys::default())?;
    let secret = Secret::take(&named.variable);
    let signing = signing(args, secret.as_ref(), &named, say)?;
    let key = match secret {
        Some(secret) => SigningKey::Here(secret),
        // Whoever names a key or trusts one wants signatures.
        None if named.is_named || !named.public_keys.is_empty() => SigningKey::Missing(named.variable),
        None => SigningKey::None,
    };
    let token = Secret::take(&VariableName::job_token());
    let registry = args.packages.as_deref().map(|url| registry_with(url, token.clone())).transpose()?;
    let signed_results = args.reuse_packages.as_deref().map(|url| -> Result<SignedResults> {
        let token = token.clone().context(NO_TOKEN)?;
        Ok(SignedResults::new(Registry::new(url, token, FOR_REUSE).context(usage("`--reuse-packages`"))?))
    });
    let folders = [&args.source.bundle, &args.workspace, &args.reuse];
    folders.into_iter().flatten().try_for_each(|folder| folder_owner::check(folder))?;
    if let Some(place) = args.records.as_deref().filter(|place| is_folder(place)) {
        folder_owner::check(Path::new(place))?;
    }
    let (mut plan, derivations) = plan_and_derivations(args)?;
    let records = records(args, &plan, token, say);
    let hand_off = match (args.handoff, &args.workspace, &args.cache) {
        (Some(HandOffKind::Cache), _, Some(url)) | (None, None, Some(url)) => HandOffPlace::Cache(url.clone()),
        (Some(HandOffKind::Cache), _, None) => bail!(usage("`--handoff cache` needs `--cache URL`")),
        (Some(kind), None, _) => bail!(usage(format!("`--handoff {}` needs `--workspace DIR`", kind.name()))),
        (_, Some(dir), _) => HandOffPlace::Workspace(path::absolute(dir)?),
        (None, None, None) => HandOffPlace::None,
    };
    let cache = if let HandOffPlace::Cache(url) = &hand_off { Some(url.as_str()) } else { None };
    let pushes = pushes(args, cache, &key, say)?;
    if let Some(url) = cache
        && signing.trusted.is_empty()
        && plan.caches.trusted_public_keys.is_empty()
        && !StoreUrl::parse(url)?.trusted
    {
        say(&format!(
            "warning: no key is named whose signatures count: other jobs may not take what this one pushes to `{url}` \
             (`--signing-public-key KEY`)"
        ));
    }
    let mut options: Vec<(String, String)> =
        args.nix_option.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let given = [
        ("max-jobs", args.max_jobs.clone()),
        ("cores", args.cores.map(|number| number.to_string())),
        ("timeout", args.timeout.map(|number| number.to_string())),
        ("max-silent-time", args.max_silent_time.map(|number| number.to_string())),
    ];
    options.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let reuse = args.reuse.as_deref().map(|dir| -> Result<ReuseFolder> {
        Ok(ReuseFolder { dir: path::absolute(dir)?, signed_by: args.signed_reuse.then(|| signing.trusted.clone()) })
    });
    let job = choose(&mut plan)?;
    let delivers_all = args.job.as_deref() == Some(delivery_job::JOB)
        && plan.job(job).id == delivery_job::JOB
        && plan.final_job(job).is_some();
    // What others should have delivered is not built where a context's variables are.
    let has_contexts = !plan.job(job).options.context.is_empty();
    let time = job_time(&plan, job, |name| std::env::var(name).ok());
    Ok(JobRequest {
        job,
        plan: Arc::new(plan),
        derivations,
        hand_off,
        registry,
        records,
        reuse: reuse.transpose()?,
        signed_results: signed_results.transpose()?,
        results: args.results.clone(),
        restore: args.restore.clone(),
        delivers_all,
        on_missing: if has_contexts || delivers_all { OnMissing::Fail } else { args.on_missing },
        signing,
        pushes,
        build_logs: LogOptions::new(&args.logs, &LogKeys::default()).build_logs,
        build_variables: delivery::build_variables(&args.builders)?,
        keep: args.keep.clone(),
        time,
        options,
    })
}

/// How long the job may run, where a CI runs it: as the plan says, or longer where its own `timeout` says so, and no longer than GitLab says.
fn job_time(plan: &Plan, job: JobIndex, variable: impl Fn(&str) -> Option<String>) -> Option<JobTime> {
    variable("CI").filter(|value| !value.is_empty() && value != "false")?;
    let timeout = plan.job(job).options.timeout.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let planned = plan.job_limit.map(Duration::from_millis);
    // Whoever allows a build so much knows that the CI does.
    let planned = planned.map(|limit| timeout.filter(|timeout| *timeout >= limit).map_or(limit, |most| most * 2));
    let said = variable(GITLABS_LIMIT).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let allowed = planned.into_iter().chain(said).min()?;
    let gone = age_of_the_machine().map(Duration::from_millis).unwrap_or_default();
    let left = allowed.saturating_sub((allowed / 10).min(MOST_TIME_LEFT)).saturating_sub(gone.min(allowed / 2));
    Some(JobTime { allowed, over: Instant::now() + left })
}

/// A registry of packages, with the job's token taken out of the environment.
pub fn registry(url: &str) -> Result<Registry> {
    registry_with(url, Secret::take(&VariableName::job_token()))
}

fn registry_with(url: &str, token: Option<Secret>) -> Result<Registry> {
    Registry::new(url, token.context(NO_TOKEN)?, FOR_HAND_OFFS).context(usage("`--packages`"))
}

/// True for a place of records that is neither a URL nor in a registry.
fn is_folder(place: &str) -> bool {
    !place.contains("://") && !place.contains("/packages/generic/")
}

/// Where a job is to leave its record; nowhere where that cannot be. `token` is the job's where the environment has lost it.
pub(super) fn records(
    args: &BuildArgs,
    plan: &Plan,
    token: Option<Secret>,
    say: &mut dyn FnMut(&str),
) -> Option<RecordsPlace> {
    let place = args.records.as_deref()?;
    records_place(place, args.records_of.as_deref(), plan, token)
        .inspect_err(|error| say(&format!("warning: no records are left: {error:#}")))
        .ok()
}

/// Where the records of a plan's jobs are: a folder, an address in a registry of packages, or where `of` names a branch the URL of a store.
/// `token` is the job's where the environment has lost it.
pub fn records_place(place: &str, of: Option<&str>, plan: &Plan, token: Option<Secret>) -> Result<RecordsPlace> {
    if let Some(of) = of {
        let subject = Subject::parse(of).context(usage("`--records-of`"))?;
        let url = StoreUrl::public(place)?;
        let known = plan.caches.substituters.iter().find(|store| store.url == url.public_text());
        let token_variable = known.and_then(|store| store.token_variable.clone());
        // A variable that is not set is said where the job fetches.
        let netrc = credentials::netrc(&plan.caches, &mut |_| ())?;
        let store = RecordStore::new(url, token_variable, netrc)?;
        return Ok(RecordsPlace::Store(Box::new(StoredRecords::new(store, subject, plan)?)));
    }
    common_records_place(place, token)
}

/// The same of a folder, or an address in a registry of packages.
pub fn common_records_place(place: &str, token: Option<Secret>) -> Result<RecordsPlace> {
    if is_folder(place) {
        folder_owner::check(Path::new(place))?;
        return Ok(RecordsPlace::Folder(path::absolute(place)?));
    }
    let token = token.or_else(|| Secret::take(&VariableName::job_token())).context(NO_TOKEN)?;
    let registry = Registry::new(place, token, FOR_RECORDS).context("`--records`")?;
    Ok(RecordsPlace::Registry { registry, pipeline: std::env::var(GITLABS_PIPELINE).ok() })
}

/// What a registry of packages lacks outside a job.
const NO_TOKEN: &str =
    "a registry of packages needs the token of a GitLab job in `CI_JOB_TOKEN`, which GitLab sets in every job";

/// Whose signatures count and what is signed with. Says so where nothing will be signed for later pipelines.
fn signing(args: &BuildArgs, secret: Option<&Secret>, named: &Named, say: &mut dyn FnMut(&str)) -> Result<JobKeys> {
    let (trusted, name) = (named.public_keys.clone(), &named.variable);
    let key =
        secret.map(|secret| SecretKey::parse(secret.reveal())).transpose().with_context(|| format!("`{name}`"))?;
    let is_trusted = |key: &SecretKey| trusted.iter().any(|trusted| *trusted == key.public());
    match &key {
        _ if !args.signed_reuse => {}
        None => say(&format!("no signing key in `{name}`: what this job builds is not saved for later pipelines")),
        Some(key) if !is_trusted(key) => say(&format!(
            "warning: the public half of the key in `{name}`, `{}`, is not among the keys that count: what this job builds is not \
             saved for later pipelines",
            key.public()
        )),
        Some(_) => {}
    }
    let secret = key.filter(|key| args.signed_reuse && is_trusted(key));
    Ok(JobKeys { trusted, secret })
}

/// Where the job pushes, its secrets taken out of the environment. Says so where nothing will be pushed.
fn pushes(args: &BuildArgs, cache: Option<&str>, key: &SigningKey, say: &mut dyn FnMut(&str)) -> Result<Pushes> {
    let beside = delivery::push(&args.push, &PushKeys::default())?;
    let hand_off = cache.map(Destination::parse_store).transpose().context(usage("`--cache`"))?;
    // What the cache is read with, Nix itself needs.
    let credentials = match hand_off {
        Some(_) => Credentials::read(&beside.destinations, &beside.credentials)?,
        None => Credentials::take(&beside.destinations, &beside.credentials)?,
    };
    let mut prepare = |destination: Destination| {
        let target = credentials.prepare(destination.clone(), key).map(Arc::new).map_err(|lacks| format!("{lacks:#}"));
        if let Err(lacks) = &target {
            say(&format!("nothing will be pushed to `{destination}`: {lacks}"));
        }
        Prepared { destination, target }
    };
    Ok(Pushes {
        hand_off: hand_off.map(&mut prepare),
        beside: beside.destinations.into_iter().map(prepare).collect(),
        on_failure: beside.on_failure,
        timeout: std::time::Duration::from_secs(beside.timeout.into()),
    })
}

fn read_plan(path: &Path) -> Result<Plan> {
    json::read(&read_input(path)?).with_context(|| format!("cannot use `{}`", path.display()))
}

fn find_job(plan: &Plan, id: &str) -> Result<JobIndex> {
    match plan.all_jobs().position(|job| job.id == id) {
        Some(index) => Ok(JobIndex(index as u32)),
        None => {
            let hint = meant_or_known(id, plan.all_jobs().map(|job| job.id.as_str()));
            bail!("the plan has no job `{}`{hint}", id.escape_debug())
        }
    }
}
