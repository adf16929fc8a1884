//! The order of stages: those of the users' files around nixdag's own.

use anyhow::{Result, ensure};

use super::super::names::{GATE, REPORT, STAGE};
use super::user_file::UserFile;
use crate::printable::printable;

/// The stages of a pipeline that names none.
const USUAL: [&str; 3] = ["build", "test", "deploy"];

/// All stages. Where no file places nixdag's own, [`STAGE`] is the first, and [`GATE`] behind those of the files; `behind` come last.
pub fn in_order(users: &[UserFile], behind: Vec<String>) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    let usual: Vec<String> = USUAL.map(str::to_owned).into();
    for user in users.iter().filter(|user| !user.jobs.is_empty()) {
        let mut at = 0;
        for stage in user.stages.as_ref().unwrap_or(&usual) {
            ensure!(*stage != REPORT, "`{}`: the stage `{REPORT}` is nixdag's own: give yours another name", user.name);
            match order.iter().position(|known| known == stage) {
                Some(known) => {
                    ensure!(
                        known >= at,
                        "`{}`: the stage `{}` is in another order than in an earlier file",
                        user.name,
                        printable(stage)
                    );
                    at = known + 1;
                }
                None => {
                    order.insert(at, stage.clone());
                    at += 1;
                }
            }
        }
    }
    let position = |order: &[String], stage: &str| order.iter().position(|known| known == stage);
    if position(&order, STAGE).is_none() {
        order.insert(0, STAGE.to_owned());
    }
    if position(&order, GATE).is_none() {
        order.push(GATE.to_owned());
    }
    ensure!(
        position(&order, STAGE) < position(&order, GATE),
        "the stage `{GATE}` comes before `{STAGE}`, whose jobs it waits for"
    );
    order.extend(behind);
    Ok(order)
}
