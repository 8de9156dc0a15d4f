//! What was probably meant by texts that other tools take: `1d`, `256mb`, `Weather_Server`. For hints only.

use super::name::is_dns_1035;
use super::quantity;

/// Units that people write and Go durations do not have, with the Go unit and how many of it.
const TIMES: [(&[&str], u64, &str); 5] = [
    (&["w", "week", "weeks"], 168, "h"),
    (&["d", "day", "days"], 24, "h"),
    (&["h", "hr", "hrs", "hour", "hours"], 1, "h"),
    (&["m", "min", "mins", "minute", "minutes"], 1, "m"),
    (&["", "s", "sec", "secs", "second", "seconds"], 1, "s"),
];
/// Units that people write and Kubernetes quantities do not have.
const SIZES: [(&[&str], &str); 5] = [
    (&["kb", "kib", "ki"], "Ki"),
    (&["mb", "mib", "mi"], "Mi"),
    (&["g", "gb", "gib", "gi"], "Gi"),
    (&["t", "tb", "tib", "ti"], "Ti"),
    (&["cpu", "cpus", "core", "cores"], ""),
];

/// A Go duration for a number with a unit that Go does not have: `24h` for `1d`.
pub(crate) fn duration(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text);
    let number: u64 = number.parse().ok()?;
    let (_, times, go) = TIMES
        .iter()
        .find(|(units, ..)| units.contains(&unit.as_str()))?;
    let meant = format!("{}{go}", number.checked_mul(*times)?);
    (meant != text && api::duration::parse(&meant).is_ok()).then_some(meant)
}

/// A quantity for a number with a unit that Kubernetes does not have: `256Mi` for `256mb`.
pub(crate) fn quantity(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text);
    let (_, suffix) = SIZES
        .iter()
        .find(|(units, _)| units.contains(&unit.as_str()))?;
    let meant = format!("{number}{suffix}");
    (meant != text && quantity::parse(&meant).is_ok()).then_some(meant)
}

/// A DNS-1035 label of at most `longest` characters for a name that is none: `weather-server` for `Weather_Server`.
pub(crate) fn label(text: &str, longest: usize) -> Option<String> {
    let mut label = String::new();
    for c in text.chars().take(longest) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() => label.push(c),
            c if c.is_ascii_digit() && !label.is_empty() => label.push(c),
            _ if label.is_empty() || label.ends_with('-') => {}
            '_' | '.' | ' ' | '/' | '-' => label.push('-'),
            _ => {}
        }
    }
    let label = label.trim_end_matches('-');
    is_dns_1035(label).then(|| label.to_owned())
}

/// The number that a text begins with, and what follows it in lower case.
fn number_and_unit(text: &str) -> (&str, String) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_for_a_duration_is_understood() {
        for (text, expected) in [
            ("1d", Some("24h")),
            ("2 weeks", Some("336h")),
            ("30min", Some("30m")),
            ("90", Some("90s")),
            ("1.5d", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
            ("0d", None),
        ] {
            assert_eq!(duration(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_others_take_for_a_size_is_understood() {
        for (text, expected) in [
            ("256mb", Some("256Mi")),
            ("1.5GB", Some("1.5Gi")),
            ("64 Mi", Some("64Mi")),
            ("2 cores", Some("2")),
            ("256mbit", None),
            ("mb", None),
            ("", None),
        ] {
            assert_eq!(quantity(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_is_made_a_label() {
        for (text, expected) in [
            ("Weather_Server", Some("weather-server")),
            ("9 lives", Some("lives")),
            ("a--b.", Some("a-b")),
            ("\u{43f}", None),
            ("", None),
        ] {
            assert_eq!(label(text, 54).as_deref(), expected, "{text}");
        }
    }
}
