//! Which workers live, as far as this one can tell by its own clock: each raises a number from time to time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::maker::Life;
use super::tasks::WorkerNumber;
use crate::plan::workers::crew::{SIGNS, stretch};

/// Lives, and when each last showed itself.
#[derive(Debug, Default)]
pub struct Signs {
    /// Whether gaps between signs grow, where names are few.
    grow: bool,
    seen: HashMap<Life, (Option<u32>, Instant)>,
}

/// The gap behind a sign.
pub fn gap(silence: Duration, number: u32, grows: bool) -> Duration {
    let gap = silence / SIGNS;
    if grows { gap.mul_f64(stretch(number)) } else { gap }
}

impl Signs {
    /// Nobody has shown itself. `grow` says whether gaps between signs grow.
    pub fn new(grow: bool) -> Self {
        Self { grow, seen: HashMap::new() }
    }

    /// A claim of this life was read. A life that has never shown itself is as old as the first claim of it that was read.
    pub fn known(&mut self, life: &Life, now: Instant) {
        self.seen.entry(life.clone()).or_insert((None, now));
    }

    /// A sign was listed.
    pub fn sign(&mut self, life: Life, number: u32, now: Instant) {
        let seen = self.seen.entry(life).or_insert((None, now));
        if seen.0.is_none_or(|before| number > before) {
            *seen = (Some(number), now);
        }
    }

    /// When the last of these workers showed itself; none where none has.
    pub fn last(&self, is_meant: impl Fn(WorkerNumber) -> bool) -> Option<Instant> {
        self.seen.iter().filter(|(life, _)| is_meant(life.worker)).map(|(_, (_, last))| *last).max()
    }

    /// True where nothing was seen of it for so long, or for as many gaps as that has first ones.
    pub fn is_silent(&self, life: &Life, silence: Duration, now: Instant) -> bool {
        self.seen.get(life).is_some_and(|(number, last)| {
            let silence = gap(silence, number.unwrap_or(0), self.grow) * SIGNS;
            now.saturating_duration_since(*last) >= silence
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_silent_when_its_number_has_not_grown_for_so_long() {
        let life = Life { worker: 1, word: "0".repeat(16) };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut signs = Signs::default();
        assert!(!signs.is_silent(&life, second, start + 9 * second));
        signs.known(&life, start);
        signs.known(&life, start + second);
        assert!(signs.is_silent(&life, second, start + second));
        signs.sign(life.clone(), 5, start + 2 * second);
        assert!(!signs.is_silent(&life, 2 * second, start + 3 * second));
        // Where names are few a worker that has run for long is waited for longer, but not for ever.
        let mut few = Signs::new(true);
        few.sign(life.clone(), 40, start);
        assert!(!few.is_silent(&life, second, start + second) && few.is_silent(&life, second, start + 2 * second));
        few.sign(life.clone(), u32::MAX, start);
        assert!(few.is_silent(&life, second, start + 8 * second));
        // A listing that is late shows what is known already.
        signs.sign(life.clone(), 4, start + 3 * second);
        signs.sign(life.clone(), 5, start + 3 * second);
        assert!(signs.is_silent(&life, 2 * second, start + 4 * second));
        assert_eq!(
            (signs.last(|worker| worker == 1), signs.last(|worker| worker != 1)),
            (Some(start + 2 * second), None)
        );
    }
}
