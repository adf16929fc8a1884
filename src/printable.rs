//! Text from outside as people may see it: on a terminal, in a log, in a name.

/// Text that a terminal shows as it is: control characters and those that turn the direction of writing become visible escapes.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    // GitHub's runner takes this for the beginning of a command, wherever in a line it is.
    if shown.contains("##[") { shown.replace("##[", "#\\u{23}[") } else { shown }
}

/// The character that `{1b}` stands for at the beginning of a text, behind the `\u` that [`printable`] writes, and how many bytes that takes.
pub fn numbered(text: &str) -> Option<(char, usize)> {
    let (number, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_number = !number.is_empty() && number.len() <= 6 && number.bytes().all(|b| b.is_ascii_hexdigit());
    let c = char::from_u32(is_number.then(|| u32::from_str_radix(number, 16).ok())??)?;
    Some((c, number.len() + 2))
}

/// The first `most` characters; a `…` stands for more.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Characters of a line of an error: what a file holds may be quoted in it.
const LONGEST_LINE: usize = 4_000;

/// The lines of an error as a log may show them: cut, and none but the first begins as a command of GitHub's runner does.
pub fn error_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(|line| {
        let line = shortened(&printable(line), LONGEST_LINE);
        if line.trim_start().starts_with("::") { format!("| {line}") } else { line }
    })
}

/// A URL as people may see it, however malformed: anything that may be a user's name and password is left out.
pub fn printable_url(text: &str) -> String {
    let text = printable(text);
    let is_web = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http"));
    let scheme =
        text.find(":/").filter(|end| text[..*end].bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)));
    let after_scheme = scheme.map_or(0, |end| text.len() - text[end + 1..].trim_start_matches('/').len());
    let (scheme, rest) = text.split_at(after_scheme);
    // Signs may be escaped, for which each letter counts in both cases.
    let plain = rest.to_ascii_lowercase();
    let last = |sign: &str, escaped: &str| plain.rfind(sign).max(plain.rfind(escaped));
    match last("@", "%40") {
        // A user alone is not a secret, and ssh needs it.
        Some(at) if is_web || plain[..at].contains(':') || plain[..at].contains("%3a") => {
            format!("{scheme}…{}", &rest[at..])
        }
        None if !scheme.is_empty() && plain.contains("%3a") => format!("{scheme}…"),
        // The host may be missing, and its port the password.
        None if !scheme.is_empty() && !is_address(rest) => match rest.split_once(':') {
            Some((host, port)) if !host.contains(['/', '?']) && !is_port(port) => format!("{scheme}{host}:…"),
            _ => text,
        },
        _ => text,
    }
}

/// True for what begins with an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    inner.is_some_and(|(inner, _)| inner.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)))
}

/// True for a port, with or without a path behind it.
fn is_port(text: &str) -> bool {
    text.split(['/', '?']).next().is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Characters that change how others look: separators of lines, directions of writing, joiners, the byte order mark, tags.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{e0000}'..='\u{e007f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_LINE, error_lines, printable, printable_url};

    #[test]
    fn no_command_of_githubs_runner_comes_through() {
        assert_eq!(printable("a ###[add-mask]e"), "a ##\\u{23}[add-mask]e");
        assert_eq!(error_lines("a\n ::error::b").collect::<Vec<_>>(), ["a", "|  ::error::b"]);
    }

    #[test]
    fn an_error_is_cut_and_none_of_its_lines_is_a_command() {
        let long = "x".repeat(100_000);
        let lines: Vec<String> = error_lines(&format!("error: a\n::error::b\n  ::c\n\u{1b}[1m\n{long}")).collect();
        assert_eq!(lines[..4], ["error: a", "| ::error::b", "|   ::c", "\\u{1b}[1m"]);
        assert_eq!(lines[4].chars().count(), LONGEST_LINE + 1);
    }

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(printable("a\u{1b}[31mb\n\u{202e}ü\u{85}"), "a\\u{1b}[31mb\\n\\u{202e}ü\\u{85}");
    }

    #[test]
    fn no_password_of_a_malformed_url_is_shown() {
        for text in [
            "https://ci:secret/b==@host",
            "https:/ci:secret@host",
            "https:///ci:secret@host",
            "https//secret@host",
            "HTTPS://secret@host",
            "ssh-ng://ci:secret/x@host",
            "s3://bucket?endpoint=http://ci:secret@host",
            "ci:secret@host",
            "https://ci:secret",
            "https://ci:secret%40host",
            "ssh-ng://ci%3Asecret@host",
            "ssh-ng://ci%3asecret%40host",
            "ssh-ng://ci%3asecret",
            "ssh-ng://ci:secret%40host/x?y",
            "https://[ci:secret",
            "https://[ci:secret]",
            "s3://bucket?endpoint=http://ci:secret%40host",
        ] {
            let shown = printable_url(text);
            assert!(!shown.contains("secret"), "{text}: {shown}");
        }
        for text in
            ["https://h:80/x?y=1", "https://[::1]:80/x", "ssh-ng://me@h", "git@h:x", "cachix:x", "/a/b", "s3://b"]
        {
            assert_eq!(printable_url(text), text);
        }
    }
}
