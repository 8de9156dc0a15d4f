//! From what was named on a command line to objects: files, directories, patterns, standard input, several documents,
//! lists.
//!
//! Used by every verb that takes `-f`. Reads and understands; what an object means is for others.

mod empty;
mod json;
mod node;
mod paths;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Error, Result};
use rules::{Kind, kind_of};
use serde_json::Value;

use node::Tree;
pub(crate) use node::{Node, Place};
use yaml::Fault;

/// The longest file, in bytes.
const LONGEST: u64 = 64 << 20;
/// Stack of the thread that parses, in bytes: far more than the deepest document takes.
const STACK: usize = 32 << 20;

/// Flags that say which files.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Inputs {
    /// File, directory, pattern such as 'apps/**/*.yaml', or - for standard input
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    files: Vec<PathBuf>,
    /// The same, as kubectl takes it; may be given several times
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Go into the directories of a directory
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Inputs {
    /// Everything that was named, with what `--policy` names, each read. Standard input can be read only once.
    pub(crate) fn read(&self, policies: &[PathBuf]) -> Result<(Read, Read)> {
        let named: Vec<PathBuf> = self.filename.iter().chain(&self.files).cloned().collect();
        let dashes = |path: &&PathBuf| path.as_os_str() == "-";
        if named.iter().chain(policies).filter(dashes).count() > 1 {
            return Err(Error::usage("standard input (-) must be named once"));
        }
        let mut run = read(&named, self.recursive);
        if run.objects.is_empty() && run.problems.is_empty() {
            run.problems.push(empty::nothing(&named));
        }
        Ok((run, read(policies, self.recursive)))
    }
}

/// One object of a file.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// The file as it was named; `-` is standard input.
    pub(crate) file: Arc<str>,
    /// With places.
    pub(crate) node: Node,
    /// Without.
    pub(crate) value: Value,
}

impl Object {
    /// The kind, where it is one that rules judge.
    pub(crate) fn kind(&self) -> Option<Kind> {
        kind_of(&self.value)
    }

    /// A text by its JSON pointer; empty where there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Something that could not be read or understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file as it was named.
    pub(crate) file: String,
    /// Where in it; nothing where the file could not even be read.
    pub(crate) place: Option<Place>,
    /// What and why, without the place.
    pub(crate) message: String,
    /// What to write or type instead.
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// The error that a person reads.
    pub(crate) fn error(&self) -> Error {
        let (file, message) = (&self.file, &self.message);
        let error = Error::failed(match self.place {
            Some(Place { line, column }) => format!("{file}:{line}:{column}: {message}"),
            None => format!("cannot read {file}: {message}"),
        });
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Every object, in the order of files and documents.
    pub(crate) objects: Vec<Object>,
    /// What could not be read or understood, and what names a kind of ours that there is not.
    pub(crate) problems: Vec<Problem>,
    /// Named directories whose own directories were not looked into.
    flat: Vec<PathBuf>,
}

impl Read {
    /// The objects that rules judge.
    pub(crate) fn ours(&self) -> impl Iterator<Item = (Kind, &Object)> {
        self.objects
            .iter()
            .filter_map(|object| Some((object.kind()?, object)))
    }

    /// How many objects of which other kinds there are.
    pub(crate) fn others(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for object in self.objects.iter().filter(|object| object.kind().is_none()) {
            let kind = match object.text("/kind") {
                "" => "document without a kind".to_owned(),
                kind => rules::escape(kind),
            };
            *counts.entry(kind).or_insert(0) += 1;
        }
        counts
    }
}

/// Reads everything that was named. A file that was named twice is read once.
pub(crate) fn read(paths: &[PathBuf], recursive: bool) -> Read {
    let mut all = Read::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let bytes = bytes_of(std::io::stdin().lock());
            all.add_bytes("-", bytes);
            continue;
        }
        let files = match paths::expand(path, recursive) {
            Ok(files) => files,
            Err(problem) => {
                all.problems.push(problem);
                continue;
            }
        };
        if !recursive && path.is_dir() {
            all.flat.push(path.clone());
        }
        for file in files {
            let itself = file.canonicalize().unwrap_or_else(|_| file.clone());
            if seen.insert(itself) {
                let bytes = std::fs::File::open(&file).and_then(bytes_of);
                all.add_bytes(&shown(&file), bytes);
            }
        }
    }
    all
}

/// A path as it stands in findings, on one line.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text
    }
}

