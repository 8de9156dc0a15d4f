//! The canonical form of JSON by RFC 8785: members sorted by UTF-16, shortest escapes, numbers as ECMAScript writes
//! them. Pure; what a definition's hash is made of.

use super::Error;
use crate::json::{Kind, Value};

/// Appends the canonical form of `value`, all of which must have been remembered by the scan.
pub(super) fn write(value: Value<'_>, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        Kind::Null | Kind::Bool => out.push_str(&String::from_utf8_lossy(value.raw())),
        Kind::Number => {
            let text = std::str::from_utf8(value.raw()).map_err(|_| Error::Number)?;
            let number: f64 = text.parse().map_err(|_| Error::Number)?;
            out.push_str(&self::number(number).ok_or(Error::Number)?);
        }
        Kind::String => string(&value.as_str().unwrap_or_default(), out),
        Kind::Array => {
            out.push('[');
            for (i, element) in value.children().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(element, out)?;
            }
            out.push(']');
        }
        Kind::Object => {
            let members = value.children().map(|v| (v.key().unwrap_or_default(), v));
            self::members(members.collect(), out)?;
        }
    }
    Ok(())
}

/// Appends an object of these members.
pub(super) fn members(
    mut members: Vec<(std::borrow::Cow<'_, str>, Value<'_>)>,
    out: &mut String,
) -> Result<(), Error> {
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (i, (key, value)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(&key, out);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => out.extend(unicode_escape(c)),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// `\u` and four hexadecimal digits, of a control character.
fn unicode_escape(c: char) -> impl Iterator<Item = char> {
    let digit = |shift: u32| char::from_digit(u32::from(c) >> shift & 0xf, 16).unwrap_or('0');
    ['\\', 'u', '0', '0', digit(4), digit(0)].into_iter()
}

/// A number by ECMAScript's `Number::toString`; `None` of what is none.
fn number(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some("0".to_owned());
    }
    // ECMAScript asks for the shortest digits that read back as the same number, of those for the closest, and for the
    // even one of two that are equally close. Rust's shortest form leaves the last question open.
    let shortest = format!("{:e}", value.abs());
    let decimals = shortest
        .split('e')
        .next()?
        .bytes()
        .filter(u8::is_ascii_digit)
        .count()
        - 1;
    let closest = format!("{:.decimals$e}", value.abs());
    let scientific = if closest.parse() == Ok(value.abs()) {
        closest
    } else {
        shortest
    };
    let (mantissa, exponent) = scientific.split_once('e')?;
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().ok()?;
    let sign = if value < 0.0 { "-" } else { "" };
    Some(format!("{sign}{}", positional(&digits, exponent)))
}

/// `digits` with the point after the first one, times ten to the `exponent`.
fn positional(digits: &str, exponent: i32) -> String {
    let count = digits.len();
    match usize::try_from(exponent + 1) {
        Ok(point) if (1..=21).contains(&point) && count <= point => {
            format!("{digits}{}", "0".repeat(point - count))
        }
        Ok(point) if (1..=21).contains(&point) => {
            format!("{}.{}", &digits[..point], &digits[point..])
        }
        _ if (-6..0).contains(&exponent) => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
            format!("0.{}{digits}", "0".repeat(zeros))
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{first}{point}{rest}e{sign}{}", exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Limits};

    fn canonical(text: &str) -> Result<String, Error> {
        let document = Document::scan(text.as_bytes(), Limits::DEFINITION)?;
        let mut out = String::new();
        write(document.root(), &mut out)?;
        Ok(out)
    }

    /// RFC 8785, appendix B.
    #[test]
    fn numbers_are_written_as_the_rfc_says() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let value = f64::from_bits(bits);
            assert_eq!(number(value).as_deref(), Some(expected), "{bits:x}");
        }
        assert_eq!(number(f64::NAN), None);
        assert_eq!(number(f64::INFINITY), None);
    }

    /// RFC 8785, 3.2.2 and 3.2.3.
    #[test]
    fn the_examples_of_the_rfc_come_out_as_printed() {
        let literals = "{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],\
             \"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\"literals\":[null,true,false]}";
        assert_eq!(
            canonical(literals).unwrap(),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        let keys = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let order: Vec<_> = canonical(keys)
            .unwrap()
            .split("\":\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            order,
            [
                "Carriage Return",
                "One",
                "Control",
                "Latin Small Letter O With Diaeresis",
                "Euro Sign",
                "Emoji: Grinning Face",
                "Hebrew Letter Dalet With Dagesh"
            ]
        );
    }

    #[test]
    fn the_form_does_not_depend_on_how_it_was_written() {
        let one = canonical(r#"{ "b" : [ 1.0, 10e-1 ], "a" : "\u0061/" }"#).unwrap();
        assert_eq!(one, canonical(r#"{"a":"a\/","b":[1,1e0]}"#).unwrap());
        assert_eq!(one, r#"{"a":"a/","b":[1,1]}"#);
        assert_eq!(canonical(&one).unwrap(), one);
    }

    #[test]
    fn a_number_beyond_all_numbers_has_no_form() {
        assert_eq!(canonical("[1e999]"), Err(Error::Number));
    }
}
