//! The stand-in for GitHub: what it refuses, and what its expressions mean.

use serde_json::{Value, json};

use crate::support::github::commands::annotations;
use crate::support::github::expression::{Scope, Status, condition, evaluate, scalar};
use crate::support::github::workflow::Workflow;

const GOOD: &str =
    "on: { push: }\npermissions: { contents: read }\njobs:\n  a:\n    runs-on: x\n    steps: [{ run: 'true' }]\n";

#[test]
fn what_github_refuses_is_refused() {
    Workflow::read(GOOD).unwrap();
    let step = "steps: [{ run: 'true' }]";
    let long = format!("{step}\n    name: \"${{{{ 1 }}}}{}\"", "x".repeat(21_000));
    let pinned = format!("a/b@{}", "0".repeat(40));
    for (from, to, words) in [
        ("push:", "pull_request_target:", "the event `pull_request_target`"),
        ("  a:\n", "  1a:\n", "the id `1a`"),
        ("  a:\n", "  \"a b\":\n", "the id `a b`"),
        ("runs-on: x", "runs-on: x\n    needs: b", "needs `b`, which is not a job"),
        ("runs-on: x", "runs-on: x\n    needs: [a]", "needs go in a circle"),
        ("runs-on: x", "tags: x", "the key `tags` is not known"),
        ("    runs-on: x\n", "", "no `runs-on`"),
        (step, "steps: []", "no steps"),
        (step, "steps: [{ run: 'true', uses: x }]", "either `run` or `uses`"),
        (step, "steps: [{ uses: actions/checkout@v4 }]", "is not pinned"),
        (step, "steps: [{ run: 'echo ${{ github.ref }}' }]", "data in a shell"),
        (step, "steps: [{ run: 'true', id: a }, { run: 'true', id: a }]", "two steps with the id `a`"),
        (step, "uses: ./.github/workflows/b.yml", "the key `runs-on` is not known"),
        (step, &long, "Exceeded max expression length"),
        (step, "steps: [{ run: 'true' }]\n    strategy: { matrix: { a: [1] } }", "one failure would cancel"),
        ("    runs-on: x\n    steps: [{ run: 'true' }]", "    uses: a/b/.github/workflows/c.yml@v1", "pinned"),
        (
            "    runs-on: x\n    steps: [{ run: 'true' }]",
            &format!("    uses: {pinned}\n    secrets: inherit"),
            "secrets that are not named",
        ),
        (
            "    runs-on: x\n    steps: [{ run: 'true' }]",
            &format!("    uses: {pinned}\n    timeout-minutes: 5"),
            "the key `timeout-minutes` is not known",
        ),
        ("  a:\n", &format!("# {}\n  a:\n", "x".repeat(512_000)), "GitHub starts no run"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = format!("{:#}", Workflow::read(&GOOD.replacen(from, to, 1)).unwrap_err());
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn expressions_are_githubs() {
    let contexts = json!({
        "inputs": { "plan": "{\"waves\":2,\"a-b\":[1]}", "no": false },
        "needs": { "a": { "result": "success" }, "b": { "result": "failure" } },
    });
    let contexts = contexts.as_object().unwrap();
    let scope = Scope { contexts, status: None };
    for (text, expected) in [
        ("fromJSON(inputs.plan).waves >= 2", json!(true)),
        ("fromJSON(inputs.plan)['a-b'][0]", json!(1)),
        ("fromJSON(inputs.plan).nothing", Value::Null),
        ("fromJSON(inputs.plan)['a-b'][7]", Value::Null),
        ("contains(needs.*.result, 'failure')", json!(true)),
        ("contains(needs.*.result, 'cancelled')", json!(false)),
        ("'Success' == 'success'", json!(true)),
        ("null == 0 && '' == false && 'a' != 0", json!(true)),
        ("!inputs.no && 'x' || ''", json!("x")),
        ("inputs.no && 'x' || ''", json!("")),
        ("'it''s' == format('it{0}s', '''')", json!(true)),
        ("(1 < 2) == true", json!(true)),
    ] {
        assert_eq!(evaluate(text, &scope).unwrap(), expected, "{text}");
    }
    for text in ["secrets.X", "nothing()", "1 +", "'a", "fromJSON('')", "success()", "inputs.", "a b"] {
        assert!(evaluate(text, &scope).is_err(), "{text}");
    }
    assert_eq!(scalar("a ${{ 'b}}' }} c", &scope).unwrap(), json!("a b}} c"));
    assert!(scalar("${{ 1", &scope).is_err() && scalar("x${{ needs }}", &scope).is_err());
}

#[test]
fn a_condition_without_a_function_of_status_asks_for_success() {
    let (contexts, failure) = (serde_json::Map::new(), Status { failure: true, ..Status::default() });
    let skipped = Status { skipped: true, ..Status::default() };
    let cancelled = Status { cancelled: true, ..Status::default() };
    let holds =
        |text: Option<&str>, status| condition(text, &Scope { contexts: &contexts, status: Some(status) }).unwrap();
    for (text, expected) in [
        (None, [true, false, false, false]),
        (Some("1 == 1"), [true, false, false, false]),
        (Some("${{ always() }}"), [true; 4]),
        (Some("!cancelled()"), [true, true, true, false]),
        (Some("!failure() && !cancelled()"), [true, false, true, false]),
    ] {
        let found = [Status::default(), failure, skipped, cancelled].map(|status| holds(text, status));
        assert_eq!(found, expected, "{text:?}");
    }
    let text = Scope { contexts: &contexts, status: Some(Status::default()) };
    assert!(condition(Some("${{ false }} x"), &text).is_err(), "text is always true");
}

#[test]
fn commands_are_heard_unless_they_are_stopped() {
    let token = "0123456789abcdef0123456789abcdef";
    assert_eq!(annotations("a\n  ::error file=a::b\n::group::x\n").unwrap(), ["error file=a::b"]);
    let stopped =
        format!("::stop-commands::{token}\n::error::x\n##[error]x\n::set-env name=A::b\n::{token}::\n::error::y\n");
    assert_eq!(annotations(&stopped).unwrap(), ["error::y"]);
    for text in
        ["::set-env name=A::b", "##[error]x", "::stop-commands::short\n::short::", &format!("::stop-commands::{token}")]
    {
        assert!(annotations(text).is_err(), "{text}");
    }
}
