//! Where final jobs run. In: the executors, the systems of everything else in the plan, what is built. Out: an executor a final job.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::final_job::FinalJobRequest;
use crate::availability::Needed;
use crate::fleet::executor::Executor;
use crate::fleet::requirement::Requirement;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph};

/// Features that derivations require.
pub type Features<'a> = BTreeSet<&'a str>;

/// The features that building a derivation requires, those of what is needed below it included, as far as no other job builds that.
/// Derivations that require none are left out.
pub fn features<'a>(
    graph: &'a Graph,
    needed: &Needed,
    is_built: impl Fn(DrvId) -> bool,
) -> HashMap<DrvId, Features<'a>> {
    let mut features: HashMap<DrvId, Features> = HashMap::new();
    // Inputs come before their consumers.
    for id in needed.ids().filter(|&id| !is_built(id)) {
        let mut own: Features = graph.node(id).required_system_features.iter().map(String::as_str).collect();
        own.extend(graph.inputs(id).iter().filter_map(|input| features.get(&input.drv)).flatten());
        if !own.is_empty() {
            features.insert(id, own);
        }
    }
    features
}

/// The machines that final jobs may name, and the system that they run on where they name none.
#[derive(Clone, Copy, Debug)]
pub struct Machines<'a> {
    executors: &'a [Executor],
    main: &'a str,
}

impl<'a> Machines<'a> {
    /// The main system is the most frequent one for which there is a machine, of the first list that has such a system; among equals the
    /// one whose executor comes first.
    pub fn new(executors: &'a [Executor], systems: [Vec<&'a str>; 2]) -> Self {
        let offered: Vec<&str> = executors.iter().flat_map(|executor| &executor.systems).map(String::as_str).collect();
        let most = systems.into_iter().find_map(|systems| {
            let mut count: BTreeMap<&str, usize> = BTreeMap::new();
            for system in systems.into_iter().filter(|system| offered.contains(system)) {
                *count.entry(system).or_default() += 1;
            }
            let place = |wanted: &str| offered.iter().position(|&system| system == wanted);
            count.into_iter().max_by_key(|&(system, count)| (count, Reverse(place(system)))).map(|(system, _)| system)
        });
        Self { executors, main: most.or(offered.first().copied()).unwrap_or(BUILTIN) }
    }

    /// The main system.
    pub fn main(&self) -> &'a str {
        self.main
    }

    /// The executor that a request names if it builds this, else the one that any other job would go to. The error goes on after what
    /// is to be built.
    pub fn with(&self, request: &FinalJobRequest, system: &str, features: &Features) -> Result<&'a Executor, String> {
        let features: Vec<String> = features.iter().map(|&feature| feature.to_owned()).collect();
        let requirement = Requirement { system, features: &features };
        let named = |name: &String| self.executors.iter().find(|executor| executor.name == *name);
        match request.executor.as_ref().and_then(named) {
            Some(executor) if requirement.is_met_by(executor) => Ok(executor),
            Some(executor) => Err(requirement.unmet_by(executor, format_args!("final job `{}`", request.name))),
            None => match requirement.best(self.executors) {
                Some(at) => Ok(&self.executors[at]),
                None => Err(requirement.unmet(self.executors)),
            },
        }
    }

    /// Where a command runs.
    pub fn of(&self, request: &FinalJobRequest) -> (&'a str, Option<&'a Executor>) {
        let Some(name) = &request.executor else {
            return (self.main, self.with(request, self.main, &Features::new()).ok());
        };
        let executor = self.executors.iter().find(|executor| executor.name == *name);
        let systems = executor.map_or(&[][..], |executor| &executor.systems);
        let system = systems.iter().find(|system| *system == self.main).or(systems.first());
        (system.map_or(self.main, String::as_str), executor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::example;
    use crate::plan::final_job::Task;

    #[test]
    fn the_main_system_is_the_most_frequent_one_that_has_a_machine() {
        let executors = example::fleet().executors;
        let main = |jobs: &[&'static str], targets: &[&'static str]| {
            Machines::new(&executors, [jobs.to_vec(), targets.to_vec()]).main()
        };
        let (arm, linux) = ("aarch64-linux", "x86_64-linux");
        assert_eq!(main(&[arm, linux, arm], &[linux]), arm);
        assert_eq!(main(&["riscv64-linux"], &[arm]), arm);
        assert_eq!(main(&[arm, linux], &[]), linux, "the first executor's among equals");
        assert_eq!(main(&[], &[]), linux);
    }

    #[test]
    fn an_executor_that_is_named_wins() {
        let executors = example::fleet().executors;
        let machines = Machines::new(&executors, [vec!["x86_64-linux"], Vec::new()]);
        let request = |executor: Option<&str>| FinalJobRequest {
            name: "x".into(),
            place: None,
            after: None,
            task: Task::Build(Vec::new()),
            executor: executor.map(str::to_owned),
        };
        let of = |name| machines.of(&request(name));
        assert_eq!((of(None).0, of(None).1.unwrap().name.as_str()), ("x86_64-linux", "docker"));
        assert_eq!((of(Some("arm")).0, of(Some("arm")).1.unwrap().name.as_str()), ("aarch64-linux", "arm"));
        let with = |name, features: &[&'static str]| {
            let executor = machines.with(&request(name), "x86_64-linux", &features.iter().copied().collect());
            executor.map(|executor| executor.name.clone())
        };
        assert!(
            with(Some("arm"), &[]).unwrap_err().starts_with("is sent by final job `x` to executor `arm`, which builds")
        );
        assert!(with(Some("docker"), &["kvm"]).unwrap_err().contains("to executor `docker`, which lacks `kvm`"));
        assert!(with(None, &["kvm"]).unwrap_err().contains("the nearest executor, `docker`, lacks `kvm`"));
        assert_eq!(with(None, &["big-parallel"]).unwrap(), "docker");
    }
}
