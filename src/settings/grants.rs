//! Which machines and contexts somebody may choose who is not trusted with them: a package, an input of the flake, a plan from a file. In:
//! the machines, and what nixdag.yml lists. Out: [`Grants`], and a sentence for what they do not hold.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::fleet::Fleet;
use crate::fleet::executor::{self, AUTO, Executor};
use crate::plan::rules::Rule;
use crate::plan::{Job, Plan};

/// What may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Executors that nixdag.yml declares, or changes.
    pub declared: BTreeSet<String>,
    /// Those of them that packages may name.
    pub executors: BTreeSet<String>,
    /// Resource classes beside the usual ones.
    pub classes: BTreeSet<String>,
    /// Contexts.
    pub contexts: BTreeSet<String>,
}

impl Grants {
    /// An executor that a package names.
    pub fn executor<'e>(&self, executors: &'e [Executor], name: &str) -> Result<&'e Executor> {
        let found = executor::find(executors, name)?;
        ensure!(
            !self.declared.contains(name) || self.executors.contains(name),
            "executor `{}` is not among `package_executors` of nixdag.yml",
            name.escape_debug()
        );
        Ok(found)
    }

    /// A resource class that a package names: a usual one, which everybody has, or one that is listed.
    pub fn class(&self, fleet: &Fleet, name: &str) -> Result<()> {
        ensure!(
            name == AUTO || fleet.offers.is_known(name) || self.classes.contains(name),
            "resource class `{}` is neither a usual one{} nor among `package_resource_classes` of nixdag.yml",
            name.escape_debug(),
            fleet.offers.hint(name)
        );
        Ok(())
    }

    /// A context that a package names.
    pub fn context(&self, name: &str) -> Result<()> {
        ensure!(
            self.contexts.contains(name),
            "context `{}` is not among `contexts` of nixdag.yml",
            name.escape_debug()
        );
        Ok(())
    }

    /// Checks a plan from a file: what its jobs have must be what packages may name, or what executors and rules of these settings say.
    pub fn check(&self, plan: &Plan, fleet: &Fleet, rules: &[Rule]) -> Result<()> {
        plan.all_jobs().try_for_each(|job| {
            self.check_job(job, fleet, rules).with_context(|| format!("job `{}` of the plan", job.name.escape_debug()))
        })
    }

    fn check_job(&self, job: &Job, fleet: &Fleet, rules: &[Rule]) -> Result<()> {
        let executor = job.executor.as_ref().and_then(|name| fleet.executors.iter().find(|known| known.name == *name));
        if let Some(class) = &job.resource_class {
            let own = executor.is_some_and(|executor| executor.resource_class == *class);
            let by_rule = rules.iter().any(|rule| rule.settings.resource_class.as_ref() == Some(class));
            if !own && !by_rule {
                self.class(fleet, class)?;
            }
        }
        if let Some(image) = &job.image {
            let own = executor.is_none_or(|executor| executor.image == *image);
            let by_rule = rules.iter().any(|rule| rule.settings.image.as_ref() == Some(image));
            ensure!(
                own || by_rule,
                "image `{}` is neither the executor's nor a rule's: name it in nixdag.yml, or with `--image`",
                image.escape_debug()
            );
        }
        for context in &job.options.context {
            let by_rule =
                rules.iter().flat_map(|rule| rule.settings.context.iter().flatten()).any(|name| name == context);
            if !by_rule {
                self.context(context)?;
            }
        }
        ensure!(
            job.options.context.is_empty() || (job.co_located.is_empty() && job.derivations.len() <= job.targets.len()),
            "it has contexts and builds more than its targets"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::example;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn only_what_is_usual_or_listed_can_be_chosen() {
        let fleet = example::fleet();
        let name = fleet.executors[0].name.clone();
        let none = Grants::default();
        assert!(none.executor(&fleet.executors, &name).is_ok() && none.class(&fleet, AUTO).is_ok());
        for class in ["acme/production-deployer", "gpu.nvidia.small", "unheard-of"] {
            assert!(none.class(&fleet, class).unwrap_err().to_string().contains("package_resource_classes"), "{class}");
            assert!(Grants { classes: set(&[class]), ..Grants::default() }.class(&fleet, class).is_ok());
        }
        assert!(none.context("deploy").is_err());
        let declared = Grants { declared: set(&[&name]), ..Grants::default() };
        assert!(declared.executor(&fleet.executors, &name).unwrap_err().to_string().contains("package_executors"));
        let listed = Grants { executors: set(&[&name]), ..declared };
        assert!(listed.executor(&fleet.executors, &name).is_ok());
    }
}
