//! Which attribute somebody means by a short name, as Nix understands `hello` for `packages.x86_64-linux.hello`.

use anyhow::{Result, bail};

use crate::attribute::AttributePath;
use crate::nearest::nearest;
use crate::printable::printable;

/// How many attributes a message lists.
const MAX_LISTED: usize = 8;

/// Outputs in which a short name is looked for first, in this order.
const FIRST: [&str; 3] = ["packages", "legacyPackages", "checks"];

/// Finds the attribute among those that exist: the whole path, else the same names behind an output and this machine's system,
/// else the one attribute that ends in these names.
pub fn find<'a>(wanted: &str, known: &[&'a AttributePath], system: &str) -> Result<&'a AttributePath> {
    let shown = printable(wanted);
    let path = AttributePath::parse(wanted)?;
    let whole = known.iter().find(|attribute| ***attribute == path);
    let short = || {
        FIRST.iter().find_map(|output| {
            let full = [*output, system].into_iter().map(str::to_owned).chain(path.names().iter().cloned());
            let full: AttributePath = full.collect();
            known.iter().find(|attribute| ***attribute == full)
        })
    };
    if let Some(found) = whole.or_else(short) {
        return Ok(found);
    }
    let ends: Vec<&AttributePath> =
        known.iter().copied().filter(|attribute| attribute.names().ends_with(path.names())).collect();
    match ends[..] {
        [only] => Ok(only),
        [] => {
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
            bail!("`{shown}` may be any of {}: name it in full", listed(&ends))
        }
    }
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
        let message = |wanted| format!("{:#}", find(wanted).unwrap_err());
        assert!(message("both").contains("in full"));
        assert!(message("helo").contains("did you mean `hello`"));
        assert!(message("packages.x86_64-linux.helo").contains("did you mean `packages.x86_64-linux.hello`"));
        assert!(
            message("zzzzzz").contains("among these: `checks.x86_64-linux.hello`, `packages.aarch64-linux.hello`, ")
        );
    }
}
