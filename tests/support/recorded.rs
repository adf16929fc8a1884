//! Recorded evaluations made by hand: a folder with `.drv` files and `roots.json`, to plan without Nix.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::{fails, nixdag};

/// A derivation to write down.
#[derive(Clone, Copy, Default)]
pub struct Drv<'a> {
    /// What inputs and targets call it: its name, and a mark behind `#` where two derivations have the same.
    pub key: &'a str,
    /// `x86_64-linux` where empty.
    pub system: &'a str,
    /// Outputs beside `out`, in order, all before it.
    pub outputs: &'a [&'a str],
    /// Keys of derivations that are there, `key^output` for another output than `out`.
    pub inputs: &'a [&'a str],
    /// Variables. `outputHash` makes it a fetch, whose output depends on name and hash alone.
    pub environment: &'a [(&'a str, &'a str)],
}

/// A path in the store, of the derivation with this number, the first one being 1, or of its output `out`.
pub fn store_path(number: usize, name: &str) -> String {
    format!("/nix/store/{number:032}-{name}")
}

/// A folder of derivations.
pub struct Recorded {
    dir: TempDir,
    known: Vec<Known>,
    roots: Map<String, Value>,
}

struct Known {
    key: String,
    path: String,
    /// Name and path of each output.
    outputs: Vec<(String, String)>,
}

