//! CircleCI's resource classes, as its documentation lists them (August 2026): what a machine of a class has, for planning and for
//! checking what somebody has typed. A class that is not here is no error: new ones appear, and self-hosted ones have any name.

use crate::executor::Machine;

/// A class: the size of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceClass {
    /// What configurations call it.
    pub name: &'static str,
    /// Processors.
    pub cores: u32,
    /// Memory, in MB.
    pub memory: u32,
    /// What a minute costs. Documented is only that `medium` takes 10; the others are assumed to cost as much a core, macOS more.
    pub credits_per_minute: u32,
}

const fn class(name: &'static str, cores: u32, memory: u32, credits_per_minute: u32) -> ResourceClass {
    ResourceClass { name, cores, memory, credits_per_minute }
}

const DOCKER: [ResourceClass; 7] = [
    class("small", 1, 2_000, 5),
    class("medium", 2, 4_000, 10),
    class("medium+", 3, 6_000, 15),
    class("large", 4, 8_000, 20),
    class("xlarge", 8, 16_000, 40),
    class("2xlarge", 16, 32_000, 80),
    class("2xlarge+", 20, 40_000, 100),
];

const LINUX_VM: [ResourceClass; 5] = [
    class("medium", 2, 7_500, 10),
    class("large", 4, 15_000, 20),
    class("xlarge", 8, 32_000, 40),
    class("2xlarge", 16, 64_000, 80),
    class("2xlarge+", 32, 64_000, 160),
];

const ARM: [ResourceClass; 4] = [
    class("arm.medium", 2, 8_000, 10),
    class("arm.large", 4, 16_000, 20),
    class("arm.xlarge", 8, 32_000, 40),
    class("arm.2xlarge", 16, 64_000, 80),
];

const MACOS: [ResourceClass; 2] = [class("m4pro.medium", 6, 28_000, 200), class("m4pro.large", 12, 56_000, 400)];

/// The class of this name, where it is known for this kind of machine.
pub fn find(machine: Machine, name: &str) -> Option<&'static ResourceClass> {
    let families: &[&'static [ResourceClass]] = match machine {
        Machine::Docker => &[&DOCKER, &ARM],
        Machine::LinuxVm => &[&LINUX_VM, &ARM],
        Machine::MacOs => &[&MACOS],
    };
    families.iter().copied().flatten().find(|class| class.name == name)
}

/// True for a class of Arm machines, whatever its size.
pub fn is_arm(name: &str) -> bool {
    name.starts_with("arm.")
}

/// True for `namespace/name`: the class of machines that the user runs.
pub fn is_self_hosted(name: &str) -> bool {
    name.split_once('/').is_some_and(|(namespace, rest)| !namespace.is_empty() && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_depends_on_the_kind_of_machine() {
        let cores = |machine, name| find(machine, name).map(|class| class.cores);
        assert_eq!(cores(Machine::Docker, "2xlarge+"), Some(20));
        assert_eq!(cores(Machine::LinuxVm, "2xlarge+"), Some(32));
        assert_eq!(cores(Machine::Docker, "arm.xlarge"), Some(8));
        assert_eq!(cores(Machine::LinuxVm, "small"), None);
        assert_eq!(cores(Machine::MacOs, "large"), None);
        assert!(is_self_hosted("acme/linux") && !is_self_hosted("large") && !is_self_hosted("/x"));
    }
}
