//! `--resource-class` and `--image`: other sizes and images for the executors. In: the executors and the flags' values. Out: the
//! executors changed in place, and warnings about what is not known.

use anyhow::{Result, bail, ensure};

use super::executor_entry::Executors;
use super::option::options;
use super::rule_entry::RuleEntry;
use super::words::{ClassName, ContextName, ExecutorName, WordsOrNone};
use super::yaml::List;
use crate::fleet::Fleet;
use crate::fleet::executor::{AUTO, Executor};
use crate::fleet::offers::Offers;
use crate::fleet::size::Machine;
use crate::nearest::meant_or_known;
use crate::usage::usage;

options! {
    /// Where jobs run
    "Machines": MachineFlags, MachineKeys, MachineOptions {
        /// Size of the machines, e.g. `xlarge`, `aarch64-linux=arm.xlarge`, `docker=2xlarge`
        resource_class {
            flag Vec<String> [value_name = "[SYSTEM=|EXECUTOR=]CLASS"];
            no key: "changes what `executors` and `rules` of nixdag.yml say";
            orb List "resource_class";
        }
        /// Image of the machines, e.g. `nixos/nix:2.34.7`, `aarch64-darwin=26.6.0`
        image {
            flag Vec<String> [value_name = "[SYSTEM=|EXECUTOR=]IMAGE"];
            no key: "changes what `executors` and `rules` of nixdag.yml say";
            orb List "image";
        }
        /// Machines by name: new ones, or changes to the built-in docker, arm and macos
        executors {
            no flag: "it is a mapping; `--resource-class` and `--image` change it";
            key "executors": Executors;
            no orb: "nixdag.yml has it";
        }
        /// Where and how derivations are built; the first rule that matches wins
        rules {
            no flag: "it is a list of mappings";
            key "rules": List<RuleEntry>;
            no orb: "nixdag.yml has it";
        }
        /// The only contexts that rules and packages may name; `[]` is none
        contexts {
            no flag: "it belongs beside the rules";
            key "contexts": WordsOrNone<ContextName>;
            unset: "any for rules, none for packages";
            no orb: "nixdag.yml has it";
        }
        /// Executors of nixdag.yml that packages may name, beside the built-in ones
        package_executors {
            no flag: "it belongs beside the executors";
            key "package_executors": WordsOrNone<ExecutorName>;
            unset: "none";
            no orb: "nixdag.yml has it";
        }
        /// Resource classes that packages may name beside the usual ones of the provider, e.g. `acme/builders`, `gpu.nvidia.small`
        package_resource_classes {
            no flag: "it belongs beside the executors";
            key "package_resource_classes": WordsOrNone<ClassName>;
            unset: "none";
            no orb: "nixdag.yml has it";
        }
    }
}

/// Longest class or image, in bytes.
const MAX_VALUE: usize = 300;

/// Changes the executors that the flags mean. Gives warnings.
pub fn change(fleet: &mut Fleet, classes: &[String], images: &[String]) -> Result<Vec<String>> {
    let Fleet { executors, offers, .. } = fleet;
    let mut warnings = Vec::new();
    for text in classes {
        let (scope, class) = split(text, "--resource-class")?;
        let chosen = choose(executors, scope, "--resource-class", |executor| class_fits(offers, executor, class))?;
        for at in chosen {
            warnings.extend(set_class(offers, &mut executors[at], class));
        }
    }
    for text in images {
        let (scope, image) = split(text, "--image")?;
        for at in choose(executors, scope, "--image", |executor| offers.fits_image(executor, image))? {
            executors[at].image = image.to_owned();
        }
    }
    Ok(warnings)
}

/// Gives an executor another class, with the cores and the price that the class has. A warning where that is not known.
fn set_class(offers: &Offers, executor: &mut Executor, class: &str) -> Option<String> {
    let fits = class_fits(offers, executor, class);
    offers.resize(executor, class);
    (!fits).then(|| {
        format!(
            "resource class `{class}` is not one that nixdag knows for executor `{}`: assuming {} cores",
            executor.name, executor.cores
        )
    })
}

