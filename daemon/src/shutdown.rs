//! SIGTERM and SIGINT: first not ready, then draining, then stopped. A second signal stops at once, and says that nothing
//! shall be waited for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Readiness;

/// The moments of a shutdown. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// A signal came: take on no more duties, finish what is under way.
    pub draining: CancellationToken,
    /// The drain is over: close connections and end.
    pub stopped: CancellationToken,
    /// A second signal came: wait for nothing.
    pub hurried: CancellationToken,
}

impl Shutdown {
    /// Listens for signals. After the first one the process is not ready but serves on for `drain`, because a
    /// Service's endpoints still send traffic to it for a while.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals(readiness: Readiness, drain: Duration) -> std::io::Result<Self> {
        let shutdown = Self::default();
        let mut signals = Signals::new()?;
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!(drain = ?drain, "shutting down");
            readiness.drain();
            tokens.draining.cancel();
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                () = signals.next() => {
                    tracing::warn!("second signal: not waiting for the drain");
                    tokens.hurried.cancel();
                }
            }
            tokens.stopped.cancel();
            signals.next().await;
            tokens.hurried.cancel();
        });
        Ok(shutdown)
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
