//! Time: builds on the slots of one job, and jobs on the machines of a fleet.
//!
//! In: durations and what waits for what. Out: when everything ends. Both are list schedules: nobody waits while something could run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::problem::{ANY_SYSTEM, Adjacency, Millis, Node, Problem, System};

/// The machines that jobs run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// From a job's start to its first build.
    pub start_up: Millis,
    /// Jobs that run at once.
    pub concurrency: u32,
    /// Slots and credits a minute of the machines of each system, by its number; the first entry serves [`ANY_SYSTEM`].
    machines: Vec<(u32, u32)>,
}

impl Fleet {
    /// `machines` holds slots and credits a minute by system number.
    pub fn new(start_up: Millis, concurrency: u32, mut machines: Vec<(u32, u32)>) -> Self {
        if machines.is_empty() {
            machines.push((1, 0));
        }
        for (slots, _) in &mut machines {
            *slots = (*slots).max(1);
        }
        Self { start_up, concurrency: concurrency.max(1), machines }
    }

    /// The same machine for every system.
    pub fn uniform(start_up: Millis, slots: u32, concurrency: u32) -> Self {
        Self::new(start_up, concurrency, vec![(slots, 0)])
    }

    fn machine(&self, system: System) -> (u32, u32) {
        let index = if system == ANY_SYSTEM { 0 } else { usize::from(system) };
        *self.machines.get(index).unwrap_or(&self.machines[0])
    }

    /// Derivations that a job of this system builds at once.
    pub fn slots(&self, system: System) -> u32 {
        self.machine(system).0
    }

    /// The largest number of slots of any machine.
    pub fn most_slots(&self) -> u32 {
        self.machines.iter().map(|(slots, _)| *slots).max().unwrap_or(1)
    }

    /// What a job of this length costs, rounded up to a whole credit.
    pub fn credits(&self, system: System, duration: Millis) -> u64 {
        (duration * u64::from(self.machine(system).1)).div_ceil(60_000)
    }
}

/// When a job's builds end, in milliseconds after the first can start: a list schedule, longest tail first.
///
/// `nodes` ascend, so inputs stand before consumers. What is built elsewhere is there from the start.
pub fn build_time(problem: &Problem, nodes: &[Node], slots: u32) -> Millis {
    if let [only] = nodes {
        return problem.duration[*only as usize];
    }
    let position = |node: Node| nodes.binary_search(&node).ok();
    let inputs = Adjacency::from_lists(
        nodes
            .iter()
            .map(|&node| problem.inputs.of(node).iter().filter_map(|&input| Some(position(input)? as Node)).collect()),
    );
    let consumers = inputs.reversed();
    let mut tail = vec![0; nodes.len()];
    for index in (0..nodes.len()).rev() {
        let after = consumers.of(index as Node).iter().map(|&consumer| tail[consumer as usize]).max().unwrap_or(0);
        tail[index] = after + problem.duration[nodes[index] as usize];
    }
    let mut waiting: Vec<usize> = (0..nodes.len()).map(|index| inputs.of(index as Node).len()).collect();
    let mut ready: BinaryHeap<(Millis, Reverse<usize>)> =
        (0..nodes.len()).filter(|&index| waiting[index] == 0).map(|index| (tail[index], Reverse(index))).collect();
    let mut running: BinaryHeap<Reverse<(Millis, usize)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while running.len() < slots as usize
            && let Some((_, Reverse(index))) = ready.pop()
        {
            running.push(Reverse((now + problem.duration[nodes[index] as usize], index)));
        }
        let Some(Reverse((end, index))) = running.pop() else { return now };
        now = end;
        for &consumer in consumers.of(index as Node) {
            waiting[consumer as usize] -= 1;
            if waiting[consumer as usize] == 0 {
                ready.push((tail[consumer as usize], Reverse(consumer as usize)));
            }
        }
    }
}

/// When jobs start and end, in milliseconds after the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// When each job starts; for what is no job, when all its inputs have ended.
    pub start: Vec<Millis>,
    /// When the last job ends.
    pub makespan: Millis,
}

/// Runs jobs in the order in which they become ready, at most `concurrency` at once.
///
/// `durations[i]` is none for what is no job and ends as soon as its inputs have. `inputs` is acyclic, in any numbering.
pub fn simulate(durations: &[Option<Millis>], inputs: &Adjacency, concurrency: u32) -> Timeline {
    let consumers = inputs.reversed();
    let mut waiting: Vec<u32> = (0..durations.len()).map(|job| inputs.of(job as Node).len() as u32).collect();
    let mut timeline = Timeline { start: vec![0; durations.len()], makespan: 0 };
    // By the time at which a job became ready, then by number.
    let mut ready: BinaryHeap<Reverse<(Millis, usize)>> = BinaryHeap::new();
    let mut running: BinaryHeap<Reverse<(Millis, usize)>> = BinaryHeap::new();
    let mut ended: Vec<usize> = Vec::new();
    let mut now = 0;
    for job in 0..durations.len() {
        if waiting[job] == 0 {
            if durations[job].is_some() { ready.push(Reverse((0, job))) } else { ended.push(job) }
        }
    }
    loop {
        while let Some(job) = ended.pop() {
            for &consumer in consumers.of(job as Node) {
                let consumer = consumer as usize;
                waiting[consumer] -= 1;
                if waiting[consumer] == 0 {
                    timeline.start[consumer] = now;
                    if durations[consumer].is_some() {
                        ready.push(Reverse((now, consumer)))
                    } else {
                        ended.push(consumer)
                    }
                }
            }
        }
        while running.len() < concurrency as usize
            && let Some(Reverse((_, job))) = ready.pop()
        {
            timeline.start[job] = now;
            running.push(Reverse((now + durations[job].unwrap_or(0), job)));
        }
        let Some(Reverse((end, job))) = running.pop() else { break };
        now = end;
        timeline.makespan = now;
        ended.push(job);
        while let Some(&Reverse((end, job))) = running.peek()
            && end == now
        {
            running.pop();
            ended.push(job);
        }
    }
    timeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_job_takes_no_time_but_keeps_the_order() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![1]]);
        let timeline = simulate(&[Some(10), None, Some(5)], &inputs, 8);
        assert_eq!((timeline.makespan, timeline.start), (15, vec![0, 10, 10]));
    }

    #[test]
    fn machines_bound_what_runs_at_once() {
        let inputs = Adjacency::from_lists([vec![], vec![], vec![]]);
        let three = [Some(10), Some(10), Some(10)];
        assert_eq!(simulate(&three, &inputs, 2).makespan, 20);
        assert_eq!(simulate(&three, &inputs, 3).makespan, 10);
    }

    #[test]
    fn slots_bound_what_a_job_builds_at_once_and_the_longest_tail_goes_first() {
        // 3 is fed by 2; with two slots, starting 2 first ends at 20.
        let inputs = Adjacency::from_lists([vec![], vec![], vec![], vec![2]]);
        let problem = Problem { consumers: inputs.reversed(), inputs, duration: vec![10; 4], ..Problem::default() };
        assert_eq!(build_time(&problem, &[0, 1, 2, 3], 2), 20);
        assert_eq!(build_time(&problem, &[0, 1, 2, 3], 1), 40);
        assert_eq!(build_time(&problem, &[3], 1), 10);
    }
}
