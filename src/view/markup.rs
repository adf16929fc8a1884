//! Text from outside in HTML and SVG: nothing in it is markup, steers the browser or hides from the reader.
//!
//! In: any text. Out: text for elements, attributes or data.

use std::fmt::{self, Display, Write};

use crate::printable::{printable, shortened};

/// Longest name that is shown, in characters.
pub const MAX_NAME: usize = 300;

/// Longest other text that is shown, in characters.
pub const MAX_TEXT: usize = 20_000;

/// One line of text for the content of an element or a quoted attribute, cut at [`MAX_NAME`].
pub fn name(text: &str) -> Escaped {
    Escaped(visible_name(text))
}

/// The same as [`name`] before it is escaped: for data that a script reads.
pub fn visible_name(text: &str) -> String {
    printable(&shortened(text, MAX_NAME))
}

/// Several lines, cut at [`MAX_TEXT`].
pub fn lines(text: &str) -> Escaped {
    let lines: Vec<String> = shortened(text, MAX_TEXT).lines().map(printable).collect();
    Escaped(lines.join("\n"))
}

/// Text whose signs are entities once it is written.
pub struct Escaped(String);

impl Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' | '<' | '>' | '"' | '\'' | '`' => write!(f, "&#{};", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A JSON text for the inside of a `script` element: HTML finds no markup in it, and JSON the same value.
pub fn script_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => safe.push_str(&format!("\\u{:04x}", c as u32)),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sign_of_markup_and_nothing_invisible_is_left() {
        let text = name("</a b='\"`&\u{202e}\u{1b}\n\u{61c}\u{e0041}").to_string();
        assert_eq!(text, "&#60;/a b=&#39;&#34;&#96;&#38;\\u{202e}\\u{1b}\\n\\u{61c}\\u{e0041}");
        assert_eq!(lines("a\r\nb<\u{200b}\n").to_string(), "a\nb&#60;\\u{200b}");
        assert_eq!(name(&"x".repeat(9_000)).to_string().chars().count(), MAX_NAME + 1);
    }

    #[test]
    fn json_in_a_script_is_the_same_value_without_markup() {
        let value = serde_json::json!({ "</script>": "<!-- & \u{2028}" });
        let text = script_json(&value.to_string());
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
