//! CircleCI's resource classes, as its documentation lists them (August 2026): what a machine of a class has, for planning and for
//! checking what somebody has typed. A class that is not here is no error: new ones appear, and self-hosted ones have any name.

use crate::fleet::executor::{AUTO, Executor};
use crate::fleet::size::Machine;
use crate::nearest::{meant, meant_or_known};
use crate::plan::problem::Millis;

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

/// The classes that a kind of machine comes in, smallest first.
pub fn of(machine: Machine, arm: bool) -> &'static [ResourceClass] {
    match (machine, arm) {
        (Machine::Docker | Machine::LinuxVm, true) => &ARM,
        (Machine::Docker, false) => &DOCKER,
        (Machine::LinuxVm, false) => &LINUX_VM,
        (Machine::MacOs, _) => &MACOS,
        (Machine::SelfHosted, _) => &[],
    }
}

/// The class of this name, where it is known for this kind of machine.
pub fn find(machine: Machine, name: &str) -> Option<&'static ResourceClass> {
    of(machine, is_arm(name)).iter().find(|class| class.name == name)
}

/// True for a class that some kind of machine comes in.
pub fn is_known(name: &str) -> bool {
    [Machine::Docker, Machine::LinuxVm, Machine::MacOs].into_iter().any(|machine| find(machine, name).is_some())
}

/// What to say of a class that such machines do not come in, behind its name: which was probably meant, if any.
pub fn unfit(machine: Machine, name: &str) -> String {
    let what = match machine {
        Machine::Docker => "containers",
        Machine::LinuxVm => "Linux VMs",
        Machine::MacOs => "macOS machines",
        Machine::SelfHosted => "self-hosted runners",
    };
    match is_known(name) {
        true => {
            format!("is none of {what}{}", meant_or_known(name, names(machine)))
        }
        false => format!("is none that nixdag knows{}", hint(name)),
    }
}

/// What to say behind an unknown name: the class that was probably meant, if any.
pub fn hint(name: &str) -> String {
    let kinds = [Machine::Docker, Machine::LinuxVm, Machine::MacOs].into_iter();
    meant(name, kinds.flat_map(names))
}

/// All classes that such machines come in.
fn names(machine: Machine) -> impl Iterator<Item = &'static str> + Clone {
    let arm = of(machine, true).iter().filter(move |_| machine != Machine::MacOs);
    of(machine, false).iter().chain(arm).map(|class| class.name)
}

/// What a wish for a class means for an executor: `xlarge` on Arm is `arm.xlarge`. None for a class of other machines.
pub fn fitted(executor: &Executor, wish: &str) -> Option<String> {
    let own = executor.system();
    let fits = |name: &str| {
        find(executor.machine, name).is_some()
            && (executor.machine == Machine::MacOs || is_arm(name) == (own == "aarch64-linux"))
    };
    let on_arm = format!("arm.{wish}");
    match executor.machine {
        // Nobody but the user knows the names of these, and of those that are new.
        Machine::SelfHosted if is_known(wish) => None,
        _ if fits(wish) || !is_known(wish) => Some(wish.to_owned()),
        _ if fits(&on_arm) => Some(on_arm),
        _ => None,
    }
}

/// How long a build takes for which a class has to be chosen before anything is known, in milliseconds.
pub const TYPICAL_BUILD: Millis = 5 * 60_000;

/// The class for a build of this many milliseconds: up to 2 minutes the one with 2 cores, up to 10 minutes 4 cores, up to half
/// an hour 8 cores, else 16 cores, for `big-parallel` at least 8; on macOS the larger one from half an hour or with `big-parallel`.
pub fn automatic(executor: &Executor, duration: Millis, big_parallel: bool) -> Option<&'static ResourceClass> {
    let by_time = match duration / 60_000 {
        0..2 => 2,
        2..10 => 4,
        10..30 => 8,
        _ => 16,
    };
    let cores = if big_parallel { by_time.max(8) } else { by_time };
    let classes = of(executor.machine, executor.system() == "aarch64-linux");
    match executor.machine {
        Machine::MacOs => classes.get(usize::from(cores > 8 || big_parallel)),
        _ => classes.iter().find(|class| class.cores >= cores).or(classes.last()),
    }
}

/// The class of an executor for a job of which nobody knows how long it takes.
pub fn plain(executor: &Executor) -> &str {
    let class = executor.resource_class.as_str();
    if class == AUTO { automatic(executor, TYPICAL_BUILD, false).map_or(class, |class| class.name) } else { class }
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
        let defaults = crate::fleet::executor::circleci_defaults();
        let fitted = |wish| defaults.iter().map(|executor| fitted(executor, wish)).collect::<Vec<_>>();
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(fitted("xlarge"), [some("xlarge"), some("arm.xlarge"), None]);
        assert_eq!(fitted("arm.large"), [None, some("arm.large"), None]);
        assert_eq!(fitted("small"), [some("small"), None, None]);
        assert_eq!(fitted("m4pro.large"), [None, None, some("m4pro.large")]);
        assert_eq!(fitted("new"), [some("new"), some("new"), some("new")]);
        let minutes = |at: usize, minutes: Millis, big| automatic(&defaults[at], minutes * 60_000, big).unwrap().name;
        assert_eq!([0, 2, 10, 30].map(|m| minutes(0, m, false)), ["medium", "large", "xlarge", "2xlarge"]);
        assert_eq!([0, 30].map(|m| minutes(1, m, true)), ["arm.xlarge", "arm.2xlarge"]);
        assert_eq!(
            [(10, false), (30, false), (0, true)].map(|(m, big)| minutes(2, m, big)),
            ["m4pro.medium", "m4pro.large", "m4pro.large"]
        );
        assert!(is_self_hosted("acme/linux") && !is_self_hosted("large") && !is_self_hosted("/x"));
    }
}
