//! What can be seen in the text of a `flake.nix` without evaluating it.
//!
//! In: the text. Out: the bindings about inputs, and whether these may name something on this machine. What is written in an unusual way may, so that nobody hides
//! inputs by it.

/// The attribute with the inputs.
const INPUTS: &str = "inputs";

/// The attribute with the function whose arguments are inputs as well.
const OUTPUTS: &str = "outputs";

/// What the address of an input begins with that is on no machine's disk.
const ELSEWHERE: [&str; 9] =
    ["flake", "git+http", "git+https", "git+ssh", "github", "gitlab", "http", "https", "sourcehut"];

/// The bytes of such an address, beside letters and digits.
const ADDRESS: &[u8] = b":/._-+?&=%@";

/// The bindings of the outermost set that say what the inputs are.
#[derive(Default)]
pub struct Bindings<'t> {
    pub inputs: Vec<&'t [u8]>,
    /// None where there is none, or more than one.
    pub outputs: Option<&'t [u8]>,
}

/// False where all inputs that are named are plain addresses of something on another machine, or none are.
pub fn may_name_local_inputs(text: &str) -> bool {
    bindings(text).is_none_or(|bindings| !bindings.inputs.into_iter().all(is_elsewhere))
}

/// The bindings that count; none where the text is unusual.
pub fn bindings(text: &str) -> Option<Bindings<'_>> {
    let bytes = text.as_bytes();
    let (mut bindings, mut binding, mut outputs) = (Vec::new(), None, Vec::new());
    // What is open; whether a binding may begin.
    let (mut at, mut open, mut is_start) = (0, Vec::new(), false);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let inside = open.last().copied();
        let is_text = matches!(inside, Some(b'"' | b'\''));
        if !is_text && may_be_of_address(bytes, at) {
            return None;
        }
        if let Some(step) = blank(rest).filter(|_| !is_text) {
            at += step;
            continue;
        }
        let is_unusual = match inside {
            // Two of them are themselves.
            Some(b'"' | b'\'') => rest.starts_with(b"$$"),
            Some(_) => rest.starts_with(b"'") && !rest.starts_with(b"''") || begins_name(rest[0]) && has_quotes(rest),
            // More than one set, or something else.
            None => rest[0] != b'{' || at > 0 && bytes[..at].contains(&b'}'),
        };
        if is_unusual || is_start && is_unclear(rest) {
            return None;
        }
        if is_start && is_inputs(rest) {
            binding = Some(at);
        } else if is_start && is_word(rest, OUTPUTS) {
            outputs.push(&bytes[at..]);
        } else if rest[0] == b';' && open.len() == 1 {
            bindings.extend(binding.take().map(|begin| &bytes[begin..at]));
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
    let outputs = if let [one] = outputs[..] { Some(one) } else { None };
    binding.is_none().then_some(Bindings { inputs: bindings, outputs })
}

/// True where a binding about inputs has nothing but names, sets, and addresses of other machines.
fn is_elsewhere(binding: &[u8]) -> bool {
    let (mut at, mut is_value) = (0, false);
    while let Some(rest) = binding.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(step) = blank(rest) {
            at += step;
            continue;
        }
        let step = match rest[0] {
            b'"' => {
                let Some(length) = memchr::memchr(b'"', &rest[1..]) else { return false };
                if !is_address(&rest[1..=length]) {
                    return false;
                }
                length + 2
            }
            b'{' | b'}' | b'.' | b'=' | b';' => 1,
            byte if begins_name(byte) => {
                let name = &rest[..name_length(rest)];
                // A variable may be anything, and attributes may say what an address does.
                if is_value && ![&b"true"[..], b"false"].contains(&name) || is_of_attributes(name) {
                    return false;
                }
                name.len()
            }
            _ => return false,
        };
        is_value = rest[0] == b'=';
        at += step;
    }
    true
}

/// True for what may say where an input is without an address.
fn is_of_attributes(name: &[u8]) -> bool {
    [&b"type"[..], b"path", b"inherit"].contains(&name)
}

/// True for an address of something on another machine, and for the name of a flake in the registry or of an input.
fn is_address(text: &[u8]) -> bool {
    let is_plain = text.iter().copied().all(is_of_address);
    let is_named = text.first().is_some_and(u8::is_ascii_alphanumeric) && !is_of_attributes(text);
    let is_elsewhere = memchr::memchr(b':', text).map_or_else(
        || str::from_utf8(text).is_ok_and(is_in_registry),
        |end| ELSEWHERE.iter().any(|scheme| scheme.as_bytes() == &text[..end]),
    );
    is_plain && is_named && is_elsewhere
}

/// True for a byte that is itself in an address.
pub fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || ADDRESS.contains(&byte)
}

/// True for the name of a flake in the registry, or of an input of an input. All else without a scheme is a path to 2.8.
pub fn is_in_registry(text: &str) -> bool {
    let mut parts = text.split('/');
    let is_branch = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
    };
    parts.next().is_some_and(is_flake_id) && parts.all(is_branch)
}

