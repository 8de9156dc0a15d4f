//! What is said of tools, prompts, resources and catalogues, word for word, and what is said where facts are missing.

use serde_json::{Value, json};

use super::case::cases;
use super::nothing_there;
use crate::{Facts, Known, Severity, check};

/// Rule, fixture, and everything that the rule says to it.
#[rustfmt::skip]
const SAID: [(&str, &str, &[&str]); 61] = [
    ("MCP0801", "fail-path", &[
        r#"error: spec.operations[0].ingressPath: Invalid value: "/docs/{section}": must be a path for plain HTTP that nothing else in MCPServer 'main' has: MCPPrompt 'other' has it already (MCP0801); hint: choose another, or labels that the toolSelector of MCPServer 'main' does not match"#,
    ]),
    ("MCP0801", "fail-prompt", &[
        r#"error: spec.name: Invalid value: "query": must be a prompt name that nothing else in MCPServer 'main' has: MCPPrompt 'other' has it already (MCP0801); hint: choose another, or labels that the toolSelector of MCPServer 'main' does not match"#,
    ]),
    ("MCP0801", "fail-resource-uri", &[
        r#"error: spec.content.uri: Invalid value: "doc://handbook/intro": must be a resource URI that nothing else in MCPServer 'main' has: MCPResource 'other' has it already (MCP0801); hint: choose another, or labels that the toolSelector of MCPServer 'main' does not match"#,
    ]),
    ("MCP0801", "fail-server", &[
        "error: spec.toolSelector: must not select two objects of one tool name: MCPTool 'search' and MCPTool 'issues' both have 'search' (MCP0801); hint: choose a narrower selector, or give one of the two another name",
    ]),
    ("MCP0801", "fail-within", &[
        r#"error: spec.tools[1].name: Invalid value: "search": must be a tool name that is not there twice: spec.tools[0].name says it already (MCP0801); hint: choose another, or take one of the two away"#,
    ]),
    ("MCP0801", "fail", &[
        r#"error: spec.name: Invalid value: "search": must be a tool name that nothing else in MCPServer 'main' has: MCPTool 'issues' has it already (MCP0801); hint: choose another, or labels that the toolSelector of MCPServer 'main' does not match"#,
    ]),
    ("MCP0802", "fail-labels-in-spec", &[
        "warning: metadata.labels: are matched by the toolSelector of no MCPServer of namespace 'team-a' (yet) (MCP0802); hint: MCPServer 'main' matches spec.labels: write them to metadata.labels",
    ]),
    ("MCP0802", "fail-no-virtual-server", &[
        r#"warning: metadata.labels: Invalid value: "mcp-server=main": are matched by nobody: no MCPServer of namespace 'team-a' has a toolSelector (yet) (MCP0802)"#,
    ]),
    ("MCP0802", "fail", &[
        r#"warning: metadata.labels: Invalid value: "mcp-server=mian": are matched by the toolSelector of no MCPServer of namespace 'team-a' (yet) (MCP0802); hint: nearest is MCPServer 'main', which wants mcp-server: main"#,
    ]),
    ("MCP0803", "fail-empty-namespace", &[
        "warning: spec.toolSelector: matches nothing: namespace 'team-a' has no MCPTool, MCPPrompt and MCPResource (yet) (MCP0803)",
    ]),
    ("MCP0803", "fail-no-values", &[
        "warning: spec.toolSelector.matchExpressions[0].values: must have a value with operator In: nothing is selected (MCP0803); hint: operator: Exists",
    ]),
    ("MCP0803", "fail-operator", &[
        r#"warning: spec.toolSelector.matchExpressions[0].operator: Invalid value: "in": must be In, NotIn, Exists or DoesNotExist: nothing is selected (MCP0803); hint: did you mean 'In'?"#,
    ]),
    ("MCP0803", "fail", &[
        "warning: spec.toolSelector: matches no MCPTool, MCPPrompt and MCPResource of namespace 'team-a' (yet) (MCP0803); hint: nearest is MCPTool 'search' with mcp-server: mian; the selector wants mcp-server: main",
    ]),
    ("MCP0804", "fail-external-name", &[
        r#"warning: spec.service.name: Invalid value: "github": is a Service of type ExternalName, which leads to another host than its own (MCP0804); hint: name a Service with pods; for a server elsewhere, an MCPServer with remote.url"#,
    ]),
    ("MCP0804", "fail-headless", &[
        r#"warning: spec.operations[0].service.name: Invalid value: "github": is a headless Service without endpoints: its name resolves to nothing (MCP0804); hint: kubectl get endpointslices -l kubernetes.io/service-name=github"#,
    ]),
    ("MCP0804", "fail-port", &[
        r#"warning: spec.service.port: Invalid value: "8080": is no port of Service 'github', which has 80 (MCP0804); hint: port: 80"#,
    ]),
    ("MCP0804", "fail", &[
        r#"warning: spec.service.name: Invalid value: "github": is no Service of namespace 'team-a' (yet) (MCP0804)"#,
    ]),
    ("MCP0805", "fail-consent-for-others", &[
        r#"error: spec.operations[0].service.namespace: Invalid value: "tools": must be 'team-a', or a namespace whose owners agree by the label tools-from.kubectl-mcp.dev/team-a: "true" on the Service or on the namespace (MCP0805); hint: they agree with: kubectl label service github -n tools tools-from.kubectl-mcp.dev/team-a=true"#,
    ]),
    ("MCP0805", "fail-consent-refused", &[
        r#"error: spec.service.namespace: Invalid value: "tools": must be 'team-a', or a namespace whose owners agree by the label tools-from.kubectl-mcp.dev/team-a: "true" on the Service or on the namespace (MCP0805); hint: they agree with: kubectl label service github -n tools tools-from.kubectl-mcp.dev/team-a=true"#,
    ]),
    ("MCP0805", "fail", &[
        r#"error: spec.service.namespace: Invalid value: "tools": must be 'team-a', or a namespace whose owners agree by the label tools-from.kubectl-mcp.dev/team-a: "true" on the Service or on the namespace (MCP0805); hint: they agree with: kubectl label service github -n tools tools-from.kubectl-mcp.dev/team-a=true"#,
    ]),
    ("MCP0806", "fail-entry", &[
        r#"error: spec.tools[0].inputSchema.required: Invalid value: "q": must be a list of names of properties (MCP0806)"#,
    ]),
    ("MCP0806", "fail-not-an-object", &[
        r#"error: spec.inputSchema.type: Invalid value: "string": must be object: the arguments of a tool are an object (MCP0806); hint: type: object"#,
    ]),
    ("MCP0806", "fail-remote", &[
        r#"error: spec.inputSchema.properties.q.$ref: Invalid value: "http://169.254.169.254/latest": must stay within this schema: nothing is fetched from elsewhere (MCP0806); hint: copy the other schema into $defs: $ref: '#/$defs/NAME'"#,
    ]),
    ("MCP0806", "fail", &[
        r#"error: spec.inputSchema.properties.limit.type: Invalid value: "int": must be one of 'null', 'boolean', 'object', 'array', 'number', 'string', 'integer' (MCP0806); hint: type: integer"#,
    ]),
    ("MCP0807", "fail-expression", &[
        r#"error: spec.template: Invalid value: "{{#if more}}": must have nothing but the name of a variable between '{{' and '}}': letters, digits and '_' (MCP0807); hint: there are no conditions, loops or filters: declare a variable for what differs"#,
    ]),
    ("MCP0807", "fail-open", &[
        r#"error: spec.template: Invalid value: "{{what.": must have a '}}' for every '{{' (MCP0807)"#,
    ]),
    ("MCP0807", "fail-twice", &[
        r#"error: spec.variables[1].name: Invalid value: "what": must not be there twice (MCP0807); hint: take one of the two away"#,
    ]),
    ("MCP0807", "fail-unused", &[
        r#"warning: spec.variables[0].name: Invalid value: "what": is a variable that the template does not use (MCP0807); hint: write {{what}} into spec.template, or take the variable away"#,
    ]),
    ("MCP0807", "fail", &[
        r#"error: spec.template: Invalid value: "{{waht}}": must be a variable that spec.variables declares (MCP0807); hint: did you mean {{what}}?"#,
        r#"warning: spec.variables[0].name: Invalid value: "what": is a variable that the template does not use (MCP0807); hint: write {{what}} into spec.template, or take the variable away"#,
    ]),
    ("MCP0808", "fail-braces", &[
        r#"error: spec.operations[0].ingressPath: Invalid value: "{section": must have a '}' for every '{', and none without (MCP0808)"#,
    ]),
    ("MCP0808", "fail-no-source", &[
        r#"error: spec.operations[0].parameters[0].name: Invalid value: "section": must stand in ingressPath too: from there its value comes (MCP0808); hint: write {section} into ingressPath"#,
    ]),
    ("MCP0808", "fail-tool-optional", &[
        r#"error: spec.service.path: Invalid value: "{limit}": must be required by the tool's inputSchema: without it there is no path (MCP0808); hint: inputSchema.required: [limit]"#,
    ]),
    ("MCP0808", "fail-tool", &[
        r#"error: spec.service.path: Invalid value: "{owner}": must be a property of the tool's inputSchema (MCP0808); hint: add to inputSchema.properties: owner: {type: string}"#,
    ]),
    ("MCP0808", "fail", &[
        r#"error: spec.operations[0].ingressPath: Invalid value: "{section}": must be one of the parameters (MCP0808); hint: add to parameters: {name: section, in: path, required: true}"#,
        r#"error: spec.operations[0].parameters[0].name: Invalid value: "chapter": must stand in service.path, as a parameter with 'in: path' (MCP0808); hint: write {chapter} into service.path, or 'in: query'"#,
        r#"error: spec.operations[0].service.path: Invalid value: "{section}": must be one of the parameters with 'in: path' (MCP0808); hint: did you mean {chapter}?"#,
    ]),
    ("MCP0809", "fail-blob", &[
        "error: spec.content.blob: must be base64 in one line, and has a space or line break at 4 (MCP0809); hint: base64 -w0 FILE",
    ]),
    ("MCP0809", "fail-empty-content", &[
        r#"error: spec.content: must have exactly one of text and blob (MCP0809); hint: text: "...""#,
    ]),
    ("MCP0809", "fail-mime", &[
        r#"error: spec.content.mimeType: Invalid value: "markdown": must be a MIME type: a type, '/' and a subtype, such as text/markdown (MCP0809); hint: mimeType: text/markdown"#,
    ]),
    ("MCP0809", "fail-neither", &[
        r#"error: spec: must have exactly one of content and operations (MCP0809); hint: content: {uri: "doc://example", text: "..."}"#,
    ]),
    ("MCP0809", "fail-uri", &[
        r#"error: spec.content.uri: Invalid value: "handbook intro": must begin with a scheme and ':', such as doc://handbook/intro (MCP0809)"#,
    ]),
    ("MCP0809", "fail", &[
        "error: spec.content: must have exactly one of text and blob (MCP0809); hint: take one of the two away",
    ]),
    ("MCP0810", "fail-dots", &[
        r#"error: spec.service.path: Invalid value: "/search/../admin": must not have '.' or '..' as a segment (MCP0810)"#,
    ]),
    ("MCP0810", "fail-ingress-path", &[
        r#"error: spec.ingressPath: Invalid value: "//query": must not have '//' (MCP0810); hint: did you mean '/query'?"#,
    ]),
    ("MCP0810", "fail-line-break", &[
        r#"error: spec.service.path: Invalid value: "/search HTTP/1.1\r\nHost: admin": must not have line breaks and other control characters (MCP0810)"#,
    ]),
    ("MCP0810", "fail-query", &[
        r#"error: spec.operations[0].service.path: Invalid value: "/api/docs/{section}?raw=1": must not have a query ('?') (MCP0810); hint: what a caller gives goes by a property of inputSchema, or by a parameter with 'in: query'"#,
    ]),
    ("MCP0810", "fail", &[
        r#"error: spec.service.path: Invalid value: "http://github:8080/search": must be a path without scheme and host: name and port of the Service say where it is (MCP0810); hint: did you mean '/search'?"#,
    ]),
    ("MCP0811", "fail-key", &[
        r#"warning: spec.redis.passwordSecretRef.key: Invalid value: "password": is no key of Secret 'cache' (MCP0811); hint: did you mean 'passwd'?"#,
    ]),
    ("MCP0811", "fail-port", &[
        r#"warning: spec.redis.port: Invalid value: "6379": is no port of Service 'cache', which has 6380 (MCP0811); hint: port: 6380"#,
    ]),
    ("MCP0811", "fail-secret", &[
        r#"warning: spec.redis.passwordSecretRef.name: Invalid value: "cache": is no Secret of namespace 'team-a' (yet) (MCP0811)"#,
    ]),
    ("MCP0811", "fail", &[
        r#"warning: spec.redis.serviceName: Invalid value: "cache": is no Service of namespace 'team-a' (yet) (MCP0811); hint: did you mean 'caches'?"#,
    ]),
    ("MCP0901", "fail-other-source", &[
        "error: spec.source.configmap: must not be set: the type of the source is git (MCP0901); hint: take it away, or type: configmap",
        r#"error: spec.source.git: must be given: the type of the source is git (MCP0901); hint: git: {repository: "https://..."}"#,
    ]),
    ("MCP0901", "fail-path", &[
        r#"error: spec.source.git.path: Invalid value: "../../etc/passwd": must be the path of a file inside the repository, without '/' in front, '.', '..' and '\' (MCP0901); hint: path: registry.json"#,
    ]),
    ("MCP0901", "fail-private", &[
        r#"error: spec.source.url.url: Invalid value: "http://10.0.0.7:8080/registry.json": must not lead to a private address (MCP0901)"#,
    ]),
    ("MCP0901", "fail-scheme", &[
        r#"error: spec.source.git.repository: Invalid value: "git@github.com:acme/catalogue": must begin with https:// or http:// (MCP0901); hint: did you mean 'https://github.com/acme/catalogue'?"#,
    ]),
    ("MCP0901", "fail-two-revisions", &[
        "error: spec.source.git.tag: must not be set together with branch: at most one of branch, tag and commit (MCP0901); hint: take branch or tag away",
    ]),
    ("MCP0901", "fail", &[
        r#"error: spec.source.url.url: Invalid value: "https://169.254.169.254/registry.json": must not lead to a metadata service (MCP0901)"#,
    ]),
    ("MCP0902", "fail-attempts", &[
        r#"error: spec.syncPolicy.retryPolicy.maxAttempts: Invalid value: "-1": must be 0 or more (MCP0902); hint: maxAttempts: 0"#,
    ]),
    ("MCP0902", "fail-backoff", &[
        r#"error: spec.syncPolicy.retryPolicy.backoffInterval: Invalid value: "0s": must be greater than zero (MCP0902); hint: a number and a unit: 30s, 15m, 1h"#,
    ]),
    ("MCP0902", "fail-no-duration", &[
        r#"error: spec.syncPolicy.interval: Invalid value: "hourly": must be a duration such as 30s, 15m or 24h (MCP0902); hint: a number and a unit: 30s, 15m, 1h"#,
    ]),
    ("MCP0902", "fail", &[
        r#"error: spec.syncPolicy.interval: Invalid value: "5s": must be 10s or more (MCP0902); hint: interval: 10s"#,
    ]),
    ("MCP0320", "fail-kind", &[
        r#"error: kind: Invalid value: "MCPTool": is a kind that this version does not serve yet: nothing would come of the object (MCP0320); hint: take it away; 'kubectl mcp lint' says what else is wrong with it"#,
    ]),
    ("MCP0911", "fail-tool-union", &[
        "error: spec: must have exactly one of name and tools (MCP0911); hint: add to spec.tools: - name: search",
    ]),
];

