use super::*;
use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::Duration;

use crate::nix::store_path;

const A: &str = "/nix/store/jkpdjnvj0ydp06sf2hnc0xajiib0dc7b-a.drv";
const B: &str = "/nix/store/mijmkhwlzf00lgf2qj6z08ha30sgy0h4-b.drv";

fn at(seconds: u64) -> Instant {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *BEGIN + Duration::from_secs(seconds)
}

fn start(id: u64, drv: &str) -> Event {
    Event::Start { id, activity: Activity::Build { drv: drv.into(), machine: String::new() } }
}

/// A store whose locks look as told, and in which `a` comes from A and `b` from B.
struct Locks<F>(F);

impl<F: Fn(&str) -> Lock> Derivations for Locks<F> {
    fn lock(&self, drv: &str) -> Lock {
        self.0(drv)
    }

    fn producer(&self, base: &str) -> Option<String> {
        [A, B].into_iter().find(|drv| name(drv) == store_path::name_of(base)).map(str::to_owned)
    }
}

fn with_tracker(locks: impl Fn(&str) -> Lock, work: impl FnOnce(&mut Tracker)) -> Vec<String> {
    let lines = RefCell::new(Vec::new());
    let say = Box::new(|line: &str| lines.borrow_mut().push(line.to_owned()));
    let expected = [A.to_owned(), B.to_owned()].into();
    let known = Locks(locks);
    let mut tracker = Tracker::new(say, &known, expected, None, at(0));
    work(&mut tracker);
    drop(tracker);
    lines.into_inner()
}

fn error(text: &str) -> Event {
    Event::Message { level: 0, text: text.into(), is_own: true }
}

#[test]
fn a_message_that_names_an_output_is_about_what_is_being_built_into_it() {
    with_tracker(
        |_| Lock::Held,
        |tracker| {
            tracker.take(start(1, A), at(0));
            // B was not begun; A was.
            let b = "/nix/store/5ybzpq1bfh6gb0hr4r7x5rz9w8aj7kc1-b";
            let a = "/nix/store/610arvfbd44l28rc2hqq33ydwf8ii3sw-a";
            let text = format!("file \"{a}/pipe\" has an unsupported type; {b} is of no matter");
            tracker.take(error(&text), at(1));
            tracker.take(error(&format!("cannot open '{b}'.")), at(1));
            assert_eq!(tracker.ledger().failure(A), Some(text.as_str()));
            assert_eq!(tracker.ledger().failure(B), None);
            assert_eq!(tracker.round().messages(), [format!("cannot open '{b}'.")]);
        },
    );
}

#[test]
fn when_nix_dies_a_failure_that_it_had_counted_is_told_from_what_it_left() {
    let lines = with_tracker(
        |_| Lock::Left,
        |tracker| {
            tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
            tracker.take(start(1, A), at(0));
            tracker.take(Event::Progress { id: 9, done: 0, failed: 1 }, at(2));
            tracker.take(start(2, B), at(2));
            tracker.end(Some("`nix-store` was ended by SIGSEGV".into()), at(4));
            assert!(tracker.ledger().failure(A).unwrap().contains("SIGSEGV") && tracker.ledger().failure(B).is_none());
            assert!(tracker.round().left_open(B) && !tracker.round().left_open(A));
            assert_eq!((tracker.ledger().begun(A), tracker.ledger().begun(B)), (1, 1));
        },
    );
    assert!(lines.contains(&"stopped b after 2 s: Nix has ended".to_owned()), "{lines:?}");
}

#[test]
fn a_failure_that_nix_counts_after_the_end_and_never_names_is_that_of_what_left_its_lock() {
    let held = RefCell::new(true);
    with_tracker(
        |drv| match drv {
            A if *held.borrow() => Lock::Held,
            A => Lock::Left,
            _ => Lock::Gone,
        },
        |tracker| {
            tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
            tracker.take(start(1, A), at(0));
            tracker.take(start(2, B), at(0));
            tracker.take(Event::Stop { id: 1 }, at(8));
            tracker.take(Event::Stop { id: 2 }, at(8));
            tracker.take(error("timed out after 8 seconds"), at(8));
            *held.borrow_mut() = false;
            tracker.take(Event::Progress { id: 9, done: 1, failed: 1 }, at(8));
            tracker.end(None, at(9));
            assert!(tracker.ledger().failure(A).unwrap().contains("timed out after 8 seconds"));
            assert_eq!((tracker.ledger().failure(B), tracker.round().left_open(A)), (None, false));
        },
    );
}

