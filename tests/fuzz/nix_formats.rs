//! What Nix and other people's stores write.

use std::fs;

use nixdag::build::realisation::{self, Key};
use nixdag::graph::Graph;
use nixdag::nix::binary_cache::acceptance;
use nixdag::nix::binary_cache::cache_info::CacheInfo;
use nixdag::nix::binary_cache::store_url::StoreUrl;
use nixdag::nix::derivation::Derivation;
use nixdag::nix::derivation_hash::{self, Paths};
use nixdag::nix::fixed_output::FixedOutput;
use nixdag::nix::hash::Sha256;
use nixdag::nix::log;
use nixdag::nix::nar;
use nixdag::nix::narinfo::NarInfo;
use nixdag::nix::signature::{PublicKeys, SecretKey};

use super::harness::{Got, fuzz};
use super::mutate::Corpus;
use super::seeds;

#[test]
fn derivations() {
    let dir = tempfile::tempdir().unwrap();
    let real = seeds::drv_files();
    for (name, bytes) in &real {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let root = format!("{}-root.drv", "0".repeat(32));
    let (file, path) = (dir.path().join(&root), format!("/nix/store/{root}"));
    let corpus = Corpus::new(real.into_iter().map(|(_, bytes)| bytes).collect());
    fuzz("derivations", &corpus, |bytes| {
        let parsed = Derivation::parse(bytes);
        if let Ok(drv) = &parsed {
            let _ = (drv.attributes(), drv.is_fixed_output());
            for output in &drv.outputs {
                let _ = (FixedOutput::of(output), derivation_hash::of_fixed(output));
            }
            for paths in [Paths::Kept, Paths::Masked] {
                let _ = derivation_hash::of(drv, paths, |_, _| Some(Sha256::of(b"")));
            }
        }
        fs::write(&file, bytes).unwrap();
        Got::of(parsed.is_ok(), &Graph::load([path.as_str()], dir.path(), "/nix/store"))
    });
}

#[test]
fn narinfo() {
    let public = SecretKey::parse(seeds::KEY).unwrap().public().to_string();
    let keys = PublicKeys::parse([public.as_str()]).unwrap();
    fuzz("narinfo", &Corpus::new(seeds::narinfos()), |bytes| {
        let read = NarInfo::parse(bytes);
        if let Ok(info) = &read {
            assert_eq!(NarInfo::parse(info.to_text().as_bytes()).unwrap(), *info);
            // A mutant with the signature of the original is not accepted.
            if acceptance::judge(info, false, &keys).is_ok() && info.content_address.is_none() {
                assert_eq!(info.nar_hash, Sha256::of(b"nar"));
                assert_eq!((info.store_path.as_str(), info.nar_size), (seeds::STORE_PATH, 12_345));
            }
        }
        let is_of_format = std::str::from_utf8(bytes).is_ok_and(|text| text.lines().all(|line| line.contains(": ")));
        Got::of(is_of_format, &read)
    });
}

#[test]
fn nar_headers() {
    const CONTENTS: &[u8] = b"contents\n";
    let digest = Sha256::of(CONTENTS).base16();
    let text = format!(r#"Derive([("out","/nix/store/x","sha256","{digest}")],[],[],"x","b",[],[])"#);
    let drv = Derivation::parse(text.as_bytes()).unwrap();
    let flat = FixedOutput::of(&drv.outputs[0]).unwrap();
    let mut real = Vec::new();
    nar::write_file(CONTENTS, &mut real).unwrap();
    let contents_at = real.windows(CONTENTS.len()).position(|window| window == CONTENTS).unwrap();
    let head = real[..contents_at - 8].to_vec();
    fuzz("NAR headers", &Corpus::new(vec![real]), |bytes| {
        let is_right = flat.matches(bytes).unwrap();
        assert!(!is_right || bytes[contents_at..].starts_with(CONTENTS));
        Got::of(bytes.starts_with(&head), &is_right.then_some(()).ok_or(()))
    });
}

#[test]
fn build_traces() {
    let dir = tempfile::tempdir().unwrap();
    let id = format!("sha256:{}!out", Sha256::of(b"drv").base16());
    let file = dir.path().join(format!("realisations/{id}.doi"));
    let drv = "s26dicqf1zhp040n0xkx5srd6ik5x5xq-y.drv";
    let trace = dir.path().join(format!("build-trace-v2/{drv}/out.doi"));
    [&file, &trace].into_iter().for_each(|file| fs::create_dir_all(file.parent().unwrap()).unwrap());
    let real = |dependent: &str| {
        let text = format!(
            r#"{{"dependentRealisations":{{{dependent}}},"id":"{id}","outPath":"qkcjym7f4s8gzgna572cn811pjqm9cj4-ca","signatures":["test-1:abc=="]}}"#
        );
        text.into_bytes()
    };
    let other = r#""sha256:cd3f!out":"/nix/store/fz33c1mfi2krpg1lwzizfw28kj705yg0-x""#;
    fuzz("build traces", &Corpus::json(vec![real(""), real(other)]), |bytes| {
        fs::write(&file, bytes).unwrap();
        let read = realisation::read(&file);
        if let Ok(realisation) = &read {
            assert_eq!(realisation.key, Key::Digest(id.clone()));
        }
        Got::of(is_json(bytes), &read)
    });
    // The first is what Nix 2.35.3 wrote for this derivation.
    let value =
        |signature: &str| format!(r#"{{"outPath":"kn4jj37fv5sbnv6griskma87c6ffsdy8-y","signatures":[{signature}]}}"#);
    let real = ["", r#"{"keyName":"test-1","sig":"abc=="}"#].map(|signature| value(signature).into_bytes());
    let copy = dir.path().join("copy");
    fuzz("build traces of 2.35", &Corpus::json(real.into()), |bytes| {
        fs::write(&trace, bytes).unwrap();
        let read = realisation::read(&trace);
        if let Ok(realisation) = &read {
            assert_eq!(realisation.key, Key::Resolved(drv.into(), "out".into()));
            // What is handed on is what was read.
            realisation::write(&copy, std::slice::from_ref(realisation)).unwrap();
            assert_eq!(realisation::read(&copy.join(realisation.file())).unwrap(), *realisation);
        }
        Got::of(is_json(bytes), &read)
    });
}

#[test]
fn logs() {
    let lines = [
        r#"@nix {"action":"start","fields":["/nix/store/0c0zl6s8jm5bdq2gvyj8d8kq3xgdqg0v-a.drv","",1,1],"id":1,"level":3,"parent":0,"text":"building","type":105}"#,
        r#"@nix {"action":"result","fields":["a line of a builder"],"id":1,"type":101}"#,
        r#"@nix {"action":"stop","id":1}"#,
        r#"@nix {"action":"msg","column":null,"file":null,"level":0,"line":null,"msg":"error: builder for '/nix/store/x.drv' failed","raw_msg":"x"}"#,
    ];
    fuzz("log lines", &Corpus::new(lines.iter().map(|line| line.as_bytes().to_vec()).collect()), |bytes| {
        let event = log::parse_line(bytes);
        let is_of_format = bytes.strip_prefix(b"@nix ").is_some_and(is_json);
        let _ = log::read(bytes, |_| true);
        Got::of(is_of_format, &event.ok_or(()))
    });
}

#[test]
fn cache_infos() {
    let real = ["StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n", "StoreDir: /nix/store\n"];
    fuzz("cache infos", &Corpus::new(real.iter().map(|text| text.as_bytes().to_vec()).collect()), |bytes| {
        Got::of(std::str::from_utf8(bytes).is_ok(), &CacheInfo::parse(bytes))
    });
}

#[test]
fn store_urls() {
    // The password, in pieces that no message has by accident.
    let real = [
        "https://ci:qzxPASSqzx@cache.example.org/a?priority=10",
        "http://ci:qzxPASSqzx@127.0.0.1:8080/a/b",
        "ssh-ng://ci:qzxPASSqzx@host?ssh-key=/x",
        "s3://bucket/a?region=eu-west-1&endpoint=minio.example.org",
        "https://ci:a%2Fb%3D%3D@cache.example.org",
        "file:///srv/cache?trusted=1",
    ];
    fuzz("store URLs", &Corpus::new(real.iter().map(|text| text.as_bytes().to_vec()).collect()), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return Got::Refused };
        let read = StoreUrl::parse(text);
        let said = match &read {
            Ok(url) => format!("{url} {} {}", url.public_text(), url.with("compression", "zstd")),
            Err(error) => format!("{error:#}"),
        };
        let user = text.rsplit_once('@').map_or("", |(user, _)| user);
        let after_scheme = user.split_once(":/").map_or(user, |(_, rest)| rest.trim_start_matches('/'));
        let is_password = !text.starts_with("file:")
            && text.matches("PASS").count() == 1
            && after_scheme.split_once(':').is_some_and(|(_, password)| password.contains("PASS"));
        assert!(!(is_password && said.contains("PASS")), "{said}");
        Got::of(text.contains("://"), &read)
    });
}

/// True for JSON of any kind.
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}
