//! How a job of GitLab gets what more jobs have left than it may need: through relays, jobs that take the artifacts of others and pass them on
//! as they are.
//!
//! In: the jobs of a plan, and how many one may need. Out: what each job needs, and the relays. No job that builds passes on what another has left:
//! whatever runs there could put something of its own in that one's place. A relay runs nothing of anybody's.

use std::collections::BTreeSet;

use crate::plan::{Job, JobIndex};

/// The hidden job that all relays extend; no executor has a slash in its name.
pub const HIDDEN: &str = ".nixdag/relay";

/// What a job, or a relay, takes the artifacts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The relay at this position.
    Relay(usize),
    /// A job of the plan.
    Job(JobIndex),
}

/// All needs of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Those of each job, in the order of the plan.
    pub jobs: Vec<Vec<Need>>,
    /// Those of each relay; none needs a later one.
    pub relays: Vec<Vec<Need>>,
}

/// The needs of jobs, in this order, all of whose inputs reach them. `most` are allowed for each, one of which stays free for what is not of
/// the plan.
pub fn of<'j>(jobs: impl IntoIterator<Item = &'j Job>, most: usize) -> Needs {
    let most = most.saturating_sub(1).max(2);
    let mut needs = Needs { jobs: Vec::new(), relays: Vec::new() };
    // What each relay passes on.
    let mut passed: Vec<BTreeSet<JobIndex>> = Vec::new();
    for job in jobs {
        let mut open: BTreeSet<JobIndex> = job.inputs.iter().copied().collect();
        let mut own = Vec::new();
        if open.len() > most {
            // Those of the jobs before, the largest first: a relay that passes on something else would be waited for in vain.
            let mut known: Vec<usize> = (0..passed.len()).filter(|&at| passed[at].is_subset(&open)).collect();
            known.sort_by_key(|&at| std::cmp::Reverse(passed[at].len()));
            for at in known {
                if open.len() + own.len() > most && passed[at].iter().filter(|job| open.contains(job)).count() > 1 {
                    open.retain(|job| !passed[at].contains(job));
                    own.push(Need::Relay(at));
                }
            }
        }
        own.extend(open.into_iter().map(Need::Job));
        while own.len() > most {
            let part: Vec<Need> = own.drain(..most).collect();
            let of = |need: &Need| match *need {
                Need::Relay(at) => passed[at].clone(),
                Need::Job(job) => BTreeSet::from([job]),
            };
            passed.push(part.iter().flat_map(of).collect());
            own.push(Need::Relay(needs.relays.len()));
            needs.relays.push(part);
        }
        needs.jobs.push(own);
    }
    needs
}

/// What a relay is called: no job of a plan has a slash in its name.
pub fn name(number: usize) -> String {
    format!("relay/{number}")
}

/// The names of needs; `jobs` are those of the plan's jobs.
pub fn names(needs: &[Need], jobs: &[&str]) -> Vec<String> {
    let name = |need: &Need| match *need {
        Need::Relay(at) => name(at + 1),
        Need::Job(index) => jobs[index.at()].to_owned(),
    };
    needs.iter().map(name).collect()
}
