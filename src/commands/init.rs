//! `nixdag init`

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use super::exit_code::ExitCode;
use super::stages;
use crate::choice::Choice;
use crate::cli::{Cli, Command, InitArgs};
use crate::git;
use crate::output::Output;
use crate::plan::advice;
use crate::plan::make::Made;
use crate::plan::model::Granularity;
use crate::plural::counted;
use crate::provider::Provider;
use crate::provider::start_up::{Draft, Repository, StartUp};
use crate::settings::Settings;
use crate::settings::file::SettingsFile;
use crate::settings::new_file::{self, Candidate};
use crate::settings::provider::{ChosenProvider, FoundBy};

pub(super) fn run(args: &InitArgs) -> Result<ExitCode> {
    let folder = flake_folder(&args.folder)?;
    let git = git::Repository::around(&folder).ok();
    let repository = repository(&folder, git.as_ref())?;
    let file = SettingsFile::find(&folder);
    for place in file.iter().filter_map(|place| place.strip_prefix(&repository.top).ok()) {
        repository.place(&place.to_string_lossy())?;
    }
    let (provider, why) = choose(args, file.as_deref(), &repository)?;
    let mut sketch = None;
    let mut draft = || Ok(sketch.insert(Sketch::new(&folder, provider)?).draft());
    let mut start = provider.start_up(&repository, &mut draft)?;
    if file.is_none() {
        let sketch = match &sketch {
            Some(sketch) => sketch,
            None => sketch.insert(Sketch::new(&folder, provider)?),
        };
        let text = settings(sketch, &mut start);
        let path = Path::new(&repository.flake).join(new_file::NAME);
        start.files.push((path.display().to_string(), text));
    } else {
        start.notes.push("nixdag.yml exists and is kept".to_owned());
    }
    if let (Some(_), Some(git)) = (&sketch, &git) {
        start.notes.extend(uncommitted(git)?);
    }
    if !args.dry_run {
        write(&repository, &start)?;
    }
    if git.is_none() {
        start.here.push("make the folder a git repository and push it".to_owned());
    } else if !start.files.is_empty() {
        let files: Vec<&str> = start.files.iter().map(|(path, _)| path.as_str()).collect();
        start.here.push(format!("review the files, then: git add {}", files.join(" ")));
    }
    let shown = shown(provider, &why, &start, args.dry_run);
    Output::Stdout.write(|out| out.write_all(shown.as_bytes()))?;
    Ok(ExitCode::Done)
}

/// The folder of the flake: the one that is named, else the nearest above it within the repository.
fn flake_folder(named: &Path) -> Result<PathBuf> {
    let folder = named.canonicalize().with_context(|| format!("cannot read `{}`", named.display()))?;
    ensure!(folder.is_dir(), "`{}` is not a folder", named.display());
    let top = git::Repository::around(&folder).map(|git| git.top().to_owned()).unwrap_or(folder.clone());
    let within = folder.ancestors().take_while(|above| above.starts_with(&top));
    match within.into_iter().find(|above| above.join("flake.nix").is_file()) {
        Some(found) => Ok(found.to_owned()),
        None => bail!(
            "no `flake.nix` in `{}` or above it in the repository: name the flake's folder, `nixdag init DIR` (`nix flake init` makes a new flake)",
            named.display()
        ),
    }
}

fn repository(folder: &Path, git: Option<&git::Repository>) -> Result<Repository> {
    let top = git.map_or(folder, |git| git.top()).canonicalize()?;
    let flake =
        folder.strip_prefix(&top)?.to_str().context("the flake's folder has a name that is not UTF-8")?.to_owned();
    let remote = git.map(git::Repository::remote).transpose()?.flatten();
    let known = |git: &git::Repository| -> Result<Option<String>> {
        match &remote {
            Some(remote) => Ok(git.known_default_branch(remote)?.or(git.branch()?)),
            None => git.branch(),
        }
    };
    let default_branch = git.map(known).transpose()?.flatten().unwrap_or_else(|| "main".to_owned());
    Ok(Repository { top, flake, default_branch })
}

