//! What the plugins share: which binary serves which verb, kubectl's own flags and manners, output and errors.
//!
//! Without features this is only the verb table and the reading of `argv`, so that the dispatcher stays small. With
//! `terminal` it is everything a plugin needs that talks to no cluster (`lint`), with `cluster` also the client.
//! No verb's own work belongs here.

pub mod called;
pub mod verbs;

#[cfg(feature = "terminal")]
pub mod age;
#[cfg(feature = "terminal")]
pub mod app;
#[cfg(feature = "terminal")]
pub mod confirm;
#[cfg(feature = "terminal")]
pub mod error;
#[cfg(feature = "terminal")]
pub mod output;
#[cfg(feature = "terminal")]
pub mod printer;
#[cfg(feature = "terminal")]
pub mod table;

#[cfg(feature = "cluster")]
pub mod api_error;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "live")]
pub mod declared;
#[cfg(feature = "cluster")]
pub mod delete;
#[cfg(feature = "cluster")]
pub mod listing;
#[cfg(feature = "live")]
pub mod live;
#[cfg(feature = "cluster")]
pub mod taken;
#[cfg(feature = "cluster")]
pub mod tokens;

#[cfg(feature = "cluster")]
pub use cluster::{Cluster, KubeArgs};
#[cfg(feature = "terminal")]
pub use error::{Error, Exit, Result};
#[cfg(feature = "terminal")]
pub use printer::{Printer, TerminalArgs};
#[cfg(feature = "live")]
pub use rules::parse::near;

/// The version of every binary of this build. Siblings of another version are refused.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
