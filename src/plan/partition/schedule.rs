//! How long a job takes: the list schedule of its derivations on the slots and in the memory of its machine.
//!
//! In: the nodes of a job, ascending. Out: milliseconds from the first derivation's start to the last one's end. Whenever a slot is free, the
//! ready derivation starts that Nix would begin, where durations are recorded, else that with the longest path to the end of the job, if there is memory for it beside what is being
//! built. Several derivations
//! that do not fit on the disk together take [`OVERFULL`]: no plan has such a job that can do without. This runs hundreds of thousands of times a
//! plan, so the arrays stay allocated, and memory and disk cost nothing where there is enough for everything.

use std::collections::BinaryHeap;

use super::units::without_shortcuts;
use crate::plan::model::Capacity;
use crate::plan::problem::{Adjacency, Millis, Node, Problem};
use crate::topological::InDegrees;

/// What starts first of what is ready: the smaller rank where there are ranks, else the longer path to the end, then the smaller position. One number, since most of a plan's time goes into
/// comparing these; paths of more than 49 days are as long as one of that length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Priority(u64);

impl Priority {
    #[inline(always)]
    fn of_tail(tail: Millis, position: u32) -> Self {
        Self(tail.min(u32::MAX.into()) << 32 | u64::from(!position))
    }

    #[inline(always)]
    fn of_rank(rank: u32, position: u32) -> Self {
        Self(u64::from(!rank) << 32 | u64::from(!position))
    }

    #[inline(always)]
    fn position(self) -> u32 {
        !(self.0 as u32)
    }
}

/// How long it takes to build what does not fit on the disk, milliseconds: longer than any job, and short enough to be added up.
pub const OVERFULL: Millis = 1 << 40;

/// A scheduler of one problem's nodes.
pub struct Scheduler<'a> {
    problem: &'a Problem,
    inputs: Adjacency,
    position: Vec<u32>,
    edges: Vec<(u32, u32)>,
    offsets: Vec<u32>,
    consumers: Vec<u32>,
    left: InDegrees,
    tail: Vec<Millis>,
    ready: BinaryHeap<Priority>,
    /// Ends and positions, at most one a slot: too few for a heap to pay.
    running: Vec<(Millis, u32)>,
    /// What is ready and found too little memory.
    held_up: Vec<Priority>,
    /// Bytes of all outputs, and the most memory that one node takes: where that is enough for all, no job need be looked at.
    all_bytes: u64,
    most_memory: u64,
    /// For [`Self::bytes`]: the last set in which a node was counted.
    counted: Vec<u32>,
    sets: u32,
}

impl<'a> Scheduler<'a> {
    /// A scheduler for sets of nodes of this problem.
    pub fn new(problem: &'a Problem) -> Self {
        Self {
            problem,
            inputs: without_shortcuts(&problem.inputs),
            position: vec![u32::MAX; problem.len()],
            edges: Vec::new(),
            offsets: Vec::new(),
            consumers: Vec::new(),
            left: InDegrees::default(),
            tail: Vec::new(),
            ready: BinaryHeap::new(),
            running: Vec::new(),
            held_up: Vec::new(),
            all_bytes: problem.bytes.iter().copied().fold(0, u64::saturating_add),
            most_memory: problem.memory.iter().copied().max().unwrap_or(0),
            counted: Vec::new(),
            sets: 0,
        }
    }

    /// Milliseconds that `nodes` (ascending, no repeats) take on a machine, without start-up.
    pub fn length(&mut self, nodes: &[Node], machine: Capacity) -> Millis {
        let problem = self.problem;
        self.length_with(nodes, machine, &problem.duration)
    }

    /// The same where it is at most `most` milliseconds. That it is longer is often seen long before the end.
    pub fn length_within(&mut self, nodes: &[Node], machine: Capacity, most: Millis) -> Option<Millis> {
        let problem = self.problem;
        self.schedule(nodes, machine, &problem.duration, most)
    }

    /// The same with other durations, one a node of the problem.
    pub fn length_with(&mut self, nodes: &[Node], machine: Capacity, duration: &[Millis]) -> Millis {
        self.schedule(nodes, machine, duration, Millis::MAX).unwrap_or(Millis::MAX)
    }

    /// Bytes that a job of these takes on its disk: what they leave, and what they take from other jobs.
    pub fn bytes(&mut self, nodes: &[Node]) -> u64 {
        let problem = self.problem;
        if self.all_bytes == 0 {
            return 0;
        }
        self.counted.resize(problem.len(), 0);
        self.sets += 1;
        let all = nodes.iter().chain(nodes.iter().flat_map(|&node| problem.inputs.of(node)));
        all.fold(0, |sum, &node| {
            let is_new = std::mem::replace(&mut self.counted[node as usize], self.sets) != self.sets;
            if is_new { sum.saturating_add(problem.bytes[node as usize]) } else { sum }
        })
    }

