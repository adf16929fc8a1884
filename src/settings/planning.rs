//! What the planner is asked for: the options that shape a plan, from flags and `nixdag.yml`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::aim::{AimParser, AimValue};
use super::costs::{CostsEntry, LimitsEntry};
use super::option::options;
use super::schema::Schema;
use super::values::{Count, Number};
use crate::plan::model::{Granularity, Mode};
use crate::whole_number::whole;

options! {
    /// How derivations become jobs
    "Planning": PlanningFlags, PlanningKeys, PlanningOptions {
        /// What builds: jobs, jobs in waves (on GitHub), or workers, machines that take one derivation after another
        mode {
            flag Option<Mode> [value_enum];
            key "mode": Mode;
            optional Mode;
            unset: "waves on GitHub, else jobs";
            orb Choice "mode";
        }
        /// Where workers talk: a bucket (`s3://bucket?region=…`) or a folder that all machines see
        worker_store {
            flag Option<String> [value_name = "URL"];
            key "worker_store": String;
            optional String;
            unset: "whoever starts workers names it";
            no orb: "nixdag.yml has it";
        }
        /// How derivations share jobs
        granularity {
            flag Option<Granularity> [value_enum];
            key "granularity": Granularity;
            default Granularity = Granularity::default();
            orb Choice "granularity";
        }
        /// Wall time against machine time, or the seconds of waiting that a machine minute is worth
        objective {
            flag Option<AimValue> [value_name = "OBJECTIVE", value_parser = AimParser];
            key "objective": AimValue;
            default AimValue = AimValue::default();
            orb Text "objective";
        }
        /// Largest number of jobs in the plan
        max_jobs {
            flag Option<u32> [value_name = "N", value_parser = whole::<u32>(1, u32::MAX)];
            key "max_jobs": Count;
            optional u32;
            unset: "the provider's limit";
            orb Text "max_jobs";
        }
        /// Most credits that the jobs may take together: cheaper objectives and then granularities are tried
        max_credits {
            flag Option<u32> [value_name = "N", value_parser = whole::<u32>(1, u32::MAX)];
            key "max_credits": Count;
            optional u32;
            unset: "no limit";
            no orb: "nixdag.yml has it";
        }
        /// How many times its own build time a job keeps free before its deadline; 0 trusts the guesses
        reserve {
            flag Option<Reserve> [value_name = "K"];
            key "reserve": Reserve;
            optional Reserve;
            unset: "by objective, 0 for recorded times";
            orb Text "reserve";
        }
        /// How many percent longer and dearer a plan may be that keeps the jobs of the last one
        keep_plan {
            flag Option<u32> [value_name = "PERCENT", value_parser = whole::<u32>(0, 100)];
            key "keep_plan": Number<0, 100>;
            default u32 = 3;
            no orb: "nixdag.yml has it";
        }
        /// Jobs that run at once, as your CircleCI plan allows
        concurrency {
            flag Option<u32> [value_name = "N", value_parser = whole::<u32>(1, u32::MAX)];
            key "concurrency": Count;
            optional u32;
            unset: "as many as the provider's usual plan allows: 80 on CircleCI, 20 on GitHub";
            orb Text "concurrency";
        }
        /// What earlier pipelines have measured: a `records.json` file, a folder that holds some, or the store that they hand on through
        history {
            flag Vec<PathBuf> [value_name = "FILE|DIR|URL"];
            no key: "names files that earlier pipelines have left";
            no orb: "`extra_arguments` passes it on";
        }
        /// Cost of something, instead of `costs` in nixdag.yml: seconds of start_up, layer, queue, fetch, local, ordinary, big_parallel, rounding; bytes; bandwidth; credits.CLASS; storage; egress; credit; or the currency
        cost {
            flag Vec<String> [value_name = "KEY=VALUE"];
            key "costs": CostsEntry;
            no orb: "nixdag.yml has it";
        }
        /// Limits of the plan, below those of the provider
        limits {
            no flag: "it is a mapping; `--max-jobs` is the limit that changes from call to call";
            key "limits": LimitsEntry;
            no orb: "nixdag.yml has it";
        }
    }
}

/// How many times its own build time a job keeps free: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Reserve(pub f64);

impl Reserve {
    const EXPECTED: &'static str = "a number from 0 to 100";

    fn new(number: f64) -> Result<Self> {
        ensure!((0.0..=100.0).contains(&number), "`{number}`, expected {}", Self::EXPECTED);
        Ok(Self(number))
    }
}

impl Eq for Reserve {} // never NaN

impl FromStr for Reserve {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text.parse().ok().with_context(|| format!("expected {}", Self::EXPECTED))?)
    }
}

impl Schema for Reserve {
    fn schema() -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": 100 })
    }
}

impl<'de> Deserialize<'de> for Reserve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = Reserve;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(Reserve::EXPECTED)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Reserve, E> {
                self.visit_f64(number as f64)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Reserve, E> {
                Reserve::new(number).map_err(|error| E::custom(format!("{error:#}")))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::SettingsFile;
    use super::super::selection::{SelectionFlags, SelectionOptions};
    use super::*;
    use crate::plan::model::{Aim, Objective};

    #[test]
    fn a_flag_wins_over_a_key_and_that_over_the_default() {
        let file =
            SettingsFile::parse("granularity: auto\nobjective: cost\nmax_jobs: 7\nreserve: 0.5\nstrict: true").unwrap();
        let flags = PlanningFlags { granularity: Some(Granularity::Single), ..PlanningFlags::default() };
        let resolved = PlanningOptions::new(&flags, &file.planning);
        assert_eq!(
            (resolved.granularity, resolved.objective.0),
            (Granularity::Single, Aim::Objective(Objective::Cost))
        );
        assert_eq!((resolved.max_jobs, resolved.reserve), (Some(7), Some(Reserve(0.5))));
        for (flag, strict) in [(None, true), (Some(false), false)] {
            let flags = SelectionFlags { strict: flag, ..SelectionFlags::default() };
            assert_eq!(SelectionOptions::new(&flags, &file.selection).strict, strict);
        }
    }

    #[test]
    fn keys_have_the_bounds_of_their_flags() {
        for (text, words) in [
            ("granularity: targets", "did you mean `target`?"),
            ("max_jobs: 0", "a whole number from 1 on"),
            ("reserve: 101", "`101`, expected a number from 0 to 100"),
            ("reserve: .nan", "expected a number from 0 to 100"),
            ("cache_timeout: 0", "a whole number from 1 to 3600"),
        ] {
            let error = format!("{:#}", SettingsFile::parse(text).unwrap_err());
            assert!(error.contains(words) && error.contains("line 1"), "{text}: {error}");
        }
    }
}