fn bytes_of(reader: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if reader.take(LONGEST + 1).read_to_end(&mut bytes)? as u64 > LONGEST {
        return Err(std::io::Error::other(format!(
            "it is longer than {LONGEST} bytes"
        )));
    }
    Ok(bytes)
}

impl Read {
    fn add_bytes(&mut self, file: &str, bytes: std::io::Result<Vec<u8>>) {
        let problem = |place, message| Problem {
            file: file.to_owned(),
            place,
            message,
            hint: None,
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problems.push(problem(None, error.to_string()));
                return;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => self.add(file, &text),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let good = String::from_utf8_lossy(valid);
                let line = good.rsplit('\n').next().unwrap_or_default();
                let place = Place {
                    line: 1 + good.matches('\n').count() as u64,
                    column: 1 + line.chars().count() as u64,
                };
                let message = "cannot be understood: it must be UTF-8".to_owned();
                self.problems.push(problem(Some(place), message));
            }
        }
    }

    fn add(&mut self, file: &str, text: &str) {
        let (nodes, faults) = understand(text);
        let file: Arc<str> = file.into();
        for Fault { place, message } in faults {
            self.problems.push(Problem {
                file: file.to_string(),
                place: Some(place.unwrap_or(Place { line: 1, column: 1 })),
                message: format!("cannot be understood: {message}"),
                hint: None,
            });
        }
        for node in nodes {
            self.add_document(&file, node);
        }
    }

    /// A `List` stands for its items.
    fn add_document(&mut self, file: &Arc<str>, node: Node) {
        let is_list = node
            .get("kind")
            .and_then(Node::text)
            .is_some_and(|kind| kind.ends_with("List"));
        match node.tree {
            Tree::Map(entries) if is_list && holds_items(&entries) => {
                let items = entries.into_iter().filter(|(key, ..)| key == "items");
                for (.., items) in items {
                    if let Tree::List(items) = items.tree {
                        for item in items {
                            self.add_document(file, item);
                        }
                    }
                }
            }
            tree => {
                let node = Node {
                    place: node.place,
                    tree,
                };
                let value = node.value();
                let object = Object {
                    file: Arc::clone(file),
                    node,
                    value,
                };
                // What is wrong with it is said once: it does not count among the objects of other kinds too.
                match slip(&object) {
                    Some(problem) => self.problems.push(problem),
                    None => self.objects.push(object),
                }
            }
        }
    }
}

/// The documents of a text, read on a thread of its own: nesting takes stack, and the stack of the main thread is small
/// on some systems.
fn understand(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let read = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || documents(text))
            .ok()?
            .join()
            .ok()
    });
    read.unwrap_or_else(|| {
        let fault = Fault {
            place: None,
            message: "the parser gave up".to_owned(),
        };
        (Vec::new(), vec![fault])
    })
}

/// JSON first where it looks like it, because a stream of values is no YAML.
fn documents(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    if plain.trim_start().starts_with(['{', '['])
        && let Some(nodes) = json::parse(plain)
    {
        return (nodes, Vec::new());
    }
    yaml::parse(text)
}

fn holds_items(entries: &[(String, Place, Node)]) -> bool {
    entries
        .iter()
        .any(|(key, _, node)| key == "items" && matches!(node.tree, Tree::List(_)))
}

/// An object that is meant to be one of ours and that no rule knows: a slip in kind, version or form, which a cluster
/// would refuse.
fn slip(object: &Object) -> Option<Problem> {
    let (version, kind) = (object.text("/apiVersion"), object.text("/kind"));
    let is_ours = |version: &str| version.split('/').next() == Some(api::GROUP);
    let listed = object.value.as_array().is_some_and(|items| {
        let version = |item: &Value| item.get("apiVersion")?.as_str().map(is_ours);
        items.iter().any(|item| version(item) == Some(true))
    });
    let named = version.is_empty() && Kind::ALL.iter().any(|known| known.as_str() == kind);
    let (field, message) = if listed {
        (
            "",
            "a list of objects must be an object of kind List with 'items'".to_owned(),
        )
    } else if named {
        (
            "kind",
            format!("an object of kind '{kind}' must have an apiVersion"),
        )
    } else if is_ours(version) && object.kind().is_none() {
        let (kind, version) = (kind.escape_debug(), version.escape_debug());
        ("kind", format!("there is no kind '{kind}' in '{version}'"))
    } else {
        return None;
    };
    Some(Problem {
        file: object.file.to_string(),
        place: Some(object.node.place_of(field)),
        message,
        hint: Some(right_kind()),
    })
}

