//! Durations that might turn out to be the real ones.
//!
//! In: a [`Problem`] with estimates and how far off these may be. Out: durations, the same for a name in each plan.

use crate::plan::partition::zero::mix;
use crate::plan::problem::{Adjacency, Millis, Node, Problem, Spread};

/// Real durations as thousandths of the guess, all equally likely: 64 quantiles of a log-normal distribution with a median of two thirds and a 99th percentile of 20. For a guess
/// of a minute that is 40 s and 20 minutes. An assumption; what real package sets take is of this kind.
const FACTORS: [Millis; 64] = [
    19, 36, 51, 64, 77, 90, 104, 117, 131, 145, 160, 175, 190, 206, 223, 240, 258, 276, 296, 316, 337, 359, 382, 406,
    431, 458, 485, 515, 545, 578, 612, 648, 686, 727, 769, 815, 864, 916, 971, 1031, 1095, 1164, 1239, 1319, 1407,
    1503, 1609, 1725, 1853, 1997, 2158, 2339, 2547, 2786, 3065, 3395, 3794, 4287, 4915, 5750, 6928, 8763, 12190, 22865,
];

/// The same where an estimate is off by a quarter, and where by twice: log-normal around it, with standard deviations of 0.25 and 0.7.
const SMALL: [Millis; 64] = [
    546, 608, 644, 670, 692, 711, 727, 743, 757, 770, 783, 795, 807, 818, 829, 840, 850, 860, 870, 880, 890, 900, 909,
    919, 928, 938, 947, 957, 966, 976, 985, 995, 1005, 1015, 1025, 1035, 1045, 1056, 1066, 1077, 1089, 1100, 1112,
    1124, 1136, 1149, 1163, 1176, 1191, 1206, 1222, 1239, 1258, 1277, 1298, 1321, 1346, 1375, 1407, 1445, 1492, 1553,
    1644, 1830,
];
const MEDIUM: [Millis; 64] = [
    184, 249, 291, 326, 356, 384, 410, 435, 459, 482, 504, 526, 548, 570, 591, 613, 634, 656, 678, 699, 721, 743, 766,
    789, 812, 835, 859, 883, 908, 934, 960, 986, 1014, 1042, 1071, 1101, 1132, 1164, 1197, 1232, 1268, 1306, 1345,
    1386, 1430, 1476, 1525, 1576, 1631, 1691, 1755, 1824, 1899, 1983, 2076, 2180, 2299, 2437, 2602, 2805, 3067, 3432,
    4020, 5432,
];

/// Durations that might turn out to be the real ones, as far from the estimates as these say. What is cheap is known to be.
pub fn drawn(problem: &Problem, draw: u64) -> Vec<Millis> {
    let factor = |node: usize| {
        let at = (mix(problem.name_hash[node] ^ mix(draw + 1)) % FACTORS.len() as u64) as usize;
        match problem.spread.get(node).copied().unwrap_or_default() {
            _ if problem.cheap[node] => 1000,
            Spread::None => 1000,
            Spread::Small => SMALL[at],
            Spread::Medium => MEDIUM[at],
            Spread::Heavy => FACTORS[at],
        }
    };
    (0..problem.len()).map(|node| problem.duration[node].saturating_mul(factor(node)) / 1000).collect()
}

/// The longest path of derivations, milliseconds.
pub fn longest_path(inputs: &Adjacency, duration: &[Millis]) -> Millis {
    let mut end = vec![0; duration.len()];
    for node in 0..duration.len() {
        let start = inputs.of(node as Node).iter().map(|&input| end[input as usize]).max().unwrap_or(0);
        end[node] = start + duration[node];
    }
    end.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_drawn_from_a_heavy_tail() {
        let nodes = 20_000;
        let problem = Problem {
            duration: vec![60_000; nodes],
            cheap: (0..nodes).map(|node| node == 0).collect(),
            bytes: Vec::new(),
            memory: Vec::new(),
            name_hash: (0..nodes as u64).map(mix).collect(),
            ..Problem::default()
        };
        let mut drawn = drawn(&problem, 3);
        assert_eq!(drawn[0], 60_000, "what is cheap is known to be");
        drawn.sort_unstable();
        assert!((38_000..42_000).contains(&drawn[nodes / 2]), "{}", drawn[nodes / 2]);
        let spread =
            (0..nodes).map(|node| [Spread::None, Spread::Small, Spread::Medium, Spread::Heavy][node % 4]).collect();
        let known = super::drawn(&Problem { spread, ..problem }, 3);
        let most =
            [0, 1, 2, 3].map(|kind| known[1..].iter().skip((kind + 3) % 4).step_by(4).max().copied().unwrap_or(0));
        assert_eq!(most, [60_000, 109_800, 325_920, 1_371_900], "as far as the estimate's spread goes");
        assert!((800_000..1_400_000).contains(&drawn[nodes / 100 * 99]), "{}", drawn[nodes / 100 * 99]);
    }
}
