//! From what the orb is given to the arguments of `nixdag generate`, as its script makes them.

use std::collections::BTreeMap;

use super::file::GROUPS;
use super::option::{OptionInfo, OrbForm};

/// Words that the orb passes on as they are.
const EXTRA: &str = "extra_arguments";

/// The arguments; parameters that become no flag of an option are left out.
pub fn of(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let options = GROUPS.iter().flat_map(|group| group.options);
    let mut arguments: Vec<String> = options.flat_map(|option| of_option(option, parameters)).collect();
    arguments.extend(parameters.get(EXTRA).iter().flat_map(|text| text.split_whitespace()).map(str::to_owned));
    arguments
}

fn of_option(option: &OptionInfo, parameters: &BTreeMap<String, String>) -> Vec<String> {
    let (Some(flag), Ok(parameter)) = (option.flag(), option.orb) else { return Vec::new() };
    let Some(value) = parameters.get(parameter.name).map(|value| value.trim()).filter(|value| !value.is_empty()) else {
        return Vec::new();
    };
    let with = |value: &str| format!("{flag}={value}");
    match parameter.form {
        OrbForm::Text | OrbForm::Variable => vec![with(value)],
        OrbForm::List => value.split_whitespace().map(with).collect(),
        OrbForm::Choice if value != "default" => vec![with(value)],
        // What depends on a pipeline's own parameter may be on.
        OrbForm::Switch if value != "false" => vec![flag],
        OrbForm::Systems if value == "all" => vec!["--all-systems".to_owned()],
        OrbForm::Systems => value.split_whitespace().map(with).collect(),
        OrbForm::Choice | OrbForm::Switch | OrbForm::Own => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_becomes_what_the_script_makes_of_it() {
        let given = [
            ("allow_ifd", "<< pipeline.parameters.x >>"),
            ("impure", "false"),
            ("push", "s3://a\ncachix:b"),
            ("reuse", "off"),
            ("handoff", "default"),
            ("systems", "all"),
            ("cache", ""),
            ("extra_arguments", "--option a b"),
            ("nix_mode", "daemon"),
        ];
        let arguments = of(&given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        let expected =
            ["--all-systems", "--allow-ifd", "--reuse=off", "--push=s3://a", "--push=cachix:b", "--option", "a", "b"];
        assert_eq!(arguments, expected);
    }
}
