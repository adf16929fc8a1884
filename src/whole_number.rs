//! Whole numbers of the command line. In: text. Out: the number, or a message that says which numbers there are.

/// Reads a whole number between these two; clap calls what this returns.
pub fn whole<N: From<u32>>(least: u32, most: u32) -> impl Fn(&str) -> Result<N, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        // A number that is only too large for us is told the largest.
        let is_too_large = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text != "0";
        number.map(N::from).ok_or_else(|| match most {
            u32::MAX if !is_too_large => format!("expected a whole number from {least} on"),
            _ => format!("expected a whole number from {least} to {most}"),
        })
    }
}

/// Reads a whole number, or `auto`, as Nix takes them.
pub fn count_or_auto(text: &str) -> Result<String, String> {
    match text {
        "auto" => Ok(text.to_owned()),
        number => match whole::<u32>(0, u32::MAX)(number) {
            Ok(number) => Ok(number.to_string()),
            Err(expected) => Err(format!("{expected}, or `auto`")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_which_numbers_there_are() {
        let (some, any) = (whole::<u64>(1, 600), whole::<u32>(1, u32::MAX));
        assert_eq!((some("600"), any("7")), (Ok(600), Ok(7)));
        for wrong in ["", "x", "-1", "0", "601", "1.5", "1e3", " 1", "99999999999999999999"] {
            assert_eq!(some(wrong), Err("expected a whole number from 1 to 600".to_owned()), "{wrong}");
        }
        for wrong in ["", "x", "-1", "0", "1.5"] {
            assert_eq!(any(wrong), Err("expected a whole number from 1 on".to_owned()), "{wrong}");
        }
        assert_eq!(any("4294967296"), Err("expected a whole number from 1 to 4294967295".to_owned()));
    }
}
