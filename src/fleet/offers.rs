//! Questions about what a provider offers: which size is meant, which one fits, what it has. A size that is not in the tables is no
//! error: new ones appear, and those of self-hosted machines have any name.

use super::executor::{AUTO, Executor};
use super::image::ImageForm;
use super::size::{Architecture, Machine, Offer, Size, for_builds};
use crate::nearest::{meant, meant_or_known};

/// How long a build takes for which a size has to be chosen before anything is known, in milliseconds.
const TYPICAL_BUILD: u64 = 5 * 60_000;

/// Percent of a disk that what a job fetches and builds may take: the rest is for the system and for what builders write meanwhile.
const DISK_FOR_BUILDS: u64 = 80;

/// What is known of a build for which a size is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How long it takes, milliseconds.
    pub duration: u64,
    /// Whether it asks for `big-parallel`.
    pub big_parallel: bool,
    /// Memory at its highest, bytes.
    pub memory: Option<u64>,
    /// Processors that it keeps busy, thousandths.
    pub processors: Option<u64>,
}

/// Everything that a provider offers.
#[derive(Clone, Copy, Debug)]
pub struct Offers {
    /// The kinds of machine.
    pub list: &'static [Offer],
    /// The word in a size's name that tells of an Arm processor, between other characters than letters and digits.
    pub arm_word: &'static str,
    /// How machines of the user's own are named.
    pub own_machines: OwnMachines,
}

/// How a provider names machines of the user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnMachines {
    /// By a resource class `namespace/name`.
    Class,
    /// By tags, all of which a machine must have. Their resource class is the tags, with [`TAG_SEPARATOR`] between them.
    Tags,
}

/// Stands between tags, none of which can hold it.
pub const TAG_SEPARATOR: char = ',';

impl Offers {
    /// An executor of the usual image and size, which builds what its machine runs by itself.
    pub fn executor(&self, name: &str, machine: Machine, architecture: Architecture) -> Executor {
        let mut executor = Executor { name: name.into(), ..Executor::default() };
        self.reset(&mut executor, machine, architecture);
        executor.systems = executor.native_systems();
        executor
    }

    /// The executors where nobody says otherwise: containers on both processors, and macOS.
    pub fn executors(&self) -> Vec<Executor> {
        vec![
            self.executor("docker", Machine::Docker, Architecture::X86_64),
            self.executor("arm", Machine::Docker, Architecture::Aarch64),
            self.executor("macos", Machine::MacOs, Architecture::Aarch64),
        ]
    }

    /// What an executor is of which nobody says that: the first kind of machine that is offered.
    pub fn usual_machine(&self) -> Machine {
        self.list.first().map_or(Machine::SelfHosted, |offer| offer.machine)
    }

    /// Makes an executor another kind of machine, with the usual image and size, where such machines are offered.
    pub fn reset(&self, executor: &mut Executor, machine: Machine, architecture: Architecture) {
        executor.machine = machine;
        let offer = self.of(machine, architecture);
        executor.image = offer.map_or(String::new(), |offer| offer.image.into());
        self.resize(executor, offer.map_or("", |offer| offer.size));
    }

    /// Gives an executor another size, with the cores and the price that this has. False where they are not known, and stay.
    pub fn resize(&self, executor: &mut Executor, size: &str) -> bool {
        executor.resource_class = size.to_owned();
        executor.architecture = self.architecture(size);
        let known = self.usual(executor);
        if let Some(known) = known {
            (executor.cores, executor.credits_per_minute) = (known.cores, known.credits_per_minute);
        }
        known.is_some()
    }

