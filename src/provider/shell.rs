//! Quotes one word for a POSIX shell, so that it arrives as exactly that word and nothing else.

use anyhow::{Result, ensure};

/// The word as a shell reads it: bare where that is safe everywhere, else in single quotes. A word with a NUL cannot exist.
pub fn quote(word: &str) -> Result<String> {
    ensure!(!word.contains('\0'), "`{}` holds a NUL, which no command can take", word.escape_debug());
    let bare = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:,@%+".contains(&b));
    if bare { Ok(word.to_owned()) } else { Ok(format!("'{}'", word.replace('\'', "'\\''"))) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_word_comes_back_from_sh_and_bash() {
        let words = [
            "", " ", "a b", "plain", "it's", "''", "\"", "$HOME", "$(id)", "`id`", "a\nb", "a\n", "\t", "*", "?",
            "[a]", "{a,b}", "~", "~root", "A=b", "-n", "--", "!x", "#x", "&", ";", "|", "<", ">", "<<EOF", "\\", "\\n",
            "a\\", "%s", "ünï", "\u{1}", "\r",
        ];
        let line: Vec<_> = words.iter().map(|word| quote(word).unwrap()).collect();
        for shell in ["sh", "bash"] {
            let script = format!("printf '%s\\0' {}", line.join(" "));
            let out = Command::new(shell).args(["-c", &script]).output().unwrap().stdout;
            let back: Vec<_> = out.strip_suffix(b"\0").unwrap().split(|&b| b == 0).collect();
            assert_eq!(back, words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>(), "{shell}");
        }
    }

    #[test]
    fn a_nul_is_refused() {
        assert!(quote("a\0b").is_err());
    }
}
