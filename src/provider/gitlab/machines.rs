//! GitLab.com's hosted runners, as its documentation lists them (November 2026: hosted runners, compute minutes), and the executors that
//! jobs run on where nobody says otherwise. A size is a runner's tag; its price is the factor with which minutes count.

use super::names::RESERVED;
use crate::fleet::Fleet;
use crate::fleet::image::ImageForm;
use crate::fleet::offers::{Offers, OwnMachines};
use crate::fleet::size::{Architecture, Machine, Offer, Size};

/// The image with Nix in it that containers start from.
pub const NIX_IMAGE: &str = "nixos/nix:2.34.7";

/// The image of macOS machines.
const MACOS_IMAGE: &str = "macos-15-xcode-16";

/// A hosted runner with 4 GB for each core: disk in GB, and what a minute counts.
const fn runner(name: &'static str, alias: &'static str, cores: u32, disk: u32, factor: u32) -> Size {
    Size { name, alias: Some(alias), cores, memory: cores * 4_000, disk: Some(disk), credits_per_minute: factor }
}

const LINUX: [Size; 5] = [
    runner("saas-linux-small-amd64", "small", 2, 30, 1),
    runner("saas-linux-medium-amd64", "medium", 4, 50, 2),
    runner("saas-linux-large-amd64", "large", 8, 100, 3),
    runner("saas-linux-xlarge-amd64", "xlarge", 16, 200, 6),
    runner("saas-linux-2xlarge-amd64", "2xlarge", 32, 200, 12),
];

const ARM: [Size; 3] = [
    runner("saas-linux-small-arm64", "small", 2, 30, 1),
    runner("saas-linux-medium-arm64", "medium", 4, 50, 2),
    runner("saas-linux-large-arm64", "large", 8, 100, 3),
];

const MACOS: [Size; 2] = [
    Size { memory: 8_000, ..runner("saas-macos-medium-m1", "medium", 4, 50, 6) },
    Size { memory: 16_000, ..runner("saas-macos-large-m2pro", "large", 6, 50, 12) },
];

const CONTAINER: Offer = Offer {
    machine: Machine::Docker,
    architecture: Architecture::X86_64,
    image_form: Some(ImageForm::Container),
    image: NIX_IMAGE,
    size: "saas-linux-medium-amd64",
    sizes: &LINUX,
};

/// A machine of its own: hosted runners start their containers on one, privileged, so that nothing else has to be named.
const VM: Offer = Offer { machine: Machine::LinuxVm, image_form: None, image: "", ..CONTAINER };

/// Everything that GitLab.com offers.
pub const OFFERS: Offers = Offers {
    list: &[
        CONTAINER,
        // The others are not in the free plan.
        Offer { architecture: Architecture::Aarch64, size: "saas-linux-small-arm64", sizes: &ARM, ..CONTAINER },
        VM,
        Offer { architecture: Architecture::Aarch64, size: "saas-linux-small-arm64", sizes: &ARM, ..VM },
        Offer {
            machine: Machine::MacOs,
            architecture: Architecture::Aarch64,
            image_form: Some(ImageForm::Named { prefixes: &["macos-"], examples: &[MACOS_IMAGE] }),
            image: MACOS_IMAGE,
            size: "saas-macos-medium-m1",
            sizes: &MACOS,
        },
    ],
    arm_word: "arm64",
    own_machines: OwnMachines::Tags,
};

/// The fleet where nobody says otherwise. GitLab.com publishes no number of jobs that run at once.
pub fn fleet() -> Fleet {
    Fleet { executors: OFFERS.executors(), offers: OFFERS, reserved_names: &RESERVED, concurrency: 60, rounding: 1_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_go_to_hosted_runners_by_system() {
        let shown: Vec<_> = fleet()
            .executors
            .iter()
            .map(|e| format!("{} {} {} {} {}", e.name, e.image, e.resource_class, e.cores, e.systems.join(" ")))
            .collect();
        assert_eq!(
            shown,
            [
                "docker nixos/nix:2.34.7 saas-linux-medium-amd64 4 x86_64-linux i686-linux",
                "arm nixos/nix:2.34.7 saas-linux-small-arm64 2 aarch64-linux",
                "macos macos-15-xcode-16 saas-macos-medium-m1 4 aarch64-darwin",
            ]
        );
    }
}
