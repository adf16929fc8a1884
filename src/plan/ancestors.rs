//! What comes before each job: every layer of a workspace is attached by all jobs behind it.
//!
//! In: a graph of jobs, both ways round, among them nodes that are none and only pass on, and what each job owns. Out: how many jobs each node waits for, directly or not, and what these own.

use super::problem::Adjacency;
use crate::topological;

/// Jobs that are followed at once, as a set of bits each: the memory stays at 64 bytes a node.
const WORDS: usize = 8;
const AT_ONCE: usize = WORDS * 64;

/// What the ancestors of a job come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// How many they are: layers.
    pub layers: u64,
    /// What they own.
    pub owned: u64,
}

impl Above {
    #[inline(always)]
    fn add(&mut self, other: Self) {
        self.layers += other.layers;
        self.owned += other.owned;
    }
}

/// The ancestors of each node of an acyclic graph. `consumers` are `inputs` the other way round; `owned` is what each job owns, none for what is not a job.
pub fn ancestors(inputs: &Adjacency, consumers: &Adjacency, owned: &[Option<u64>]) -> Vec<Above> {
    let order = topological::as_ready(inputs.in_degrees(), |node| consumers.of(node).iter().copied());
    let mut above = vec![Above::default(); inputs.len()];
    // What has one consumer is above the same nodes as that one, and above itself: it counts together with it, and has no bit.
    let mut together: Vec<Above> =
        owned.iter().map(|owned| owned.map_or(Above::default(), |owned| Above { layers: 1, owned })).collect();
    let mut followed: Vec<(usize, Above)> = Vec::new();
    for (at, &node) in order.iter().enumerate() {
        let own = together[node as usize];
        match consumers.of(node) {
            [] => {}
            _ if own.layers == 0 => {}
            &[consumer] => {
                above[consumer as usize].add(own);
                together[consumer as usize].add(own);
            }
            _ => followed.push((at, own)),
        }
    }
    drop(together);
    let mut sets = vec![[0u64; WORDS]; inputs.len()];
    // Most nodes of a large graph have few ancestors: sets that nobody has filled are not looked at.
    let mut is_filled = vec![false; inputs.len()];
    for share in followed.chunks(AT_ONCE) {
        is_filled.fill(false);
        let mut next = share.iter().enumerate().peekable();
        // Nothing before the first of them has it as an ancestor.
        for (at, &node) in order.iter().enumerate().skip(share[0].0) {
            let mut set = [0; WORDS];
            let mut has_any = false;
            for &input in inputs.of(node) {
                if is_filled[input as usize] {
                    has_any = true;
                    set.iter_mut().zip(&sets[input as usize]).for_each(|(word, other)| *word |= other);
                }
            }
            if has_any {
                let of_node = &mut above[node as usize];
                for (word, &bits) in set.iter().enumerate() {
                    let mut left = bits;
                    while left != 0 {
                        of_node.add(share[word * 64 + left.trailing_zeros() as usize].1);
                        left &= left - 1;
                    }
                }
            }
            let own = next.next_if(|(_, followed)| followed.0 == at);
            if let Some((bit, _)) = own {
                set[bit / 64] |= 1 << (bit % 64);
            }
            if (has_any || own.is_some()) && !consumers.of(node).is_empty() {
                sets[node as usize] = set;
                is_filled[node as usize] = true;
            }
        }
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::problem::Node;

    #[test]
    fn each_ancestor_counts_once_whatever_lies_between() {
        let inputs = Adjacency::from_lists([vec![], vec![0], vec![0], vec![1, 2]]);
        let of_last = |owned: [Option<u64>; 4]| ancestors(&inputs, &inputs.reversed(), &owned)[3];
        assert_eq!(of_last([Some(5), Some(7), Some(1), Some(9)]), Above { layers: 3, owned: 13 });
        assert_eq!(of_last([Some(5), None, Some(1), Some(9)]), Above { layers: 2, owned: 6 });
        assert_eq!(of_last([Some(2); 4]), Above { layers: 3, owned: 6 });
    }

    #[test]
    fn a_chain_of_more_jobs_than_are_followed_at_once() {
        let many = AT_ONCE as u64 + 100;
        // Every second one is no job.
        let inputs = Adjacency::from_lists((0..2 * many as Node).map(|node| node.checked_sub(1).into_iter().collect()));
        let owned: Vec<Option<u64>> = (0..2 * many).map(|node| (node % 2 == 0).then_some(node / 2)).collect();
        let above = ancestors(&inputs, &inputs.reversed(), &owned);
        assert_eq!(above[0], Above::default());
        let last = above.last().unwrap();
        assert_eq!(*last, Above { layers: many, owned: many * (many - 1) / 2 });
    }
}
