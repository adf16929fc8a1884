//! Makes a destination ready to be pushed to: any store that Nix can write to, Cachix, or Attic.
//!
//! In: destinations, and secrets by the names of their variables. Out: a [`ReadyDestination`], or what is
//! missing so that nothing can be pushed. No secret is ever an argument: clients get theirs in their environment or from a file
//! in memory.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::delivery::destination::Destination;
use crate::nix::store::Store;
use crate::private_file::{self, PrivateFile};
use crate::secret::{Secret, VariableName};

/// What Cachix takes its token and its key from; one of them is enough.
const CACHIX_VARIABLES: [&str; 2] = ["CACHIX_AUTH_TOKEN", "CACHIX_SIGNING_KEY"];

/// The token for Attic's server.
const ATTIC_TOKEN: &str = "ATTIC_TOKEN";

/// The address of Attic's server, which is no secret.
const ATTIC_ENDPOINT: &str = "ATTIC_ENDPOINT";

/// What its client reads, below the folder for settings.
const ATTIC_SETTINGS: &str = "attic/config.toml";

/// Any of these lets Nix write to a bucket, beside what the machine itself may do.
pub const S3_VARIABLES: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// What is shorter than this, in bytes, is no secret, and may be part of any word.
const SHORTEST_SECRET: usize = 6;

/// The secrets of a job, taken out of its environment.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Variables that the user names, without which nothing is pushed.
    named: Vec<(VariableName, Option<Secret>)>,
    /// Those that clients know by themselves.
    known: Vec<(VariableName, Secret)>,
}

impl Credentials {
    /// Takes what the destinations need, and the variables that the user names. To be called while no other thread runs.
    pub fn take(destinations: &[Destination], named: &[VariableName]) -> Result<Self> {
        Self::gather(destinations, named, Secret::take)
    }

    /// The same, but what the user names stays in the environment.
    pub fn read(destinations: &[Destination], named: &[VariableName]) -> Result<Self> {
        Self::gather(destinations, named, Secret::read)
    }

    fn gather(
        destinations: &[Destination],
        named: &[VariableName],
        get: fn(&VariableName) -> Option<Secret>,
    ) -> Result<Self> {
        let mut known = Vec::new();
        for destination in destinations {
            for name in variables(destination) {
                let name = VariableName::parse(name)?;
                known.extend(Secret::take(&name).map(|secret| (name, secret)));
            }
        }
        let named = named.iter().map(|name| (name.clone(), get(name))).collect();
        Ok(Self { named, known })
    }

    fn has(&self, name: &str) -> bool {
        self.known.iter().any(|(known, _)| known.as_str() == name)
            || self.named.iter().any(|(named, secret)| named.as_str() == name && secret.is_some())
            || std::env::var_os(name).is_some_and(|value| !value.is_empty())
    }

    /// What one client is to find in its environment.
    fn variables(&self, destination: &Destination) -> Vec<(VariableName, Secret)> {
        let named = self.named.iter().filter_map(|(name, secret)| Some((name.clone(), secret.clone()?)));
        let known = self.known.iter().filter(|(name, _)| variables(destination).contains(&name.as_str()));
        named.chain(known.cloned()).collect()
    }

