//! The whole file: head with its policy, the sections in their order, data and script.
//!
//! In: the pipeline. Out: HTML.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::pipeline::{Pipeline, Verdict};
use super::summary::{counts, headline, title};
use super::words::number;
use super::{change, data, failure_list, summary, tables, time};
use crate::view::markup::name;

const STYLE: &str = include_str!("page.css");

/// In this order: the later ones use the earlier ones.
const SCRIPTS: &str = concat!(
    include_str!("script/data.js"),
    include_str!("script/timeline.js"),
    include_str!("script/graph.js"),
    include_str!("script/select.js"),
    include_str!("script/search.js"),
    include_str!("script/tables.js"),
    include_str!("script/start.js"),
);

/// Jobs from which on the time line begins with the notable ones.
const MANY_JOBS: usize = 60;

/// Writes the page.
pub fn write(pipeline: &Pipeline, out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    let (style, script) = (without_comments(STYLE), compact(SCRIPTS));
    let written = head(pipeline, (&style, &script), &mut text).and_then(|()| body(pipeline, &mut text));
    written.map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    writeln!(
        out,
        "<script type=\"application/json\" id=\"data\">{}</script><script type=\"text/plain\" id=\"packed\">{}</script>\
         <script>{script}</script></body></html>",
        data::jobs(pipeline),
        data::derivations(pipeline)?
    )
}

/// The lines without what only people read: indentation, and lines that are comments. No text in these files spans lines.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The same of a script, and no spaces around signs outside of quoted texts, which are in single quotes all.
fn compact(script: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || "_$'".contains(c);
    let mut compact = String::with_capacity(script.len());
    for (number, part) in without_comments(script).split('\'').enumerate() {
        if number % 2 == 1 {
            compact.push_str(&format!("'{part}'"));
            continue;
        }
        let mut before = if number == 0 { ' ' } else { '\'' };
        let mut rest = part.chars().peekable();
        while let Some(c) = rest.next() {
            let next = rest.peek().copied().unwrap_or('\'');
            if c != ' ' || is_word(before) && is_word(next) {
                compact.push(c);
                before = c;
            }
        }
    }
    compact
}

fn head(pipeline: &Pipeline, (style, script): (&str, &str), out: &mut String) -> fmt::Result {
    let headline = headline(pipeline);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>{} nixdag: {}</title><style>{style}</style></head>",
        source(script),
        source(style),
        headline.sign,
        name(&headline.text)
    )
}

/// A source of the page's policy: the digest of what is allowed to run or to style.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

fn body(pipeline: &Pipeline, out: &mut String) -> fmt::Result {
    let headline = headline(pipeline);
    write!(
        out,
        "<body><header class=\"{0}\"><h1><span class=\"sign\" aria-hidden=\"true\">{1}</span><span class=\"unseen\">{0}: </span>{2}</h1>\
         <p>{3}</p><p class=\"dim\"><bdi>{4}</bdi></p></header>",
        headline.class,
        headline.sign,
        name(&headline.text),
        name(&counts(pipeline)),
        name(&title(pipeline))
    )?;
    navigation(pipeline, out)?;
    out.write_str("<main>")?;
    failure_list::write(pipeline, out)?;
    summary::numbers(pipeline, out)?;
    time::write(pipeline, out)?;
    timeline(pipeline, out)?;
    graph(pipeline, out)?;
    change::write(pipeline, out)?;
    tables::cost(pipeline, out)?;
    tables::write(pipeline, out)?;
    write!(
        out,
        "</main><footer>nixdag {} · this page loads nothing</footer>\
         <svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs><pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"2\" height=\"5\" class=\"p0\"/></pattern></defs></svg>\
         <div id=\"said\" class=\"unseen\" aria-live=\"polite\"></div>",
        env!("CARGO_PKG_VERSION")
    )
}

fn navigation(pipeline: &Pipeline, out: &mut String) -> fmt::Result {
    out.write_str("<nav aria-label=\"sections\">")?;
    if !pipeline.failures.is_empty() {
        out.write_str("<a href=\"#failures\">Failures</a>")?;
    }
    out.write_str("<a href=\"#time\">Time</a><a href=\"#timeline\">Time line</a><a href=\"#graph\">Graph</a>")?;
    if pipeline.plan.is_some_and(|plan| plan.change.is_some()) || !pipeline.closures.is_empty() {
        out.write_str("<a href=\"#change\">Change</a>")?;
    }
    out.write_str(
        "<a href=\"#cost\">Cost</a>\
         <a href=\"#tables\">Tables</a><span class=\"find\"><input id=\"find\" type=\"search\" role=\"combobox\" aria-expanded=\"false\" \
         aria-controls=\"found\" aria-autocomplete=\"list\" aria-label=\"Find a job, target or derivation\" placeholder=\"Find ( / )\" \
         autocomplete=\"off\" spellcheck=\"false\"></span></nav><ul id=\"found\" role=\"listbox\" aria-label=\"Found\" hidden></ul>",
    )
}

/// Buttons of which one is pressed: the value of `data-` and the text of each.
fn choice(out: &mut String, attribute: &str, buttons: &[(&str, String)]) -> fmt::Result {
    for (value, text) in buttons {
        write!(out, "<button type=\"button\" data-{attribute}=\"{value}\" aria-pressed=\"false\">{text}</button>")?;
    }
    Ok(())
}

