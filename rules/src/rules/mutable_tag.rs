//! MCP0103 mutable-tag: no digest, and the tag is missing or one that moves; a warning without `images.forbidMutableTags`.

use crate::parse::image::ImageRef;

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0103", "mutable-tag", SERVER, Class::Policy)
        .summary("no digest, and the tag is missing or one that moves; a warning without `images.forbidMutableTags`")
        .mentioned_by(|spec| spec.images.as_ref().is_some_and(|images| images.forbid_mutable_tags == Some(true))),
    check,
};

/// Tags that somebody moves.
const MUTABLE: [&str; 18] = [
    "latest", "main", "master", "trunk", "head", "dev", "devel", "develop", "development", "edge", "nightly", "snapshot",
    "canary", "test", "staging", "stable", "prod", "production",
];

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, _)) = context.server() else { return };
    let Some((resolved, image)) = context.image() else { return };
    let Some(message) = moving(image) else { return };
    let own = image.tag().is_some() && spec.image_tag.as_deref() == image.tag();
    let field = if own { "spec.imageTag" } else { "spec.image" };
    report.at(field).given(resolved).must(message).hint("write the version's tag, or name@sha256:...");
}

/// What is against an image whose content somebody can change.
pub(super) fn moving(image: &ImageRef) -> Option<String> {
    if image.digest().is_some() {
        return None;
    }
    match image.tag() {
        None => Some("must name a version or a digest: without a tag it is 'latest'".to_owned()),
        Some(tag) if MUTABLE.contains(&tag.to_ascii_lowercase().as_str()) => {
            Some(format!("must name a version or a digest: the tag '{tag}' moves"))
        }
        Some(_) => None,
    }
}
