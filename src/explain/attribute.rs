//! Which attribute somebody means by a short name, as Nix understands `hello` for `packages.x86_64-linux.hello`.

use anyhow::{Result, bail};

use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::nix::system::is_per_system;
use crate::pattern::short::{CONFIGURATIONS, SEARCHED};
use crate::printable::printable;

/// How many attributes a message lists.
const MAX_LISTED: usize = 8;

/// Outputs in which a short name is looked for first, in this order.
const FIRST: [&str; 3] = ["packages", "legacyPackages", "checks"];

/// Finds the attribute among those that exist: the whole path, else the same with this machine's system in it, else the same names behind an
/// output and this machine's system, else the one attribute that ends in these names, else the one that has them in its path.
pub fn find<'a>(wanted: &str, known: &[&'a AttributePath], system: &str) -> Result<&'a AttributePath> {
    let shown = printable(wanted);
    let path = AttributePath::parse(wanted)?;
    let whole = known.iter().find(|attribute| ***attribute == path);
    let short = || {
        let within = path.names().split_first().filter(|(output, _)| is_per_system(output));
        let within = within.into_iter().map(|(output, names)| (output.as_str(), names));
        within.chain(FIRST.map(|output| (output, path.names()))).find_map(|(output, names)| {
            let full: AttributePath = [output, system].into_iter().chain(names.iter().map(String::as_str)).collect();
            known.iter().find(|attribute| ***attribute == full)
        })
    };
    if let Some(found) = whole.or_else(short) {
        return Ok(found);
    }
    let having = |has: &dyn Fn(&[String]) -> bool| -> Vec<&AttributePath> {
        known.iter().copied().filter(|attribute| has(attribute.names())).collect()
    };
    let ends = having(&|names| names.ends_with(path.names()));
    let several = match ends[..] {
        [] => having(&|names| names.windows(path.names().len().max(1)).any(|part| part == path.names())),
        _ => ends,
    };
    match several[..] {
        [only] => Ok(only),
        [] => {
            if let Some(output) = unseen_output(&path, known) {
                bail!(
                    "`{shown}` is not among the targets, as nothing of `{output}` is selected: if the flake has it, `--select {output}` takes it"
                );
            }
            let names: Vec<String> = known.iter().map(|attribute| attribute.to_string()).collect();
            let lasts: Vec<String> = known.iter().filter_map(|attribute| attribute.names().last().cloned()).collect();
            let meant = nearest(wanted, names.iter().map(String::as_str))
                .or_else(|| nearest(wanted, lasts.iter().map(String::as_str)));
            match meant {
                Some(name) => bail!("there is no target `{shown}` (did you mean `{}`?)", printable(name)),
                None => bail!(
                    "there is no target `{shown}` among these: {} (`--select` chooses what is planned)",
                    listed(known)
                ),
            }
        }
        _ => {
            bail!("`{shown}` may be any of {}: name it in full", listed(&several))
        }
    }
}

/// The output that a whole path begins with, where no attribute that is known is in it.
fn unseen_output<'p>(path: &'p AttributePath, known: &[&AttributePath]) -> Option<&'p str> {
    let output = path.names().first().filter(|_| path.names().len() > 1)?;
    let is_output = SEARCHED.contains(&output.as_str()) || CONFIGURATIONS.iter().any(|(name, _)| name == output);
    let is_seen = known.iter().any(|attribute| attribute.names().first() == Some(output));
    (is_output && !is_seen).then_some(output.as_str())
}

/// The first of them, and how many more there are.
fn listed(attributes: &[&AttributePath]) -> String {
    let first = attributes.iter().take(MAX_LISTED);
    let mut shown: Vec<String> = first.map(|attribute| format!("`{}`", printable(&attribute.to_string()))).collect();
    if attributes.len() > MAX_LISTED {
        shown.push(format!("{} more", attributes.len() - MAX_LISTED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_what_nix_users_expect() {
        let known: Vec<AttributePath> = [
            "checks.x86_64-linux.hello",
            "packages.aarch64-linux.hello",
            "packages.x86_64-linux.hello",
            "packages.x86_64-linux.\"a.b\"",
            "legacyPackages.x86_64-linux.python.numpy",
            "packages.aarch64-linux.arm",
            "packages.riscv64-linux.both",
            "packages.armv7l-linux.both",
            "devShells.x86_64-linux.default",
            "nixosConfigurations.host.config.system.build.toplevel",
        ]
        .iter()
        .map(|text| AttributePath::parse(text).unwrap())
        .collect();
        let known: Vec<&AttributePath> = known.iter().collect();
        let find = |wanted: &str| find(wanted, &known, "x86_64-linux").map(ToString::to_string);
        assert_eq!(find("hello").unwrap(), "packages.x86_64-linux.hello");
        assert_eq!(find("checks.x86_64-linux.hello").unwrap(), "checks.x86_64-linux.hello");
        assert_eq!(find("python.numpy").unwrap(), "legacyPackages.x86_64-linux.python.numpy");
        assert_eq!(find("\"a.b\"").unwrap(), "packages.x86_64-linux.\"a.b\"");
        assert_eq!(find("arm").unwrap(), "packages.aarch64-linux.arm");
        assert_eq!(find("packages.hello").unwrap(), "packages.x86_64-linux.hello");
        assert_eq!(find("devShells.default").unwrap(), "devShells.x86_64-linux.default");
        for host in ["host", "nixosConfigurations.host"] {
            assert_eq!(find(host).unwrap(), "nixosConfigurations.host.config.system.build.toplevel");
        }
        let message = |wanted| format!("{:#}", find(wanted).unwrap_err());
        assert!(message("both").contains("in full"));
        assert!(message("homeConfigurations.me").contains("`--select homeConfigurations` takes it"));
        // Something of it is selected: the flake lacks this.
        assert!(!message("checks.x86_64-linux.lint").contains("--select checks"));
        // What is no derivation cannot be selected.
        assert!(!message("apps.x86_64-linux.hallo").contains("--select apps"));
        assert!(message("helo").contains("did you mean `hello`"));
        assert!(message("packages.x86_64-linux.helo").contains("did you mean `packages.x86_64-linux.hello`"));
        assert!(
            message("zzzzzz").contains("among these: `checks.x86_64-linux.hello`, `packages.aarch64-linux.hello`, ")
        );
    }
}
