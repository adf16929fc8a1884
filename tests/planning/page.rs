//! Pages: what a plan and its records say is what a browser shows, whoever has written them.

use std::path::{Path, PathBuf};

use nixdag::build::closure_record::{ClosureRecord, ClosureSize};
use nixdag::build::record::Record;
use nixdag::build::report::Report;
use nixdag::closure::difference::PackageChange;
use nixdag::page::{comment, gather, write};
use nixdag::plan::change::{Change, RootCause};
use nixdag::plan::{Base, EvaluationError, Plan, SkipReason, Skipped, json};
use nixdag::view::markdown;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::Browser;
use crate::support::circleci_schema;
use crate::support::hostile;
use crate::support::nixdag;
use crate::support::recorded::Recorded;

/// Seconds since 1970 at which the pipeline began.
const BEGAN: u64 = 1_790_000_000;

/// A chain `a`, `b`, `c`, `d`, and `e` beside it: a job each, and a final job.
fn recorded() -> Recorded {
    Recorded::of(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"]), ("e", &[])])
        .settings("final:\n  - name: tell\n    run: echo done\n")
}

fn plan_of(recorded: &Recorded) -> Value {
    recorded.plan(&["--available", "/dev/null", "--provider", "circleci"])
}

/// A record of a job: when it began after the pipeline, and its phases start-up, import, fetch, build, hand-off, all in seconds.
fn record(job: &Value, after: f64, phases: [f64; 5], derivations: &[Value]) -> Value {
    let whole: f64 = phases[1..].iter().sum();
    json!({
        "version": 1, "job": job["id"], "name": job["name"], "system": "x86_64-linux", "nix": "2.34.0",
        "started": BEGAN + (after + phases[0]) as u64, "seconds": whole + 0.5, "verdict": "success", "errors": [],
        "derivations": derivations, "missing": [], "damaged": [], "fetched": 0,
        "handed_off": { "paths": 1, "kept": 0, "nar_bytes": 10, "file_bytes": 5 },
        "measured": { "start_up_seconds": phases[0], "import_seconds": phases[1], "fetch_seconds": phases[2],
            "build_seconds": phases[3], "handoff_seconds": phases[4] },
    })
}

fn derivation(path: &Value, outcome: &str, begun: f64, seconds: f64) -> Value {
    json!({
        "derivation": path, "name": "x", "system": "x86_64-linux", "role": "owned", "outcome": outcome, "seconds": seconds,
        "message": null, "log": null, "begun": begun, "slot": 0, "nar_bytes": 4_096,
    })
}

/// A run in which `a` passes at the second attempt, `b` is retried, `c` fails, `d` never starts, and `e` builds `a` once more.
fn run(plan: &Value) -> Vec<Value> {
    let jobs = plan["jobs"].as_array().unwrap();
    let job = |name: &str| jobs.iter().find(|job| job["id"].as_str().unwrap().ends_with(name)).unwrap();
    let path = |name: &str| job(name)["derivations"][0].clone();
    let mut first =
        record(job("a"), 0.0, [20.0, 1.0, 2.0, 30.0, 3.0], &[derivation(&path("a"), "not-built", 3.0, 0.0)]);
    first["verdict"] = "cancelled".into();
    let mut retried = derivation(&path("b"), "built", 5.0, 40.0);
    retried["retried"] = json!(["network"]);
    let mut failed = derivation(&path("c"), "failed", 4.0, 9.0);
    failed["message"] = "builder failed with exit code 1".into();
    failed["log"] = "test 1 ok\ntest 2 <failed>".into();
    failed["class"] = "builder".into();
    let mut broken = record(job("c"), 300.0, [22.0, 2.0, 1.0, 12.0, 0.0], &[failed]);
    broken["verdict"] = "failure".into();
    let mut twice = derivation(&path("a"), "built", 1.0, 5.0);
    twice["role"] = "other".into();
    let mut last =
        record(job("e"), 5.0, [20.0, 1.0, 0.0, 17.0, 2.0], &[derivation(&path("e"), "built", 2.0, 11.0), twice]);
    last["closures"] = json!([{
        "target": "e", "before": { "bytes": null, "unknown": "nobody has it" }, "after": { "bytes": 4_096, "unknown": null },
        "packages": [{ "name": "lib", "before": ["1"], "after": [], "bytes": -9_000 }], "more_packages": 2,
    }]);
    vec![
        first,
        record(job("a"), 70.0, [21.0, 1.0, 2.0, 33.0, 3.0], &[derivation(&path("a"), "built", 3.0, 33.0)]),
        record(job("b"), 200.0, [20.0, 3.0, 2.0, 45.0, 4.0], &[retried]),
        broken,
        last,
    ]
}

/// Writes the page of a run, through the command line; gives its file, the plan and the records.
fn page_of_run(folder: &Path) -> (PathBuf, Value, Vec<Value>) {
    let plan = plan_of(&recorded());
    let records = run(&plan);
    std::fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    for (number, record) in records.iter().enumerate() {
        let dir = folder.join(format!("records/{number}"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("report.json"), record.to_string()).unwrap();
    }
    let page = folder.join("page.html");
    let mut command = nixdag();
    command.current_dir(folder).args([
        "report",
        "--format",
        "html",
        "--plan",
        "plan.json",
        "-o",
        "page.html",
        "records",
    ]);
    command.assert().code(1);
    (page, plan, records)
}

/// Each rectangle of each row: class, start and length in seconds.
const BARS: &str = "(() => { document.querySelector('[data-rows=all]').click()
    const perSecond = scale(), left = labelWidth()
    return [...document.querySelectorAll('#bars g[data-job]')].map(row => [jobs.id[row.dataset.job], [...row.querySelectorAll('rect')].map(bar =>
        [bar.getAttribute('class'), (bar.getAttribute('x') - left) / perSecond, bar.getAttribute('width') / perSecond])]) })()";

