//! From what Nix prints on standard error to the sentence that matters.
//!
//! In: the standard error of a failed `nix`, and what else is known. Out: Nix's own last error, with the place in the flake, without
//! escapes, and without paths of this machine: `attribute 'nope' missing (at flake.nix:7:96)`.

use super::failed_build::FailedBuild;
use super::message_text::{place_in_source, shorten, without_escapes, without_quotes, without_source_paths};
use super::trace::trace;

/// Most lines of one error that are kept.
const MAX_LINES: usize = 12;

/// What Nix of any version says when something could not be fetched, outside what it quotes.
const FETCH_FAILURES: [&str; 12] = [
    "unable to download",
    "cannot fetch input",
    "cannot find flake",
    "failed to fetch",
    "failed to open archive",
    "could not resolve host",
    "unable to access",
    "could not read from remote",
    "hash mismatch",
    "shallow",
    "revspec",
    "network is unreachable",
];

/// What Nix says about a git that failed.
const GIT_FAILURE: &str = "program 'git' failed";

/// What git says where the program that it reaches the server with has failed.
const NO_ANSWER: &str = "Could not read from remote repository";

/// What Nix says before the words of an `abort`.
const ABORT: &str = "evaluation aborted with the following error message";

/// What went wrong, in Nix's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationFailure {
    /// One line, safe to print.
    pub message: String,
    /// The end of Nix's trace, a line each, safe to print; empty unless asked for.
    pub trace: Vec<String>,
    pub cause: FailureCause,
    /// The build that failed, where evaluation asked for one.
    pub build: Option<FailedBuild>,
}

/// What a failure comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureCause {
    /// Evaluated code, or anything else that would fail again.
    #[default]
    Code,
    /// A download of an input of the flake.
    Input,
    /// A download that evaluated code asks for.
    Download,
    /// A build that evaluated code asks for.
    Build,
}

impl FailureCause {
    /// True for what may come out otherwise another time.
    pub fn is_incident(self) -> bool {
        self != Self::Code
    }

    /// True for what is about a download.
    pub fn is_download(self) -> bool {
        matches!(self, Self::Input | Self::Download)
    }
}

impl From<String> for EvaluationFailure {
    fn from(message: String) -> Self {
        Self { message, ..Self::default() }
    }
}

/// What is known beside the words of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageEvidence<'e> {
    /// The flake's own folder on this machine.
    pub root: Option<&'e str>,
    /// Texts of the locked inputs, one of which the message of a failed download of an input holds.
    pub inputs: &'e [String],
    /// Where the attribute in question is defined, as Nix writes places.
    pub place: Option<&'e str>,
    /// `tryEval` catches the failure: evaluated code has thrown it.
    pub thrown: bool,
    /// The trace is wanted.
    pub trace: bool,
}

/// What comes behind a message. The advice after a wrong argument is for people who have given it themselves.
const ENDS: [&str; 4] = ["…", "(use '--show-trace'", "(stack trace", "Try '"];

/// Why git failed: its own first words, or those of ssh before them where git says only that there was no answer.
fn git_says<'l>(lines: &[&'l str]) -> Option<&'l str> {
    let fatal = |line: &&'l str| line.trim_start().strip_prefix("fatal: ");
    let (at, said) = lines.iter().enumerate().find_map(|(at, line)| Some((at, fatal(line)?)))?;
    let before = lines[..at].iter().map(|line| line.trim()).rfind(|line| !line.is_empty());
    let is_of_ssh = |line: &&str| !["warning:", "trace:", "Cloning into"].iter().any(|begin| line.starts_with(begin));
    Some(before.filter(|_| said.starts_with(NO_ANSWER)).filter(is_of_ssh).unwrap_or(said))
}

/// The last error on a process's standard error, or nothing if there is none.
pub fn from_stderr(stderr: &str) -> Option<String> {
    failure(stderr, &MessageEvidence::default()).map(|failure| failure.message)
}

