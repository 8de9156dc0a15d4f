//! One file of `tests/fixtures/cel`: an object as `kubectl create -f` takes it, or two documents, of which the first is
//! stored and the second replaces it.
//!
//! Comments at the head say what must come of it: `# refused: LINE` for each line of the API server's refusal, without
//! `* ` and in any order, and `# webhook: MCPnnnn ...` for the codes that the rules must say of it.

use std::collections::BTreeSet;
use std::fs;

use tests::recorded::repository;

const FOLDER: &str = "tests/fixtures/cel";
/// What the API server adds when it did not come to the CEL rules.
const UNCHECKED: &str = "<nil>: ";

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// `KIND/NAME.yaml`, the kind in lower case.
    pub(super) name: String,
    /// The kind, in lower case.
    pub(super) kind: String,
    /// The lines of the refusal.
    pub(super) refused: BTreeSet<String>,
    /// What the rules must say.
    pub(super) codes: Vec<String>,
    /// The documents.
    pub(super) documents: Vec<String>,
}

impl Case {
    /// Every file, by name.
    pub(super) fn all() -> Vec<Self> {
        let entries = |folder: &std::path::Path| {
            let mut paths: Vec<_> = fs::read_dir(folder)
                .expect("the folder is there")
                .map(|entry| entry.expect("it can be read").path())
                .collect();
            paths.sort();
            paths
        };
        let mut cases = Vec::new();
        for folder in entries(&repository().join(FOLDER)) {
            for file in entries(&folder) {
                let last = |path: &std::path::Path| {
                    path.file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned()
                };
                let text = fs::read_to_string(&file).expect("the file is text");
                cases.push(Self::parse(&last(&folder), &last(&file), &text));
            }
        }
        assert!(cases.len() > 40, "only {} files in {FOLDER}", cases.len());
        cases
    }

    fn parse(kind: &str, file: &str, text: &str) -> Self {
        let comments = |word: &str| -> Vec<String> {
            text.lines()
                .filter_map(|line| line.strip_prefix(word))
                .map(str::to_owned)
                .collect()
        };
        let body: String = text
            .split_inclusive('\n')
            .skip_while(|line| line.starts_with('#'))
            .collect();
        Self {
            name: format!("{kind}/{file}"),
            kind: kind.to_owned(),
            refused: comments("# refused: ").into_iter().collect(),
            codes: comments("# webhook: ")
                .iter()
                .flat_map(|line| line.split_whitespace())
                .map(str::to_owned)
                .collect(),
            documents: body.split("---\n").map(str::to_owned).collect(),
        }
    }

    /// Writes the file.
    pub(super) fn write(&self) {
        let mut lines: Vec<String> = self
            .refused
            .iter()
            .map(|line| format!("# refused: {line}"))
            .collect();
        lines.push(self.documents.join("---\n"));
        let text = lines.join("\n");
        let path = repository().join(FOLDER).join(&self.name);
        fs::create_dir_all(path.parent().expect("it is in a folder"))
            .expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    }
}

/// The single reasons in what `kubectl` printed of a refusal.
pub(super) fn causes(said: &str) -> BTreeSet<String> {
    let listed: BTreeSet<String> = said
        .lines()
        .filter_map(|line| line.strip_prefix("* "))
        .filter(|line| !line.starts_with(UNCHECKED))
        .map(str::to_owned)
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    said.lines()
        .filter_map(|line| line.split_once(" is invalid: "))
        .map(|(_, cause)| cause.to_owned())
        .collect()
}
