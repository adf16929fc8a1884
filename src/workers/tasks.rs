//! What is to be done: the part of a plan that all workers of one kind of machine read, the same bytes for each of them.

/// A task, by its number in the plan: a derivation, or several that are claimed together.
pub type Task = u32;

/// A worker, by its number in the plan.
pub type WorkerNumber = u32;

/// How often a task was claimed before, by workers that are taken for dead.
pub type Attempt = u8;

/// When a worker leaves. A task is settled once it has a result, needs one that has failed, or has been given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaving {
    /// When all tasks that its machine can build are settled.
    #[default]
    AtTheEnd,
    /// Also when it has nothing to do and so many are settled: the plan expects it to take no more.
    WithoutWork(u32),
    /// When so many are settled and it has ended what it had begun: others start then.
    Opening(u32),
}

/// The tasks and what workers were given. Every input of a task has a smaller number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// The tasks that each task needs.
    pub inputs: Vec<Vec<Task>>,
    /// The longest path behind each task, itself included, milliseconds: what is longest is taken first.
    pub tail: Vec<u64>,
    /// The worker that each task is planned for.
    pub lane: Vec<WorkerNumber>,
    /// Number of workers.
    pub workers: WorkerNumber,
    /// Tasks that a worker builds at once, at least 1.
    pub slots: usize,
    /// How often a task can be claimed, at least 1.
    pub attempts: Attempt,
    /// When each worker leaves.
    pub leaving: Vec<Leaving>,
    /// The kind of machine that builds each task; empty where there is one kind.
    pub kind: Vec<u32>,
    /// The kind of machine of each worker; the same.
    pub kind_of: Vec<u32>,
}

impl Tasks {
    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// True where there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// True where the worker's machine is of the kind that builds the task.
    pub fn can_build(&self, worker: WorkerNumber, task: Task) -> bool {
        self.kind.get(task as usize) == self.kind_of.get(worker as usize)
    }

    /// The numbers of all tasks, inputs before those that need them.
    pub fn all(&self) -> std::ops::Range<Task> {
        0..self.len() as Task
    }
}