/// The same, in the light of what else is known.
pub fn failure(stderr: &str, evidence: &MessageEvidence) -> Option<EvaluationFailure> {
    let root = evidence.root;
    let clean = without_escapes(stderr);
    let lines: Vec<&str> = clean.lines().collect();
    let Some(start) = last_error(&lines).or_else(|| first_words(&lines)) else {
        // That of `throw ""`.
        lines.iter().find(|line| line.trim() == "error:")?;
        let at = evidence.place.and_then(|place| place_in_source(place, root));
        return Some(
            format!("an error without a message{}", at.map(|at| format!(" (at {at})")).unwrap_or_default()).into(),
        );
    };
    let mut kept = vec![lines[start].trim_start().trim_start_matches("error:").trim()];
    let mut place = None;
    for line in &lines[start + 1..] {
        let line = line.trim();
        if let Some(at) = line.strip_prefix("at ").and_then(|at| at.strip_suffix(':')) {
            place = place_in_source(at, root);
            break;
        }
        if ENDS.iter().any(|end| line.starts_with(end)) {
            break;
        }
        if kept.len() < MAX_LINES {
            kept.push(line);
        }
    }
    // A message of several paragraphs, as nixpkgs has them, says what is wrong in the first one; 2.8 puts the position after a blank line.
    let end = kept.iter().position(|line| line.is_empty()).unwrap_or(kept.len());
    let message = without_source_paths(&kept[..end].join(" "), root);
    let fetched = lines.iter().find_map(|line| line.trim_start().strip_prefix("… while fetching the input "));
    let mut build = if evidence.thrown { None } else { FailedBuild::find(&lines, start) };
    let cause = if build.is_some() {
        FailureCause::Build
    } else if evidence.thrown || !is_fetch_failure(&message) {
        FailureCause::Code
    } else if fetched.is_some() || evidence.inputs.iter().any(|input| message.contains(input.as_str())) {
        FailureCause::Input
    } else {
        FailureCause::Download
    };
    let place = place.or_else(|| place_in_source(evidence.place?, root));
    if let Some(build) = &mut build {
        build.place = place.clone();
    }
    let message = match place {
        Some(at) if !message.contains(&at) => format!("{message} (at {at})"),
        _ => message,
    };
    let message = if message.contains("allow-import-from-derivation") && !evidence.thrown {
        format!("{message} (it needs import from derivation: allow that with `--allow-ifd`)")
    } else if !cause.is_download() {
        message
    } else {
        // What was to be fetched stands in the trace, and what git says of it apart: the first line of it names the cause.
        let git = git_says(&lines);
        let more = git.into_iter().chain(fetched).map(str::trim).filter(|text| !message.contains(text));
        let more: Vec<&str> = more.collect();
        if more.is_empty() { message } else { format!("{message} ({})", more.join("; ")) }
    };
    let trace = if evidence.trace { trace(&lines, root) } else { Vec::new() };
    Some(EvaluationFailure { message: shorten(&message), trace, cause, build })
}

/// The line on which the last error begins. Nix leaves a line free before it, unless it is the first; what the code throws may have lines that
/// look like one.
fn last_error(lines: &[&str]) -> Option<usize> {
    let is_error = |line: &str| line.trim_start().strip_prefix("error:").is_some_and(|text| !text.trim().is_empty());
    let first = lines.iter().position(|line| is_error(line))?;
    let is_last = |at: &usize| is_error(lines[*at]) && lines[at - 1].trim().is_empty();
    (first + 1..lines.len()).rev().find(is_last).or(Some(first))
}

/// The first line with words below the last error that has none beside it: what is thrown may begin with empty lines.
fn first_words(lines: &[&str]) -> Option<usize> {
    let error = lines.iter().rposition(|line| line.trim() == "error:")?;
    let (at, line) = lines.iter().enumerate().skip(error + 1).find(|(_, line)| !line.trim().is_empty())?;
    let line = line.trim();
    let is_place = line.starts_with("at ") && line.ends_with(':');
    let is_other = ENDS.iter().chain(&["warning:", "trace:"]).any(|begin| line.starts_with(begin));
    (!is_place && !is_other).then_some(at)
}

/// True for the message of a failed download or checkout, which says nothing about the attribute that was evaluated. What Nix quotes
/// (names, values, paths, words of evaluated code) does not count.
pub fn is_fetch_failure(message: &str) -> bool {
    if message.starts_with(ABORT) {
        return false;
    }
    let words = without_quotes(message).to_lowercase();
    message.starts_with(GIT_FAILURE) || FETCH_FAILURES.iter().any(|failure| words.contains(failure))
}

