//! What a rule has to say, and the list of everything that all rules said about one object.

use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Write as _};
use std::hash::{Hash as _, Hasher as _};

use serde::Serialize;

/// Where a rule is explained.
const DOCS: &str = "https://github.com/kubectl-mcp/kubectl-mcp/blob/main/docs/rules";
/// The longest quoted value, in characters. Longer ones end in `...`.
const QUOTED: usize = 200;
/// The longest admission warning, in characters: API servers cut longer ones.
pub const WARNING_LENGTH: usize = 120;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is taken, and the person is told.
    Warning,
    /// The rule could not look up what it needs.
    Unchecked,
}

impl Severity {
    /// The word as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Unchecked => "unchecked",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Whoever wrote the object: answered with 422 `Invalid`.
    #[default]
    Invalid,
    /// Somebody else must act first, and the message says who: answered with 403 `Forbidden`.
    Forbidden,
}

/// One thing that one rule has to say about one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Code of the rule, such as `MCP0102`.
    pub code: &'static str,
    /// How bad it is, after policies and ratchet.
    pub severity: Severity,
    /// The object's kind.
    pub kind: &'static str,
    /// The object's namespace; empty where it has none.
    pub namespace: String,
    /// The object's name; empty where the API server will make one.
    pub name: String,
    /// Path of the field, such as `spec.env[2].value`; empty for the whole object.
    pub field: String,
    /// What was given, escaped and cut. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What it must be.
    pub message: String,
    /// What to write or type instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Address of the rule's page.
    pub docs: String,
    /// Who can do something about it.
    #[serde(skip)]
    pub fault: Fault,
    /// The policy only wants it noted in the audit log: not shown as a warning.
    #[serde(skip)]
    pub audit: bool,
    /// A policy mentions the rule, and so decided what the violation does.
    #[serde(skip)]
    pub by_policy: bool,
    /// It would refuse the object, had it not been so before the change.
    #[serde(skip)]
    pub ratcheted: bool,
    /// What was judged, hashed: two findings are the same to the ratchet if code, field and this are equal.
    #[serde(skip)]
    pub(crate) judged: u64,
}

impl Finding {
    /// The sentence without the field, for `details.causes[].message` of an API status.
    pub fn sentence(&self) -> String {
        let mut text = String::new();
        if let Some(value) = &self.value {
            let _ = write!(text, "Invalid value: \"{value}\": ");
        }
        let _ = write!(text, "{} ({})", self.message, self.code);
        if let Some(hint) = &self.hint {
            let _ = write!(text, "; hint: {hint}");
        }
        text
    }

    /// The finding as an admission warning: one line of at most [`WARNING_LENGTH`] characters.
    pub fn warning_line(&self) -> String {
        let field = if self.field.is_empty() {
            String::new()
        } else {
            format!("{}: ", self.field)
        };
        cut(
            &format!("{}: {field}{}", self.code, self.message),
            WARNING_LENGTH,
        )
    }

    /// Whether this is the same finding to the ratchet.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.code == other.code && self.field == other.field && self.judged == other.judged
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.sentence())
    }
}

