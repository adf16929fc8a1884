//! GitHub's hosted runners, as its documentation lists them (November 2026), and the executors that jobs run on where nobody says
//! otherwise. A size is a runner's label; its price is in thousandths of a dollar a minute, as private repositories pay it.

use super::names::RESERVED;
use crate::fleet::Fleet;
use crate::fleet::offers::{Offers, OwnMachines};
use crate::fleet::size::{Architecture, Machine, Offer, Size};

/// A runner with the disk that is promised: cores and memory in GB as public repositories get them.
const fn runner(name: &'static str, alias: Option<&'static str>, cores: u32, memory: u32, price: u32) -> Size {
    Size { name, alias, cores, memory: memory * 1_000, disk: Some(14), credits_per_minute: price }
}

const LINUX: [Size; 2] = [runner("ubuntu-24.04", None, 4, 16, 6), runner("ubuntu-26.04", None, 4, 16, 6)];

const ARM: [Size; 2] = [
    runner("ubuntu-24.04-arm", Some("ubuntu-24.04"), 4, 16, 5),
    runner("ubuntu-26.04-arm", Some("ubuntu-26.04"), 4, 16, 5),
];

const MACOS: [Size; 2] = [runner("macos-15", None, 3, 7, 62), runner("macos-26", None, 3, 7, 62)];

const VM: Offer = Offer {
    machine: Machine::LinuxVm,
    architecture: Architecture::X86_64,
    image_form: None,
    image: "",
    size: "ubuntu-24.04",
    sizes: &LINUX,
};

/// Everything that GitHub offers; larger runners have names that an organisation gives them.
pub const OFFERS: Offers = Offers {
    list: &[
        VM,
        Offer { architecture: Architecture::Aarch64, size: "ubuntu-24.04-arm", sizes: &ARM, ..VM },
        Offer { machine: Machine::MacOs, architecture: Architecture::Aarch64, size: "macos-15", sizes: &MACOS, ..VM },
    ],
    arm_word: "arm",
    own_machines: OwnMachines::Tags,
};

/// The fleet where nobody says otherwise. At once run as many jobs as the free plan allows (Pro 40, Team 60).
pub fn fleet() -> Fleet {
    Fleet {
        executors: vec![
            OFFERS.executor("linux", Machine::LinuxVm, Architecture::X86_64),
            OFFERS.executor("arm", Machine::LinuxVm, Architecture::Aarch64),
            OFFERS.executor("macos", Machine::MacOs, Architecture::Aarch64),
        ],
        offers: OFFERS,
        reserved_names: &RESERVED,
        concurrency: 20,
        // A begun minute is a whole one.
        rounding: 60_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_go_to_hosted_runners_by_system() {
        let shown: Vec<_> = fleet()
            .executors
            .iter()
            .map(|e| format!("{} {} {} {}", e.name, e.resource_class, e.cores, e.systems.join(" ")))
            .collect();
        assert_eq!(
            shown,
            [
                "linux ubuntu-24.04 4 x86_64-linux i686-linux",
                "arm ubuntu-24.04-arm 4 aarch64-linux",
                "macos macos-15 3 aarch64-darwin",
            ]
        );
    }

    #[test]
    fn a_newer_label_is_meant_on_both_processors() {
        let executors = fleet().executors;
        let fitted = |at: usize| OFFERS.fitted(&executors[at], "ubuntu-26.04");
        assert_eq!(
            (fitted(0).as_deref(), fitted(1).as_deref(), fitted(2)),
            (Some("ubuntu-26.04"), Some("ubuntu-26.04-arm"), None)
        );
    }
}
