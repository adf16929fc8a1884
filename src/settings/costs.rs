//! `costs` and `limits` in `nixdag.yml`, and `--cost`: the numbers that plans rest on. In: the file's entries and the flags' values. Out: a
//! [`CostModel`], prices of executors changed in place, and [`PlanLimits`].

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::amounts::{Amount, Price, Seconds};
use super::values::Count;
use super::yaml::mapping;
use crate::delivery::HandOffKind;
use crate::fleet::Fleet;
use crate::nearest::meant_or_known;
use crate::plan::estimate::CostModel;
use crate::plan::model::{PlanLimits, Waves};
use crate::plan::prices::PriceTable;
use crate::provider;
use crate::usage::usage;

/// What `costs` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CostsEntry {
    /// `start_up`
    pub start_up: Option<Seconds>,
    /// `layer`
    pub layer: Option<Seconds>,
    /// `queue`
    pub queue: Option<Seconds>,
    /// `fetch`
    pub fetch: Option<Seconds>,
    /// `local`
    pub local: Option<Seconds>,
    /// `ordinary`
    pub ordinary: Option<Seconds>,
    /// `big_parallel`
    pub big_parallel: Option<Seconds>,
    /// `bytes`
    pub bytes: Option<Amount>,
    /// `bandwidth`
    pub bandwidth: Option<Amount>,
    /// `credits`
    pub credits: Option<BTreeMap<String, Amount>>,
    /// `rounding`
    pub rounding: Option<Seconds>,
    /// `storage`
    pub storage: Option<Amount>,
    /// `egress`
    pub egress: Option<Amount>,
    /// `credit`
    pub credit: Option<Price>,
    /// `currency`
    pub currency: Option<String>,
}

mapping!(CostsEntry, "a mapping of costs", {
    "start_up" => start_up: "Seconds from a job's start to its first build",
    "layer" => layer: "Seconds to attach one layer of a workspace",
    "queue" => queue: "Seconds that each wave waits for machines, where jobs come in waves",
    "fetch" => fetch: "Seconds of a fetch",
    "local" => local: "Seconds of a derivation that prefers to be built locally",
    "ordinary" => ordinary: "Seconds of any other derivation",
    "big_parallel" => big_parallel: "Seconds of a derivation that requires big-parallel",
    "bytes" => bytes: "Bytes that a derivation hands on",
    "bandwidth" => bandwidth: "Bytes a second that a job fetches",
    "credits" => credits: "Credits a minute, by resource class",
    "rounding" => rounding: "Seconds that a job's time is rounded up to where it is charged",
    "storage" => storage: "Credits for a gigabyte that jobs leave in workspaces, caches and artifacts, for as long as the CI keeps it",
    "egress" => egress: "Credits for a gigabyte that self-hosted machines fetch from the CI",
    "credit" => credit: "What a credit costs, in the currency",
    "currency" => currency: "The currency that `plan` writes prices in",
});

/// What `limits` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsEntry {
    /// `jobs`
    pub jobs: Option<Count>,
    /// `requires`
    pub requires: Option<Count>,
    /// `waves`
    pub waves: Option<Count>,
    /// `job_seconds`
    pub job_seconds: Option<Count>,
    /// `config_bytes`
    pub config_bytes: Option<Amount>,
}

mapping!(LimitsEntry, "a mapping of limits", {
    "jobs" => jobs: "Most jobs",
    "requires" => requires: "Most jobs that one requires",
    "waves" => waves: "Most waves, where jobs come in waves",
    "job_seconds" => job_seconds: "Longest time of a job in seconds, where your CI gives less or more than usual; builds that run until shortly before are ended",
    "config_bytes" => config_bytes: "Most bytes of the compiled configuration",
});

impl CostsEntry {
    /// Puts the values of `--cost KEY=VALUE` over those of the file. The key of a class's credits is `credits.CLASS`.
    fn with_flags(mut self, flags: &[String]) -> Result<Self> {
        const KEYS: [&str; 15] = [
            "start_up",
            "layer",
            "queue",
            "fetch",
            "local",
            "ordinary",
            "big_parallel",
            "bytes",
            "bandwidth",
            "credits.CLASS",
            "rounding",
            "storage",
            "egress",
            "credit",
            "currency",
        ];
        for text in flags {
            let shown = text.escape_debug().to_string();
            let (key, value) = text
                .split_once('=')
                .with_context(|| usage(format!("`--cost {shown}` has no value (expected e.g. `start_up=30`)")))?;
            if key == "currency" {
                self.currency = Some(value.trim().to_owned());
                continue;
            }
            let number: f64 =
                value.trim().parse().ok().with_context(|| usage(format!("`--cost {shown}` is not a number")))?;
            let seconds = || Seconds::new(number).with_context(|| usage(format!("`--cost {shown}`")));
            let amount = || Amount::new(number).with_context(|| usage(format!("`--cost {shown}`")));
            match key {
                "start_up" => self.start_up = Some(seconds()?),
                "layer" => self.layer = Some(seconds()?),
                "queue" => self.queue = Some(seconds()?),
                "fetch" => self.fetch = Some(seconds()?),
                "local" => self.local = Some(seconds()?),
                "ordinary" => self.ordinary = Some(seconds()?),
                "big_parallel" => self.big_parallel = Some(seconds()?),
                "bytes" => self.bytes = Some(amount()?),
                "bandwidth" => self.bandwidth = Some(amount()?),
                "rounding" => self.rounding = Some(seconds()?),
                "storage" => self.storage = Some(amount()?),
                "egress" => self.egress = Some(amount()?),
                "credit" => self.credit = Some(Price::new(number).with_context(|| usage(format!("`--cost {shown}`")))?),
                _ => match key.strip_prefix("credits.") {
                    Some(class) => {
                        self.credits.get_or_insert_default().insert(class.to_owned(), amount()?);
                    }
                    None => bail!(usage(format!("`--cost {shown}` names no cost{}", meant_or_known(key, KEYS)))),
                },
            }
        }
        Ok(self)
    }
}

