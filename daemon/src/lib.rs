//! What every long-running binary of the project needs: logs, health, metrics, TLS with reload, shutdown and a
//! leader lease. The webhook, the operator and the gateway call it; the plugins do not.
//!
//! Nothing here knows what an MCPServer is.

pub mod admin;
pub mod lease;
pub mod log;
pub mod readiness;
pub mod shutdown;
pub mod tls;

pub use readiness::{Pending, Readiness};
pub use shutdown::Shutdown;

/// Installs ring as the one crypto provider of the process.
///
/// # Errors
/// When another provider was installed before: two would mean two sets of ciphers.
pub fn install_crypto() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a crypto provider is installed already"))
}
