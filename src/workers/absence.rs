//! How long a worker waits for others that do not come: machines of another kind, which the plan has and the CI service does not start.
//!
//! In: what is known of tasks and of signs of life, and the time. Out: whether to give up.

use std::time::{Duration, Instant};

/// What is waited at least, and how often the time after which a silent worker is taken for dead: starts of machines have queues.
const WAIT: (Duration, u32) = (Duration::from_secs(600), 15);

/// A wait for workers on machines of other kinds.
#[derive(Debug)]
pub struct Absence {
    limit: Duration,
    settled: u32,
    /// When something last went on.
    since: Instant,
}

impl Absence {
    /// Nobody is missed yet.
    pub fn new(silence: Duration, now: Instant) -> Self {
        Self { limit: WAIT.0.max(silence.saturating_mul(WAIT.1)), settled: 0, since: now }
    }

    /// Something is being built here, or can be.
    pub fn goes_on(&mut self, now: Instant) {
        self.since = now;
    }

    /// True where only workers of other kinds could go on, none of which has shown itself since `last_sign`, and nothing has come of any task for too long.
    pub fn is_too_long(&mut self, settled: u32, last_sign: Option<Instant>, now: Instant) -> bool {
        if settled != self.settled {
            (self.settled, self.since) = (settled, now);
        }
        let since = last_sign.map_or(self.since, |sign| sign.max(self.since));
        now.saturating_duration_since(since) >= self.limit
    }

    /// How long is waited.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_do_not_come_are_waited_for_half_an_hour_after_the_last_that_went_on() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut absence = Absence::new(2 * minute, start);
        assert!(!absence.is_too_long(0, None, start + 29 * minute));
        assert!(absence.is_too_long(0, None, start + 30 * minute));
        // A sign, a result of somebody, a build of one's own.
        assert!(!absence.is_too_long(0, Some(start + minute), start + 30 * minute));
        assert!(absence.is_too_long(0, Some(start + minute), start + 31 * minute));
        assert!(!absence.is_too_long(1, None, start + 40 * minute));
        assert!(!absence.is_too_long(1, None, start + 69 * minute));
        assert!(absence.is_too_long(1, None, start + 70 * minute));
        absence.goes_on(start + 80 * minute);
        assert!(!absence.is_too_long(1, None, start + 109 * minute));
        // However soon a worker is taken for dead.
        let mut short = Absence::new(Duration::from_secs(1), start);
        assert!(!short.is_too_long(0, None, start + 9 * minute) && short.is_too_long(0, None, start + 10 * minute));
    }
}