/// The bars that a job's row should have, from its plan and its records.
fn expected(plan: &Value, records: &[Value], id: &str) -> Vec<(String, f64, f64)> {
    let mut bars = Vec::new();
    let number = |value: &Value| value.as_f64().unwrap();
    let planned = plan["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id);
    if let Some(job) = planned {
        bars.push(("pp".to_owned(), number(&job["predicted"]["start_seconds"]), number(&job["estimate"]["seconds"])));
    }
    let runs: Vec<&Value> = records.iter().filter(|record| record["job"] == id).collect();
    let start = |run: &Value| number(&run["started"]) - number(&run["measured"]["start_up_seconds"]) - BEGAN as f64;
    let length = |run: &Value| number(&run["seconds"]) + number(&run["measured"]["start_up_seconds"]);
    let Some((last, earlier)) = runs.split_last() else { return bars };
    bars.extend(earlier.iter().map(|run| ("pe".to_owned(), start(run), length(run))));
    let requires = planned.map(|job| job["requires"].as_array().unwrap().clone()).unwrap_or_default();
    let ends = requires.iter().map(|job| {
        let run = records.iter().rfind(|record| record["job"] == *job).unwrap();
        start(run) + length(run)
    });
    let waited = start(last) - ends.fold(0.0, f64::max);
    if waited >= 1.0 {
        bars.push(("pw".to_owned(), start(last) - waited, waited));
    }
    let measured = |key: &str| number(&last["measured"][key]);
    let build = if last["verdict"] == "failure" { "pf" } else { "p2" };
    let mut at = start(last);
    for (class, seconds) in [
        ("p0", measured("start_up_seconds")),
        ("p1", measured("import_seconds") + measured("fetch_seconds")),
        (build, measured("build_seconds")),
        ("p3", measured("handoff_seconds")),
        ("p4", 0.5),
    ] {
        if seconds > 0.0 {
            bars.push((class.to_owned(), at, seconds));
        }
        at += seconds;
    }
    bars
}

#[test]
fn a_page_of_a_run_has_every_bar_its_failure_and_its_keys() {
    let folder = TempDir::new().unwrap();
    let (page, plan, records) = page_of_run(folder.path());
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&page, 1280, "light", "");
    let shown = browser.evaluate(BARS);
    let mut bars = 0;
    assert_eq!(shown.as_array().unwrap().len(), 6, "{shown}");
    for row in shown.as_array().unwrap() {
        let id = row[0].as_str().unwrap();
        let drawn: Vec<&Value> = row[1].as_array().unwrap().iter().filter(|bar| bar[0] != "pi").collect();
        let wanted = expected(&plan, &records, id);
        assert_eq!(drawn.len(), wanted.len(), "{id}: {drawn:?} {wanted:?}");
        for (drawn, (class, start, length)) in drawn.iter().zip(&wanted) {
            let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 0.35;
            assert!(drawn[0] == **class && near(&drawn[1], *start), "{id}: {drawn} is not {class} {start} {length}");
            // What is shorter than a pixel is drawn a pixel wide.
            assert!(near(&drawn[2], *length) || *length < 1.0, "{id}: {drawn} is not {class} {start} {length}");
            bars += 1;
        }
    }
    assert_eq!(bars, 29);

    // Keyboard alone: the time line, a job, its derivations; the chosen job is said and is the address.
    browser.evaluate("byId('lines').focus()");
    for key in ["Home", "ArrowDown", "Enter"] {
        browser.press(key);
    }
    browser.evaluate("derivations().then(() => new Promise(requestAnimationFrame))");
    let said = browser.evaluate("byId('said').textContent").as_str().unwrap().to_owned();
    assert!(said.contains("passed, ") && said.contains(", predicted "), "{said}");
    assert!(browser.evaluate("document.querySelectorAll('#bars > rect[data-drv]').length").as_u64().unwrap() >= 1);
    let address = browser.evaluate("location.hash").as_str().unwrap().to_owned();
    assert!(address.starts_with("#job="), "{address}");
    browser.press("/");
    for key in ["d", "Enter"] {
        browser.press(key);
        browser.evaluate("new Promise(requestAnimationFrame)");
    }
    let chosen = browser.evaluate("jobs.state[chosen]");
    assert!(chosen.as_str().unwrap().starts_with("not run"), "{chosen}");

    // At every width and in both schemes nothing is wider than the page, and every text can be read.
    for (width, scheme) in [(380, "light"), (1280, "dark"), (2560, "light")] {
        browser.open(&page, width, scheme, "#job=no-such-job");
        browser.evaluate("byId('jobs').open = true");
        let wider = browser.evaluate("document.documentElement.scrollWidth - innerWidth").as_i64().unwrap();
        assert!(wider <= 0, "{width}: {wider} pixels too wide");
        let least = browser.evaluate(CONTRAST);
        assert!(least[0].as_f64().unwrap() >= 4.5, "{width} {scheme}: {least}");
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// The least contrast of a text in the page with what is behind it, and that text.
const CONTRAST: &str = "(() => {
    const channels = text => (text.match(/[\\d.]+/g) ?? []).map(Number)
    const light = color => { const [r, g, b] = channels(color).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }
    const behind = element => {
        const node = element.closest('.node'), drv = element.matches('.in')
        if (node) return getComputedStyle(node.querySelector('.o')).fill
        if (drv) return getComputedStyle(document.querySelector('rect.p2')).fill
        for (let at = element; at; at = at.parentElement) { const color = getComputedStyle(at).backgroundColor; if (!(at instanceof SVGElement) && channels(color)[3] !== 0) return color }
        return 'rgb(255,255,255)'
    }
    let least = [99, '']
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some(child => child.nodeType === 3 && child.data.trim())
        if (!own || ['SCRIPT', 'NOSCRIPT', 'title', 'OPTION'].includes(element.tagName) || !element.getClientRects().length || element.closest('.unseen')) continue
        const style = getComputedStyle(element), a = light(element instanceof SVGElement ? style.fill : style.color), b = light(behind(element))
        const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
        if (contrast < least[0]) least = [contrast, element.tagName + ' ' + element.textContent.slice(0, 40)]
    }
    return least })()";

