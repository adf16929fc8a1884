//! How a release is linked where Rust's own linker does it: functions that are equal are there once, and nothing is there for unwinding, since a panic
//! aborts. Together they are a tenth of the file. Other linkers do not know the one or fail at the other, so they are left as they are.

use std::env;
use std::path::Path;
use std::process::Command;

/// The target for which Rust brings a linker, and the minor release from which on it takes that one unasked.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const SINCE: u32 = 90;

/// Tells Cargo.
pub fn tell() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let chosen =
        env::var_os("RUSTC_LINKER").is_some() || !env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().is_empty();
    if chosen || !is("PROFILE", "release") || !is("TARGET", TARGET) || !is("HOST", TARGET) || !is_rusts_own() {
        return;
    }
    if let Ok(folder) = env::var("CARGO_MANIFEST_DIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo::rustc-link-arg-bins={folder}/src/version/no-unwinding.ld");
    }
}

/// True if the compiler links by the linker that comes with it.
fn is_rusts_own() -> bool {
    let Some(compiler) = env::var_os("RUSTC") else { return false };
    let said = |arguments: &[&str]| {
        let output = Command::new(&compiler).args(arguments).output().ok().filter(|output| output.status.success());
        output.and_then(|output| String::from_utf8(output.stdout).ok())
    };
    let release = said(&["-vV"]).and_then(|text| {
        let release = text.lines().find_map(|line| line.strip_prefix("release: 1."))?;
        release.split('.').next()?.parse::<u32>().ok()
    });
    let linker = said(&["--print", "sysroot"])
        .is_some_and(|root| Path::new(root.trim()).join(format!("lib/rustlib/{TARGET}/bin/gcc-ld/ld.lld")).exists());
    release.is_some_and(|minor| minor >= SINCE) && linker
}
