//! Why a build failed, as a class.
//!
//! In: what Nix said of it, the last lines of its log, and what it is. Out: a [`Class`]. Where evidence is weak the answer is the builder's
//! own failure: what fails for its own reasons is not built again.

use super::class::Class;
use super::download::{download, own_failure};

/// How the message begins about what Nix counted as failed and did not name. What follows may be about another derivation, but for a time limit:
/// from 2.34 on Nix never says whose that was.
pub const UNNAMED: &str = "its build failed, and Nix ended before it gave the reason: ";

/// Lines from the end of a log that are evidence; what comes before was survived.
const LINES: usize = 25;

/// What is known of a failure.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Nix's message.
    pub message: &'a str,
    /// The last lines of the builder's log.
    pub log: &'a str,
    /// True for a derivation of a fixed output: only such builders have a network.
    pub is_fixed_output: bool,
    /// True where there was plenty of room on the disk: a builder that speaks of a full one means another, or none.
    pub has_room: bool,
}

/// What Nix says, by class; the first that is found counts.
const MESSAGES: [(Class, &[&str]); 8] = [
    (Class::HashMismatch, &["hash mismatch"]),
    (Class::Timeout, &["timed out after"]),
    (
        Class::Unsupported,
        &[
            "platform mismatch",
            "missing system features",
            "is required to build",
            "Required system:",
            "Required features:",
            "Nix has no users to build as",
        ],
    ),
    (
        Class::DiskFull,
        &["No space left on device", "Disk quota exceeded", "lack of free disk space", "database or disk is full"],
    ),
    (Class::Killed, &["due to signal 9", "failed with exit code 137"]),
    (Class::NixEnded, &["Nix was ended by", "Nix ended"]),
    // A cache has announced it and did not give it, or gave something else.
    (Class::Network, &["some substitutes for the outputs of derivation"]),
    (
        Class::MachineLost,
        &[
            "unexpected end-of-file",
            "daemon disconnected unexpectedly",
            "cannot connect to socket",
            "cannot connect to daemon",
            "cannot open connection to remote store",
            "failed to start SSH connection",
            "lost connection to",
            "opening a connection to remote store",
            "writing to file: Broken pipe",
            "client_loop: send disconnect",
        ],
    ),
];

/// Ends of processes that the kernel killed, as compilers, linkers and shells report them.
const KILLED: [&str; 17] = [
    "Killed signal terminated program",
    "terminated with signal 9",
    "exited with signal 9 (Killed)",
    "internal compiler error: Killed",
    "(signal: 9, SIGKILL",
    "virtual memory exhausted",
    "Cannot allocate memory",
    "] Killed",
    // clang, Cabal and Go's tools.
    "unable to execute command: Killed",
    "process was killed (i.e. SIGKILL)",
    "/compile: signal: killed",
    "/link: signal: killed",
    "/asm: signal: killed",
    "/cgo: signal: killed",
    // GHC, make, package managers of Node.
    "(Exit code: -9)",
    "] Error 137",
    "failed with exit code 137",
];

/// How a log ends whose tests have failed: they have provoked what they print.
const TESTS: [&str; 7] = ["assert", "expected", "... failed", "not ok ", "test result:", "tests failed", "failed test"];

/// What Nix says of a builder that ended by itself.
const EXITED: &str = "builder failed with exit code";

/// The class of a failure.
pub fn class(evidence: &Evidence) -> Class {
    let message = &said_by_nix(evidence.message);
    let is_named = !message.starts_with(UNNAMED);
    let message = if is_named || message.contains("timed out after") { message } else { EXITED };
    let download_of_nix = download(message);
    // Downloads have time limits of their own.
    let applies = |class: Class| class != Class::Timeout || download_of_nix.is_none();
    let found =
        MESSAGES.iter().find(|(class, words)| applies(*class) && words.iter().any(|word| message.contains(word)));
    if let Some((class, _)) = found {
        return *class;
    }
    if let Some(is_transient) = download_of_nix {
        return if is_transient { Class::Network } else { Class::Builder };
    }
    // A builder that failed without a signal has said why, if anybody has; of an output that Nix refused its log says nothing.
    if !message.contains("failed with exit code") {
        return Class::Builder;
    }
    let lines: Vec<&str> = evidence.log.lines().rev().take(LINES).collect();
    // Tests do that on purpose, or write to `/dev/full`, which fails in the same words.
    let is_of_tests = |line: &&str| {
        let line = line.to_ascii_lowercase().replace("unexpected", "");
        TESTS.iter().any(|word| line.contains(word))
    };
    let is_on_purpose = lines.iter().any(|line| line.contains("/dev/full") || is_of_tests(line));
    if !is_on_purpose
        && !evidence.has_room
        && lines.iter().any(|line| line.to_ascii_lowercase().contains("no space left on device"))
    {
        return Class::DiskFull;
    }
    // The last word counts: what was tried again later and refused then is refused, and what failed after it was there failed by itself.
    if evidence.is_fixed_output
        && lines.iter().find_map(|line| download(line).or_else(|| own_failure(line))) == Some(true)
    {
        return Class::Network;
    }
    let is_kill = |line: &&str| KILLED.iter().any(|word| line.contains(word)) || line.trim() == "Killed";
    if !is_on_purpose && lines.iter().any(is_kill) { Class::Killed } else { Class::Builder }
}