/// What the rule says to the fixture, each sentence after its field.
fn said(code: &str, fixture: &str) -> Vec<String> {
    let (_, case) = cases(code)
        .into_iter()
        .find(|(name, _)| name == &format!("{fixture}.yaml"))
        .unwrap_or_else(|| panic!("there is no fixture {code}/{fixture}"));
    case.findings()
        .iter()
        .filter(|finding| finding.code == code)
        .map(|finding| format!("{}: {finding}", finding.severity))
        .collect()
}

#[test]
fn each_fault_is_said_with_its_field_what_it_must_be_and_what_to_write() {
    for (code, fixture, expected) in SAID {
        assert_eq!(said(code, fixture), expected, "{code}/{fixture}");
    }
}

/// A tool of team-a that calls a Service of another namespace, and has one name twice.
fn tool() -> Value {
    json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPTool",
        "metadata": {"name": "t", "namespace": "team-a", "labels": {"mcp-server": "main"}},
        "spec": {"service": {"name": "s", "namespace": "tools", "port": 80}, "tools": [{"name": "a"}, {"name": "a"}]}})
}

fn codes(facts: &Facts, object: &Value, severity: Severity) -> Vec<&'static str> {
    check(Some(object), None, facts)
        .iter()
        .filter(|finding| finding.severity == severity)
        .map(|finding| finding.code)
        .collect()
}

