//! Attributes that do not evaluate: what they cost, and that each is told apart from the others.

use std::fs;
use std::path::Path;
use std::process::Command;

use nixdag::nix::command::{Nix, Version};
use nixdag::nix::evaluate::{Evaluation, EvaluationRequest, evaluate};
use nixdag::nix::system;
use nixdag::pattern::Pattern;
use nixdag::plan::evaluation_errors;

use crate::support::{commit, folder, golden, run, with_every_nix};

/// A flake with these outputs, in which `many COUNT VALUE` are attributes `p0` … with the values of a function.
pub fn flake(outputs: &str) -> tempfile::TempDir {
    let text = r#"{ outputs = { self }: let
        mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; };
        many = count: value: builtins.listToAttrs (builtins.genList (n: { name = "p${toString n}"; value = value n; }) count);
      in { OUTPUTS }; }"#;
    folder(&[("flake.nix", &text.replace("OUTPUTS", outputs).replace("SYSTEM", &system::current()))])
}

/// Evaluates what these patterns select, short forms as settings take them.
pub fn ask(flake: &tempfile::TempDir, select: &[&str]) -> Evaluation {
    let select = select.iter().map(|text| Pattern::parse(text).unwrap().to_derivations()).collect();
    let flake = format!("path:{}", flake.path().display());
    evaluate(&Nix::find().unwrap(), &EvaluationRequest { flake, select, ..EvaluationRequest::default() }, &|_| {})
        .unwrap()
}

/// Puts a `nix` first on PATH that notes each call and goes on to the real one; gives the file with the notes.
fn noting_calls(recorder: &tempfile::TempDir) -> std::path::PathBuf {
    let record = recorder.path().join("calls");
    let real = run(recorder.path(), "sh", &["-c", "command -v nix"]);
    let script = format!("#!/bin/sh\necho \"$3 $4\" >> '{}'\nexec '{real}' \"$@\"\n", record.display());
    fs::write(recorder.path().join("nix"), script).unwrap();
    run(recorder.path(), "chmod", &["+x", "nix"]);
    let path = format!("{}:{}", recorder.path().display(), std::env::var("PATH").unwrap());
    // SAFETY: the test runs alone in its process.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("PATH", path);
    }
    record
}

