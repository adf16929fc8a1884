//! GitLab CI: a plan goes in, a child pipeline that is complete in itself comes out, ready to be triggered from the artifact of a job.
//!
//! It has a hidden job for each kind of machine, a small job for each of the plan's, the job [`GATE`] in a stage behind all others and,
//! where something could not be planned, one that reports that. Before it leaves, the text is read back and put through [`check`].

mod bodies;
pub mod check;
pub mod comment;
pub mod component;
pub mod environment;
mod expand;
mod final_jobs;
pub mod limits;
pub mod machines;
pub mod merge;
pub mod names;
pub mod options;
pub mod places;
pub mod relays;
pub mod start_up;
pub mod writer;

use anyhow::{Context, Result, bail, ensure};

use super::job_script::Task;
use super::job_script::kinds::{Kind, Machines, reuse_hash};
use super::yaml::{self, Yaml};
use super::{made, small_job};
use crate::delivery::{HandOff, HandOffKind, Reuse, Sign};
use crate::plan::final_job::FinalJob;
use crate::plan::{Job, JobIndex, JobOptions, Plan, delivery_job, failures, json, nothing};
use bodies::hidden;
use machines::OFFERS;
use names::{COMMENT, FORGET, GATE, PLAN, PLAN_PIPELINE, PREVIEW, REPORT, RESERVED, STAGE};
use options::Options;
use places::{JOB, REUSE};

/// Writes the child pipeline of a plan, or says which rule of GitLab's it would break. Gives warnings about the user's own jobs.
pub fn generate(plan: &Plan, options: &Options) -> Result<(String, Vec<String>)> {
    options.setup.check()?;
    let delivers = if options.setup.delivery.sign == Sign::Separate { delivery_job::of(plan)? } else { None };
    let taken: Vec<&Job> = plan.all_jobs().chain(&delivers).collect();
    let mut options = options.clone();
    options.setup.delivery.handoff = options.handoff(&taken);
    too_wide(&taken, &options)?;
    let mut pipeline = write(plan, delivers.as_ref(), &options)?;
    let warnings = merge::merge(&mut pipeline, &options.merge, plan, &names::of_jobs(plan))?;
    let text = text(plan, &options, pipeline);
    let problems = check::check(&text, &options.limits, &merge::job_names(&options.merge))?;
    ensure!(problems.is_empty(), "GitLab would refuse the pipeline:\n  {}", problems.join("\n  "));
    Ok((text, warnings))
}

/// Refuses artifacts where they cannot carry what a job needs.
fn too_wide(jobs: &[&Job], options: &Options) -> Result<()> {
    let most = limits::NEEDS as usize;
    let Some(widest) = jobs.iter().max_by_key(|job| job.inputs.len()).filter(|job| job.inputs.len() > most) else {
        return Ok(());
    };
    ensure!(
        options.setup.delivery.handoff != HandOff::Artifacts,
        "job `{}` needs the artifacts of {} others, {} more than the {most} that GitLab hands on: use `handoff: packages`, or fewer jobs \
         (`--granularity auto`, `--max-jobs {}`)",
        widest.name.escape_debug(),
        widest.inputs.len(),
        widest.inputs.len() - most,
        most + 1
    );
    Ok(())
}

/// The text of a pipeline.
fn text(plan: &Plan, options: &Options, pipeline: Vec<(String, Yaml)>) -> String {
    let why = nothing::why(plan).map(|why| format!("# {why}.\n")).unwrap_or_default();
    let header = made::header(options.setup.is_preview(plan).then_some(PREVIEW));
    format!("{header}{why}{}", yaml::to_string(&Yaml::Map(pipeline)))
}