fn timeline(pipeline: &Pipeline, out: &mut String) -> fmt::Result {
    let run = pipeline.has_run;
    out.write_str(
        "<h2 id=\"timeline\">Time line</h2><noscript><p>Time line and graph need JavaScript, the rest of this page does not.</p></noscript>\
         <div class=\"tools\" role=\"group\" aria-label=\"jobs in the time line\">",
    )?;
    let mut rows: Vec<(&str, &str)> = Vec::new();
    if run && pipeline.jobs.len() > MANY_JOBS {
        rows.push(("notable", "Notable"));
    }
    rows.push(("critical", "Critical path"));
    if run {
        rows.extend([("late", "Late"), ("failed", "Failed")]);
    }
    rows.push(("all", "All"));
    choice(out, "rows", &rows.iter().map(|(value, text)| (*value, (*text).to_owned())).collect::<Vec<_>>())?;
    out.write_str(
        "<label>by <select id=\"by\"><option value=\"start\">start</option><option value=\"length\">length</option>",
    )?;
    if run {
        out.write_str("<option value=\"late\">lateness</option>")?;
    }
    out.write_str(
        "<option value=\"name\">name</option></select></label><button type=\"button\" id=\"wider\" aria-label=\"stretch the time line\">+</button>\
         <button type=\"button\" id=\"narrower\" aria-label=\"compress the time line\">−</button><span class=\"dim\" id=\"rows\"></span></div><div class=\"key\">",
    )?;
    let phases =
        [("p0", "start-up"), ("p1", "restore"), ("p2", "build"), ("p3", "hand-off"), ("p4", "in no known phase")];
    let measured = [("pp", "predicted"), ("pf", "failed"), ("pw", "waiting for a machine")];
    for (class, text) in measured.iter().filter(|_| run).chain(&phases) {
        write!(out, "<span><i class=\"{class}\"></i>{text}</span>")?;
    }
    out.write_str(
        "<span><b>◆</b> critical path</span></div><div class=\"box\" id=\"lines\" tabindex=\"0\" role=\"group\" aria-label=\"Time line of jobs. Arrow keys, Home \
         and End choose a job, Enter shows its derivations. The table of all jobs has the same figures.\"><div id=\"canvas\"><svg id=\"axis\" \
         aria-hidden=\"true\"></svg><div id=\"labels\" aria-hidden=\"true\"></div><svg id=\"bars\" aria-hidden=\"true\"></svg></div></div><div id=\"job\"></div>",
    )
}

fn graph(pipeline: &Pipeline, out: &mut String) -> fmt::Result {
    out.write_str("<h2 id=\"graph\">Graph</h2><div class=\"tools\" role=\"group\" aria-label=\"jobs in the graph\">")?;
    let mut views: Vec<(&str, String)> = Vec::new();
    if pipeline.verdict() == Verdict::Failed {
        views.push(("failed", "Failed, and stopped by it".to_owned()));
    }
    views.push(("critical", "Critical path".to_owned()));
    views.push(("focus", "Around the chosen job".to_owned()));
    views.push(("whole", format!("All {}", number(pipeline.jobs.len() as u64))));
    choice(out, "view", &views)?;
    out.write_str(
        "<label>steps <select id=\"steps\"><option value=\"0\">as many as fit</option><option>1</option><option>2</option><option>3</option>\
         <option value=\"9999\">all</option></select></label><button type=\"button\" id=\"in\" aria-label=\"zoom in\">+</button>\
         <button type=\"button\" id=\"out\" aria-label=\"zoom out\">−</button><button type=\"button\" id=\"fit\">Fit</button>\
         <span class=\"dim\" id=\"drawn\"></span></div><div class=\"box\" id=\"plot\" tabindex=\"0\" role=\"group\" aria-label=\"Graph of jobs. Plus and minus zoom, \
         Alt and arrow keys choose a neighbour of the chosen job, Enter draws its surroundings.\"><svg id=\"picture\" aria-hidden=\"true\"></svg></div>",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_script_means_the_same() {
        let script = "// a\n  const a = 'x = \u{3b1}' + b // c\n\nif (a) return [ 1, 'y' ]\n";
        assert_eq!(compact(script), "const a='x = \u{3b1}'+b//c\nif(a)return[1,'y']");
        assert!(!["+ +", "- -", "\"", "\\'", "`"].iter().any(|signs| SCRIPTS.contains(signs)));
    }

    #[test]
    fn the_script_makes_no_markup_of_texts() {
        let script = compact(SCRIPTS);
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "javascript:",
            "fetch(",
            "import(",
        ] {
            assert!(!script.contains(word), "{word}");
        }
        let texts = script.replace("'http://www.w3.org/2000/svg'", "");
        assert!(!texts.contains("//") && !texts.contains("/*"), "comments have lines of their own");
        assert!(!STYLE.contains("url(") || STYLE.matches("url(").count() == STYLE.matches("url(#").count());
        assert!(script.len() <= 26_000 && STYLE.len() <= 9_000, "{} and {} bytes", script.len(), STYLE.len());
    }
}
