//! Which images an installation runs: what the flags say, else what is live, else those of a development build.
//!
//! Pure; `setup` reads the live images. A second `setup` without a flag must not send a cluster back to images that
//! its nodes cannot pull.

use api::names;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;
use rules::parse::image::ImageRef;

use super::{DEVELOPMENT_REGISTRY, VERSION};

/// The repository of the gateway's image; those of the two servers are named as their Deployments.
const GATEWAY: &str = "mcp-gateway";
/// The operator's argument that names the image of the gateway.
const GATEWAY_ARGUMENT: &str = "--gateway-image";

/// What the flags say about images. Everything absent says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFlags {
    /// `--image-registry`: where all images are that no other flag names.
    pub registry: Option<String>,
    /// `--webhook-image`.
    pub webhook: Option<String>,
    /// `--operator-image`.
    pub operator: Option<String>,
    /// `--gateway-image`.
    pub gateway: Option<String>,
}

/// The three images: those that an installation runs, or will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Image of mcp-webhook.
    pub webhook: String,
    /// Image of mcp-operator.
    pub operator: String,
    /// Image of mcp-gateway.
    pub gateway: String,
}

/// The images of an installation that is there; each absent where it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveImages {
    webhook: Option<String>,
    operator: Option<String>,
    gateway: Option<String>,
}

/// A flag whose image is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: '{value}' {requirement}")]
pub struct Error {
    /// Such as `--image-registry`.
    pub flag: &'static str,
    /// What was given.
    pub value: String,
    /// What it, or the image in that registry, must be.
    pub requirement: &'static str,
}

impl LiveImages {
    /// The images of the two live Deployments.
    pub fn of(webhook: Option<&Deployment>, operator: Option<&Deployment>) -> Self {
        let webhook = webhook.and_then(|live| container(live, names::WEBHOOK_NAME));
        let operator = operator.and_then(|live| container(live, names::OPERATOR_NAME));
        Self {
            webhook: webhook.and_then(|container| container.image.clone()),
            operator: operator.and_then(|container| container.image.clone()),
            gateway: operator.and_then(gateway_image),
        }
    }

    /// The first registry that a live image of ours comes from.
    fn registry(&self) -> Option<&str> {
        let live = [
            (&self.webhook, names::WEBHOOK_NAME),
            (&self.operator, names::OPERATOR_NAME),
            (&self.gateway, GATEWAY),
        ];
        live.into_iter()
            .find_map(|(image, name)| registry_of(image.as_deref()?, name))
    }

    /// The live images that `images` keeps although they are not `REGISTRY/NAME:TAG`, so no upgrade changes them.
    pub fn kept_by<'a>(&self, images: &'a Images, flags: &ImageFlags) -> Vec<&'a str> {
        let kept = [
            (
                &self.webhook,
                &flags.webhook,
                &images.webhook,
                names::WEBHOOK_NAME,
            ),
            (
                &self.operator,
                &flags.operator,
                &images.operator,
                names::OPERATOR_NAME,
            ),
            (&self.gateway, &flags.gateway, &images.gateway, GATEWAY),
        ];
        kept.into_iter()
            .filter(|(live, flag, image, name)| {
                flag.is_none() && live.as_ref() == Some(image) && registry_of(image, name).is_none()
            })
            .map(|(_, _, image, _)| image.as_str())
            .collect()
    }
}

impl ImageFlags {
    /// The images of an installation with these flags, where `live` is what there is already.
    pub fn resolve(&self, live: &LiveImages) -> Images {
        let one = |flag: &Option<String>, live_image: &Option<String>, name: &str| {
            if let Some(image) = flag {
                return image.clone();
            }
            if let Some(registry) = &self.registry {
                return image_in(registry, name);
            }
            match live_image {
                None => image_in(live.registry().unwrap_or(DEVELOPMENT_REGISTRY), name),
                Some(image) => registry_of(image, name)
                    .map_or_else(|| image.clone(), |registry| image_in(registry, name)),
            }
        };
        Images {
            webhook: one(&self.webhook, &live.webhook, names::WEBHOOK_NAME),
            operator: one(&self.operator, &live.operator, names::OPERATOR_NAME),
            gateway: one(&self.gateway, &live.gateway, GATEWAY),
        }
    }

    /// Whether every image that the flags name can be one.
    ///
    /// # Errors
    /// The first flag whose image is no reference by the grammar of distribution.
    pub fn check(&self) -> Result<(), Error> {
        let images = [
            ("--image-registry", &self.registry, Some(GATEWAY)),
            ("--webhook-image", &self.webhook, None),
            ("--operator-image", &self.operator, None),
            ("--gateway-image", &self.gateway, None),
        ];
        for (flag, value, name) in images {
            let Some(value) = value else { continue };
            let image = name.map_or_else(|| value.clone(), |name| image_in(value, name));
            ImageRef::parse(&image).map_err(|error| Error {
                flag,
                value: value.clone(),
                requirement: error.requirement(),
            })?;
        }
        Ok(())
    }
}

/// The image of one of our names in a registry, tagged with the version of this build.
fn image_in(registry: &str, name: &str) -> String {
    format!("{}/{name}:{VERSION}", registry.trim_end_matches('/'))
}

/// `ghcr.io/acme` for `ghcr.io/acme/mcp-webhook:0.1.0`. None for another shape: without tag, with a digest, of another
/// name; such an image was given as a whole.
fn registry_of<'a>(image: &'a str, name: &str) -> Option<&'a str> {
    let (registry, last) = image.rsplit_once('/')?;
    let (repository, tag) = last.split_once(':')?;
    (repository == name && !tag.is_empty() && !tag.contains('@')).then_some(registry)
}

