//! The one place that runs Nix.
//!
//! In: arguments for `nix` or `nix-store`. Out: how the process ended and what it printed, both bounded. The environment is built
//! from a list of what Nix needs, so that none of the CI's secrets reaches evaluated code or a log, and no process is left behind.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::hash::Sha256;
use super::known_answer::{self, VERSION};
use super::{configuration_files, environment, machine_fault};
use crate::program::{self, Life, TimeLimits};

/// The oldest Nix that is known to work (Debian 12 has it).
pub(super) const OLDEST: Version = Version { major: 2, minor: 8 };

/// Bytes of standard error that are kept: the last ones, as Nix prints the error at the end.
pub(super) const STDERR_KEPT: usize = 64 << 10;

/// How long a process may take that only answers. Inputs of a flake may have to be fetched for that.
const ANSWER: TimeLimits = TimeLimits::seconds(15 * 60, 2 * 60 * 60);

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(3);

/// What Nix calls ssh with: nobody is there to answer its questions.
const SSH_OPTIONS: &str = "NIX_SSHOPTS";

/// What switches flakes on.
const FLAKES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// A Nix version: the first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An installed Nix.
#[derive(Clone, Debug)]
pub struct Nix {
    nix: PathBuf,
    nix_store: PathBuf,
    version: Version,
    is_lix: bool,
    environment: Vec<(OsString, OsString)>,
}

/// What a process left.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    /// Whole.
    pub stdout: Vec<u8>,
    /// The end of it, at most 64 KiB, as text.
    pub stderr: String,
}

