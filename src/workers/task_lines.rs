//! What is said while a task is built, until it has ended: its beginning and its end, since builders may print without end.

use std::collections::VecDeque;

/// Most bytes that are kept of the beginning, and of the end.
const KEPT: usize = 1 << 20;

/// Lines about a task.
#[derive(Debug, Default)]
pub struct TaskLines {
    first: Vec<String>,
    last: VecDeque<String>,
    /// Bytes of both.
    bytes: (usize, usize),
    left_out: u64,
}

impl TaskLines {
    /// A line.
    pub fn push(&mut self, line: &str) {
        let size = line.len() + size_of::<String>();
        if self.last.is_empty() && self.bytes.0 + size <= KEPT {
            self.bytes.0 += size;
            self.first.push(line.to_owned());
            return;
        }
        self.bytes.1 += size;
        self.last.push_back(line.to_owned());
        while self.bytes.1 > KEPT
            && let Some(line) = self.last.pop_front()
        {
            self.bytes.1 -= line.len() + size_of::<String>();
            self.left_out += 1;
        }
    }

    /// All that was kept.
    pub fn lines(self) -> Vec<String> {
        let mut lines = self.first;
        if self.left_out > 0 {
            lines.push(format!("[{} lines left out]", self.left_out));
        }
        lines.extend(self.last);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_the_first_and_the_last_are_kept() {
        let mut few = TaskLines::default();
        ["a", "b"].into_iter().for_each(|line| few.push(line));
        assert_eq!(few.lines(), ["a", "b"]);
        let mut many = TaskLines::default();
        (0..100_000).for_each(|number| many.push(&format!("{number} {}", "x".repeat(100))));
        let lines = many.lines();
        assert!(lines.iter().map(String::len).sum::<usize>() < 2 * KEPT + 100);
        assert!(lines[0].starts_with("0 ") && lines[lines.len() - 1].starts_with("99999 "));
        let cut = lines.iter().position(|line| line.ends_with(" lines left out]")).unwrap();
        let left_out = 100_000 - (lines.len() - 1);
        assert_eq!(lines[cut], format!("[{left_out} lines left out]"));
        let next: usize = lines[cut - 1].split_once(' ').unwrap().0.parse().unwrap();
        assert!(lines[cut + 1].starts_with(&format!("{} ", next + 1 + left_out)));
    }
}