#[test]
fn failures_of_any_kind_share_a_few_processes() {
    with_every_nix("failures_of_any_kind_share_a_few_processes", || {
        let recorder = folder(&[]);
        let record = noting_calls(&recorder);
        let mut all = String::new();
        // What fails, and whether its message has the number.
        for (fails, tells) in [
            (r#"throw "number ${toString n}""#, true),
            (r#"(mk "x").${"number ${toString n}"}"#, true),
            (r#"assert n == 500; mk "x""#, false),
        ] {
            fs::write(&record, "").unwrap();
            let value =
                format!(r#"packages.SYSTEM = many 210 (n: if n < 10 then mk "p${{toString n}}" else {fails});"#);
            let evaluation = ask(&flake(&value), &[]);
            assert_eq!((evaluation.targets.len(), evaluation.errors.len()), (10, 200), "{fails}");
            let calls = fs::read_to_string(&record).unwrap();
            assert!(calls.lines().count() <= 12, "{fails}: {calls}");
            for error in &evaluation.errors {
                let number = error.attribute.names()[2].replace('p', "number ");
                let message = &error.message;
                assert!(!message.is_empty() && !message.contains("nixdag"), "{message}");
                assert!(message.contains(&number) || !tells, "{message}");
            }
            all.extend(evaluation.targets.iter().map(|target| format!("{} {}\n", target.attribute, target.drv_path)));
        }
        // Nobody's history of `nix repl` holds questions.
        let home = std::env::var("HOME").unwrap();
        assert!(!run(Path::new(&home), "find", &["."]).contains("repl-history"));
        all
    });
}

#[test]
fn progress_counts_each_attribute_once() {
    with_every_nix("progress_counts_each_attribute_once", || {
        let flake = flake(
            r#"packages.SYSTEM = many 70 (n: if n < 9 then mk "p${toString n}" else if n < 10 then mk "odd" // { outputName = "none"; } else if n < 40 then throw "x" else abort "y");"#,
        );
        let request =
            EvaluationRequest { flake: format!("path:{}", flake.path().display()), ..EvaluationRequest::default() };
        let heard = std::sync::Mutex::new(Vec::new());
        evaluate(&Nix::find().unwrap(), &request, &|progress| heard.lock().unwrap().push(*progress)).unwrap();
        let heard = heard.into_inner().unwrap();
        assert!(heard.iter().all(|progress| progress.evaluated <= 9 && progress.failed <= 61), "{heard:?}");
        let last = heard.last().unwrap();
        assert_eq!((last.evaluated, last.failed, last.left), (9, 61, 0));
        String::new()
    });
}

#[test]
fn one_process_lists_a_few_attributes_and_evaluates_them() {
    with_every_nix("one_process_lists_a_few_attributes_and_evaluates_them", || {
        let recorder = folder(&[]);
        let record = noting_calls(&recorder);
        let evaluations = |outputs: &str, select: &[&str], found: (usize, usize)| {
            fs::write(&record, "").unwrap();
            let evaluation = ask(&flake(outputs), select);
            assert_eq!((evaluation.targets.len(), evaluation.errors.len()), found, "{outputs}");
            let calls = fs::read_to_string(&record).unwrap();
            assert!(!calls.contains("flake metadata"), "nothing is to be said about a flake without inputs: {calls}");
            let asks = |call: &&str| ["eval ", "repl ", "flake check"].iter().any(|begin| call.starts_with(begin));
            calls.lines().filter(asks).count()
        };
        let few =
            r#"packages.SYSTEM = many 20 (n: mk "p${toString n}"); checks.SYSTEM = many 20 (n: mk "c${toString n}");"#;
        // Its first call makes the store, beside which nothing else runs.
        ask(&flake(few), &[]);
        assert_eq!(evaluations(few, &[], (40, 0)), 1);
        let spoken = r#"packages.SYSTEM.x = mk "x" // { inputs.type = "path:./x"; };"#;
        assert_eq!(evaluations(spoken, &[], (1, 0)), 1, "what is in the code is not an input");
        // What is not selected is not forced, and what is odd is as it is elsewhere.
        let odd = r#"packages.SYSTEM = { a = mk "a"; b = abort "b"; "x.y" = mk "xy"; }; checks.SYSTEM = { recurseForDerivations = 5; one = mk "one"; };
                     legacyPackages.SYSTEM = { set = { x = mk "x"; }; marked = { recurseForDerivations = true; y = mk "y"; }; n = 5; };"#;
        evaluations(odd, &["packages.*.[!b]*", "checks.*.*", "legacyPackages.*.*"], (4, 0));
        // Those that fail are asked once more, for their messages, and those behind one that ends the process.
        let failing = r#"packages.SYSTEM = many 20 (n: if n == 3 then abort "three" else if n == 5 then throw "five" else mk "p${toString n}");"#;
        evaluations(failing, &[], (18, 2));
        let many = r#"packages.SYSTEM = many 251 (n: mk "p${toString n}");"#;
        assert!(evaluations(many, &[], (251, 0)) > 1);
        // Sets that ask to be entered are, in the process that meets them, and one process has the messages of all levels.
        let nested = r#"legacyPackages.SYSTEM = many 260 (n: mk "p${toString n}") // {
            bad = throw "first"; set = { recurseForDerivations = true; x = mk "x"; bad = throw "second"; deeper = { recurseForDerivations = true; y = mk "y"; bad = throw "third"; }; };
          };"#;
        assert!(evaluations(nested, &["legacyPackages.*.*"], (262, 3)) <= 4);
        String::new()
    });
}

#[test]
fn one_process_goes_through_a_package_set_and_says_why_some_of_it_fails() {
    with_every_nix("one_process_goes_through_a_package_set_and_says_why_some_of_it_fails", || {
        let recorder = folder(&[]);
        let record = noting_calls(&recorder);
        let set = r#"legacyPackages.SYSTEM = many 260 (n: mk "p${toString n}") // {
            thrown = throw "first"; aborts = abort "second"; missing = (mk "x").nope; endless = let x = x; in x; n = 5; MORE
            set = { recurseForDerivations = true; a = mk "a"; aborts = abort "third"; thrown = throw "fourth"; z = mk "z";
              inner = { recurseForDerivations = true; b = mk "b"; missing = (mk "x").nope; c = mk "c"; }; };
            large = { recurseForDerivations = true; } // many 300 (n: if n == 7 then abort "fifth" else mk "l${toString n}");
            plain = { hidden = throw "not selected"; };
          };"#;
        let asked = |more: &str| {
            fs::write(&record, "").unwrap();
            let evaluation = ask(&flake(&set.replace("MORE", more)), &["legacyPackages.*.*"]);
            let calls = fs::read_to_string(&record).unwrap();
            let asks = |call: &&str| ["eval ", "repl ", "flake check"].iter().any(|begin| call.starts_with(begin));
            let said: Vec<String> = (evaluation.errors.iter())
                .map(|error| format!("{}: {}", &error.attribute.names()[2..].join("."), error.message))
                .collect();
            assert_eq!(evaluation.targets.len(), 260 + 4 + 299, "{said:#?}");
            (evaluation, said, calls.lines().filter(asks).count())
        };
        let (evaluation, said, processes) = asked("");
        assert_eq!(processes, 2, "one lists the names");
        let reasons = [
            "aborts: ",
            "endless: ",
            "large.p7: ",
            "missing: ",
            "set.aborts: ",
            "set.inner.missing: ",
            "set.thrown: ",
            "thrown: ",
        ];
        assert!(
            said.len() == reasons.len() && said.iter().zip(reasons).all(|(said, reason)| said.starts_with(reason)),
            "{said:#?}"
        );
        let words = ["second", "infinite recursion", "fifth", "nope", "third", "nope", "fourth", "first"];
        assert!(
            said.iter().zip(words).all(|(said, word)| said.contains(word) && said.contains("flake.nix:")),
            "{said:#?}"
        );
        // What ends the process, or all that it is at, hides nothing.
        let (_, said, processes) = asked("deep = let f = n: 1 + f (n + 1); in f 0;");
        assert!(said.len() == 9 && said.iter().any(|said| said.starts_with("deep: ")), "{said:#?}");
        assert!(processes <= 4, "{processes}");
        evaluation.targets.iter().map(|target| format!("{} {}\n", target.attribute, target.drv_path)).collect()
    });
}

#[test]
fn a_process_that_outlives_failures_is_as_pure_as_the_others() {
    with_every_nix("a_process_that_outlives_failures_is_as_pure_as_the_others", || {
        // More than the few deaths after which such processes take over.
        let evaluation = ask(
            &flake(
                r#"packages.SYSTEM = many 40 (n: abort "x") // {
                     home = mk "home-${builtins.getEnv "HOME"}"; system = mk builtins.currentSystem; time = mk (toString builtins.currentTime);
                     file = mk (builtins.readFile "/etc/passwd"); good = mk "good"; url = mk (builtins.fetchTarball "file:///nowhere");
                   };"#,
            ),
            &[],
        );
        let targets: Vec<_> =
            evaluation.targets.iter().map(|target| target.drv_path.split_once('-').unwrap().1).collect();
        assert_eq!(targets, ["good.drv", "home-.drv"]);
        let message = |name: &str| {
            let is = |error: &&nixdag::nix::evaluate::EvalError| error.attribute.names()[2] == name;
            evaluation.errors.iter().find(is).unwrap().message.clone()
        };
        for (name, words) in [
            ("system", "attribute 'currentSystem' missing"),
            ("time", "attribute 'currentTime' missing"),
            ("file", "forbidden in pure eval"),
            ("url", "in pure eval"),
        ] {
            assert!(message(name).contains(words), "{}", message(name));
        }
        format!("{:?}", evaluation.targets)
    });
}

#[test]
fn outputs_with_odd_names_have_their_messages_too() {
    with_every_nix("outputs_with_odd_names_have_their_messages_too", || {
        let evaluation = ask(
            &flake(
                r#""with space" = many 3 (n: throw "spaced ${toString n}"); "or".x = throw "a keyword"; map.x = throw "hides `map`";
                   packages.SYSTEM = many 5 (n: abort "deadly");"#,
            ),
            &["*.*", "packages.*.*"],
        );
        let errors: Vec<_> =
            evaluation.errors.iter().map(|error| format!("{} {}\n", error.attribute, error.message)).collect();
        assert_eq!(errors.len(), 10, "{errors:?}");
        for words in ["spaced 2", "a keyword", "hides `map`", "'deadly'"] {
            assert!(errors.concat().contains(words), "{errors:?}");
        }
        // Here `nix repl` would take the flake's word for Nix's.
        let evaluation = ask(
            &flake(r#"builtins = { fromJSON = text: abort "forged"; }; packages.SYSTEM = many 5 (n: throw "own");"#),
            &[],
        );
        let messages: Vec<_> = evaluation.errors.iter().map(|error| error.message.as_str()).collect();
        assert!(messages.len() == 5 && messages.iter().all(|message| message.starts_with("own")), "{messages:?}");
        String::new()
    });
}

#[test]
fn what_a_package_says_about_its_job_may_fail_alone() {
    with_every_nix("what_a_package_says_about_its_job_may_fail_alone", || {
        let evaluation = ask(
            &flake(
                r#"packages.SYSTEM = many 9 (n: abort "deadly") // { a = mk "a" // { meta = abort "no meta"; }; b = mk "b" // { passthru = throw "no passthru"; }; };"#,
            ),
            &[],
        );
        assert_eq!((evaluation.targets.len(), evaluation.errors.len()), (2, 9));
        let named = format!("{}.a`: its settings for its job do not evaluate: ", system::current());
        let found = |warning: &String| warning.contains(&named) && warning.contains("no meta");
        assert!(evaluation.warnings.iter().any(found), "{:?}", evaluation.warnings);
        // What can be caught is known to those who read what packages say.
        assert!(
            evaluation.package_settings.iter().any(|(attribute, _)| attribute.names()[2] == "b"),
            "{:?}",
            evaluation.package_settings
        );
        String::new()
    });
}

/// Versions of Nix whose words are recorded.
const RECORDED: [Version; 3] =
    [Version { major: 2, minor: 8 }, Version { major: 2, minor: 26 }, Version { major: 2, minor: 34 }];

/// What fails in the groups in which it is listed, each with Nix's trace, less the code that it quotes.
fn grouped_with_traces(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for group in evaluation_errors::groups(&evaluation.errors, |error| error.message.as_str()) {
        let names: Vec<&str> = group.errors.iter().map(|error| error.attribute.names()[2].as_str()).collect();
        let why = group.why(|error| error.message.as_str());
        text.push_str(&format!("{}: {}\n", names.join(", "), why.split("connect to server").next().unwrap()));
        let is_code = |line: &str| {
            line.split_once('|').is_some_and(|(number, _)| number.trim().chars().all(|c| c.is_ascii_digit()))
        };
        for line in group.errors.iter().flat_map(|error| &error.trace).filter(|line| !is_code(line)) {
            text.push_str(&format!("    {}\n", line.trim().split("connect to server").next().unwrap()));
        }
    }
    text
}

#[test]
fn each_kind_of_failure_has_its_recorded_words_and_place() {
    with_every_nix("each_kind_of_failure_has_its_recorded_words_and_place", || {
        let nix = Nix::find().unwrap();
        let repository = folder(&[]);
        let broken = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/broken");
        for entry in fs::read_dir(broken).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), repository.path().join(entry.file_name())).unwrap();
        }
        commit(repository.path());
        // A tree with changes: newer versions name the files where they are on this machine.
        fs::write(repository.path().join("changed"), "").unwrap();
        run(repository.path(), "git", &["add", "."]);
        let request = EvaluationRequest {
            flake: format!("git+file://{}", repository.path().display()),
            select: vec![Pattern::parse("packages.x86_64-linux.*").unwrap()],
            ..EvaluationRequest::default()
        };
        let evaluation = evaluate(&nix, &request, &|_| {}).unwrap();
        assert_eq!(evaluation.targets.len(), 1);
        let mut places = String::new();
        let mut text = String::new();
        for error in &evaluation.errors {
            let name = &error.attribute.names()[2];
            // What curl says of it differs from run to run.
            let message = error.message.split("connect to server").next().unwrap();
            text.push_str(&format!("{name}: {message}\n"));
            let place = error.message.rsplit_once("(at ").map_or("nowhere", |(_, place)| place);
            places.push_str(&format!("{name} {}\n", place.rsplit_once(':').map_or(place, |(line, _)| line)));
        }
        let of = |name: &str| format!("tests/golden/failures/nix-{}{name}.txt", nix.version());
        if RECORDED.contains(&nix.version()) && !nix.is_lix() {
            golden::check(&of(""), &text);
            let traced = EvaluationRequest { show_trace: true, ..request };
            golden::check(&of("-traces"), &grouped_with_traces(&evaluate(&nix, &traced, &|_| {}).unwrap()));
        }
        // The line is the same with every version, but for an assertion, whose own line newer ones do not tell.
        places.lines().filter(|line| !line.starts_with("asserts")).collect::<Vec<_>>().join("\n")
    });
}