#[test]
fn what_needs_no_script_is_there_without_one_and_what_is_not_known_says_why() {
    let folder = TempDir::new().unwrap();
    let (page, ..) = page_of_run(folder.path());
    let text = std::fs::read_to_string(&page).unwrap().replace(['\u{a0}', '\u{202f}'], " ");
    let shown = text.split_once("<script").unwrap().0;
    for part in [
        "<h1><span class=\"sign\" aria-hidden=\"true\">✕</span><span class=\"unseen\">failed: </span>1 derivation failed: 2 of 5 targets are missing</h1>",
        "test 2 &#60;failed&#62;",
        "its build failed after 9 s</small>",
        "<summary>2 jobs behind it did not run, 2 targets are missing</summary>",
        "<span class=\"bad\">1 in two jobs by accident</span>",
        " ran 2 times.",
        "tried again 1 time.",
        "The last job ended at the end of a chain of 3 jobs, each of which waited for the one before it.",
        "<b>measured</b>",
        "one job per target, in no order (a matrix)",
        "<td class=\"r\">unknown, because nobody has it</td>",
        "- lib 1</bdi>, 2 more</td>",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let alone = nixdag().current_dir(folder.path()).args(["report", "--format", "html", "records"]).assert().code(1);
    let alone = String::from_utf8(alone.get_output().stdout.clone()).unwrap();
    for part in
        ["prediction unknown, because there is no plan", "<b>unknown</b> <span class=\"dim\">because there is no plan"]
    {
        assert!(alone.contains(part), "{part}");
    }
    let planned =
        nixdag().current_dir(folder.path()).args(["report", "--format", "html", "--plan", "plan.json"]).assert();
    let planned = String::from_utf8(planned.success().get_output().stdout.clone()).unwrap();
    assert!(planned.contains("<h2 id=\"time\">Where the time will go</h2>") && !planned.contains("measured</th>"));
}

#[test]
fn times_say_that_the_start_of_machines_was_not_measured() {
    let folder = TempDir::new().unwrap();
    let (page, plan, mut records) = page_of_run(folder.path());
    let words = "without the start-up of machines";
    assert!(!std::fs::read_to_string(&page).unwrap().contains(words));
    for (number, record) in records.iter_mut().enumerate() {
        record["measured"].as_object_mut().unwrap().remove("start_up_seconds");
        std::fs::write(folder.path().join(format!("records/{number}/report.json")), record.to_string()).unwrap();
    }
    let mut report = nixdag();
    report.current_dir(folder.path()).args(["report", "--format", "html", "--plan", "plan.json", "records"]);
    let page = String::from_utf8(report.output().unwrap().stdout).unwrap();
    // Of the wall time and of the machine time.
    assert_eq!(page.matches(words).count(), 2, "{page}");
    let plan = json::read(plan.to_string().as_bytes()).unwrap();
    let records: Vec<Record> =
        records.iter().map(|record| Record::parse(record.to_string().as_bytes(), "record").unwrap()).collect();
    let mut comment = Vec::new();
    comment::write(&gather::pipeline(Some(&plan), &records), None, &mut comment).unwrap();
    let comment = String::from_utf8(comment).unwrap();
    assert!(comment.contains(&format!("** {words} (predicted ")), "{comment}");
}

/// What breaks pages in particular, beside what breaks everything else.
const FOR_PAGES: [&str; 20] = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "-->",
    "]]>",
    "<img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)>",
    "'onmouseover='alert(1)",
    "`${alert(1)}`",
    "</style><style>*{display:none}",
    "</title><script>alert(1)</script>",
    "</pre></div></main>",
    "&lt;script&gt;alert(1)",
    "\\u003c/script\\u003e",
    "javascript:alert(1)",
    "#job=x",
    "__proto__",
    "constructor",
    "\u{202e}gpj.exe",
    "\u{e0041}\u{61c}tag",
    "%00%3Cscript%3E",
];

