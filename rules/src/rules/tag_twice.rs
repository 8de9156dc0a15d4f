//! MCP0105 tag-twice: `imageTag` while `image` has a tag or a digest.

use crate::effective::has_tag_or_digest;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0105", "tag-twice", SERVER, Class::Structural)
        .summary("`imageTag` while `image` has a tag or a digest"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let (Some(image), Some(tag)) = (&spec.image, &spec.image_tag) else { return };
    if has_tag_or_digest(image) {
        let what = if image.contains('@') { "digest" } else { "tag" };
        report
            .at("spec.imageTag")
            .given(tag)
            .judging(image)
            .must(format!("must not be set when image has a {what}"))
            .hint(format!("take imageTag away, or write image: {}", untagged(image)));
    }
}

/// The image without tag and digest.
fn untagged(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let end = match name.rfind('/') {
        Some(slash) => name[slash..].find(':').map(|colon| slash + colon),
        None => name.find(':'),
    };
    crate::finding::escape(&name[..end.unwrap_or(name.len())])
}
