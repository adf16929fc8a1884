//! Recorded evaluations made by hand: a folder with `.drv` files and `roots.json`, to plan without Nix.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Map, Value};
use tempfile::TempDir;

/// A folder of derivations.
pub struct Recorded {
    dir: TempDir,
    paths: Vec<(String, String)>,
    roots: Map<String, Value>,
}

impl Recorded {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), paths: Vec::new(), roots: Map::new() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Adds a derivation of a name that no other has, on inputs that are there; the environment is name to value.
    pub fn drv(mut self, name: &str, system: &str, inputs: &[&str], environment: &[(&str, &str)]) -> Self {
        let hash = format!("{:0>32}", self.paths.len());
        let mut text = format!("Derive([(\"out\",\"/nix/store/{hash}-{name}\",\"\",\"\")],[");
        if environment.iter().any(|(key, _)| *key == "outputHash") {
            text = format!("Derive([(\"out\",\"/nix/store/{hash}-{name}\",\"sha256\",\"{}\")],[", "0".repeat(64));
        }
        let mut inputs: Vec<&str> = inputs.iter().map(|input| self.path(input)).collect();
        inputs.sort_unstable();
        text.push_str(&inputs.iter().map(|path| format!("(\"{path}\",[\"out\"])")).collect::<Vec<_>>().join(","));
        write!(text, "],[],\"{system}\",\"/bin/sh\",[],[").unwrap();
        let variables = environment.iter().map(|(key, value)| format!("({key:?},{value:?})"));
        write!(text, "{}])", variables.collect::<Vec<_>>().join(",")).unwrap();
        self.file(&format!("{hash}-{name}.drv"), &text);
        self.paths.push((name.to_owned(), format!("/nix/store/{hash}-{name}.drv")));
        self
    }

    /// Makes an attribute of a derivation.
    pub fn target(mut self, attribute: &str, name: &str) -> Self {
        let path = self.path(name).to_owned();
        self.roots.insert(attribute.to_owned(), path.into());
        self
    }

    /// Writes `nixdag.yml`.
    pub fn settings(self, text: &str) -> Self {
        self.file("nixdag.yml", text);
        self
    }

    /// The path of a derivation.
    pub fn path(&self, name: &str) -> &str {
        &self.paths.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no derivation `{name}`")).1
    }

    /// `nixdag COMMAND` on it.
    pub fn nixdag(&self, command: &str) -> Command {
        self.file("roots.json", &Value::from(self.roots.clone()).to_string());
        let mut nixdag = Command::cargo_bin("nixdag").unwrap();
        nixdag.current_dir(self.dir()).args([command, "--roots", "roots.json", "--drv-dir", "."]);
        nixdag
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
