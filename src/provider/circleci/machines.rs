//! CircleCI's machines, as its documentation lists them (August 2026): resource classes, the forms of images, and the executors that
//! jobs run on where nobody says otherwise. `orb/src/executors` offers the same for the setup job.

use super::names::RESERVED;
use crate::fleet::Fleet;
use crate::fleet::image::ImageForm;
use crate::fleet::offers::{Offers, OwnMachines};
use crate::fleet::size::{Architecture, Machine, Offer, Size};

/// The image with Nix in it that containers start from.
pub const NIX_IMAGE: &str = "nixos/nix:2.34.7";

/// The image of Linux VMs.
const VM_IMAGE: &str = "ubuntu-2404:current";

/// The version of Xcode that names the image of macOS machines.
const XCODE: &str = "26.6.0";

/// A class. Documented of prices is only that `medium` takes 10 credits a minute; the others are assumed to cost as much a core, macOS
/// more.
const fn class(name: &'static str, cores: u32, memory: u32, credits_per_minute: u32) -> Size {
    Size { name, alias: None, cores, memory, disk: None, credits_per_minute }
}

const DOCKER: [Size; 7] = [
    class("small", 1, 2_000, 5),
    class("medium", 2, 4_000, 10),
    class("medium+", 3, 6_000, 15),
    class("large", 4, 8_000, 20),
    class("xlarge", 8, 16_000, 40),
    class("2xlarge", 16, 32_000, 80),
    class("2xlarge+", 20, 40_000, 100),
];

/// The same with the disk that Linux VMs have; for other machines no number is documented.
const fn vm(name: &'static str, cores: u32, memory: u32, credits_per_minute: u32) -> Size {
    Size { disk: Some(150), ..class(name, cores, memory, credits_per_minute) }
}

const LINUX_VM: [Size; 5] = [
    vm("medium", 2, 7_500, 10),
    vm("large", 4, 15_000, 20),
    vm("xlarge", 8, 32_000, 40),
    vm("2xlarge", 16, 64_000, 80),
    vm("2xlarge+", 32, 64_000, 160),
];

/// Of containers and VMs alike.
const ARM: [Size; 4] = [
    Size { alias: Some("medium"), ..class("arm.medium", 2, 8_000, 10) },
    Size { alias: Some("large"), ..class("arm.large", 4, 16_000, 20) },
    Size { alias: Some("xlarge"), ..class("arm.xlarge", 8, 32_000, 40) },
    Size { alias: Some("2xlarge"), ..class("arm.2xlarge", 16, 64_000, 80) },
];

const MACOS: [Size; 2] = [class("m4pro.medium", 6, 28_000, 200), class("m4pro.large", 12, 56_000, 400)];

const CONTAINER: Offer = Offer {
    machine: Machine::Docker,
    architecture: Architecture::X86_64,
    image_form: Some(ImageForm::Container),
    image: NIX_IMAGE,
    size: "large",
    sizes: &DOCKER,
};

const VM: Offer = Offer {
    machine: Machine::LinuxVm,
    architecture: Architecture::X86_64,
    image_form: Some(ImageForm::Named {
        // Each has tags such as `current`.
        prefixes: &["ubuntu-2204:", "ubuntu-2404:", "ubuntu-2604:"],
        examples: &["ubuntu-2604:current", VM_IMAGE],
    }),
    image: VM_IMAGE,
    size: "large",
    sizes: &LINUX_VM,
};

/// Everything that CircleCI offers.
pub const OFFERS: Offers = Offers {
    list: &[
        CONTAINER,
        Offer { architecture: Architecture::Aarch64, size: "arm.large", sizes: &ARM, ..CONTAINER },
        VM,
        Offer { architecture: Architecture::Aarch64, size: "arm.large", sizes: &ARM, ..VM },
        Offer {
            machine: Machine::MacOs,
            architecture: Architecture::Aarch64,
            image_form: Some(ImageForm::Version("Xcode")),
            image: XCODE,
            size: "m4pro.medium",
            sizes: &MACOS,
        },
    ],
    arm_word: "arm",
    own_machines: OwnMachines::Class,
};

/// The fleet where nobody says otherwise. At once run as many jobs as the Performance plan allows (Free 30, Scale 200).
pub fn fleet() -> Fleet {
    Fleet { executors: OFFERS.executors(), offers: OFFERS, reserved_names: &RESERVED, concurrency: 80, rounding: 1_000 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::offers::Load;

    #[test]
    fn a_class_depends_on_the_kind_of_machine() {
        let cores = |machine, name| OFFERS.find(machine, name).map(|class| class.cores);
        assert_eq!(cores(Machine::Docker, "2xlarge+"), Some(20));
        assert_eq!(cores(Machine::LinuxVm, "2xlarge+"), Some(32));
        assert_eq!(cores(Machine::Docker, "arm.xlarge"), Some(8));
        assert_eq!(cores(Machine::LinuxVm, "small"), None);
        assert_eq!(cores(Machine::MacOs, "large"), None);
    }

    #[test]
    fn a_class_is_fitted_to_the_machine() {
        let executors = fleet().executors;
        let fitted = |size| executors.iter().map(|executor| OFFERS.fitted(executor, size)).collect::<Vec<_>>();
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(fitted("xlarge"), [some("xlarge"), some("arm.xlarge"), None]);
        assert_eq!(fitted("arm.large"), [None, some("arm.large"), None]);
        assert_eq!(fitted("small"), [some("small"), None, None]);
        assert_eq!(fitted("m4pro.large"), [None, None, some("m4pro.large")]);
        assert_eq!(fitted("new"), [some("new"), some("new"), some("new")]);
    }

    #[test]
    fn auto_goes_by_time_and_by_big_parallel() {
        let executors = fleet().executors;
        let of = |at: usize, minutes: u64, big_parallel| {
            let load = Load { duration: minutes * 60_000, big_parallel, ..Load::default() };
            OFFERS.automatic(&executors[at], load).unwrap().name
        };
        assert_eq!([0, 2, 10, 30].map(|m| of(0, m, false)), ["medium", "large", "xlarge", "2xlarge"]);
        assert_eq!([0, 30].map(|m| of(1, m, true)), ["arm.xlarge", "arm.2xlarge"]);
        assert_eq!(
            [(10, false), (30, false), (0, true)].map(|(m, big)| of(2, m, big)),
            ["m4pro.medium", "m4pro.large", "m4pro.large"]
        );
    }

    #[test]
    fn executors_have_what_their_class_has() {
        let shown: Vec<String> = fleet()
            .executors
            .iter()
            .map(|e| {
                let systems = e.systems.join(" ");
                format!("{} {} {} {} {} {systems}", e.name, e.image, e.resource_class, e.cores, e.credits_per_minute)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "docker nixos/nix:2.34.7 large 4 20 x86_64-linux i686-linux",
                "arm nixos/nix:2.34.7 arm.large 4 20 aarch64-linux",
                "macos 26.6.0 m4pro.medium 6 200 aarch64-darwin",
            ]
        );
    }
}