    fn schedule(&mut self, nodes: &[Node], machine: Capacity, duration: &[Millis], most: Millis) -> Option<Millis> {
        if let [node] = nodes {
            return Some(duration[*node as usize]).filter(|&length| length <= most);
        }
        let slots = machine.slots;
        if self.all_bytes > machine.disk && self.bytes(nodes) > machine.disk {
            return Some(OVERFULL).filter(|&length| length <= most);
        }
        let is_tight = self.most_memory.saturating_mul(slots as u64) > machine.memory;
        let work = self.measure_tails(nodes, duration);
        let longest = self.tail.iter().copied().max().unwrap_or(0);
        let room = most.saturating_mul(slots as Millis);
        if longest > most || work > room {
            return None;
        }
        if nodes.len() <= slots && !is_tight {
            return Some(longest);
        }
        let memory = is_tight.then_some(machine.memory);
        self.list_schedule(nodes, (slots, memory), duration, (most, room - work))
    }

    /// Fills `edges` between positions in `nodes`, and the longest path from each to the end; returns the sum of all durations.
    fn measure_tails(&mut self, nodes: &[Node], duration: &[Millis]) -> Millis {
        let mut work = 0;
        for (position, &node) in nodes.iter().enumerate() {
            self.position[node as usize] = position as u32;
        }
        self.edges.clear();
        self.tail.clear();
        self.tail.resize(nodes.len(), 0);
        for (position, &node) in nodes.iter().enumerate().rev() {
            let tail = self.tail[position] + duration[node as usize];
            self.tail[position] = tail;
            work += duration[node as usize];
            for &input in self.inputs.of(node) {
                let before = self.position[input as usize];
                if before != u32::MAX {
                    self.edges.push((before, position as u32));
                    let longest = &mut self.tail[before as usize];
                    *longest = tail.max(*longest);
                }
            }
        }
        for &node in nodes {
            self.position[node as usize] = u32::MAX;
        }
        work
    }

    /// None where it takes more than `most` milliseconds, or where the slots are idle for more than `idle` in all.
    fn list_schedule(
        &mut self,
        nodes: &[Node],
        (slots, memory): (usize, Option<u64>),
        duration: &[Millis],
        (most, mut idle): (Millis, Millis),
    ) -> Option<Millis> {
        self.offsets.clear();
        self.offsets.resize(nodes.len() + 1, 0);
        self.left.reset(nodes.len());
        for &(before, after) in &self.edges {
            self.offsets[before as usize + 1] += 1;
            self.left.add(after);
        }
        for position in 0..nodes.len() {
            self.offsets[position + 1] += self.offsets[position];
        }
        self.consumers.resize(self.edges.len(), 0);
        for &(before, after) in &self.edges {
            // Filled from the back, so that the offsets end up at the first consumer.
            let end = &mut self.offsets[before as usize + 1];
            *end -= 1;
            self.consumers[*end as usize] = after;
        }
        // After the fill `offsets[p + 1]` is where the consumers of `p` start; they end where those of `p + 1` start.
        let problem = self.problem;
        let priority = |tail: &[Millis], position: u32| match problem.rank.get(nodes[position as usize] as usize) {
            Some(&rank) => Priority::of_rank(rank, position),
            None => Priority::of_tail(tail[position as usize], position),
        };
        self.ready.extend(self.left.ready().map(|position| priority(&self.tail, position)));
        let mut now = 0;
        loop {
            while self.running.len() < slots {
                let Some(position) = self.ready.pop().map(Priority::position) else { break };
                if self.tail[position as usize] > most - now {
                    return self.given_up();
                }
                if memory.is_some_and(|memory| !self.has_memory(nodes, position, memory)) {
                    self.held_up.push(priority(&self.tail, position));
                    continue;
                }
                self.running.push((now + duration[nodes[position as usize] as usize], position));
            }
            self.ready.extend(self.held_up.drain(..));
            let Some(end) = self.running.iter().map(|(end, _)| *end).min() else { return Some(now) };
            let wasted = (slots - self.running.len()) as Millis * (end - now);
            if wasted > idle {
                return self.given_up();
            }
            idle -= wasted;
            now = end;
            let mut slot = 0;
            while let Some(&(end, position)) = self.running.get(slot) {
                if end > now {
                    slot += 1;
                    continue;
                }
                self.running.swap_remove(slot);
                let first = self.offsets[position as usize + 1] as usize;
                let last = self.offsets.get(position as usize + 2).map_or(self.edges.len(), |&next| next as usize);
                for index in first..last {
                    let after = self.consumers[index];
                    if self.left.arrive(after) {
                        self.ready.push(priority(&self.tail, after));
                    }
                }
            }
        }
    }

    /// True where a node has enough memory beside what is running: alone it always has, and so has one of which nothing is recorded.
    fn has_memory(&self, nodes: &[Node], position: u32, memory: u64) -> bool {
        let of = |position: u32| self.problem.memory[nodes[position as usize] as usize];
        if of(position) == 0 {
            return true;
        }
        let used = self.running.iter().map(|(_, running)| of(*running)).fold(0, u64::saturating_add);
        self.running.is_empty() || used.saturating_add(of(position)) <= memory
    }

