//! Times and durations as kubectl prints and takes them.

use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};

/// `Duration` in at most two units, like kubectl's `AGE` column.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |a: u64, ua: &str, b: u64, ub: &str| {
        if b == 0 {
            format!("{a}{ua}")
        } else {
            format!("{a}{ua}{b}{ub}")
        }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () => two(days / 365, "y", days % 365, "d"),
    }
}

/// How long ago, or `<unknown>` for an object without a time.
pub fn since(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(
        || "<unknown>".to_owned(),
        |time| human(now.duration_since(time).try_into().unwrap_or_default()),
    )
}

/// How long until then: `59m`, or `expired`; `never` when there is no end.
pub fn until(time: Option<Timestamp>, now: Timestamp) -> String {
    match time {
        None => "never".to_owned(),
        Some(time) if time <= now => "expired".to_owned(),
        Some(time) => human(time.duration_since(now).try_into().unwrap_or_default()),
    }
}

/// `--for 8h`: a positive Go duration. For clap's `value_parser`.
pub fn parse(text: &str) -> Result<Duration, String> {
    api::duration::parse(text).map_err(|error| error.to_string())
}

/// The time that lies `after` from `now`, in whole seconds, as the API stores it.
pub fn deadline(now: Timestamp, after: Duration) -> Result<Timestamp> {
    jiff::SignedDuration::try_from(after)
        .ok()
        .and_then(|after| now.checked_add(after).ok())
        .and_then(|time| Timestamp::from_second(time.as_second()).ok())
        .ok_or_else(|| Error::usage("the duration must end before the year 10000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_those_of_kubectl() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (90_000, "25h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_expired() {
        let now = Timestamp::from_second(1000).unwrap();
        assert_eq!(until(Timestamp::from_second(999).ok(), now), "expired");
        assert_eq!(until(Timestamp::from_second(1030).ok(), now), "30s");
        assert_eq!(until(None, now), "never");
    }

    #[test]
    fn a_deadline_beyond_all_calendars_is_refused() {
        assert!(deadline(Timestamp::MAX, Duration::from_secs(1)).is_err());
    }
}
