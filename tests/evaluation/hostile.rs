//! Flakes that mean harm or make no sense, with every version of Nix: whatever an attribute does is its own failure alone.

use std::collections::BTreeMap;
use std::fs;

use nixdag::attribute::AttributePath;
use nixdag::nix::command::Nix;
use nixdag::nix::evaluate::{Evaluation, EvaluationRequest, evaluate};
use nixdag::nix::system;
use nixdag::pattern::Pattern;

use crate::support::{folder, with_every_nix};

/// What evaluates, though some of it says nonsense about its job.
const TARGETS: [&str; 12] = [
    "a-good",
    "ci-deep",
    "ci-endless",
    "ci-function",
    "ci-throws",
    "context",
    "functor-drv",
    "meta-aborts",
    "meta-throws",
    "platforms-odd",
    "talks",
    "z-good",
];

/// What each other attribute's message holds: one of these texts, which differ between versions of Nix.
const MESSAGES: [(&str, &[&str]); 56] = [
    ("", &["empty"]),
    ("\n", &["newline"]),
    ("${builtins.abort \"x\"}", &["interpolated"]),
    ("__functor", &["functor"]),
    ("aborts", &["stop"]),
    ("asserts", &["assertion"]),
    ("calls", &["not a function"]),
    ("context-in-name", &["not allowed to refer to a store path"]),
    ("cyclic", &["it is a set"]),
    ("dots.and\"quotes", &["dots"]),
    ("endless", &["infinite recursion"]),
    ("escapes", &["error: ok"]),
    ("execs", &["attribute 'exec' missing"]),
    ("fetches", &["in pure evaluation mode"]),
    ("fetches-git", &["in pure evaluation mode"]),
    ("float", &["it is a float"]),
    ("forged", &["nixdag-0"]),
    ("function", &["it is a function"]),
    ("functor", &["it is a set"]),
    ("huge-message", &["0123456789abcdef"]),
    ("huge-number", &["integer overflow"]),
    ("imports", &["--allow-ifd"]),
    ("imports-missing", &["missing.nix"]),
    ("infinite-set", &["it is a set"]),
    ("line-in-name", &["contains illegal character"]),
    ("list", &["it is a list"]),
    ("mark-odd", &["it is a set"]),
    ("mark-throws", &["no mark"]),
    ("no-attribute", &["attribute 'nothing' missing"]),
    ("no-builder", &["'builder' missing"]),
    ("no-name", &["'name' missing"]),
    ("no-outputs", &["empty list", "list index 0 is out of bounds"]),
    ("nothing", &["it is null"]),
    ("number", &["it is an integer"]),
    ("odd-outputs", &["duplicate derivation output"]),
    ("output-alone", &["it is a set"]),
    ("parse-error", &["syntax error", "forbidden in pure eval"]),
    ("path", &["it is a path"]),
    ("path-climbs", &["which is not the path of a derivation"]),
    ("path-has-lines", &["which is not the path of a derivation"]),
    ("path-is-elsewhere", &["which is not the path of a derivation"]),
    ("path-is-number", &["an integer"]),
    ("path-is-set", &["which is not the path of a derivation"]),
    ("path-throws", &["no path"]),
    ("reads-dir", &["forbidden in pure eval"]),
    ("reads-machine", &["forbidden in pure eval"]),
    ("reads-output", &["--allow-ifd"]),
    ("store-path", &["is not allowed in pure evaluation mode"]),
    ("system-is-number", &["an integer"]),
    ("text", &["it is a string"]),
    ("to-string", &["it is a set"]),
    ("too-deep", &["stack overflow", "infinite recursion"]),
    ("type-alone", &["'drvPath' missing"]),
    ("type-is-set", &["it is a set"]),
    ("type-throws", &["no type"]),
    ("’é漢u202e", &["letters"]),
];

/// A set of so many packages that one process goes through all of them.
const FILLING: &str = r#"builtins.listToAttrs (builtins.genList (n: { name = "filling${toString n}"; value = mk "filling${toString n}"; }) 251)"#;

fn ask(flake: &tempfile::TempDir, select: &[&str]) -> Evaluation {
    let select = select.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let flake = format!("path:{}", flake.path().display());
    evaluate(&Nix::find().unwrap(), &EvaluationRequest { flake, select, ..EvaluationRequest::default() }, &|_| {})
        .unwrap()
}

