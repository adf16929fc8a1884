//! What a derivation requires of its machine: a system, and features. In: executors. Out: the one that suits it best, or a sentence
//! about what they lack and what to write into nixdag.yml.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Display;

use super::executor::Executor;

/// Names of each kind that a sentence has before it only counts the others.
const MOST_NAMES: usize = 8;

/// What a machine has to have.
#[derive(Clone, Copy, Debug)]
pub struct Requirement<'a> {
    /// The system that it builds.
    pub system: &'a str,
    /// The features that it offers (`requiredSystemFeatures`).
    pub features: &'a [String],
}

impl Requirement<'_> {
    /// True where the executor has everything.
    pub fn is_met_by(&self, executor: &Executor) -> bool {
        executor.builds(self.system) && self.absent(executor).next().is_none()
    }

    /// The place of the executor for what names none: it has everything required, and most of that because somebody said so; it
    /// declares the fewest other features; it stands first.
    pub fn best(&self, executors: &[Executor]) -> Option<usize> {
        let able = (0..executors.len()).filter(|&at| self.is_met_by(&executors[at]));
        able.min_by_key(|&at| {
            let declared = self.features.iter().filter(|feature| executors[at].declares(feature)).count();
            (Reverse(declared), executors[at].features.len().saturating_sub(declared), at)
        })
    }

    /// Why none of the executors will do, and what to do about it; what requires this is the subject of the sentence and not in it.
    pub fn unmet(&self, executors: &[Executor]) -> String {
        let of_system = executors.iter().filter(|executor| executor.builds(self.system));
        match of_system.min_by_key(|executor| self.absent(executor).count()) {
            None => format!(
                "is built on {}, and {}: add an executor with `systems: [{}]` to nixdag.yml",
                quoted([self.system]),
                match systems(executors) {
                    systems if systems.is_empty() => "there are no executors".to_owned(),
                    systems => format!("there are executors for {} only", quoted(systems)),
                },
                self.system.escape_debug()
            ),
            Some(nearest) => format!(
                "requires {} on {}, and the nearest executor, {}, lacks {}: add that to the `features` of an executor in nixdag.yml \
                 whose machine has it",
                quoted(self.features),
                quoted([self.system]),
                quoted([&nearest.name]),
                quoted(self.absent(nearest)),
            ),
        }
    }

    /// The same where somebody, `by`, names the executor.
    pub fn unmet_by(&self, executor: &Executor, by: impl Display) -> String {
        let sent = format!("is sent by {by} to executor {}, which", quoted([&executor.name]));
        if executor.builds(self.system) {
            let absent = quoted(self.absent(executor));
            format!(
                "{sent} lacks {absent}: name another executor there, or add that to its `features` in nixdag.yml if its machine has it"
            )
        } else {
            format!(
                "{sent} builds {} and not {}: name another executor there",
                quoted(systems([executor])),
                quoted([self.system])
            )
        }
    }

    fn absent(&self, executor: &Executor) -> impl Iterator<Item = &String> {
        self.features.iter().filter(|feature| !executor.offers(feature))
    }
}

/// The systems that executors build, by name.
fn systems<'e>(executors: impl IntoIterator<Item = &'e Executor>) -> BTreeSet<&'e String> {
    executors.into_iter().flat_map(|executor| &executor.systems).collect()
}

/// `` `a`, `b` and `c` ``
fn quoted(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut names = names.into_iter();
    let mut shown: Vec<String> =
        names.by_ref().take(MOST_NAMES).map(|name| format!("`{}`", name.as_ref().escape_debug())).collect();
    match names.count() {
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::example;

    fn executor(name: &str, features: &[&str]) -> Executor {
        let features = features.iter().map(|&feature| feature.to_owned()).collect();
        Executor { name: name.into(), systems: vec!["x86_64-linux".into()], features, ..Executor::default() }
    }

    #[test]
    fn the_best_executor_was_told_that_it_has_most_of_it_and_offers_little_else() {
        let executors = [executor("a", &[]), executor("b", &["kvm", "gpu"]), executor("c", &["kvm", "big-parallel"])];
        let best = |features: &[&str]| {
            let features: Vec<String> = features.iter().map(|&feature| feature.to_owned()).collect();
            Requirement { system: "x86_64-linux", features: &features }.best(&executors)
        };
        assert_eq!(best(&[]), Some(0));
        assert_eq!(best(&["big-parallel"]), Some(2), "the others only have what every Nix offers");
        assert_eq!(best(&["kvm"]), Some(1), "the first among equals");
        assert_eq!(best(&["kvm", "big-parallel"]), Some(2));
        assert_eq!(best(&["kvm", "tpu"]), None);
    }

    #[test]
    fn sentences_say_what_is_wanted_what_is_there_and_what_to_write() {
        let features = ["kvm".to_owned(), "nixos-test".to_owned()];
        let of = |system| Requirement { system, features: &features };
        let executors = example::fleet().executors;
        assert_eq!(
            of("riscv64-linux").unmet(&executors),
            "is built on `riscv64-linux`, and there are executors for `aarch64-darwin`, `aarch64-linux`, `i686-linux` and \
             `x86_64-linux` only: add an executor with `systems: [riscv64-linux]` to nixdag.yml"
        );
        assert!(of("riscv64-linux").unmet(&[]).contains("there are no executors: add"));
        let both = [executor("a", &[]), executor("b", &["kvm", "gpu"])];
        let all = Requirement { system: "x86_64-linux", features: &["kvm".to_owned(), "tpu".to_owned()] };
        assert_eq!(
            all.unmet(&both),
            "requires `kvm` and `tpu` on `x86_64-linux`, and the nearest executor, `b`, lacks `tpu`: add that to the `features` of \
             an executor in nixdag.yml whose machine has it"
        );
        assert_eq!(
            of("x86_64-linux").unmet_by(&executors[1], "rule 2 of nixdag.yml"),
            "is sent by rule 2 of nixdag.yml to executor `arm`, which builds `aarch64-linux` and not `x86_64-linux`: name another \
             executor there"
        );
        assert_eq!(
            of("aarch64-linux").unmet_by(&executors[1], "rule 2 of nixdag.yml"),
            "is sent by rule 2 of nixdag.yml to executor `arm`, which lacks `kvm`: name another executor there, or add that to its \
             `features` in nixdag.yml if its machine has it"
        );
    }

    #[test]
    fn a_sentence_does_not_grow_with_what_derivations_require() {
        let features: Vec<String> = (0..100_000).map(|at| format!("f{at}")).collect();
        let said = Requirement { system: "x86_64-linux", features: &features }.unmet(&example::fleet().executors);
        assert!(said.contains("`f7` and 99992 more on `x86_64-linux`"), "{said}");
    }
}