/// A message without the lines of the log that a daemon puts into it: the builder has said those.
fn said_by_nix(message: &str) -> String {
    message.lines().filter(|line| !line.trim_start().starts_with('>')).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn class(message: &str, log: &str, is_fixed_output: bool) -> Class {
        super::class(&Evidence { message, log, is_fixed_output, has_room: false })
    }

    const EXIT: &str = "builder for '/nix/store/x-a.drv' failed with exit code 1";

    #[test]
    fn what_nix_says_counts_before_what_the_builder_printed() {
        let cases = [
            ("hash mismatch in fixed-output derivation '/nix/store/x.drv':", Class::HashMismatch),
            ("building of '/nix/store/x.drv' timed out after 5 seconds of silence", Class::Timeout),
            (
                "Cannot build '/nix/store/x.drv'.\nReason: platform mismatch\nRequired system: 'riscv64-linux'",
                Class::Unsupported,
            ),
            (
                "a 'riscv64-linux' with features {} is required to build 'x', but I am a 'x86_64-linux'",
                Class::Unsupported,
            ),
            ("writing to file: No space left on device", Class::DiskFull),
            ("builder for 'x' failed due to signal 9 (Killed)", Class::Killed),
            ("builder for 'x' failed due to signal 11 (Segmentation fault)", Class::Builder),
            ("unexpected end-of-file", Class::MachineLost),
            (
                "some substitutes for the outputs of derivation '/nix/store/x.drv' failed (usually happens due to networking issues)",
                Class::Network,
            ),
            ("error: Nix daemon disconnected unexpectedly (maybe it crashed?)", Class::MachineLost),
            ("unable to download 'https://example.org/x': HTTP error 503", Class::Network),
            ("unable to download 'https://example.org/x': Couldn't resolve host name (6)", Class::Network),
            ("unable to download 'https://example.org/x': HTTP error 404", Class::Builder),
            ("output '/nix/store/x-a' is not allowed to refer to the following paths:", Class::Builder),
        ];
        for (message, wanted) in cases {
            assert_eq!(class(message, "curl: (6) Could not resolve host: example.org", true), wanted, "{message}");
        }
    }

    #[test]
    fn only_what_may_use_the_network_fails_by_it_and_the_last_word_counts() {
        let lost = "trying https://example.org/x\ncurl: (56) Recv failure: Connection reset by peer\nerror: cannot download x from any mirror";
        assert_eq!(class(EXIT, lost, true), Class::Network);
        // A test suite that cannot reach its server.
        assert_eq!(class(EXIT, lost, false), Class::Builder);
        assert_eq!(class(EXIT, "curl: (22) The requested URL returned error: 503", true), Class::Network);
        assert_eq!(class(EXIT, "curl: (22) The requested URL returned error: 403", true), Class::Builder);
        assert_eq!(
            class(
                EXIT,
                "curl: (22) The requested URL returned error: 502\ncurl: (22) The requested URL returned error: 404",
                true
            ),
            Class::Builder
        );
        let later = "test retries: HTTP error 503 then connection reset by peer ok\npatching file a.c\n1 out of 1 hunk FAILED -- saving rejects to file a.c.rej";
        assert_eq!(class(EXIT, later, true), Class::Builder);
        let git = "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org";
        assert_eq!(class(EXIT, git, true), Class::Network);
        assert_eq!(class(EXIT, &format!("{git}\n{}", "compiling\n".repeat(LINES)), true), Class::Builder);
    }

    #[test]
    fn kills_and_full_disks_are_seen_in_logs_of_compilers() {
        for log in [
            "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.",
            "collect2: fatal error: ld terminated with signal 9 [Killed]",
            "process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)",
            "cc1: out of memory\nvirtual memory exhausted: Cannot allocate memory",
            "/bin/sh: line 1:  123 done\nKilled",
        ] {
            assert_eq!(class(EXIT, log, false), Class::Killed, "{log}");
        }
        assert_eq!(class(EXIT, "as: error writing to x.s: No space left on device", false), Class::DiskFull);
        for log in [
            "FAIL: test_killed_child (expected Killed, got 0)",
            "assertion failed: timeout",
            "java.lang.OutOfMemoryError: Java heap space",
        ] {
            assert_eq!(class(EXIT, log, false), Class::Builder, "{log}");
        }
    }

    /// A failure after a public report, and its right class.
    #[derive(Deserialize)]
    struct Reported {
        class: Class,
        #[serde(default)]
        fixed_output: bool,
        message: String,
        log: String,
    }

    #[test]
    fn a_builder_that_speaks_of_a_full_disk_where_there_is_room_means_another() {
        let log = "cp: error writing 'x': No space left on device";
        let class =
            |message: &str, has_room| super::class(&Evidence { message, log, is_fixed_output: false, has_room });
        assert_eq!((class(EXIT, true), class(EXIT, false)), (Class::Builder, Class::DiskFull));
        let note = format!("{EXIT}\nnote: build failure may have been caused by lack of free disk space");
        assert_eq!(class(&note, true), Class::DiskFull);
    }

    #[test]
    fn what_nix_counted_and_did_not_name_has_the_class_of_its_log() {
        let unnamed = |rest: &str| format!("{UNNAMED}{rest}");
        let compiler = "main.c:3: error: expected expression";
        for rest in
            ["Nix was ended by SIGSEGV", "file '/nix/store/x-pipe' has an unsupported type", "hash mismatch of another"]
        {
            assert_eq!(class(&unnamed(rest), compiler, false), Class::Builder, "{rest}");
        }
        assert_eq!(class(&unnamed("timed out after 8 seconds of silence"), "", false), Class::Timeout);
    }

    #[test]
    fn what_a_builder_printed_is_not_what_nix_says_though_a_daemon_quotes_it() {
        for line in [
            "unexpected end-of-file",
            "unable to download 'https://example.org/x': HTTP error 503",
            "writing to file: Broken pipe",
        ] {
            let quoted = format!(
                "{EXIT};\n       last 2 log lines:\n       > {line}\n       >{line}\n       For full logs, run 'nix log x'"
            );
            assert_eq!(class(&quoted, line, false), Class::Builder, "{line}");
        }
    }

    /// How many of these get their class; those that do not are printed. What fails for its own reasons may never pass for transient.
    fn right(text: &str) -> (usize, usize) {
        let reported: Vec<Reported> = serde_yaml::from_str(text).unwrap();
        let (mut right, mut tried_again_for_nothing) = (0, 0);
        for reported in &reported {
            let found = class(&reported.message, &reported.log, reported.fixed_output);
            if found == reported.class {
                right += 1;
                continue;
            }
            let (named, found_name) = (reported.class.name(), found.name());
            println!("{named} is taken for {found_name}: {}\n{}", reported.message, reported.log);
            tried_again_for_nothing += usize::from(found.is_transient() && !reported.class.is_transient());
        }
        assert_eq!(tried_again_for_nothing, 0, "what fails for its own reasons is tried again");
        (right, reported.len())
    }

    #[test]
    fn reported_failures_have_their_class() {
        assert_eq!(right(include_str!("../../tests/fixtures/failure-logs/known.yml")), (100, 100));
        // These were written first and judged what stood then: 43 and 40 of 50 were right, and all others but one were taken for the builder's own
        // failure. What they showed is mended, but for a Gradle that
        // says itself that it cannot know.
        assert_eq!(right(include_str!("../../tests/fixtures/failure-logs/unseen.yml")), (50, 50));
        assert_eq!(right(include_str!("../../tests/fixtures/failure-logs/later.yml")), (49, 50));
        // These 44 came last: 30 were right, and two that were real were taken for the network since a fetcher had said before that it tries again.
        assert_eq!(right(include_str!("../../tests/fixtures/failure-logs/stores-and-languages.yml")), (44, 44));
    }
}