#[test]
fn whatever_an_attribute_does_is_its_own_failure_alone() {
    with_every_nix("whatever_an_attribute_does_is_its_own_failure_alone", || {
        let text = include_str!("../fixtures/hostile.nix");
        let evaluation = ask(&folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]), &[]);
        let targets: Vec<&str> = evaluation.targets.iter().map(|target| &*target.attribute.names()[2]).collect();
        let mut expected: BTreeMap<&str, &[&str]> = MESSAGES.into();
        // Some versions make text of any value there, and others do not overflow.
        let is_target = |name: &str| targets.contains(&name);
        for optional in ["system-is-number", "huge-number"] {
            expected.retain(|name, _| *name != optional || !is_target(name));
        }
        let targets: Vec<&str> =
            targets.into_iter().filter(|name| !["system-is-number", "huge-number"].contains(name)).collect();
        assert_eq!(targets, TARGETS);
        let messages: BTreeMap<&str, &str> =
            evaluation.errors.iter().map(|error| (&*error.attribute.names()[2], &*error.message)).collect();
        assert_eq!(messages.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, texts) in expected {
            let message = messages[name];
            assert!(texts.iter().any(|text| message.contains(text)), "{name}: {message}");
            assert!(message.chars().count() < 1100 && !message.contains(char::is_control), "{name}: {message}");
            assert!(!message.contains("nixdag-query"), "{name}: {message}");
        }
        // The same among so many that one process is to go through all of them. What is not a derivation may be there.
        let text = text.replace("packages.SYSTEM = {", &format!("legacyPackages.SYSTEM = {FILLING} // {{"));
        let flake = folder(&[("flake.nix", &text.replace("SYSTEM", &system::current()))]);
        let many = ask(&flake, &["legacyPackages.*.*"]);
        let among: Vec<&str> = (many.targets.iter().map(|target| &*target.attribute.names()[2]))
            .filter(|name| !name.starts_with("filling") && TARGETS.contains(name))
            .collect();
        assert_eq!(among, TARGETS);
        let are_there = |message: &&&str| !message.starts_with("it is ");
        let expected: Vec<(&str, &str)> = messages
            .iter()
            .filter(|(_, message)| are_there(message))
            .map(|(name, message)| (*name, *message))
            .collect();
        let found: Vec<(&str, String)> = (many.errors.iter())
            .map(|error| (&*error.attribute.names()[2], error.message.replace("legacyPackages", "packages")))
            .collect();
        let names = |all: &[&str]| all.join("\n");
        assert_eq!(
            names(&found.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
            names(&expected.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        );
        for ((name, message), (_, alone)) in found.iter().zip(&expected) {
            let texts = MESSAGES.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, texts)| texts);
            assert!(texts.is_empty() || texts.iter().any(|text| message.contains(text)), "{name}: {message}, {alone}");
            assert!(message.chars().count() < 1100 && !message.contains("nixdag-query"), "{name}: {message}");
        }
        String::new()
    });
}

#[test]
fn sets_that_mean_harm_are_entered_once_and_hide_nothing() {
    with_every_nix("sets_that_mean_harm_are_entered_once_and_hide_nothing", || {
        let text = r#"{ outputs = { self }: let
            mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; };
            cyclic = { again = cyclic; recurseForDerivations = true; x = mk "cyclic"; };
            endless = n: { recurseForDerivations = true; "x${toString n}" = mk "x${toString n}"; "set${toString n}" = endless (n + 1); };
          in { legacyPackages.SYSTEM = FILLING // {
            inherit cyclic;
            a-good = mk "a-good";
            endless = endless 0;
            marked = { recurseForDerivations = throw "no mark"; };
            names = { recurseForDerivations = true; "" = mk "empty"; "a.b" = mk "dots"; type = mk "type"; bad = abort "bad"; };
            throws = { recurseForDerivations = true; type = throw "no type"; x = mk "y"; };
            z-good = mk "z-good";
          }; }; }"#;
        for filling in ["{ }", FILLING] {
            let text = text.replace("FILLING", filling).replace("SYSTEM", &system::current());
            let evaluation = ask(&folder(&[("flake.nix", &text)]), &["legacyPackages.*.*"]);
            let below = |attribute: &nixdag::attribute::AttributePath| attribute.names()[2..].join("/");
            let targets: Vec<String> = (evaluation.targets.iter().map(|target| below(&target.attribute)))
                .filter(|name| !name.starts_with("filling"))
                .collect();
            let errors: Vec<String> = evaluation.errors.iter().map(|error| below(&error.attribute)).collect();
            let shallow: Vec<&str> =
                targets.iter().map(String::as_str).filter(|name| !name.starts_with("endless")).collect();
            assert_eq!(shallow, ["a-good", "cyclic/x", "names/", "names/a.b", "names/type", "z-good"]);
            assert_eq!(targets.len() - shallow.len(), 8, "{targets:?}");
            assert_eq!(errors, ["marked", "names/bad", "throws"]);
            assert!(
                evaluation.warnings.iter().any(|warning| warning.contains("--eval-depth")),
                "{:?}",
                evaluation.warnings
            );
        }
        String::new()
    });
}

