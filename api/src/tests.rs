//! What must hold for every generated CRD.

use serde_json::Value;

use super::*;

fn walk<'a>(value: &'a Value, path: &str, visit: &mut dyn FnMut(&str, &'a Value)) {
    visit(path, value);
    if let Some(properties) = value.get("properties").and_then(Value::as_object) {
        for (name, child) in properties {
            walk(child, &format!("{path}.{name}"), visit);
        }
    }
    if let Some(items) = value.get("items") {
        walk(items, &format!("{path}[]"), visit);
    }
}

fn schemas() -> Vec<(String, Value)> {
    crds()
        .into_iter()
        .map(|crd| {
            let schema = crd.spec.versions[0]
                .schema
                .clone()
                .unwrap()
                .open_api_v3_schema
                .unwrap();
            (crd.spec.names.kind, serde_json::to_value(schema).unwrap())
        })
        .collect()
}

/// Types of Kubernetes itself bring their own schema; ours stop where they begin.
const CORE: [&str; 10] = [
    "MCPServer.spec.env",
    "MCPServer.spec.envFrom",
    "MCPServer.spec.volumes",
    "MCPServer.spec.volumeMounts",
    "MCPServer.spec.resources",
    "MCPServer.spec.networkPolicy",
    "MCPServer.spec.toolSelector",
    "MCPServer.spec.gateway.resources",
    "MCPPolicy.spec.",
    "MCPRegistry.spec.source.cluster.namespaceSelector",
];

#[test]
fn every_field_of_a_spec_has_a_description() {
    for (kind, schema) in schemas() {
        walk(
            &schema["properties"]["spec"],
            &format!("{kind}.spec"),
            &mut |path, value| {
                let core = CORE.iter().any(|c| path.starts_with(c)) || path.ends_with("[]");
                assert!(
                    core || value.get("description").is_some(),
                    "{path} has no description"
                );
            },
        );
    }
}

#[test]
fn every_list_and_string_of_ours_is_bounded() {
    for (kind, schema) in schemas() {
        walk(
            &schema["properties"]["spec"],
            &format!("{kind}.spec"),
            &mut |path, value| {
                if CORE.iter().any(|c| path.starts_with(c)) {
                    return;
                }
                let bounded = match value["type"].as_str() {
                    Some("array") => value.get("maxItems").is_some(),
                    Some("string") => ["maxLength", "enum", "format", "pattern"]
                        .iter()
                        .any(|k| value.get(k).is_some()),
                    _ => true,
                };
                assert!(bounded, "{path} is not bounded: {value}");
            },
        );
    }
}

#[test]
fn fields_whose_absence_means_something_have_no_schema_default() {
    let schemas = schemas();
    let (_, server) = schemas
        .iter()
        .find(|(kind, _)| kind == "MCPServer")
        .unwrap();
    walk(&server["properties"]["spec"], "spec", &mut |path, value| {
        assert!(
            value.get("default").is_none() || CORE.iter().any(|c| c.ends_with(path)),
            "{path} has a default"
        );
    });
}

#[test]
fn a_server_written_by_a_person_is_read_as_it_stands() {
    let text = serde_json::json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "everything"},
        "spec": {
            "image": "registry.test/mcp/everything:1.0.0", "transport": "streamable-http",
            "tools": [{"name": "echo", "sideEffect": "read"}],
            "auth": {"mode": "oauth", "oauth": {"issuers": [{"url": "https://idp.example", "jwksURL": "https://idp.example/keys"}]}},
            "permissionProfile": {"type": "configmap", "name": "p", "key": "k"},
            "ingressTLSSecret": "tls"
        }
    });
    let server: MCPServer = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(
        server.spec.auth.as_ref().unwrap().mode,
        Some(AuthMode::OAuth)
    );
    assert_eq!(serde_json::to_value(&server).unwrap(), text);
}

#[test]
fn no_schema_speaks_of_null() {
    for (kind, schema) in schemas() {
        let text = schema.to_string();
        assert!(
            !text.contains("null"),
            "{kind}: {}",
            &text[text.find("null").unwrap_or(0)..][..60]
        );
    }
}

#[test]
fn a_catalogue_as_other_projects_write_it_is_read_as_it_stands() {
    let text = serde_json::json!({
        "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPRegistry", "metadata": {"name": "community"},
        "spec": {
            "displayName": "ToolHive Community Registry",
            "format": "toolhive",
            "source": {"type": "configmap", "configmap": {"name": "toolhive-registry-data", "key": "registry.json"}},
            "syncPolicy": {"type": "automatic", "interval": "1h", "retryPolicy": {"maxAttempts": 3, "backoffInterval": "30s"}},
            "filter": {"tags": {"include": ["database", "api"], "exclude": ["experimental"]}}
        }
    });
    let registry: MCPRegistry = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&registry).unwrap(), text);
}

#[test]
fn a_tool_a_prompt_and_a_resource_are_read_as_they_stand() {
    let head = |kind: &str, spec: Value| serde_json::json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind, "metadata": {"name": "n"}, "spec": spec});
    let tool = head(
        "MCPTool",
        serde_json::json!({
            "name": "search", "description": "Searches.", "method": "GET", "ingressPath": "/github/search",
            "service": {"name": "github", "namespace": "tools", "port": 8080, "path": "/search"},
            "inputSchema": {"type": "object", "properties": {"q": {"type": "string", "x-order": 1}}}
        }),
    );
    let prompt = head(
        "MCPPrompt",
        serde_json::json!({
            "name": "query", "template": "Find {{what}}",
            "variables": [{"name": "what", "required": true, "default": "all"}]
        }),
    );
    let resource = head(
        "MCPResource",
        serde_json::json!({
            "name": "docs", "operations": [{
                "method": "GET", "ingressPath": "/docs/{section}",
                "service": {"name": "docs", "port": 80, "path": "/api/{section}"},
                "parameters": [{"name": "section", "in": "path", "required": true}, {"name": "version", "in": "query"}]
            }]
        }),
    );
    let again: MCPTool = serde_json::from_value(tool.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), tool);
    let again: MCPPrompt = serde_json::from_value(prompt.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), prompt);
    let again: MCPResource = serde_json::from_value(resource.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), resource);
}