/// True for the name of a flake.
pub fn is_flake_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) && text.bytes().all(plain)
}

/// The length of white space or a comment at the beginning.
pub fn blank(text: &[u8]) -> Option<usize> {
    match text[0] {
        b'#' => Some(memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len())),
        b'/' if text.starts_with(b"/*") => {
            Some(memchr::memmem::find(&text[2..], b"*/").map_or(text.len(), |end| end + 4))
        }
        byte => byte.is_ascii_whitespace().then_some(1),
    }
}

pub fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub fn name_length(text: &[u8]) -> usize {
    text.iter().position(|byte| !goes_on(*byte)).unwrap_or(text.len())
}

/// True for a byte of a name.
fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-'".contains(&byte)
}

/// True where a name has two quotes in a row: behind a part of a path they begin a text.
fn has_quotes(text: &[u8]) -> bool {
    memchr::memmem::find(&text[..name_length(text)], b"''").is_some()
}

/// True where a comment or a text begins, unless the bytes before it make it a part of an address: `x:/*` is one.
fn may_be_of_address(text: &[u8], at: usize) -> bool {
    let (before, rest) = text.split_at(at);
    let is_of_address = |byte: &u8| byte.is_ascii_alphanumeric() || b"%/?:@&=+$,-_.!~*'".contains(byte);
    (rest.starts_with(b"/*") || rest.starts_with(b"''")) && before.last().is_some_and(is_of_address)
}

/// True for the name `inputs`; not for `inputsFrom`.
fn is_inputs(text: &[u8]) -> bool {
    is_word(text, INPUTS)
}

/// True for names that are computed, taken from elsewhere, or written as texts.
fn is_unclear(text: &[u8]) -> bool {
    is_word(text, "inherit") || text.starts_with(b"\"") || text.starts_with(b"${")
}

fn is_word(text: &[u8], word: &str) -> bool {
    text.strip_prefix(word.as_bytes()).is_some_and(|rest| !rest.first().is_some_and(|byte| goes_on(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_name_inputs(text: &str) -> bool {
        bindings(text).is_none_or(|bindings| !bindings.inputs.is_empty())
    }

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
    fn addresses_of_other_machines_are_known() {
        for text in [
            "{ outputs = { self }: { path = \"path:/x\"; inputs = 5; }; }",
            "{ # path:/x\n inputs = { a.url = \"github:o/r/branch?dir=x\"; b = { url = \"nixpkgs\"; flake = false; }; };\n outputs = _: { }; }",
            "{ inputs.a.url = \"git+ssh://git@host:22/x?ref=y&rev=z\"; inputs.a.inputs.b.follows = \"c/d\"; inputs.c.url = \"https://h/x.tar.gz\"; \
             outputs = _: { type = \"path\"; }; }",
        ] {
            assert!(!may_name_local_inputs(text), "{text}");
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
            "{ x = ./${\"a\"}b''; inputs.y = '' '';   inputs.x.url = \"path:/proc\"; y = ''; outputs = ''; }",
            "{ outputs = a:/*; inputs.x.url = \"path:/proc\"; x = y:*/; }",
            "{ x = a:b!''; inputs.x.url = \"path:/proc\"; outputs = _: ''y''; }",
        ] {
            assert!(may_name_inputs(text) && may_name_local_inputs(text), "{text}");
        }
        for text in [
            "inputs.x.url = \"path:/proc\"",
            "inputs.x.url = \"file:///proc\"",
            "inputs.x.url = \"git+file:/proc\"",
            "inputs.x.url = \"/proc\"",
            "inputs.x.url = \"./proc\"",
            "inputs.x.url = \"~/proc\"",
            "inputs.x.url = \"a.b/../proc\"",
            "inputs.x.url = \"1/../../proc\"",
            "inputs.x.url = \"x/../../proc\"",
            "inputs.x.url = \"x?a\"",
            "inputs.x.url = \"\"",
            "inputs.x.url = \"p\\ath:/proc\"",
            "inputs.x.url = \"${\"path:\"}/proc\"",
            "inputs.x.url = ''path:/proc''",
            "inputs.x.url = path:/proc",
            "inputs.x.url = /proc",
            "inputs.x.url = __storeDir",
            "inputs.x = { inherit url; }",
            "inputs = rec { a = \"github:a/b\"; x.url = a; }",
            "inputs = let a = \"b\"; in { }",
            "inputs = import ./inputs.nix",
            "inputs.x = { type = \"path\"; path = \"/proc\"; }",
            "inputs.x = { \"type\" = \"git\"; url = \"proc\"; }",
            "inputs.x.inputs.y.url = \"path:/proc\"",
            "inputs.a.url = \"github:a/b\"; inputs.x.url = \"path:/proc\"",
        ] {
            let text = format!("{{ {text}; outputs = _: {{ }}; }}");
            assert!(may_name_local_inputs(&text), "{text}");
        }
        for text in ["", "{", "{ a = \"", "{ ''", "}", "{ /*", "{ a = ''${", "\"\\"] {
            may_name_inputs(text);
        }
    }
}
