//! A build that evaluation asked for (import from derivation) and that failed, as Nix of any version tells it.
//!
//! In: the lines of a process's standard error. Out: which derivation is at fault, why, and the last lines of its log; never the one that only
//! needed it.

use super::message_text::without_escapes;
use crate::nix::store_path;
use crate::printable::printable;

/// Lines of a log that are kept, the last ones: Nix itself shows up to 25.
const MAX_LINES: usize = 8;

/// What stands before the path of a derivation that failed, and whether the reason is on a later line.
const BEGINS: [(&str, bool); 4] = [
    // Up to 2.26, with the exit code behind it.
    ("builder for '", false),
    ("building of '", false),
    ("hash mismatch in fixed-output derivation '", false),
    // From 2.34 on.
    ("Cannot build '", true),
];

/// What the reason says of a derivation that only needed the one at fault.
const OF_DEPENDENCIES: [&str; 2] = ["dependency failed", "dependencies failed"];

/// A build that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailedBuild {
    /// Store path of the derivation.
    pub derivation: String,
    /// What Nix says of it, on one line, safe to print: `builder failed with exit code 3`.
    pub reason: String,
    /// The last lines of its log, safe to print.
    pub log: Vec<String>,
    /// Where the attribute is defined, in a file of the flake.
    pub place: Option<String>,
}

impl FailedBuild {
    /// The first one that failed for its own reasons, where the last error is about a build at all.
    pub fn find(lines: &[&str], last_error: usize) -> Option<Self> {
        let is_about_builds = BEGINS.iter().any(|(begin, _)| lines[last_error].contains(begin))
            || lines[last_error].contains("dependencies of derivation '");
        let mut all = (0..lines.len()).filter(|_| is_about_builds).filter_map(|at| Self::at(lines, at));
        all.find(|build| !OF_DEPENDENCIES.iter().any(|words| build.reason.contains(words)))
    }

    fn at(lines: &[&str], at: usize) -> Option<Self> {
        let said = lines[at].trim_start().strip_prefix("error: ")?;
        let (rest, is_later) = BEGINS.iter().find_map(|(begin, later)| Some((said.strip_prefix(begin)?, *later)))?;
        let (derivation, behind) = rest.split_once('\'')?;
        store_path::split(derivation).ok().filter(|_| derivation.ends_with(".drv"))?;
        let below = lines[at + 1..].iter().map(|line| line.trim()).take_while(|line| !line.starts_with("error:"));
        let reason = if is_later {
            below.clone().find_map(|line| line.strip_prefix("Reason: "))?.trim_end_matches('.').to_owned()
        } else if said.starts_with("hash mismatch") {
            let hashes = below.clone().filter(|line| line.starts_with("specified:") || line.starts_with("got:"));
            format!("hash mismatch, {}", hashes.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" "))
        } else {
            format!("builder{}", behind.trim_end_matches([';', ':']))
        };
        let log: Vec<String> = below
            .skip_while(|line| !line.ends_with("log lines:"))
            .skip(1)
            .map_while(|line| line.strip_prefix('>'))
            .map(|line| printable(without_escapes(line).trim()))
            .collect();
        let log = log[log.len().saturating_sub(MAX_LINES)..].to_vec();
        Some(Self { derivation: derivation.to_owned(), reason: printable(&reason), log, place: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRV: &str = "/nix/store/ig656mm4bgfj305p1rv2gl71wxblk86v-gen.drv";
    const NEEDS: &str = "/nix/store/bafql5kmcw9jvbh7ciq9mf9p9h1mb5wb-needs.drv";

    fn find(text: &str) -> Option<FailedBuild> {
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().rposition(|line| line.trim_start().starts_with("error: ")).unwrap();
        FailedBuild::find(&lines, last)
    }

    #[test]
    fn every_version_names_the_one_at_fault_and_its_log() {
        let old = format!(
            "building '{DRV}'...\nerror: builder for '{DRV}' failed with exit code 3;\n       last 2 log lines:\n       > one\n       > two\n       \
             For full logs, run 'nix log {DRV}'.\nerror: 1 dependencies of derivation '{NEEDS}' failed to build\n"
        );
        let new = format!(
            "error: Cannot build '{DRV}'.\n       Reason: builder failed with exit code 3.\n       Output paths:\n         /nix/store/x\n       Last 2 log \
             lines:\n       > one\n       > two\nerror:\n       … while calling\n\n       error: Cannot build '{NEEDS}'.\n       Reason: 1 dependency failed.\n"
        );
        for text in [old, new] {
            let found = find(&text).unwrap();
            assert_eq!((&*found.derivation, &*found.reason), (DRV, "builder failed with exit code 3"));
            assert_eq!(found.log, ["one", "two"]);
        }
        let hash = format!(
            "error: hash mismatch in fixed-output derivation '{DRV}':\n   specified: sha256-A\n      got:    sha256-B\n"
        );
        assert_eq!(find(&hash).unwrap().reason, "hash mismatch, specified: sha256-A got: sha256-B");
        let late = format!("error: building of '{DRV}' timed out after 5 seconds\n");
        assert_eq!(find(&late).unwrap().reason, "builder timed out after 5 seconds");
    }

    #[test]
    fn other_failures_and_what_a_log_holds_are_none() {
        assert_eq!(
            find(&format!("error: builder for '{DRV}' failed with exit code 3\nerror: attribute 'x' missing\n")),
            None
        );
        let quoted = format!(
            "error: builder for '{DRV}' failed with exit code 3;\n last 1 log lines:\n > error: builder for '{NEEDS}' failed\n"
        );
        assert_eq!(find(&quoted).unwrap().derivation, DRV);
        assert_eq!(find("error: builder for '/etc/passwd' failed\n"), None);
        assert_eq!(find("error: builder for 'x"), None);
    }
}