/// A plan and records with a hostile text in every field of text.
fn hostile_pipeline() -> (Plan, Vec<Record>) {
    let mut texts: Vec<String> = FOR_PAGES.map(str::to_owned).to_vec();
    texts.extend(hostile::texts().into_iter().step_by(7).take(30));
    texts.push("z".repeat(9_000));
    let recorded = recorded();
    let mut plan = json::read(plan_of(&recorded).to_string().as_bytes()).unwrap();
    let job = plan.jobs[0].clone();
    let attribute = |text: &str| ["packages", text].into_iter().collect();
    plan.jobs.truncate(0);
    plan.final_jobs.truncate(0);
    let mut records = Vec::new();
    let mut record: Record = serde_json::from_value(run(&plan_of(&recorded)).swap_remove(3)).unwrap();
    let mut change = Change::default();
    for (number, text) in texts.iter().enumerate() {
        let mut job = job.clone();
        (job.id, job.name, job.system) = (format!("{text}{number}"), format!("{text}{number}"), text.clone());
        job.targets = vec![attribute(text)];
        job.resource_class = Some(text.clone());
        job.derivations = vec![text.as_str().into()];
        plan.jobs.push(job);
        plan.errors.push(EvaluationError {
            target: attribute(text),
            message: format!("{text}\n{text}"),
            new: Some(true),
        });
        let skipped = |reason| Skipped { target: attribute(text), derivation: None, reason, place: Some(text.clone()) };
        plan.skipped.extend([SkipReason::Available, SkipReason::NoExecutor].map(skipped));
        (record.job, record.name, record.errors) = (format!("{text}{number}"), text.clone(), vec![text.clone()]);
        let drv = &mut record.derivations[0];
        (drv.derivation, drv.name) = (text.clone(), text.clone());
        (drv.message, drv.log) = (Some(text.clone()), Some(text.clone()));
        (drv.names.attributes, drv.names.reproduce) = (vec![text.clone()], Some(text.clone()));
        let of_package =
            PackageChange { name: text.clone(), before: vec![text.clone()], after: vec![text.clone()], bytes: -9_999 };
        let sizes = (ClosureSize::unknown(text), ClosureSize { bytes: Some(number as u64), unknown: None });
        record.closures = vec![ClosureRecord::new(text.clone(), sizes, Some(vec![of_package]))];
        let lists = [&mut change.new, &mut change.gone, &mut change.newly_failing, &mut change.still_failing];
        lists.into_iter().for_each(|list| list.push(attribute(text)));
        change.causes.push(RootCause {
            name: text.clone(),
            base_name: Some(text.clone()).filter(|_| number % 2 == 0),
            what: vec![text.clone()],
            targets: number as u64,
        });
        records.push(record.clone());
    }
    plan.base = Some(Base { revision: Some(texts.concat()), ignored_changes: None });
    plan.change = Some(change);
    (plan, records)
}

