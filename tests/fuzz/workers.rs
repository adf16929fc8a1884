//! What workers read from a store of names, where whoever can make names can make any bytes.

use std::fs;
use std::io::{BufReader, Read, Write, pipe};

use nixdag::workers::maker::{Claim, Makers, StoredName};
use nixdag::workers::name::Outcome;
use nixdag::workers::package;
use nixdag::workers::stores::pipe::PipeStore;
use nixdag::workers::stores::{Made, NameStore};
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

/// Answers of the program at the other end of a pipe, which come when something was asked and end then.
#[test]
fn answers_of_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let contains = |bytes: &[u8], word: &[u8; 5]| bytes.windows(5).any(|part| part == word);
    let claim = dir.path().join("claim");
    fs::write(&claim, "").unwrap();
    let ask = |bytes: &[u8]| {
        let ((mut requests, out), (answers, mut back)) = (pipe().unwrap(), pipe().unwrap());
        let store = PipeStore::new("run", Box::new(BufReader::new(answers)), Box::new(out));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut asked = [0; 1];
                requests.read_exact(&mut asked).unwrap();
                // It may have heard enough.
                let _ = back.write_all(bytes);
                drop(back);
                let _ = std::io::copy(&mut requests, &mut std::io::sink());
            });
            let answer = match contains(bytes, b"names") {
                true => store.list().map(|names| assert!(names.iter().all(|name| !name.starts_with("nixdag-run-")))),
                false => store
                    .create("claim-0-0", &claim)
                    .map(|made| assert!(made != Made::AskAgain || contains(bytes, b"again"))),
            };
            drop(store);
            answer
        })
    };
    let real = [
        "{\"id\":0,\"ok\":\"made\"}\n",
        "{\"id\":7,\"ok\":\"fetched\",\"bytes\":9}\nnot JSON\n{\"id\":0,\"ok\":\"lost\"}\n",
        "{\"id\":0,\"names\":[\"nixdag-run-claim-0-0\",\"nixdag-other-a\",\"\\u0000\"]}\n",
    ];
    let corpus = Corpus::new(real.iter().map(|text| text.as_bytes().to_vec()).collect());
    fuzz("answers of a pipe", &corpus, |bytes| Got::of(false, &ask(bytes)));
}
