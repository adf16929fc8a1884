//! What workers read from a store of names, where whoever can make names can make any bytes.

use std::fs;

use nixdag::workers::maker::{Claim, Makers, StoredName};
use nixdag::workers::name::Outcome;
use nixdag::workers::package;
use nixdag::workers::tasks::Tasks;

use super::harness::{Got, fuzz};
use super::mutate::Corpus;

fn tasks() -> Tasks {
    Tasks { inputs: vec![Vec::new(); 30], workers: 12, attempts: 3, ..Tasks::default() }
}

#[test]
fn claims() {
    let makers = Makers::new(7, &tasks()).unwrap();
    let real = makers.claim(20, 1).text().into_bytes();
    fuzz("claims", &Corpus::new(vec![real]), |bytes| {
        let read = Claim::parse(bytes);
        if let Some(claim) = &read {
            assert_eq!(Claim::parse(claim.text().as_bytes()), read);
        }
        Got::of(false, &read.ok_or(()))
    });
}

#[test]
fn names_in_listings() {
    let (tasks, makers) = (tasks(), Makers::new(7, &tasks()).unwrap());
    let results = [Outcome::Built, Outcome::Failed].map(|outcome| StoredName::Result(makers.result(20, 1, outcome)));
    let others = [StoredName::Claim(20, 1), StoredName::Sign(makers.life.clone(), 17)];
    let real = results.iter().chain(&others).map(|name| name.text().into_bytes()).collect();
    fuzz("names of workers", &Corpus::new(real), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return Got::Refused };
        let read = StoredName::parse(text, &tasks);
        if let Some(name) = &read {
            assert_eq!(name.text(), text, "two names would mean the same");
        }
        Got::of(false, &read.ok_or(()))
    });
}

#[test]
fn results() {
    let dir = tempfile::tempdir().unwrap();
    let (from, file, to) = (dir.path().join("from"), dir.path().join("file"), dir.path().join("outer/to"));
    fs::create_dir_all(from.join("nar")).unwrap();
    fs::create_dir(dir.path().join("outer")).unwrap();
    fs::write(from.join("a.narinfo"), "StorePath: /nix/store/a\n").unwrap();
    fs::write(from.join("nar/b.nar.zst"), [0, 1, 2, 255, 10]).unwrap();
    package::pack(&from, &file).unwrap();
    let real = fs::read(&file).unwrap();
    fuzz("results of workers", &Corpus::new(vec![real]), |bytes| {
        fs::write(&file, bytes).unwrap();
        let read = package::unpack(&file, &to);
        let beside = fs::read_dir(dir.path().join("outer")).unwrap().count();
        assert!(beside <= 1 && fs::read_dir(dir.path()).unwrap().count() == 3, "it has written elsewhere");
        let _ = fs::remove_dir_all(&to);
        Got::of(false, &read)
    });
}
