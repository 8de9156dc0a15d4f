//! A small TCP balancer, which is what a Service is to the API server: new connections go round the replicas that say
//! they are ready, and connections that are open stay where they are.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::kept::Server;

/// How often the replicas are asked whether they are ready.
const LOOK: Duration = Duration::from_millis(200);

/// Listens on loopback until it is dropped.
pub struct Balancer {
    /// Where.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    replicas: Mutex<Vec<Replica>>,
    turn: AtomicUsize,
    frozen: AtomicBool,
    over: AtomicBool,
}

#[derive(Clone)]
struct Replica {
    port: u16,
    /// Where `/readyz` is; a replica without one counts as ready.
    admin: Option<u16>,
    ready: bool,
}

impl Balancer {
    /// A balancer without replicas: it closes what comes.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let (accepting, looking) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.is_over() {
                    return;
                }
                if let Some(port) = accepting.next() {
                    join(stream, port, &accepting);
                }
            }
        });
        thread::spawn(move || {
            while !looking.is_over() {
                looking.look();
                thread::park_timeout(LOOK);
            }
        });
        Self { port, shared }
    }

    /// Adds a replica; it gets connections once `/readyz` of its admin port says yes, or at once without one.
    pub fn add(&self, port: u16, admin: Option<u16>) {
        let ready = admin.is_none();
        self.shared.replicas().push(Replica { port, admin, ready });
    }

    /// Stops passing bytes, without closing anything, or goes on.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.store(frozen, Ordering::SeqCst);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn replicas(&self) -> std::sync::MutexGuard<'_, Vec<Replica>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn next(&self) -> Option<u16> {
        let replicas = self.replicas();
        let ready: Vec<u16> = replicas
            .iter()
            .filter(|r| r.ready)
            .map(|r| r.port)
            .collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn.checked_rem(ready.len())?).copied()
    }

    fn look(&self) {
        let asked: Vec<_> = self.replicas().iter().filter_map(|r| r.admin).collect();
        for admin in asked {
            let ready = is_ready(admin);
            for replica in self
                .replicas()
                .iter_mut()
                .filter(|r| r.admin == Some(admin))
            {
                replica.ready = ready;
            }
        }
    }
}

fn is_ready(admin: u16) -> bool {
    let answer = Server::plain(admin)
        .connect()
        .and_then(|mut kept| kept.get("/readyz"));
    answer.is_ok_and(|answer| answer.status == 200)
}

fn join(from: TcpStream, port: u16, shared: &Arc<Shared>) {
    let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    for stream in [&from, &to] {
        // Small messages go out at once, as from the API server itself.
        let _ = stream.set_nodelay(true);
    }
    let Ok((back_from, back_to)) = to.try_clone().and_then(|to| Ok((to, from.try_clone()?))) else {
        return;
    };
    for (from, to) in [(from, to), (back_from, back_to)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || pass(from, to, &shared));
    }
}

/// Passes bytes until one side ends, and then the end.
fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while shared.frozen.load(Ordering::SeqCst) && !shared.is_over() {
            thread::park_timeout(Duration::from_millis(20));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