/// The cost model that file and flags come to, but for concurrency and history; prices go to the executors.
pub fn resolve(entry: Option<&CostsEntry>, flags: &[String], fleet: &mut Fleet) -> Result<CostModel> {
    let entry = entry.cloned().unwrap_or_default().with_flags(flags)?;
    for (class, price) in entry.credits.iter().flatten() {
        let mut known = fleet.offers.is_known(class);
        for executor in fleet.executors.iter_mut().filter(|executor| executor.resource_class == *class) {
            executor.credits_per_minute = u32::try_from(price.0).unwrap_or(u32::MAX);
            known = true;
        }
        let classes = || fleet.executors.iter().map(|executor| executor.resource_class.as_str());
        ensure!(
            known,
            "`costs`: no executor has the resource class `{}` (in use: {})",
            class.escape_debug(),
            classes().collect::<Vec<_>>().join(", ")
        );
    }
    if let Some(currency) = &entry.currency {
        let is_word = (1..=8).contains(&currency.chars().count()) && !currency.contains(char::is_control);
        ensure!(is_word, "`costs`: the currency `{}` is not a word of up to 8 letters", currency.escape_debug());
    }
    let default = CostModel::default();
    let or = |entry: Option<Seconds>, default| entry.map_or(default, |seconds| seconds.0);
    let credits = entry.credits.into_iter().flatten();
    let prices = PriceTable {
        rounding: or(entry.rounding, fleet.rounding),
        storage: entry.storage.map(|amount| amount.0),
        egress: entry.egress.map(|amount| amount.0),
        credit: entry.credit.map(|price| price.0),
        currency: entry.currency,
    };
    Ok(CostModel {
        prices,
        credits: credits.map(|(class, price)| (class, u32::try_from(price.0).unwrap_or(u32::MAX))).collect(),
        start_up: or(entry.start_up, default.start_up),
        layer: or(entry.layer, default.layer),
        queue: or(entry.queue, default.queue),
        fetch: or(entry.fetch, default.fetch),
        local: or(entry.local, default.local),
        default: or(entry.ordinary, default.default),
        // A derivation that says that it is large takes no less than one that says nothing.
        big_parallel: or(entry.big_parallel, or(entry.ordinary, default.big_parallel).max(default.big_parallel)),
        fits: [entry.fetch, entry.local, entry.ordinary, entry.big_parallel].iter().all(Option::is_none),
        fits_start_up: entry.start_up.is_none(),
        bytes: entry.bytes.map(|bytes| bytes.0),
        bandwidth: entry.bandwidth.map(|bandwidth| bandwidth.0),
        ..default
    })
}

