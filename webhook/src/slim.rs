//! What is kept of objects: what no rule asks of the objects of others goes before the cache takes them in, and that is
//! most of their size. Called by [`crate::cache`] on every event.

use api::{MCPPrompt, MCPResource, MCPTool};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use crate::kept::Guarded;

/// Without descriptions and schemas.
pub(crate) fn tool(tool: &mut Guarded<MCPTool>) {
    let Ok(tool) = &mut tool.0 else { return };
    tool.status = None;
    tool.spec.description = None;
    tool.spec.input_schema = None;
    for entry in tool.spec.tools.iter_mut().flatten() {
        entry.description = None;
        entry.input_schema = None;
    }
}

/// Without descriptions and texts.
pub(crate) fn prompt(prompt: &mut Guarded<MCPPrompt>) {
    let Ok(prompt) = &mut prompt.0 else { return };
    prompt.status = None;
    prompt.spec.description = None;
    prompt.spec.template = String::new();
    prompt.spec.variables = Vec::new();
}

/// Without descriptions and contents.
pub(crate) fn resource(resource: &mut Guarded<MCPResource>) {
    let Ok(resource) = &mut resource.0 else {
        return;
    };
    resource.status = None;
    resource.spec.description = None;
    if let Some(content) = &mut resource.spec.content {
        content.text = None;
        content.blob = None;
    }
}

/// Only labels, ports, type, and whether it has an address of its own.
pub(crate) fn service(service: &mut Service) {
    service.status = None;
    service.metadata.annotations = None;
    service.spec = service.spec.take().map(|spec| ServiceSpec {
        ports: spec.ports,
        type_: spec.type_,
        cluster_ip: spec.cluster_ip.filter(|address| address == "None"),
        ..ServiceSpec::default()
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_rule_asks_of_others_stays_and_the_bulk_goes() {
        let mut object: Guarded<MCPTool> = serde_json::from_value(json!({
            "apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPTool", "metadata": {"name": "t"},
            "spec": {"description": "long", "service": {"name": "s", "port": 80},
                     "tools": [{"name": "a", "description": "long", "inputSchema": {"type": "object"}}]}
        }))
        .unwrap();
        tool(&mut object);
        let kept = serde_json::to_value(&object.0.unwrap().spec).unwrap();
        assert_eq!(
            kept,
            json!({"service": {"name": "s", "port": 80}, "tools": [{"name": "a"}]})
        );
    }

    #[test]
    fn only_the_address_none_of_a_service_is_kept() {
        for (address, kept) in [("10.0.0.7", None), ("None", Some("None"))] {
            let mut object: Service = serde_json::from_value(json!({
                "metadata": {"name": "s", "annotations": {"a": "b"}},
                "spec": {"clusterIP": address, "selector": {"app": "s"}, "ports": [{"port": 80}]}
            }))
            .unwrap();
            service(&mut object);
            let spec = object.spec.unwrap();
            assert_eq!(spec.cluster_ip.as_deref(), kept);
            assert!(spec.selector.is_none() && spec.ports.is_some());
            assert!(object.metadata.annotations.is_none());
        }
    }
}