/// The container of ours in a Deployment, whatever somebody injected beside it.
fn container<'a>(deployment: &'a Deployment, name: &str) -> Option<&'a Container> {
    let containers = &deployment.spec.as_ref()?.template.spec.as_ref()?.containers;
    let ours = name.strip_prefix("mcp-").unwrap_or(name);
    containers
        .iter()
        .find(|container| container.name == ours)
        .or(containers.first())
}

/// The image in the operator's arguments, in either spelling; the last one counts.
fn gateway_image(operator: &Container) -> Option<String> {
    let arguments = operator.args.as_deref()?;
    let at = arguments
        .iter()
        .rposition(|argument| argument.split('=').next() == Some(GATEWAY_ARGUMENT))?;
    match arguments[at].split_once('=') {
        Some((_, image)) => Some(image.to_owned()),
        None => arguments.get(at + 1).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(container: &str, image: &str, args: &[&str]) -> Deployment {
        serde_json::from_value(
            json!({"spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "injected", "image": "mesh/sidecar:1"},
                {"name": container, "image": image, "args": args},
            ]}}}}),
        )
        .unwrap()
    }

    fn live(webhook: &str, operator: &str, gateway: &str) -> LiveImages {
        let argument = format!("--gateway-image={gateway}");
        LiveImages::of(
            Some(&deployment("webhook", webhook, &[])),
            Some(&deployment("operator", operator, &["--admin=x", &argument])),
        )
    }

    fn all(images: &Images) -> [&str; 3] {
        [&images.webhook, &images.operator, &images.gateway]
    }

    #[test]
    fn without_flags_the_live_registry_stays_and_the_tag_becomes_that_of_this_build() {
        let live = live(
            "localhost:5000/a/mcp-webhook:0.0.1",
            "ghcr.io/b/mcp-operator:0.0.1",
            "ghcr.io/c/mcp-gateway:0.0.1",
        );
        let images = ImageFlags::default().resolve(&live);
        assert_eq!(
            all(&images),
            [
                format!("localhost:5000/a/mcp-webhook:{VERSION}").as_str(),
                format!("ghcr.io/b/mcp-operator:{VERSION}").as_str(),
                format!("ghcr.io/c/mcp-gateway:{VERSION}").as_str(),
            ]
        );
        assert!(live.kept_by(&images, &ImageFlags::default()).is_empty());
    }

    #[test]
    fn a_live_image_of_another_shape_stays_as_it_was_given() {
        let digest = format!("ghcr.io/acme/mcp-gateway:1@sha256:{}", "a".repeat(64));
        let live = live("ghcr.io/acme/hook:dev", "mcp-operator:1", &digest);
        let images = ImageFlags::default().resolve(&live);
        assert_eq!(
            all(&images),
            ["ghcr.io/acme/hook:dev", "mcp-operator:1", &digest]
        );
        assert_eq!(live.kept_by(&images, &ImageFlags::default()), all(&images));
    }

    #[test]
    fn a_flag_wins_over_what_is_live() {
        let live = live("a/hook:1", "a/mcp-operator:1", "a/gateway:1");
        let flags = ImageFlags {
            registry: Some("ghcr.io/acme/".to_owned()),
            gateway: Some("localhost/gw:2".to_owned()),
            ..ImageFlags::default()
        };
        assert_eq!(
            all(&flags.resolve(&live)),
            [
                format!("ghcr.io/acme/mcp-webhook:{VERSION}").as_str(),
                format!("ghcr.io/acme/mcp-operator:{VERSION}").as_str(),
                "localhost/gw:2",
            ]
        );
    }

    #[test]
    fn what_is_missing_comes_from_the_registry_of_what_is_there() {
        let webhook = deployment("webhook", "ghcr.io/acme/mcp-webhook:1", &[]);
        let images = ImageFlags::default().resolve(&LiveImages::of(Some(&webhook), None));
        assert_eq!(
            images.gateway,
            format!("ghcr.io/acme/mcp-gateway:{VERSION}")
        );
        let images = ImageFlags::default().resolve(&LiveImages::default());
        assert_eq!(
            images.gateway,
            format!("{DEVELOPMENT_REGISTRY}/mcp-gateway:{VERSION}")
        );
    }

    #[test]
    fn the_gateway_is_found_in_two_arguments_too() {
        let operator = deployment(
            "operator",
            "a/mcp-operator:1",
            &["--gateway-image", "x/gw:1"],
        );
        let images = ImageFlags::default().resolve(&LiveImages::of(None, Some(&operator)));
        assert_eq!(images.gateway, "x/gw:1");
    }

    #[test]
    fn a_registry_in_which_no_image_can_be_is_refused() {
        let registry = |value: &str| {
            let flags = ImageFlags {
                registry: Some(value.to_owned()),
                ..ImageFlags::default()
            };
            flags.check()
        };
        for bad in [
            "bad registry",
            "",
            "https://ghcr.io/acme",
            "ghcr.io/acme:1",
            "ghcr.io/Acme",
            "a//b",
        ] {
            assert!(registry(bad).is_err(), "{bad}");
        }
        for good in ["ghcr.io/acme", "localhost:5000", "acme", "ghcr.io/acme/"] {
            assert_eq!(registry(good), Ok(()), "{good}");
        }
    }
}
