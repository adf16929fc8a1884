//! Short patterns: what `nixosConfigurations.*` and its like stand for. In: a pattern. Out: one that leads to derivations. A pattern that
//! names such an output and goes no further than its configurations gets the rest of the path that builds. And short names, such as
//! `hello`: which patterns may be one, and what they may mean anywhere.

use anyhow::Result;

use super::Pattern;
use super::segment::{Glob, Segment, Token};

/// Outputs of configurations, and the path below one that builds it.
pub const CONFIGURATIONS: [(&str, &[&str]); 3] = [
    ("nixosConfigurations", &["config", "system", "build", "toplevel"]),
    ("darwinConfigurations", &["system"]),
    ("homeConfigurations", &["activationPackage"]),
];

/// Outputs with a derivation a system and name.
const PER_NAME: [&str; 4] = ["packages", "legacyPackages", "checks", "devShells"];

/// Outputs in which short names are looked for, in this order: `nix build` knows the first two.
pub const SEARCHED: [&str; 4] = PER_NAME;

/// Outputs that a flake may have, so that no pattern that begins with one is a short name.
const OUTPUTS: [&str; 16] = [
    "packages",
    "legacyPackages",
    "checks",
    "devShells",
    "apps",
    "formatter",
    "nixosConfigurations",
    "darwinConfigurations",
    "homeConfigurations",
    "hydraJobs",
    "lib",
    "overlays",
    "nixosModules",
    "templates",
    "defaultPackage",
    "devShell",
];

/// What the names of systems end with.
const KERNELS: [&str; 11] = [
    "-linux", "-darwin", "-freebsd", "-netbsd", "-openbsd", "-solaris", "-cygwin", "-windows", "-wasi", "-none",
    "-genode",
];

/// The output of Hydra's jobs, in sets in sets.
const JOBS: &str = "hydraJobs";

/// How deep the jobs of `hydraJobs` are looked for.
pub const HYDRA_DEPTH: usize = 4;

impl Pattern {
    /// The pattern that leads from short forms to the derivations that they stand for.
    pub fn to_derivations(&self) -> Self {
        let alternatives = self.alternatives.iter().flat_map(|segments| completed(segments)).collect();
        Self { text: self.text.clone(), alternatives }
    }

    /// The pattern that means both what is written and what that stands for.
    pub fn meant(&self) -> Self {
        let mut both = self.clone();
        for alternative in self.to_derivations().alternatives {
            if !both.alternatives.contains(&alternative) {
                both.alternatives.push(alternative);
            }
        }
        for alternative in self.alternatives.iter().flat_map(|segments| anywhere(segments)) {
            if !both.alternatives.contains(&alternative) {
                both.alternatives.push(alternative);
            }
        }
        both
    }

    /// The pattern of what stands behind the `#` of an installable: `hello`, `hello^out`, `packages.x86_64-linux.hello`, nothing for the
    /// default package. Gives the outputs that are named, too.
    pub fn installable(fragment: &str) -> Result<(Self, Option<String>)> {
        let decoded = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
        let is_outputs = |text: &str| {
            let is_name = |name: &str| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._?=+".contains(&b))
            };
            text == "*" || text.split(',').all(is_name)
        };
        let (path, outputs) = match decoded.rsplit_once('^').filter(|(_, outputs)| is_outputs(outputs)) {
            Some((path, outputs)) => (path, Some(outputs.to_owned()).filter(|outputs| outputs != "*")),
            None => (&*decoded, None),
        };
        let path = path.strip_prefix('.').unwrap_or(path);
        Ok((Self::parse(if path.is_empty() { "default" } else { path })?, outputs))
    }
}

/// True for what may be a short name: it depends on the flake.
pub fn may_be_short(segments: &[Segment]) -> bool {
    match segments {
        [Segment::Literal(output), second, ..] if PER_NAME.contains(&output.as_str()) => {
            matches!(second, Segment::Literal(name) if !is_system(name))
        }
        [Segment::Literal(name), ..] => !OUTPUTS.contains(&name.as_str()),
        // Outputs themselves are nothing to build.
        [Segment::Glob(_)] => true,
        _ => false,
    }
}

/// What a short name may mean, whatever the flake has: the same names in each output, for each system.
fn anywhere(segments: &[Segment]) -> Vec<Vec<Segment>> {
    let below = |output: &str, rest: &[Segment]| [&[Segment::Literal(output.to_owned()), any()], rest].concat();
    match segments {
        _ if !may_be_short(segments) => Vec::new(),
        // Of more names the first may be that of a system.
        [Segment::Literal(output), name] if PER_NAME.contains(&output.as_str()) => {
            vec![below(output, std::slice::from_ref(name))]
        }
        [Segment::Literal(output), ..] if PER_NAME.contains(&output.as_str()) => Vec::new(),
        _ => SEARCHED.iter().map(|output| below(output, segments)).collect(),
    }
}

/// True for what looks like the name of a system.
fn is_system(name: &str) -> bool {
    KERNELS.iter().any(|kernel| name.ends_with(kernel))
}

