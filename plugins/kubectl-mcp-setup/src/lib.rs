//! `kubectl mcp setup`, `check` and `status`: the plugin of the platform engineer.
//!
//! `install` is pure: the objects of an installation and their YAML, also used by the project's generator. Everything
//! else talks to a cluster through the caller's kubeconfig and rights.

pub mod check;
pub mod cli;
pub mod install;
pub mod setup;
pub mod status;

mod apply;
mod expiry;
mod kinds;
mod pods;
mod preflight;
mod progress;
mod proof;
mod uninstall;
mod wait;
