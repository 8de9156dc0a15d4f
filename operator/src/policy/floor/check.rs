//! One thing that the floor holds: a rule, as far as CEL can say it.

use k8s_openapi::api::admissionregistration::v1::Validation;

/// What a check judges, by its plural, with the subresource behind it.
pub(super) const SERVERS: &str = "mcpservers";
/// See [`SERVERS`]. Its objects are `autoscaling/v1` Scales: of a server they show the replicas and nothing else.
pub(super) const SCALES: &str = "mcpservers/scale";
/// See [`SERVERS`].
pub(super) const GRANTS: &str = "mcpaccessgrants";
/// See [`SERVERS`].
pub(super) const SESSIONS: &str = "mcpagentsessions";

/// One rule in CEL. It may let through what the rule refuses; it never refuses what the rule allows.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// The rule's code.
    pub(super) code: &'static str,
    /// What it judges: the plural of a kind, or a subresource.
    pub(super) resource: &'static str,
    /// The field that people must change.
    field: &'static str,
    /// CEL: the object is as it must be.
    fits: String,
    /// CEL, asked on UPDATE only: everything that `fits` reads is as it was.
    unchanged: String,
    /// CEL: the judged text.
    value: Option<&'static str>,
    /// The sentence: what it must be.
    must: String,
    /// What a policy asks for follows the policy's enforcement, whatever the class of the rule.
    pub(super) by_policy: bool,
}

impl Check {
    /// A check of a server.
    pub(super) fn server(code: &'static str, field: &'static str, fits: String) -> Self {
        Self::new(code, SERVERS, field, fits)
    }

    /// A check of objects of a kind, given by its plural, or of a subresource.
    pub(super) fn new(
        code: &'static str,
        resource: &'static str,
        field: &'static str,
        fits: String,
    ) -> Self {
        Self {
            code,
            resource,
            field,
            fits,
            unchanged: "false".to_owned(),
            value: None,
            must: String::new(),
            by_policy: false,
        }
    }

    /// When an UPDATE passes although the object does not fit.
    pub(super) fn unchanged(mut self, expression: impl Into<String>) -> Self {
        self.unchanged = expression.into();
        self
    }

    /// The judged text.
    pub(super) fn value(mut self, expression: &'static str) -> Self {
        self.value = Some(expression);
        self
    }

    /// The sentence.
    pub(super) fn must(mut self, sentence: impl Into<String>) -> Self {
        self.must = sentence.into();
        self
    }

    /// The rule follows the policy's enforcement here.
    pub(super) fn by_policy(mut self) -> Self {
        self.by_policy = true;
        self
    }

    /// The validation of a ValidatingAdmissionPolicy. A value is printed only if it is short and printable: homoglyphs
    /// and line breaks are the point of many refusals, and would cost the message.
    pub(super) fn validation(&self) -> Validation {
        let (code, field, must) = (self.code, self.field, &self.must);
        let message = format!("{code}: {field}: {must}");
        let message_expression = self.value.map(|value| {
            let head = super::cel::text(&format!("{code}: {field}: "));
            let tail = super::cel::text(must);
            format!(
                "{head} + ({value}.matches('^[ -~]{{1,200}}$') ? 'Invalid value: \"' + {value} + '\": ' : '') + {tail}"
            )
        });
        Validation {
            expression: format!(
                "variables.resource != '{}' || ({}) || (request.operation == 'UPDATE' && ({}))",
                self.resource, self.fits, self.unchanged
            ),
            message: Some(message),
            message_expression,
            reason: Some("Invalid".to_owned()),
        }
    }
}

/// The first few entries of a list, as they may stand in a sentence.
pub(super) fn some_of(entries: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut shown: Vec<String> = entries
        .iter()
        .take(SHOWN)
        .map(|e| rules::escape(e))
        .collect();
    if entries.len() > SHOWN {
        shown.push(format!("{} more", entries.len() - SHOWN));
    }
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown.join(", ")
    }
}
