//! Checks of the client, of the API server, of the caller's rights and of who stands inside the trust boundary.

use common::api_error::During as _;
use common::{Cluster, Error};
use futures::future::join_all;
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, ListParams};

use super::{Check, Verdict};
use crate::preflight::{self, MINIMUM_MINOR, Right};
use crate::setup;

/// The checks, and whether the cluster answered at all.
pub(super) async fn checks(cluster: &Cluster) -> (Vec<Check>, bool) {
    let client = Check::ok("client", format!("kubectl-mcp {}", common::VERSION))
        .with_detail(format!("context '{}', {}", cluster.context, cluster.url));
    let (server, reached) = server_version(cluster).await;
    let mut found = vec![client, server];
    if reached {
        found.push(permissions(cluster).await);
        found.push(ingress_class(cluster).await);
        found.push(trust_boundary(cluster).await);
    }
    (found, reached)
}

async fn server_version(cluster: &Cluster) -> (Check, bool) {
    let check = Check::ok(
        "cluster",
        format!("the API server is at least v1.{MINIMUM_MINOR}"),
    );
    match preflight::server_version(&cluster.client).await {
        Err(error) => (check.unknown(&error), false),
        Ok(version) => match preflight::too_old(&version) {
            Some(blocker) => (check.but(Verdict::Fail, blocker.what, blocker.fix), true),
            None => (check.with_detail(version.git), true),
        },
    }
}

/// What the caller needs to use the platform in the namespace at hand; what setup needs, setup asks.
async fn permissions(cluster: &Cluster) -> Check {
    let namespace = &cluster.namespace;
    let check = Check::ok(
        "permissions",
        format!("you may use kubectl-mcp in namespace {namespace}"),
    );
    let right = |verb: &'static str, resource: &str| Right {
        verb,
        group: api::GROUP.to_owned(),
        resource: resource.to_owned(),
        namespace: Some(namespace.clone()),
    };
    let rights = [
        right("list", "mcpservers"),
        right("create", "mcpservers"),
        right("create", "mcpagentsessions"),
    ];
    let answers = join_all(
        rights
            .iter()
            .map(|right| preflight::may(&cluster.client, right)),
    )
    .await;
    let mut missing = Vec::new();
    for (right, answer) in rights.iter().zip(answers) {
        match answer {
            Err(error) => return check.unknown(&error),
            Ok(true) => {}
            Ok(false) => missing.push(right),
        }
    }
    let Some(first) = missing.first() else {
        return check;
    };
    let words: Vec<String> = missing
        .iter()
        .map(|right| format!("{} {}", right.verb, right.resource))
        .collect();
    check.but(
        Verdict::Warn,
        format!("you may not {}", words.join(", ")),
        format!("an administrator can: kubectl -n {namespace} create rolebinding NAME --clusterrole kubectl-mcp-edit \
                 --user YOU    (see it: {})", first.command()),
    )
}

async fn ingress_class(cluster: &Cluster) -> Check {
    let check = Check::ok("ingress", "the ingress class of servers exists");
    let policy = match setup::live_policy(&cluster.client).await {
        Ok(policy) => policy,
        Err(error) => return check.unknown(&error),
    };
    let wanted = policy
        .and_then(|policy| policy.spec.defaults?.ingress_class)
        .unwrap_or_else(|| "traefik".to_owned());
    let api: Api<IngressClass> = Api::all(cluster.client.clone());
    let classes = match api
        .list_metadata(&ListParams::default())
        .await
        .during("cannot list ingress classes")
    {
        Ok(classes) => classes,
        Err(error) => return check.unknown(&error),
    };
    let names: Vec<String> = classes
        .items
        .into_iter()
        .filter_map(|class| class.metadata.name)
        .collect();
    if names.contains(&wanted) {
        return check.with_detail(wanted);
    }
    let (there, example) = match names.first() {
        None => ("there is none".to_owned(), "traefik"),
        Some(first) => (format!("there are: {}", names.join(", ")), first.as_str()),
    };
    let hint = format!(
        "install an ingress controller, or name a class: kubectl mcp setup --ingress-class {example}"
    );
    check.but(
        Verdict::Warn,
        format!("'{wanted}' does not exist, {there}"),
        hint,
    )
}

/// The subresources that let somebody past the gateway.
const DOORS: [&str; 5] = [
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/proxy",
    "pods/ephemeralcontainers",
];

/// Whoever may enter pods everywhere is inside the boundary of every server.
async fn trust_boundary(cluster: &Cluster) -> Check {
    let check = Check::ok(
        "trust",
        "nobody but administrators may enter the pods of every server",
    );
    match who_enters(cluster).await {
        Err(error) => check.unknown(&error),
        Ok(subjects) if subjects.is_empty() => check,
        Ok(subjects) => {
            let shown: Vec<&str> = subjects.iter().take(5).map(String::as_str).collect();
            let more = subjects.len().saturating_sub(shown.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            check.but(
                Verdict::Warn,
                format!("{}{more} may enter any pod, and so pass every gateway", shown.join(", ")),
                "kubectl get clusterrolebindings -o wide    (take pods/exec, attach and portforward from whoever should not)",
            )
        }
    }
}

async fn who_enters(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let all = ListParams::default();
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
    let roles = roles.list(&all).await.during("cannot list cluster roles")?;
    let bindings = bindings
        .list(&all)
        .await
        .during("cannot list cluster role bindings")?;
    let doors: Vec<String> = roles
        .items
        .into_iter()
        .filter(opens_a_door)
        .filter_map(|role| role.metadata.name)
        .collect();
    let mut subjects: Vec<String> = bindings
        .items
        .into_iter()
        .filter(|binding| doors.contains(&binding.role_ref.name))
        .flat_map(|binding| binding.subjects.unwrap_or_default())
        .filter(|subject| !(subject.kind == "Group" && subject.name == "system:masters"))
        // Parts of Kubernetes itself, such as the controller that collects garbage.
        .filter(|subject| subject.namespace.as_deref() != Some("kube-system"))
        .map(|subject| format!("{} {}", subject.kind.to_lowercase(), subject.name))
        .collect();
    subjects.sort();
    subjects.dedup();
    Ok(subjects)
}

fn opens_a_door(role: &ClusterRole) -> bool {
    role.rules.iter().flatten().any(|rule| {
        let has = |list: Option<&Vec<String>>, words: &[&str]| {
            list.is_some_and(|list| {
                list.iter()
                    .any(|entry| entry == "*" || words.contains(&entry.as_str()))
            })
        };
        has(rule.api_groups.as_ref(), &[""])
            && has(rule.resources.as_ref(), &DOORS)
            && has(Some(&rule.verbs), &["create", "get", "update", "patch"])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(resources: &[&str], verbs: &[&str]) -> ClusterRole {
        serde_json::from_value(
            json!({"rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]}),
        )
        .unwrap()
    }

    #[test]
    fn a_role_with_exec_opens_a_door_and_one_that_lists_pods_does_not() {
        assert!(opens_a_door(&role(&["pods/exec"], &["create"])));
        assert!(opens_a_door(&role(&["*"], &["*"])));
        assert!(!opens_a_door(&role(&["pods"], &["get", "list"])));
        assert!(!opens_a_door(&role(&["pods/exec"], &["list"])));
    }
}
