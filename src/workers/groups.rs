//! What is said of a task when it has ended: lines that a CI service's log folds away, where it can.
//!
//! In: a title, the lines of the task, which may come from builders. Out: lines for the log. Only nixdag opens and closes a group: GitHub takes commands between two lines with a word that no builder
//! knows, and GitLab's markers need control characters, which no line of a task keeps.

use crate::build::record::Verdict;
use crate::duration::now;
use crate::printable::printable;
use crate::secret::{Secret, VariableName};

/// The variable with the word behind which GitHub's log takes commands again; the action `worker` sets it.
const WORD: &str = "NIXDAG_LOG_WORD";

/// Characters of the word.
const LENGTH: usize = 32;

/// How groups are marked.
#[derive(Clone, PartialEq, Eq)]
pub enum Groups {
    /// Nowhere: what was built is a line.
    None,
    /// In commands of GitHub, which takes none but behind this word.
    GitHub(Secret),
    /// In markers of GitLab's log.
    GitLab,
}

impl Groups {
    /// Of the CI service that runs this. Takes the word out of the environment: to be called while no other thread runs.
    pub fn of_environment() -> Self {
        let word = VariableName::parse(WORD).ok().and_then(|name| Secret::take(&name));
        let is_word =
            |word: &Secret| word.reveal().len() == LENGTH && word.reveal().bytes().all(|byte| byte.is_ascii_hexdigit());
        match word.filter(is_word) {
            Some(word) => Self::GitHub(word),
            None if std::env::var_os("GITLAB_CI").is_some() => Self::GitLab,
            None => Self::None,
        }
    }

    /// The lines about a task with this number. What has failed is said in full and not folded away.
    pub fn lines(&self, task: u32, title: &str, lines: &[String], verdict: Verdict) -> Vec<String> {
        let title = printable(title);
        let indented = || lines.iter().map(|line| format!("  {}", printable(line)));
        match self {
            _ if verdict != Verdict::Success => [title].into_iter().chain(indented()).collect(),
            Self::None => vec![title],
            Self::GitHub(word) => {
                let word = word.reveal();
                let command =
                    |command: &str| [format!("::{word}::"), command.to_owned(), format!("::stop-commands::{word}")];
                let title = title.replace('%', "%25");
                let begin = command(&format!("::group::{title}"));
                begin.into_iter().chain(indented()).chain(command("::endgroup::")).collect()
            }
            Self::GitLab => {
                let (time, name) = (now(), format!("nixdag_task_{task}"));
                let begin = format!("\x1b[0Ksection_start:{time}:{name}[collapsed=true]\r\x1b[0K{title}");
                let end = format!("\x1b[0Ksection_end:{time}:{name}\r\x1b[0K");
                [begin].into_iter().chain(indented()).chain([end]).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_builder_prints_opens_or_closes_a_group() {
        let word = "0123456789abcdef".repeat(2);
        let hostile =
            ["::endgroup::", "::error::no", "\x1b[0Ksection_end:1:nixdag_task_7\r\x1b[0K", "100 %"].map(str::to_owned);
        let of = |groups: &Groups, verdict| groups.lines(7, "built `a%0A`", &hostile, verdict);
        let github = Groups::GitHub(Secret::new(word.clone()));
        let said = of(&github, Verdict::Success);
        let (on, off) = (format!("::{word}::"), format!("::stop-commands::{word}"));
        assert_eq!(said[..3], [on.clone(), "::group::built `a%250A`".into(), off.clone()]);
        assert_eq!(said[said.len() - 3..], [on, "::endgroup::".into(), off]);
        let inner = &said[3..said.len() - 3];
        assert!(
            inner.len() == 4 && inner.iter().all(|line| line.starts_with("  ") && !line.contains('\x1b')),
            "{inner:?}"
        );
        let said = of(&Groups::GitLab, Verdict::Success);
        let has_marker = |line: &String| line.contains("\x1b[0Ksection_");
        assert_eq!(said.iter().map(has_marker).collect::<Vec<_>>(), [true, false, false, false, false, true]);
        assert!(said[0].ends_with("built `a%0A`") && said[5].contains(":nixdag_task_7\r"));
        assert_eq!(of(&Groups::None, Verdict::Success), ["built `a%0A`"]);
        for groups in [github, Groups::GitLab, Groups::None] {
            let said = of(&groups, Verdict::Failure);
            assert!(
                said.len() == 5 && said.iter().all(|line| !line.contains('\x1b') && !line.starts_with("::")),
                "{said:?}"
            );
        }
    }
}
