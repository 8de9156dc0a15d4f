//! MCP0809 content: a resource is not exactly one thing, or its URI, MIME type or bytes cannot be read.

use api::ResourceContent;

use crate::parse::{media, uri};

use super::{Class, Context, Kind, Meta, Plain, Report};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0809", "content", &[Kind::Resource], Class::Structural).summary(
        "not exactly one of `content` and `operations`, or of `text` and `blob`; `blob` is no base64; MIME type or URI \
         invalid",
    ),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some(spec) = context.resource() else { return };
    match (spec.content.is_some(), spec.operations.is_some()) {
        (true, false) | (false, true) => {}
        (both, _) => {
            report
                .at("spec")
                .judging(if both { "both" } else { "neither" })
                .must("must have exactly one of content and operations")
                .hint(if both { "take one of the two away" } else { "content: {uri: \"doc://example\", text: \"...\"}" });
        }
    }
    if let Some(content) = &spec.content {
        judge(content, report);
    }
}

fn judge(content: &ResourceContent, report: &mut Report) {
    match (content.text.is_some(), content.blob.is_some()) {
        (true, false) | (false, true) => {}
        (both, _) => {
            report
                .at("spec.content")
                .judging(if both { "both" } else { "neither" })
                .must("must have exactly one of text and blob")
                .hint(if both { "take one of the two away" } else { "text: \"...\"" });
        }
    }
    if let Err(error) = uri::check(&content.uri) {
        let draft = report.at("spec.content.uri").given(&content.uri);
        draft.must(error.requirement());
        if let Some(meant) = uri::meant(&content.uri) {
            draft.hint(format!("uri: {meant}"));
        }
    }
    if let Some(given) = &content.mime_type
        && let Err(error) = media::check(given)
    {
        let draft = report.at("spec.content.mimeType").given(given);
        draft.must(error.requirement());
        if let Some(meant) = media::meant(given) {
            draft.hint(format!("mimeType: {meant}"));
        }
    }
    // The bytes may be a secret, and are long: only where they go wrong is said.
    if let Some(blob) = &content.blob
        && let Err(error) = media::check_base64(blob)
    {
        report
            .at("spec.content.blob")
            .judging(blob)
            .must(error.requirement())
            .hint("base64 -w0 FILE");
    }
}
