//! What two servers claim of the outside world, and whether the claims overlap.

use crate::parse::host;
use crate::parse::path::is_segment_prefix;

/// A claim: a path on a host of an ingress class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Route {
    /// Ingress class: each has a data plane of its own.
    pub class: String,
    /// Host; `None` claims every host.
    pub host: Option<String>,
    /// Path.
    pub path: String,
    /// The path is claimed alone, not what is below it. MCPServers never do; HTTPRoutes and Ingresses of others may.
    pub exact: bool,
}

/// How two claims stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overlap {
    /// Not at all.
    None,
    /// Not by the specification, but some controllers mix them up.
    Close,
    /// Requests that one claims would reach the other.
    Taken,
}

/// How a new claim stands to one that is there. Not symmetric: an exact path that is there is hit by a prefix around
/// it, not by one below it.
pub fn overlap(new: &Route, existing: &Route) -> Overlap {
    if new.class != existing.class {
        return Overlap::None;
    }
    hosts(new.host.as_deref(), existing.host.as_deref()).min(paths(new, existing))
}

/// The worst that the hosts allow: the exact host wins over the one that claims every host, but people should know.
fn hosts(new: Option<&str>, existing: Option<&str>) -> Overlap {
    match (new, existing) {
        (None, None) => Overlap::Taken,
        (None, Some(_)) | (Some(_), None) => Overlap::Close,
        (Some(new), Some(existing)) => {
            let same = new.eq_ignore_ascii_case(existing);
            if same || host::covers(new, existing) || host::covers(existing, new) {
                Overlap::Taken
            } else {
                Overlap::None
            }
        }
    }
}

fn paths(new: &Route, existing: &Route) -> Overlap {
    let (ours, theirs) = (new.path.as_str(), existing.path.as_str());
    match path_overlap(ours, new.exact, theirs, existing.exact) {
        Overlap::None => {
            let folded = path_overlap(
                &ours.to_ascii_lowercase(),
                new.exact,
                &theirs.to_ascii_lowercase(),
                existing.exact,
            );
            folded.min(Overlap::Close)
        }
        found => found,
    }
}

fn path_overlap(ours: &str, exact: bool, theirs: &str, their_exact: bool) -> Overlap {
    let same_but_slash = ours.trim_end_matches('/') == theirs.trim_end_matches('/');
    match (exact, their_exact) {
        (true, true) if ours == theirs => Overlap::Taken,
        (true, true) if same_but_slash => Overlap::Close,
        (true, true) => Overlap::None,
        (true, false) => surrounds(theirs, ours),
        (false, true) => surrounds(ours, theirs),
        (false, false) => surrounds(ours, theirs).max(surrounds(theirs, ours)),
    }
}

/// How a prefix stands to a path: around it by whole segments, or only as a string.
fn surrounds(prefix: &str, path: &str) -> Overlap {
    if is_segment_prefix(prefix, path) {
        Overlap::Taken
    } else if path
        .trim_end_matches('/')
        .starts_with(prefix.trim_end_matches('/'))
    {
        Overlap::Close
    } else {
        Overlap::None
    }
}
