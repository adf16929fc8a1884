//! What a project's own records say about derivations that were never measured: the model's assumptions, fitted to them.
//!
//! In: the assumptions, and the derivations of a plan. Out: the same assumptions, with those replaced for which there are enough records.
//! Assumptions that the user has set stay.

use super::estimate::{CostModel, EstimateSource, Growth};
use super::problem::{Millis, Spread};
use crate::graph::{DrvId, Graph};
use crate::history::deviation;

/// So many records of a kind replace its assumption.
const ENOUGH: usize = 8;

/// So many show how durations grow with the number of inputs.
const ENOUGH_FOR_GROWTH: usize = 24;

/// Bytes a second that a job fetches, where sizes are known and nobody has said how fast: half a gigabit.
pub const BANDWIDTH: u64 = 60_000_000;

/// Fits assumptions to what is recorded of these derivations.
pub fn fitted(costs: &CostModel, graph: &Graph, ids: &[DrvId]) -> CostModel {
    let mut fitted = costs.clone();
    if let Some(start_up) = costs.history.start_up().filter(|_| costs.fits_start_up) {
        fitted.start_up = start_up;
        fitted.replaced.start_up = true;
    }
    if let Some(bandwidth) = costs.history.bandwidth().filter(|_| costs.bandwidth.is_none()) {
        fitted.bandwidth = Some(bandwidth);
        fitted.replaced.bandwidth = true;
    }
    fitted.bandwidth.get_or_insert(BANDWIDTH);
    if costs.history.is_empty() {
        return fitted;
    }
    let recorded = ids.iter().map(|&id| (id, costs.of(graph, id, false)));
    let recorded = recorded.filter(|(_, estimate)| estimate.from == EstimateSource::History);
    let (mut fetches, mut locals, mut large, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, estimate) in recorded {
        let node = graph.node(id);
        let inputs = graph.inputs(id).len();
        if node.fixed_output {
            fetches.push(estimate.duration);
        } else if node.prefer_local_build {
            locals.push(estimate.duration);
        } else if node.required_system_features.iter().any(|feature| feature == "big-parallel") {
            large.push(estimate.duration);
        } else {
            others.push((inputs, estimate.duration));
        }
    }
    if costs.fits {
        let ordinary: Vec<Millis> = others.iter().map(|(_, duration)| *duration).collect();
        for (samples, assumed, is_replaced) in [
            (fetches, &mut fitted.fetch, &mut fitted.replaced.fetch),
            (locals, &mut fitted.local, &mut fitted.replaced.local),
            (large, &mut fitted.big_parallel, &mut fitted.replaced.big_parallel),
            (ordinary, &mut fitted.default, &mut fitted.replaced.default),
        ] {
            if let Some(median) = median(&samples) {
                let from_it = samples.iter().map(|&sample| (sample, median));
                (*assumed, *is_replaced) = (median, Some(Spread::of(deviation(from_it))));
            }
        }
        fitted.growth = growth(&others);
        if let Some(growth) = fitted.growth {
            let from_it = others.iter().map(|&(inputs, duration)| (duration, growth.of(inputs)));
            fitted.replaced.default = Some(Spread::of(deviation(from_it)));
        }
    }
    let size = |&id: &DrvId| {
        let node = graph.node(id);
        costs.history.size(&graph.path(id), node.name(), &node.system)
    };
    let known: Vec<u64> = ids.iter().filter_map(size).collect();
    // Of most derivations the size is known: the others are like these.
    if fitted.bytes.is_none() && !known.is_empty() && 2 * known.len() >= ids.len() {
        fitted.bytes = Some(middle(known));
        fitted.replaced.bytes = true;
    }
    fitted
}

/// The middle one; of two in the middle the lower.
fn median(samples: &[Millis]) -> Option<Millis> {
    (samples.len() >= ENOUGH).then(|| middle(samples.to_vec()))
}

/// The median of some numbers, the lower one of two.
fn middle(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[(samples.len() - 1) / 2]
}

/// How durations grow with the number of inputs: least squares of the logarithms of both. None where there is too little to tell, and where more
/// inputs do not mean more time.
fn growth(samples: &[(usize, Millis)]) -> Option<Growth> {
    if samples.len() < ENOUGH_FOR_GROWTH {
        return None;
    }
    let count = samples.len() as f64;
    let points =
        || samples.iter().map(|&(inputs, duration)| (Growth::measure(inputs), (duration.max(100) as f64).ln()));
    let (x, y) = points().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let covariance: f64 = points().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points().map(|point| (point.0 - x).powi(2)).sum();
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    let durations = || samples.iter().map(|(_, duration)| *duration);
    (slope > 0.0).then(|| Growth {
        slope,
        intercept: y - slope * x,
        least: durations().min().unwrap_or(0),
        most: durations().max().unwrap_or(0),
    })
}
