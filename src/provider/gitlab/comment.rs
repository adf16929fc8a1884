//! Notes of GitLab's merge requests. In: the variables of a job. Out: where the notes are.

use anyhow::{Context, Result, ensure};

use crate::provider::comment::{CommentApi, CommentPlace, Edit, api_address};

/// Where the comment of a job goes.
pub fn place(variable: impl Fn(&str) -> Option<String>) -> Result<CommentPlace> {
    let Some(number) = variable("CI_MERGE_REQUEST_IID") else {
        return Ok(CommentPlace::Nowhere("this is not a pipeline of a merge request".into()));
    };
    let project = variable("CI_PROJECT_ID").context("`CI_PROJECT_ID` is not set")?;
    let [source, target] = ["CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_ID"].map(&variable);
    if source.as_ref() != Some(&project) || target.as_ref() != Some(&project) {
        return Ok(CommentPlace::Nowhere("the merge request comes from a fork".into()));
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(is_number(&number), "`CI_MERGE_REQUEST_IID` is not a number");
    ensure!(is_number(&project), "`CI_PROJECT_ID` is not a number");
    let api = api_address(&variable("CI_API_V4_URL").context("`CI_API_V4_URL` is not set")?)?;
    let notes = format!("{api}/projects/{project}/merge_requests/{number}/notes");
    Ok(CommentPlace::Api(Box::new(CommentApi {
        owner: (format!("{api}/user"), "username"),
        unnamed: None,
        list: notes.clone(),
        edit: (notes, Edit::Put),
        author: ["author", "username"],
        header: ("private-token", ""),
        rights: "the scope `api` and the role of a reporter; `CI_JOB_TOKEN` has neither",
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_merge_request_of_the_project_itself_gets_a_comment() {
        let place = |source: &str, target: &str| {
            let all = [
                ("CI_MERGE_REQUEST_IID", "7"),
                ("CI_PROJECT_ID", "3"),
                ("CI_API_V4_URL", "https://gitlab.example/api/v4"),
                ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", source),
                ("CI_MERGE_REQUEST_PROJECT_ID", target),
            ];
            place(|name| all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())).unwrap()
        };
        for (source, target) in [("4", "3"), ("3", "4"), ("", "")] {
            assert!(matches!(place(source, target), CommentPlace::Nowhere(_)));
        }
        let CommentPlace::Api(api) = place("3", "3") else { panic!("it is its own") };
        assert_eq!(api.list, "https://gitlab.example/api/v4/projects/3/merge_requests/7/notes");
    }
}