#[test]
fn a_trace_is_there_when_asked_for() {
    with_every_nix("a_trace_is_there_when_asked_for", || {
        let flake =
            flake(r#"packages.SYSTEM = { good = mk "good"; bad = mk "${toString (map (x: x.nope) [ { } ])}"; };"#);
        let reference = format!("path:{}", flake.path().display());
        let nix = Nix::find().unwrap();
        let request = EvaluationRequest { flake: reference, ..EvaluationRequest::default() };
        let options = vec![("show-trace".to_owned(), "true".to_owned())];
        let plain = evaluate(&nix, &request, &|_| {}).unwrap();
        assert!(plain.errors[0].trace.is_empty());
        for request in
            [EvaluationRequest { show_trace: true, ..request.clone() }, EvaluationRequest { options, ..request }]
        {
            let evaluation = evaluate(&nix, &request, &|_| {}).unwrap();
            assert_eq!(evaluation.targets, plain.targets);
            assert_eq!(evaluation.errors[0].message, plain.errors[0].message);
            let trace = evaluation.errors[0].trace.join("\n");
            assert!(trace.contains("attribute 'nope' missing") && trace.contains("… while"), "{trace}");
            assert!(!trace.contains("nixdag") && !trace.contains("/nix/store"), "{trace}");
        }
        String::new()
    });
}

#[test]
fn words_of_a_throw_decide_nothing() {
    with_every_nix("words_of_a_throw_decide_nothing", || {
        let told = flake(r#"packages.SYSTEM = many 6 (n: throw "unable to download a shallow copy: hash mismatch");"#);
        let evaluation = ask(&told, &[]);
        assert_eq!(evaluation.errors.len(), 6);
        assert!(!evaluation.is_incidental, "it can be cached");
        // The flake is there, what its own code wants is not.
        let fetches = flake(
            r#"packages.SYSTEM = many 6 (n: mk (builtins.readFile (builtins.fetchTarball {
                 url = "http://localhost:1/own.tar.gz"; sha256 = "0000000000000000000000000000000000000000000000000000"; })));"#,
        );
        let evaluation = ask(&fetches, &[]);
        assert_eq!((evaluation.targets.len(), evaluation.errors.len()), (0, 6));
        assert!(evaluation.is_incidental);
        assert!(evaluation.errors[0].message.contains("http://localhost:1/own.tar.gz"), "{:?}", evaluation.errors[0]);
        String::new()
    });
}

