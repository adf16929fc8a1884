use super::*;
use proptest::prelude::*;

fn events(bytes: &[u8]) -> Vec<Event> {
    let mut found = Vec::new();
    read(bytes, |event| {
        found.push(event);
        true
    })
    .unwrap();
    found
}

#[test]
fn real_lines_of_three_versions_are_understood() {
    let lines = concat!(
        // 2.8 has no `parent`.
        r#"@nix {"action":"start","fields":["/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv","",1,1],"id":57281978826758,"level":3,"text":"building '/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv'","type":105}"#,
        "\n",
        r#"@nix {"action":"result","fields":["hi from a"],"id":57281978826758,"type":101}"#,
        "\n",
        r#"@nix {"action":"result","fields":[1,7,0,2],"id":57281978826755,"type":105}"#,
        "\n",
        r#"@nix {"action":"result","fields":[101,0],"id":57281978826754,"type":106}"#,
        "\n",
        r#"@nix {"action":"stop","id":57281978826758}"#,
        "\n",
        r#"@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"\u001b[31;1merror:\u001b[0m builder for '\u001b[35;1m/nix/store/x.drv\u001b[0m' failed with exit code 3","raw_msg":"builder for '\u001b[35;1m/nix/store/x.drv\u001b[0m' failed with exit code 3"}"#,
        "\n",
        "plain text\n",
        r#"@nix {"action":"start","id":1,"level":0,"parent":0,"text":"","type":104}"#,
    );
    assert_eq!(
        events(lines.as_bytes()),
        [
            Event::Start {
                id: 57281978826758,
                activity: Activity::Build {
                    drv: "/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv".into(),
                    machine: String::new()
                }
            },
            Event::LogLine { id: 57281978826758, line: "hi from a".into() },
            Event::Progress { id: 57281978826755, done: 1, failed: 2 },
            Event::Stop { id: 57281978826758 },
            Event::Message {
                level: 0,
                text: "builder for '/nix/store/x.drv' failed with exit code 3".into(),
                is_own: true,
            },
            Event::Text("plain text".into()),
            Event::Start { id: 1, activity: Activity::Builds },
        ]
    );
}

#[test]
fn what_is_strange_is_text_or_nothing() {
    assert_eq!(events(b"@nix {\"action\":\"sing\"}\n@nix {\"action\":\"result\",\"type\":101}\n"), []);
    assert_eq!(events(b"@nix {\"action\":\n"), [Event::Text("@nix {\"action\":".into())]);
    assert_eq!(events(b"\xff\x00\x1b[31mred\x1b[0m\x1b]0;title\x07!\n"), [Event::Text("\u{fffd}\u{fffd}red!".into())]);
    assert_eq!(
        events(b"@nix {\"action\":\"start\",\"type\":105,\"id\":-1}"),
        [Event::Text("@nix {\"action\":\"start\",\"type\":105,\"id\":-1}".into())]
    );
}

#[test]
fn a_line_without_end_is_counted_not_kept() {
    let long = MAX_LINE as u64 * 3;
    let reader = io::BufReader::new(io::Read::chain(io::Read::take(io::repeat(b'x'), long), &b"\nafter\n"[..]));
    let mut found = Vec::new();
    read(reader, |event| {
        found.push(event);
        true
    })
    .unwrap();
    assert_eq!(found, [Event::TooLong { id: None, bytes: long }, Event::Text("after".into())]);
}

#[test]
fn a_line_that_is_too_long_is_its_builds_whatever_is_in_it() {
    let line = |text: &str, kind: u64| {
        let value =
            serde_json::json!({ "action": "result", "fields": [text], "id": 57_281_978_826_758u64, "type": kind });
        format!("@nix {value}\n")
    };
    let forged = format!("{}\"],\"id\":7,\"type\":101}}", "x".repeat(MAX_LINE));
    for (text, kind, wanted) in [
        (&*forged, 101, Some(57_281_978_826_758)),
        (&*"y".repeat(MAX_LINE), 101, Some(57_281_978_826_758)),
        (&*forged, 104, None),
    ] {
        let line = line(text, kind);
        // However it arrives.
        for size in [7, 100, 1 << 16] {
            let mut found = Vec::new();
            let reader = io::BufReader::with_capacity(size, line.as_bytes());
            read(reader, |event| {
                found.push(event);
                true
            })
            .unwrap();
            assert_eq!(found, [Event::TooLong { id: wanted, bytes: line.len() as u64 - 1 }]);
        }
    }
}

#[test]
fn texts_are_cut_before_they_wait_for_somebody() {
    let text = "ü".repeat(100_000);
    for line in [
        format!("{text}\n"),
        format!("@nix {}\n", serde_json::json!({ "action": "result", "fields": [text], "id": 1, "type": 101 })),
        format!("@nix {}\n", serde_json::json!({ "action": "result", "fields": [text], "id": 1, "type": 104 })),
        format!("@nix {}\n", serde_json::json!({ "action": "msg", "level": 0, "msg": text })),
    ] {
        let [event] = events(line.as_bytes()).try_into().unwrap();
        let (Event::Text(text)
        | Event::LogLine { line: text, .. }
        | Event::Phase { phase: text, .. }
        | Event::Message { text, .. }) = event
        else {
            panic!("{line}")
        };
        assert!(text.ends_with("[195904 bytes left out]") && text.capacity() < 2 * MAX_TEXT, "{}", text.capacity());
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        events(&bytes);
        let mut line = b"@nix ".to_vec();
        line.extend(bytes);
        parse_line(&line);
    }

    #[test]
    fn nothing_unprintable_comes_out(text in any::<String>()) {
        prop_assert!(plain(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    }
}
