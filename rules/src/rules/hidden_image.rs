//! MCP0110 hidden-image: an image of `podTemplate`, of a volume or of the canary breaks a rule that the server's own has to keep.

use api::{Enforcement, MCPPolicySpec};
use serde_json::Value;

use crate::effective::{canary_image, has_tag_or_digest};
use crate::parse::image::{Error, ImageRef, is_tag, quotable};
use crate::parse::near::nearest;
use crate::registry::find;
use crate::template::MOST_VOLUMES;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER};
use super::{digest_required, image_registry, mutable_tag, not_in_catalogue};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0110", "hidden-image", SERVER, Class::Policy)
        .summary("an image of `podTemplate`, of a volume or of the canary breaks MCP0101, 0102, 0103, 0104 or 0109")
        .needs(&[Need::Policies, Need::Catalogues])
        .mentioned_by(mentions),
    check,
};

/// One image that is not the server's.
struct Hidden {
    field: String,
    text: String,
}

fn check(context: &Context<'_>, report: &mut Report) {
    for hidden in collect(context, report) {
        match ImageRef::parse(&hidden.text) {
            Err(error) => {
                report.at(hidden.field).given(quotable(&hidden.text)).judging(&hidden.text).must(error.requirement()).structural();
            }
            Ok(image) => judge(context, &hidden, &image, report),
        }
    }
}

fn collect(context: &Context<'_>, report: &mut Report) -> Vec<Hidden> {
    let mut found = Vec::new();
    let Some((spec, _)) = context.server() else { return found };
    for (index, volume) in spec.volumes.iter().take(MOST_VOLUMES).enumerate() {
        if let Some(text) = volume.image.as_ref().and_then(|image| image.reference.clone()) {
            found.push(Hidden { field: format!("spec.volumes[{index}].image.reference"), text });
        }
    }
    // As it was given: what does not decode is refused by MCP0311, and its images are named all the same.
    for (list, below) in [
        ("containers", "/image"),
        ("initContainers", "/image"),
        ("ephemeralContainers", "/image"),
        ("volumes", "/image/reference"),
    ] {
        let items = context.raw(&format!("podTemplate.spec.{list}")).and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().take(MOST_VOLUMES).enumerate() {
            if let Some(text) = item.pointer(below).and_then(Value::as_str).filter(|text| !text.is_empty()) {
                let field = format!("spec.podTemplate.spec.{list}[{index}]{}", below.replace('/', "."));
                found.push(Hidden { field, text: text.to_owned() });
            }
        }
    }
    if let Some(text) = canary_image(spec, context.selected()) {
        let canary = spec.rollout.as_ref().and_then(|rollout| rollout.canary.as_ref());
        let tag = canary.and_then(|canary| canary.image_tag.as_ref());
        let own = canary.is_some_and(|canary| canary.image.is_some());
        let field = if own { "spec.rollout.canary.image" } else { "spec.rollout.canary.imageTag" };
        let tagged = canary.and_then(|canary| canary.image.as_ref()).is_some_and(|image| has_tag_or_digest(image));
        match tag.filter(|tag| !tagged && !is_tag(tag)) {
            Some(tag) => {
                let draft = report.at("spec.rollout.canary.imageTag").given(tag);
                draft.must(Error::Tag.requirement()).structural();
            }
            None => found.push(Hidden { field: field.to_owned(), text }),
        }
    }
    found
}

fn judge(context: &Context<'_>, hidden: &Hidden, image: &ImageRef, report: &mut Report) {
    let policies = context.selected();
    if let Some((policy, entries)) = image_registry::refusing(policies, image) {
        let repository = format!("{}/{}", image.host(), image.path());
        let near = nearest(&repository, entries.iter().map(String::as_str));
        let message = match near {
            Some(entry) => format!("must be in an allowed registry; nearest entry is '{entry}' in MCPPolicy '{policy}'"),
            None => format!("must not be set: MCPPolicy '{policy}' allows no registry"),
        };
        let name = image.path().rsplit('/').next().unwrap_or_default();
        let hint = near.map(|entry| format!("{entry}/{name}{}", ending(image)));
        say(context, "MCP0102", hidden, &message, hint, report);
    } else if image.is_id_shaped() && hidden.text.contains(':') {
        report
            .at(&hidden.field)
            .given(&hidden.text)
            .must("must not have the shape of an image id: runtimes take it for an image that is on the node already")
            .structural();
    }
    if let Some(message) = mutable_tag::moving(image) {
        say(context, "MCP0103", hidden, &message, Some("write the version's tag, or name@sha256:...".to_owned()), report);
    }
    if let Some(policy) = digest_required::asking(policies).filter(|_| image.digest().is_none()) {
        let hint = "name@sha256:... as the registry prints it after a push".to_owned();
        say(context, "MCP0104", hidden, &format!("must name a digest: MCPPolicy '{policy}' asks for it"), Some(hint), report);
    }
    if context.policies(report).is_some_and(|policies| policies.any(not_in_catalogue::asks))
        && let Some(catalogues) = context.catalogues(report)
        && let Some(missing) = not_in_catalogue::missing(policies, catalogues, image)
    {
        say(context, "MCP0109", hidden, &missing.message, missing.nearest, report);
    }
}

/// Tag and digest as they were written.
fn ending(image: &ImageRef) -> String {
    let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{tag}{digest}")
}

/// Says what another rule would say of the server's own image, no harder than the policies make that rule.
fn say(context: &Context<'_>, code: &str, hidden: &Hidden, message: &str, hint: Option<String>, report: &mut Report) {
    let mentions = find(code).map(|rule| rule.meta().mentions);
    let enforcement = mentions.and_then(|mentions| context.selected().enforcement(code, mentions, &[]));
    if enforcement == Some(Enforcement::Off) {
        return;
    }
    let draft = report.at(&hidden.field).given(&hidden.text).must(format!("{message} ({code})"));
    if let Some(hint) = hint {
        draft.hint(hint);
    }
    if enforcement != Some(Enforcement::Enforce) {
        draft.warning();
    }
}

/// Whether a policy says anything of images.
fn mentions(spec: &MCPPolicySpec) -> bool {
    spec.images.as_ref().is_some_and(|images| {
        images.allowed_registries.is_some()
            || [images.require_digest, images.forbid_mutable_tags, images.catalog_only].contains(&Some(true))
    })
}
