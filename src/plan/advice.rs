//! Which of several plans is worth having. In: what they are predicted to take, and what is aimed for. Out: the one to choose.

use super::Strategy;
use super::model::{Aim, Objective};
use super::problem::Millis;

/// A difference of less than this share of a time is not worth a setting.
const WORTH: f64 = 0.05;

/// Who looks for a balance does not pay so many times the credits to save less than that wall time, milliseconds.
const TIMES_THE_CREDITS: u64 = 5;
const MINUTES: Millis = 10 * 60_000;

/// Wall time, and the waiting that the machine time is worth, milliseconds.
pub fn cost(strategy: &Strategy, minute_worth: Millis) -> Millis {
    let machines = u128::from(strategy.job_time) * u128::from(minute_worth) / 60_000;
    strategy.makespan.saturating_add(Millis::try_from(machines).unwrap_or(Millis::MAX))
}

/// True if the other plan is clearly better for what is aimed for.
pub fn is_better(other: &Strategy, ours: &Strategy, aim: Aim) -> bool {
    let objective = match aim {
        Aim::Objective(objective) => objective,
        Aim::Worth(worth) => return ratio(cost(other, worth), cost(ours, worth)) < 1.0 - WORTH,
    };
    let wall = ratio(other.makespan, ours.makespan);
    let machine = ratio(other.job_time, ours.job_time);
    let (saves_wall, saves_machine) = (wall < 1.0 - WORTH, machine < 1.0 - WORTH);
    match objective {
        Objective::Time => saves_wall || (wall <= 1.0 && saves_machine),
        Objective::Balanced => {
            let saves_credits = other.credits > 0 && other.credits.saturating_mul(TIMES_THE_CREDITS) <= ours.credits;
            (saves_wall && machine <= 1.0 + WORTH)
                || (saves_machine && wall <= 1.0 + WORTH)
                || (saves_credits && other.makespan <= ours.makespan + MINUTES)
        }
        Objective::Cost => (saves_machine && wall <= 2.0) || (saves_wall && machine <= 1.0),
    }
}

fn ratio(one: Millis, other: Millis) -> f64 {
    one as f64 / other.max(1) as f64
}

/// The best of several plans, if any is clearly better than ours; of equals the first.
pub fn best<'a, T>(others: &'a [(T, Strategy)], ours: &Strategy, aim: Aim) -> Option<&'a (T, Strategy)> {
    let mut best: Option<&(T, Strategy)> = None;
    for other in others {
        if is_better(&other.1, best.map_or(ours, |(_, best)| best), aim) {
            best = Some(other);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALANCED: Aim = Aim::Objective(Objective::Balanced);

    fn strategy(makespan: Millis, job_time: Millis) -> Strategy {
        Strategy { makespan, job_time, ..Strategy::default() }
    }

    #[test]
    fn the_objective_decides_what_is_better() {
        let ours = strategy(1000, 1000);
        let better = |makespan, job_time| {
            [Objective::Time, Objective::Balanced, Objective::Cost]
                .map(|objective| is_better(&strategy(makespan, job_time), &ours, Aim::Objective(objective)))
        };
        assert_eq!(better(900, 900), [true, true, true]);
        assert_eq!(better(900, 3000), [true, false, false]);
        assert_eq!(better(1500, 500), [false, false, true]);
        assert_eq!(better(990, 990), [false, false, false]);
        assert_eq!(better(1000, 1000), [false, false, false]);
        assert_eq!(better(1030, 900), [false, true, true]);
    }

    #[test]
    fn a_balance_does_not_pay_five_times_the_credits_for_minutes() {
        let with = |minutes: Millis, credits| Strategy { credits, ..strategy(minutes * 60_000, minutes * 60_000) };
        let ours = Strategy { job_time: 60 * 60_000, ..with(5, 500) };
        for (minutes, credits, is_better_) in [(14, 100, true), (14, 101, false), (16, 100, false), (14, 0, false)] {
            assert_eq!(is_better(&with(minutes, credits), &ours, BALANCED), is_better_, "{minutes} {credits}");
        }
    }

    #[test]
    fn what_waiting_is_worth_decides() {
        let ours = strategy(1_000_000, 6_000_000);
        let better = |makespan, job_time| {
            [0, 1_000, 60_000].map(|worth| is_better(&strategy(makespan, job_time), &ours, Aim::Worth(worth)))
        };
        assert_eq!(better(900_000, 12_000_000), [true, false, false]);
        assert_eq!(better(1_010_000, 600_000), [false, true, true]);
        assert_eq!(better(2_000_000, 600_000), [false, false, true]);
        assert_eq!(cost(&strategy(Millis::MAX, Millis::MAX), Millis::MAX), Millis::MAX);
    }

    #[test]
    fn of_equals_the_first_is_the_best() {
        let others = [("auto", strategy(500, 500)), ("single", strategy(500, 500))];
        assert_eq!(best(&others, &strategy(1000, 1000), BALANCED).unwrap().0, "auto");
        assert!(best(&others, &strategy(500, 500), BALANCED).is_none());
    }
}