    /// Makes a destination ready; an error says what it lacks.
    pub fn prepare(&self, destination: Destination, signing: &SigningKey) -> Result<ReadyDestination> {
        if let Some((name, _)) = self.named.iter().find(|(_, secret)| secret.is_none()) {
            bail!("`{name}` is not set");
        }
        let variables = self.variables(&destination);
        let mut target = ReadyDestination { destination, variables, key: None, settings: None };
        match &target.destination {
            Destination::Store(url) => {
                if url.starts_with("s3://") && self.named.is_empty() && !S3_VARIABLES.iter().any(|name| self.has(name))
                {
                    bail!("none of {} is set", S3_VARIABLES.map(|name| format!("`{name}`")).join(", "));
                }
                match signing {
                    SigningKey::Missing(name) => bail!("the signing key `{name}` is not set"),
                    SigningKey::Here(secret) => target.key = Some(secret.clone()),
                    SigningKey::None => {}
                }
            }
            Destination::Cachix(_) => {
                ensure!(
                    CACHIX_VARIABLES.iter().any(|name| self.has(name)),
                    "neither {} is set",
                    CACHIX_VARIABLES.map(|name| format!("`{name}`")).join(" nor ")
                );
            }
            Destination::Attic { server, .. } => {
                let token = target.variables.iter().find(|(name, _)| name.as_str() == ATTIC_TOKEN);
                let endpoint = std::env::var(ATTIC_ENDPOINT).ok().filter(|endpoint| !endpoint.is_empty());
                match (token.cloned(), endpoint) {
                    (Some((_, token)), Some(endpoint)) => {
                        let text = attic_settings(server, &endpoint, &token)?;
                        target.settings_file(&text)?;
                    }
                    (Some(_), None) => bail!("`{ATTIC_ENDPOINT}`, the address of the server, is not set"),
                    (None, _) => ensure!(has_attic_settings(), "`{ATTIC_TOKEN}` is not set"),
                }
            }
        }
        Ok(target)
    }
}

/// The secrets that a destination's client knows by name. Those of stores Nix needs for reading too.
pub fn variables(destination: &Destination) -> &'static [&'static str] {
    match destination {
        Destination::Store(_) => &[],
        Destination::Cachix(_) => &CACHIX_VARIABLES,
        Destination::Attic { .. } => &[ATTIC_TOKEN],
    }
}

/// What pushed paths are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// They are not.
    None,
    /// With this one.
    Here(Secret),
    /// They should be, but this variable is not set.
    Missing(VariableName),
}

/// True where the user has set up Attic's client.
fn has_attic_settings() -> bool {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(std::path::PathBuf::from);
    let folder = folder.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    folder.is_some_and(|folder| folder.join(ATTIC_SETTINGS).is_file())
}

/// The settings file of Attic's client.
fn attic_settings(server: &str, endpoint: &str, token: &Secret) -> Result<String> {
    let quoted = |text: &str, what: &str| {
        ensure!(!text.contains(char::is_control), "`{what}` holds control characters");
        Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
    };
    let endpoint = quoted(endpoint, ATTIC_ENDPOINT)?;
    let token = quoted(token.reveal().trim(), ATTIC_TOKEN)?;
    Ok(format!("[servers.{}]\nendpoint = {endpoint}\ntoken = {token}\n", quoted(server, "server")?))
}

/// A destination that is ready.
#[derive(Debug)]
pub struct ReadyDestination {
    destination: Destination,
    variables: Vec<(VariableName, Secret)>,
    key: Option<Secret>,
    /// For a client that takes its token from nothing else.
    settings: Option<ClientSettings>,
}

impl ReadyDestination {
    /// The destination.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The call that pushes these paths, and what it reads.
    pub fn command(&self, store: &Store, paths: &[&str]) -> Result<(Command, Option<String>)> {
        let (mut command, input) = match &self.destination {
            Destination::Store(url) => {
                let store = store.clone().with_variables(self.variables.clone());
                let mut command = store.program_beside("nix", &["--extra-experimental-features", "nix-command"]);
                let (url, key) = self.signed(url);
                command.args(["copy", "--to", &url]).args(paths);
                return Ok((command, key));
            }
            Destination::Cachix(name) => {
                let mut command = Command::new("cachix");
                command.args(["push", name]);
                (command, paths)
            }
            Destination::Attic { server, cache } => {
                let mut command = Command::new("attic");
                command.args(["push", "--stdin", &format!("{server}:{cache}")]);
                if let Some(settings) = &self.settings {
                    command.env("XDG_CONFIG_HOME", settings.folder.path());
                }
                (command, paths)
            }
        };
        command.envs(self.variables.iter().map(|(name, secret)| (name.as_str(), secret.reveal())));
        Ok((command, Some(input.iter().map(|path| format!("{path}\n")).collect())))
    }

    /// The URL for signing with the key, and the key, which Nix reads from its input: a file with it would outlive a killed process.
    fn signed(&self, url: &str) -> (String, Option<String>) {
        // The other side of SSH signs for itself, or trusts whoever may log in.
        let Some(key) = self.key.as_ref().filter(|_| !url.starts_with("ssh")) else { return (url.to_owned(), None) };
        let separator = if url.contains('?') { '&' } else { '?' };
        (format!("{url}{separator}secret-key=/dev/stdin"), Some(key.reveal().to_owned()))
    }

