//! Call-time access as pure functions: who may call what on one server, and why (or why not).
//!
//! The operator calls [`compile`] to turn grants and sessions into a [`Bundle`], the gateway calls [`authenticate`]
//! and [`decide`] for every message, and the plugins call [`explain`] for `kubectl mcp grant can-i` and `explain`.
//! All of them therefore give the same answer for the same objects.
//!
//! Nothing here reads a clock, a file or a network: the time is an argument.

pub mod bundle;
pub mod caller;
pub mod compile;
pub mod decide;
pub mod explain;
pub mod glob;
pub mod hint;
pub mod index;
pub mod limits;
pub mod pins;
pub mod reason;
pub mod settings;
pub mod status;

pub use bundle::{
    Bundle, BundleError, GrantEntry, IssuerEntry, OAuthEntry, ProxyEntry, RuleEntry, SessionEntry,
    ToolEntry,
};
pub use caller::{
    Caller, CallerSession, Identity, account_user, authenticate, hex, join_session, token_audience,
    token_hash,
};
pub use compile::compile;
pub use decide::{Item, Judge, Verdict, decide};
pub use explain::{Explanation, Outcome, Step, explain};
pub use index::Index;
pub use limits::{Limits, RateEntry};
pub use pins::Standing;
pub use reason::Reason;
pub use settings::{Ceilings, HeaderNames, Settings};
pub use status::{GrantReport, grant_status};