/// What the provider allows, and what the user does: the lower of each, but for what the provider only has as a default: a number of jobs, and
/// how long one may run.
/// `handoff` is how results travel, where somebody says so.
pub fn limits(
    provider: provider::limits::Limits,
    entry: Option<&LimitsEntry>,
    max_jobs: Option<u32>,
    handoff: Option<HandOffKind>,
) -> PlanLimits {
    let none = LimitsEntry::default();
    let entry = entry.unwrap_or(&none);
    let lower = |limits: &[Option<u64>]| limits.iter().copied().flatten().min();
    let count = |count: Option<Count>| count.map(|count| u64::from(count.0));
    let config = entry.config_bytes.zip(provider.job_bytes).map(|(bytes, job)| (bytes.0 / job).max(1));
    let said = lower(&[max_jobs.map(u64::from), count(entry.jobs)]);
    let allowed = provider.jobs.filter(|_| !provider.jobs_vary || said.is_none());
    let may_need_relays = !matches!(handoff, Some(HandOffKind::Artifacts | HandOffKind::Cache));
    let relays = provider.relays.filter(|_| may_need_relays);
    let allowed = allowed.map(|jobs| jobs - relays.map_or(0, |of| jobs / of));
    let jobs = [allowed.map(u64::from), said, config];
    PlanLimits {
        jobs: lower(&jobs).map(|most| most as usize),
        inputs: provider.inputs.filter(|_| handoff == Some(HandOffKind::Artifacts)).map(|most| most as usize),
        requires: lower(&[provider.requires.map(u64::from), count(entry.requires)]).map(|most| most as usize),
        waves: provider.waves.map(|waves| Waves {
            count: lower(&[Some(u64::from(waves.count)), count(entry.waves)]).unwrap_or(1) as usize,
            jobs: waves.jobs as usize,
        }),
        worker_names: provider.worker_names.map(|most| most as usize),
        job_length: count(entry.job_seconds).or(provider.job_seconds).map(|seconds| seconds * 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::SettingsFile;
    use super::*;
    use crate::fleet::example;

    fn model(text: &str, flags: &[&str]) -> Result<CostModel> {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.into()).collect();
        resolve(SettingsFile::parse(text)?.planning.cost.as_ref(), &flags, &mut example::fleet())
    }

    #[test]
    fn flags_win_over_the_file_and_that_over_the_defaults() {
        let costs =
            model("costs: {start_up: 20.5, layer: 0, bandwidth: 1e8}", &["layer=1.25", "big_parallel=900"]).unwrap();
        assert_eq!(
            (costs.start_up, costs.layer, costs.bandwidth, costs.big_parallel),
            (20_500, 1_250, Some(100_000_000), 900_000)
        );
        assert_eq!(model("", &[]).unwrap(), CostModel::default());
        let prices =
            model("costs: {rounding: 60, storage: 420, credit: 0.0006, currency: USD}", &["egress=7", "currency= EUR"]);
        let expected = PriceTable {
            rounding: 60_000,
            storage: Some(420),
            egress: Some(7),
            credit: Some(600),
            currency: Some("EUR".into()),
        };
        assert_eq!(prices.unwrap().prices, expected);
    }

    #[test]
    fn prices_go_to_the_executors_of_a_class() {
        let mut fleet = example::fleet();
        let class = fleet.executors[0].resource_class.clone();
        resolve(None, &[format!("credits.{class}=33")], &mut fleet).unwrap();
        assert_eq!(fleet.executors[0].credits_per_minute, 33);
        assert!(resolve(None, &["credits.none=1".into()], &mut fleet).is_err());
    }

    #[test]
    fn what_is_no_cost_is_refused_with_its_place() {
        for (text, what) in [
            ("costs:\n  start_upp: 3", "did you mean `start_up`?"),
            ("costs:\n  layer: -1", "line 2"),
            ("costs:\n  layer: .inf", "line 2"),
            ("costs:\n  layer: soon", "a number of seconds"),
            ("costs:\n  credit: -1", "line 2"),
            ("limits:\n  job: 3", "did you mean `jobs`?"),
        ] {
            let error = format!("{:#}", SettingsFile::parse(text).unwrap_err());
            assert!(error.contains(what), "{text}: {error}");
        }
        for flag in ["layer", "layer=x", "layer=-1", "layers=1", "layer=nan", "currency=", "currency=nine words"] {
            assert!(model("", &[flag]).is_err(), "{flag}");
        }
    }

    #[test]
    fn the_lower_limit_counts() {
        let file =
            SettingsFile::parse("limits: {jobs: 50, requires: 9, job_seconds: 600, config_bytes: 100000}").unwrap();
        let provider = provider::Provider::default().limits();
        let found = limits(provider, file.planning.limits.as_ref(), None, None);
        assert_eq!((found.jobs, found.requires, found.job_length), (Some(25), Some(9), Some(600_000)));
        assert_eq!(limits(provider, file.planning.limits.as_ref(), Some(7), None).jobs, Some(7));
        let gitlab = provider::Provider::GitLab.limits();
        assert_eq!(
            [Some(HandOffKind::Artifacts), None].map(|handoff| limits(gitlab, None, None, handoff).inputs),
            [Some(50), None]
        );
        // What GitLab allows depends on the plan or the server; what CircleCI does not.
        assert_eq!(
            [None, Some(7), Some(9_000)].map(|most| limits(gitlab, None, most, None).jobs),
            [441, 7, 9_000].map(Some)
        );
        // Only what goes through the registry of packages may need jobs that pass it on.
        let stores = [HandOffKind::Cache, HandOffKind::Artifacts, HandOffKind::Packages];
        assert_eq!(stores.map(|handoff| limits(gitlab, None, None, Some(handoff)).jobs), [490, 490, 441].map(Some));
        assert_eq!(limits(provider, None, Some(9_000), None).jobs, limits(provider, None, None, None).jobs);
        // A provider that publishes no number limits nothing.
        let none = provider::limits::Limits {
            jobs: None,
            jobs_vary: false,
            relays: None,
            requires: None,
            inputs: None,
            waves: None,
            worker_names: None,
            job_seconds: None,
            compiled_bytes: None,
            job_bytes: None,
        };
        let found = limits(none, None, None, Some(HandOffKind::Artifacts));
        assert_eq!((found.jobs, found.requires, found.job_length), (None, None, None));
        assert_eq!(limits(none, file.planning.limits.as_ref(), None, None).jobs, Some(50));
    }
}
