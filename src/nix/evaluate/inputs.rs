//! What is wrong with the inputs of a flake: one that is replaced and not there, one that Nix cannot read.
//!
//! In: a request, the lock, what Nix says. Out: an error that names the input, and who replaces it with what.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::message;
use super::message_text::{without_escapes, without_quotes};
use super::request::{EvaluationRequest, InputOverride};
use crate::nearest::meant_or_known;
use crate::nix::machine_fault;
use crate::printable::printable;

/// What Nix says in the trace of what went wrong with an input.
const UPDATING: &str = "… while updating the flake input '";

/// What curl, OpenSSL, GnuTLS and git say where they do not trust a server, in lower case.
const DISTRUST: [&str; 4] = ["certificate", "ssl ca cert", "ssl connect error", "gnutls_handshake"];

/// What may help where something cannot be fetched, by what Nix says.
pub fn remedies(said: &str) -> &'static str {
    let words = without_quotes(said).to_lowercase();
    if DISTRUST.iter().any(|known| words.contains(known)) {
        "check this machine's clock and the certificates that it trusts, `ssl-cert-file` in `nix.conf` and `http.sslCAInfo` of git, or replace the \
         input with `--override-input`"
    } else {
        "check the network, the `flake.lock` and the access tokens in `nix.conf` or the SSH key, or replace the input with `--override-input`"
    }
}

/// How somebody has named a replaced input.
fn how(named: &InputOverride) -> &'static str {
    if named.by_flag { "`--override-input`" } else { "`override_inputs` in nixdag.yml" }
}

/// Fails where the lock has no such input: Nix would only warn, and evaluate without the replacement.
pub fn check_replaced(named: &InputOverride, locks: &Value) -> Result<()> {
    let node = |name: &str| locks.get("nodes")?.get(name);
    // What follows another input is its path from the root.
    let follow = |path: &Value| {
        let names = path.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
        names
            .into_iter()
            .try_fold(locks.get("root")?.as_str()?, |at, name| node(at)?.get("inputs")?.get(name)?.as_str())
    };
    let Some(mut at) = locks.get("root").and_then(Value::as_str) else { return Ok(()) };
    let mut above: Vec<&str> = Vec::new();
    for name in named.input.split('/') {
        let inputs = node(at).and_then(|node| node.get("inputs")?.as_object());
        let Some(next) = inputs.and_then(|inputs| inputs.get(name)) else {
            let known = inputs.into_iter().flatten().map(|(name, _)| name.as_str());
            let hint = if known.clone().next().is_some() { meant_or_known(name, known) } else { String::new() };
            let of = if above.is_empty() {
                "the flake".to_owned()
            } else {
                format!("its input `{}`", printable(&above.join("/")))
            };
            bail!(
                "{} replaces `{}`, but {of} has no input `{}`{}",
                how(named),
                printable(&named.input),
                printable(name),
                hint
            );
        };
        let Some(next) = next.as_str().or_else(|| follow(next)) else { return Ok(()) };
        at = next;
        above.push(name);
    }
    Ok(())
}

/// Says which input it is that Nix cannot read.
pub fn unreadable(request: &EvaluationRequest, stderr: &str, flake: &str, said: &str) -> Option<anyhow::Error> {
    let text = without_escapes(stderr);
    let mut named = text.lines().filter_map(|line| line.trim_start().strip_prefix(UPDATING)?.strip_suffix('\''));
    // What a flag names is looked for before the flake is.
    let gone = request.override_inputs.iter().find(|named| is_gone(&named.from_here()));
    let input = named.next_back().or(gone.map(|named| &*named.input))?;
    if machine_fault::explain(said).is_some() {
        return None;
    }
    let replaced = request.override_inputs.iter().find(|named| named.input == input);
    let by = replaced.map(|named| format!(", which {} replaces with `{}`,", how(named), printable(&named.reference)));
    let (input, by) = (printable(input), by.unwrap_or_default());
    Some(if message::is_fetch_failure(said) {
        anyhow!("input `{input}`{by} of flake `{flake}` cannot be fetched: {said} ({})", remedies(said))
    } else {
        anyhow!("input `{input}`{by} of flake `{flake}` cannot be read: {said}")
    })
}

/// True for the path of a folder that is not there.
fn is_gone(reference: &str) -> bool {
    let address = reference.strip_prefix("path:").unwrap_or(reference);
    let path = address.split('?').next().unwrap_or(address);
    let path = percent_decode_str(path).decode_utf8_lossy();
    path.starts_with(['.', '/']) && !Path::new(&*path).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_trusted_is_no_matter_of_tokens() {
        for said in [
            "unable to download 'https://x/a.tar.gz': SSL peer certificate or SSH remote key was not OK (60)",
            "unable to download 'https://x/a.tar.gz': Problem with the SSL CA cert (path? access rights?) (77)",
            "program 'git' failed with exit code 128 (unable to access 'https://x/': server certificate verification failed. CAfile: none CRLfile: none)",
            "unable to access 'https://x/': gnutls_handshake() failed: Handshake failed",
        ] {
            assert!(remedies(said).contains("certificates") && !remedies(said).contains("tokens"), "{said}");
        }
        for said in
            ["unable to download 'https://certificate.example/x': HTTP error 401", "cannot fetch input 'git+ssh://x'"]
        {
            assert!(remedies(said).contains("tokens"), "{said}");
        }
    }
}
