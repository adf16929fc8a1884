//! What images of CircleCI's machines are called, as far as their form tells: VM images have well-known names, Xcode versions are numbers,
//! everything else can be an image of a container.

use crate::fleet::size::Machine;

/// The Ubuntu images of Linux VMs that CircleCI documents; each has tags such as `current`.
const LINUX_VM: [&str; 3] = ["ubuntu-2204:", "ubuntu-2404:", "ubuntu-2604:"];

/// True for an image that such machines can start from.
pub fn fits(machine: Machine, image: &str) -> bool {
    let is_version = !image.is_empty() && image.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_vm = LINUX_VM.iter().any(|known| image.starts_with(known));
    match machine {
        Machine::Docker => !image.is_empty() && !is_version && !is_vm,
        Machine::LinuxVm => is_vm,
        Machine::MacOs => is_version,
        Machine::SelfHosted => false,
    }
}

/// True for an image that certainly belongs to another kind of machine.
pub fn belongs_elsewhere(machine: Machine, image: &str) -> bool {
    let others = [Machine::LinuxVm, Machine::MacOs].into_iter().filter(|other| *other != machine);
    !fits(machine, image) && (machine != Machine::LinuxVm || others.into_iter().any(|other| fits(other, image)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_image_tells_its_machine() {
        let of = |image| [Machine::Docker, Machine::LinuxVm, Machine::MacOs].map(|machine| fits(machine, image));
        assert_eq!(of("nixos/nix:2.34.7"), [true, false, false]);
        assert_eq!(of("ubuntu-2404:current"), [false, true, false]);
        assert_eq!(of("26.6.0"), [false, false, true]);
        assert_eq!(of(""), [false, false, false]);
        assert!(belongs_elsewhere(Machine::MacOs, "nixos/nix") && belongs_elsewhere(Machine::Docker, "26.6.0"));
        assert!(!belongs_elsewhere(Machine::LinuxVm, "my-image:1") && belongs_elsewhere(Machine::LinuxVm, "26.6.0"));
    }
}