/// A line of Markdown without its code: what is left is markup, or text that may become some.
fn without_code(line: &str) -> String {
    let mut left = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let run = rest[start..].chars().take_while(|c| *c == '`').count();
        left.push_str(&rest[..start]);
        let inside = &rest[start + run..];
        let mut ends = inside.match_indices('`').map(|(at, _)| at);
        let is_end = |at: &usize| {
            let length = inside[*at..].chars().take_while(|c| *c == '`').count();
            length == run && !inside[..*at].ends_with('`')
        };
        let end = ends.find(is_end).unwrap_or_else(|| panic!("code without an end: {line}"));
        rest = &inside[end + run..];
    }
    left + rest
}

#[test]
fn hostile_texts_in_every_field_are_code_in_the_comment_and_values_in_json() {
    let (plan, records) = hostile_pipeline();
    // Each text is among the few that a comment shows once.
    let mut shown = 0;
    for at in 0..records.len() {
        let mut turned = records.clone();
        turned.rotate_left(at);
        turned.truncate(1);
        let mut plan = plan.clone();
        plan.change.as_mut().unwrap().causes.rotate_left(at);
        let mut comment = Vec::new();
        comment::write(&gather::pipeline(Some(&plan), &turned), Some("https://ci.example/page"), &mut comment).unwrap();
        let comment = String::from_utf8(comment).unwrap();
        assert!(comment.lines().count() <= comment::MOST_LINES && comment.starts_with(comment::MARK), "{comment}");
        let mut fence: Option<String> = None;
        for line in comment.lines().skip(1) {
            let run: String = line.chars().take_while(|c| *c == '`').collect();
            match &fence {
                Some(open) if run.len() >= open.len() && line == run => fence = None,
                Some(_) => {}
                None if run.len() >= 3 && line.ends_with("text") => fence = Some(run),
                None => {
                    let left = without_code(line).replace("](https://ci.example/page", "");
                    let left = left.replacen("[the whole page)", "", 1).replacen("[time line#job=", "", 1);
                    let left = left.replace('%', "");
                    assert!(!left.contains(['<', '>', '[', '@', '\\', '&', '_', '~', '!']), "{left:?} of {line:?}");
                    shown += 1;
                }
            }
        }
        assert!(fence.is_none(), "{comment}");
    }
    assert!(shown > 10 * records.len());
    let report = serde_json::to_string(&Report::new(records.clone())).unwrap();
    let read: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(read["closures"].as_array().unwrap().len(), records.len());
    let mut summary = Vec::new();
    markdown::write(None, Some((&Report::new(records), "2 jobs passed")), &mut summary).unwrap();
    let summary = String::from_utf8(summary).unwrap();
    for line in summary.lines() {
        let left = ["<br>", "<pre>", "</pre>"].iter().fold(line.to_owned(), |line, tag| line.replace(tag, ""));
        assert!(!left.contains(['<', '>', '[', '@', '`', '\u{202e}', '\u{1b}']), "{line}");
    }
}

