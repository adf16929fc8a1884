//! What a job runs on: a mount namespace with an empty `/nix`, `/root` and `/tmp` that outlive its steps but not the job, and a user for builds that no other job has.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::support::empty_store::{BUILD_USER_FILES, namespace};

/// Where every job has its home, so that caches fit from one job to the next.
const HOME: &str = "/root";

/// The folders that are a job's own.
const MOUNTS: [&str; 4] = ["/nix", HOME, "/mnt", "/tmp"];

/// What the image nixos/nix does not have.
const NOT_WITH_NIX: [&str; 7] = ["bash", "jq", "sed", "awk", "mawk", "xz", "sudo"];

/// What other images do not have.
const NIX: [&str; 10] = [
    "nix",
    "nix-build",
    "nix-channel",
    "nix-collect-garbage",
    "nix-copy-closure",
    "nix-daemon",
    "nix-env",
    "nix-instantiate",
    "nix-shell",
    "nix-store",
];

/// The variable by which the processes of a job are known.
const MARK: &str = "NIXDAG_STAND_IN";

/// What all jobs of a pipeline find.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub nix: Option<PathBuf>,
    pub nix_conf: String,
    pub programs: Vec<PathBuf>,
    pub checkout: Option<PathBuf>,
    pub user: Option<u32>,
    pub before: Option<String>,
    pub plain_images: bool,
}

/// Ends what is running, as a click on "Cancel" does.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Forgets it.
    pub fn reset(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a job's machine starts with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The container's image; none for a virtual machine.
    pub image: Option<&'a str>,
    /// The shell that the job names; none for the usual one.
    pub shell: Option<&'a str>,
    /// Where commands run.
    pub directory: &'a str,
    /// The name of a user that is not root.
    pub user: &'a str,
    /// What the CI says in every environment.
    pub variables: &'a [(&'a str, &'a str)],
}

/// The machine of one job.
pub struct Machine {
    dir: PathBuf,
    world: World,
    directory: String,
    shell: Vec<String>,
    image: Option<String>,
    user: String,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// Sets a machine up; `dir` holds its folders.
    pub fn new(world: &World, start: &Start, dir: &Path) -> Result<Self> {
        // It would find the usual Nix instead, and the test would pass for another version.
        let hidden = world.nix.iter().find(|nix| MOUNTS.iter().any(|mount| nix.starts_with(mount)));
        ensure!(hidden.is_none(), "a job has a folder of its own over {hidden:?}: keep the versions of Nix elsewhere");
        for mount in MOUNTS {
            fs::create_dir_all(dir.join(&mount[1..]))?;
        }
        let open = |path: &str| fs::set_permissions(dir.join(path), fs::Permissions::from_mode(0o1777));
        open("tmp")?;
        open("mnt")?;
        for program in &world.programs {
            let name = program.file_name().with_context(|| format!("`{}` is no program", program.display()))?;
            fs::copy(program, dir.join("mnt").join(name))?;
        }
        let users = Command::new("sh").args(["-ec", BUILD_USER_FILES]).env("own", dir.join("mnt")).status()?;
        ensure!(users.success(), "cannot make a user for builds");
        fs::write(dir.join("mnt/nix.conf"), format!("build-users-group =\nsubstituters =\n{}", world.nix_conf))?;
        let shell = match (start.shell, start.image) {
            (Some(shell), _) => shell.to_owned(),
            // That image has no /bin/bash.
            (None, Some(image)) if has_nix(image) => "/bin/sh -e".into(),
            _ => "bash -eo pipefail".into(),
        };
        let shell = shell.split_whitespace().map(str::to_owned).collect();
        let own = |text: &str| text.to_owned();
        let machine = Self {
            dir: dir.to_owned(),
            world: world.clone(),
            directory: own(start.directory),
            shell,
            image: start.image.map(own),
            user: own(start.user),
            variables: start.variables.iter().map(|(name, value)| (own(name), own(value))).collect(),
        };
        fs::create_dir_all(machine.outside(&machine.absolute(".")?)?)?;
        machine.settle()?;
        Ok(machine)
    }