#[cfg(test)]
mod tests {
    use super::super::message_text::{MAX_CHARS, QUERY_FILE};
    use super::*;

    const SOURCE: &str = "/nix/store/qh85qvms1l9pnsjyax352py2s2w72hs6-source";

    #[test]
    fn advice_about_arguments_is_no_part_of_it() {
        let said = "error: Cannot parse Nix store 'x'\nTry '/opt/nix/bin/nix --help' for more information.\n";
        assert_eq!(from_stderr(said).unwrap(), "Cannot parse Nix store 'x'");
    }

    #[test]
    fn old_and_new_versions_give_the_same_sentence() {
        let old = format!(
            "warning: x\nerror: attribute 'nope' missing\n\n       at {SOURCE}/flake.nix:7:96:\n\n            6|\n       Did you mean one?\n"
        );
        let new = format!(
            "error:\n       … while calling the 'seq' builtin\n         at {SOURCE}/{QUERY_FILE}:42:18:\n           41|  found\n\n       \
             (stack trace truncated; use '--show-trace')\n\n       error: attribute 'nope' missing\n       at {SOURCE}/flake.nix:7:96:\n            6|\n"
        );
        for stderr in [old, new] {
            assert_eq!(from_stderr(&stderr).unwrap(), "attribute 'nope' missing (at flake.nix:7:96)");
        }
    }

    #[test]
    fn the_place_in_the_question_is_left_out() {
        let stderr = format!("error: attribute 'drvPath' missing\n\n       at {SOURCE}/{QUERY_FILE}:35:42:\n");
        assert_eq!(from_stderr(&stderr).unwrap(), "attribute 'drvPath' missing");
    }

    #[test]
    fn several_lines_become_one_and_later_paragraphs_go() {
        let stderr = "error:\n       … while x\n\n       error: Package ‘a’ is broken,\n       refusing to evaluate.\n\n       a) allow it\n";
        assert_eq!(from_stderr(stderr).unwrap(), "Package ‘a’ is broken, refusing to evaluate.");
        assert_eq!(from_stderr("error: x\n(use '--show-trace' to show)\n").unwrap(), "x");
        assert_eq!(
            from_stderr(
                "fatal: unable to access 'https://x': refused\nerror: program 'git' failed with exit code 128\n"
            )
            .unwrap(),
            "program 'git' failed with exit code 128 (unable to access 'https://x': refused)"
        );
        assert_eq!(
            from_stderr(
                "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure\nerror: program 'git' failed with exit code 128\n"
            )
            .unwrap(),
            "program 'git' failed with exit code 128 (git@x: Permission denied (publickey).)"
        );
        assert_eq!(from_stderr("warning: error: unable to download; retrying\n"), None);
        assert_eq!(from_stderr(""), None);
    }

    #[test]
    fn empty_lines_at_its_beginning_are_left_out() {
        for said in [
            "error:\n\n       first\n       second\n",
            "error:\n\n\nfirst\nsecond\n\n       at /x.nix:1:2:\n",
            "error:\n       … while calling\n\n       error:\n\n       first\n       second\n",
        ] {
            assert_eq!(from_stderr(said).unwrap(), "first second", "{said}");
        }
        for said in [
            "error:\n\n       at /x.nix:1:2:\n",
            "error:\n",
            "error:\n(use '--show-trace' to show detailed location information)\n",
        ] {
            assert_eq!(from_stderr(said).unwrap(), "an error without a message", "{said}");
        }
    }

    #[test]
    fn escapes_do_not_get_through() {
        let stderr = "\u{1b}[31;1merror:\u{1b}[0m a\u{1b}[2Jb\u{1b}]0;t\u{7}c\u{9b}1md \u{202e}e\rf\n";
        let message = from_stderr(stderr).unwrap();
        assert_eq!(message, "ab0;t cd \\u{202e}e f");
        assert!(from_stderr(&format!("error: {}", "x".repeat(5000))).unwrap().chars().count() <= MAX_CHARS + 1);
    }

