//! What must hold for the installed objects, whoever edits a template.

use std::collections::BTreeSet;

use super::*;
use crate::kinds;

fn installed() -> Vec<Value> {
    objects(&Options::default())
        .into_iter()
        .map(|one| one.object)
        .collect()
}

fn find(kind: &str, name: &str) -> Value {
    let found = installed()
        .into_iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

fn rules() -> Vec<(String, Value)> {
    let roles = installed()
        .into_iter()
        .filter(|o| o["kind"] == "ClusterRole" || o["kind"] == "Role");
    roles
        .flat_map(|role| {
            let name = role["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            role["rules"]
                .as_array()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .map(move |rule| (name.clone(), rule))
        })
        .collect()
}

#[test]
fn the_order_is_that_of_the_steps_and_the_kinds_come_before_their_objects() {
    let steps: Vec<Step> = objects(&Options::default())
        .into_iter()
        .map(|one| one.step)
        .collect();
    assert!(steps.is_sorted());
    assert_eq!(
        (steps.first(), steps.last()),
        (Some(&Step::Namespace), Some(&Step::Admission))
    );
}

#[test]
fn everything_carries_the_labels_by_which_it_is_found_again() {
    for object in installed() {
        assert_eq!(
            object["metadata"]["labels"][names::PART_OF],
            names::PROJECT,
            "{object}"
        );
        assert_eq!(
            object["metadata"]["labels"][VERSION_LABEL], VERSION,
            "{object}"
        );
    }
}

#[test]
fn no_two_objects_have_one_name() {
    let mut seen = BTreeSet::new();
    for object in installed() {
        let key = format!(
            "{}/{:?}/{}",
            kinds::kind(&object),
            kinds::namespace(&object),
            kinds::name(&object)
        );
        assert!(seen.insert(key.clone()), "{key}");
    }
}

#[test]
fn every_namespace_in_a_template_is_the_system_namespace() {
    for object in installed() {
        if let Some(namespace) = kinds::namespace(&object) {
            assert_eq!(namespace, names::SYSTEM_NAMESPACE);
        }
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], names::SYSTEM_NAMESPACE);
        }
    }
    find("Namespace", names::SYSTEM_NAMESPACE);
}

#[test]
fn no_role_gives_anything_by_wildcard() {
    for (role, rule) in rules() {
        for field in ["verbs", "resources", "apiGroups", "resourceNames"] {
            assert!(
                !strings(&rule[field]).iter().any(|word| word.contains('*')),
                "{role}: {rule}"
            );
        }
    }
}

#[test]
fn the_verbs_beyond_crud_are_in_no_role_but_grant_for_granters() {
    for (role, rule) in rules() {
        for verb in strings(&rule["verbs"]) {
            assert!(
                !["weaken", "revoke", "impersonate", "escalate", "bind"].contains(&verb),
                "{role}: {verb}"
            );
            assert!(
                verb != "grant" || role == "kubectl-mcp-granter",
                "{role}: {verb}"
            );
        }
    }
}

#[test]
fn no_role_of_people_opens_a_door_into_pods() {
    for (role, rule) in rules() {
        for resource in strings(&rule["resources"]) {
            assert!(!resource.starts_with("pods/"), "{role}: {resource}");
        }
    }
}

#[test]
fn nobody_may_read_secrets_but_the_webhook_its_own() {
    for (role, rule) in rules()
        .iter()
        .filter(|(_, rule)| strings(&rule["resources"]).contains(&"secrets"))
    {
        let operator = role == "kubectl-mcp-operator" && strings(&rule["verbs"]) == ["create"];
        assert!(role == names::WEBHOOK_NAME || operator, "{role}: {rule}");
        let by_name = strings(&rule["resourceNames"]) == [names::WEBHOOK_CA_SECRET];
        assert!(by_name || strings(&rule["verbs"]) == ["create"], "{rule}");
    }
    let role = find("Role", names::WEBHOOK_NAME);
    assert_eq!(role["metadata"]["namespace"], names::SYSTEM_NAMESPACE);
}

