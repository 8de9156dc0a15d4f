//! `mcp-gateway exec`: runs a stdio server in its own container, and lets the gateway in the other container talk to
//! it over a unix socket. Usually process 1 of that container.
//!
//! Each connection is one child process: bytes pass both ways as they are, and what the child writes to stderr becomes
//! log lines. The first line on a connection is this program's own word: [`STARTED`], [`BUSY`], or why the child could
//! not be started. It knows nothing of MCP, and holds no policy and no token.

mod child;
mod orphans;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::args::Exec;
use child::{Child, Children};

/// The first line of a connection whose child runs.
pub const STARTED: &[u8] = b"started";
/// The first line of a connection for whose child there is no place.
pub const BUSY: &[u8] = b"busy";

/// How long a connection waits for the place of a child that is ending.
const PLACE: Duration = Duration::from_secs(5);
/// How long all children together may take to end after the drain.
const LAST: Duration = Duration::from_secs(15);

/// Signals that are passed on to the children, besides those that end this program.
const PASSED: [Signal; 3] = [Signal::HUP, Signal::USR1, Signal::USR2];

/// Serves until a signal comes, and then until the children have ended.
///
/// # Errors
/// When the socket cannot be made.
pub async fn run(args: Exec) -> anyhow::Result<()> {
    LocalSet::new().run_until(serve(args)).await
}

async fn serve(args: Exec) -> anyhow::Result<()> {
    orphans::adopt();
    let listener = listen(&args.socket)?;
    let host = Rc::new(Host {
        places: Semaphore::new(args.max_processes as usize),
        children: Children::default(),
        stop: watch::Sender::new(false),
        args,
    });
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::child())?;
    for passed in PASSED {
        let mut signals = signal(SignalKind::from_raw(passed.as_raw()))?;
        let host = Rc::clone(&host);
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                host.children.signal(passed);
            }
        });
    }
    let mut connections = JoinSet::new();
    tracing::info!(socket = %host.args.socket.display(), "waiting for the gateway");
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn_local(connection(Rc::clone(&host), stream));
                }
                Err(error) => {
                    // Out of descriptors, usually: give connections time to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = ended.recv() => orphans::reap(&host.children),
            Some(_) = connections.join_next() => {}
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    // The gateway has got its signal at the same time, and serves on for a moment.
    drop(listener);
    let drain = Duration::from_secs(host.args.drain_seconds);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, all).await.is_err() {
        host.stop.send_replace(true);
        host.children.signal(Signal::TERM);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST, all).await.is_err() {
            host.children.signal(Signal::KILL);
        }
    }
    Ok(())
}

struct Host {
    args: Exec,
    places: Semaphore,
    children: Children,
    /// Becomes true when the children must end.
    stop: watch::Sender<bool>,
}

/// Listens at a path, in the place of a socket that an earlier process left there.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let is_socket = |m: std::fs::Metadata| m.file_type().is_socket();
    if std::fs::symlink_metadata(path).is_ok_and(is_socket) {
        std::fs::remove_file(path).with_context(|| {
            format!("cannot remove the old socket {} (--socket)", path.display())
        })?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen on the socket {} (--socket)", path.display()))?;
    // The gateway may run as another user. Who connects is looked at below.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
        .with_context(|| format!("cannot open the socket {} to the gateway", path.display()))?;
    Ok(listener)
}

/// One connection: one child.
async fn connection(host: Rc<Host>, mut stream: UnixStream) {
    let peer = match stream.peer_cred() {
        Ok(peer) => peer.uid(),
        Err(error) => {
            tracing::warn!(%error, "a connection without a known user is refused");
            return;
        }
    };
    if peer != rustix::process::geteuid().as_raw() && Some(peer) != host.args.gateway_uid {
        tracing::warn!(
            uid = peer,
            "a connection of another user is refused: see --gateway-uid"
        );
        return;
    }
    let place = tokio::time::timeout(PLACE, host.places.acquire()).await;
    let Ok(Ok(_place)) = place else {
        tracing::warn!(
            most = host.args.max_processes,
            "no place for another process (--max-processes)"
        );
        say(&mut stream, BUSY).await;
        return;
    };
    match Child::start(&host.args.command, &host.children) {
        Ok(child) => {
            say(&mut stream, STARTED).await;
            child.serve(stream, host.stop.subscribe()).await;
        }
        Err(error) => {
            tracing::error!(%error, command = host.args.command[0], "the server cannot be started");
            say(
                &mut stream,
                format!("cannot run {:?}: {error}", host.args.command[0]).as_bytes(),
            )
            .await;
        }
    }
}

/// Writes the first line.
async fn say(stream: &mut UnixStream, word: &[u8]) {
    let line = [word, b"\n"].concat();
    if let Err(error) = stream.write_all(&line).await {
        tracing::debug!(%error, "the gateway is gone");
    }
}