    #[test]
    fn the_place_is_that_of_the_error_or_else_that_of_the_attribute() {
        let at = format!("{SOURCE}/flake.nix:3:5");
        let evidence = MessageEvidence { root: Some("/home/u/f"), place: Some(&at), ..MessageEvidence::default() };
        let said = |stderr: &str, evidence: &MessageEvidence| failure(stderr, evidence).unwrap().message;
        assert_eq!(said("error: thrown\n", &evidence), "thrown (at flake.nix:3:5)");
        let own = "error: attribute 'x' missing\n       at /home/u/f/sub/a.nix:1:2:\n";
        assert_eq!(said(own, &evidence), "attribute 'x' missing (at sub/a.nix:1:2)");
        // A file of this machine that is not part of the flake is not shown.
        let other = "error: attribute 'x' missing\n       at /home/u/flake/a.nix:1:2:\n";
        assert_eq!(said(other, &MessageEvidence { place: None, ..evidence }), "attribute 'x' missing");
    }

    #[test]
    fn a_download_is_known_by_who_asked_for_it_and_not_by_words_of_evaluated_code() {
        let locked = ["https://example.org/a.tar.gz".to_owned()];
        let evidence = MessageEvidence { inputs: &locked, ..MessageEvidence::default() };
        let cause = |stderr: &str, evidence: &MessageEvidence| failure(stderr, evidence).unwrap().cause;
        for (stderr, expected) in [
            ("error: unable to download 'https://example.org/a.tar.gz': HTTP error 404\n", FailureCause::Input),
            ("error: unable to download 'https://example.org/b.tar.gz': HTTP error 404\n", FailureCause::Download),
            (
                "error:\n       … while fetching the input 'x'\n\n       error: Failed to open archive\n",
                FailureCause::Input,
            ),
            ("error: program 'git' failed with exit code 128\n", FailureCause::Download),
            ("error: attribute 'shallow' missing\n", FailureCause::Code),
            (
                "error: evaluation aborted with the following error message: 'don't, a hash mismatch'\n",
                FailureCause::Code,
            ),
            ("error: getting status of '/nix/store/x/hash mismatch': No such file or directory\n", FailureCause::Code),
        ] {
            assert_eq!(cause(stderr, &evidence), expected, "{stderr}");
        }
        let thrown = MessageEvidence { thrown: true, ..evidence };
        assert_eq!(cause("error: unable to download a shallow copy: hash mismatch\n", &thrown), FailureCause::Code);
    }

    #[test]
    fn a_trace_is_without_nixdags_own_part() {
        let stderr = format!(
            "warning: x\nerror:\n       … while calling the 'seq' builtin\n         at «string»:1:1:\n\n       … while calling 'f'\n         at {SOURCE}/a.nix:1:2:\n\n       error: thrown\n"
        );
        let evidence = MessageEvidence { trace: true, ..MessageEvidence::default() };
        let old = format!(
            "error: thrown\n\n       … while evaluating 'f'\n\n       at {SOURCE}/a.nix:1:2:\n\n       … while evaluating 'walk'\n\n       at \
             {SOURCE}/{QUERY_FILE}:1:1:\n\n       … from call site\n\n       at {SOURCE}/flake.nix:3:1:\n"
        );
        let trace = failure(&old, &evidence).unwrap().trace;
        assert_eq!(trace, ["error: thrown", "       … while evaluating 'f'", "       at a.nix:1:2:"]);
        let trace = failure(&stderr, &evidence).unwrap().trace;
        assert_eq!(trace, ["       … while calling 'f'", "         at a.nix:1:2:", "       error: thrown"]);
    }

    #[test]
    fn a_line_of_what_is_thrown_is_no_error_of_nix() {
        let stderr = format!(
            "error:\n       … from call site\n         at {SOURCE}/flake.nix:1:2:\n\n       error: one\n       error: two\n"
        );
        assert_eq!(from_stderr(&stderr).unwrap(), "one error: two");
        assert_eq!(from_stderr("error: one\nerror: two\n").unwrap(), "one error: two");
    }

    #[test]
    fn failed_downloads_are_known() {
        assert!(is_fetch_failure("unable to download 'https://x': Could not resolve host"));
        assert!(is_fetch_failure("Failed to open archive (Source threw exception)"));
        assert!(!is_fetch_failure("attribute 'x' missing"));
    }
}