#[test]
fn hostile_texts_in_every_field_stay_text() {
    let (plan, records) = hostile_pipeline();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("hostile.html");
    let mut page = Vec::new();
    write(&gather::pipeline(Some(&plan), &records), &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains(['\u{202e}', '\u{61c}', '\u{e0041}', '\u{1b}', '\u{0}']));
    assert_eq!(page.matches("<script").count(), 3);
    // With the page's policy and without it, and with one raw text as control.
    let (start, rest) = page.split_once("<meta http-equiv").unwrap();
    let open = format!("{start}{}", rest.split_once('>').unwrap().1);
    let control = open.replacen("<main>", "<main><img src=x onerror=alert(1)>", 1);
    let Some(mut browser) = Browser::start() else { return };
    for (text, is_control) in [(&page, false), (&open, false), (&control, true)] {
        std::fs::write(&file, text).unwrap();
        browser.open(&file, 1280, "light", "");
        browser.evaluate(
            "byId('jobs').open = true; document.querySelector('[data-rows=all]').click(); show('whole'); choose(3, 'found'); \
             derivations().then(() => { byId('find').value = '</scr'; return search() })",
        );
        let foreign = "document.querySelectorAll('img,iframe,object,embed,[onload],[onerror],[onmouseover],[style*=display]').length";
        assert_eq!(browser.evaluate(foreign).as_u64().unwrap() > 0, is_control);
        if !is_control {
            assert_eq!(browser.complaints, Vec::<String>::new());
            assert_eq!(browser.evaluate("document.scripts.length"), 3);
            assert_eq!(browser.evaluate("getComputedStyle(document.querySelector('h1')).display"), "block");
            let wider = browser.evaluate("document.documentElement.scrollWidth - innerWidth").as_i64().unwrap();
            assert!(wider <= 0, "{wider} pixels too wide");
            assert!(browser.evaluate("document.querySelectorAll('#found li').length").as_u64().unwrap() > 1);
        }
    }
    assert!(browser.complaints.iter().any(|complaint| complaint.starts_with("dialog")), "{:?}", browser.complaints);
}

