//! What the caller may read of a cluster, with the rights of his kubeconfig.
//!
//! What he may not read stays unknown, and is said. Of Secrets only names, types, labels and keys are kept.

use std::collections::{BTreeMap, BTreeSet};

use common::api_error::During as _;
use common::{Cluster, Result};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{ListParams, PostParams};
use kube::core::Request;
use kube::{Api, Client};
use rules::{Kind, Known, Need, Question, Requester};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::is_namespaced;
use super::stored::{ConfigMapShape, Metadata, SecretShape, ServiceShape, Stored};
use super::unseen::{Subject, Unseen};

/// How many objects a list asks for at a time.
const PAGE: u32 = 500;

/// Reads what rules may want to know about objects of these namespaces. A policy is for the objects of all of them, so
/// with one in the run they are read `everywhere`.
pub(super) async fn read(
    cluster: &Cluster,
    namespaces: &BTreeSet<String>,
    everywhere: bool,
) -> Result<Stored> {
    // A name that is none cannot be asked for: it could lead the request elsewhere.
    let namespaces: Vec<&str> = namespaces
        .iter()
        .map(String::as_str)
        .filter(|name| is_label(name))
        .collect();
    let mut reader = Reader {
        client: cluster.client.clone(),
        stored: Stored::default(),
        everywhere,
    };
    reader.requester().await?;
    for kind in Kind::ALL {
        reader.kind(kind, &namespaces).await?;
    }
    reader.namespaces(&namespaces).await?;
    reader.classes().await?;
    reader.services(&namespaces).await?;
    for namespace in namespaces {
        reader.secrets(namespace).await?;
        reader.config_maps(namespace).await?;
    }
    Ok(reader.stored)
}

/// Asks the API server about the caller. What it does not answer stays without an answer, and its rule unchecked.
pub(super) async fn ask(
    cluster: &Cluster,
    questions: BTreeSet<Question>,
) -> Result<BTreeMap<Question, bool>> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let mut answers = BTreeMap::new();
    for question in questions {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: text(question.verb),
                    group: text(question.group),
                    resource: text(question.resource),
                    namespace: text(&question.namespace),
                    name: text(&question.name),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        match reviews.create(&PostParams::default(), &review).await {
            Ok(review) => {
                let allowed = review.status.is_some_and(|status| status.allowed);
                answers.insert(question, allowed);
            }
            Err(error) if refusal(&error).is_some() => {}
            Err(error) => return Err(error).during("cannot ask the cluster what you may do"),
        }
    }
    Ok(answers)
}

