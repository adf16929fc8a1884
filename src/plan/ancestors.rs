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

/// The ancestors of each node of an acyclic graph. `consumers` are `inputs` the other way round; `owned` is what each job owns, none for what is not a job.
pub fn ancestors(inputs: &Adjacency, consumers: &Adjacency, owned: &[Option<u64>]) -> Vec<Above> {
    let order = topological::as_ready(inputs.in_degrees(), |node| consumers.of(node).iter().copied());
    let jobs: Vec<usize> = (0..order.len()).filter(|&at| owned[order[at] as usize].is_some()).collect();
    // Where all own the same, layers say how much that is.
    let own_of = |at: usize| owned[order[at] as usize].unwrap_or(0);
    let same = jobs.first().map(|&at| own_of(at)).filter(|&first| jobs.iter().all(|&at| own_of(at) == first));
    let mut above = vec![Above::default(); inputs.len()];
    let mut sets = vec![[0u64; WORDS]; inputs.len()];
    // Most nodes of a large graph have few ancestors: sets that nobody has filled are not looked at.
    let mut is_filled = vec![false; inputs.len()];
    for share in jobs.chunks(AT_ONCE) {
        is_filled.fill(false);
        let mut next = share.iter().copied().enumerate().peekable();
        // Nothing before the first of them has it as an ancestor.
        for (at, &node) in order.iter().enumerate().skip(share[0]) {
            let mut set = [0; WORDS];
            let mut filled = inputs.of(node).iter().filter(|&&input| is_filled[input as usize]).peekable();
            let has_any = filled.peek().is_some();
            for &input in filled {
                set.iter_mut().zip(&sets[input as usize]).for_each(|(word, other)| *word |= other);
            }
            if has_any {
                let count = set.iter().map(|bits| u64::from(bits.count_ones())).sum::<u64>();
                let of_node = &mut above[node as usize];
                of_node.layers += count;
                of_node.owned += match same {
                    Some(each) => count * each,
                    None => bits(&set).map(|bit| own_of(share[bit])).sum(),
                };
            }
            let own = next.next_if(|&(_, job)| job == at);
            if let Some((bit, _)) = own {
                set[bit / 64] |= 1 << (bit % 64);
            }
            if has_any || own.is_some() {
                sets[node as usize] = set;
                is_filled[node as usize] = true;
            }
        }
    }
    above
}

/// The numbers of the bits that are set.
fn bits(set: &[u64; WORDS]) -> impl Iterator<Item = usize> + '_ {
    set.iter().enumerate().flat_map(|(word, &bits)| {
        let rest = |left: &u64| Some(left & (left - 1)).filter(|left| *left != 0);
        std::iter::successors(Some(bits).filter(|bits| *bits != 0), rest)
            .map(move |left| word * 64 + left.trailing_zeros() as usize)
    })
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
