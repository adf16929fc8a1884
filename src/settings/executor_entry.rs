//! `executors` of `nixdag.yml`: machines by name. In: the mapping, and the executors that there are anyway. Out: all executors in the
//! order in which they are chosen, and warnings about what the provider may not know.

use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::schema::Schema;
use super::values::{Number, Variables, key};
use super::words::{
    ClassName, Command, ExecutorName, Feature, ImageName, KeepWord, One, RunnerTag, Shell, SystemName, Word, Words,
};
use super::yaml::mapping;
use crate::fleet::Fleet;
use crate::fleet::executor::Executor;
use crate::fleet::offers::{Offers, OwnMachines, TAG_SEPARATOR};
use crate::fleet::size::{Architecture, Machine};

/// Cores of a machine of unknown size.
const UNKNOWN_CORES: u32 = 2;

/// An entry under `executors`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutorEntry {
    /// `docker`
    pub docker: Option<One<ImageName>>,
    /// `machine`: a VM image, or `true`.
    pub machine: Option<VmImage>,
    /// `xcode`
    pub xcode: Option<One<ImageName>>,
    /// `resource_class`
    pub resource_class: Option<One<ClassName>>,
    /// `tags`
    pub tags: Option<Words<RunnerTag>>,
    /// `systems`
    pub systems: Option<Words<SystemName>>,
    /// `default`
    pub default: Option<bool>,
    /// `features`
    pub features: Option<Words<Feature>>,
    /// `cores`
    pub cores: Option<Number<1, 1024>>,
    /// `memory`, in GB
    pub memory: Option<Number<1, 65_536>>,
    /// `disk`, in GB
    pub disk: Option<Number<1, 1_048_576>>,
    /// `keep`
    pub keep: Option<Words<KeepWord>>,
    /// `environment`
    pub environment: Option<Variables>,
    /// `shell`
    pub shell: Option<One<Shell>>,
    /// `setup`
    pub setup: Option<Words<Command>>,
}

mapping!(ExecutorEntry, "a mapping that describes a machine", {
    "docker" => docker: "A container from this image",
    "machine" => machine: "A Linux VM from this image; true for a self-hosted runner, whose resource_class is namespace/name (on GitLab and GitHub: tags)",
    "xcode" => xcode: "A macOS VM with this version of Xcode, in quotes",
    "resource_class" => resource_class: "Size of the machine; auto for the size that fits what is built",
    "tags" => tags: "Tags of your own runners on GitLab, labels on GitHub, all of which a runner must have; with docker if they start containers",
    "systems" => systems: "Systems that it builds, its own first; others than its own need emulation (a setup command)",
    "default" => default: "Whether derivations that no rule sends elsewhere are built here; true where systems is given and features is not",
    "features" => features: "What it offers to derivations with requiredSystemFeatures, beside benchmark, big-parallel and nixos-test",
    "cores" => cores: "Derivations built side by side; known for the provider's own classes",
    "memory" => memory: "Memory in GB; known for the provider's own classes",
    "disk" => disk: "Disk in GB, for what jobs fetch and build; known for most of the provider's own classes",
    "keep" => keep: "What stays in the store of your own machine behind each job: at most so many gigabytes (50GB), nothing unused that is older than so many days (14d), or a list of both",
    "environment" => environment: "Variables of all its jobs",
    "shell" => shell: "A POSIX shell for all steps",
    "setup" => setup: "Commands that run before everything else",
}, schema {
    "allOf": [
        { "not": { "required": ["docker", "machine"] } },
        { "not": { "required": ["docker", "xcode"] } },
        { "not": { "required": ["machine", "xcode"] } },
        { "not": { "required": ["tags", "resource_class"] } },
        {
            "if": { "properties": { "machine": { "const": true } }, "required": ["machine"] },
            "then": {
                "required": ["systems"],
                "anyOf": [{ "required": ["resource_class"] }, { "required": ["tags"] }],
                "properties": { "resource_class": { "pattern": "^[^/]+/." } },
            },
        },
    ],
}, check ExecutorEntry::check);

/// `machine`: the image of a VM, or `true` for a machine of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmImage {
    /// A self-hosted runner.
    SelfHosted,
    /// A VM image.
    Image(String),
}

