//! Go durations (`metav1.Duration`): `24h`, `1h30m`, `500ms`.
//!
//! The fields stay strings in the API types, so that a wrong one is a finding with a field path and not an object
//! that does not parse. `kube::core::Duration` reads the same texts but panics on overflow, and these texts come
//! from requests.

use std::time::Duration;

/// The pattern of the schema. What passes it may still be too large for [`parse`].
pub const PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$";

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not of the form number, unit, number, unit ...
    #[error("must be a duration such as 30s, 15m or 24h")]
    Syntax,
    /// Zero or below.
    #[error("must be greater than zero")]
    NotPositive,
    /// Beyond what Go can hold (about 292 years).
    #[error("must be less than 2540400h")]
    TooLong,
}

/// Longest unit names first, so that `ms` is not read as `m`.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a positive Go duration.
pub fn parse(text: &str) -> Result<Duration, Error> {
    if text.starts_with('-') {
        return Err(Error::NotPositive);
    }
    if text == "0" {
        return Err(Error::NotPositive);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    if text.is_empty() {
        return Err(Error::Syntax);
    }
    while !rest.is_empty() {
        let (part, after) = component(rest)?;
        nanos = nanos
            .checked_add(part)
            .filter(|n| *n <= i64::MAX as u128)
            .ok_or(Error::TooLong)?;
        rest = after;
    }
    match u64::try_from(nanos) {
        Ok(0) => Err(Error::NotPositive),
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(Error::TooLong),
    }
}

/// One number with its unit, in nanoseconds, and what follows it.
fn component(text: &str) -> Result<(u128, &str), Error> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = text.split_at(digits);
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        (fraction, rest) = after.split_at(digits);
    }
    if whole.is_empty() || (fraction.is_empty() && text.as_bytes().get(digits) == Some(&b'.')) {
        return Err(Error::Syntax);
    }
    let (unit, scale) = UNITS
        .iter()
        .find(|(unit, _)| rest.starts_with(unit))
        .ok_or(Error::Syntax)?;
    let whole: u128 = whole.parse().map_err(|_| Error::TooLong)?;
    let mut nanos = whole.checked_mul(*scale).ok_or(Error::TooLong)?;
    let mut place = *scale;
    for digit in fraction.bytes() {
        place /= 10;
        nanos += place * u128::from(digit - b'0');
    }
    Ok((nanos, &rest[unit.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, millis) in [
            ("24h", 86_400_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("2m", 120_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_positive_duration_is_refused() {
        for text in [
            "", "5", "h", "1.h", ".5h", "1d", "1h ", " 1h", "1h-2m", "1hm", "∞",
        ] {
            assert_eq!(parse(text), Err(Error::Syntax), "{text:?}");
        }
        for text in ["0", "0s", "-1h", "0h0m"] {
            assert_eq!(parse(text), Err(Error::NotPositive), "{text:?}");
        }
        for text in [
            "9999999999h",
            "99999999999999999999999999999999999999999999999999h",
        ] {
            assert_eq!(parse(text), Err(Error::TooLong), "{text:?}");
        }
    }
}