#[test]
fn programs_get_a_report_of_its_schema_a_trace_and_spans() {
    let folder = TempDir::new().unwrap();
    let (_, _, records) = page_of_run(folder.path());
    let said = |arguments: &[&str], code: i32| {
        let output = nixdag().current_dir(folder.path()).args(arguments).assert().code(code);
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    std::fs::write(folder.path().join("schema.json"), said(&["schema", "report"], 0)).unwrap();
    std::fs::write(folder.path().join("report.json"), said(&["report", "--format", "json", "records"], 1)).unwrap();
    std::fs::write(
        folder.path().join("other.json"),
        said(&["report", "--format", "json", "records"], 1).replace("\"builder\"", "7"),
    )
    .unwrap();
    for (file, is_valid) in [("report.json", true), ("other.json", false)] {
        let mut check = circleci_schema::check_jsonschema();
        check.current_dir(folder.path()).args(["--schemafile", "schema.json", file]);
        assert_eq!(check.output().unwrap().status.success(), is_valid, "{file}");
    }

    let trace: Value =
        serde_json::from_str(&said(&["report", "--format", "trace", "--plan", "plan.json", "records"], 1)).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let whole: Vec<&Value> =
        events.iter().filter(|event| event["ph"] == "X" && !event["args"]["state"].is_null()).collect();
    assert_eq!(whole.len(), records.len());
    for record in &records {
        let start_up = record["measured"]["start_up_seconds"].as_f64().unwrap();
        let start = record["started"].as_f64().unwrap() - start_up - BEGAN as f64;
        let length = record["seconds"].as_f64().unwrap() + start_up;
        let is_it =
            |event: &&&Value| event["args"]["job"] == record["job"] && event["ts"] == (start * 1e6).round() as u64;
        let event = whole.iter().find(is_it).unwrap_or_else(|| panic!("{record}: {whole:?}"));
        assert_eq!(event["dur"], (length * 1e6).round() as u64);
    }

    let lines = said(&["report", "--format", "otlp", "--plan", "plan.json", "records"], 1);
    assert_eq!(lines.lines().count(), records.len() + 1);
    let spans: Vec<Value> = lines
        .lines()
        .flat_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        })
        .collect();
    let ids: std::collections::BTreeSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), spans.len(), "every span has an id of its own");
    for span in &spans {
        let parent = span["parentSpanId"].as_str().unwrap();
        assert!(
            parent.is_empty() == (span["name"] == "pipeline") && (parent.is_empty() || ids.contains(parent)),
            "{span}"
        );
        let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(
            nanos("startTimeUnixNano") >= BEGAN * 1_000_000_000
                && nanos("endTimeUnixNano") >= nanos("startTimeUnixNano")
        );
        assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
    }
    let refused =
        nixdag().current_dir(folder.path()).args(["report", "--format", "trace", "--plan", "plan.json"]).assert();
    refused.code(2).stdout("");
}

#[test]
fn a_job_of_the_plan_without_a_record_is_not_green() {
    let folder = TempDir::new().unwrap();
    let (_, plan, _) = page_of_run(folder.path());
    let ids: Vec<&str> = plan["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    let passed = |names: &[&str]| {
        let records = TempDir::new().unwrap();
        for job in plan["jobs"].as_array().unwrap().iter().chain(plan["final"].as_array().unwrap()) {
            let id = job["id"].as_str().unwrap();
            if names.contains(&id) {
                let built: Vec<Value> = job["derivations"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|drv| derivation(drv, "built", 1.0, 2.0))
                    .collect();
                std::fs::create_dir(records.path().join(id)).unwrap();
                let text = record(job, 0.0, [1.0, 1.0, 1.0, 2.0, 0.0], &built).to_string();
                std::fs::write(records.path().join(id).join("report.json"), text).unwrap();
            }
        }
        let mut command = nixdag();
        command
            .current_dir(folder.path())
            .args(["report", "--format", "html", "--plan", "plan.json"])
            .arg(records.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap().replace(['\u{a0}', '\u{202f}'], " "))
    };
    let mut all = ids.clone();
    all.push("tell");
    let (code, page) = passed(&all);
    assert!(
        code == Some(0)
            && page.contains("<header class=\"passed\">")
            && page.contains("All 5 targets are accounted for"),
        "{page}"
    );
    let (code, page) = passed(&all[1..]);
    assert!(code == Some(1) && page.contains("<header class=\"incomplete\">"), "{page}");
    assert!(page.contains("Unknown: 1 job left no record"), "{page}");
}

