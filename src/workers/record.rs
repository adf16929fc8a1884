//! The record of a worker: what the records of its tasks say together.

use crate::build::record::Record;

/// Adds the record of one task to that of the worker.
pub fn add(all: &mut Record, one: Record) {
    all.errors.extend(one.errors);
    all.survived.extend(one.survived);
    all.derivations.extend(one.derivations);
    all.missing.extend(one.missing);
    all.damaged.extend(one.damaged);
    // Several tasks may keep the same target waiting.
    one.waiting.into_iter().for_each(|target| {
        if !all.waiting.contains(&target) {
            all.waiting.push(target);
        }
    });
    all.fetched += one.fetched;
    all.handed_off = all.handed_off.and(one.handed_off);
    for pushed in one.pushed {
        match all
            .pushed
            .iter_mut()
            .find(|known| known.to == pushed.to && known.error.is_none() && pushed.error.is_none())
        {
            Some(known) => known.paths += pushed.paths,
            None => all.pushed.push(pushed),
        }
    }
    let memory = all.measured.memory.max(one.measured.memory);
    let disk = all.measured.disk.max(one.measured.disk);
    (all.measured.memory, all.measured.disk, all.measured.cores) = (memory, disk, one.measured.cores);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::record::Pushed;

    #[test]
    fn what_several_tasks_say_of_the_same_is_said_once() {
        let pushed = |paths| Pushed { paths, ..Pushed::to("s3://bucket".into()) };
        let one = |waiting: &[&str], paths| Record {
            waiting: waiting.iter().map(|&target| target.to_owned()).collect(),
            pushed: vec![pushed(paths)],
            ..Record::begin("task", "task", "x86_64-linux")
        };
        let mut all = Record::begin("nixdag-worker-0", "nixdag-worker-0", "x86_64-linux");
        add(&mut all, one(&["release", "docs"], 2));
        add(&mut all, one(&["release"], 3));
        assert_eq!((all.waiting, all.pushed), (vec!["release".to_owned(), "docs".to_owned()], vec![pushed(5)]));
    }
}
