//! Where in which file each finding is.

use std::sync::Arc;

use rules::{Finding, Severity};

use crate::manifests::{Place, Read};
use crate::world::World;

/// A finding and where it is.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// What.
    pub(super) finding: Finding,
    /// In which file.
    pub(super) file: Arc<str>,
    /// Where in it.
    pub(super) place: Place,
}

/// Every finding of every object, in the order of the files. What a policy only wants noted in the audit log is none,
/// as it is no warning of the webhook.
pub(super) fn judge(run: &Read, world: &World) -> Vec<Located> {
    let mut all = Vec::new();
    for (kind, object) in run.ours() {
        let findings = world.check(&world.case(kind, object));
        let mut located: Vec<_> = findings
            .into_iter()
            .filter(|finding| !finding.audit || finding.severity != Severity::Warning)
            .map(|finding| Located {
                place: object.node.place_of(&finding.field),
                file: Arc::clone(&object.file),
                finding,
            })
            .collect();
        located.sort_by(|a, b| (a.place, a.finding.code).cmp(&(b.place, b.finding.code)));
        all.extend(located);
    }
    all
}