    /// The size of this name, where such machines come in it.
    pub fn find(&self, machine: Machine, name: &str) -> Option<&'static Size> {
        self.sizes(machine).find(|size| size.name == name)
    }

    /// True for a size that some kind of machine comes in.
    pub fn is_known(&self, name: &str) -> bool {
        self.list.iter().flat_map(|offer| offer.sizes).any(|size| size.name == name || size.alias == Some(name))
    }

    /// What to say of a size that such machines do not come in, behind its name: which was probably meant, if any.
    pub fn unfit(&self, machine: Machine, name: &str) -> String {
        let what = match machine {
            Machine::Docker => "containers",
            Machine::LinuxVm => "Linux VMs",
            Machine::MacOs => "macOS machines",
            Machine::SelfHosted => "self-hosted runners",
        };
        if self.is_known(name) {
            let names = self.sizes(machine).map(|size| size.name);
            format!("is not one of {what}{}", meant_or_known(name, names))
        } else {
            format!("is not one that nixdag knows{}", self.hint(name))
        }
    }

    /// What to say behind an unknown name: the size that was probably meant, if any.
    pub fn hint(&self, name: &str) -> String {
        meant(name, self.list.iter().flat_map(|offer| offer.sizes).map(|size| size.name))
    }

    /// What asking for a size means for an executor: `xlarge` may have another name on Arm. None for a size of other machines.
    pub fn fitted(&self, executor: &Executor, asked: &str) -> Option<String> {
        // Nobody but the user knows the names of self-hosted machines, and of sizes that are new.
        if !self.is_known(asked) {
            return Some(asked.to_owned());
        }
        let sizes = self.of_executor(executor)?.sizes;
        let named = sizes.iter().find(|size| size.name == asked);
        named.or_else(|| sizes.iter().find(|size| size.alias == Some(asked))).map(|size| size.name.to_owned())
    }

    /// The size for a build. Up to 2 minutes the one with 2 cores, up to 10 minutes 4 cores, up to half an hour 8 cores, else 16 cores, for
    /// `big-parallel` at least 8; on macOS the larger one from half an hour or with `big-parallel`. Where it is known how many processors the build
    /// keeps busy, not more than twice that; and never one with too little memory while there is a larger one.
    pub fn automatic(&self, executor: &Executor, load: Load) -> Option<&'static Size> {
        let by_time = match load.duration / 60_000 {
            0..2 => 2,
            2..10 => 4,
            10..30 => 8,
            _ => 16,
        };
        let cores = if load.big_parallel { by_time.max(8) } else { by_time };
        let useful = |busy: u64| u32::try_from(busy.div_ceil(1000)).unwrap_or(u32::MAX).saturating_mul(2).max(2);
        let cores = cores.min(load.processors.map_or(cores, useful));
        let sizes = self.of_executor(executor)?.sizes;
        let first = match executor.machine {
            Machine::MacOs => Some(usize::from(cores > 8 || load.big_parallel)).filter(|&at| at < sizes.len()),
            _ => sizes.iter().position(|size| size.cores >= cores),
        };
        let large = &sizes[first.unwrap_or(sizes.len().saturating_sub(1))..];
        let has_memory = |size: &&Size| load.memory.is_none_or(|needed| size.memory_for_builds() >= needed);
        large.iter().find(has_memory).or_else(|| large.iter().max_by_key(|size| size.memory))
    }

    /// The smallest of an executor's sizes with more memory than one of them; none where there is none, or that one is not known.
    pub fn larger(&self, executor: &Executor, size: &str) -> Option<&'static Size> {
        let sizes = self.of_executor(executor)?.sizes;
        let memory = sizes.iter().find(|known| known.name == size)?.memory;
        sizes.iter().filter(|size| size.memory > memory).min_by_key(|size| size.memory)
    }

    /// Memory for builds in a size of an executor, bytes; none where it is not known.
    pub fn memory(&self, executor: &Executor, size: &str) -> Option<u64> {
        let declared = executor.memory.filter(|_| size == executor.resource_class);
        let declared = declared.map(|gigabytes| for_builds(u64::from(gigabytes) * 1_000_000_000));
        declared.or_else(|| Some(self.find_of(executor, size)?.memory_for_builds()))
    }

    /// Disk for what a job fetches and builds in a size of an executor, bytes; none where it is not known.
    pub fn disk(&self, executor: &Executor, size: &str) -> Option<u64> {
        let gigabytes = executor.disk.or_else(|| self.find_of(executor, size)?.disk)?;
        Some(u64::from(gigabytes) * 1_000_000_000 / 100 * DISK_FOR_BUILDS)
    }

    /// A size of an executor's own kind of machine.
    fn find_of(&self, executor: &Executor, size: &str) -> Option<&'static Size> {
        self.of_executor(executor)?.sizes.iter().find(|known| known.name == size)
    }

    /// The name of an executor's size for a job of which nobody knows how long it takes.
    pub fn plain<'e>(&self, executor: &'e Executor) -> &'e str {
        let own = executor.resource_class.as_str();
        if own == AUTO { self.usual(executor).map_or(own, |size| size.name) } else { own }
    }

    /// The name of the size that costs an executor least, where its image fits any size; its own where nobody knows others.
    pub fn cheapest<'e>(&self, executor: &'e Executor) -> &'e str {
        let sizes = self.of_executor(executor).map_or(&[][..], |offer| offer.sizes);
        sizes.iter().min_by_key(|size| size.credits_per_minute).map_or(self.plain(executor), |size| size.name)
    }

    /// Derivations that an executor builds side by side in a size that may be another than its own; none where that is not known.
    pub fn cores(&self, executor: &Executor, size: &str) -> Option<u32> {
        if size == executor.resource_class {
            return Some(executor.cores);
        }
        self.find(executor.machine, size).map(|size| size.cores)
    }

    /// What a minute costs in a size that may be another than the executor's own; as much as in that where it is not known.
    pub fn credits_per_minute(&self, executor: &Executor, size: &str) -> u32 {
        let other = self.find(executor.machine, size).filter(|_| size != executor.resource_class);
        other.map_or(executor.credits_per_minute, |size| size.credits_per_minute)
    }

    /// True for an image that an executor can start from.
    pub fn fits_image(&self, executor: &Executor, image: &str) -> bool {
        let form = self.of_executor(executor).and_then(|offer| offer.image_form);
        form.is_some_and(|form| form.fits(self.image_forms(), image))
    }

    /// True for an image that certainly belongs to another kind of machine.
    pub fn excludes_image(&self, executor: &Executor, image: &str) -> bool {
        let form = self.of_executor(executor).and_then(|offer| offer.image_form);
        form.is_none_or(|form| form.excludes(self.image_forms(), image))
    }

    /// What an executor's image is, as the end of a sentence, where it does not have the form that such machines' images have.
    pub fn odd_image(&self, executor: &Executor) -> Option<String> {
        let form = self.of_executor(executor)?.image_form?;
        (!form.fits(self.image_forms(), &executor.image)).then(|| form.lacking())
    }

    /// What an executor is made of.
    fn of_executor(&self, executor: &Executor) -> Option<&'static Offer> {
        let arm = executor.system().starts_with("aarch64-");
        self.of(executor.machine, if arm { Architecture::Aarch64 } else { Architecture::X86_64 })
    }

    /// The machines with this processor, else those with another.
    fn of(&self, machine: Machine, architecture: Architecture) -> Option<&'static Offer> {
        let mut all = self.list.iter().filter(|offer| offer.machine == machine);
        all.clone().find(|offer| offer.architecture == architecture).or_else(|| all.next())
    }

    /// The size that an executor has for a build of which nothing is known.
    fn usual(&self, executor: &Executor) -> Option<&'static Size> {
        match executor.resource_class.as_str() {
            AUTO => self.automatic(executor, Load { duration: TYPICAL_BUILD, ..Load::default() }),
            name => self.find(executor.machine, name),
        }
    }

    /// The processor that a size's name tells of.
    fn architecture(&self, name: &str) -> Option<Architecture> {
        let mut words = name.split(|c: char| !c.is_alphanumeric());
        words.any(|word| word == self.arm_word).then_some(Architecture::Aarch64)
    }

    fn sizes(&self, machine: Machine) -> impl Iterator<Item = &'static Size> + Clone {
        self.list.iter().filter(move |offer| offer.machine == machine).flat_map(|offer| offer.sizes)
    }

    fn image_forms(&self) -> impl Iterator<Item = ImageForm> + Clone {
        self.list.iter().filter_map(|offer| offer.image_form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::example;

    #[test]
    fn a_size_means_the_same_size_on_another_processor() {
        let fleet = example::fleet();
        let fitted = |at: usize, asked| fleet.offers.fitted(&fleet.executors[at], asked);
        assert_eq!(fitted(0, "huge").as_deref(), Some("huge"));
        assert_eq!(fitted(1, "huge").as_deref(), Some("huge-arm64"));
        assert_eq!((fitted(0, "huge-arm64"), fitted(1, "small"), fitted(2, "huge")), (None, None, None));
    }

    #[test]
    fn the_name_of_an_unknown_size_may_tell_of_an_arm_processor() {
        let mut fleet = example::fleet();
        let executor = &mut fleet.executors[0];
        assert!(!fleet.offers.resize(executor, "giant-arm64"));
        assert_eq!((executor.system(), executor.cores), ("aarch64-linux", 4), "cores that nobody knows stay");
        assert!(!fleet.offers.resize(executor, "giant"));
        assert_eq!(executor.system(), "x86_64-linux");
    }

    /// Machines that are chosen by a label alone.
    const LABELS: Offers = Offers {
        list: &[Offer {
            machine: Machine::LinuxVm,
            architecture: Architecture::X86_64,
            image_form: None,
            image: "",
            size: "debian-12",
            sizes: &[Size {
                name: "debian-12",
                alias: None,
                cores: 4,
                memory: 16_000,
                disk: Some(14),
                credits_per_minute: 6,
            }],
        }],
        arm_word: "arm",
        own_machines: OwnMachines::Class,
    };

    #[test]
    fn machines_without_a_choice_of_images_take_none() {
        let executor = LABELS.executor("vm", Machine::LinuxVm, Architecture::Aarch64);
        let size = (executor.image.as_str(), executor.resource_class.as_str(), executor.cores);
        assert_eq!(size, ("", "debian-12", 4), "what comes nearest");
        assert!(!LABELS.fits_image(&executor, "nixos/nix") && LABELS.excludes_image(&executor, "nixos/nix"));
        assert_eq!(LABELS.odd_image(&executor), None);
    }
}