fn any() -> Segment {
    Segment::Glob(Glob(vec![Token::Star]))
}

/// The alternatives that one stands for; itself where it is no short form.
pub fn completed(segments: &[Segment]) -> Vec<Vec<Segment>> {
    let Some(Segment::Literal(output)) = segments.first() else { return vec![segments.to_vec()] };
    let with = |more: &[Segment]| [segments, more].concat();
    if let Some((_, path)) = CONFIGURATIONS.iter().find(|(name, _)| name == output) {
        let path: Vec<Segment> = path.iter().map(|name| Segment::Literal((*name).to_owned())).collect();
        match segments.len() {
            1 => return vec![[&[segments[0].clone(), any()], path.as_slice()].concat()],
            2 => return vec![with(&path)],
            _ => {}
        }
    }
    let is_per_name = |output: &str| PER_NAME.contains(&output) || output == "apps";
    match (segments.len(), output.as_str()) {
        (1, output) if is_per_name(output) => vec![with(&[any(), any()])],
        (2, output) if is_per_name(output) => match &segments[1] {
            Segment::Literal(name) if !is_system(name) => vec![segments.to_vec()],
            Segment::Levels => vec![segments.to_vec()],
            Segment::Literal(_) | Segment::Glob(_) => vec![with(&[any()])],
        },
        (1, "formatter") => vec![with(&[any()])],
        (1, JOBS) => (1..=HYDRA_DEPTH).map(|depth| with(&vec![any(); depth])).collect(),
        _ => vec![segments.to_vec()],
    }
}

/// True for what is as deep in `hydraJobs` as its short form goes: a set there may have jobs that it does not take.
pub fn is_deepest_job(names: &[String]) -> bool {
    names.len() == 1 + HYDRA_DEPTH && names[0] == JOBS
}

/// The short form of an attribute that builds a configuration: the output and the configuration's name.
pub fn configuration(names: &[String]) -> Option<&[String]> {
    let [output, _, rest @ ..] = names else { return None };
    let (_, path) = CONFIGURATIONS.iter().find(|(name, _)| name == output)?;
    (rest == *path).then(|| &names[..2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_lead_to_what_builds() {
        let leads = |pattern: &str, path: &str| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            Pattern::parse(pattern).unwrap().to_derivations().matches(&path)
        };
        for (pattern, path) in [
            ("nixosConfigurations.*", "nixosConfigurations.web.config.system.build.toplevel"),
            ("nixosConfigurations", "nixosConfigurations.web.config.system.build.toplevel"),
            ("nixosConfigurations.{web,db}", "nixosConfigurations.db.config.system.build.toplevel"),
            ("nixosConfigurations.web.config.system.build.vm", "nixosConfigurations.web.config.system.build.vm"),
            ("darwinConfigurations.*", "darwinConfigurations.mac.system"),
            ("homeConfigurations.\"a@b\"", "homeConfigurations.a@b.activationPackage"),
            ("devShells", "devShells.x.default"),
            ("apps", "apps.x.hello"),
            ("devShells.*.*", "devShells.x.default"),
            ("hydraJobs", "hydraJobs.tests.a.x"),
            ("hydraJobs", "hydraJobs.a"),
            ("formatter", "formatter.x"),
        ] {
            assert!(leads(pattern, path), "{pattern}: {path}");
        }
        assert!(!leads("nixosConfigurations.*", "nixosConfigurations.web"));
        let both = Pattern::parse("nixosConfigurations.web").unwrap().meant();
        assert_eq!(both.alternatives().len(), 2);
        assert_eq!(Pattern::parse("packages.*.a").unwrap().meant().alternatives().len(), 1);
    }

    #[test]
    fn a_short_name_is_meant_in_every_output() {
        let means = |pattern: &str, path: &str| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            Pattern::parse(pattern).unwrap().meant().matches(&path)
        };
        assert!(means("hello", "packages.x.hello") && means("hello", "checks.x.hello") && means("hello", "hello"));
        assert!(means("packages.hello", "packages.x.hello") && !means("packages.hello", "checks.x.hello"));
        assert!(means("packages.x86_64-linux", "packages.x86_64-linux.a") && means("checks.*", "checks.x.a"));
        assert!(!means("lib", "packages.x.lib") && !means("packages.x.a", "packages.y.x.a"));
    }

    #[test]
    fn an_installable_is_taken_apart() {
        let text = |fragment: &str| {
            let (pattern, outputs) = Pattern::installable(fragment).unwrap();
            format!("{pattern} {}", outputs.unwrap_or_default())
        };
        for (fragment, expected) in [
            ("hello", "hello "),
            ("hello^out", "hello out"),
            ("hello^*", "hello "),
            ("hello^out,dev", "hello out,dev"),
            ("", "default "),
            (".packages.x.y", "packages.x.y "),
            ("a%20b", "a b "),
            ("\"a^b c\"", "\"a^b c\" "),
        ] {
            assert_eq!(text(fragment), expected);
        }
        assert!(Pattern::installable("a..b").is_err());
    }
}
