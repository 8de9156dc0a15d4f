//! The floor of a policy: what the API server holds by itself, also when the webhook does not answer.
//!
//! For each action of a policy (Deny, Warn, Audit) one ValidatingAdmissionPolicy with the policy's constants written
//! into its expressions, and one binding with the policy's namespaces. Several policies for one namespace are several
//! bindings, and all of them must be met. The objects belong to the MCPPolicy and go with it.
//!
//! The floor is never stricter than the rules: it holds the part of them that CEL can say, lets an UPDATE through that
//! leaves alone what a check reads, and leaves to the webhook whatever depends on more than one object and one policy.
//! `build` is pure; only `apply` writes. Called by the reconciler of policies and by nobody else.

mod apply;
mod build;
mod cel;
mod check;
mod grant;
mod image;
mod ingress;
mod scope;
mod server;
#[cfg(test)]
mod tests;

pub(super) use apply::hold;