    fn given_up(&mut self) -> Option<Millis> {
        self.ready.clear();
        self.held_up.clear();
        self.running.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(inputs: Vec<Vec<Node>>, duration: &[Millis], slots: usize) -> Millis {
        let problem =
            Problem { inputs: Adjacency::from_lists(inputs), duration: duration.to_vec(), ..Problem::default() };
        let nodes: Vec<Node> = (0..duration.len() as Node).collect();
        Scheduler::new(&problem).length(&nodes, Capacity::of_slots(slots))
    }

    #[test]
    fn the_longest_way_to_the_end_goes_first() {
        // Two slots: the chain 2 -> 3 of 60 starts at once, the two others share the other slot.
        assert_eq!(length(vec![vec![], vec![], vec![], vec![2]], &[20, 30, 30, 30], 2), 60);
    }

    #[test]
    fn where_there_are_ranks_they_say_what_goes_first() {
        // Two slots: the chain 2 -> 3 begins when both others have been built.
        let inputs = Adjacency::from_lists([vec![], vec![], vec![], vec![2]]);
        let problem = Problem { inputs, duration: vec![20, 30, 30, 30], rank: vec![0, 1, 3, 2], ..Problem::default() };
        let length = |problem: &Problem| Scheduler::new(problem).length(&[0, 1, 2, 3], Capacity::of_slots(2));
        assert_eq!((length(&problem), length(&problem.part(&[0, 1, 2, 3]))), (80, 80));
    }

    #[test]
    fn slots_bound_what_runs_at_once() {
        let apart = vec![vec![]; 5];
        assert_eq!(length(apart.clone(), &[60; 5], 4), 120);
        assert_eq!(length(apart.clone(), &[60; 5], 5), 60);
        assert_eq!(length(apart, &[60; 5], 1), 300);
    }

    #[test]
    fn what_takes_longer_than_allowed_is_none_and_nothing_is_left_of_it() {
        // A chain of 30 beside work of 80 on two slots: 55 at least, 60 as it is scheduled.
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![], vec![], vec![]]);
        let problem = Problem { inputs, duration: vec![10, 20, 20, 30, 30], ..Problem::default() };
        let mut scheduler = Scheduler::new(&problem);
        let all: Vec<Node> = (0..5).collect();
        let exact = scheduler.length(&all, Capacity::of_slots(2));
        for most in 0..=exact + 5 {
            assert_eq!(
                scheduler.length_within(&all, Capacity::of_slots(2), most),
                (most >= exact).then_some(exact),
                "{most}"
            );
        }
        assert_eq!(scheduler.length(&all, Capacity::of_slots(2)), exact);
        assert_eq!(scheduler.length_within(&[3], Capacity::of_slots(2), 29), None);
    }

    #[test]
    fn inputs_outside_the_job_do_not_count() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![1], vec![], vec![]]);
        let problem = Problem { inputs, duration: vec![900, 10, 20, 30, 40], ..Problem::default() };
        assert_eq!(Scheduler::new(&problem).length(&[1, 2, 3, 4], Capacity::of_slots(2)), 60);
    }

    #[test]
    fn memory_bounds_what_runs_at_once_and_what_is_light_goes_first() {
        let inputs = Adjacency::from_lists(vec![vec![]; 5]);
        let memory = vec![700, 700, 100, 100, 0];
        let problem = Problem { inputs, duration: vec![60, 60, 30, 30, 30], memory, ..Problem::default() };
        let length = |memory: u64| {
            let machine = Capacity { memory, ..Capacity::of_slots(4) };
            Scheduler::new(&problem).length(&[0, 1, 2, 3, 4], machine)
        };
        // Both heavy ones at once, or one after the other with the light ones beside the first.
        assert_eq!((length(1_400), length(1_399), length(10)), (90, 120, 180));
        let mut scheduler = Scheduler::new(&problem);
        let machine = Capacity { memory: 800, ..Capacity::of_slots(4) };
        for most in 0..130 {
            let within = scheduler.length_within(&[0, 1, 2, 3, 4], machine, most);
            assert_eq!(within, (most >= 120).then_some(120), "{most}");
        }
        assert_eq!(scheduler.length(&[0, 1], machine), 120, "fewer than slots");
    }

    #[test]
    fn what_does_not_fit_on_the_disk_with_what_it_takes_is_overfull() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![0], vec![1, 2]]);
        let bytes = vec![40, 10, 10, 10];
        let problem = Problem { inputs, duration: vec![1; 4], bytes, ..Problem::default() };
        let mut scheduler = Scheduler::new(&problem);
        assert_eq!((scheduler.bytes(&[1, 2]), scheduler.bytes(&[3]), scheduler.bytes(&[0, 1, 2, 3])), (60, 30, 70));
        let mut length = |nodes: &[Node], disk| scheduler.length(nodes, Capacity { disk, ..Capacity::of_slots(2) });
        assert_eq!((length(&[1, 2], 60), length(&[1, 2], 59)), (1, OVERFULL));
        assert_eq!(length(&[0], 1), 1, "one alone cannot be cut");
    }
}