#[test]
fn processes_that_die_one_after_the_other_hide_no_answer() {
    with_every_nix("processes_that_die_one_after_the_other_hide_no_answer", || {
        let deep = r#"packages.SYSTEM = let f = n: 1 + f (n + 1); in many 18 (n: if n < 9 then mk "p${toString (f n)}" else mk "p${toString n}");"#;
        let evaluation = ask(&flake(deep), &[]);
        assert_eq!((evaluation.targets.len(), evaluation.errors.len()), (9, 9));
        let deep = |message: &str| message.contains("stack overflow") || message.contains("max-call-depth");
        assert!(evaluation.errors.iter().all(|error| deep(&error.message)), "{:?}", evaluation.errors);
        String::new()
    });
}

#[test]
fn a_place_that_nobody_knows_is_not_that_of_the_set_around() {
    with_every_nix("a_place_that_nobody_knows_is_not_that_of_the_set_around", || {
        let evaluation = ask(&flake(r#"packages.SYSTEM = many 3 (n: throw "made by a function");"#), &[]);
        let made: Vec<&str> = evaluation.errors.iter().map(|error| error.message.as_str()).collect();
        assert!(made.iter().all(|message| message.starts_with("made by a function (at flake.nix:3:")), "{made:?}");
        let mapped = r#"packages.SYSTEM = builtins.mapAttrs (name: value: throw "mapped") { a = 1; b = 2; };"#;
        let evaluation = ask(&flake(mapped), &[]);
        let mapped: Vec<&str> = evaluation.errors.iter().map(|error| error.message.as_str()).collect();
        assert!(mapped.iter().all(|message| !message.contains("flake.nix:4:")), "{mapped:?}");
        String::new()
    });
}

#[test]
fn nonsense_of_one_attribute_is_that_attributes_failure_alone() {
    with_every_nix("nonsense_of_one_attribute_is_that_attributes_failure_alone", || {
        let outputs = r#"packages.SYSTEM = {
            good = mk "good";
            ${builtins.concatStringsSep "" (builtins.genList (n: "x") 66000)} = mk "long";
            ${builtins.concatStringsSep "" (builtins.genList (n: "x") 66000) + "a"} = mk "longer";
            ${builtins.concatStringsSep "" (builtins.genList (n: "x") 66000) + "b"} = mk "as-long";
            ${builtins.concatStringsSep "" (builtins.genList (n: "y") 60000)} = mk "shorter";
            absent = mk "absent" // { drvPath = "/nix/store/00000000000000000000000000000000-absent.drv"; };
            foreign = mk "foreign" // { drvPath = "/tmp/00000000000000000000000000000000-foreign.drv"; };
            garbage = mk "garbage" // { drvPath = builtins.toFile "garbage.drv" "Derive(["; };
            hollow = mk "hollow" // { drvPath = builtins.toFile "hollow.drv" "Derive([(\"out\",\"/nix/store/00000000000000000000000000000000-x\",\"\",\"\")],[(\"/nix/store/00000000000000000000000000000000-y.drv\",[\"out\"])],[],\"s\",\"b\",[],[])"; };
            loud = mk "loud" // { passthru.ci.executor = many'; };
            keys = mk "keys" // { passthru.ci = many 300000 (n: n); };
            contexts = mk "contexts" // { passthru.ci.context = builtins.genList (n: "context${toString n}") 300000; };
            few = mk "few" // { passthru.ci = many 300 (n: n); };
          };"#;
        // 144 MB.
        let doubled = "many' = builtins.foldl' (text: n: text + text) \"012345678\" (builtins.genList (n: n) 24);";
        let flake = flake(outputs);
        let file = flake.path().join("flake.nix");
        let text = fs::read_to_string(&file).unwrap().replace("      in {", &format!("        {doubled}\n      in {{"));
        fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_nixdag"))
            .args(["plan", &format!("path:{}", flake.path().display()), "--available", "/dev/null"])
            .current_dir(flake.path())
            .output()
            .unwrap();
        let (table, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{said}");
        for good in ["good", "loud", "keys", "contexts", "few"] {
            assert!(table.lines().any(|line| line.starts_with(&format!("{good} "))), "{good}:\n{table}\n{said}");
        }
        assert!(said.len() < 30_000 && table.len() < 30_000, "{} and {} bytes", said.len(), table.len());
        for wrong in ["absent", "foreign", "garbage", "hollow"] {
            // Some versions of Nix look into what is called a derivation.
            let of = format!("packages.{}.{wrong}", system::current());
            assert!(table.contains(&of), "{wrong}: {table}");
            assert!(!said.contains(&of), "once: {said}");
        }
        assert!(table.contains("its name has more than 1024 bytes"), "{table}");
        // Those that begin in the same way are told apart.
        let long = table.lines().filter(|line| line.starts_with("packages.")).flat_map(|line| line.split(", "));
        let long: std::collections::BTreeSet<&str> = long.filter(|name| name.contains('…')).collect();
        assert_eq!(long.len(), 4, "{table}");
        assert!(said.contains("its settings for its job are longer than 64 KiB"), "{said}");
        String::new()
    });
}
