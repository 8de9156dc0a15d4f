//! The API layer: a real Kubernetes API server without nodes. The CRDs install and their CEL holds, the webhook and
//! the operator run as processes, and `kubectl` shows what a person would see.

mod cel;
mod operator;
mod platform;
mod webhook;
