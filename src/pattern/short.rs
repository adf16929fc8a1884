//! Short patterns: what `nixosConfigurations.*` and its like stand for. In: a pattern. Out: one that leads to derivations. A pattern that
//! names such an output and goes no further than its configurations gets the rest of the path that builds.

use super::Pattern;
use super::segment::{Glob, Segment, Token};

/// Outputs of configurations, and the path below one that builds it.
const CONFIGURATIONS: [(&str, &[&str]); 3] = [
    ("nixosConfigurations", &["config", "system", "build", "toplevel"]),
    ("darwinConfigurations", &["system"]),
    ("homeConfigurations", &["activationPackage"]),
];

/// Outputs with a derivation a system and name.
const PER_NAME: [&str; 3] = ["packages", "checks", "devShells"];

/// How deep the jobs of `hydraJobs` are looked for.
const HYDRA_DEPTH: usize = 4;

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
        both
    }
}

fn any() -> Segment {
    Segment::Glob(Glob(vec![Token::Star]))
}

/// The alternatives that one stands for; itself where it is no short form.
fn completed(segments: &[Segment]) -> Vec<Vec<Segment>> {
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
    match (segments.len(), output.as_str()) {
        (1, output) if PER_NAME.contains(&output) => vec![with(&[any(), any()])],
        (1, "formatter") => vec![with(&[any()])],
        (1, "hydraJobs") => (1..=HYDRA_DEPTH).map(|depth| with(&vec![any(); depth])).collect(),
        _ => vec![segments.to_vec()],
    }
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
}
