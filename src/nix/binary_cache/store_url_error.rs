//! What is wrong with a text that is not a store URL, and what to write in its place.

use crate::nearest;

/// Schemes of Nix's stores (its manual, "Store Types").
pub const SCHEMES: [&str; 12] = [
    "http",
    "https",
    "file",
    "s3",
    "ssh",
    "ssh-ng",
    "mounted-ssh-ng",
    "local",
    "local-overlay",
    "daemon",
    "unix",
    "dummy",
];

/// True where an `@` after the host may end a password with a slash or a question mark in it.
pub fn has_late_at_sign(text: &str) -> bool {
    // One that has lost its scheme looks like a folder.
    let parts = text.split_once("://").filter(|(scheme, _)| is_scheme(&scheme.to_ascii_lowercase()));
    let (scheme, rest) = parts.unwrap_or(("", text));
    let end = rest.find(['/', '?']).filter(|_| !scheme.is_empty()).unwrap_or(rest.len());
    let late = rest.rfind('@').filter(|at| *at > end || scheme.is_empty());
    scheme != "file" && late.is_some_and(|at| scheme.starts_with("http") || rest[..at].contains(':'))
}

/// Nix knows schemes in lower case only.
pub fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// What is wrong with the characters of a URL, and what to write instead.
pub fn wrong_character(text: &str) -> Option<&'static str> {
    let has = |is: fn(char) -> bool| text.contains(is);
    if has(char::is_whitespace) {
        Some("it has spaces (give each URL by itself; a space in a folder's name is `%20`)")
    } else if has(|c| !c.is_ascii()) {
        Some("it has letters beyond ASCII (a host is written `xn--…`, anything else `%C3%A9` and the like)")
    } else if has(|c| c.is_control() || c == '"' || c == '\\') {
        Some("it has quotes, backslashes or control characters (they are written `%22` and the like)")
    } else {
        None
    }
}

/// What somebody may have meant with what is no URL.
pub fn meant(shown: &str) -> String {
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let host = shown.split('/').next().unwrap_or_default();
    let cachix = shown.strip_prefix("cachix:").map(|name| name.trim_start_matches('/'));
    match (cachix, shown.split_once("://")) {
        (Some(name), _) if is_word(name) => format!("to fetch from Cachix it is `https://{name}.cachix.org`"),
        (_, Some((scheme, _))) if SCHEMES.contains(&&*scheme.to_ascii_lowercase()) => {
            format!("the scheme in lower case: `{}`", scheme.to_ascii_lowercase())
        }
        (_, Some((scheme, _))) if is_scheme(scheme) => {
            format!("Nix's stores have no scheme `{scheme}`{}", nearest::meant_or_known(scheme, SCHEMES))
        }
        (_, None) if host.trim_matches('.').contains('.') && is_word(host) => {
            format!("did you mean `https://{shown}`?")
        }
        _ => "expected `https://…`, `file:///…`, `s3://…`, `daemon`, …".to_owned(),
    }
}
