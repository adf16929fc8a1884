//! Values and names as Nix expressions.

use serde_json::Value;

/// Words that are no names in Nix.
const KEYWORDS: [&str; 10] = ["if", "then", "else", "assert", "with", "let", "in", "rec", "inherit", "or"];

/// Text as a Nix string literal.
pub fn nix_string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => literal.extend(['\\', c]),
            // Nix reads it as the end of a line where it stands as it is.
            '\r' => literal.push_str("\\r"),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// A value as JSON in a Nix string literal, in printable characters of ASCII alone. What is typed in a line editor needs that: `nix repl` obeys control characters even where it
/// reads a pipe (one deletes what comes before it, and the rest of a name would be a command), and may take other bytes for keys as well.
pub fn typed_json(value: &Value) -> String {
    let mut json = String::new();
    for c in value.to_string().chars() {
        if is_typed(c) {
            json.push(c);
        } else {
            json.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    nix_string(&json)
}

/// The same for text, as an expression that can be an argument.
pub fn typed_string(text: &str) -> String {
    if text.chars().all(is_typed) {
        nix_string(text)
    } else {
        format!("(builtins.fromJSON {})", typed_json(&text.into()))
    }
}

fn is_typed(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// True for what can be written as a variable.
pub fn is_identifier(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins)
        && name.chars().all(|c| begins(c) || c.is_ascii_digit() || "-'".contains(c))
        && !KEYWORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_nix_string() {
        assert_eq!(nix_string(r#"a"b\c${d}"#), r#""a\"b\\c\${d}""#);
        assert_eq!(nix_string("a\r\n"), "\"a\\r\n\"");
    }

    #[test]
    fn what_is_typed_is_printable_ascii() {
        assert_eq!(typed_string("a \"b\" ${c}"), nix_string("a \"b\" ${c}"));
        let hostile: String = (1..0x2ff_u32).chain([0x1f600]).filter_map(char::from_u32).collect();
        let typed = typed_string(&hostile);
        assert!(
            typed.starts_with("(builtins.fromJSON \"") && typed.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{typed}"
        );
        let json = typed.strip_prefix("(builtins.fromJSON \"").unwrap().strip_suffix("\")").unwrap();
        let json = json.replace("\\$", "$").replace("\\\"", "\"").replace("\\\\", "\\");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