#[test]
fn what_the_object_shows_by_itself_is_said_also_where_facts_are_missing() {
    let facts = Facts::default();
    let unchecked = codes(&facts, &tool(), Severity::Unchecked);
    for code in ["MCP0801", "MCP0802", "MCP0804", "MCP0805"] {
        assert!(unchecked.contains(&code), "{code} in {unchecked:?}");
    }
    assert!(codes(&facts, &tool(), Severity::Error).contains(&"MCP0801"));
}

#[test]
fn tools_are_asked_for_only_where_a_server_selects() {
    let facts = Facts {
        tools: Known::Unknown,
        ..nothing_there()
    };
    assert!(!codes(&facts, &tool(), Severity::Unchecked).contains(&"MCP0801"));
}

#[test]
fn the_consent_of_a_namespace_is_enough_where_services_are_unknown() {
    let label = |value: &str| {
        let labels = [(
            "tools-from.kubectl-mcp.dev/team-a".to_owned(),
            value.to_owned(),
        )];
        [("tools".to_owned(), labels.into_iter().collect())]
            .into_iter()
            .collect::<crate::Labels>()
    };
    for (value, unchecked) in [("true", false), ("false", true)] {
        let facts = Facts {
            namespaces: label(value).into(),
            services: Known::Unknown,
            ..nothing_there()
        };
        let found = codes(&facts, &tool(), Severity::Unchecked);
        assert_eq!(found.contains(&"MCP0805"), unchecked, "{value}: {found:?}");
        assert!(!codes(&facts, &tool(), Severity::Error).contains(&"MCP0805"));
    }
}

#[test]
fn a_namespace_that_does_not_exist_has_not_agreed() {
    assert!(codes(&nothing_there(), &tool(), Severity::Error).contains(&"MCP0805"));
}

#[test]
fn every_kind_that_is_not_served_is_refused_as_a_whole_and_once() {
    for kind in ["MCPTool", "MCPPrompt", "MCPResource", "MCPRegistry"] {
        let object = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": kind, "metadata": {"name": "n"}});
        let findings = check(Some(&object), None, &nothing_there());
        let refused: Vec<_> = findings
            .errors()
            .filter(|error| error.code == "MCP0320")
            .collect();
        assert_eq!(refused.len(), 1, "{kind}");
        assert_eq!(refused[0].field, "kind");
    }
}

#[test]
fn objects_that_are_stored_can_still_be_changed() {
    let facts = nothing_there();
    let mut old = tool();
    old["spec"]["service"]["namespace"] = json!("team-a");
    old["spec"]["tools"] = json!([{"name": "a"}]);
    let mut new = old.clone();
    new["metadata"]["labels"]["more"] = json!("x");
    let findings = check(Some(&new), Some(&old), &facts);
    let errors: Vec<_> = findings.errors().map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
