//! The API layer: a real Kubernetes API server without nodes. The CRDs install and their CEL holds, the webhook and
//! the operator run as processes, and `kubectl` shows what a person would see.

#![allow(
    clippy::panic,
    reason = "a test says what is wrong by panicking, also from a function that several tests use"
)]

mod attacks;
mod audit;
mod availability;
mod cel;
mod certificates;
mod corpora;
mod denials;
mod door;
mod fleet;
mod floor;
mod identity;
mod identity_gateway;
mod leaders;
mod lifecycle;
mod lint;
mod mutation;
mod operator;
mod platform;
mod policies;
mod revocation;
mod transcripts;
mod webhook;
