//! What YAML 1.1 takes an unquoted word for: CircleCI's reader (SnakeYAML) does, and a configuration that people wrote for it means
//! that. What readers of 1.1 and 1.2 do not agree on is an error that asks for quotes.

use anyhow::{Result, bail};

use super::Yaml;

/// The value of an unquoted scalar.
pub(super) fn resolve(text: &str) -> Result<Yaml> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Yaml::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Yaml::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Yaml::Bool(false)),
        _ => {}
    }
    if is_date(text) {
        bail!("`{text}` is a date in YAML 1.1: put it in quotes");
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(Yaml::text(text));
    }
    if let Some(magnitude) = integer(digits) {
        let signed =
            magnitude.and_then(|number| if text.starts_with('-') { number.checked_neg() } else { Some(number) });
        return match signed {
            Some(number) => Ok(Yaml::Integer(number)),
            None => bail!("`{text}` is a number that readers do not agree on: put it in quotes"),
        };
    }
    match float(digits) {
        Float::No => Ok(Yaml::text(text)),
        Float::Plain => Ok(Yaml::Float(text.replace('_', ""))),
        Float::Unclear => bail!("`{text}` is a number to some readers and text to others: put it in quotes"),
    }
}

/// The value of a whole number without its sign: none for what is not a number, an inner none for one that is too large.
fn integer(digits: &str) -> Option<Option<i64>> {
    let plain = |text: &str| text.replace('_', "");
    let all = |text: &str, allowed: fn(u8) -> bool| !text.is_empty() && text.bytes().all(|b| b == b'_' || allowed(b));
    let radix = |text: &str, radix: u32| Some(i64::from_str_radix(&plain(text), radix).ok());
    if let Some(binary) = digits.strip_prefix("0b").filter(|text| all(text, |b| matches!(b, b'0' | b'1'))) {
        return radix(binary, 2);
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x").filter(|text| all(text, |b| b.is_ascii_hexdigit())) {
        return radix(hexadecimal, 16);
    }
    if digits == "0" {
        return Some(Some(0));
    }
    if let Some(octal) = digits.strip_prefix('0').filter(|text| all(text, |b| matches!(b, b'0'..=b'7'))) {
        return radix(octal, 8);
    }
    if !digits.starts_with(|c: char| matches!(c, '1'..='9')) {
        return None;
    }
    // Base 60, as in `1:30`.
    let mut parts = digits.split(':');
    let first = parts.next().filter(|text| all(text, |b| b.is_ascii_digit()))?;
    let mut value: Option<i64> = plain(first).parse().ok();
    for part in parts {
        let sixtieth = part.bytes().all(|b| b.is_ascii_digit()) && matches!(part.len(), 1 | 2);
        let sixtieth = if sixtieth { part.parse().ok().filter(|number: &i64| *number < 60) } else { None }?;
        value = value.and_then(|value| value.checked_mul(60)?.checked_add(sixtieth));
    }
    Some(value)
}

enum Float {
    /// No number to a reader of YAML 1.1.
    No,
    /// The same number to everybody, once its underscores are gone.
    Plain,
    /// A number to some.
    Unclear,
}

fn float(digits: &str) -> Float {
    if matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Float::Unclear;
    }
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    // `1:30.5`
    if mantissa.contains('.')
        && whole.contains(':')
        && whole.split(':').all(|part| !part.is_empty() && number(part))
        && number(fraction)
    {
        return Float::Unclear;
    }
    if !number(whole) || !number(fraction) || whole.starts_with('_') || !mantissa.bytes().any(|b| b.is_ascii_digit()) {
        return Float::No;
    }
    match exponent {
        None if mantissa.contains('.') => Float::Plain,
        None => Float::No,
        Some(exponent) => {
            let power = exponent.strip_prefix(['-', '+']);
            match power.unwrap_or(exponent) {
                "" => Float::No,
                digits if !digits.bytes().all(|b| b.is_ascii_digit()) => Float::No,
                // Some readers want a point and a sign.
                _ if power.is_some() && mantissa.contains('.') => Float::Plain,
                _ => Float::Unclear,
            }
        }
    }
}

/// `2026-08-01`, also with a time behind it.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let separated = bytes.get(4) == Some(&b'-') && digits(0..4) && digits(5..6);
    let Some(day) = bytes.get(6..9).and_then(|part| part.iter().position(|b| *b == b'-')) else { return false };
    let start = 6 + day + 1;
    let rest = text.get(start..).unwrap_or_default().trim_start_matches(|c: char| c.is_ascii_digit());
    separated
        && digits(6..6 + day)
        && digits(start..start + 1)
        && (rest.is_empty() || rest.starts_with(['T', 't', ' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_yaml_1_1_says() {
        for (text, expected) in [
            ("on", Yaml::Bool(true)),
            ("No", Yaml::Bool(false)),
            ("~", Yaml::Null),
            ("", Yaml::Null),
            ("012", Yaml::Integer(10)),
            ("-0x1F", Yaml::Integer(-31)),
            ("0b101", Yaml::Integer(5)),
            ("1_000", Yaml::Integer(1000)),
            ("1:30", Yaml::Integer(90)),
            ("+190:20:30", Yaml::Integer(685_230)),
            ("0", Yaml::Integer(0)),
            ("-7", Yaml::Integer(-7)),
            ("2.1", Yaml::Float("2.1".into())),
            ("-.5", Yaml::Float("-.5".into())),
            ("1_0.5e+3", Yaml::Float("10.5e+3".into())),
        ] {
            assert_eq!(resolve(text).unwrap(), expected, "{text}");
        }
        for text in [
            "y",
            "N",
            "089",
            "0o17",
            "1.2.3",
            "v1",
            "1:99",
            "1:300",
            "12:34:56:78x",
            "-",
            "+",
            ".",
            "...",
            "1-2",
            "2026-8",
            "1a",
            "e5",
            "1e",
            "cimg/base:2026.08",
            "<<",
            "=",
            "-x",
            "0x",
            "0b2",
            "2024.11.1",
            "12345-67-89",
            "1.2e",
            "oN",
        ] {
            assert_eq!(resolve(text).unwrap(), Yaml::text(text), "{text}");
        }
        for text in [
            "2026-08-01",
            "2026-8-1 12:00:00",
            "2026-08-01T00:00:00Z",
            "1e3",
            "1.5e3",
            ".inf",
            "-.NaN",
            "1:30.5",
            "9223372036854775808",
        ] {
            assert!(resolve(text).unwrap_err().to_string().contains("put it in quotes"), "{text}");
        }
    }
}