impl Nix {
    /// Finds `nix` and `nix-store` on PATH and asks for the version.
    pub fn find() -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let environment = environment::allowed();
        let (nix, nix_store) = (on_path(&path, "nix")?, on_path(&path, "nix-store")?);
        let mut found = Self { nix, nix_store, version: OLDEST, is_lix: false, environment };
        let text = found.says_of_itself()?;
        found.version = parse_version(&text).ok_or_else(|| {
            anyhow!("`nix --version` did not print a version: `{}` (is it Nix?)", text.trim().escape_debug())
        })?;
        found.is_lix = text.contains("Lix");
        if found.version < OLDEST {
            bail!("Nix {} is too old: nixdag needs {OLDEST} or newer (install a newer Nix)", found.version);
        }
        Ok(found)
    }

    /// What `nix --version` prints; once in this process.
    fn says_of_itself(&self) -> Result<String> {
        static SAID: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = said.get(&self.nix) {
            return Ok(text.clone());
        }
        let text = self.answer(VERSION, |text| parse_version(text).is_some(), || self.ask_version())?;
        said.insert(self.nix.clone(), text.clone());
        Ok(text)
    }

    fn ask_version(&self) -> Result<String> {
        let answer = self.run(&self.nix, &[OsString::from("--version")], 4 << 10).context("`nix --version` failed")?;
        if !answer.status.success() {
            bail!("Nix does not start: {}", machine_fault::of_start(&answer.stderr));
        }
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// What Nix answers to a question whose answer may be known from last time; only what `is_answer` is kept.
    pub(super) fn answer(
        &self,
        question: &str,
        is_answer: impl Fn(&str) -> bool,
        ask: impl FnOnce() -> Result<String>,
    ) -> Result<String> {
        known_answer::of(&self.nix, question, is_answer, ask)
    }

    /// A digest of all that Nix makes its settings of; none where that cannot be known.
    pub(super) fn settings_digest(&self) -> Option<Sha256> {
        configuration_files::digest(&self.nix, &self.environment)
    }

    /// Whether that digest has the file of settings in this folder.
    pub(super) fn is_settings_folder(&self, folder: &Path) -> bool {
        configuration_files::is_looked_at(&self.nix, &self.environment, folder)
    }

    /// Says what is wrong where Nix does not even start; its version may have been known without.
    pub(super) fn check_start(&self) -> Result<()> {
        self.ask_version().map(drop)
    }

    /// The same, which passes on these variables of the environment, whatever their names look like.
    pub fn with_variables(mut self, names: &[String]) -> Result<Self> {
        for name in names {
            let value = env::var_os(name)
                .ok_or_else(|| anyhow!("the variable `{}` that `--eval-env` names is not set", name.escape_debug()))?;
            self.environment.push((name.into(), value));
        }
        Ok(self)
    }

    /// The version that `nix` says it has.
    pub fn version(&self) -> Version {
        self.version
    }

    /// True for Lix, which left Nix at 2.18 and counts on its own from 2.90.
    pub fn is_lix(&self) -> bool {
        self.is_lix
    }

    /// The same Nix with what it needs to log in to foreign stores. Not for evaluation, which must not see that.
    #[must_use]
    pub fn with_store_access(mut self) -> Self {
        let named = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with("AWS_"));
        self.environment.extend(env::vars_os().filter(|(name, _)| named(name)));
        if env::var_os(SSH_OPTIONS).is_none() {
            self.environment.push((SSH_OPTIONS.into(), "-o BatchMode=yes -o ConnectTimeout=5".into()));
        }
        self
    }

    /// The same, which keeps what it caches of stores in this folder and not where the user's Nix does.
    #[must_use]
    pub fn with_cache_in(mut self, folder: &Path) -> Self {
        // The first is for all programs, the second for Nix from 2.26 on, where it counts before the other.
        self.environment.extend(["XDG_CACHE_HOME", "NIX_CACHE_HOME"].map(|name| (name.into(), folder.into())));
        self
    }

    /// Runs `nix` with flakes switched on. Standard output beyond `limit` bytes is an error.
    pub fn nix<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, limit: usize) -> Result<Finished> {
        let arguments: Vec<_> = FLAKES
            .map(OsString::from)
            .into_iter()
            .chain(arguments.into_iter().map(|a| a.as_ref().to_owned()))
            .collect();
        self.run(&self.nix, &arguments, limit)
    }

    /// Runs `nix-store`. Standard output beyond `limit` bytes is an error.
    pub fn nix_store<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, limit: usize) -> Result<Finished> {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        self.run(&self.nix_store, &arguments, limit)
    }

    /// A call of `nix`, with flakes switched on, that the caller runs and reads from.
    pub(super) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(&self.nix);
        command.args(FLAKES).args(arguments);
        command
    }

    /// A call of a program in the environment that is fit for it, without arguments.
    fn program(&self, program: &PathBuf) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        // The child stays in the terminal's process group, so Ctrl-C reaches it; this is for a parent that is killed. Outright, as
        // an evaluation looks at no milder signal for minutes; Nix sees to it that its own children end with it in the same way.
        end_with_parent(&mut command, Signal::KILL);
        command
    }

    fn run(&self, program: &PathBuf, arguments: &[OsString], limit: usize) -> Result<Finished> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut command = self.program(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(command.spawn().with_context(|| format!("cannot run `{name}`"))?);
        let ((stdout, stderr), status) = program::within(&mut child.0, &name, ANSWER, |child, life| {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            thread::scope(|scope| {
                let stderr = scope.spawn(|| stderr.map_or_else(|| Ok(Vec::new()), |pipe| read_tail(pipe, life)));
                let stdout = stdout.map_or_else(|| Ok(Vec::new()), |pipe| read_bounded(pipe, limit));
                if stdout.is_err() {
                    // It fails only for a process that has ended.
                    let _ = child.kill();
                }
                (stdout, stderr.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread died"))))
            })
        })?;
        let stdout = stdout.with_context(|| format!("cannot use the output of `{name}`"))?;
        let stderr = stderr.with_context(|| format!("cannot read the messages of `{name}`"))?;
        Ok(Finished { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }
}

/// A child that does not outlive its owner.
pub(super) struct Running(pub(super) Child);

impl Running {
    /// Ends the process outright: an evaluation looks at no milder signal for minutes.
    pub(super) fn kill(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Asks the process to end, so that it can end its own children (git, builders), and makes it so after a while.
    fn end(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        // It fails only for a process that has ended; the child is not reaped yet, so the number is still its own.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let step = Duration::from_millis(20);
        for _ in 0..GRACE.as_millis() / step.as_millis() {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(step);
        }
        self.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Has the child get a signal when the thread that starts it ends, however that ends.
pub(crate) fn end_with_parent(command: &mut Command, signal: Signal) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::set_parent_process_death_signal;
        use std::os::unix::process::CommandExt;
        // SAFETY: between fork and exec only one system call is made, and nothing is allocated.
        #[expect(unsafe_code, reason = "the standard library has no parent-death signal")]
        unsafe {
            command.pre_exec(move || {
                let _ = set_parent_process_death_signal(Some(signal));
                Ok(())
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, signal);
}

fn read_bounded(pipe: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("it printed more than {limit} bytes")));
    }
    Ok(bytes)
}

fn read_tail(mut pipe: impl Read, life: &Life) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8 << 10];
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        life.sign();
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * STDERR_KEPT {
            kept.drain(..kept.len() - STDERR_KEPT);
        }
    }
    kept.drain(..kept.len().saturating_sub(STDERR_KEPT));
    Ok(kept)
}

