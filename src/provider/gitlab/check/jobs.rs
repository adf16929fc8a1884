//! Jobs: names, how many there are and how many each needs, scripts, times, hidden jobs that they extend.

use std::collections::BTreeSet;

use serde_yaml::Value;

use super::super::limits::{NEEDS, OWN_JOBS};
use super::super::names::{KEYWORDS, MAX_NAME};
use super::read::ReadJob;
use crate::provider::limits::Limits;
use crate::provider::yaml::lenient::{text, text_list};

/// Most jobs of other pipelines that one job can need.
const MAX_ACROSS: usize = 5;

/// Seconds that a job may be given: ten minutes to a month.
const TIMEOUT: std::ops::RangeInclusive<u64> = 600..=30 * 24 * 3600;

/// Reasons for another try.
const REASONS: [&str; 14] = [
    "always",
    "unknown_failure",
    "script_failure",
    "api_failure",
    "stuck_or_timeout_failure",
    "runner_system_failure",
    "runner_unsupported",
    "stale_schedule",
    "job_execution_timeout",
    "archived_failure",
    "unmet_prerequisites",
    "scheduler_failure",
    "data_integrity_failure",
    "missing_dependency_failure",
];

/// What a pipeline is.
pub(super) struct Scope<'a> {
    /// True for the names of the user's own jobs.
    pub is_own: &'a dyn Fn(&str) -> bool,
    /// It includes something that is not at hand.
    pub is_part: bool,
}

pub(super) fn check(jobs: &[ReadJob], stages: &[String], limits: &Limits, scope: &Scope, problems: &mut Vec<String>) {
    if let Some(most) = limits.jobs.map(|most| most + OWN_JOBS).filter(|most| jobs.len() > *most as usize) {
        problems.push(format!(
            "the pipeline has {} jobs, {most} are allowed (a lower `--max-jobs` makes fewer, a higher one says that your GitLab allows more)",
            jobs.len()
        ));
    }
    let names: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    for job in jobs {
        name(&job.name, scope.is_own, problems);
        needs(job, &names, scope.is_part, problems);
        let place = format!("job `{}`", job.name);
        let get = |key: &str| job.get(key);
        let runs = ["script", "trigger", "run"].iter().any(|key| get(key).is_some_and(|value| !is_empty(value)));
        if !runs && !scope.is_part {
            problems.push(format!("{place} has no script"));
        }
        let stage = job.stage();
        if !stages.contains(&stage) && !scope.is_part {
            problems.push(format!("{place} is in the stage `{stage}`, which is not defined"));
        }
        if let Some(timeout) = get("timeout").map(text)
            && seconds(&timeout).is_none_or(|seconds| !TIMEOUT.contains(&seconds))
        {
            problems.push(format!("{place} has the timeout `{timeout}` (expected ten minutes to a month, as `3h`)"));
        }
        retry(get("retry"), &place, problems);
        for need in text_list(get("dependencies")) {
            if !names.contains(&*need) && !scope.is_part {
                problems.push(format!("{place} depends on `{need}`, which is not a job"));
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Sequence(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

fn name(name: &str, is_own: &dyn Fn(&str) -> bool, problems: &mut Vec<String>) {
    if name.is_empty() || name.chars().count() > MAX_NAME {
        problems.push(format!("the job name `{name}` does not have 1 to {MAX_NAME} characters"));
    }
    // `pages` deploys GitLab's pages, which users may mean.
    let is_meant = name == "pages" && is_own(name);
    if KEYWORDS.contains(&&*name.to_lowercase()) && !is_meant {
        problems.push(format!("`{name}` is a word of GitLab's language and cannot be a job's name"));
    }
    if name.contains(char::is_control) {
        problems.push(format!("the job name `{}` holds control characters", name.escape_debug()));
    }
}

fn needs(job: &ReadJob, names: &BTreeSet<&str>, is_part: bool, problems: &mut Vec<String>) {
    let own = job.needs.as_deref().unwrap_or_default();
    if own.len() > NEEDS as usize {
        problems.push(format!("job `{}` needs {} jobs, {NEEDS} are allowed", job.name, own.len()));
    }
    if job.across > MAX_ACROSS {
        problems
            .push(format!("job `{}` needs {} jobs of other pipelines, {MAX_ACROSS} are allowed", job.name, job.across));
    }
    for need in own.iter().filter(|need| !names.contains(need.as_str()) && !is_part) {
        problems.push(format!("job `{}` needs `{need}`, which is not a job", job.name));
    }
}

fn retry(value: Option<&Value>, place: &str, problems: &mut Vec<String>) {
    let Some(value) = value else { return };
    let max = value.get("max").unwrap_or(value);
    if max.as_u64().is_none_or(|max| max > 2) {
        problems.push(format!("{place} is tried again `{}` times, 0 to 2 are allowed", text(max)));
    }
    for reason in text_list(value.get("when")) {
        if !REASONS.contains(&&*reason) {
            problems.push(format!("{place} is tried again after `{reason}`, which is not a reason that GitLab knows"));
        }
    }
}

/// Seconds of a time such as `3h`, `90 minutes`, `1h 30m`.
fn seconds(text: &str) -> Option<u64> {
    let mut total: Option<u64> = None;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 24 * 3600,
            "w" | "week" | "weeks" => 7 * 24 * 3600,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = Some(total.unwrap_or(0).checked_add(number.checked_mul(unit)?)?);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(
            ["3h", "1h 30m", "90 minutes", "1 week"].map(seconds),
            [Some(10_800), Some(5_400), Some(5_400), Some(604_800)]
        );
        assert_eq!(["", "3", "soon", "1 fortnight", "99999999999999999999h", "-1h"].map(seconds), [None; 6]);
    }
}
