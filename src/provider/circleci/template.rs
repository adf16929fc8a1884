//! CircleCI's `<< … >>` templates: the one place where untrusted text is made safe for them, and where they are read back.

use anyhow::{Result, anyhow, bail};

use crate::printable::printable;

/// Text as CircleCI's compiler leaves it alone: a literal `<<` is written `\<<`, and each backslash before it is doubled.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut parts = text.split("<<").peekable();
    while let Some(part) = parts.next() {
        escaped.push_str(part);
        if parts.peek().is_some() {
            escaped.push_str(&"\\".repeat(backslashes_at_end(part) + 1));
            escaped.push_str("<<");
        }
    }
    escaped
}

/// How many backslashes a text ends with.
fn backslashes_at_end(text: &str) -> usize {
    text.len() - text.trim_end_matches('\\').len()
}

/// A name for people: what does not show is spelt out, as `\u{1}`, and templates are escaped.
pub fn label(text: &str) -> String {
    escape(&printable(text))
}

/// What a template stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// `<< parameters.NAME >>`.
    Parameter(&'a str),
    /// `<< pipeline.NAME >>`, where NAME may be `parameters.x`.
    Pipeline(&'a str),
    /// `<< matrix.NAME >>`.
    Matrix(&'a str),
}

/// A template and its place in the text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<'a> {
    /// From `<<` to behind `>>`.
    pub range: std::ops::Range<usize>,
    /// What stands in between.
    pub reference: Reference<'a>,
}

/// All templates of a text. A `<<` that is neither escaped nor the start of a template is an error.
pub fn templates(text: &str) -> Result<Vec<Template<'_>>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("<<") {
        let start = from + at;
        // An even number of backslashes is an escaped one each, and leaves the `<<` a template.
        if backslashes_at_end(&text[..start]) % 2 == 1 {
            from = start + 2;
            continue;
        }
        let rest = &text[start + 2..];
        let end = rest.find(">>").ok_or_else(|| anyhow!("a `<<` that no `>>` closes (write it `\\<<`)"))?;
        let inner = rest[..end].trim();
        let name_ok = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.')
        };
        let reference = match inner.split_once('.') {
            Some(("parameters", name)) if name_ok(name) => Reference::Parameter(name),
            Some(("pipeline", name)) if name_ok(name) => Reference::Pipeline(name),
            Some(("matrix", name)) if name_ok(name) => Reference::Matrix(name),
            _ => bail!(
                "`<<{}>>` names neither a parameter nor a pipeline value (write it `\\<<`)",
                rest[..end].escape_debug()
            ),
        };
        from = start + 2 + end + 2;
        found.push(Template { range: start..from, reference });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_holds_no_template() {
        for text in ["<<", "<<<", "<<<<", "a << b", "<< parameters.id >>", "\\<<", "<<\n>>", "<<EOF"] {
            assert_eq!(templates(&escape(text)).unwrap(), []);
        }
        for (text, escaped) in
            [(r"\<< x >>", r"\\\<< x >>"), (r"\\<<", r"\\\\\<<"), (r"a\b<<", r"a\b\<<"), ("<<<<", r"\<<\<<")]
        {
            assert_eq!(escape(text), escaped);
        }
        for text in [r"\\<< x >>", r"\\<<EOF"] {
            assert!(templates(text).is_err(), "{text}");
        }
    }

    #[test]
    fn references_are_read_with_any_blanks() {
        let text = "a<<parameters.id>>b<<  pipeline.parameters.x-y  >> \\<< << matrix.os >>";
        let references: Vec<_> = templates(text).unwrap().into_iter().map(|template| template.reference).collect();
        assert_eq!(
            references,
            [Reference::Parameter("id"), Reference::Pipeline("parameters.x-y"), Reference::Matrix("os")]
        );
    }

    #[test]
    fn a_stray_opening_is_an_error() {
        for text in ["cat <<EOF", "<< foo >>", "<<parameters>>", "<< parameters. >>", "<< parameters.a b >>", "<<>>"] {
            assert!(templates(text).is_err(), "{text}");
        }
        assert_eq!(templates("a >> b").unwrap(), []);
    }

    #[test]
    fn labels_show_control_characters() {
        assert_eq!(label("a\u{1}\n<<\u{85}"), "a\\u{1}\\n\\<<\\u{85}");
    }
}
