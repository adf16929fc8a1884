//! Reading YAML that comes from outside: what is refused before the reader spends time on it.

use anyhow::{Result, ensure};

/// Flow collections that may be open at once in a configuration.
pub const MAX_BRACKETS: usize = 4_096;

/// Refuses text in which more than `most` flow collections are open at once: the reader's own work grows with the square of it.
/// Counts brackets in strings too, of which no sound file leaves many open.
pub fn check_nesting(text: &str, most: usize) -> Result<()> {
    let (mut open, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = open.max(deepest);
    }
    ensure!(deepest <= most, "{deepest} brackets are open at once, {most} are allowed");
    Ok(())
}