/// The CI system, and a sentence that names it and says why it is that one. Where nixdag runs now says nothing about the repository.
fn choose(args: &InitArgs, file: Option<&Path>, repository: &Repository) -> Result<(Provider, String)> {
    if let Some(provider) = args.provider {
        return Ok((provider, format!("{}, from `--provider`", provider.title())));
    }
    if let Some(provider) = file.map(SettingsFile::read).transpose()?.and_then(|file| file.provider.provider) {
        return Ok((provider, format!("{}, from nixdag.yml", provider.title())));
    }
    let chosen = ChosenProvider::new(None, &repository.top, |_| false);
    let (provider, mut why) = (chosen.provider, chosen.sentence());
    if !matches!(chosen.found_by, FoundBy::File { .. }) {
        let others: Vec<&str> = Provider::names().into_iter().filter(|name| *name != provider.name()).collect();
        why.push_str(&format!("; `--provider {}` for another one", others.join("` or `--provider ")));
    } else if provider != Provider::GitHub && repository.has(".github/workflows") {
        why.push_str("; its GitHub workflows in `.github/workflows` are left alone (`--provider github` is for them)");
    }
    Ok((provider, why))
}

/// What the flake would be planned as now.
struct Sketch {
    settings: Settings,
    made: Made,
}

impl Sketch {
    /// Plans all of it, with a granularity to compare with.
    fn new(folder: &Path, provider: Provider) -> Result<Self> {
        let folder = folder.display().to_string();
        let command = ["nixdag", "plan", &folder, "--provider", provider.name(), "--base", "none"];
        let Ok(Cli { command: Command::Plan(plan), .. }) = Cli::try_parse_from(command) else {
            bail!("`{folder}` cannot be planned: its name is not an argument of `nixdag plan`");
        };
        let settings = Settings::new(&plan.planning)?;
        let made = stages::plan(&settings, &[Granularity::Auto])?;
        Ok(Self { settings, made })
    }

    fn draft(&self) -> Draft {
        Draft { plan: self.made.plan.clone(), executors: self.settings.fleet.executors.clone() }
    }
}

/// The text of nixdag.yml, from plans of both granularities.
fn settings(sketch: &Sketch, start: &mut StartUp) -> String {
    let Sketch { settings, made } = sketch;
    let credit = settings.provider.credit();
    let ours: Candidate = (settings.planner.granularity, made.plan.estimates.plan.clone());
    if made.plan.estimates.needed == 0 {
        return new_file::text(None, credit);
    }
    let (chosen, other) = match advice::best(&made.others, &ours.1, settings.planner.aim()) {
        Some(better) => (better, &ours),
        None => (&ours, made.others.first().unwrap_or(&ours)),
    };
    start.notes.push(format!("granularity: {}", new_file::figures(chosen, other, credit)));
    new_file::text(Some((chosen, other)), credit)
}

/// What of the work tree is not committed, and whether the plan was made with it.
fn uncommitted(git: &git::Repository) -> Result<Option<String>> {
    let is_changed = git.commit("HEAD")?.is_none() || git.is_dirty()?;
    let untracked = git.untracked_files()?.len() as u64;
    let with = "the plan was made with changes that are not committed";
    let without = || format!("without {} that git does not track", counted(untracked, "file"));
    Ok(match (is_changed, untracked) {
        (false, 0) => None,
        (true, 0) => Some(with.to_owned()),
        (true, _) => Some(format!("{with}, and {}", without())),
        (false, _) => Some(format!("the plan was made {}", without())),
    })
}

/// Writes the files. None of them exists, but the one whose text another one keeps.
fn write(repository: &Repository, start: &StartUp) -> Result<()> {
    for (path, text) in &start.files {
        let place = repository.place(path)?;
        let what = || format!("cannot write `{path}`");
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).with_context(what)?;
        }
        if start.moved.as_ref() == Some(path) {
            Output::File(place).write(|out| out.write_all(text.as_bytes()))?;
        } else {
            let mut file = fs::File::create_new(&place).with_context(what)?;
            file.write_all(text.as_bytes()).with_context(what)?;
        }
    }
    Ok(())
}

/// What was done, and what is left to do.
fn shown(provider: Provider, why: &str, start: &StartUp, is_dry: bool) -> String {
    let mut text = format!("{why}\n");
    for (path, content) in &start.files {
        if is_dry {
            text.push_str(&format!("\nwould write {path}:\n{}", indented(content)));
        } else {
            text.push_str(&format!("wrote {path}\n"));
        }
    }
    if is_dry && !start.files.is_empty() {
        text.push('\n');
    }
    for note in &start.notes {
        text.push_str(&format!("{note}\n"));
    }
    if let Some((where_to, lines)) = &start.add {
        text.push_str(&format!("{where_to}\n\n{}", indented(lines)));
    }
    let mut list = |place: &str, steps: &[String]| {
        if !steps.is_empty() {
            text.push_str(&format!("\nleft to do {place}:\n"));
        }
        for (number, step) in (1..).zip(steps) {
            text.push_str(&format!("  {number}. {step}\n"));
        }
    };
    list("in the repository", &start.here);
    list(&format!("on {}", provider.title()), &start.steps);
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect()
}
