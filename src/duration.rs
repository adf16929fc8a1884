//! Durations in words, for people.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!([0, 400, 3_000, 9_950, 45_000].map(in_words), ["0 s", "0.4 s", "3 s", "10 s", "45 s"]);
        assert_eq!([59_700, 185_000, 3_720_500].map(in_words), ["1 min 00 s", "3 min 05 s", "1 h 02 min"]);
    }
}
