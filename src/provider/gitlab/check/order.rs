//! The order of jobs: no circle of needs, and none of a job in a later stage.

use std::collections::BTreeMap;

use super::read::ReadJob;

pub(super) fn check(jobs: &[ReadJob], stages: &[String], problems: &mut Vec<String>) {
    let position: BTreeMap<&str, usize> = jobs.iter().enumerate().map(|(at, job)| (job.name.as_str(), at)).collect();
    let before: Vec<Vec<usize>> = jobs
        .iter()
        .map(|job| job.needs.iter().flatten().filter_map(|need| position.get(need.as_str()).copied()).collect())
        .collect();
    let stage: Vec<Option<usize>> =
        jobs.iter().map(|job| stages.iter().position(|known| *known == job.stage())).collect();
    for (at, needs) in before.iter().enumerate() {
        for &need in needs {
            if let (Some(own), Some(other)) = (stage[at], stage[need])
                && other > own
            {
                problems
                    .push(format!("job `{}` needs `{}`, which is in a later stage", jobs[at].name, jobs[need].name));
            }
        }
    }
    let mut open: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (at, needs) in before.iter().enumerate() {
        needs.iter().for_each(|&need| behind[need].push(at));
    }
    let mut ready: Vec<usize> = (0..jobs.len()).filter(|&at| open[at] == 0).collect();
    let mut done = 0;
    while let Some(at) = ready.pop() {
        done += 1;
        for &next in &behind[at] {
            open[next] -= 1;
            if open[next] == 0 {
                ready.push(next);
            }
        }
    }
    if done < jobs.len() {
        let circle: Vec<String> =
            jobs.iter().zip(&open).filter(|(_, open)| **open > 0).map(|(job, _)| format!("`{}`", job.name)).collect();
        problems.push(format!("these jobs wait for each other: {}", circle.join(", ")));
    }
}