/// The entries of the pipeline. `delivers` signs and pushes, where no job that builds does.
fn write(plan: &Plan, delivers: Option<&Job>, options: &Options) -> Result<Vec<(String, Yaml)>> {
    let machines = Machines {
        executors: &options.setup.executors,
        offers: &OFFERS,
        bundle: options.setup.bundle.as_ref(),
        downloads: &options.setup.downloads,
    };
    let handoff = options.setup.delivery.handoff.kind();
    let contexts = plan.all_jobs().any(|job| !job.options.context.is_empty());
    let reuse = match options.setup.bundle {
        Some(_) => options.setup.delivery.reuse_beside(contexts)?,
        None => Reuse::Off,
    };
    let names = names::of_jobs(plan);
    let all_needs = match handoff {
        HandOffKind::Packages => relays::of(plan.all_jobs().chain(delivers), limits::NEEDS as usize),
        _ => relays::Needs::default(),
    };
    let mut kinds: Vec<Kind> = Vec::new();
    let mut building: Vec<String> = Vec::new();
    let mut jobs: Vec<(String, Yaml)> = Vec::with_capacity(names.len() + 2);
    for (at, job) in plan.all_jobs().enumerate() {
        let what = || format!("job `{}` cannot be written for GitLab", job.name.escape_debug());
        check_job(job)?;
        let kind = machines.kind_of(job, &mut kinds).with_context(what)?;
        let final_job = plan.final_job(JobIndex(at as u32));
        let (base, own) = match final_job.and_then(|final_job| Some((final_job, final_job.run.as_deref()?))) {
            Some((final_job, command)) => {
                let own = final_jobs::entries(final_job, command, kind, options).with_context(what)?;
                (hidden(&kind.executor), own)
            }
            None => {
                if !building.contains(&kind.job) {
                    building.push(kind.job.clone());
                }
                let mut variables = vec![(JOB, Yaml::text(&job.id))];
                variables.extend((reuse == Reuse::Branch).then(|| (REUSE, Yaml::Text(reuse_hash(job, kind)))));
                (hidden(&kind.job), vec![("variables", Yaml::map(variables))])
            }
        };
        let mut entries = vec![("extends", Yaml::Text(base))];
        // A user's command gets no more than its own: what delivers is for jobs that build.
        let builds = final_job.is_none_or(FinalJob::builds);
        let signs = builds && options.setup.delivery.sign == Sign::Jobs;
        let of_all: &[String] = if signs { &options.setup.delivery.contexts } else { &[] };
        entries.extend(environment(job, of_all).with_context(what)?.map(|environment| ("environment", environment)));
        entries.extend(own);
        entries.extend(job.options.allow_failure.then_some(("allow_failure", Yaml::Bool(true))));
        let also = final_job.filter(|job| job.run.is_some() && failures::are_in(plan)).map(|_| failures::JOB);
        let before = before(job, handoff, all_needs.jobs.get(at), &names);
        entries.push(("needs", needs(before.into_iter().chain(also.map(str::to_owned)), handoff)));
        jobs.push((names[at].to_owned(), Yaml::map(entries)));
    }
    if failures::are_in(plan) {
        let job = small_job::of(failures::JOB, &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        jobs.push((
            failures::JOB.to_owned(),
            Yaml::map([
                ("extends", Yaml::Text(hidden(&kind.executor))),
                ("variables", Yaml::entry(JOB, Yaml::text(failures::JOB))),
                ("script", Yaml::List(bodies::script(kind, options, Reuse::Off, Task::Report)?)),
                ("needs", Yaml::List(vec![bundle()])),
            ]),
        ));
    }
    if let Some(wanted) = delivers {
        let job = small_job::of(delivery_job::JOB, &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        let mut entries = vec![
            ("extends", Yaml::Text(hidden(&kind.executor))),
            // What is half pushed is not to be left so.
            ("interruptible", Yaml::Bool(false)),
        ];
        let environment = environment(&job, &options.setup.delivery.contexts)
            .with_context(|| format!("job `{}` cannot be written for GitLab", delivery_job::JOB))?;
        entries.extend(environment.map(|environment| ("environment", environment)));
        let before = before(wanted, handoff, all_needs.jobs.last(), &names);
        entries.extend([
            ("variables", Yaml::entry(JOB, Yaml::text(delivery_job::JOB))),
            ("script", Yaml::List(bodies::script(kind, options, Reuse::Off, Task::Deliver)?)),
            ("needs", needs(before, handoff)),
        ]);
        jobs.push((delivery_job::JOB.to_owned(), Yaml::map(entries)));
    }
    let relays = if handoff == HandOffKind::Packages { &*all_needs.relays } else { &[] };
    for (number, before) in (1..).zip(relays) {
        let before = relays::names(before, &names);
        let entries = [("extends", Yaml::text(relays::HIDDEN)), ("needs", needs(before, handoff))];
        jobs.push((relays::name(number), Yaml::map(entries)));
    }
    jobs.push((GATE.to_owned(), gate(&machines, options)?));
    let forgets = handoff == HandOffKind::Packages && !plan.jobs.is_empty();
    let reports = options.setup.keeps_records && !plan.jobs.is_empty();
    let after = || Yaml::map([("job", Yaml::text(GATE)), ("artifacts", Yaml::Bool(false))]);
    if reports {
        let job = small_job::of(REPORT, &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        jobs.push((REPORT.to_owned(), bodies::report(kind, options, vec![bundle(), after()])?));
        if let Some(wanted) = &options.setup.comment {
            let context = wanted.context.iter().cloned().collect();
            let of = small_job::of(COMMENT, &options.setup, &OFFERS)?;
            let job = Job { options: JobOptions { context, ..JobOptions::default() }, ..of };
            let kind = machines.kind_of(&small_job::of(COMMENT, &options.setup, &OFFERS)?, &mut kinds)?;
            let mut entries = bodies::comment(kind, options, wanted, vec![bundle(), Yaml::text(REPORT)])?;
            entries.extend(environment(&job, &[])?.map(|environment| ("environment", environment)));
            jobs.push((COMMENT.to_owned(), Yaml::map(entries)));
        }
    }
    if forgets {
        let job = small_job::of(FORGET, &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        jobs.push((
            FORGET.to_owned(),
            Yaml::map([
                ("extends", Yaml::Text(hidden(&kind.executor))),
                ("stage", Yaml::text(REPORT)),
                // Where jobs have failed, a rerun needs it all.
                ("needs", Yaml::List(vec![bundle(), after()])),
                ("allow_failure", Yaml::Bool(true)),
                ("variables", Yaml::entry(JOB, Yaml::text(FORGET))),
                ("script", Yaml::List(bodies::forgetting(kind, options)?)),
            ]),
        ));
    }

    let mut pipeline = vec![
        (
            "workflow".to_owned(),
            Yaml::map([
                ("auto_cancel", Yaml::entry("on_new_commit", Yaml::text("interruptible"))),
                ("rules", Yaml::List(vec![Yaml::entry("when", Yaml::text("always"))])),
            ]),
        ),
        ("stages".to_owned(), Yaml::texts([STAGE, GATE].into_iter().chain((forgets || reports).then_some(REPORT)))),
    ];
    for (at, kind) in kinds.iter().enumerate() {
        if !kinds[..at].iter().any(|before| before.executor == kind.executor) {
            let defined = options.setup.executors.iter().find(|executor| executor.name == kind.name);
            pipeline.push((hidden(&kind.executor), bodies::machine(kind, defined)?));
        }
        if building.contains(&kind.job) {
            pipeline.push((hidden(&kind.job), bodies::building(kind, options, handoff, reuse)?));
        }
    }
    if !relays.is_empty() {
        let job = small_job::of("relay", &options.setup, &OFFERS)?;
        let kind = machines.kind_of(&job, &mut kinds)?;
        pipeline.push((relays::HIDDEN.to_owned(), bodies::relay(kind)?));
    }
    pipeline.extend(jobs);
    Ok(pipeline)
}

/// Refuses a job that cannot stand in the pipeline.
fn check_job(job: &Job) -> Result<()> {
    ensure!(json::is_id(&job.id), "job id `{}` does not match `[a-z][a-z0-9_-]{{0,62}}`", job.id.escape_debug());
    ensure!(!job.name.trim().is_empty(), "job `{}` has an empty name", job.id);
    if RESERVED.contains(&job.id.as_str()) {
        bail!("job `{}` has the id `{}`, which nixdag or GitLab needs", job.name.escape_debug(), job.id);
    }
    Ok(())
}

/// The names of the jobs that a job waits for; `relayed` is what it needs where relays pass results on.
fn before(job: &Job, handoff: HandOffKind, relayed: Option<&Vec<relays::Need>>, names: &[&str]) -> Vec<String> {
    let of = |jobs: &[JobIndex]| jobs.iter().map(|index| names[index.at()].to_owned()).collect();
    match handoff {
        HandOffKind::Packages => relays::names(relayed.map_or(&[][..], Vec::as_slice), names),
        // GitLab hands on no job's inputs with it.
        HandOffKind::Artifacts => of(&job.inputs),
        HandOffKind::Workspace | HandOffKind::Cache => of(&job.requires),
    }
}

/// What a job waits for, and takes the artifacts of where results travel so.
fn needs(names: impl IntoIterator<Item = String>, handoff: HandOffKind) -> Yaml {
    let need = |name: String| match handoff {
        HandOffKind::Cache => Yaml::map([("job", Yaml::Text(name)), ("artifacts", Yaml::Bool(false))]),
        _ => Yaml::Text(name),
    };
    Yaml::List([bundle()].into_iter().chain(names.into_iter().map(need)).collect())
}

/// The need for the bundle, which the planning job of the parent has left.
fn bundle() -> Yaml {
    Yaml::map([("pipeline", Yaml::text(format!("${PLAN_PIPELINE}"))), ("job", Yaml::text(PLAN))])
}

/// The environment whose variables a job gets: what other providers call a context.
fn environment(job: &Job, all: &[String]) -> Result<Option<Yaml>> {
    let mut contexts: Vec<&String> = job.options.context.iter().collect();
    contexts.extend(all.iter().filter(|context| !job.options.context.contains(context)));
    let name = match contexts.as_slice() {
        [] => return Ok(None),
        [name] => name,
        [first, second, ..] => bail!(
            "it has the contexts `{first}` and `{second}`, and a job of GitLab has one environment: give the variables of both to one"
        ),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || "_-/. ".contains(c);
    ensure!(
        name.chars().all(known) && name.chars().count() <= 255,
        "the context `{}` cannot be the name of an environment (letters, digits, spaces and `_-/.`)",
        name.escape_debug()
    );
    Ok(Some(Yaml::map([("name", Yaml::text(*name)), ("action", Yaml::text("prepare"))])))
}

/// The job behind all others: a stage of its own waits for everything, without a limit, and takes nothing.
fn gate(machines: &Machines, options: &Options) -> Result<Yaml> {
    let job = small_job::of(GATE, &options.setup, &OFFERS)?;
    let mut entries = vec![("stage", Yaml::text(GATE))];
    entries.extend(bodies::runs_on(machines.kind_of(&job, &mut Vec::new())?)?);
    entries.extend([
        ("interruptible", Yaml::Bool(true)),
        ("variables", Yaml::entry("GIT_STRATEGY", Yaml::text("none"))),
        ("dependencies", Yaml::List(Vec::new())),
        ("script", Yaml::texts(["true"])),
    ]);
    Ok(Yaml::map(entries))
}
