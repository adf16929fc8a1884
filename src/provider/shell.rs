//! Writes words and commands for a POSIX shell, so that each word arrives as exactly that word and nothing else.

use anyhow::{Result, ensure};

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Arrives as exactly this text.
    Text(String),
    /// A text of nixdag's own that the shell expands: `~/…`, `"$NIXDAG_JOB"`.
    Shell(String),
}

impl Word {
    /// A text that the shell expands.
    pub fn shell(text: &'static str) -> Self {
        Self::Shell(text.to_owned())
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A user's command in a shell of its own, so that an `exit` in it ends no more than the command.
pub fn in_a_subshell(command: &str) -> String {
    format!("(\n{}\n)\n", command.trim_end_matches('\n'))
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand(Vec<Word>);

impl ShellCommand {
    /// The words, the program first.
    pub fn new(words: impl IntoIterator<Item = Word>) -> Self {
        Self(words.into_iter().collect())
    }

    /// Adds arguments.
    pub fn extend(&mut self, words: impl IntoIterator<Item = Word>) {
        self.0.extend(words);
    }

    /// The words.
    pub fn words(&self) -> &[Word] {
        &self.0
    }

    /// One line, without a line end unless a word holds one. A word with a NUL cannot exist.
    pub fn line(&self) -> Result<String> {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|word| match word {
                Word::Text(text) => quote(text),
                Word::Shell(text) => Ok(text.clone()),
            })
            .collect::<Result<_>>()?;
        Ok(words.join(" "))
    }
}

/// The word as a shell reads it: bare where that is safe everywhere, else in single quotes. A word with a NUL cannot exist.
pub fn quote(word: &str) -> Result<String> {
    ensure!(!word.contains('\0'), "`{}` holds a NUL, which no command can take", word.escape_debug());
    let bare = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:,@%+".contains(&b));
    if bare { Ok(word.to_owned()) } else { Ok(format!("'{}'", word.replace('\'', "'\\''"))) }
}

#[cfg(test)]
mod tests {
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
            let out = std::process::Command::new(shell).args(["-c", &script]).output().unwrap().stdout;
            let back: Vec<_> = out.strip_suffix(b"\0").unwrap().split(|&b| b == 0).collect();
            assert_eq!(back, words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>(), "{shell}");
        }
    }

    #[test]
    fn a_nul_is_refused() {
        assert!(quote("a\0b").is_err());
    }
}
