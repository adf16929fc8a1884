//! The pipeline in short, as Markdown for a comment on the pull request that is updated in place: verdict, what failed, what the change does.
//!
//! In: the pipeline, and the address of its page. Out: at most [`MOST_LINES`] lines, however many targets there are. Text from outside is in code
//! alone, where it is no markup, mentions nobody and links nowhere.

use std::io::{self, Write};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::change::lists;
use super::pipeline::{Failure, JobNumber, Pipeline};
use super::summary::{WITHOUT_START_UP, counts, headline, measured_credits};
use super::words::{counted, duration, number};
use crate::build::closure_record::{ClosureRecord, package};
use crate::plan::change::Change;
use crate::printable::{printable, shortened};

/// The first line, which nobody sees: the comment is one of nixdag's.
pub const MARK: &str = "<!-- nixdag: this comment is updated in place -->";

/// Lines of a comment.
pub const MOST_LINES: usize = 60;

/// Bytes of a comment: the longest that both GitHub and GitLab take, and more than this makes.
pub const MOST_BYTES: usize = 60_000;

/// Failures that are shown.
const MOST_FAILURES: usize = 3;

/// Lines of a log.
const LOG_LINES: usize = 3;

/// Rows of each table.
const MOST_ROWS: usize = 5;

/// Names in one line.
const MOST_NAMES: usize = 5;

/// Characters of a name, a message or a line of a log.
const LONGEST: usize = 160;

/// Longest address of a page, in bytes.
const LONGEST_ADDRESS: usize = 500;

