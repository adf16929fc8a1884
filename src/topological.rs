//! Topological orders: every node after all of its inputs.
//!
//! In: how many inputs each node has, and who its consumers are. Out: an order, or what is left where nodes need each other. petgraph has one such order, in which
//! nothing decides between nodes that are ready at the same time; here that is the caller's choice, since plans follow from it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many inputs of each node are still to come.
#[derive(Clone, Debug, Default)]
pub struct InDegrees(Vec<u32>);

impl InDegrees {
    /// From the number of inputs of each node.
    pub fn new(inputs: impl IntoIterator<Item = usize>) -> Self {
        Self(inputs.into_iter().map(|inputs| inputs as u32).collect())
    }

    /// Starts anew with so many nodes that wait for nothing, in the same memory.
    pub fn reset(&mut self, nodes: usize) {
        self.0.clear();
        self.0.resize(nodes, 0);
    }

    /// Has a node wait for one more input.
    #[inline(always)]
    pub fn add(&mut self, node: u32) {
        self.0[node as usize] += 1;
    }

    /// The nodes that wait for nothing, ascending.
    pub fn ready(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().enumerate().filter(|(_, left)| **left == 0).map(|(node, _)| node as u32)
    }

    /// The nodes that wait for an input, ascending: after an order was sought, those on cycles and behind them.
    pub fn waiting(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().enumerate().filter(|(_, left)| **left > 0).map(|(node, _)| node as u32)
    }

    /// True where the node waits for an input.
    pub fn waits(&self, node: u32) -> bool {
        self.0[node as usize] > 0
    }

    /// Takes one input of a node as come; true where it was the last one.
    #[inline(always)]
    pub fn arrive(&mut self, node: u32) -> bool {
        let left = &mut self.0[node as usize];
        *left -= 1;
        *left == 0
    }
}

/// Nodes in the order in which they become ready; on a cycle and behind it they never do, and are left out.
pub fn as_ready<C: IntoIterator<Item = u32>>(mut left: InDegrees, consumers: impl Fn(u32) -> C) -> Vec<u32> {
    let mut order: Vec<u32> = left.ready().collect();
    let mut next = 0;
    while next < order.len() {
        let ready = consumers(order[next]).into_iter().filter(|&consumer| left.arrive(consumer));
        order.extend(ready);
        next += 1;
    }
    order
}

/// All nodes, of those that are ready always the one with the smallest rank and number next; what is left where there is a cycle.
pub fn by_rank<C: IntoIterator<Item = u32>, R: Ord>(
    mut left: InDegrees,
    consumers: impl Fn(u32) -> C,
    rank: impl Fn(u32) -> R,
) -> Result<Vec<u32>, InDegrees> {
    let entry = |node| Reverse((rank(node), node));
    let mut ready: BinaryHeap<_> = left.ready().map(entry).collect();
    let mut order = Vec::with_capacity(left.0.len());
    while let Some(Reverse((_, node))) = ready.pop() {
        order.push(node);
        ready.extend(consumers(node).into_iter().filter(|&consumer| left.arrive(consumer)).map(entry));
    }
    if order.len() == left.0.len() { Ok(order) } else { Err(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 takes from 1 and 2, 1 from 0.
    const CONSUMERS: [&[u32]; 4] = [&[1], &[3], &[3], &[]];

    #[test]
    fn inputs_come_first() {
        let consumers = |node: u32| CONSUMERS[node as usize].iter().copied();
        let left = InDegrees::new([0, 1, 0, 2]);
        assert_eq!(as_ready(left.clone(), consumers), [0, 2, 1, 3]);
        assert_eq!(by_rank(left, consumers, Reverse).ok(), Some(vec![2, 0, 1, 3]));
    }

    #[test]
    fn what_needs_each_other_is_left() {
        let consumers = |node: u32| (node < 2).then(|| 1 - node);
        let left = InDegrees::new([1, 1, 0]);
        assert_eq!(as_ready(left.clone(), consumers), [2]);
        let left = by_rank(left, consumers, |node| node).err().unwrap();
        assert_eq!(left.waiting().collect::<Vec<_>>(), [0, 1]);
    }
}