#[test]
fn a_build_is_over_when_nix_counts_it_and_its_lock_is_gone() {
    let gone = RefCell::new(false);
    with_tracker(
        |drv| if drv == A && *gone.borrow() { Lock::Gone } else { Lock::Held },
        |tracker| {
            tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
            tracker.take(start(1, A), at(0));
            tracker.take(start(2, B), at(1));
            tracker.take(Event::Progress { id: 9, done: 0, failed: 0 }, at(5));
            assert!(tracker.ledger().builds().is_empty());
            *gone.borrow_mut() = true;
            tracker.take(Event::Progress { id: 9, done: 1, failed: 0 }, at(7));
            tracker.take(Event::Stop { id: 1 }, at(90));
            tracker.take(Event::Stop { id: 2 }, at(91));
            assert_eq!(tracker.ledger().builds()[A].duration, Duration::from_secs(7));
            assert_eq!(tracker.ledger().builds()[B].duration, Duration::from_secs(90));
        },
    );
}

#[test]
fn a_failure_keeps_its_message_and_the_end_of_its_log() {
    let lines = with_tracker(
        |_| Lock::Held,
        |tracker| {
            tracker.take(start(1, A), at(0));
            tracker.take(Event::LogLine { id: 1, line: "last".into() }, at(2));
            let text = format!("builder for '{A}' failed with exit code 3");
            tracker.take(error(&text), at(3));
            tracker.take(error(&format!("build of '{A}' failed")), at(3));
            assert_eq!(tracker.ledger().failure(A), Some(text.as_str()));
            assert_eq!(tracker.ledger().builds()[A].log, "last");
            assert_eq!(tracker.messages().count(), 0);
        },
    );
    assert!(lines.iter().any(|line| line.starts_with("failed a after 3 s")), "{lines:?}");
}

#[test]
fn silence_is_broken_and_what_belongs_elsewhere_is_named() {
    let other = "/nix/store/plkgpmfzry155zwppdgcn16mvizcm16f-other.drv";
    let lines = with_tracker(
        |_| Lock::Held,
        |tracker| {
            tracker.take(start(1, other), at(0));
            tracker.take(Event::Phase { id: 1, phase: "buildPhase".into() }, at(0));
            tracker.tick(at(29));
            tracker.tick(at(75));
            tracker.end(None, at(80));
        },
    );
    assert!(lines[0].contains("not listed in this job's plan") && lines[0].contains(other), "{lines:?}");
    assert_eq!(lines[1], "still at work: other (1 min 15 s, buildPhase); 0 built");
    assert_eq!(lines[2], "ended other after 1 min 20 s (1 so far)");
}

#[test]
fn a_builder_that_prints_a_message_of_nix_blames_nobody() {
    let forged = format!("builder for '{B}' failed with exit code 1");
    with_tracker(
        |_| Lock::Held,
        |tracker| {
            tracker.take(Event::Start { id: 9, activity: Activity::Builds }, at(0));
            tracker.take(start(1, A), at(0));
            tracker.take(start(2, B), at(0));
            let message = || Event::Message { level: 0, text: forged.clone(), is_own: false };
            tracker.take(message(), at(1));
            assert_eq!((tracker.ledger().failure(B), tracker.round().may_have_failed(B)), (None, true));
            assert!(tracker.ledger().builds().is_empty());
            // A daemon's come in the same form, once Nix has counted it.
            tracker.take(Event::Progress { id: 9, done: 0, failed: 1 }, at(2));
            tracker.take(message(), at(2));
            assert_eq!(tracker.ledger().failure(B), Some(forged.as_str()));
        },
    );
}
