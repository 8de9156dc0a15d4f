//! What people type who see the kinds for the first time, and the hint that they get.

use serde_json::{Value, json};

use super::{nothing_there, server, with_policies};
use crate::{Facts, Findings, check};

/// Whether a finding of the rule at the field has exactly this hint.
#[track_caller]
fn assert_hint(findings: &Findings, code: &str, field: &str, hint: Option<&str>) {
    let found = findings
        .iter()
        .find(|finding| finding.code == code && finding.field == field);
    let found = found.unwrap_or_else(|| panic!("no {code} at {field}: {findings:#?}"));
    assert_eq!(found.hint.as_deref(), hint, "{found}");
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "team-a"}, "spec": spec
    })
}

fn judged(kind: &str, spec: &Value) -> Findings {
    check(Some(&object(kind, "weather", spec)), None, &nothing_there())
}

fn server_with(field: &str, value: Value) -> Value {
    let mut spec = json!({"image": "ghcr.io/acme/weather:1.2.3"});
    spec[field] = value;
    spec
}

#[test]
fn what_yaml_reads_as_something_else_gets_a_hint_with_or_without_quotes() {
    let off = judged("MCPPolicy", &json!({"enforcement": false}));
    assert_hint(
        &off,
        "MCP0911",
        "spec.enforcement",
        Some(r#"quote it: "Off""#),
    );
    for (field, value, hint) in [
        ("imageTag", json!(2), r#"quote it: "2""#),
        ("imageTag", json!(1.1), "put it in quotes"),
        ("imageTag", json!(true), r#"quote it: "true""#),
        ("port", json!("8080"), "without quotes: 8080"),
        (
            "useProvisionedRegistry",
            json!("yes"),
            "without quotes: true",
        ),
    ] {
        let findings = judged("MCPServer", &server_with(field, value));
        assert_hint(&findings, "MCP0911", &format!("spec.{field}"), Some(hint));
    }
}

#[test]
fn a_variable_is_to_be_quoted_and_a_number_in_it_is_not_repeated() {
    let env = json!([{"name": "DEBUG", "value": true}, {"name": "PIN", "value": 4711}]);
    let findings = judged("MCPServer", &server_with("env", env));
    let quoted = Some(r#"quote it: "true""#);
    assert_hint(&findings, "MCP0911", "spec.env[0].value", quoted);
    assert_hint(
        &findings,
        "MCP0911",
        "spec.env[1].value",
        Some("put it in quotes"),
    );
}

#[test]
fn units_of_other_tools_are_understood() {
    let memory = json!({"limits": {"memory": "256mb"}});
    let findings = judged("MCPServer", &server_with("resources", memory));
    let field = "spec.resources.limits.memory";
    assert_hint(&findings, "MCP0305", field, Some("did you mean '256Mi'?"));

    let session = server_with("session", json!({"maxLifetime": "1d"}));
    let findings = judged("MCPServer", &session);
    let field = "spec.session.maxLifetime";
    assert_hint(&findings, "MCP0407", field, Some("did you mean '24h'?"));
}

#[test]
fn the_name_of_a_rule_leads_to_its_code() {
    for (given, hint) in [
        ("mutable-tag", Some("rule: MCP0103")),
        ("mutable-tags", Some("rule: MCP0103")),
        ("mcp0103", Some("rule: MCP0103")),
        ("MCP0199", None),
    ] {
        let spec = json!({"overrides": [{"rule": given, "enforcement": "Warn"}]});
        let findings = judged("MCPPolicy", &spec);
        assert_hint(&findings, "MCP0903", "spec.overrides[0].rule", hint);
    }
}

#[test]
fn a_name_that_is_none_is_mended_and_no_hint_builds_on_it() {
    let facts = with_policies(json!([["default", {"ingress": {"requireTLS": true}}]]));
    let spec = server_with("ingressHost", json!("mcp.example.com"));
    let tls = |name| {
        Some(format!(
            "ingressTLSSecret: {name}-tls, a Secret of type kubernetes.io/tls"
        ))
    };

    let written = check(
        Some(&object("MCPServer", "Weather_Server", &spec)),
        None,
        &facts,
    );
    assert_hint(
        &written,
        "MCP0302",
        "metadata.name",
        Some("name: weather-server"),
    );
    let field = "spec.ingressTLSSecret";
    assert_hint(&written, "MCP0209", field, tls("weather-server").as_deref());

    let mut nameless = object("MCPServer", "", &spec);
    nameless["metadata"].as_object_mut().unwrap().remove("name");
    let findings = check(Some(&nameless), None, &facts);
    assert_hint(&findings, "MCP0302", "metadata.name", Some("name: weather"));
    assert_hint(&findings, "MCP0209", field, tls("weather").as_deref());

    nameless["metadata"]["generateName"] = json!("sunny-");
    let findings = check(Some(&nameless), None, &facts);
    assert!(!findings.iter().any(|finding| finding.code == "MCP0302"));
    assert_hint(&findings, "MCP0209", field, tls("sunny").as_deref());
}

#[test]
fn an_object_of_any_kind_is_refused_without_a_name() {
    for (kind, code) in [
        ("MCPServer", "MCP0302"),
        ("MCPPolicy", "MCP0911"),
        ("MCPTool", "MCP0911"),
    ] {
        for name in [json!(null), json!("")] {
            let mut object = object(kind, "", &json!({}));
            object["metadata"]["name"] = name;
            let findings = check(Some(&object), None, &nothing_there());
            let named = |key: &str| {
                findings
                    .errors()
                    .any(|f| f.code == key && f.field == "metadata.name")
            };
            assert!(named(code), "{kind}: {findings:#?}");
        }
    }
}

#[test]
fn a_mistyped_key_of_metadata_is_no_field_either() {
    let mut object = object(
        "MCPTool",
        "search",
        &json!({"name": "search", "service": {"name": "a", "port": 80}}),
    );
    object["metadata"]["lables"] = json!({"mcp-server": "main"});
    let findings = check(Some(&object), None, &nothing_there());
    assert_hint(
        &findings,
        "MCP0908",
        "metadata.lables",
        Some("did you mean 'labels'?"),
    );
    let line = findings
        .warnings()
        .find(|finding| finding.code == "MCP0908")
        .unwrap()
        .warning_line();
    assert_eq!(
        line,
        "MCP0908: metadata.lables: is not a field of the schema: kubectl refuses it, other clients drop it"
    );
}

#[test]
fn everything_that_the_api_server_writes_into_metadata_is_a_field() {
    let mut object = object(
        "MCPTool",
        "search",
        &json!({"name": "search", "service": {"name": "a", "port": 80}}),
    );
    let metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: Some("search".to_owned()),
        namespace: Some("team-a".to_owned()),
        uid: Some("u".to_owned()),
        resource_version: Some("1".to_owned()),
        generation: Some(1),
        creation_timestamp: serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
        labels: Some([("a".to_owned(), "b".to_owned())].into()),
        managed_fields: Some(Vec::new()),
        finalizers: Some(Vec::new()),
        ..Default::default()
    };
    object["metadata"] = serde_json::to_value(metadata).unwrap();
    let findings = check(Some(&object), None, &nothing_there());
    assert!(
        !findings.iter().any(|finding| finding.code == "MCP0908"),
        "{findings:#?}"
    );
}

#[test]
fn the_warning_about_tokens_in_clear_is_whole_and_only_where_a_host_leads_in() {
    let clear = |spec: Value, facts: &Facts| {
        let findings = check(Some(&server(spec)), None, facts);
        let found = findings.iter().find(|finding| finding.code == "MCP0413");
        found.map(crate::Finding::warning_line)
    };
    let exposed = server_with("ingressHost", json!("mcp.example.com"));
    assert_eq!(
        clear(exposed, &nothing_there()).as_deref(),
        Some("MCP0413: spec.ingressTLSSecret: should be given: tokens travel in clear text")
    );
    let inside = json!({"image": "ghcr.io/acme/weather:1.2.3"});
    assert_eq!(clear(inside, &nothing_there()), None);
}

#[test]
fn the_warning_about_a_class_names_it_and_says_when_nobody_wrote_it() {
    let mut facts = nothing_there();
    facts.ingress_classes = vec!["nginx".to_owned()].into();
    for (class, expected) in [
        (
            json!(null),
            "MCP0208: spec.ingressClass: 'traefik', the default, is no IngressClass of this cluster",
        ),
        (
            json!("public"),
            "MCP0208: spec.ingressClass: 'public' is no IngressClass of this cluster",
        ),
    ] {
        let mut spec = server_with("ingressClass", class);
        spec["ingressHost"] = json!("mcp.example.com");
        let findings = check(Some(&server(spec)), None, &facts);
        let found = findings
            .warnings()
            .find(|finding| finding.code == "MCP0208");
        assert_eq!(found.unwrap().warning_line(), expected);
    }
}

#[test]
fn an_allowed_host_alone_keeps_the_path_of_the_image() {
    for (entry, image, hint) in [
        (
            "registry.test",
            "quay.io/acme/tools/weather:1",
            "image: registry.test/acme/tools/weather:1",
        ),
        (
            "registry.test:5000",
            "nginx:1",
            "image: registry.test:5000/nginx:1",
        ),
        (
            "registry.test/mcp",
            "quay.io/acme/weather:1",
            "image: registry.test/mcp/weather:1",
        ),
    ] {
        let facts = with_policies(json!([["default", {"images": {"allowedRegistries": [entry]}}]]));
        let findings = check(Some(&server(json!({"image": image}))), None, &facts);
        assert_hint(&findings, "MCP0102", "spec.image", Some(hint));
    }
}

#[test]
fn a_port_that_is_the_gateways_is_called_so() {
    let findings = judged("MCPServer", &server_with("port", json!(8091)));
    let found = findings
        .errors()
        .find(|finding| finding.code == "MCP0304")
        .unwrap();
    assert_eq!(
        found.message,
        "must not be 8091, which is the gateway's port"
    );
}