#[test]
fn the_webhook_configurations_are_those_of_the_design() {
    let mutating = &find("MutatingWebhookConfiguration", names::WEBHOOK_NAME)["webhooks"][0];
    assert_eq!(mutating["name"], names::MUTATING_WEBHOOK);
    assert_eq!(mutating["failurePolicy"], "Ignore");
    assert_eq!(mutating["reinvocationPolicy"], "IfNeeded");
    let validating = &find("ValidatingWebhookConfiguration", names::WEBHOOK_NAME)["webhooks"][0];
    assert_eq!(validating["name"], names::VALIDATING_WEBHOOK);
    assert_eq!(validating["failurePolicy"], "Fail");
    for hook in [mutating, validating] {
        assert_eq!(hook["timeoutSeconds"], 5);
        assert_eq!(hook["sideEffects"], "None");
        assert_eq!(hook["matchPolicy"], "Equivalent");
        assert_eq!(hook["clientConfig"].get("caBundle"), None);
        assert_eq!(hook["clientConfig"]["service"]["name"], names::WEBHOOK_NAME);
        assert_eq!(
            hook["clientConfig"]["service"]["namespace"],
            names::SYSTEM_NAMESPACE
        );
        assert_eq!(
            (hook.get("objectSelector"), hook.get("namespaceSelector")),
            (None, None)
        );
        for rule in hook["rules"].as_array().unwrap() {
            assert_eq!(
                strings(&rule["apiGroups"]),
                [api::GROUP],
                "no kind of anybody else's"
            );
            assert_eq!(strings(&rule["apiVersions"]), [api::VERSION]);
        }
    }
    let scale = validating["rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| strings(&r["resources"]) == ["mcpservers/scale"]);
    assert!(scale.is_some());
}

#[test]
fn every_kind_of_ours_is_asked_about_and_deletions_where_a_rule_can_refuse_them() {
    let hook = find("ValidatingWebhookConfiguration", names::WEBHOOK_NAME)["webhooks"][0].clone();
    let asked = |plural: &str, operation: &str| {
        let rules = hook["rules"].as_array().unwrap().iter();
        rules.into_iter().any(|rule| {
            strings(&rule["resources"]).contains(&plural)
                && strings(&rule["operations"]).contains(&operation)
        })
    };
    for crd in api::crds() {
        let plural = crd.spec.names.plural.as_str();
        assert!(
            asked(plural, "CREATE") && asked(plural, "UPDATE"),
            "{plural}"
        );
        let may_lift_a_denial = ["mcpaccessgrants", "mcpagentsessions"].contains(&plural);
        assert_eq!(asked(plural, "DELETE"), may_lift_a_denial, "{plural}");
    }
}

#[test]
fn a_server_can_be_deleted_while_the_webhook_is_down_and_whoever_does_it_is_told_what_uses_it() {
    let hooks = find("ValidatingWebhookConfiguration", names::WEBHOOK_NAME)["webhooks"].clone();
    let hooks = hooks.as_array().unwrap();
    assert_eq!(hooks.len(), 2);
    let hook = &hooks[1];
    assert_eq!(hook["name"], names::DELETION_WEBHOOK);
    assert_eq!(hook["failurePolicy"], "Ignore");
    assert!(hook["timeoutSeconds"].as_u64().unwrap() <= 2);
    assert_eq!(hook["clientConfig"], hooks[0]["clientConfig"]);
    let rules = hook["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(
        strings(&rules[0]["resources"]),
        ["mcpservers", "mcpregistries"]
    );
    assert_eq!(strings(&rules[0]["operations"]), ["DELETE"]);
    let condition = hook["matchConditions"][0]["expression"].as_str().unwrap();
    for controller in [
        "kube-system:namespace-controller",
        "kube-system:generic-garbage-collector",
        "system:kube-controller-manager",
    ] {
        assert!(condition.contains(controller), "{condition}");
    }
}

#[test]
fn a_namespace_can_be_deleted_while_the_webhook_is_down() {
    let hook = find("ValidatingWebhookConfiguration", names::WEBHOOK_NAME)["webhooks"][0].clone();
    let conditions = hook["matchConditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 1);
    assert_eq!(
        conditions[0]["expression"],
        "!(request.operation == 'DELETE' && request.userInfo.username in \
         ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'])"
    );
}

#[test]
fn the_floor_speaks_of_the_labels_stamps_and_accounts_of_the_other_parts() {
    let stamps = find("ValidatingAdmissionPolicy", "kubectl-mcp-stamps").to_string();
    for name in [
        names::REQUESTED_BY,
        names::REQUESTED_BY_GROUPS,
        names::EDITED_BY,
        "MCP0910",
        "MCP0701",
        "MCP0912",
        "MCP0913",
    ] {
        assert!(stamps.contains(name), "{name}");
    }
    let managed = find("ValidatingAdmissionPolicy", "kubectl-mcp-managed-objects").to_string();
    let operator = format!(
        "system:serviceaccount:{}:{}",
        names::SYSTEM_NAMESPACE,
        names::OPERATOR_NAME
    );
    for name in [
        names::MANAGED_BY,
        names::OPERATOR,
        names::SERVER_LABEL,
        operator.as_str(),
        "MCP0909",
    ] {
        assert!(managed.contains(name), "{name}");
    }
    for kind in [
        "configmaps",
        "secrets",
        "serviceaccounts",
        "roles",
        "rolebindings",
        "networkpolicies",
    ] {
        assert!(managed.contains(&format!("\"{kind}\"")), "{kind}");
    }
    let reserved = find("ValidatingAdmissionPolicy", "kubectl-mcp-reserved-names").to_string();
    assert!(reserved.contains(&format!(
        "params.metadata.name + '{}'",
        names::access_config_map("")
    )));
    assert!(reserved.contains(&format!(
        "params.metadata.name + '{}'",
        names::upstream_secret("")
    )));
}

#[test]
fn every_policy_is_bound_and_denies() {
    let policies: Vec<Value> = installed()
        .into_iter()
        .filter(|object| object["kind"] == "ValidatingAdmissionPolicy")
        .collect();
    assert_eq!(policies.len(), 3);
    for policy in policies {
        let binding = find("ValidatingAdmissionPolicyBinding", kinds::name(&policy));
        assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
        assert!(strings(&binding["spec"]["validationActions"]).contains(&"Deny"));
    }
}

#[test]
fn both_servers_run_hardened_and_give_their_pods_time_to_drain() {
    for name in [names::WEBHOOK_NAME, names::OPERATOR_NAME] {
        let pod = find("Deployment", name)["spec"]["template"]["spec"].clone();
        assert_eq!(pod["securityContext"]["runAsUser"], 65532);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(pod["terminationGracePeriodSeconds"], 40);
        let container = &pod["containers"][0];
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(
            container.get("command"),
            None,
            "the image's entry point is the binary"
        );
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        assert_eq!(
            strings(&container["securityContext"]["capabilities"]["drop"]),
            ["ALL"]
        );
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez");
    }
}

#[test]
fn images_and_replicas_are_those_of_the_options() {
    let options = Options {
        gateway_image: "localhost/gw:1".to_owned(),
        webhook_replicas: Some(3),
        ..Options::from_registry("ghcr.io/acme")
    };
    let objects: Vec<Value> = objects(&options)
        .into_iter()
        .map(|one| one.object)
        .collect();
    let deployment = |name: &str| {
        let found = objects
            .iter()
            .find(|o| o["kind"] == "Deployment" && o["metadata"]["name"] == name);
        found.unwrap()["spec"].clone()
    };
    let (webhook, operator) = (
        deployment(names::WEBHOOK_NAME),
        deployment(names::OPERATOR_NAME),
    );
    assert_eq!(webhook["replicas"], 3);
    assert_eq!(operator["replicas"], 1);
    let container = |spec: &Value| spec["template"]["spec"]["containers"][0].clone();
    assert_eq!(
        container(&webhook)["image"],
        format!("ghcr.io/acme/mcp-webhook:{VERSION}")
    );
    assert!(strings(&container(&operator)["args"]).contains(&"--gateway-image=localhost/gw:1"));
    assert!(!manifest(&options).contains("filled-in-by-setup"));
}

#[test]
fn the_same_options_give_the_same_bytes_and_the_bytes_give_the_same_objects() {
    let options = Options::default();
    assert_eq!(manifest(&options), manifest(&options));
    assert_eq!(yaml::documents(&manifest(&options)).unwrap(), installed());
}

#[test]
fn a_document_begins_with_what_it_is() {
    assert!(
        manifest(&Options::default()).starts_with("apiVersion: v1\nkind: Namespace\nmetadata:\n")
    );
}

#[test]
fn the_default_policy_requires_hosts_and_gateways_and_restricts_no_registry() {
    let spec = serde_json::to_value(default_policy(&PolicyFlags::default()).spec).unwrap();
    assert_eq!(
        spec,
        json!({
            "enforcement": "Enforce",
            "ingress": {"requireHost": true},
            "access": {"requireGateway": true},
            "workload": {"forbidLiteralSecrets": true, "forbidHostAccess": true},
        })
    );
}

#[test]
fn the_default_host_is_allowed_too() {
    let flags = PolicyFlags {
        default_host: Some("mcp.example.test".to_owned()),
        allow_hosts: vec!["*.example.org".to_owned()],
        allow_registries: vec!["ghcr.io/acme".to_owned()],
        ingress_class: Some("nginx".to_owned()),
        ..PolicyFlags::default()
    };
    let spec = serde_json::to_value(default_policy(&flags).spec).unwrap();
    assert_eq!(
        spec["defaults"],
        json!({"ingressHost": "mcp.example.test", "ingressClass": "nginx"})
    );
    assert_eq!(
        spec["ingress"]["allowedHosts"],
        json!(["mcp.example.test", "*.example.org"])
    );
    assert_eq!(
        spec["images"],
        json!({"allowedRegistries": ["ghcr.io/acme"]})
    );
}

#[test]
fn a_second_setup_without_flags_keeps_the_policy_as_it_is() {
    let mut spec = default_policy(&PolicyFlags::default()).spec;
    spec.ingress = None;
    assert_eq!(merge_policy(spec.clone(), &PolicyFlags::default()), spec);
}

#[test]
fn a_flag_of_a_second_setup_adds_and_takes_nothing_away() {
    let first = PolicyFlags {
        default_host: Some("a.example".to_owned()),
        allow_registries: vec!["ghcr.io/acme".to_owned()],
        ..PolicyFlags::default()
    };
    let second = PolicyFlags {
        allow_hosts: vec!["b.example".to_owned(), "a.example".to_owned()],
        ..PolicyFlags::default()
    };
    let spec = serde_json::to_value(merge_policy(default_policy(&first).spec, &second)).unwrap();
    assert_eq!(spec["defaults"]["ingressHost"], "a.example");
    assert_eq!(
        spec["ingress"]["allowedHosts"],
        json!(["a.example", "b.example"])
    );
    assert_eq!(spec["images"]["allowedRegistries"], json!(["ghcr.io/acme"]));
}
