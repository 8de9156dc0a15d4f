//! Patterns of grants: `*` stands for any characters, none included; everything else for itself, case included.

/// Whether `text` fits `pattern`. Linear in practice: a `*` is only ever retried from the last one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Whether some text fits both patterns.
pub fn intersect(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // reach[j]: whether a[..i] and b[..j] have a common text.
    let mut reach = vec![false; b.len() + 1];
    reach[0] = true;
    for j in 0..b.len() {
        reach[j + 1] = reach[j] && b[j] == b'*';
    }
    for &x in a {
        let mut next = vec![false; b.len() + 1];
        next[0] = reach[0] && x == b'*';
        for j in 0..b.len() {
            let y = b[j];
            let star = x == b'*' || y == b'*';
            next[j + 1] = (star && (next[j] || reach[j + 1])) || (x == y && reach[j]);
        }
        reach = next;
    }
    reach[b.len()]
}

/// The pattern of all URIs that a URI template (RFC 6570) can expand to, or a few more: every expression becomes `*`.
/// A literal `*` of the template stays one, which again is only a few more.
pub fn of_template(template: &str) -> String {
    let mut pattern = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        pattern.push_str(&rest[..open]);
        pattern.push('*');
        match rest[open..].find('}') {
            Some(close) => rest = &rest[open + close + 1..],
            None => return pattern,
        }
    }
    pattern.push_str(rest);
    pattern
}

/// Whether `pattern` takes in everything that `other` does: a wildcard of `other` must fall under one of `pattern`.
pub fn covers(pattern: &str, other: &str) -> bool {
    // No name or URI holds this character, so only a wildcard can match it.
    matches(pattern, &other.replace('*', "\u{1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in [
            ("echo", "echo"),
            ("*", ""),
            ("*", "anything"),
            ("get_*", "get_"),
            ("get_*", "get_sum"),
            ("*_file", "read_file"),
            ("a*b*c", "a-b-b-c"),
            ("**", "x"),
            ("*aab", "aaaaab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("echo", "Echo"),
            ("echo", "echo2"),
            ("", "x"),
            ("get_*", "got_sum"),
            ("a*b", "ab2"),
            ("e?ho", "echo"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_meet_if_one_text_fits_both() {
        for (a, b, meet) in [
            ("file:///a/*", "file:///*/b", true),
            ("file:///a/*", "file:///b/*", false),
            ("*", "", true),
            ("a*", "*b", true),
            ("a", "b", false),
            ("", "", true),
            ("x*y", "xy", true),
        ] {
            assert_eq!(intersect(a, b), meet, "{a} {b}");
            assert_eq!(intersect(b, a), meet, "{b} {a}");
        }
    }

    #[test]
    fn a_template_becomes_a_pattern() {
        assert_eq!(of_template("demo://text/{id}/{+rest}"), "demo://text/*/*");
        assert_eq!(of_template("demo://plain"), "demo://plain");
        assert_eq!(of_template("demo://{open"), "demo://*");
    }

    #[test]
    fn a_pattern_covers_only_what_it_wholly_takes_in() {
        assert!(covers("*", "a*b"));
        assert!(covers("a*", "a*b"));
        assert!(!covers("ab", "a*"));
        assert!(!covers("a*c", "a*b"));
    }
}