impl<'de> Deserialize<'de> for VmImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = VmImage;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a VM image such as `ubuntu-2404:current`, or `true` for a self-hosted runner")
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<VmImage, E> {
                if truth { Ok(VmImage::SelfHosted) } else { Err(E::invalid_value(de::Unexpected::Bool(truth), &self)) }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<VmImage, E> {
                ImageName::read(text).map(|image| VmImage::Image(image.0)).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Schema for VmImage {
    fn schema() -> Value {
        json!({ "anyOf": [{ "const": true }, One::<ImageName>::schema()] })
    }
}

impl ExecutorEntry {
    /// Refuses what contradicts itself.
    fn check(&self) -> Result<()> {
        let kinds =
            [("docker", self.docker.is_some()), ("machine", self.machine.is_some()), ("xcode", self.xcode.is_some())];
        let given: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        if let [one, other, ..] = given.as_slice() {
            bail!("an executor has either `{one}` or `{other}`");
        }
        ensure!(
            self.tags.is_none() || self.resource_class.is_none(),
            "an executor has either `tags` or `resource_class`"
        );
        let is_own = self.machine == Some(VmImage::SelfHosted);
        ensure!(
            self.keep.is_none() || is_own || self.tags.is_some(),
            "`keep` is for machines of your own: the provider's are new for each job"
        );
        ensure!(
            !(is_own && self.systems.is_none()),
            "a self-hosted runner needs `systems`: nixdag cannot know what it builds"
        );
        if is_own && self.tags.is_none() {
            let class = self.resource_class.as_ref().map_or("", |class| class.0.0.as_str());
            ensure!(
                is_self_hosted(class),
                "a self-hosted runner needs a `resource_class` of the form `namespace/name`, or `tags`"
            );
        }
        Ok(())
    }

    /// The executor; what is not said is as in `executor`.
    fn apply(&self, mut executor: Executor, is_new: bool, offers: &Offers, warnings: &mut Vec<String>) -> Executor {
        let tags = self.tags.as_ref().map(|tags| {
            let tags: Vec<&str> = tags.0.iter().map(|tag| tag.0.as_str()).collect();
            tags.join(&TAG_SEPARATOR.to_string())
        });
        let class = tags.as_deref().or(self.resource_class.as_ref().map(|class| class.0.0.as_str()));
        let first = self.systems.as_ref().map_or("", |systems| systems.0[0].0.as_str());
        let machine = match (&self.docker, &self.machine, &self.xcode, class) {
            (Some(_), ..) => Some(Machine::Docker),
            (_, Some(VmImage::Image(_)), ..) => Some(Machine::LinuxVm),
            (_, Some(VmImage::SelfHosted), ..) => Some(Machine::SelfHosted),
            (_, _, Some(_), _) => Some(Machine::MacOs),
            (.., Some(class)) if is_new && offers.find(Machine::MacOs, class).is_some() => Some(Machine::MacOs),
            _ if is_new && first == "aarch64-darwin" => Some(Machine::MacOs),
            _ if is_new => Some(offers.usual_machine()),
            _ => None,
        };
        let machine = machine.unwrap_or(executor.machine);
        let changed = is_new || machine != executor.machine;
        if changed {
            let arm = [first, executor.system()].contains(&"aarch64-linux");
            let architecture = if arm { Architecture::Aarch64 } else { Architecture::X86_64 };
            offers.reset(&mut executor, machine, architecture);
        }
        match (&self.docker, &self.machine, &self.xcode) {
            (Some(image), ..) | (_, _, Some(image)) => executor.image = image.0.0.clone(),
            (_, Some(VmImage::Image(image)), _) => executor.image = image.clone(),
            _ => {}
        }
        if changed || class.is_some() {
            let class = class.map_or_else(|| executor.resource_class.clone(), str::to_owned);
            // What fits one provider by another name is meant.
            let class = offers.fitted(&executor, &class).unwrap_or(class);
            warnings.extend(set_size(offers, &mut executor, &class, self.cores.is_some()));
        }
        if let Some(systems) = &self.systems {
            executor.systems = systems.0.iter().map(|system| system.0.clone()).collect();
        } else if is_new {
            executor.systems = executor.native_systems();
        } else if executor.emulated().next().is_some() {
            // Nobody has asked for emulation.
            executor.systems = executor.native_systems();
            warnings.push(format!(
                "executor `{}` is a machine for {} now, and builds nothing else (set `systems` to change that)",
                executor.name, executor.systems[0]
            ));
        }
        executor.cores = self.cores.map_or(executor.cores, |cores| cores.0);
        executor.memory = self.memory.map_or(executor.memory, |memory| Some(memory.0));
        executor.disk = self.disk.map_or(executor.disk, |disk| Some(disk.0));
        if let Some(keep) = &self.keep {
            executor.keep = keep.0.iter().map(|keep| keep.0).collect();
        }
        if let Some(features) = &self.features {
            executor.features = features.0.iter().map(|feature| feature.0.clone()).collect();
        }
        if let Some(variables) = &self.environment {
            executor.environment = variables.0.clone();
        }
        if let Some(shell) = &self.shell {
            executor.shell = Some(shell.0.0.clone());
        }
        if let Some(setup) = &self.setup {
            executor.setup = setup.0.iter().map(|command| command.0.clone()).collect();
        }
        let odd = offers.odd_image(&executor);
        warnings.extend(odd.map(|what| format!("`{}` of executor `{}` is {what}", executor.image, executor.name)));
        executor
    }

    /// True where what nobody sends elsewhere is to be built here.
    fn is_default(&self) -> bool {
        self.default.unwrap_or(self.systems.is_some() && self.features.is_none())
    }
}

/// True for `namespace/name`: the class of machines that the user runs.
fn is_self_hosted(class: &str) -> bool {
    class.split_once('/').is_some_and(|(namespace, rest)| !namespace.is_empty() && !rest.is_empty())
}

/// Gives an executor a class, with the cores and the price that it has. A warning where that is not known.
fn set_size(offers: &Offers, executor: &mut Executor, class: &str, has_cores: bool) -> Option<String> {
    if offers.resize(executor, class) {
        return None;
    }
    (executor.cores, executor.credits_per_minute) = (UNKNOWN_CORES, 0);
    let cores = format!("assuming {UNKNOWN_CORES} cores (set `cores`)");
    (!has_cores).then(|| match executor.machine {
        Machine::SelfHosted => format!("the size of executor `{}` is not known: {cores}", executor.name),
        machine => {
            let unfit = offers.unfit(machine, class);
            format!("resource class `{class}` of executor `{}` {unfit}: {cores}", executor.name)
        }
    })
}

/// `executors`: in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executors(pub Vec<(String, ExecutorEntry)>);

impl<'de> Deserialize<'de> for Executors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Executors;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of names to machines")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Executors, A::Error> {
                let mut executors: Vec<(String, ExecutorEntry)> = Vec::new();
                while let Some(EntryName(name)) = map.next_key()? {
                    if executors.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom(format!("the executor `{name}` is given twice")));
                    }
                    executors.push((name, map.next_value()?));
                }
                Ok(Executors(executors))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Schema for Executors {
    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": ExecutorName::REGEX },
            "additionalProperties": ExecutorEntry::schema(),
        })
    }
}

