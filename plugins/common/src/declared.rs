//! What to say of a tool that a server does not declare: most often its name has a slip in it.

use api::{Decision, MCPServer};
use rules::parse::near;

/// The hint for a refused tool that is not in `spec.tools`; `None` when it is there, or when the server allows tools
/// that it does not declare.
pub fn undeclared_hint(server: &MCPServer, tool: &str) -> Option<String> {
    let declared = || server.spec.tools.iter().map(|tool| tool.name.as_str());
    let lets_through = server
        .spec
        .policy
        .as_ref()
        .is_some_and(|policy| policy.undeclared_tools == Some(Decision::Allow));
    if lets_through || declared().any(|name| name == tool) {
        return None;
    }
    let meant = near::meant(tool, declared())
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default();
    let name = server.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "not declared in spec.tools of MCPServer {name}{meant}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(spec: &serde_json::Value) -> MCPServer {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "w"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn the_name_that_was_probably_meant_is_said() {
        let server = server(
            &serde_json::json!({"image": "x", "tools": [{"name": "echo"}, {"name": "add"}]}),
        );
        assert_eq!(
            undeclared_hint(&server, "ecko").as_deref(),
            Some("not declared in spec.tools of MCPServer w; did you mean echo?")
        );
        assert_eq!(
            undeclared_hint(&server, "frobnicate").as_deref(),
            Some("not declared in spec.tools of MCPServer w")
        );
        assert_eq!(undeclared_hint(&server, "echo"), None);
    }

    #[test]
    fn a_server_that_allows_undeclared_tools_refuses_for_another_reason() {
        let server = server(
            &serde_json::json!({"image": "x", "tools": [], "policy": {"undeclaredTools": "allow"}}),
        );
        assert_eq!(undeclared_hint(&server, "echo"), None);
    }
}