#[test]
fn a_name_that_is_no_text_is_an_error_and_no_crash() {
    with_every_nix("a_name_that_is_no_text_is_an_error_and_no_crash", || {
        let text = r#"{ outputs = { self }: let mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; }; in {
            packages.SYSTEM = { good = mk "good"; throws = throw "a @ b"; };
            checks.SYSTEM = { good = mk "check"; "x@" = mk "x"; };
          }; }"#;
        let flake = folder(&[]);
        let bytes = text.replace("SYSTEM", &system::current()).into_bytes();
        // Latin 1.
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| if byte == b'@' { 0xe9 } else { byte }).collect();
        fs::write(flake.path().join("flake.nix"), bytes).unwrap();
        let evaluation = ask(&flake, &[]);
        let packages: Vec<_> =
            evaluation.targets.iter().filter(|target| target.attribute.names()[0] == "packages").collect();
        assert_eq!(packages.len(), 1, "{evaluation:?}");
        assert!(evaluation.errors.iter().any(|error| error.attribute.names().last().unwrap() == "throws"));
        let checks = evaluation.targets.len() - 1;
        let is_said = evaluation.errors.iter().any(|error| error.attribute.names()[0] == "checks");
        assert!(checks == 2 || is_said, "{evaluation:?}");
        String::new()
    });
}

#[test]
fn no_name_is_a_key_or_a_command_for_the_process_that_answers() {
    with_every_nix("no_name_is_a_key_or_a_command_for_the_process_that_answers", || {
        let flake = folder(&[]);
        let witness = flake.path().join("witness");
        // What deletes the line before it, completes it, moves in it, ends it; bytes above ASCII may be keys, too.
        let odd = (1..=31).chain(127..=160).chain([0xe9, 0x202e, 0x1f600]).filter_map(char::from_u32);
        let mut names: Vec<String> = odd.map(|c| format!("te{c}st")).collect();
        for keys in ["\u{15}", "\n", "\r", "\u{1}\u{b}", "\u{3}", "\u{1b}u"] {
            let command = format!(
                "derivation {{ name = ''x''; system = ''{}''; builder = ''/bin/sh''; args = [ ''-c'' ''echo > {}; echo > $out'' ]; }}",
                system::current(),
                witness.display()
            );
            names.push(format!("{keys}:b {command}{keys} #"));
        }
        fs::write(flake.path().join("names.json"), serde_json::to_string(&names).unwrap()).unwrap();
        let text = r#"{ outputs = { self }: let
              mk = name: derivation { inherit name; system = "SYSTEM"; builder = "/bin/sh"; };
              named = value: builtins.listToAttrs (map (name: { inherit name; inherit value; }) (builtins.fromJSON (builtins.readFile ./names.json)));
              bad = named (throw "caught"); good = named (mk "good"); worse.zz = abort "not caught";
            in {
              packages.SYSTEM = bad // worse; checks.SYSTEM = good // worse;
              legacyPackages.SYSTEM = FILLING // { bad = bad // { recurseForDerivations = true; }; good = good // worse // { recurseForDerivations = true; }; };
            }; }"#;
        fs::write(
            flake.path().join("flake.nix"),
            text.replace("FILLING", FILLING).replace("SYSTEM", &system::current()),
        )
        .unwrap();
        let count = |select: &str| {
            let evaluation = ask(&flake, &[select]);
            let is_odd = |path: &AttributePath| names.contains(path.names().last().unwrap());
            let targets = evaluation.targets.iter().filter(|target| is_odd(&target.attribute)).count();
            (targets, evaluation.errors.iter().filter(|error| is_odd(&error.attribute)).count())
        };
        assert_eq!(count("packages.*.*"), (0, names.len()));
        assert_eq!(count("checks.*.*"), (names.len(), 0));
        assert_eq!(count("legacyPackages.*.*"), (names.len(), names.len()));
        assert!(!witness.exists(), "a name was obeyed");
        String::new()
    });
}
