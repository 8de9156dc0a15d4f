//! The objects that `setup` installs, as a pure function of its options.
//!
//! The YAML files under `templates/` are what a reviewer reads; here they are parsed and a few fields are filled in by
//! path, never by replacing text. `setup`, `uninstall` and `check` use the objects, and the project's generator writes
//! them to `manifests/install/`. Nothing here talks to a cluster.

mod images;
mod policy;
mod yaml;

pub use images::{Error as ImageError, ImageFlags, Images, LiveImages};
pub use policy::{PolicyFlags, default_policy, merge_policy};
pub use yaml::to_yaml;

use api::names;
use serde_json::{Value, json};

/// Where the images of a development build are: nothing is pulled from there, they are loaded into the node.
pub const DEVELOPMENT_REGISTRY: &str = "localhost/kubectl-mcp";
/// The version of this build; the label `app.kubernetes.io/version` of everything installed, and the images' tag.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The recommended label for the version of an installed object.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// What the installed objects depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Image of mcp-webhook.
    pub webhook_image: String,
    /// Image of mcp-operator.
    pub operator_image: String,
    /// Image of mcp-gateway, which the operator puts into every server's pod.
    pub gateway_image: String,
    /// Replicas of the webhook; the template's when absent.
    pub webhook_replicas: Option<u16>,
    /// Replicas of the operator, of which one works; the template's when absent.
    pub operator_replicas: Option<u16>,
    /// What the default policy says beyond its template.
    pub policy: PolicyFlags,
}

impl Options {
    /// The options when all images come from one registry, tagged with the version of this build.
    pub fn from_registry(registry: &str) -> Self {
        let flags = ImageFlags {
            registry: Some(registry.to_owned()),
            ..ImageFlags::default()
        };
        let images = flags.resolve(&LiveImages::default());
        Self {
            webhook_image: images.webhook,
            operator_image: images.operator,
            gateway_image: images.gateway,
            webhook_replicas: None,
            operator_replicas: None,
            policy: PolicyFlags::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::from_registry(DEVELOPMENT_REGISTRY)
    }
}

/// One step of an installation. The order of the variants is the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The system namespace.
    Namespace,
    /// The kinds. The next step needs them to be served.
    Crds,
    /// Service accounts and roles.
    Rbac,
    /// The default policy: before the webhook is asked about it, so that nothing has to run for it to be stored.
    Policy,
    /// The static admission policies.
    Floor,
    /// Services, Deployments and what belongs to them.
    Workloads,
    /// The webhook configurations: from here on the webhook must answer.
    Admission,
}

/// An object and the step it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    /// When it is applied.
    pub step: Step,
    /// The object, as it is sent.
    pub object: Value,
}

/// Everything that an installation consists of, in the order in which it is applied. Deterministic.
///
/// # Panics
/// Never: the templates are compiled in.
pub fn objects(options: &Options) -> Vec<Installed> {
    let mut installed = Vec::new();
    for crd in api::crds() {
        let object = serde_json::to_value(crd).expect("a CRD serialises");
        installed.push(Installed {
            step: Step::Crds,
            object,
        });
    }
    for (template, text) in TEMPLATES {
        for mut object in
            yaml::documents(text).unwrap_or_else(|error| unreachable_template(template, &error))
        {
            fill_in(&mut object, options);
            installed.push(Installed {
                step: step_of(&object),
                object,
            });
        }
    }
    let policy =
        serde_json::to_value(default_policy(&options.policy)).expect("a policy serialises");
    installed.push(Installed {
        step: Step::Policy,
        object: policy,
    });
    for one in &mut installed {
        label(&mut one.object);
    }
    installed.sort_by_key(|one| one.step);
    installed
}

/// The whole installation as one YAML stream: `setup --dry-run=client -o yaml`, and `manifests/install/`.
pub fn manifest(options: &Options) -> String {
    let objects: Vec<Value> = objects(options).into_iter().map(|one| one.object).collect();
    to_yaml(&objects)
}

const TEMPLATES: [(&str, &str); 6] = [
    (
        "namespace.yaml",
        include_str!("../../templates/namespace.yaml"),
    ),
    ("webhook.yaml", include_str!("../../templates/webhook.yaml")),
    (
        "operator.yaml",
        include_str!("../../templates/operator.yaml"),
    ),
    ("roles.yaml", include_str!("../../templates/roles.yaml")),
    ("floor.yaml", include_str!("../../templates/floor.yaml")),
    (
        "admission.yaml",
        include_str!("../../templates/admission.yaml"),
    ),
];

/// The templates are compiled in and parsed by the tests, so this is never reached.
#[allow(clippy::panic)]
fn unreachable_template(template: &str, error: &yaml::Error) -> Vec<Value> {
    panic!("templates/{template} is compiled in and parses: {error}")
}

fn step_of(object: &Value) -> Step {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => Step::Namespace,
        "ServiceAccount" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" => {
            Step::Rbac
        }
        "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => Step::Floor,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => Step::Admission,
        _ => Step::Workloads,
    }
}

/// Images, replicas and arguments of the two Deployments. Everything else stands in the templates.
fn fill_in(object: &mut Value, options: &Options) {
    if object["kind"] != "Deployment" {
        return;
    }
    let (image, replicas) = if object["metadata"]["name"] == names::WEBHOOK_NAME {
        (&options.webhook_image, options.webhook_replicas)
    } else {
        (&options.operator_image, options.operator_replicas)
    };
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    let operator = object["metadata"]["name"] == names::OPERATOR_NAME;
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!(image);
    if operator && let Some(args) = container["args"].as_array_mut() {
        args.push(json!(format!("--gateway-image={}", options.gateway_image)));
    }
}

/// The labels by which `uninstall` and `check` know what is ours, and of which version.
fn label(object: &mut Value) {
    let labels = &mut object["metadata"]["labels"];
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[names::PART_OF] = json!(names::PROJECT);
    labels[names::MANAGED_BY] = json!(names::PLUGIN);
    labels[VERSION_LABEL] = json!(VERSION);
}

#[cfg(test)]
mod tests;
