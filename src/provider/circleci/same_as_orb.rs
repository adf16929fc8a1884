//! Tests: what the orb and this program both have to know is the same in both.

use serde_yaml::Value;

use super::machines::{NIX_IMAGE, OFFERS};
use crate::delivery::downloads::{NixRelease, TARGETS};
use crate::fleet::size::{Architecture, Machine, Offer};

/// The script that installs Nix and nixdag, in the orb and in generated jobs.
const INSTALLER: &str = include_str!("../../../orb/src/scripts/install.sh");

/// The orb's executors by their files' text, and what generated jobs run on in their place.
const EXECUTORS: [(&str, Machine, Architecture); 5] = [
    (include_str!("../../../orb/src/executors/nix.yml"), Machine::Docker, Architecture::X86_64),
    (include_str!("../../../orb/src/executors/cimg.yml"), Machine::Docker, Architecture::X86_64),
    (include_str!("../../../orb/src/executors/arm.yml"), Machine::Docker, Architecture::Aarch64),
    (include_str!("../../../orb/src/executors/vm.yml"), Machine::LinuxVm, Architecture::X86_64),
    (include_str!("../../../orb/src/executors/macos.yml"), Machine::MacOs, Architecture::Aarch64),
];

/// The components of the orb that install Nix, with the names of their parameters for the release and its folder.
const INSTALLS: [(&str, &str, &str); 3] = [
    (include_str!("../../../orb/src/commands/install_nix.yml"), "version", "base_url"),
    (include_str!("../../../orb/src/commands/generate.yml"), "nix_version", "nix_base_url"),
    (include_str!("../../../orb/src/jobs/setup.yml"), "nix_version", "nix_base_url"),
];

fn parameters(component: &str) -> Value {
    serde_yaml::from_str::<Value>(component).unwrap()["parameters"].clone()
}

fn default(component: &str, parameter: &str) -> String {
    let value = &parameters(component)[parameter]["default"];
    value.as_str().unwrap_or_else(|| panic!("`{parameter}` has no default that is a text")).to_owned()
}

fn offer(machine: Machine, architecture: Architecture) -> &'static Offer {
    OFFERS.list.iter().find(|offer| offer.machine == machine && offer.architecture == architecture).unwrap()
}

/// The cases `pattern) value…` of a function of the script.
fn cases(function: &str) -> Vec<(&'static str, &'static str)> {
    let (_, body) = INSTALLER.split_once(&format!("\n{function}() {{\n")).unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let arms = body.lines().filter_map(|line| line.trim().strip_suffix(" ;;")?.split_once(") "));
    arms.filter(|(pattern, _)| *pattern != "*").collect()
}

#[test]
fn the_script_that_installs_knows_the_cores_of_each_container() {
    let mut orb: Vec<(String, u32)> = cases("container_cores")
        .into_iter()
        .map(|(class, action)| (class.to_owned(), action.strip_prefix("echo ").unwrap().parse().unwrap()))
        .collect();
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        for size in offer(Machine::Docker, architecture).sizes {
            // The script takes the mark of Arm off.
            let name = size.name.strip_prefix("arm.").unwrap_or(size.name);
            assert!(orb.contains(&(name.to_owned(), size.cores)), "{size:?} is not in {orb:?}");
        }
    }
    orb.retain(|(class, _)| OFFERS.find(Machine::Docker, class).is_none());
    assert_eq!(orb, [], "classes that only the script knows");
}

#[test]
fn the_script_that_installs_serves_the_systems_of_all_machines_and_no_others() {
    let triples: Vec<_> = cases("install_nixdag")
        .into_iter()
        .map(|(system, action)| (system, action.strip_prefix("triple=").unwrap()))
        .collect();
    assert_eq!(triples, TARGETS);
    let found: Vec<_> = cases("system").into_iter().filter_map(|(_, action)| action.strip_prefix("echo ")).collect();
    let systems = TARGETS.map(|(system, _)| system);
    assert_eq!(found, systems);
    for offer in OFFERS.list {
        assert!(systems.contains(&offer.machine.system(offer.architecture).unwrap()), "{offer:?}");
    }
    let release = NixRelease::default();
    assert_eq!(release.tarballs.iter().map(|(system, _)| system.as_str()).collect::<Vec<_>>(), systems);
}

#[test]
fn the_orbs_executors_are_the_usual_machines() {
    for (executor, machine, architecture) in EXECUTORS {
        let offer = offer(machine, architecture);
        assert_eq!(default(executor, "resource_class"), offer.size);
        let description = parameters(executor)["resource_class"]["description"].as_str().unwrap().to_owned();
        for end in [offer.sizes.first(), offer.sizes.last()] {
            assert!(description.contains(end.unwrap().name), "`{description}` does not name {end:?}");
        }
    }
    let [nix, _, _, vm, macos] = EXECUTORS.map(|(text, ..)| text);
    assert_eq!(format!("nixos/nix:{}", default(nix, "tag")), NIX_IMAGE);
    assert_eq!(default(vm, "image"), offer(Machine::LinuxVm, Architecture::X86_64).image);
    assert_eq!(default(macos, "xcode"), offer(Machine::MacOs, Architecture::Aarch64).image);
}

#[test]
fn one_release_of_nix_is_installed_everywhere() {
    let release = NixRelease::default();
    assert_eq!(NIX_IMAGE, format!("nixos/nix:{}", release.version));
    for (component, version, url) in INSTALLS {
        assert_eq!(
            (default(component, version), default(component, url)),
            (release.version.clone(), release.url.clone())
        );
    }
}
