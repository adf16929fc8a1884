//! What GitLab would refuse is found before a pipeline leaves: broken pipelines, and the sentence that each gets.

use nixdag::provider::gitlab::check::check;
use nixdag::provider::gitlab::limits::LIMITS;

/// A pipeline with a job `a` that is fine, and more lines.
fn with(more: &str) -> String {
    format!("stages: [nixdag, gate]\na: {{stage: nixdag, script: [echo]}}\n{more}")
}

/// Broken pipelines, by what is wrong with them.
pub fn broken() -> Vec<(&'static str, String, &'static str)> {
    let needs = |count: usize, across: bool| {
        let names: Vec<String> = (0..count)
            .map(
                |at| if across { format!("{{pipeline: $NIXDAG_PLAN_PIPELINE, job: j{at}}}") } else { format!("j{at}") },
            )
            .collect();
        let jobs: String = (0..count).map(|at| format!("j{at}: {{stage: nixdag, script: [echo]}}\n")).collect();
        with(&format!("{jobs}b: {{stage: nixdag, script: [echo], needs: [{}]}}\n", names.join(", ")))
    };
    let job = |text: &str| with(&format!("b: {{stage: nixdag, script: [echo], {text}}}\n"));
    let named = |name: &str| with(&format!("{name}: {{stage: nixdag, script: [echo]}}\n"));
    vec![
        ("51 needs", needs(51, false), "job `b` needs 51 jobs, 50 are allowed"),
        ("6 across", needs(6, true), "needs 6 jobs of other pipelines, 5 are allowed"),
        ("5 MB", with(&format!("# {}", "x".repeat(5 << 20))), "MB more than the 5.2 MB that GitLab takes"),
        (
            "cycle",
            with("b: {stage: nixdag, script: [echo], needs: [c]}\nc: {stage: nixdag, script: [echo], needs: [b]}\n"),
            "these jobs wait for each other: `b`, `c`",
        ),
        ("needs itself", job("needs: [b]"), "these jobs wait for each other: `b`"),
        ("unknown need", job("needs: [x]"), "job `b` needs `x`, which is not a job"),
        (
            "hidden need",
            with(".x: {script: [echo]}\nb: {stage: nixdag, script: [echo], needs: [.x]}\n"),
            "job `b` needs `.x`, which is not a job",
        ),
        ("need twice", job("needs: [a, a]"), "job `b` needs `a` twice"),
        ("needs a mapping", job("needs: {a: b}"), "job `b` has `needs` that is not a list"),
        ("needs a number", job("needs: [1]"), "job `b` needs something that is not a job's name"),
        (
            "pipeline without job",
            job("needs: [{pipeline: $NIXDAG_PLAN_PIPELINE}]"),
            "needs something of another pipeline without `job`",
        ),
        (
            "later stage",
            with("b: {stage: nixdag, script: [echo], needs: [g]}\ng: {stage: gate, script: [echo]}\n"),
            "job `b` needs `g`, which is in a later stage",
        ),
        ("unknown stage", with("b: {stage: x, script: [echo]}\n"), "job `b` is in the stage `x`, which is not defined"),
        ("no stage", with("b: {script: [echo]}\n"), "job `b` is in the stage `test`, which is not defined"),
        ("no stages", "stages: []\na: {stage: .pre, script: [echo]}\n".into(), "`stages` is empty"),
        ("no script", with("b: {stage: nixdag}\n"), "job `b` has no script"),
        ("empty script", with("b: {stage: nixdag, script: []}\n"), "job `b` has no script"),
        ("unknown hidden job", job("extends: .x"), "job `b` extends `.x`, which is not defined"),
        (
            "extends itself",
            with(".x: {extends: .x, script: [echo]}\nb: {stage: nixdag, extends: .x}\n"),
            "job `b` extends too many jobs, or itself",
        ),
        ("129 characters", named(&"x".repeat(129)), "does not have 1 to 128 characters"),
        ("reserved name", named("nil"), "`nil` is a word of GitLab's language"),
        ("pages", named("pages"), "`pages` is a word of GitLab's language"),
        ("name is a boolean", named("true"), "the job name `true` is not a string"),
        ("name is a number", named("12"), "the job name `12` is not a string"),
        ("no jobs", "stages: [a]\n.x: {script: [echo]}\n".into(), "the pipeline has no job"),
        ("job is a list", with("b: [1]\n"), "job `b` is not a mapping"),
        ("timeout of words", job("timeout: soon"), "has the timeout `soon`"),
        ("timeout of a minute", job("timeout: 1 minute"), "has the timeout `1 minute`"),
        ("timeout of a year", job("timeout: 52 weeks"), "has the timeout `52 weeks`"),
        ("retry 3", job("retry: 3"), "is tried again `3` times"),
        ("retry for a word", job("retry: {max: 1, when: [bad_luck]}"), "after `bad_luck`, which is not a reason"),
        ("unknown key", job("resource_class: large"), "has the key `resource_class`, which GitLab does not know"),
        ("dollar in an image", job("image: \"$(id)\""), "`image` holds a `$` that GitLab would expand"),
        ("dollar in a tag", job("tags: [$TAG]"), "`tags` holds a `$`"),
        ("dollar in a variable", job("variables: {A: \"$$B\"}"), "`variables` holds a `$`"),
        ("dollar in an environment", job("environment: {name: \"${X}\"}"), "`environment` holds a `$`"),
        ("list as variable", job("variables: {A: [1]}"), "the variable `A` is not text"),
        ("dependency", job("dependencies: [x]"), "depends on `x`, which is not a job"),
        ("merge key", job("\"<<\": {a: b}"), "has a mapping key `<<`"),
        ("reference tag", job("tags: !reference [.x, tags]"), "holds a YAML tag"),
        ("spec header", with("spec: {inputs: {}}\n"), "has `spec` or `include`"),
        ("include", with("include: [{local: x.yml}]\n"), "has `spec` or `include`"),
        (
            "501 jobs and nixdag's own",
            with(&(0..503).map(|at| format!("j{at}: {{stage: nixdag, script: [echo]}}\n")).collect::<String>()),
            "the pipeline has 504 jobs, 500 are allowed",
        ),
        ("not a mapping", "[a]".into(), "the pipeline is not a mapping"),
    ]
}

#[test]
fn what_gitlab_would_refuse_is_named() {
    assert_eq!(check(&with(""), &LIMITS, &[]).unwrap(), Vec::<String>::new());
    for (what, text, words) in broken() {
        let problems = check(&text, &LIMITS, &[]).unwrap();
        assert!(problems.iter().any(|problem| problem.contains(words)), "{what}: {problems:?}");
    }
    assert!(check("a: [", &LIMITS, &[]).is_err());
    assert!(check("a: {script: [echo]}\na: {script: [echo]}\n", &LIMITS, &[]).is_err(), "a key that is there twice");
}