/// Everything that the rules said about one object, sorted by field, then code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| order(a).cmp(&order(b)));
        findings.dedup_by(|a, b| order(a) == order(b));
        Self(findings)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// What refuses the object.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.iter()
            .filter(|finding| finding.severity == Severity::Error)
    }

    /// What the person is told, without what is only noted for the audit log.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.iter()
            .filter(|finding| finding.severity == Severity::Warning && !finding.audit)
    }

    /// What a policy wants noted in the audit log.
    pub fn audited(&self) -> impl Iterator<Item = &Finding> {
        self.iter().filter(|finding| finding.audit)
    }

    /// What would refuse the object, had a policy not turned it into a warning or a line in the audit log.
    pub fn eased(&self) -> impl Iterator<Item = &Finding> {
        self.iter().filter(|finding| {
            finding.severity == Severity::Warning
                && (finding.audit || finding.by_policy && !finding.ratcheted)
        })
    }

    /// Rules that could not look up what they need.
    pub fn unchecked(&self) -> impl Iterator<Item = &Finding> {
        self.iter()
            .filter(|finding| finding.severity == Severity::Unchecked)
    }

    /// Whether the object is refused.
    pub fn is_refused(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Whether the refusal is for somebody else to lift: every error is of that sort.
    pub fn is_forbidden(&self) -> bool {
        self.is_refused()
            && self
                .errors()
                .all(|finding| finding.fault == Fault::Forbidden)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody said anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The order in which findings are shown, and what makes two of them one.
fn order(finding: &Finding) -> (&str, &str, Severity, &str) {
    (
        &finding.field,
        finding.code,
        finding.severity,
        &finding.message,
    )
}

/// Address of a rule's page.
pub fn docs(code: &str) -> String {
    format!("{DOCS}/{code}.md")
}

/// A value as it may be quoted: printable ASCII stays, everything else is escaped, because homoglyphs and control
/// characters are the point of many refusals.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == QUOTED {
            out.push_str("...");
            break;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out
}

/// A sentence with everything escaped that is not printable ASCII: names of objects get into it as they came.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            _ => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out
}

/// A short text for [`Draft::judging`] in the place of a long one that many findings speak of.
pub(crate) fn fingerprint(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

/// The text, at most `length` characters of it.
pub(crate) fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(length.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// What a rule writes; the engine makes a [`Finding`] of it.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(crate) field: String,
    pub(crate) value: Option<String>,
    pub(crate) judged: u64,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) weight: Weight,
    pub(crate) fault: Fault,
    pub(crate) by_policy: bool,
    pub(crate) structural: bool,
    /// Policies that allow by a field of theirs what the rule refuses by default.
    pub(crate) relaxed: Vec<String>,
}

/// How heavy a draft can become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Whatever the rule's class and the policies say.
    #[default]
    Full,
    /// Never more than a warning.
    Warning,
    /// The rule could not look up what it needs.
    Unchecked,
}

impl Draft {
    /// A draft about a field.
    pub(crate) fn at(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            ..Self::default()
        }
    }

    /// Quotes what was given, and makes it what the ratchet compares.
    pub(crate) fn given(&mut self, value: impl fmt::Display) -> &mut Self {
        let text = value.to_string();
        self.value = Some(escape(&text));
        self.judging(&text)
    }

    /// What the ratchet compares, without quoting it: for secrets, and for what depends on more than one field.
    pub(crate) fn judging(&mut self, value: &str) -> &mut Self {
        let mut hasher = DefaultHasher::new();
        self.judged.hash(&mut hasher);
        value.hash(&mut hasher);
        self.judged = hasher.finish();
        self
    }

    /// What it must be.
    pub(crate) fn must(&mut self, message: impl Into<String>) -> &mut Self {
        self.message = printable(&message.into());
        self
    }

    /// What to write or type instead.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(printable(&hint.into()));
        self
    }

    /// Never more than a warning.
    pub(crate) fn warning(&mut self) -> &mut Self {
        self.weight = Weight::Warning;
        self
    }

    /// Somebody else must act.
    pub(crate) fn forbidden(&mut self) -> &mut Self {
        self.fault = Fault::Forbidden;
        self
    }

    /// Follows the enforcement of the policies although the rule is structural.
    pub(crate) fn by_policy(&mut self) -> &mut Self {
        self.by_policy = true;
        self
    }

    /// Holds whatever the policies say although the rule is a policy's: it breaks isolation, or cannot work.
    pub(crate) fn structural(&mut self) -> &mut Self {
        self.structural = true;
        self
    }

    /// These policies allow it: it stays refused only where another policy that mentions the rule wants it so.
    pub(crate) fn relaxed_by(&mut self, policies: Vec<String>) -> &mut Self {
        self.relaxed = policies;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_printable_ascii_is_escaped() {
        assert_eq!(
            escape("a\u{43e}\n\"\\\u{200b}"),
            "a\\u043e\\n\\\"\\\\\\u200b"
        );
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(escape(&"x".repeat(500)).len(), QUOTED + 3);
    }
}