/// Writes the comment; `page` is where the page is.
pub fn write(pipeline: &Pipeline, page: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let page = page.filter(|address| is_address(address));
    let mut lines = vec![MARK.to_owned(), head(pipeline), String::new(), figures(pipeline, page), String::new()];
    for failure in pipeline.failures.iter().take(MOST_FAILURES) {
        lines.extend(failed(pipeline, failure, page));
    }
    if pipeline.failures.len() > MOST_FAILURES {
        let more = counted(pipeline.failures.len() - MOST_FAILURES, "more failure");
        lines.extend([format!("{more}: see the page."), String::new()]);
    }
    if let Some(change) = pipeline.plan.and_then(|plan| plan.change.as_ref()) {
        lines.extend(changed(change));
    }
    lines.extend(closures(pipeline));
    lines.push(foot(pipeline));
    debug_assert!(lines.len() <= MOST_LINES);
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn head(pipeline: &Pipeline) -> String {
    let headline = headline(pipeline);
    format!("### {} nixdag: {}", headline.sign, plain(&headline.text))
}

/// Counts, times beside their prediction, the page.
fn figures(pipeline: &Pipeline, page: Option<&str>) -> String {
    let mut parts = vec![plain(&counts(pipeline))];
    let predicted = pipeline.plan.map(|plan| &plan.estimates);
    parts.extend(pipeline.wall().map(|wall| {
        let beside = predicted.map(|estimates| {
            let (predicted, best) = (duration(estimates.plan.makespan), duration(estimates.lower_bound));
            if pipeline.lacks_start_up() {
                format!(" {WITHOUT_START_UP} (predicted {predicted} with it, at best {best})")
            } else {
                format!(" (predicted {predicted}, at best {best})")
            }
        });
        format!("**{}**{}", duration(wall), beside.unwrap_or_default())
    }));
    parts.extend(pipeline.machine_time().map(|time| {
        let credits = measured_credits(pipeline).map(|credits| format!(", {}", counted(credits as usize, "credit")));
        format!("{} of machines{}", duration(time), credits.unwrap_or_default())
    }));
    parts.extend(page.map(|page| format!("**[the whole page]({page})**")));
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// At most eight lines of a failure.
fn failed(pipeline: &Pipeline, failure: &Failure, page: Option<&str>) -> Vec<String> {
    let mut first = format!("**{}**", code(&failure.name));
    if failure.job != JobNumber::MAX {
        let job = pipeline.job(failure.job);
        let id = utf8_percent_encode(&job.id, NON_ALPHANUMERIC);
        let link = page.map(|page| format!(" ([time line]({page}#job={id}))"));
        first.push_str(&format!(" in job {}{}", code(&job.name), link.unwrap_or_default()));
    }
    first.extend(failure.class.iter().map(|class| format!(": {}", plain(class))));
    first.extend(failure.duration.map(|time| format!(" after {}", duration(time))));
    if !failure.stopped_targets.is_empty() {
        first.push_str(&format!(". It stopped {}", names(failure.stopped_targets.iter())));
    }
    let mut lines = vec![first];
    let text = failure.log.as_deref().unwrap_or(&failure.message);
    let shown: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| shortened(&printable(line), LONGEST)).collect();
    let shown = &shown[shown.len().saturating_sub(LOG_LINES)..];
    if !shown.is_empty() {
        let fence = "`".repeat(longest_run(&shown.join("\n")).max(2) + 1);
        lines.push(format!("{fence}text"));
        // Older versions of GitLab look for the end of code, and for commands (`/close`), at the beginning of lines and nowhere else.
        lines.extend(shown.iter().map(|line| format!("| {line}")));
        lines.push(fence);
    }
    lines.extend(failure.reproduce.iter().map(|command| code(command)));
    lines.push(String::new());
    lines
}

fn changed(change: &Change) -> Vec<String> {
    if change.is_empty() {
        return Vec::new();
    }
    let words: Vec<String> = lists(change)
        .iter()
        .filter(|(_, targets)| !targets.is_empty())
        .map(|(word, targets)| format!("{} {word}", number(targets.len() as u64)))
        .collect();
    let mut lines = vec![format!("Targets: {}.", words.join(", ")), String::new()];
    if !change.causes.is_empty() {
        lines.extend(["| where it begins | what changed | targets |".to_owned(), "|---|---|--:|".to_owned()]);
        for cause in change.causes.iter().take(MOST_ROWS) {
            let what = match &cause.base_name {
                Some(base) => cell(&format!("{base} -> {}", cause.name)),
                None => cause.what.first().map_or(String::new(), |what| cell(what)),
            };
            lines.push(format!("| {} | {what} | {} |", cell(&cause.name), number(cause.targets)));
        }
        let more = change.causes.len().saturating_sub(MOST_ROWS) as u64 + change.more_causes;
        if more > 0 {
            lines.push(format!("| {} more | | |", number(more)));
        }
        lines.push(String::new());
    }
    lines
}

/// Closures that are over a limit, then those that have changed most.
fn closures(pipeline: &Pipeline) -> Vec<String> {
    let over = |closure: &ClosureRecord| pipeline.failures.iter().any(|failure| failure.name == closure.target);
    let mut all: Vec<&ClosureRecord> = pipeline.closures.iter().filter(|closure| closure.differs()).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let difference = |closure: &ClosureRecord| {
        closure.before.bytes.zip(closure.after.bytes).map_or(0, |(before, after)| before.abs_diff(after))
    };
    all.sort_by_key(|closure| (!over(closure), std::cmp::Reverse(difference(closure))));
    let mut lines = vec!["| closure | before | after | |".to_owned(), "|---|--:|--:|---|".to_owned()];
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), super::words::bytes);
    for closure in all.iter().take(MOST_ROWS) {
        let sign = if over(closure) { " ✕" } else { "" };
        let packages: Vec<String> = closure.packages.iter().flatten().take(MOST_NAMES).map(package).collect();
        let packages = if packages.is_empty() { String::new() } else { cell(&packages.join(", ")) };
        lines.push(format!(
            "| {}{sign} | {} | {} | {} {packages} |",
            cell(&closure.target),
            size(closure.before.bytes),
            size(closure.after.bytes),
            closure.growth().unwrap_or_default(),
        ));
    }
    let rest = all.len().saturating_sub(MOST_ROWS);
    if rest > 0 {
        lines.push(format!("| {} | | | |", counted(rest, "other")));
    }
    lines.push(String::new());
    lines
}

