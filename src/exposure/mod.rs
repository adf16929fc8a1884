//! What somebody who means harm could reach. One list, [`lines::all`], from which `docs/security.md` has its table and `nixdag doctor` its
//! findings.
//!
//! In: a [`Situation`], which is what the settings and the setup job say. Out: [`Finding`]s, in the order of the list. Nothing is asked, run
//! or evaluated.

pub mod line;
pub mod lines;
pub mod planning_job;
pub mod situation;

use line::{Exposure, Finding, Remedy};
use situation::Situation;

/// What is open.
pub fn find(situation: &Situation) -> Vec<Finding> {
    let open = |line: &'static Exposure| {
        let gaps =
            line.gaps.iter().filter(|gap| gap.on.contains(&situation.settings.provider) && (gap.is_open)(situation));
        gaps.map(|gap| {
            let (setting, elsewhere) = match gap.remedy {
                Remedy::Setting(text) => (Some(text), None),
                Remedy::Elsewhere(text) => (None, Some(text)),
            };
            Finding {
                attacker: line.attacker,
                asset: line.asset,
                reach: gap.reach,
                setting,
                elsewhere,
                by_default: false,
            }
        })
    };
    lines::all().flat_map(open).collect()
}
