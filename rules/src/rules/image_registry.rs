//! MCP0102 image-registry: the resolved image is outside `images.allowedRegistries`.

use api::MCPServerSpec;

use crate::effective::has_tag_or_digest;
use crate::parse::image::ImageRef;
use crate::parse::near::nearest;
use crate::policy::PolicySet;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER, image_field};

/// Docker Hub, where `nginx` is `library/nginx`.
const HUB: &str = "docker.io";

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0102", "image-registry", SERVER, Class::Policy)
        .summary("the resolved image is outside `images.allowedRegistries`")
        .needs(&[Need::Policies])
        .mentioned_by(|spec| spec.images.as_ref().is_some_and(|images| images.allowed_registries.is_some())),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.image.is_none() {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let Some((resolved, image)) = context.image() else { return };
    let Some((policy, entries)) = refusing(policies, image) else { return };
    let repository = format!("{}/{}", image.host(), image.path());
    let draft = report.at(image_field(spec)).given(resolved);
    match nearest(&repository, entries.iter().map(String::as_str)) {
        None => draft.must(format!("must not be set: MCPPolicy '{policy}' allows no registry")),
        Some(_) if image.is_id_shaped() => {
            draft.must("must name its registry: runtimes take this for the id of an image that is on the node already")
        }
        Some(entry) => draft
            .must(format!("must be in an allowed registry; nearest entry is '{entry}' in MCPPolicy '{policy}'"))
            .hint(replacement(spec, image, entry)),
    };
}

/// The first policy whose list does not cover the image, and its list.
pub(super) fn refusing<'a>(policies: &'a PolicySet, image: &ImageRef) -> Option<(&'a str, &'a [String])> {
    policies.first(|spec| {
        let entries = spec.images.as_ref()?.allowed_registries.as_ref()?;
        (!entries.iter().any(|entry| image.matches(entry))).then_some(entries.as_slice())
    })
}

/// What to write so that the entry covers the image.
fn replacement(spec: &MCPServerSpec, image: &ImageRef, entry: &str) -> String {
    if image_field(spec) == "spec.registryOverride" {
        return format!("registryOverride: {entry}");
    }
    // A host alone covers any path; below a path only the name is certainly the image's own.
    let own = if image.host() == HUB { image.path().trim_start_matches("library/") } else { image.path() };
    let name = if entry.contains('/') { own.rsplit('/').next().unwrap_or_default() } else { own };
    let tag = image.tag().filter(|_| spec.image_tag.is_none() || tagged(spec)).map(|tag| format!(":{tag}"));
    let digest = image.digest().map(|digest| format!("@{digest}"));
    format!("image: {entry}/{name}{}{}", tag.unwrap_or_default(), digest.unwrap_or_default())
}

fn tagged(spec: &MCPServerSpec) -> bool {
    spec.image.as_deref().is_some_and(has_tag_or_digest)
}
