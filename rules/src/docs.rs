//! The index of the rules' pages, generated so that it can never leave a rule out.

use std::fmt::Write as _;

use crate::registry::REGISTRY;

/// The text of `docs/rules/README.md`.
pub fn docs_index() -> String {
    let mut text = String::from(
        "# Admission rules\n\n\
         Generated from the registry of the `rules` crate; a test compares. The same rules judge an object in the \
         webhook, in `kubectl mcp lint` and in the operator.\n\n\
         **Structural**: the object cannot work or breaks isolation, so it is refused whatever a policy says. \
         **Policy**: comes from an MCPPolicy and follows its `enforcement`, or its override for the code. \
         **Policy, on by default**: holds also where no MCPPolicy mentions it; a policy may relax it. \
         **Warning**: never refuses.\n\n\
         | code | name | kinds | class | looks up | refuses or warns when |\n|---|---|---|---|---|---|\n",
    );
    for rule in REGISTRY {
        let meta = rule.meta();
        let kinds: Vec<_> = meta.kinds.iter().map(|kind| kind.as_str()).collect();
        let needs: Vec<_> = meta.needs.iter().map(|need| need.as_str()).collect();
        let _ = writeln!(
            text,
            "| [{code}]({code}.md) | {name} | {kinds} | {class} | {needs} | {summary} |",
            code = meta.code,
            name = meta.name,
            kinds = kinds.join(", "),
            class = meta.class.as_str(),
            needs = needs.join(", "),
            summary = meta.summary,
        );
    }
    text.push_str(
        "\nNot in this list, because it is a ValidatingAdmissionPolicy and not a rule of the engine: \
         [MCP0909](MCP0909.md) managed-object.\n\nAdded to the catalogue: MCP0911 says what the CRD schema says, \
         before the API server does and together with everything else; MCP0912 guards objects that are being deleted; \
         MCP0913 keeps grants and sessions from the garbage collector.\n",
    );
    text
}