fn on_path(path: &OsStr, program: &str) -> Result<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(is_executable)
        .ok_or_else(|| {
            anyhow!(
                "no `{program}` in any folder on PATH (install Nix {OLDEST} or newer, e.g. `apt-get install nix-bin`, or as \
                 https://nixos.org/download says; if it is installed, add its folder to PATH)"
            )
        })
}

fn is_executable(candidate: &PathBuf) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(candidate).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Reads `nix (Nix) 2.8.0`, `nix (Lix, like Nix) 2.91.1`, `nix (Determinate Nix 3.5.2) 2.28.3`: the last word counts.
pub fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.lines().next()?.split_whitespace().last()?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    let digits = minor.find(|c: char| !c.is_ascii_digit()).map_or(minor, |end| &minor[..end]);
    Some(Version { major, minor: digits.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_nix_and_its_relatives() {
        for (text, major, minor) in [
            ("nix (Nix) 2.8.0\n", 2, 8),
            ("nix (Nix) 2.35pre20260101_abcdef", 2, 35),
            ("nix (Lix, like Nix) 2.91.1\nSystem type: x86_64-linux\n", 2, 91),
            ("nix (Determinate Nix 3.5.2) 2.28.3", 2, 28),
        ] {
            assert_eq!(parse_version(text), Some(Version { major, minor }), "{text}");
        }
        for text in ["", "nix", "nix (Nix) x.y", "nix (Nix) 2"] {
            assert_eq!(parse_version(text), None, "{text}");
        }
        assert!(Version { major: 2, minor: 8 } < Version { major: 2, minor: 26 });
    }

    #[test]
    fn a_missing_program_is_named_with_the_way_to_get_it() {
        let error = on_path(OsStr::new("/nowhere"), "nix").unwrap_err().to_string();
        assert!(error.contains("`nix`") && error.contains("nix-bin"), "{error}");
    }

    fn shell(script: &str, limit: usize) -> Result<Finished> {
        let shell = PathBuf::from("/bin/sh");
        let nix = Nix {
            nix: shell.clone(),
            nix_store: shell.clone(),
            version: OLDEST,
            is_lix: false,
            environment: Vec::new(),
        };
        nix.run(&shell, &["-c".into(), script.into()], limit)
    }

    #[test]
    fn output_is_bounded_and_an_endless_process_is_ended() {
        let error = format!("{:#}", shell("yes", 1000).unwrap_err());
        assert!(error.contains("more than 1000 bytes"), "{error}");
        assert_eq!(shell("printf abc", 3).unwrap().stdout, b"abc");
    }

    #[test]
    fn only_the_end_of_the_messages_is_kept() {
        let finished = shell("head -c 300000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 3", 10).unwrap();
        assert_eq!(finished.stderr.len(), STDERR_KEPT);
        assert!(finished.stderr.ends_with("xend\n"));
        assert_eq!(finished.status.code(), Some(3));
    }
}