fn foot(pipeline: &Pipeline) -> String {
    let plan = pipeline.plan;
    let short = |revision: &String| code(&revision.chars().take(12).collect::<String>());
    let head = plan.and_then(|plan| plan.flake.as_ref()?.revision.as_ref()).map(short);
    let base = plan.and_then(|plan| plan.base.as_ref()?.revision.as_ref()).map(short);
    let of = match (head, base) {
        (Some(head), Some(base)) => format!(" · {head} against {base}"),
        (Some(head), None) => format!(" · {head}"),
        _ => String::new(),
    };
    format!("nixdag {}{of}", env!("CARGO_PKG_VERSION"))
}

/// `a`, `b` and 4 more.
fn names<'a>(all: impl ExactSizeIterator<Item = &'a String>) -> String {
    let count = all.len();
    let shown: Vec<String> = all.take(MOST_NAMES).map(|name| code(name)).collect();
    let more = count - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(" "))
}

/// Words of nixdag's own: letters and digits, and what is no markup in the middle of a line, nor an address.
fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || " \u{a0}\u{202f}.,;:-–'/()".contains(c);
    let text: String = text.chars().map(|c| if is_plain(c) { c } else { '?' }).collect();
    text.replace("://", ":??").replace("www.", "www?")
}

/// Code in a cell of a table, where a `|` would end it.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Text as code: in one line and cut, with a fence that it does not hold.
fn code(text: &str) -> String {
    let text = shortened(&printable(text), LONGEST);
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// The most backticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// True for the address of a page that cannot end a link in Markdown.
fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%+,;@".contains(&byte);
    text.starts_with("https://") && text.len() <= LONGEST_ADDRESS && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::plan::change::RootCause;

    #[test]
    fn code_holds_any_text_in_one_line() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a``b`"), "``` a``b` ```");
        assert_eq!((code("a\n| @x"), cell("a|b")), ("`a\\n| @x`".to_owned(), "`a\\|b`".to_owned()));
        assert_eq!(plain("3 jobs <b>@x"), "3 jobs ?b??x");
        assert_eq!(plain("https://x.org www.x.org"), "https:??x.org www?x.org");
    }

    #[test]
    fn a_page_is_linked_only_by_an_address_that_stays_one() {
        assert!(is_address("https://ci.example/job/1/artifacts/nixdag.html?x=1"));
        for wrong in ["http://x", "https://x)", "https://x y", "javascript:alert(1)", "https://x[", "https://x#a"] {
            assert!(!is_address(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_comment_never_has_more_than_its_lines_whatever_there_is() {
        let hostile = "`|\n<script>@everyone [x](y) #1 \u{202e}".repeat(40);
        let plan = Plan {
            change: Some(Change {
                new: vec![["x", hostile.as_str()].into_iter().collect(); 900],
                causes: vec![
                    RootCause {
                        name: hostile.clone(),
                        base_name: None,
                        what: vec![hostile.clone(); 9],
                        targets: 7
                    };
                    300
                ],
                ..Change::default()
            }),
            ..Plan::default()
        };
        let failure = Failure {
            name: hostile.clone(),
            job: JobNumber::MAX,
            message: hostile.clone(),
            log: Some(hostile.clone()),
            reproduce: Some(hostile.clone()),
            stopped_targets: vec![hostile.clone(); 500],
            ..Failure::default()
        };
        let closure = ClosureRecord::new(hostile.clone(), Default::default(), None);
        let pipeline = Pipeline {
            plan: Some(&plan),
            has_run: true,
            failures: vec![failure; 70],
            closures: vec![closure; 500],
            ..Pipeline::default()
        };
        let mut text = Vec::new();
        write(&pipeline, Some("https://ci.example/page"), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(MARK) && text.lines().count() <= MOST_LINES, "{}", text.lines().count());
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        assert!(!text.contains('\u{202e}'));
    }
}