impl Recorded {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), known: Vec::new(), roots: Map::new() }
    }

    /// Derivations for x86_64-linux, name and inputs, each a target `packages.x86_64-linux.NAME`.
    pub fn of(derivations: &[(&str, &[&str])]) -> Self {
        derivations.iter().fold(Self::new(), |recorded, (name, inputs)| {
            recorded.drv(name, "", inputs, &[]).target(&format!("packages.x86_64-linux.{name}"), name)
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, and the folders that it is in.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Adds a derivation of a name that no other has, on inputs that are there; the environment is name to value.
    pub fn drv(self, name: &str, system: &str, inputs: &[&str], environment: &[(&str, &str)]) -> Self {
        self.add(&Drv { key: name, system, inputs, environment, ..Drv::default() })
    }

    /// Adds a derivation.
    pub fn add(mut self, drv: &Drv) -> Self {
        let number = self.known.len() + 1;
        let name = drv.key.split('#').next().unwrap();
        let path = format!("{}.drv", store_path(number, name));
        let fetched = drv.environment.iter().find(|(key, _)| *key == "outputHash").map(|(_, hash)| *hash);
        let out = match fetched {
            Some(hash) => {
                let digits: String = hash.chars().filter(char::is_ascii_digit).take(31).collect();
                format!("/nix/store/f{digits:0>31}-{name}")
            }
            None => store_path(number, name),
        };
        let more = drv.outputs.iter().enumerate();
        let mut outputs: Vec<(String, String)> = more
            .map(|(at, output)| ((*output).to_owned(), format!("/nix/store/{}{number:031}-{name}-{output}", at + 1)))
            .collect();
        outputs.push(("out".to_owned(), out));
        let hash = fetched.map(|hash| if hash.len() == 64 { hash.to_owned() } else { "0".repeat(64) });
        let (method, hash) = hash.map_or(("", String::new()), |hash| ("sha256", hash));
        let output = |(name, path): &(String, String)| format!("(\"{name}\",\"{path}\",\"{method}\",\"{hash}\")");
        let mut inputs: Vec<(&str, &str)> = drv
            .inputs
            .iter()
            .map(|input| input.split_once('^').unwrap_or((input, "out")))
            .map(|(key, output)| (self.path(key), output))
            .collect();
        inputs.sort_unstable();
        let text = format!(
            "Derive([{}],[{}],[],\"{}\",\"/bin/sh\",[],[{}])",
            list(outputs.iter().map(output)),
            list(inputs.iter().map(|(path, output)| format!("(\"{path}\",[\"{output}\"])"))),
            if drv.system.is_empty() { "x86_64-linux" } else { drv.system },
            list(drv.environment.iter().map(|(key, value)| format!("({key:?},{value:?})")))
        );
        self.file(&path["/nix/store/".len()..], &text);
        self.known.push(Known { key: drv.key.to_owned(), path, outputs });
        self
    }

    /// Makes an attribute of a derivation.
    pub fn target(mut self, attribute: &str, key: &str) -> Self {
        self.roots.insert(attribute.to_owned(), self.path(key).into());
        self.file("roots.json", Value::from(self.roots.clone()).to_string());
        self
    }

    /// Writes other roots: names in `packages.x86_64-linux` and what they are derivations of.
    pub fn other_roots(self, file: &str, targets: &[(&str, &str)]) -> Self {
        let roots: Map<String, Value> = targets
            .iter()
            .map(|(name, key)| (format!("packages.x86_64-linux.{name}"), self.path(key).into()))
            .collect();
        self.file(file, Value::from(roots).to_string());
        self
    }

    /// Writes `nixdag.yml`.
    pub fn settings(self, text: &str) -> Self {
        self.file("nixdag.yml", text);
        self
    }

    /// The path of a derivation.
    pub fn path(&self, key: &str) -> &str {
        &self.known(key).path
    }

    /// The path of an output: `key` or `key^output`.
    pub fn output(&self, of: &str) -> &str {
        let (key, output) = of.split_once('^').unwrap_or((of, "out"));
        let found = self.known(key).outputs.iter().find(|(name, _)| name == output);
        &found.unwrap_or_else(|| panic!("no output `{of}`")).1
    }

    fn known(&self, key: &str) -> &Known {
        self.known.iter().find(|known| known.key == key).unwrap_or_else(|| panic!("no derivation `{key}`"))
    }

    /// `nixdag COMMAND` on it, in its folder.
    pub fn nixdag(&self, command: &str) -> Command {
        let mut nixdag = nixdag();
        nixdag.current_dir(self.dir()).args([command, "--roots", "roots.json", "--drv-dir", "."]);
        nixdag
    }

    /// Planning fails with exit code 1, nothing on standard output, and a message of these words.
    #[track_caller]
    pub fn fails(&self, words: &[&str]) {
        fails(&mut self.nixdag("plan"), words);
    }

    /// The plan as JSON.
    #[track_caller]
    pub fn plan(&self, arguments: &[&str]) -> Value {
        let output = self.nixdag("plan").args(["--format", "json"]).args(arguments).assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    /// What a command prints.
    #[track_caller]
    pub fn said(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.nixdag(command).args(arguments).assert().success();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// Ids of jobs, as a plan's JSON has them.
pub fn ids(jobs: &Value) -> Vec<&str> {
    jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect()
}

/// One line a job: name, machine, what it owns and what it builds with others.
pub fn table(plan: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let names = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|path| path.as_str().unwrap()[44..].trim_end_matches(".drv").to_owned())
            .collect()
    };
    let jobs = plan["jobs"].as_array().unwrap();
    jobs.iter()
        .map(|job| {
            let mut line = format!(
                "{}: {} on {} {} {}",
                text(&job["name"]),
                names(&job["derivations"]).join(" "),
                text(&job["executor"]),
                text(&job["resource_class"]),
                text(&job["image"])
            );
            let co_located = names(&job["co_located"]);
            if !co_located.is_empty() {
                line.push_str(&format!(" with {}", co_located.join(" ")));
            }
            if job["options"] != serde_json::json!({}) {
                line.push_str(&format!(" {}", job["options"]));
            }
            line
        })
        .collect()
}

/// An entry of `records.json`: a build of a derivation on x86_64-linux that took so many seconds.
pub fn measured(derivation: &str, seconds: f64) -> serde_json::Value {
    let name = derivation.rsplit('/').next().unwrap()[33..].trim_end_matches(".drv");
    serde_json::json!({
        "name": name, "system": "x86_64-linux", "derivation": derivation, "at": 1_790_000_000, "job": "job",
        "seconds": seconds, "ending": "built", "attempts": 1,
    })
}
