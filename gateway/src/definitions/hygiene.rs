//! What is suspicious in the text of a definition: characters that a person does not see and a model reads, and more
//! text than a definition needs. Pure. A finding is a warning; `kubectl mcp server tools approve` asks for more than
//! that before it pins hidden text.

/// One sort of finding. A closed list, because metrics have it as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// Characters without a glyph.
    Invisible,
    /// Characters that turn the direction of text.
    Bidirectional,
    /// Characters of the tags block, which spell ASCII invisibly.
    Tags,
    /// Control characters other than line ends and tabs.
    Control,
    /// More than [`LONGEST`] bytes.
    Oversized,
}

/// The largest definition without a finding, in bytes of its canonical form.
pub const LONGEST: usize = 32 * 1024;

impl Finding {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Invisible,
        Self::Bidirectional,
        Self::Tags,
        Self::Control,
        Self::Oversized,
    ];

    /// The word in logs, metrics and the inventory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invisible => "invisible-characters",
            Self::Bidirectional => "bidirectional-characters",
            Self::Tags => "tag-characters",
            Self::Control => "control-characters",
            Self::Oversized => "oversized",
        }
    }
}

/// What is suspicious in one text, each sort once, in the order of [`Finding::ALL`].
pub fn of_text(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if text.is_ascii() && !text.bytes().any(|b| b.is_ascii_control()) {
        return found;
    }
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if let Some(finding) = of_char(c, before, chars.peek().copied()) {
            found.push(finding);
        }
        before = Some(c);
    }
    found.sort();
    found.dedup();
    found
}

/// What is suspicious in a character between two others.
fn of_char(c: char, before: Option<char>, after: Option<char>) -> Option<Finding> {
    match c {
        '\n' | '\r' | '\t' => None,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Some(Finding::Control),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Finding::Bidirectional)
        }
        '\u{e0000}'..='\u{e007f}' => Some(Finding::Tags),
        // Joiners and selectors make emoji and several scripts what they are; beside ASCII they hide something.
        '\u{200c}' | '\u{200d}' => {
            let plain = |c: Option<char>| c.is_none_or(|c| c.is_ascii());
            (plain(before) || plain(after)).then_some(Finding::Invisible)
        }
        '\u{fe00}'..='\u{fe0f}' => before
            .is_none_or(|c| {
                c.is_ascii_alphabetic() || c == ' ' || ('\u{fe00}'..='\u{fe0f}').contains(&c)
            })
            .then_some(Finding::Invisible),
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e0fff}' => Some(Finding::Invisible),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_does_not_see_is_found() {
        use Finding::{Bidirectional, Control, Invisible, Tags};
        for (text, expected) in [
            ("a\u{200b}b", &[Invisible][..]),
            ("\u{feff}text", &[Invisible]),
            ("soft\u{ad}hyphen", &[Invisible]),
            ("join\u{200d}ed", &[Invisible]),
            ("\u{3164}", &[Invisible]),
            ("a\u{fe01}b", &[Invisible]),
            ("\u{2764}\u{fe0f}\u{fe0f}\u{fe01}", &[Invisible]),
            ("x\u{e0100}", &[Invisible]),
            ("line\u{2028}end", &[Invisible]),
            ("\u{202e}txt.exe", &[Bidirectional]),
            ("\u{2066}x\u{2069}", &[Bidirectional]),
            ("a\u{200f}", &[Bidirectional]),
            ("hi\u{e0048}\u{e0049}", &[Tags]),
            ("\u{1b}[2J", &[Control]),
            ("\0", &[Control]),
            ("\u{9b}2J", &[Control]),
            (
                "\u{7}\u{202a}\u{200b}\u{e0041}\u{200b}",
                &[Invisible, Bidirectional, Tags, Control],
            ),
        ] {
            assert_eq!(of_text(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_people_write_is_not_found() {
        for text in [
            "",
            "Echoes back the input.\n\tSecond line.\r\n",
            "Gr\u{fc}\u{df}e, \u{4f60}\u{597d}, \u{635}\u{628}\u{627}\u{62d}",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} family",
            "\u{2764}\u{fe0f} 1\u{fe0f}\u{20e3}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        ] {
            assert_eq!(of_text(text), [], "{text:?}");
        }
    }
}
