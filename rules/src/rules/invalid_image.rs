//! MCP0101 invalid-image: the image is no reference by the grammar, or has the shape of an image id.

use crate::effective::has_tag_or_digest;
use crate::parse::entry;
use crate::parse::image::{Error, ImageRef, is_tag, quotable};

use super::{Class, Context, Meta, Plain, Report, SERVER};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0101", "invalid-image", SERVER, Class::Structural)
        .summary("the image is no reference by the grammar, or has the shape of an image id"),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    let (Some(image), Some(resolved)) = (&spec.image, &effective.image) else { return };
    let parsed = match ImageRef::parse(image) {
        Ok(parsed) => parsed,
        Err(error) => {
            report.at("spec.image").given(quotable(image)).judging(image).must(error.requirement());
            return;
        }
    };
    let tag = spec.image_tag.as_ref().filter(|_| !has_tag_or_digest(image));
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        report.at("spec.imageTag").given(tag).must(Error::Tag.requirement());
    } else if let Err(error) = ImageRef::parse(resolved)
        && spec.registry_override.as_ref().is_none_or(|registry| entry::check(registry).is_ok())
    {
        report.at("spec.image").given(quotable(resolved)).judging(resolved).must(error.requirement());
    } else if parsed.is_id_shaped() && image.contains(':') && !restricted(context) {
        report
            .at("spec.image")
            .given(image)
            .must("must not have the shape of an image id: runtimes take it for an image that is on the node already");
    }
}

/// Where an allow list holds, MCP0102 refuses the shape of an id, because no entry covers it.
fn restricted(context: &Context<'_>) -> bool {
    context.selected().any(|spec| spec.images.as_ref().is_some_and(|images| images.allowed_registries.is_some()))
}
