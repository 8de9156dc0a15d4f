//! From `-f` to objects: files, directories, standard input, several documents, lists.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use common::{Error, Result};
use serde_json::Value;

use super::node::{Node, Tree, parse};

/// The longest file, in bytes.
const LONGEST: u64 = 64 << 20;

/// One object of a file.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// The file as it was named; `-` is standard input.
    pub(crate) file: String,
    /// With places.
    pub(crate) node: Node,
    /// Without.
    pub(crate) value: Value,
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Every object, in the order of files and documents.
    pub(crate) objects: Vec<Object>,
    /// One error for each file that could not be read or understood.
    pub(crate) problems: Vec<Error>,
}

/// Reads everything that was named.
pub(crate) fn read(paths: &[PathBuf], recursive: bool) -> Result<Read> {
    let mut all = Read::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = text_of(std::io::stdin().lock()).map_err(|source| Error::File {
                action: "read",
                path: path.clone(),
                source,
            })?;
            all.add("-", &text);
            continue;
        }
        for file in files(path, recursive)? {
            let text = std::fs::File::open(&file).and_then(text_of);
            match text {
                Ok(text) => all.add(&file.display().to_string(), &text),
                Err(source) => all.problems.push(Error::File {
                    action: "read",
                    path: file,
                    source,
                }),
            }
        }
    }
    Ok(all)
}

fn text_of(reader: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    if reader.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
        return Err(std::io::Error::other(format!(
            "it is longer than {LONGEST} bytes"
        )));
    }
    Ok(text)
}

/// The file itself, or the manifests of a directory in order of name.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(path).map_err(failed)?.collect();
    let mut paths: Vec<_> = entries
        .map_err(failed)?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let link = path.symlink_metadata().is_ok_and(|data| data.is_symlink());
        if path.is_dir() {
            // A link could lead back up, and the search would not end.
            if recursive && !link {
                found.extend(files(&path, recursive)?);
            }
        } else if path
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
        {
            found.push(path);
        }
    }
    Ok(found)
}

impl Read {
    fn add(&mut self, file: &str, text: &str) {
        match parse(text) {
            Ok(documents) => {
                for node in documents {
                    self.add_document(file, node);
                }
            }
            Err(error) => self
                .problems
                .push(Error::failed(format!("cannot understand {file}: {error}"))),
        }
    }

    /// A `List` stands for its items.
    fn add_document(&mut self, file: &str, node: Node) {
        let is_list = matches!(node.get("kind").map(|kind| &kind.tree),
            Some(Tree::Scalar(Value::String(kind))) if kind.ends_with("List"));
        if is_list && let Some(Tree::List(items)) = node.get("items").map(|items| &items.tree) {
            for item in items.clone() {
                self.add_document(file, item);
            }
            return;
        }
        let value = node.value();
        self.objects.push(Object {
            file: file.to_owned(),
            node,
            value,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart() {
        let mut read = Read::default();
        read.add(
            "x",
            "kind: List\nitems:\n- kind: A\n- kind: BList\n  items: [{kind: B}]\n---\nkind: C\n",
        );
        let kinds: Vec<_> = read
            .objects
            .iter()
            .map(|object| object.value["kind"].clone())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        assert_eq!(read.objects[1].node.place.line, 5);
    }

    #[test]
    fn directories_are_read_in_order_and_only_deeper_when_asked() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        };
        for path in ["b.yaml", "a.yml", "notes.md", "deep/c.json"] {
            write(path);
        }
        let names = |recursive| -> Vec<_> {
            files(home.path(), recursive)
                .unwrap()
                .iter()
                .map(|path| {
                    path.strip_prefix(home.path())
                        .unwrap()
                        .display()
                        .to_string()
                })
                .collect()
        };
        assert_eq!(names(false), ["a.yml", "b.yaml"]);
        assert_eq!(names(true), ["a.yml", "b.yaml", "deep/c.json"]);
    }

    #[test]
    fn one_broken_file_does_not_hide_the_others() {
        let mut read = Read::default();
        read.add("bad.yaml", "a: [1");
        read.add("good.yaml", "kind: A");
        assert_eq!((read.objects.len(), read.problems.len()), (1, 1));
        assert!(
            read.problems[0]
                .to_string()
                .starts_with("cannot understand bad.yaml: ")
        );
    }
}