/// The part before `=`, if there is one, and the value.
fn split<'a>(text: &'a str, flag: &str) -> Result<(Option<&'a str>, &'a str)> {
    let (scope, value) = text.split_once('=').map_or((None, text), |(scope, value)| (Some(scope), value));
    ensure!(
        !value.is_empty()
            && value.len() <= MAX_VALUE
            && !value.contains(|c: char| c.is_whitespace() || c.is_control())
            && scope != Some(""),
        usage(format!(
            "`{flag} {}` has no value that a machine could have (expected e.g. `large` or `x86_64-linux=large`)",
            text.escape_debug()
        ))
    );
    Ok((scope, value))
}

/// The executors, by position, that a value is for: the one that is named, else those that build the system. Where nothing is named,
/// those that get jobs without being asked for and that the value fits, else the first one.
fn choose(
    executors: &[Executor],
    scope: Option<&str>,
    flag: &str,
    fits: impl Fn(&Executor) -> bool,
) -> Result<Vec<usize>> {
    let all = |wanted: &dyn Fn(&Executor) -> bool| -> Vec<usize> {
        executors.iter().enumerate().filter(|(_, executor)| wanted(executor)).map(|(at, _)| at).collect()
    };
    let Some(scope) = scope else {
        let first = |executor: &Executor, system: &String| {
            let serves = executors.iter().find(|other| other.builds(system));
            serves.is_some_and(|other| other.name == executor.name)
        };
        let fitting = all(&|executor| executor.systems.iter().any(|system| first(executor, system)) && fits(executor));
        return Ok(if fitting.is_empty() { all(&|_| true).into_iter().take(1).collect() } else { fitting });
    };
    let named = all(&|executor| executor.name == scope);
    let chosen =
        if named.is_empty() { all(&|executor| executor.systems.iter().any(|has| has == scope)) } else { named };
    if chosen.is_empty() {
        let names = executors.iter().flat_map(|executor| executor.systems.iter().chain([&executor.name]));
        let names = names.map(String::as_str);
        bail!(usage(format!(
            "`{flag} {0}=…`: `{0}` is neither an executor nor a system that one builds{1}",
            scope.escape_debug(),
            meant_or_known(scope, names)
        )));
    }
    Ok(chosen)
}

/// True for a class that the provider has for such machines.
fn class_fits(offers: &Offers, executor: &Executor, class: &str) -> bool {
    if class == AUTO {
        return executor.machine != Machine::SelfHosted;
    }
    offers.is_known(class) && offers.fitted(executor, class).is_some_and(|fitted| fitted == class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::example;

    fn changed(classes: &[&str], images: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let mut fleet = example::fleet();
        let warnings = change(&mut fleet, &own(classes), &own(images))?;
        let shown = fleet.executors.iter().map(|e| format!("{} {} {}", e.resource_class, e.cores, e.image)).collect();
        Ok((shown, warnings))
    }

    #[test]
    fn a_value_goes_where_it_fits_or_where_it_is_sent() {
        let of = |classes: &[&str], images: &[&str]| changed(classes, images).unwrap();
        let (shown, warnings) = of(&["huge", "huge-arm64", "m2"], &["26.5"]);
        assert_eq!(shown, ["huge 16 nixos/nix", "huge-arm64 16 nixos/nix", "m2 12 26.5"]);
        assert_eq!(warnings, [""; 0]);
        let (shown, _) = of(&["i686-linux=small", "arm=huge-arm64"], &["me/nix:1", "aarch64-linux=me/arm:2"]);
        assert_eq!(shown, ["small 2 me/nix:1", "huge-arm64 16 me/arm:2", "m1 6 26"]);
    }

    #[test]
    fn an_unknown_class_is_taken_with_a_warning() {
        for (flag, class) in
            [("4xlarge", "4xlarge"), ("docker=acme/big", "acme/big"), ("docker=large-arm64", "large-arm64")]
        {
            let (shown, warnings) = changed(&[flag], &[]).unwrap();
            assert!(shown[0].starts_with(&format!("{class} 4 ")), "{shown:?}");
            assert!(warnings[0].contains(&format!("`{class}`")) && warnings[0].contains("`docker`"), "{warnings:?}");
        }
    }

    #[test]
    fn what_means_no_machine_is_an_error() {
        for (flag, part) in [
            ("", "no value"),
            ("docker=", "no value"),
            ("=large", "no value"),
            ("a b", "no value"),
            ("dokcer=large", "did you mean `docker`?"),
            ("x86_64-linxu=large", "did you mean `x86_64-linux`?"),
            ("riscv64-netbsd=large", "neither an executor nor a system"),
        ] {
            let error = changed(&[flag], &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{flag}: {error}");
        }
    }
}