/// What an object of ours starts with.
fn right_kind() -> String {
    let kinds = Kind::ALL.map(Kind::as_str).join(", ");
    format!(
        "apiVersion: {}/{}, and kind one of {kinds}",
        api::GROUP,
        api::VERSION
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(files: &[(&str, &str)]) -> Read {
        let mut read = Read::default();
        for (file, text) in files {
            read.add(file, text);
        }
        read
    }

    fn kinds(read: &Read) -> Vec<&str> {
        read.objects
            .iter()
            .map(|object| object.text("/kind"))
            .collect()
    }

    #[test]
    fn lists_are_taken_apart() {
        let text =
            "kind: List\nitems:\n- kind: A\n- kind: BList\n  items: [{kind: B}]\n---\nkind: C\n";
        let read = added(&[("x", text)]);
        assert_eq!(kinds(&read), ["A", "B", "C"]);
        assert_eq!(read.objects[1].node.place.line, 5);
        let json = "{\"kind\": \"List\",\n \"items\": [{\"kind\": \"A\"},\n  {\"kind\": \"B\"}]}";
        let read = added(&[("x", json)]);
        assert_eq!(kinds(&read), ["A", "B"]);
        assert_eq!(
            read.objects[1].node.place_of("kind"),
            Place { line: 3, column: 4 }
        );
    }

    #[test]
    fn one_broken_file_does_not_hide_the_others() {
        let read = added(&[("bad.yaml", "a: [1"), ("good.yaml", "kind: A")]);
        assert_eq!((read.objects.len(), read.problems.len()), (1, 1));
        let error = read.problems[0].error().to_string();
        assert!(error.starts_with("bad.yaml:1:"), "{error}");
        assert!(error.contains(": cannot be understood: "), "{error}");
    }

    #[test]
    fn a_slip_does_not_pass_for_another_kind() {
        for (text, said) in [
            (
                "apiVersion: kubectl-mcp.dev/v1alpha1\nkind: MCPSever",
                "no kind 'MCPSever'",
            ),
            (
                "apiVersion: kubectl-mcp.dev/v1\nkind: MCPServer",
                "in 'kubectl-mcp.dev/v1'",
            ),
            ("kind: MCPServer", "must have an apiVersion"),
            (
                "[{apiVersion: kubectl-mcp.dev/v1alpha1, kind: MCPServer}]",
                "kind List",
            ),
        ] {
            let read = added(&[("x", text)]);
            assert_eq!(read.problems.len(), 1, "{text}");
            assert!(
                read.problems[0].message.contains(said),
                "{:?}",
                read.problems
            );
            let hint = read.problems[0].hint.as_deref().unwrap();
            for kind in [
                "MCPServer",
                "MCPAccessGrant",
                "MCPAgentSession",
                "MCPPolicy",
                "MCPTool",
                "MCPPrompt",
                "MCPResource",
                "MCPRegistry",
            ] {
                assert!(hint.contains(kind), "{kind}: {hint}");
            }
        }
        let foreign =
            "apiVersion: example.test/v1\nkind: MCPServer\n---\n- hosts: all\n---\njust words\n";
        assert_eq!(added(&[("x", foreign)]).problems, []);
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused_with_its_place() {
        let mut read = Read::default();
        read.add_bytes("x", Ok(b"a: 1\nb: \xff\n".to_vec()));
        let place = Place { line: 2, column: 4 };
        assert_eq!(read.problems[0].place, Some(place));
        assert!(read.problems[0].message.contains("UTF-8"));
    }

    #[test]
    fn nesting_and_aliases_end_somewhere() {
        let fault = |text: &str| {
            let (_, faults) = understand(text);
            faults
                .first()
                .map(|fault| fault.message.clone())
                .unwrap_or_default()
        };
        let deep = format!("nested deeper than {}", yaml::DEEPEST);
        assert!(fault(&"[".repeat(10_000)).contains(&deep));
        let block: Vec<_> = (0..5000)
            .map(|i| format!("{}a:\n", " ".repeat(i)))
            .collect();
        assert!(fault(&block.concat()).contains(&deep));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let many = vec![format!("*a{}", i - 1); 10].join(",");
            bomb = format!("{bomb}a{i}: &a{i} [{many}]\n");
        }
        // The second is not even looked at.
        let (nodes, faults) = understand(&format!("{bomb}---\n{bomb}"));
        assert_eq!((nodes.len(), faults.len()), (0, 1));
        assert!(faults[0].message.contains("more values"), "{faults:?}");
    }
}
