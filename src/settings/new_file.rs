//! The first `nixdag.yml` of a repository. In: what plans of both granularities are predicted to take. Out: the file's text.

use crate::choice::Choice;
use crate::duration::in_words;
use crate::plan::Strategy;
use crate::plan::model::Granularity;
use crate::provider::credit::Credit;
use crate::settings::file::SCHEMA;
use crate::version;

/// The name of the file.
pub const NAME: &str = "nixdag.yml";

/// A granularity, and what its plan takes.
pub type Candidate = (Granularity, Strategy);

/// `` `auto` takes 3 min 45 s and 75 credits, `target` 5 min 17 s and 142 credits ``
pub fn figures(chosen: &Candidate, other: &Candidate, credit: Credit) -> String {
    let figures = |(granularity, strategy): &Candidate, takes: &str| {
        let price = credit.amount(strategy.credits);
        format!("`{}`{takes} {} and {price}", granularity.name(), in_words(strategy.makespan))
    };
    if (chosen.1.makespan, chosen.1.credits) == (other.1.makespan, other.1.credits) {
        return format!("`{}` and {}, the same", other.0.name(), figures(chosen, " take"));
    }
    format!("{}, {}", figures(chosen, " takes"), figures(other, ""))
}

/// The text. `plans` are the one to choose and the other; none where nothing is to be built now.
pub fn text(plans: Option<(&Candidate, &Candidate)>, credit: Credit) -> String {
    let mut text = format!(
        "# yaml-language-server: $schema=https://raw.githubusercontent.com/org/nixdag/v{}/{SCHEMA}\n\
         # All settings: {}\n\n",
        version::NUMBER,
        version::page("settings")
    );
    if let Some((chosen, other)) = plans {
        text.push_str(&format!("# {}, if builds take as long as guessed.\n", figures(chosen, other, credit)));
    }
    let granularity = plans.map_or(Granularity::default(), |(chosen, _)| chosen.0);
    text.push_str(&format!(
        "granularity: {}\n\n\
         # systems: [x86_64-linux, aarch64-linux]   # default: the system of the machine that plans\n\
         # base: auto                               # build only what a branch changes\n",
        granularity.name()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::file::SettingsFile;

    #[test]
    fn the_file_is_read_as_it_is_meant() {
        let strategy = |makespan, credits| Strategy { makespan, credits, ..Strategy::default() };
        let (auto, target) =
            ((Granularity::Auto, strategy(225_000, 75)), (Granularity::Target, strategy(317_000, 142)));
        let text = text(Some((&auto, &target)), Credit::Own);
        assert!(
            text.contains("# `auto` takes 3 min 45 s and 75 credits, `target` 5 min 17 s and 142 credits, if"),
            "{text}"
        );
        let equal = (Granularity::Auto, target.1.clone());
        assert_eq!(
            figures(&target, &equal, Credit::Own),
            "`auto` and `target` take 5 min 17 s and 142 credits, the same"
        );
        let file = SettingsFile::parse(&text).unwrap();
        assert_eq!(file.planning.granularity, Some(Granularity::Auto));
        // The lines that are left to uncomment are settings, too.
        SettingsFile::parse(&text.replace("# systems", "systems").replace("# base", "base")).unwrap();
        assert_eq!(
            SettingsFile::parse(&super::text(None, Credit::Own)).unwrap().planning.granularity,
            Some(Granularity::Target)
        );
    }
}
