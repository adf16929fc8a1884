//! Where the nodes of a graph are drawn: in layers from left to right, with short edges. One layout for pictures and for the page.
//!
//! In: for each node the nodes before it. Out: a layer for each node and its order within the layer ([`Layered`]), and from these places in
//! rows and columns ([`Layered::places`]). A node's layer is its longest path from a source; a source is moved next to its first user. Within
//! a layer, nodes are ordered by the mean place of their neighbours, in sweeps to and fro; the rows are those nearest to these means that
//! keep the order and a distance of one, by isotonic regression. Edges over several layers take no room. All of it takes time in proportion
//! to nodes and edges.

use crate::plan::problem::Adjacency;

/// Sweeps over all layers; the best order of them counts.
const SWEEPS: usize = 24;

/// Of these, the first look at one side alone, in turn.
const ONE_SIDED: usize = 20;

/// Sweeps that place nodes whose order is known.
const PLACING: usize = 10;

/// An order of nodes in layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layered {
    /// The layer of each node, from 0 on.
    pub layer: Vec<u32>,
    /// The place of each node among those of its layer, from 0 on.
    pub order: Vec<u32>,
    layers: Vec<Vec<u32>>,
}

/// Where nodes are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// The row of each node, the topmost is 0. Nodes of a layer are one row apart or more.
    pub row: Vec<f64>,
    /// Rows in all.
    pub rows: f64,
}

impl Layered {
    /// Orders nodes; `before` holds for each node the ones that it needs, which have lower numbers.
    pub fn new(before: &Adjacency) -> Self {
        let after = before.reversed();
        let layer = layers_of(before, &after);
        let count = layer.iter().max().map_or(0, |last| *last as usize + 1);
        let mut layers: Vec<Vec<u32>> = vec![Vec::new(); count];
        for (node, &at) in layer.iter().enumerate() {
            layers[at as usize].push(node as u32);
        }
        let mut row = centred(&layers, layer.len());
        let mut best = layers.clone();
        let mut least = f64::INFINITY;
        for sweep in 0..SWEEPS {
            for step in 0..count {
                let at = if sweep % 2 == 0 { step } else { count - 1 - step };
                let wish = |node: u32| match sweep {
                    ONE_SIDED.. => mean(&row, before.of(node).iter().chain(after.of(node))),
                    _ if sweep % 2 == 0 => mean(&row, before.of(node).iter()),
                    _ => mean(&row, after.of(node).iter()),
                };
                let mut wished: Vec<(f64, u32)> =
                    layers[at].iter().map(|&node| (wish(node).unwrap_or(row[node as usize]), node)).collect();
                wished.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                layers[at] = wished.iter().map(|wished| wished.1).collect();
                spread(&wished, &mut row);
            }
            let rise = |node: usize| {
                before.of(node as u32).iter().map(|&input| (row[node] - row[input as usize]).abs()).sum::<f64>()
            };
            let total: f64 = (0..row.len()).map(rise).sum();
            if total < least {
                (least, best) = (total, layers.clone());
            }
        }
        let mut order = vec![0; layer.len()];
        for nodes in &best {
            for (place, &node) in nodes.iter().enumerate() {
                order[node as usize] = place as u32;
            }
        }
        Self { layer, order, layers: best }
    }

    /// Number of layers.
    pub fn count(&self) -> usize {
        self.layers.len()
    }

    /// Rows for all nodes, in the order that is known.
    pub fn places(&self, before: &Adjacency) -> Places {
        let after = before.reversed();
        let mut row = centred(&self.layers, self.layer.len());
        let count = self.layers.len();
        for sweep in 0..PLACING {
            for step in 0..count {
                let at = if sweep % 2 == 0 { step } else { count - 1 - step };
                let wish = |node: u32| mean(&row, before.of(node).iter().chain(after.of(node)));
                let wished: Vec<(f64, u32)> =
                    self.layers[at].iter().map(|&node| (wish(node).unwrap_or(row[node as usize]), node)).collect();
                spread(&wished, &mut row);
            }
        }
        let top = row.iter().copied().fold(f64::INFINITY, f64::min);
        row.iter_mut().for_each(|row| *row -= top);
        let rows = row.iter().copied().fold(-1.0, f64::max) + 1.0;
        Places { row, rows }
    }
}

