//! Kubernetes quantities (`500m`, `64Mi`, `1.5`, `2e3`), compared exactly.

/// A quantity in nanounits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not a number with a suffix that Kubernetes knows.
    Syntax,
    /// Below zero.
    Negative,
    /// Beyond what Kubernetes can hold.
    TooLarge,
}

impl Error {
    /// What a quantity must be instead.
    pub fn requirement(self) -> &'static str {
        match self {
            Self::Syntax => "must be a quantity such as 500m, 2 or 64Mi",
            Self::Negative => "must not be negative",
            Self::TooLarge => "must be less than 9223372036854775808",
        }
    }
}

const NANO: i128 = 1_000_000_000;
const SUFFIXES: [(&str, i128); 16] = [
    ("", NANO),
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("k", NANO * 1_000),
    ("M", NANO * 1_000_000),
    ("G", NANO * 1_000_000_000),
    ("T", NANO * 1_000_000_000_000),
    ("P", NANO * 1_000_000_000_000_000),
    ("E", NANO * 1_000_000_000_000_000_000),
    ("Ki", NANO << 10),
    ("Mi", NANO << 20),
    ("Gi", NANO << 30),
    ("Ti", NANO << 40),
    ("Pi", NANO << 50),
    ("Ei", NANO << 60),
];
/// The most digits that are looked at; more cannot be a sensible quantity and would overflow.
const DIGITS: usize = 20;

/// Reads a quantity that is not negative.
pub fn parse(text: &str) -> Result<Amount, Error> {
    let unsigned = match text.strip_prefix('-') {
        Some(rest) => {
            return Err(if number(rest).is_ok() {
                Error::Negative
            } else {
                Error::Syntax
            });
        }
        None => text.strip_prefix('+').unwrap_or(text),
    };
    number(unsigned)
}

fn number(text: &str) -> Result<Amount, Error> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = text.split_at(digits);
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        (fraction, rest) = after.split_at(digits);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(Error::Syntax);
    }
    let scale = scale(rest)?;
    let whole = whole.trim_start_matches('0');
    if whole.len() > DIGITS || fraction.len() > DIGITS {
        return Err(Error::TooLarge);
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| Error::TooLarge)?
    };
    let mut amount = whole.checked_mul(scale).ok_or(Error::TooLarge)?;
    let mut place = scale;
    for digit in fraction.bytes() {
        place /= 10;
        amount = amount
            .checked_add(place * i128::from(digit - b'0'))
            .ok_or(Error::TooLarge)?;
    }
    if amount / NANO > i128::from(i64::MAX) {
        return Err(Error::TooLarge);
    }
    Ok(Amount(amount))
}

/// What one unit of the suffix is, in nanounits.
fn scale(suffix: &str) -> Result<i128, Error> {
    if let Some((_, scale)) = SUFFIXES.iter().find(|(known, _)| *known == suffix) {
        return Ok(*scale);
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(Error::Syntax)?;
    if exponent.is_empty() || exponent.len() > 4 {
        return Err(Error::Syntax);
    }
    let exponent: i32 = exponent.parse().map_err(|_| Error::Syntax)?;
    match exponent {
        -9..=18 => Ok(10_i128.pow(u32::try_from(exponent + 9).map_err(|_| Error::Syntax)?)),
        19.. => Err(Error::TooLarge),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_value() {
        for (smaller, larger) in [
            ("999m", "1"),
            ("64Mi", "65Mi"),
            ("1M", "1Mi"),
            ("1.4", "1.5"),
            ("1e3", "1001"),
            ("0", "1n"),
        ] {
            assert!(
                parse(smaller).unwrap() < parse(larger).unwrap(),
                "{smaller} {larger}"
            );
        }
        for (one, other) in [
            ("1000m", "1"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            (".5", "500m"),
            ("5.", "5"),
            ("+1", "1"),
        ] {
            assert_eq!(parse(one), parse(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "m", "1 Gi", "1GB", "1mi", "one", "1e", "--1", "1.2.3", "0x10",
        ] {
            assert_eq!(parse(text), Err(Error::Syntax), "{text:?}");
        }
        assert_eq!(parse("-1"), Err(Error::Negative));
        assert_eq!(parse("99999999999999999999999999"), Err(Error::TooLarge));
        assert_eq!(parse("10E"), Err(Error::TooLarge));
    }
}
