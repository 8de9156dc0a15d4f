//! Names for new objects, and words for a shell.

use common::{Error, Result};

/// A name for a new object: the server's name, who it is for, and five random letters, so that two never collide.
pub(crate) fn generate(server: &str, subject: &str) -> Result<String> {
    const LETTERS: &[u8; 32] = b"bcdfghjkmnpqrstvwxz2456789aeiu3y";
    let mut random = [0; 5];
    getrandom::fill(&mut random)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    let suffix: String = random
        .iter()
        .map(|byte| LETTERS[usize::from(byte & 31)] as char)
        .collect();
    Ok(format!(
        "{}-{suffix}",
        slug(&format!("{server}-{subject}"), 50)
    ))
}

/// Lower-case letters, digits and single dashes, at most `length` of them, beginning and ending with no dash.
fn slug(text: &str, length: usize) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(length);
    let slug = slug.trim_matches('-');
    if slug.is_empty() {
        "x".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_kubernetes_takes() {
        for (server, subject) in [
            ("weather", "human:alice@example.com"),
            ("w", "group:Ärzte"),
            ("", "***"),
        ] {
            let name = generate(server, subject).unwrap();
            assert!(
                name.len() <= 63 && !name.starts_with('-') && !name.contains("--"),
                "{name}"
            );
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{name}"
            );
        }
        assert!(
            generate("weather", "human:alice")
                .unwrap()
                .starts_with("weather-human-alice-")
        );
    }

    #[test]
    fn two_names_differ() {
        assert_ne!(generate("w", "a").unwrap(), generate("w", "a").unwrap());
    }
}
