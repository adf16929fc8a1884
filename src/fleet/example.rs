//! A made-up provider's fleet, for tests: containers on both processors, a Linux VM, and macOS.

use super::Fleet;
use super::image::ImageForm;
use super::offers::{Offers, OwnMachines};
use super::size::{Architecture, Machine, Offer, Size};

const fn size(name: &'static str, alias: Option<&'static str>, cores: u32) -> Size {
    Size { name, alias, cores, memory: cores * 2_000, disk: None, credits_per_minute: cores * 5 }
}

const SMALL: Size = size("small", None, 2);
const LARGE: Size = size("large", None, 4);
const HUGE: Size = size("huge", None, 16);
const ARM: [Size; 2] = [size("large-arm64", Some("large"), 4), size("huge-arm64", Some("huge"), 16)];

const fn offer(machine: Machine, architecture: Architecture, form: ImageForm, image: &'static str) -> Offer {
    Offer { machine, architecture, image_form: Some(form), image, size: "large", sizes: &[SMALL, LARGE, HUGE] }
}

const CONTAINER: Offer = offer(Machine::Docker, Architecture::X86_64, ImageForm::Container, "nixos/nix");
const NAMED: ImageForm = ImageForm::Named { prefixes: &["debian-"], examples: &["debian-12"] };

const OFFERS: Offers = Offers {
    list: &[
        CONTAINER,
        Offer { architecture: Architecture::Aarch64, size: "large-arm64", sizes: &ARM, ..CONTAINER },
        offer(Machine::LinuxVm, Architecture::X86_64, NAMED, "debian-12"),
        Offer {
            size: "m1",
            sizes: &[size("m1", None, 6), size("m2", None, 12)],
            ..offer(Machine::MacOs, Architecture::Aarch64, ImageForm::Version("macOS"), "26")
        },
    ],
    arm_word: "arm64",
    own_machines: OwnMachines::Class,
};

/// Executors `docker`, `arm` and `macos`.
pub fn fleet() -> Fleet {
    Fleet {
        executors: OFFERS.executors(),
        offers: OFFERS,
        reserved_names: &["gate", "evaluation", "report"],
        concurrency: 80,
        rounding: 1_000,
    }
}
