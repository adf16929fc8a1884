//! The Nix store behind `nix-store`: what is valid, what it refers to, what digests it has, and bringing paths in.
//!
//! Only subcommands whose output is the same from Nix 2.8 to the newest. The user's own environment and settings stay in force;
//! what the caller adds comes as `--option`s. In: store paths. Out: plain values.

use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::command::{OLDEST, parse_version};
use super::configuration::{self, Configuration};
use super::environment;
use super::hash;
use super::known_answer::{self, VERSION};
use super::log;
use super::path_info::{PathInfo, parse_dump};
use super::store_path;
use super::sudo;
use crate::program::{self, Life, TimeLimits};
use crate::secret::{Secret, VariableName};

/// Bytes of store paths in one call; the kernel's limit is 2 MB on Linux and 1 MB on macOS, the environment included.
const MAX_ARGUMENT_BYTES: usize = 400_000;

/// Where installers put Nix when a CI step's PATH does not say so.
const USUAL_PLACES: [&str; 2] = ["/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin"];

/// A way to the store.
#[derive(Clone, Debug)]
pub struct Store {
    program: PathBuf,
    version: String,
    sudo: bool,
    options: Vec<(String, String)>,
    variables: Vec<(VariableName, Secret)>,
    /// The whole environment, where it is not this process's.
    environment: Option<Vec<(OsString, OsString)>>,
}

