//! MCP0109 not-in-catalogue: `images.catalogOnly`, and no synced catalogue has the image's repository or digest.

use api::names::SYSTEM_NAMESPACE;
use api::{CatalogRef, MCPPolicySpec};

use crate::facts::CatalogueFact;
use crate::parse::image::ImageRef;
use crate::parse::near::nearest;
use crate::policy::PolicySet;

use super::{Class, Context, Meta, Need, Plain, Report, SERVER, image_field};

pub(crate) const RULE: Plain = Plain {
    meta: Meta::new("MCP0109", "not-in-catalogue", SERVER, Class::Policy)
        .summary("neither repository nor digest is in a synced catalogue, with `images.catalogOnly`")
        .needs(&[Need::Policies, Need::Catalogues])
        .mentioned_by(asks),
    check,
};

fn check(context: &Context<'_>, report: &mut Report) {
    let Some((spec, effective)) = context.server() else { return };
    if effective.image.is_none() {
        return;
    }
    let Some(policies) = context.policies(report) else { return };
    let Some((resolved, image)) = context.image() else { return };
    if !policies.any(asks) {
        return;
    }
    let Some(catalogues) = context.catalogues(report) else { return };
    if let Some(missing) = missing(policies, catalogues, image) {
        let draft = report.at(image_field(spec)).given(resolved).must(missing.message);
        match missing.nearest {
            Some(near) => draft.hint(format!("image: {near}{}", image.tag().map(|tag| format!(":{tag}")).unwrap_or_default())),
            None => draft.hint("ask a platform engineer to add it to a catalogue"),
        };
    }
}

/// That an image is in no catalogue of a policy.
pub(super) struct Missing {
    /// What the image must be.
    pub(super) message: String,
    /// The nearest repository that is in one.
    pub(super) nearest: Option<String>,
}

/// Judges an image against the first policy in whose catalogues it is not.
pub(super) fn missing(policies: &PolicySet, catalogues: &[CatalogueFact], image: &ImageRef) -> Option<Missing> {
    let repository = format!("{}/{}", image.host(), image.path());
    let holds = |catalogue: &CatalogueFact| {
        !image.is_id_shaped()
            && (catalogue.repositories.contains(&repository)
                || image.digest().is_some_and(|digest| catalogue.digests.contains(digest)))
    };
    let (policy, named) = policies.first(|spec| {
        let named = spec.images.as_ref()?.catalogs.as_deref();
        let found = catalogues.iter().any(|catalogue| speaks_of(named, catalogue) && holds(catalogue));
        (asks(spec) && !found).then_some(named)
    })?;
    let spoken: Vec<&CatalogueFact> = catalogues.iter().filter(|catalogue| speaks_of(named, catalogue)).collect();
    let which = match named {
        None => format!("namespace '{SYSTEM_NAMESPACE}'"),
        Some(named) => named.iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect::<Vec<_>>().join(", "),
    };
    let message = if spoken.is_empty() {
        format!("must be in a catalogue: MCPPolicy '{policy}' asks for one of {which}, and none of them is synced")
    } else {
        format!("must be in a catalogue that MCPPolicy '{policy}' names: {which}")
    };
    let known = spoken.iter().flat_map(|catalogue| &catalogue.repositories);
    Some(Missing { message, nearest: nearest(&repository, known.map(String::as_str)).map(str::to_owned) })
}

pub(super) fn asks(spec: &MCPPolicySpec) -> bool {
    spec.images.as_ref().is_some_and(|images| images.catalog_only == Some(true))
}

/// Whether a policy means the catalogue: by name, or as one of the system's where it names none.
fn speaks_of(named: Option<&[CatalogRef]>, catalogue: &CatalogueFact) -> bool {
    match named {
        None => catalogue.namespace == SYSTEM_NAMESPACE,
        Some(named) => named.iter().any(|one| one.namespace == catalogue.namespace && one.name == catalogue.name),
    }
}