#[test]
fn a_final_job_without_a_record_is_named_and_nothing_is_called_passed() {
    let folder = TempDir::new().unwrap();
    let plan = plan_of(&recorded());
    std::fs::write(folder.path().join("plan.json"), plan.to_string()).unwrap();
    let leave = |job: &Value| {
        let built: Vec<Value> =
            job["derivations"].as_array().unwrap().iter().map(|drv| derivation(drv, "built", 1.0, 2.0)).collect();
        let dir = folder.path().join("records").join(job["id"].as_str().unwrap());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("report.json"), record(job, 0.0, [1.0; 5], &built).to_string()).unwrap();
    };
    plan["jobs"].as_array().unwrap().iter().for_each(leave);
    let report = || {
        let mut command = nixdag();
        command.current_dir(folder.path()).args(["report", "--format", "html", "--plan", "plan.json", "records"]);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(['\u{a0}', '\u{202f}'], " ");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, page, said) = report();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 job of the plan left no record and may not have run: `tell`"), "{said}");
    assert!(page.contains("<header class=\"incomplete\">"), "{page}");
    assert!(page.contains("Unknown: 1 job left no record, so nobody can say whether tell ran"), "{page}");
    leave(&plan["final"][0]);
    let (code, page, said) = report();
    assert_eq!((code, said.as_str()), (Some(0), ""), "{page}");
    assert!(page.contains("begun: how its command ended is not recorded"), "{page}");
    // Its CI says it to nixdag.
    let results = folder.path().join("records").join(plan["final"][0]["id"].as_str().unwrap());
    let ended =
        |how: &str| nixdag().args(["build", "--command-ended", how, "--results"]).arg(&results).assert().success();
    ended("success");
    let (code, page, said) = report();
    assert_eq!((code, said.as_str()), (Some(0), ""), "{page}");
    assert!(!page.contains("how its command ended is not recorded"), "{page}");
    ended("failure");
    let (code, page, _) = report();
    assert!(code == Some(1) && page.contains("command failed"), "{page}");
    // What could not be restored is the failure that counts.
    ended("success");
    assert_eq!(report().0, Some(1));
}

#[test]
fn a_report_ends_with_the_verdict_and_a_file_is_named_with_it() {
    let folder = TempDir::new().unwrap();
    page_of_run(folder.path());
    let report = |arguments: &[&str]| {
        let assert = nixdag().current_dir(folder.path()).arg("report").args(arguments).assert().code(1);
        let output = assert.get_output();
        (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
    };
    let (text, _) = report(&["records"]);
    let alone = text.lines().last().unwrap();
    assert!(alone.contains("failed"), "{text}");
    // The plan knows more targets than the records.
    let (text, _) = report(&["--plan", "plan.json", "records"]);
    let with_plan = text.lines().last().unwrap();
    assert!(
        with_plan.contains("failed: ")
            && with_plan.contains("targets are missing") | with_plan.contains(" of 5 targets"),
        "{text}"
    );
    for file in ["r.html", "r.json", "r.txt", "r.md"] {
        let (text, said) = report(&["-o", file, "records"]);
        assert_eq!(
            (text.as_str(), said.lines().last()),
            ("", Some(format!("wrote `{file}`: {alone}").as_str())),
            "{said}"
        );
    }
    std::fs::create_dir(folder.path().join("records/broken")).unwrap();
    std::fs::write(folder.path().join("records/broken/report.json"), "{").unwrap();
    let (text, _) = report(&["records"]);
    assert_eq!(text.lines().last(), Some(format!("{alone}; 1 record cannot be read").as_str()));
    let quiet = nixdag().current_dir(folder.path()).args(["-q", "report", "-o", "r.md", "records"]).assert().code(1);
    quiet.stderr("");
}

#[test]
fn a_report_fits_the_terminal() {
    let folder = TempDir::new().unwrap();
    page_of_run(folder.path());
    let shown = |columns: &str| {
        let mut report = nixdag();
        report.current_dir(folder.path()).args(["report", "records"]).env("COLUMNS", columns);
        String::from_utf8(report.output().unwrap().stdout).unwrap()
    };
    let (wide, narrow) = (shown(""), shown("60"));
    assert!(wide.lines().any(|line| line.chars().count() > 60), "{wide}");
    let fits = |line: &str| line.chars().count() <= 60 || !line.trim_start().contains(' ');
    assert!(narrow.lines().all(fits), "{narrow}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&narrow), words(&wide), "nothing is cut");
}