/// A key under `executors`.
struct EntryName(String);

impl<'de> Deserialize<'de> for EntryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        key(deserializer, ExecutorName::EXPECTED, |text| Ok(Self(ExecutorName::read(text)?.0)))
    }
}

impl Executors {
    /// Changes the executors that there are and adds others, those in front that take what nobody sends elsewhere. Gives warnings.
    pub fn apply(&self, fleet: &mut Fleet) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        let has_tags = fleet.offers.own_machines == OwnMachines::Tags;
        for (name, entry) in &self.0 {
            ensure!(has_tags || entry.tags.is_none(), "executor `{name}`: `tags` name runners of GitLab and GitHub");
            let is_own = entry.machine == Some(VmImage::SelfHosted);
            ensure!(
                !(has_tags && is_own && entry.tags.is_none()),
                "executor `{name}`: your own runners are found by `tags`"
            );
        }
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (name, entry) in &self.0 {
            match fleet.executors.iter_mut().find(|executor| executor.name == *name) {
                Some(executor) => *executor = entry.apply(executor.clone(), false, &fleet.offers, &mut warnings),
                None => {
                    let new = Executor { name: name.clone(), ..Executor::default() };
                    let new = entry.apply(new, true, &fleet.offers, &mut warnings);
                    if entry.is_default() { first.push(new) } else { last.push(new) }
                }
            }
        }
        first.append(&mut fleet.executors);
        first.append(&mut last);
        fleet.executors = first;
        Ok(warnings)
    }
}
