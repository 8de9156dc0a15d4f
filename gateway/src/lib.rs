//! The data plane: stands in front of one MCP server, on its pod's network, and decides about every message.
//!
//! [`serve`] puts the parts together, [`pipeline`] is the way of a request, [`policy`] the access bundle in force.
//! [`bridge`] stands between them and a server of another transport; [`exec`] runs a stdio server for it, in the
//! server's container, where [`copy`] has put this program.
//! What is decided is decided by the crate `access`; nothing here knows what a grant is.

pub mod answer;
pub mod args;
pub mod audit;
pub mod body;
pub mod bridge;
pub mod connect;
pub mod copy;
pub mod definitions;
pub mod discovery;
pub mod ending;
pub(crate) mod exchange;
pub mod exec;
pub mod filter;
pub mod handshake;
pub mod headers;
pub mod identity;
pub(crate) mod intake;
pub mod json;
pub mod keys;
pub mod limits;
pub mod losses;
pub mod message;
pub mod metrics;
pub(crate) mod named;
pub(crate) mod news;
pub mod peers;
pub mod pipeline;
pub mod policy;
pub mod post;
pub mod protocol;
pub(crate) mod reply;
pub mod seal;
pub mod serve;
pub mod sessions;
pub mod ship;
pub mod sse;
pub mod tasks;
pub mod trace;
pub mod upstream;
pub(crate) mod viewer;
