//! Ways to plan for less, for plans that may not cost more than so many credits.
//!
//! In: the granularity and the objective that are asked for. Out: these, and ways that as a rule are cheaper, in the order in which they are tried.

use super::model::{Granularity, Objective};
use crate::choice::Choice;
use crate::plural::counted;

/// How derivations share jobs, and what a plan aims for.
pub type Way = (Granularity, Objective);

/// The way that is asked for, then cheaper objectives, then those with fewer jobs; with one job a system the objective makes no difference.
pub fn ways((granularity, objective): Way) -> Vec<Way> {
    let objectives = [Objective::Time, Objective::Balanced, Objective::Cost];
    let objectives = objectives.into_iter().skip_while(|other| *other != objective);
    let granularities = [Granularity::Target, Granularity::Auto, Granularity::Single];
    let granularities = granularities.into_iter().skip_while(|other| *other != granularity);
    granularities
        .flat_map(|granularity| {
            let most = if granularity == Granularity::Single { 1 } else { usize::MAX };
            objectives.clone().take(most).map(move |objective| (granularity, objective))
        })
        .collect()
}

/// What to say of a plan that costs so many credits and may cost `most`; nothing where it is the one that is asked for.
pub fn note(asked: Way, way: Way, credits: u64, most: u64) -> Option<String> {
    if credits > most {
        return Some(format!(
            "no plan was found for {} (`max_credits`): this one takes {credits}, the fewest of all",
            counted(most, "credit")
        ));
    }
    (way != asked).then(|| {
        let (granularity, objective) = (way.0.name(), way.1.name());
        format!("planned with `granularity: {granularity}` and `objective: {objective}`, since the jobs may take {most} credits")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dearer_ways_than_the_one_that_is_asked_for_are_not_tried() {
        use {Granularity::*, Objective::*};
        assert_eq!(
            ways((Target, Balanced)),
            [(Target, Balanced), (Target, Cost), (Auto, Balanced), (Auto, Cost), (Single, Balanced)]
        );
        assert_eq!(ways((Auto, Cost)), [(Auto, Cost), (Single, Cost)]);
        assert_eq!(ways((Single, Time)), [(Single, Time)]);
    }
}
