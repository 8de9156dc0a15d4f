//! When a certificate ends: the one field of X.509 that `check` needs, read by hand (RFC 5280, 4.1).
//!
//! Nothing is verified here; the API server does that.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the certificate of a PEM bundle that ends last; None if there is none, or one cannot be read.
pub(crate) fn latest(pem: &[u8]) -> Option<Timestamp> {
    let ends: Option<Vec<Timestamp>> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| not_after(certificate.ok()?.as_ref()))
        .collect();
    ends?.into_iter().max()
}

/// `notAfter` of a DER certificate.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, after)) = element(rest) {
        rest = after;
    }
    // serialNumber, signature, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, after) = element(validity)?;
    let (tag, time, _) = element(after)?;
    parse_time(tag, std::str::from_utf8(time).ok()?)
}

/// Tag, content and what follows of one DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest
            .split_at_checked(usize::from(first & 0x7f))
            .filter(|(bytes, _)| bytes.len() <= 4)?;
        (
            bytes
                .iter()
                .fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)),
            rest,
        )
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, where years below 50 are of this century, or `YYYYMMDDHHMMSSZ`.
fn parse_time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 {
                "20"
            } else {
                "19"
            };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    Some(TimeZone::UTC.to_zoned(time).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let end = latest(include_bytes!("../tests/ca.pem")).unwrap();
        assert_eq!(
            end.to_string(),
            include_str!("../tests/ca.not-after").trim()
        );
    }

    #[test]
    fn both_ways_to_write_a_time_are_understood() {
        assert_eq!(
            parse_time(UTC_TIME, "301231235959Z").unwrap().to_string(),
            "2030-12-31T23:59:59Z"
        );
        assert_eq!(
            parse_time(UTC_TIME, "991231235959Z").unwrap().to_string(),
            "1999-12-31T23:59:59Z"
        );
        assert_eq!(
            parse_time(GENERALIZED_TIME, "20501231235959Z")
                .unwrap()
                .to_string(),
            "2050-12-31T23:59:59Z"
        );
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        assert_eq!(latest(b"junk"), None);
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x02, 0x30, 0x00],
        ] {
            assert_eq!(not_after(der), None);
        }
    }
}
