//! `-o table|wide|json|yaml|name` and `--dry-run`: objects as kubectl prints them.

use api::names::LAST_APPLIED;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::printer::Printer;

/// How objects are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// `kind.group/name`, for other commands
    Name,
}

impl Output {
    /// Whether columns are printed, and not the objects themselves.
    pub fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// The `-o` flag.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct OutputArgs {
    /// How to print
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub output: Output,
}

/// Whether a change is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DryRun {
    /// Make the change
    #[default]
    None,
    /// Only print what would be sent
    Client,
    /// Send it, and let the server judge it without keeping it
    Server,
}

impl DryRun {
    /// What kubectl adds to its message.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// The `--dry-run` flag.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DryRunArgs {
    /// Whether to only say what would be done
    #[arg(long, value_enum, default_value = "none", value_name = "MODE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    pub dry_run: DryRun,
}

/// An object as a JSON tree, without what only field managers read.
pub fn tree(object: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

/// Takes out of an object what nobody writes: its status, and what the API server and kubectl keep in its metadata.
pub fn strip(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    for field in [
        "managedFields",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "uid",
        "selfLink",
    ] {
        metadata.remove(field);
    }
    remove_annotations(metadata, |name| name == LAST_APPLIED);
}

/// Takes the annotations that `goes` names out of an object's metadata, and with the last of them their map.
pub fn remove_annotations(metadata: &mut Map<String, Value>, goes: impl Fn(&str) -> bool) {
    let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    annotations.retain(|name, _| !goes(name));
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// `mcpserver.kubectl-mcp.dev/weather` of an object.
pub fn name_of(object: &Value) -> String {
    let text = |path: &str| {
        object
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, api_version) = (text("/kind").to_lowercase(), text("/apiVersion"));
    match api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text("/metadata/name")),
        None => format!("{kind}/{}", text("/metadata/name")),
    }
}

/// A document of YAML, with a newline at its end.
pub fn yaml(value: &Value) -> Result<String> {
    serde_saphyr::to_string(value)
        .map_err(|error| Error::failed(format!("cannot write YAML: {error}")))
}

/// JSON as kubectl indents it.
pub fn pretty_json(value: &Value) -> String {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        // A tree with string keys is always written to memory; the short form says the same.
        Err(_) => value.to_string(),
    }
}

/// Any value as JSON or YAML.
pub fn print_value(printer: &mut Printer, output: Output, value: &Value) -> Result<()> {
    match output {
        Output::Yaml => printer.data(yaml(value)?.as_bytes()),
        Output::Json | Output::Table | Output::Wide | Output::Name => {
            printer.line(pretty_json(value));
        }
    }
    Ok(())
}

/// One object, in a form that is no table.
pub fn print_object(printer: &mut Printer, output: Output, object: &Value) -> Result<()> {
    match output {
        Output::Name => printer.line(name_of(object)),
        Output::Json | Output::Yaml | Output::Table | Output::Wide => {
            print_value(printer, output, object)?;
        }
    }
    Ok(())
}

/// Several objects, in a form that is no table: a `List`, as kubectl makes it.
pub fn print_list(printer: &mut Printer, output: Output, objects: &[Value]) -> Result<()> {
    if output == Output::Name {
        for object in objects {
            printer.line(name_of(object));
        }
        return Ok(());
    }
    let list = json!({"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}});
    print_value(printer, output, &list)
}

/// What kubectl prints after a change: `mcpserver.kubectl-mcp.dev/weather created (server dry run)`; the object itself
/// with `-o json|yaml|name`.
pub fn print_change(
    printer: &mut Printer,
    output: Output,
    object: &impl Serialize,
    verb: &str,
    dry_run: DryRun,
) -> Result<()> {
    let object = tree(object);
    if output.is_table() {
        printer.line(format_args!(
            "{} {verb}{}",
            name_of(&object),
            dry_run.suffix()
        ));
        return Ok(());
    }
    print_object(printer, output, &object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_kubectl_names_it() {
        let server = json!({"apiVersion": "kubectl-mcp.dev/v1alpha1", "kind": "MCPServer", "metadata": {"name": "w"}});
        assert_eq!(name_of(&server), "mcpserver.kubectl-mcp.dev/w");
        assert_eq!(
            name_of(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})),
            "pod/p"
        );
    }

    #[test]
    fn managed_fields_are_not_shown() {
        let object = tree(&json!({"metadata": {"name": "w", "managedFields": [1]}}));
        assert_eq!(object, json!({"metadata": {"name": "w"}}));
    }

    #[test]
    fn what_nobody_writes_is_stripped() {
        let mut object = json!({
            "kind": "X", "spec": {"a": 1}, "status": {"b": 2},
            "metadata": {"name": "w", "uid": "u", "resourceVersion": "1", "generation": 2, "creationTimestamp": "t",
                         "managedFields": [], "annotations": {LAST_APPLIED: "{}"}}
        });
        strip(&mut object);
        assert_eq!(
            object,
            json!({"kind": "X", "spec": {"a": 1}, "metadata": {"name": "w"}})
        );
    }

    #[test]
    fn words_that_are_no_strings_in_yaml_are_quoted() {
        let text = yaml(&json!({"a": "true", "b": "1", "c": "x", "d": "no"})).unwrap();
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            back,
            json!({"a": "true", "b": "1", "c": "x", "d": "no"}),
            "{text}"
        );
    }
}