    /// Text in which no secret is left.
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.variables.iter().map(|(_, secret)| secret).chain(&self.key);
        let values = secrets.map(|secret| secret.reveal().trim()).filter(|value| value.len() >= SHORTEST_SECRET);
        values.fold(text.to_owned(), |text, value| text.replace(value, "…"))
    }

    /// Has Attic's client find its settings: a folder with nothing but a link to them.
    fn settings_file(&mut self, text: &str) -> Result<()> {
        let write = || -> std::io::Result<ClientSettings> {
            let file = PrivateFile::new(text)?;
            let folder = private_file::temporary_folder()?;
            std::fs::create_dir(folder.path().join("attic"))?;
            std::os::unix::fs::symlink(file.path(), folder.path().join(ATTIC_SETTINGS))?;
            Ok(ClientSettings { folder, _file: file })
        };
        self.settings = Some(write().context("cannot write the settings of Attic's client")?);
        Ok(())
    }
}

/// What a client reads its secrets from; gone with this value.
#[derive(Debug)]
struct ClientSettings {
    folder: TempDir,
    _file: PrivateFile,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_signed_for_with_a_key_that_no_file_and_no_argument_holds() {
        let url = "http://cache.example.org?compression=zstd";
        let signing = SigningKey::Here(Secret::of_test("name:secret"));
        let target = Credentials::default().prepare(Destination::parse(url).unwrap(), &signing).unwrap();
        assert_eq!(target.signed(url), (format!("{url}&secret-key=/dev/stdin"), Some("name:secret".to_owned())));
        assert_eq!(target.signed("ssh://host"), ("ssh://host".to_owned(), None));
        assert!(target.settings.is_none());
        assert_eq!(target.redact("error: name:secret!"), "error: …!");
        assert!(!format!("{target:?}").contains("name:secret"));
    }

    #[test]
    fn a_clients_settings_are_found_by_it_and_are_in_no_folder() {
        let destination = Destination::parse("attic:ci:cache").unwrap();
        let mut target = ReadyDestination { destination, variables: Vec::new(), key: None, settings: None };
        target.settings_file("token").unwrap();
        let file = target.settings.as_ref().unwrap().folder.path().join(ATTIC_SETTINGS);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "token");
        #[cfg(target_os = "linux")]
        assert!(std::fs::symlink_metadata(&file).unwrap().is_symlink());
        drop(target);
        assert!(std::fs::symlink_metadata(&file).is_err());
    }

    #[test]
    fn what_lacks_its_secrets_says_which() {
        let missing = SigningKey::Missing(VariableName::signing_key());
        for (text, signing, lacks) in [
            ("cachix:x", &SigningKey::None, "neither `CACHIX_AUTH_TOKEN` nor `CACHIX_SIGNING_KEY` is set"),
            ("file:///x", &missing, "`NIXDAG_SIGNING_KEY` is not set"),
        ] {
            let error = Credentials::default().prepare(Destination::parse(text).unwrap(), signing).unwrap_err();
            assert!(error.to_string().contains(lacks), "{error}");
        }
        let name = VariableName::parse("NIXDAG_NEVER_SET").unwrap();
        let credentials = Credentials::take(&[], &[name]).unwrap();
        let error = credentials.prepare(Destination::Store("file:///x".into()), &SigningKey::None).unwrap_err();
        assert_eq!(error.to_string(), "`NIXDAG_NEVER_SET` is not set");
    }

    #[test]
    fn the_settings_of_attic_are_toml_whatever_the_token_holds() {
        let text = attic_settings("ci", "https://attic.example.org", &Secret::of_test("a\"b\\c\n")).unwrap();
        assert_eq!(text, "[servers.\"ci\"]\nendpoint = \"https://attic.example.org\"\ntoken = \"a\\\"b\\\\c\"\n");
        assert!(attic_settings("ci", "https://x", &Secret::of_test("a\nb")).is_err());
    }
}
