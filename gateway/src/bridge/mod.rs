//! Serves both protocol eras over HTTP in front of a server that speaks another transport, or an older era.

pub mod channel;
