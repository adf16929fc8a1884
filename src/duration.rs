//! Durations in words, for people, and the clock.

pub mod seconds;

/// Seconds since 1970 by this machine's clock; 0 before.
pub fn now() -> u64 {
    use std::time::SystemTime;
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The day of a time in seconds since 1970, in UTC: `2026-11-28`.
pub fn day(time: u64) -> String {
    // Years begin in March here, so that a leap day is the last of one; eras have 400 of them.
    let days = time / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{date:02}", year + 400 * era)
}

/// Milliseconds: `0.4 s`, `45 s`, `3 min 05 s`, `1 h 02 min`. Rounded up; tenths only below ten seconds.
pub fn in_words(millis: u64) -> String {
    let tenths = millis.div_ceil(100);
    if tenths < 100 && !tenths.is_multiple_of(10) {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = millis.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// The same in as few characters as can be read, where a line is short: `45s`, `3m05s`, `1h02m`.
pub fn in_short(millis: u64) -> String {
    in_words(millis).replace(" min", "m").replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [0, 951_782_399, 951_782_400, 951_868_800, 1_795_824_000, 4_107_542_400].map(day);
        assert_eq!(days, ["1970-01-01", "2000-02-28", "2000-02-29", "2000-03-01", "2026-11-28", "2100-03-01"]);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([0, 400, 3_000, 9_950, 45_000].map(in_words), ["0 s", "0.4 s", "3 s", "10 s", "45 s"]);
        assert_eq!([59_700, 185_000, 3_720_500].map(in_words), ["1 min 00 s", "3 min 05 s", "1 h 02 min"]);
        assert_eq!([400, 185_000, 3_720_500].map(in_short), ["0.4s", "3m05s", "1h02m"]);
    }
}