impl Store {
    /// Finds `nix-store`, on the PATH and then where installers put it, and asks for its version.
    pub fn find() -> Result<Store> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .chain(USUAL_PLACES.iter().map(PathBuf::from))
            .map(|dir| dir.join("nix-store"))
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| anyhow!("no `nix-store` on the PATH: install Nix {OLDEST} or newer"))?;
        let mut store = Store {
            program,
            version: String::new(),
            sudo: false,
            options: Vec::new(),
            variables: Vec::new(),
            environment: None,
        };
        let says = known_answer::of(
            &store.program,
            VERSION,
            |text| parse_version(text).is_some(),
            || store.query("--version", &[]),
        )?;
        store.version = check_version(&says)?;
        Ok(store)
    }

    /// Nix's version, e.g. `2.26.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same store with one of Nix's settings changed for every call.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: &str) -> Store {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same store with variables in the environment of every call.
    #[must_use]
    pub fn with_variables(mut self, variables: Vec<(VariableName, Secret)>) -> Store {
        self.variables.extend(variables);
        self
    }

    /// The same store for calls that build. Nix hands builders variables of its own environment, so that has neither tokens nor
    /// credentials: it is what evaluation gets, and `named`.
    #[must_use]
    pub fn for_building(mut self, named: impl IntoIterator<Item = (OsString, OsString)>) -> Store {
        self.options.splice(..0, environment::settings());
        self.environment = Some(environment::for_builders().into_iter().chain(named).collect());
        self.variables.clear();
        self
    }

    /// The same store without one of the settings that were changed.
    #[must_use]
    pub fn without_option(mut self, name: &str, value: &str) -> Store {
        self.options.retain(|option| *option != (name.to_owned(), value.to_owned()));
        self
    }

    /// The same store without any change of these settings.
    #[must_use]
    pub fn without_options(mut self, names: &[&str]) -> Store {
        self.options.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// What Nix makes of the machine's settings and those that were changed.
    pub fn configuration(&self) -> Result<Configuration> {
        let ask = |words: &[&str]| {
            run(self.program_beside("nix", &["--extra-experimental-features", "nix-command"]).args(words))
        };
        let old = ask(&configuration::OLD_NAME)?;
        let answer = if old.status.success() { old } else { ask(&configuration::NAME)? };
        ensure!(answer.status.success(), "cannot ask Nix for its settings: {}", complaint(&answer.stderr));
        Configuration::parse(&answer.stdout).context("cannot read Nix's settings")
    }

    /// The same store as the superuser.
    #[must_use]
    pub fn through_sudo(mut self) -> Store {
        self.sudo = true;
        self
    }

    /// True where calls go through sudo.
    pub fn uses_sudo(&self) -> bool {
        self.sudo
    }

    /// A call of `nix-store` that begins with these arguments; options follow at once.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.program_beside("nix-store", arguments)
    }

    /// A call of another program of the same Nix, e.g. `nix`.
    pub fn program_beside(&self, name: &str, arguments: &[&str]) -> Command {
        let program = self.program.with_file_name(name);
        let variables = self.variables.iter().map(|(name, _)| name.as_str());
        let mut command = match self.sudo {
            true => sudo::command(&program, self.environment.as_deref(), variables),
            false => Command::new(program),
        };
        if let Some(environment) = self.environment.as_ref().filter(|_| !self.sudo) {
            command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        }
        command.args(arguments);
        for (name, value) in &self.options {
            command.args(["--option", name, value]);
        }
        command.envs(self.variables.iter().map(|(name, secret)| (name.as_str(), secret.reveal())));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a query; gives its stdout.
    fn query(&self, subcommand: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(&[subcommand]);
        command.args(arguments);
        let output = run(&mut command)?;
        ensure!(output.status.success(), "`nix-store {subcommand}` failed: {}", complaint(&output.stderr));
        String::from_utf8(output.stdout).with_context(|| format!("the output of `nix-store {subcommand}` is not UTF-8"))
    }

    /// Runs a query on paths, in as few calls as the argument list allows; gives all lines of stdout.
    fn query_paths(&self, subcommand: &[&str], paths: &[&str]) -> Result<String> {
        let mut lines = String::new();
        for share in shares(paths) {
            lines.push_str(&self.query(subcommand[0], &[&subcommand[1..], share].concat())?);
        }
        Ok(lines)
    }

    /// Those of the paths that are not valid, in the order given.
    pub fn invalid(&self, paths: &[&str]) -> Result<Vec<String>> {
        let text = self.query_paths(&["--check-validity", "--print-invalid"], paths)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Makes a link to a valid path that is a root: as long as it is there, the path is.
    pub fn add_root(&self, path: &str, link: &Path) -> Result<()> {
        let mut command = self.command(&["--realise"]);
        command.args([path, "--add-root"]).arg(link);
        let output = run(&mut command)?;
        ensure!(output.status.success(), "cannot make the link `{}`: {}", link.display(), complaint(&output.stderr));
        Ok(())
    }

    /// Removes paths, as far as nothing else needs them.
    pub fn delete(&self, paths: &[&str]) -> Result<()> {
        for share in shares(paths) {
            let mut command = self.command(&["--delete"]);
            command.args(share);
            // What is alive ends the call: those that are left stay.
            run(&mut command)?;
        }
        Ok(())
    }

    /// Removes garbage until so many bytes are gone.
    pub fn collect(&self, bytes: u64) -> Result<()> {
        self.query("--gc", &["--max-freed", &bytes.to_string()]).map(drop)
    }

    /// Paths that nothing holds.
    pub fn dead(&self) -> Result<Vec<String>> {
        Ok(self
            .query("--gc", &["--print-dead"])?
            .lines()
            .filter(|line| line.starts_with('/'))
            .map(str::to_owned)
            .collect())
    }

    /// Bytes of all valid paths as NARs.
    pub fn bytes(&self, store_dir: &str) -> Result<u64> {
        let entries = std::fs::read_dir(store_dir).with_context(|| format!("cannot read `{store_dir}`"))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let paths: Vec<String> =
            names.map(|name| format!("{store_dir}/{name}")).filter(|path| store_path::split(path).is_ok()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let invalid: std::collections::HashSet<String> = self.invalid(&paths)?.into_iter().collect();
        let valid: Vec<&str> = paths.into_iter().filter(|path| !invalid.contains(*path)).collect();
        Ok(self.path_infos(&valid)?.iter().map(|info| info.nar_size).fold(0, u64::saturating_add))
    }

    /// The paths and all that they refer to, each once, references before referrers within a call.
    pub fn requisites(&self, paths: &[&str]) -> Result<Vec<String>> {
        let text = self.query_paths(&["--query", "--requisites"], paths)?;
        let mut seen = std::collections::HashSet::new();
        Ok(text.lines().filter(|line| seen.insert(*line)).map(str::to_owned).collect())
    }

    /// What the store knows of each path, ordered by path. An invalid path is an error.
    pub fn path_infos(&self, paths: &[&str]) -> Result<Vec<PathInfo>> {
        let mut infos = Vec::with_capacity(paths.len());
        for share in shares(paths) {
            infos.extend(parse_dump(&self.query("--dump-db", share)?)?);
        }
        infos.sort_by(|a, b| a.path.cmp(&b.path));
        infos.dedup_by(|a, b| a.path == b.path);
        Ok(infos)
    }

    /// Imports what `write` writes in the export format. Nix's own words come with the error.
    pub fn import(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let mut command = self.command(&["--import"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run `nix-store --import`")?;
        let ((written, said), status) = program::within(&mut child, "nix-store --import", QUESTION, |child, life| {
            let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
            std::thread::scope(|scope| {
                let said = scope.spawn(move || {
                    let mut text = Vec::new();
                    if let Some(stderr) = stderr {
                        // What cannot be read any more is not needed for the verdict, which the status gives.
                        let _ = stderr.take(log::MAX_LINE as u64).read_to_end(&mut text);
                    }
                    text
                });
                let written = stdin.context("`nix-store --import` has no input").and_then(|stdin| {
                    let mut pipe = BufWriter::with_capacity(64 * 1024, Living { pipe: stdin, life });
                    write(&mut pipe)?;
                    Ok(pipe.flush()?)
                });
                if written.as_ref().is_err_and(|error| !is_broken_pipe(error)) {
                    stop(child);
                }
                (written, said.join().unwrap_or_default())
            })
        })?;
        match written {
            Err(error) if !is_broken_pipe(&error) => Err(error),
            written => {
                ensure!(status.success(), "`nix-store --import` failed: {}", complaint(&said));
                written
            }
        }
    }
}

/// A pipe through which each write is a sign of life.
struct Living<'a, W> {
    pipe: W,
    life: &'a Life,
}

impl<W: Write> Write for Living<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.pipe.write(bytes)?;
        self.life.sign();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn stop(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
}

/// How long a question to the store may take. A collection of garbage holds some of them up for long.
pub const QUESTION: TimeLimits = TimeLimits::seconds(30 * 60, 2 * 60 * 60);

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Result<Output> {
    program::output(command, Vec::new(), QUESTION, false, || None)
}

/// The last error that Nix printed, on one line, shortened.
pub fn complaint(stderr: &[u8]) -> String {
    let text = log::plain(&String::from_utf8_lossy(stderr));
    let from = text.rfind("error:").unwrap_or(0);
    // The advice after a wrong argument is for people who have given it themselves.
    let lines = text[from..].lines().filter(|line| !line.starts_with("Try '"));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    if line.is_empty() { "it said nothing".to_owned() } else { line.chars().take(2000).collect() }
}

/// Cuts a list of paths so that each part fits the argument list of one call.
pub fn shares<'a, 'b>(paths: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, path) in paths.iter().enumerate() {
        let cost = path.len() + 9;
        if bytes + cost > MAX_ARGUMENT_BYTES && index > start {
            found.push(&paths[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += cost;
    }
    if start < paths.len() {
        found.push(&paths[start..]);
    }
    found
}

/// The version in `nix-store (Nix) 2.8.0`, where it is new enough.
fn check_version(text: &str) -> Result<String> {
    match parse_version(text) {
        Some(version) if version < OLDEST => bail!("Nix {version} is too old: install Nix {OLDEST} or newer"),
        Some(_) => {
            Ok(text.lines().next().and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned())
        }
        None => bail!("`nix-store --version` printed `{}`, expected a version of Nix", hash::shortened(text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_version_is_kept_and_an_old_one_refused() {
        assert_eq!(check_version("nix-store (Nix) 2.34.8\n").unwrap(), "2.34.8");
        assert!(check_version("nix-store (Nix) 2.3.16").unwrap_err().to_string().contains("too old"));
        assert!(check_version("").is_err());
    }

    #[test]
    fn argument_lists_are_cut_below_the_limit_and_lose_nothing() {
        let path = "/nix/store/ifjvyksv78awiwky6qkr4dnjsj9qps42-a";
        let paths = vec![path; 20_000];
        let shares = shares(&paths);
        assert_eq!(shares.iter().map(|share| share.len()).sum::<usize>(), 20_000);
        assert!(shares.iter().all(|share| share.len() * (path.len() + 9) <= MAX_ARGUMENT_BYTES));
    }

    #[test]
    fn a_complaint_is_the_last_error_on_one_line() {
        let stderr = b"warning: x\n\x1b[31;1merror:\x1b[0m first\nerror: cannot add path\n       because\n";
        assert_eq!(complaint(stderr), "cannot add path because");
        let advice = b"error: Cannot parse Nix store 'x'\nTry '/opt/nix/bin/nix --help' for more information.\n";
        assert_eq!(complaint(advice), "Cannot parse Nix store 'x'");
    }
}
