//! What becomes of a user's job in a pipeline with others: whose artifacts it takes, and rules that hold no longer.

use crate::provider::yaml::Yaml;

/// Where a job waits for the stages before its own, it would take the artifacts of all jobs in these: of its own file's it does, hand-offs are
/// for nixdag's jobs.
pub fn without_hand_offs<'a>(body: &mut Yaml, before: impl Iterator<Item = &'a str>) {
    let Yaml::Map(entries) = body else { return };
    let says = |key: &str| entries.iter().any(|(known, _)| known == key);
    if !["needs", "dependencies", "trigger"].into_iter().any(says) {
        entries.push(("dependencies".to_owned(), Yaml::texts(before)));
    }
}

/// Says that a condition is never true in a child pipeline: there the source is always the same one.
pub fn never_true(body: &[(String, Yaml)]) -> Option<String> {
    let get = |key: &str| body.iter().find(|(known, _)| known == key).map(|(_, value)| value);
    let asks_for_source = |rule: &Yaml| {
        let condition = rule.get("if").and_then(Yaml::as_text);
        condition
            .is_some_and(|condition| condition.contains("CI_PIPELINE_SOURCE") && !condition.contains("parent_pipeline"))
    };
    let by_rules = match get("rules") {
        Some(Yaml::List(rules)) => rules.iter().any(asks_for_source),
        _ => false,
    };
    const SOURCES: [&str; 7] = ["merge_requests", "schedules", "pushes", "web", "api", "triggers", "pipelines"];
    let refs = |value: &Yaml| match value.get("refs").unwrap_or(value) {
        Yaml::List(items) => items.iter().filter_map(Yaml::as_text).any(|item| SOURCES.contains(&item)),
        other => other.as_text().is_some_and(|text| SOURCES.contains(&text)),
    };
    let by_words = ["only", "except"].into_iter().filter_map(get).any(refs);
    (by_rules || by_words).then(|| {
        "its rules ask what started the pipeline, which is always `parent_pipeline` here: ask for `CI_MERGE_REQUEST_IID` or \
         `CI_COMMIT_TAG`, or for a variable that the trigger job passes on"
            .to_owned()
    })
}
