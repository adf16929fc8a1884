//! Hostile text in names, commands, environments, messages and logs: no expression, no workflow command, no shell.

use std::fs;

use crate::support::github::Status::Failure;
use crate::support::github_project::project;
use crate::support::project::every_nix;

/// What some reader could take for more than text.
pub const HOSTILE: [&str; 40] = [
    "${{ secrets.GITHUB_TOKEN }}",
    "${{ '${{' }}",
    "${{ github.event.pull_request.title }}",
    "}}",
    "${{",
    "::error::x",
    "::error file=a,line=1::x",
    "::stop-commands::x",
    "::set-output name=plan::x",
    "::add-mask::a",
    "::add-path::/tmp",
    "::set-env name=PATH::/tmp",
    "::save-state name=x::y",
    "::add-matcher::/tmp/x",
    "::group::x",
    "::endgroup::",
    "::debug::x",
    "::notice::x",
    "##[error]x",
    "##[add-mask]a",
    "a\n::error::b",
    "a\r::error::b",
    "a\r\nplan={}",
    "plan={}",
    "EOF\nplan={}",
    "plan<<EOF",
    "$(touch /mnt/pwned)",
    "`touch /mnt/pwned`",
    "'; touch /mnt/pwned; '",
    "\"; touch /mnt/pwned; \"",
    "$GITHUB_TOKEN",
    "${IFS}",
    "\\",
    "\u{1b}[31m",
    "\u{1b}]0;x\u{7}",
    "\u{2028}",
    "\u{202e}x",
    "<img src=x onerror=alert(1)>",
    "| a | b |\n```",
    "-n",
];

/// The lines of a program that prints all of them.
fn printed() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    HOSTILE.map(|text| format!("printf '%s\\n' {}; ", quoted(text))).concat()
}

/// A text as a string of the Nix language.
fn nix_string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${").replace('\r', "\\r");
    format!("\"{}\"", escaped.replace('\n', "\\n"))
}

#[test]
fn what_builders_evaluation_and_commands_print_stays_text() {
    let nix = every_nix().remove(0);
    let (checkout, mut github) = project("examples/hermetic", &nix, &[("extra_arguments", "--build-logs=live")]);
    let script = nix_string(&printed());
    let attributes: String = HOSTILE
        .iter()
        .enumerate()
        .map(|(at, text)| format!("{} = bad \"h{at}\";\n", nix_string(&format!("n{text}"))))
        .collect();
    let thrown: String =
        HOSTILE.iter().enumerate().map(|(at, text)| format!("t{at} = throw {};\n", nix_string(text))).collect();
    let flake = format!(
        "{{ outputs = _: {{ packages.x86_64-linux = let
            bad = name: derivation {{ inherit name; system = \"x86_64-linux\"; builder = \"/bin/sh\";
              args = [ \"-c\" ({script} + \"exit 3\") ]; }};
            good = derivation {{ name = \"good\"; system = \"x86_64-linux\"; builder = \"/bin/sh\";
              args = [ \"-c\" ({script} + \"echo x > $out\") ]; }};
          in {{ inherit good; {attributes} {thrown} }}; }}; }}"
    );
    fs::write(checkout.path().join("flake.nix"), flake).unwrap();
    let environment: String = HOSTILE
        .iter()
        .enumerate()
        .map(|(at, text)| format!("      H{at}: {}\n", serde_json::to_string(text).unwrap()))
        .collect();
    let command = serde_json::to_string(&format!("{}exit 0", printed())).unwrap();
    fs::write(
        checkout.path().join("nixdag.yml"),
        format!(
            "granularity: auto\nfinal:\n  - name: talk\n    checkout: false\n    run: {command}\n    environment:\n{environment}"
        ),
    )
    .unwrap();
    let outcome = github.run().unwrap();
    assert_eq!(outcome.result("gate"), Failure, "{}", outcome.logs());
    assert!(outcome.logs().matches("::set-output name=plan::x").count() > 1, "it was printed: {}", outcome.logs());
    for job in &outcome.jobs {
        let own = |annotation: &String| {
            annotation.starts_with("error title=")
                || annotation.starts_with("error file=flake.nix,line=")
                || annotation.contains(" has not succeeded: ")
        };
        assert!(job.annotations.iter().all(own), "{}: {:?}", job.name, job.annotations);
        assert!(job.annotations.len() <= 40, "{:?}", job.annotations);
        assert!(!job.summary.contains("<img") && !job.summary.contains("\u{1b}"), "{}", job.summary);
        assert_eq!(job.summary.matches("```").count() % 2, 0, "{}", job.summary);
    }
    let found = std::process::Command::new("find").arg(github.state()).args(["-name", "pwned"]).output().unwrap();
    assert!(found.stdout.is_empty(), "a shell ran it");
}
