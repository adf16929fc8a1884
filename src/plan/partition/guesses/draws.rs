//! Durations that might turn out to be the real ones.
//!
//! In: a [`Problem`] with estimates and how far off these may be. Out: durations, the same for a name in each plan.

use crate::plan::partition::zero::mix;
use crate::plan::problem::{Adjacency, Millis, Node, Problem, Spread};

/// Real durations as thousandths of the guess, all equally likely: 64 quantiles of a log-normal distribution with a median of two thirds and a 99th percentile of 20. For a guess
/// of a minute that is 40 s and 20 minutes. An assumption; what real package sets take is of this kind.
const GUESSED: [Millis; 64] = [
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

/// The same around the median of what is recorded of others, where these differ a lot: log-normal, with a 99th percentile of 30. Instead of the last of 64 quantiles there are 16 of the tail, which goes up
/// to 124 times the median: beside durations that are known, what hides in a long job makes a plan late only if it takes very long.
const HEAVY: [Millis; 63] = [
    29, 55, 76, 96, 116, 136, 156, 176, 196, 218, 239, 262, 285, 309, 334, 360, 387, 414, 443, 474, 505, 538, 573, 609,
    647, 686, 728, 772, 818, 866, 918, 972, 1029, 1090, 1154, 1223, 1296, 1374, 1457, 1546, 1642, 1746, 1858, 1979,
    2111, 2255, 2413, 2587, 2780, 2995, 3236, 3509, 3820, 4178, 4597, 5093, 5691, 6430, 7372, 8624, 10392, 13145,
    18286,
];
const TAIL: [Millis; 16] =
    [23759, 24691, 25721, 26866, 28150, 29605, 31270, 33205, 35491, 38253, 41686, 46123, 52196, 61298, 77496, 124130];

/// Durations that might turn out to be the real ones, as far from the estimates as these say. What is cheap is known to be.
pub fn drawn(problem: &Problem, draw: u64) -> Vec<Millis> {
    let factor = |node: usize| {
        let hash = mix(problem.name_hash[node] ^ mix(draw + 1));
        let at = (hash % GUESSED.len() as u64) as usize;
        match problem.spread.get(node).copied().unwrap_or_default() {
            _ if problem.cheap[node] => 1000,
            Spread::None => 1000,
            Spread::Small => SMALL[at],
            Spread::Medium => MEDIUM[at],
            Spread::Heavy if at == HEAVY.len() => TAIL[(hash / GUESSED.len() as u64) as usize % TAIL.len()],
            Spread::Heavy => HEAVY[at],
            Spread::Guess => GUESSED[at],
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
        let kinds = [Spread::None, Spread::Small, Spread::Medium, Spread::Heavy];
        let spread = (0..nodes).map(|node| kinds[node % kinds.len()]).collect();
        let known = super::drawn(&Problem { spread, ..problem }, 3);
        let of_kind = |kind: usize| {
            let mut drawn: Vec<Millis> = known.iter().skip(kind).step_by(kinds.len()).copied().collect();
            drawn.sort_unstable();
            drawn
        };
        let most = [0, 1, 2, 3].map(|kind| of_kind(kind).last().copied().unwrap_or(0));
        assert_eq!(most, [60_000, 109_800, 325_920, 7_447_800], "as far as the estimate's spread goes");
        let median = of_kind(3)[nodes / kinds.len() / 2];
        assert!((57_000..63_000).contains(&median), "around what is recorded: {median}");
        assert!((800_000..1_400_000).contains(&drawn[nodes / 100 * 99]), "{}", drawn[nodes / 100 * 99]);
    }
}
