//! What can be seen in the text of a `flake.nix` without evaluating it.
//!
//! In: the text. Out: whether it may name inputs. What is written in an unusual way may, so that nobody hides inputs by it.

/// The attribute with the inputs.
const INPUTS: &str = "inputs";

/// Bytes of a path or an address that is unusual.
const LONG: usize = 512;

/// False where no binding of the outermost set can be `inputs`.
pub fn may_name_inputs(text: &str) -> bool {
    let bytes = text.as_bytes();
    // What is open; whether a binding may begin.
    let (mut at, mut open, mut is_start) = (0, Vec::new(), false);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let inside = open.last().copied();
        if let Some(step) = blank(rest).filter(|_| !matches!(inside, Some(b'"' | b'\''))) {
            at += step;
            continue;
        }
        let is_unusual = match inside {
            // Two of them are themselves.
            Some(b'"' | b'\'') => rest.starts_with(b"$$"),
            Some(_) => rest.starts_with(b"'") && !rest.starts_with(b"''") || has_odd_quote(bytes, at),
            // More than one set, or something else.
            None => rest[0] != b'{' || at > 0 && bytes[..at].contains(&b'}'),
        };
        if is_unusual || is_start && may_be_inputs(rest) {
            return true;
        }
        let step = match (rest[0], inside) {
            (byte, Some(b'{' | b'[' | b'(')) if begins_name(byte) => name_length(rest),
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
            (b'\'', _) => {
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
        is_start = open.len() == 1 && matches!(rest[0], b'{' | b';');
        at += step;
    }
    false
}

/// The length of white space or a comment at the beginning.
fn blank(text: &[u8]) -> Option<usize> {
    match text[0] {
        b'#' => Some(memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len())),
        b'/' if text.starts_with(b"/*") => {
            Some(memchr::memmem::find(&text[2..], b"*/").map_or(text.len(), |end| end + 4))
        }
        byte => byte.is_ascii_whitespace().then_some(1),
    }
}

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn name_length(text: &[u8]) -> usize {
    text.iter().position(|byte| !goes_on(*byte)).unwrap_or(text.len())
}

/// True for a byte of a name.
fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-'".contains(&byte)
}

/// True where a name holds a quote that begins a text if the name is part of a path, or is part of an address.
fn has_odd_quote(text: &[u8], at: usize) -> bool {
    if !begins_name(text[at]) {
        return false;
    }
    let (before, rest) = text.split_at(at);
    let (name, behind) = rest.split_at(name_length(rest));
    let is_of_path = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._-+/".contains(byte);
    let is_of_address = |byte: &&u8| byte.is_ascii_alphanumeric() || b"%/?:@&=+$,-_.!~*'".contains(byte);
    // What is longer is not looked through again for each name in it.
    let path: Vec<&u8> = before.iter().rev().take_while(is_of_path).take(LONG).collect();
    let address: Vec<&u8> = behind.iter().take_while(is_of_address).take(LONG).collect();
    let is_in_path = path.len() == LONG || path.contains(&&b'/');
    let is_address = address.first() == Some(&&b':') && (address.len() == LONG || address.contains(&&b'\''));
    name.contains(&b'\'') && is_in_path || is_address
}

/// True for `inputs`, `"inputs"`, and names that are computed or taken from elsewhere; not for `inputsFrom`.
fn may_be_inputs(text: &[u8]) -> bool {
    let is = |word: &str| {
        text.strip_prefix(word.as_bytes()).is_some_and(|rest| !rest.first().is_some_and(|byte| goes_on(*byte)))
    };
    is(INPUTS) || is("inherit") || text.starts_with(b"\"") || text.starts_with(b"${")
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
            assert!(may_name_inputs(text), "{text}");
        }
        for text in [
            "{ outputs = { self, nixpkgs }: { }; }",
            "{ # inputs.x\n outputs = inputs: let mk = name: inputs: derivation { inherit name inputs; }; in { x = { inputs = 5; }; }; }",
            "{ inputsFrom = 5; outputs = _: ''; inputs = 1; ''; /* ; inputs */ }",
            "{ description = \"; inputs = x\"; outputs = _: { a = [ ''b'' ]; c = builtins.foldl' (a: b: a) ''x'' [ ]; }; }\n# end\n",
        ] {
            assert!(!may_name_inputs(text), "{text}");
        }
    }

    #[test]
    fn nobody_hides_inputs() {
        for text in [
            "({ inputs.x.url = \"path:/proc\"; })",
            "rec { inputs.x.url = \"path:/proc\"; }",
            "{ description = \"$${\"; inputs.x.url = \"path:/proc\"; }",
            "{ description = ''$${''; inputs.x.url = \"path:/proc\"; }",
            "{ description = x:''; inputs.x.url = \"path:/proc\"; outputs = _: ''y''; }",
            "{ x = a.b/c.d''; inputs.x.url = \"path:/proc\"; outputs = _: ''y''; }",
            "{ x = a.b:''; inputs.x.url = \"path:/proc\"; outputs = _: ''y''; }",
            "{ x'' = 1; inputs.x.url = \"path:/proc\"; outputs = _: ''y''; }",
            "{ /*/ \" */ inputs.x.url = \"path:/proc\"; }",
            "{ # \" \r inputs.x.url = \"path:/proc\"; }",
            "{ ${\"inputs\"}.x.url = \"path:/proc\"; }",
            "{ \"in\\puts\".x.url = \"path:/proc\"; }",
            "{ inherit (import ./x) inputs; }",
            "{ outputs = _: { }; } // { inputs.x.url = \"path:/proc\"; }",
            "\u{feff}{ inputs.x.url = \"path:/proc\"; }",
        ] {
            assert!(may_name_inputs(text), "{text}");
        }
        for text in ["", "{", "{ a = \"", "{ ''", "}", "{ /*", "{ a = ''${", "\"\\"] {
            may_name_inputs(text);
        }
    }
}