    /// A step's path as the job sees it.
    pub fn absolute(&self, path: &str) -> Result<PathBuf> {
        ensure!(!path.contains('$'), "variables do not work in `{path}`");
        let home = |path: &str| match path.strip_prefix('~') {
            Some(rest) => PathBuf::from(format!("{HOME}{rest}")),
            None => PathBuf::from(path),
        };
        // `join` keeps what is absolute already.
        Ok(home(&self.directory).join(home(path)))
    }

    /// The same file as this process sees it.
    pub fn outside(&self, path: &Path) -> Result<PathBuf> {
        ensure!(!path.components().any(|part| part == Component::ParentDir), "`..` in `{}`", path.display());
        if !MOUNTS.iter().any(|mount| path.starts_with(mount)) {
            bail!("`{}` is outside of what a job may write", path.display());
        }
        Ok(self.dir.join(path.strip_prefix("/")?))
    }

    /// The folders that are the job's own.
    pub fn mounted(&self) -> &'static [&'static str] {
        &MOUNTS
    }

    /// Gives what was put into the home folder to the job's user.
    pub fn settle(&self) -> Result<()> {
        if let Some(user) = self.world.user {
            self.give_home(user)?;
        }
        Ok(())
    }

    /// Gives the home folder to a user, as the job's namespace numbers them: an ordinary user may do that only there.
    fn give_home(&self, user: u32) -> Result<()> {
        let mut chown = namespace("");
        chown.args(["chown", "-R", "-h", &format!("{user}:{user}")]).arg(self.dir.join(&HOME[1..]));
        ensure!(chown.status()?.success(), "cannot give the home folder away");
        Ok(())
    }

    /// What `checkout` gives.
    pub fn checkout(&self) -> Result<()> {
        let source = self.world.checkout.as_ref().context("the pipeline has nothing to check out")?;
        copy_into(source, &self.outside(&self.absolute(".")?)?)?;
        self.settle()
    }

    /// Gives the machine a program of this text.
    pub fn add_program(&self, name: &str, script: &str) -> Result<()> {
        let file = self.dir.join("mnt").join(name);
        fs::write(&file, script)?;
        Ok(fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?)
    }

    /// Runs the script that comes before all steps.
    pub fn before_steps(&self, log: &Path, cancel: &Cancel) -> Result<()> {
        let Some(script) = &self.world.before else { return Ok(()) };
        let shell = ["sh", "-e", "-c", script].map(str::to_owned);
        let status = self.spawn(&shell, None, "/", &self.environment(), log, cancel)?;
        ensure!(status.is_some_and(|status| status.success()), "the script before all steps failed");
        Ok(())
    }

    /// Runs a command of a step; none if the workflow was cancelled meanwhile.
    pub fn run(
        &self,
        command: &str,
        shell: Option<&str>,
        directory: &Path,
        variables: &BTreeMap<String, String>,
        log: &Path,
        cancel: &Cancel,
    ) -> Result<Option<ExitStatus>> {
        let mut words = match shell {
            Some(shell) => shell.split_whitespace().map(str::to_owned).collect(),
            None => self.shell.clone(),
        };
        words.extend(["-c".to_owned(), command.to_owned()]);
        let mut environment = self.environment();
        environment.extend(variables.clone());
        let directory = directory.to_str().context("a path that is not text")?;
        self.spawn(&words, self.world.user, directory, &environment, log, cancel)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let nix = self
            .world
            .nix
            .as_ref()
            .filter(|_| !self.world.plain_images || self.has_nix())
            .map_or(String::new(), |nix| format!("{}:", nix.display()));
        let path = format!("/mnt:{nix}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let user = if self.world.user.is_some() { &*self.user } else { "root" };
        [
            ("PATH", &*path),
            ("HOME", HOME),
            ("USER", user),
            ("NIX_CONF_DIR", "/mnt"),
            (MARK, self.dir.to_str().unwrap_or_default()),
            ("CI", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .chain(self.variables.iter().cloned())
        .collect()
    }

    fn has_nix(&self) -> bool {
        self.image.as_deref().is_some_and(has_nix)
    }

    /// Lines that take away what the image does not have, and give what a virtual machine has.
    fn image(&self) -> String {
        let init = match self.image {
            None => "mount -t tmpfs none /run && mkdir -p /run/systemd/system || exit 125\n",
            Some(_) => "",
        };
        let hidden: &[&str] = match self.world.plain_images {
            true if self.has_nix() => &NOT_WITH_NIX,
            true => &NIX,
            false => &[],
        };
        let hide = format!(
            "for name in {}; do for dir in /usr/bin /usr/sbin /usr/local/bin; do\n\
             [ ! -e $dir/$name ] || mount --bind /dev/null $dir/$name || exit 125\ndone; done\n",
            hidden.join(" ")
        );
        format!("{init}{hide}")
    }

    fn spawn(
        &self,
        words: &[String],
        user: Option<u32>,
        directory: &str,
        environment: &BTreeMap<String, String>,
        log: &Path,
        cancel: &Cancel,
    ) -> Result<Option<ExitStatus>> {
        let files = [("/mnt/group", "/etc/group"), ("/mnt/passwd", "/etc/passwd")];
        // `/tmp` last: it hides the folders that the others come from.
        let binds: String = (files.into_iter().chain(MOUNTS.map(|mount| (mount, mount))))
            .map(|(own, path)| format!("mount --bind \"$1{own}\" {path} || exit 125\n"))
            .collect();
        let mut command = namespace(&format!("{binds}{}cd \"$2\" || exit 125\nshift 2", self.image()));
        command.arg(&self.dir).arg(directory);
        if let Some(user) = user {
            command.args(["setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        }
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        command.args(words).env_clear().envs(environment).process_group(0);
        command.stdin(File::open("/dev/null")?).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().context("`unshare` is missing")?;
        let mut asked = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(if asked.is_some() { None } else { Some(status) });
            }
            match asked {
                None if cancel.is_set() => {
                    asked = Some(Instant::now());
                    signal(child.id(), libc::SIGTERM);
                }
                Some(since) if since.elapsed() > Duration::from_secs(10) => signal(child.id(), libc::SIGKILL),
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Machine {
    /// Ends what the job left in the background.
    fn drop(&mut self) {
        let mark = format!("{MARK}={}", self.dir.display());
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()) {
                // SAFETY: `kill` takes two numbers and touches no memory.
                #[allow(unsafe_code)]
                unsafe {
                    libc::kill(id, libc::SIGKILL);
                }
            }
        }
        // Whoever runs the tests removes the folders.
        if self.world.user.is_some() {
            let _ = self.give_home(0);
        }
    }
}

fn has_nix(image: &str) -> bool {
    image.starts_with("nixos/nix")
}

fn signal(group: u32, number: i32) {
    // SAFETY: `kill` takes two numbers and touches no memory.
    #[allow(unsafe_code)]
    unsafe {
        libc::kill(-(group as i32), number);
    }
}

/// Copies a file to a name, or what is in a folder into a folder, over what is there.
pub fn copy_into(source: &Path, target: &Path) -> Result<()> {
    let folder = if source.is_dir() { target } else { target.parent().context("a file stands in a folder")? };
    // The folder may have been given to a job's user.
    let mut command = namespace("mkdir -p \"$1\"; shift");
    command.arg(folder).args(["cp", "-a", "--no-target-directory"]);
    let output = command.arg(source).arg(target).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Adds a line to a log.
pub fn note(log: &Path, line: &str) -> Result<()> {
    writeln!(OpenOptions::new().create(true).append(true).open(log)?, "{line}")?;
    Ok(())
}
