//! Which of several plans is worth having. In: what they are predicted to take, and the objective. Out: the one to choose.

use super::Strategy;
use super::model::Objective;
use super::problem::Millis;

/// A difference of less than this share of a time is not worth a setting.
const WORTH: f64 = 0.05;

/// True if the other plan is clearly better for the objective.
pub fn is_better(other: &Strategy, ours: &Strategy, objective: Objective) -> bool {
    let wall = ratio(other.makespan, ours.makespan);
    let machine = ratio(other.job_time, ours.job_time);
    let (saves_wall, saves_machine) = (wall < 1.0 - WORTH, machine < 1.0 - WORTH);
    match objective {
        Objective::Time => saves_wall || (wall <= 1.0 && saves_machine),
        Objective::Balanced => (saves_wall && machine <= 1.0 + WORTH) || (saves_machine && wall <= 1.0 + WORTH),
        Objective::Cost => (saves_machine && wall <= 2.0) || (saves_wall && machine <= 1.0),
    }
}

fn ratio(one: Millis, other: Millis) -> f64 {
    one as f64 / other.max(1) as f64
}

/// The best of several plans, if any is clearly better than ours; of equals the first.
pub fn best<'a, T>(others: &'a [(T, Strategy)], ours: &Strategy, objective: Objective) -> Option<&'a (T, Strategy)> {
    let mut best: Option<&(T, Strategy)> = None;
    for other in others {
        if is_better(&other.1, best.map_or(ours, |(_, best)| best), objective) {
            best = Some(other);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(makespan: Millis, job_time: Millis) -> Strategy {
        Strategy { makespan, job_time, ..Strategy::default() }
    }

    #[test]
    fn the_objective_decides_what_is_better() {
        let ours = strategy(1000, 1000);
        let better = |makespan, job_time| {
            [Objective::Time, Objective::Balanced, Objective::Cost]
                .map(|objective| is_better(&strategy(makespan, job_time), &ours, objective))
        };
        assert_eq!(better(900, 900), [true, true, true]);
        assert_eq!(better(900, 3000), [true, false, false]);
        assert_eq!(better(1500, 500), [false, false, true]);
        assert_eq!(better(990, 990), [false, false, false]);
        assert_eq!(better(1000, 1000), [false, false, false]);
        assert_eq!(better(1030, 900), [false, true, true]);
    }

    #[test]
    fn of_equals_the_first_is_the_best() {
        let others = [("auto", strategy(500, 500)), ("single", strategy(500, 500))];
        assert_eq!(best(&others, &strategy(1000, 1000), Objective::Balanced).unwrap().0, "auto");
        assert!(best(&others, &strategy(500, 500), Objective::Balanced).is_none());
    }
}
