//! What the schema and its CEL refuse by themselves, with no webhook installed: one object can show it.

use crate::platform::Platform;

/// An object, and what the API server must say of it.
const REFUSED: [(&str, &str); 13] = [
    (
        "kind: MCPServer\nspec: {}",
        "must have exactly one of image, toolSelector and remote",
    ),
    (
        "kind: MCPServer\nspec: {image: a, remote: {url: 'https://x.example'}}",
        "must have exactly one of image, toolSelector and remote",
    ),
    (
        "kind: MCPServer\nspec: {image: 'r.example/a:1', imageTag: '2'}",
        "imageTag must not be set when image has a tag or a digest",
    ),
    (
        "kind: MCPServer\nspec: {image: a, registryOverride: r.example, useProvisionedRegistry: true}",
        "registryOverride and useProvisionedRegistry must not both be set",
    ),
    (
        "kind: MCPServer\nspec: {image: a, port: 8091}",
        "port must not be the gateway's port",
    ),
    (
        "kind: MCPServer\nspec: {image: a, gateway: {port: 8088}}",
        "port must not be the gateway's port",
    ),
    (
        "kind: MCPServer\nspec: {image: a, transport: stdio, port: 9000}",
        "a stdio server has no port and no path",
    ),
    (
        "kind: MCPServer\nspec: {image: a, port: 70000}",
        "should be less than or equal to 65535",
    ),
    (
        "kind: MCPServer\nspec: {image: a, transport: carrier-pigeon}",
        "Unsupported value",
    ),
    (
        "kind: MCPServer\nspec: {image: a, auth: {mode: header}}",
        "mode header needs trustedProxies",
    ),
    (
        "kind: MCPServer\nspec: {image: a, tools: [{name: t}, {name: t}]}",
        "Duplicate value",
    ),
    (
        "kind: MCPAccessGrant\nspec: {serverRef: {name: s}, subject: {agentID: robot}}",
        "an agentID alone is self-declared and names nobody",
    ),
    (
        "kind: MCPAgentSession\nspec: {serverRef: {name: s}, subject: {humanID: a}, expiresAt: '2030-01-01T00:00:00Z', tokenHash: short}",
        "tokenHash",
    ),
];

fn object(text: &str) -> String {
    format!("apiVersion: kubectl-mcp.dev/v1alpha1\nmetadata: {{name: probe}}\n{text}\n")
}

#[test]
fn the_schema_alone_refuses_what_one_object_shows() {
    let platform = Platform::bare();
    platform.environment.with_namespace("cel", |namespace| {
        for (text, expected) in REFUSED {
            let arguments = ["create", "-n", namespace, "--dry-run=server", "-f", "-"];
            let said = platform
                .environment
                .kubectl_with(&arguments, &object(text))
                .expect_failure();
            assert!(
                said.contains(expected),
                "{text}\nexpected {expected:?} in:\n{said}"
            );
        }
    });
}

#[test]
fn what_must_not_change_cannot_be_changed() {
    let platform = Platform::bare();
    let environment = &platform.environment;
    environment.with_namespace("immutable", |namespace| {
        let session = object(&format!(
            "kind: MCPAgentSession\nspec: {{serverRef: {{name: s}}, subject: {{humanID: a}}, revoked: true, \
             expiresAt: '2030-01-01T00:00:00Z', tokenHash: '{}'}}",
            "0".repeat(64)
        ));
        environment.kubectl_with(&["create", "-n", namespace, "-f", "-"], &session).expect_ok();
        for (patch, expected) in [
            (r#"{"spec":{"revoked":false}}"#, "a revoked session stays revoked"),
            (r#"{"spec":{"revoked":null}}"#, "a revoked session stays revoked"),
            (r#"{"spec":{"expiresAt":"2031-01-01T00:00:00Z"}}"#, "expiresAt may not be extended"),
            (r#"{"spec":{"subject":{"humanID":"b"}}}"#, "are immutable"),
        ] {
            let arguments = ["patch", "mcpagentsession", "probe", "-n", namespace, "--type=merge", "-p", patch];
            let said = environment.kubectl(&arguments).expect_failure();
            assert!(said.contains(expected), "{patch}\nexpected {expected:?} in:\n{said}");
        }
    });
}

#[test]
fn kubectl_explain_is_the_reference() {
    let platform = Platform::bare();
    let said = platform
        .environment
        .kubectl(&["explain", "mcpserver.spec.tools"])
        .expect_ok();
    assert!(said.contains("Tools that may be granted"), "{said}");
}