fn layers_of(before: &Adjacency, after: &Adjacency) -> Vec<u32> {
    let mut layer = vec![0u32; before.len()];
    for node in 0..before.len() {
        layer[node] = before.of(node as u32).iter().map(|&input| layer[input as usize] + 1).max().unwrap_or(0);
    }
    for node in 0..before.len() {
        let first = after.of(node as u32).iter().map(|&user| layer[user as usize]).min();
        if let Some(first) = first.filter(|_| before.of(node as u32).is_empty()) {
            layer[node] = first - 1;
        }
    }
    layer
}

/// Rows to begin with: each layer around 0.
fn centred(layers: &[Vec<u32>], nodes: usize) -> Vec<f64> {
    let mut row = vec![0.0; nodes];
    for layer in layers {
        for (place, &node) in layer.iter().enumerate() {
            row[node as usize] = place as f64 - layer.len() as f64 / 2.0;
        }
    }
    row
}

fn mean<'a>(row: &[f64], nodes: impl Iterator<Item = &'a u32>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for &node in nodes {
        sum += row[node as usize];
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// Gives nodes in order the rows that are nearest to the wished ones, in squares, one apart or more: neighbours that are too near share the
/// mean of their wishes.
fn spread(wished: &[(f64, u32)], row: &mut [f64]) {
    let mut blocks: Vec<(f64, usize)> = Vec::with_capacity(wished.len());
    for (place, (wish, _)) in wished.iter().enumerate() {
        let mut block = (wish - place as f64, 1);
        while let Some(&(sum, count)) = blocks.last()
            && sum * block.1 as f64 >= block.0 * count as f64
        {
            blocks.pop();
            block = (block.0 + sum, block.1 + count);
        }
        blocks.push(block);
    }
    let mut place = 0;
    for (sum, count) in blocks {
        for _ in 0..count {
            row[wished[place].1 as usize] = sum / count as f64 + place as f64;
            place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(before: &[&[u32]]) -> Adjacency {
        Adjacency::from_lists(before.iter().map(|list| list.to_vec()))
    }

    #[test]
    fn a_layer_is_the_longest_path_and_a_source_is_next_to_its_user() {
        let layered = Layered::new(&graph(&[&[], &[0], &[1], &[], &[2, 3]]));
        assert_eq!(layered.layer, [0, 1, 2, 2, 3]);
        assert_eq!(layered.count(), 4);
    }

    #[test]
    fn two_chains_are_drawn_as_two_straight_lines() {
        // Each chain is mixed up with the other by the numbers of its nodes.
        let before = graph(&[&[], &[], &[1], &[0], &[3], &[2]]);
        let layered = Layered::new(&before);
        let row = layered.places(&before).row;
        assert_eq!((row[0], row[1]), (row[3], row[2]));
        assert_eq!((row[0], row[1]), (row[4], row[5]));
        assert_eq!((row[0] - row[1]).abs(), 1.0);
    }

    #[test]
    fn nodes_of_a_layer_are_a_row_apart_and_in_order() {
        let before = Adjacency::from_lists((0..60u32).map(|node| {
            if node < 20 { Vec::new() } else { (0..3).map(|k| (node * 7 + k * 13) % (node - node % 20)).collect() }
        }));
        let layered = Layered::new(&before);
        let places = layered.places(&before);
        for layer in 0..layered.count() as u32 {
            let mut nodes: Vec<usize> = (0..60).filter(|&node| layered.layer[node] == layer).collect();
            nodes.sort_by_key(|&node| layered.order[node]);
            for pair in nodes.windows(2) {
                assert!(places.row[pair[1]] - places.row[pair[0]] > 1.0 - 1e-9, "{layer}: {pair:?}");
            }
        }
        assert!(places.row.iter().all(|&row| row >= 0.0 && row + 1.0 <= places.rows + 1e-9));
        for node in 0..60 {
            assert!(before.of(node as u32).iter().all(|&input| layered.layer[input as usize] < layered.layer[node]));
        }
    }

    #[test]
    fn rows_are_the_nearest_to_the_wishes_that_keep_a_distance() {
        let mut row = vec![0.0; 4];
        spread(&[(0.0, 2), (0.0, 0), (0.0, 1), (9.0, 3)], &mut row);
        assert_eq!(row, [0.0, 1.0, -1.0, 9.0]);
    }

    #[test]
    fn nothing_has_no_rows() {
        let none = graph(&[]);
        assert_eq!(Layered::new(&none).places(&none), Places { row: vec![], rows: 0.0 });
    }
}
