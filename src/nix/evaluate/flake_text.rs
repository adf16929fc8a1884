//! What can be seen in the text of a `flake.nix` without evaluating it.
//!
//! In: the text. Out: whether it seems to name inputs. Nobody relies on that: what Nix says when it evaluates the flake counts.

/// The attribute with the inputs.
const INPUTS: &str = "inputs";

/// True where some binding of the outermost set begins with `inputs`, also one of a `let` there.
pub fn names_inputs(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Where a binding may begin, what is open.
    let (mut at, mut is_start, mut open) = (0, false, Vec::new());
    while at < bytes.len() {
        let rest = &bytes[at..];
        let step = match (rest[0], open.last()) {
            (b'$', Some(b'"' | b'\'')) if rest.starts_with(b"${") => {
                open.push(b'{');
                2
            }
            (b'\\', Some(b'"')) => 2,
            (b'\'', Some(b'\'')) if rest.starts_with(b"'''") || rest.starts_with(b"''$") => 3,
            (b'\'', Some(b'\'')) if rest.starts_with(b"''\\") => 4,
            (b'\'', Some(b'\'')) if rest.starts_with(b"''") => {
                open.pop();
                2
            }
            (b'"', Some(b'"')) => {
                open.pop();
                1
            }
            (_, Some(b'"' | b'\'')) => 1,
            (b'#', _) => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
            (b'/', _) if rest.starts_with(b"/*") => memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2),
            (byte, _) if byte.is_ascii_whitespace() => 1,
            _ if is_start && is_inputs(rest) => return true,
            (b'\'', _) if rest.starts_with(b"''") => {
                open.push(b'\'');
                2
            }
            (byte @ (b'"' | b'{' | b'[' | b'('), _) => {
                open.push(byte);
                1
            }
            (b'}' | b']' | b')', _) => {
                open.pop();
                1
            }
            _ => 1,
        };
        let is_blank = rest[0].is_ascii_whitespace() || rest[0] == b'#' || rest.starts_with(b"/*");
        if !is_blank {
            is_start = open.len() == 1 && matches!(rest[0], b'{' | b';');
        }
        at += step;
    }
    false
}

/// True for `inputs`, `inputs.x`, `"inputs"`, not for `inputsFrom`.
fn is_inputs(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-'".contains(byte);
    text.strip_prefix(INPUTS.as_bytes()).is_some_and(|rest| !rest.first().is_some_and(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_told_from_other_words() {
        for text in [
            "{ inputs.x.url = \"path:./x\"; outputs = _: { }; }",
            "{\n  # inputs\n  description = \"a; } ${toString 5} \\\" inputs\";\n  inputs = { };\n}",
            "{ outputs = _: { a = ''\n }; inputs ''; }; \"inputs\".x.url = \"y\"; }",
            "{ outputs = _: ''a ''' ''${ ''\\n ${\"}\"} ; ''; /* ; */ inputs.x.flake = false; }",
        ] {
            assert!(names_inputs(text), "{text}");
        }
        for text in [
            "{ outputs = { self, nixpkgs }: { }; }",
            "{ # inputs.x\n outputs = inputs: let mk = name: inputs: derivation { inherit name inputs; }; in { x = { inputs = 5; }; }; }",
            "{ inputsFrom = 5; outputs = _: ''; inputs = 1; ''; /* ; inputs */ }",
            "{ description = \"; inputs = x\"",
            "",
            "}]);inputs",
        ] {
            assert!(!names_inputs(text), "{text}");
        }
    }
}
