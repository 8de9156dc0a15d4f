//! The reader of `kubectl mcp lint`, whose crate is a program and cannot be named as a library.

#[path = "../../../plugins/kubectl-mcp-policy/src/manifests/node.rs"]
mod node;
#[path = "../../../plugins/kubectl-mcp-policy/src/manifests/yaml.rs"]
mod yaml;

/// Reads every document of a text, and looks up a field in each.
pub(crate) fn read(text: &str) {
    let (nodes, _) = yaml::parse(text);
    for node in nodes {
        let _ = (node.value(), node.place_of("spec.env[0].value"));
    }
}