struct Reader {
    client: Client,
    stored: Stored,
    /// Grants and sessions of all namespaces count.
    everywhere: bool,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct EndpointSlice {
    metadata: Metadata,
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
}

impl Reader {
    /// All objects at a path, or nothing where the caller may not read them or the cluster has no such kind.
    async fn list<T: DeserializeOwned>(
        &mut self,
        subject: Subject,
        namespace: &str,
        path: &str,
    ) -> Result<Option<Vec<T>>> {
        let what = subject.in_words(namespace);
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let params = ListParams {
                limit: Some(PAGE),
                continue_token: next.take(),
                ..ListParams::default()
            };
            let request = Request::new(path)
                .list(&params)
                .map_err(kube::Error::BuildRequest)
                .during(format!("cannot list {what}"))?;
            let page: Page<T> = match self.client.request(request).await {
                Ok(page) => page,
                Err(error) => {
                    let Some(reason) = refusal(&error) else {
                        return Err(error).during(format!("cannot list {what}"));
                    };
                    self.unseen(subject, namespace, reason);
                    return Ok(None);
                }
            };
            found.extend(page.items);
            next = page.metadata.next.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(Some(found));
            }
        }
    }

    /// The same everywhere or, where that is not allowed, in each of the namespaces. With where it was: the empty
    /// namespace stands for all.
    async fn list_wide<T: DeserializeOwned>(
        &mut self,
        subject: Subject,
        group: &str,
        namespaces: &[&str],
    ) -> Result<Vec<(String, Vec<T>)>> {
        let before = self.stored.unseen.len();
        let path = format!("{group}/{}", subject.plural);
        if let Some(all) = self.list(subject, "", &path).await? {
            return Ok(vec![(String::new(), all)]);
        }
        let found = self.list_each(subject, group, namespaces).await?;
        if found.is_empty() {
            // Nowhere says it all.
            self.stored.unseen.truncate(before + 1);
        } else if let Some(unseen) = self.stored.unseen.get_mut(before) {
            unseen.elsewhere = true;
        }
        Ok(found)
    }

    /// All objects of each of the namespaces that may be read.
    async fn list_each<T: DeserializeOwned>(
        &mut self,
        subject: Subject,
        group: &str,
        namespaces: &[&str],
    ) -> Result<Vec<(String, Vec<T>)>> {
        let mut found = Vec::new();
        for namespace in namespaces {
            let path = format!("{group}/namespaces/{namespace}/{}", subject.plural);
            if let Some(some) = self.list(subject, namespace, &path).await? {
                found.push(((*namespace).to_owned(), some));
            }
        }
        Ok(found)
    }

    fn unseen(&mut self, subject: Subject, namespace: &str, reason: Refusal) {
        self.stored.unseen.push(Unseen {
            subject,
            namespace: namespace.to_owned(),
            elsewhere: false,
            forbidden: reason == Refusal::Forbidden,
        });
    }

    async fn requester(&mut self) -> Result<()> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = match api
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
        {
            Ok(review) => review,
            Err(error) => {
                let Some(reason) = refusal(&error) else {
                    return Err(error).during("cannot ask the cluster who you are");
                };
                self.unseen(Subject::of("who you are", Need::Requester), "", reason);
                return Ok(());
            }
        };
        let user = review
            .status
            .and_then(|status| status.user_info)
            .unwrap_or_default();
        self.stored.requester = Known::Known(Requester {
            username: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        });
        Ok(())
    }

    async fn kind(&mut self, kind: Kind, namespaces: &[&str]) -> Result<()> {
        let group = format!("/apis/{}/{}", api::GROUP, api::VERSION);
        let subject = Subject::of_kind(kind);
        // Of servers the routes of the whole cluster count; of all else only what is in the same namespace.
        let wide = match kind {
            Kind::Server => true,
            Kind::Grant | Kind::Session => self.everywhere,
            _ => !is_namespaced(kind),
        };
        let each = if is_namespaced(kind) { namespaces } else { &[] };
        let found: Vec<(String, Vec<Value>)> = if wide {
            self.list_wide(subject, &group, each).await?
        } else {
            self.list_each(subject, &group, each).await?
        };
        for (namespace, objects) in found {
            self.stored.listed.insert((kind, namespace));
            for mut object in objects {
                let text = |field: &str| {
                    let value = object
                        .get("metadata")
                        .and_then(|metadata| metadata.get(field));
                    value.and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                let key = (kind, text("namespace"), text("name"));
                // Items of a list may come without them.
                if let Some(object) = object.as_object_mut() {
                    object.insert(
                        "apiVersion".to_owned(),
                        format!("{}/{}", api::GROUP, api::VERSION).into(),
                    );
                    object.insert("kind".to_owned(), kind.as_str().into());
                }
                self.stored.objects.insert(key, object);
            }
        }
        Ok(())
    }

    async fn namespaces(&mut self, namespaces: &[&str]) -> Result<()> {
        let before = self.stored.unseen.len();
        let subject = Subject::of("namespaces", Need::Namespaces);
        if let Some(all) = self
            .list::<Named>(subject, "", "/api/v1/namespaces")
            .await?
        {
            self.stored.all_namespaces = true;
            for Named { metadata } in all {
                self.stored
                    .take_namespace(&metadata.name, metadata.labels.unwrap_or_default());
            }
            return Ok(());
        }
        for name in namespaces {
            let request = Request::new("/api/v1/namespaces")
                .get(name, &kube::api::GetParams::default())
                .map_err(kube::Error::BuildRequest)
                .during(format!("cannot get namespace '{name}'"))?;
            match self.client.request::<Named>(request).await {
                Ok(Named { metadata }) => {
                    self.stored
                        .take_namespace(name, metadata.labels.unwrap_or_default());
                }
                Err(error) => {
                    let Some(reason) = refusal(&error) else {
                        return Err(error).during(format!("cannot get namespace '{name}'"));
                    };
                    let subject = Subject::of("labels", Need::Policies);
                    self.unseen(subject, name, reason);
                }
            }
        }
        // What was got one by one is missing nowhere but in a list of all.
        if let Some(unseen) = self.stored.unseen.get_mut(before) {
            unseen.elsewhere = true;
        }
        Ok(())
    }

    async fn classes(&mut self) -> Result<()> {
        let path = "/apis/networking.k8s.io/v1/ingressclasses";
        let subject = Subject::of("ingressclasses", Need::IngressClasses);
        if let Some(classes) = self.list::<Named>(subject, "", path).await? {
            self.stored.all_classes = true;
            self.stored.classes = classes
                .into_iter()
                .map(|class| class.metadata.name)
                .collect();
        }
        Ok(())
    }

    async fn secrets(&mut self, namespace: &str) -> Result<()> {
        let subject = Subject::of("secrets", Need::Secrets);
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        if let Some(secrets) = self.list::<SecretShape>(subject, namespace, &path).await? {
            self.stored.secrets.complete(namespace);
            for secret in secrets {
                let name = secret.metadata.name.clone();
                self.stored.secrets.insert(namespace, &name, secret.fact());
            }
        }
        Ok(())
    }

    async fn config_maps(&mut self, namespace: &str) -> Result<()> {
        let subject = Subject::of("configmaps", Need::ConfigMaps);
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        if let Some(maps) = self
            .list::<ConfigMapShape>(subject, namespace, &path)
            .await?
        {
            self.stored.config_maps.complete(namespace);
            for map in maps {
                let data = map.data.unwrap_or_default();
                self.stored
                    .config_maps
                    .insert(namespace, &map.metadata.name, data);
            }
        }
        Ok(())
    }

    async fn services(&mut self, namespaces: &[&str]) -> Result<()> {
        let subject = Subject::of("services", Need::Services);
        let found: Vec<(String, Vec<ServiceShape>)> =
            self.list_wide(subject, "/api/v1", namespaces).await?;
        for (namespace, services) in found {
            self.stored.services.complete(&namespace);
            for service in services {
                let Metadata {
                    name, namespace, ..
                } = &service.metadata;
                let (name, namespace) = (name.clone(), namespace.clone());
                self.stored
                    .services
                    .insert(&namespace, &name, service.fact());
            }
        }
        for namespace in namespaces {
            self.endpoints(namespace).await?;
        }
        Ok(())
    }

    /// Which services of a namespace have an endpoint that is ready.
    async fn endpoints(&mut self, namespace: &str) -> Result<()> {
        let subject = Subject::of("endpointslices", Need::Endpoints);
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let Some(slices) = self
            .list::<EndpointSlice>(subject, namespace, &path)
            .await?
        else {
            return Ok(());
        };
        let mut ready: BTreeSet<String> = BTreeSet::new();
        for slice in slices {
            let labels = slice.metadata.labels.unwrap_or_default();
            // A condition that is not given counts as ready.
            let some = slice
                .endpoints
                .iter()
                .flatten()
                .any(|endpoint| endpoint.conditions.ready != Some(false));
            if some && let Some(service) = labels.get("kubernetes.io/service-name") {
                ready.insert(service.clone());
            }
        }
        let (services, _) = self.stored.services.of(namespace);
        for name in services.keys() {
            let found = ready.contains(name);
            self.stored.services.change(namespace, name, |service| {
                service.endpoints = Known::Known(found);
            });
        }
        Ok(())
    }
}

/// Why the caller does not see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// He may not.
    Forbidden,
    /// The cluster has no such thing.
    Absent,
}

/// Why the caller does not see something. Nothing for an error that is no such refusal.
fn refusal(error: &kube::Error) -> Option<Refusal> {
    match error {
        kube::Error::Api(status) if status.code == 403 => Some(Refusal::Forbidden),
        kube::Error::Api(status) if matches!(status.code, 404 | 405) => Some(Refusal::Absent),
        _ => None,
    }
}

/// Whether this can be the name of a namespace.
fn is_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
