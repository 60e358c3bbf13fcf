//! The worker threads: thread per core, each with its own runtime, listeners, pools and counters. Nothing is shared
//! between them on a request's path but the targets' few relaxed atomics.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use elba_core::compile::{Compiled, Serves};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{spawn_local, LocalSet};
use tokio::time::{interval, sleep, sleep_until, Instant, MissedTickBehavior};

use crate::access_log;
use crate::counters::{Balancer, Counters};
use crate::proxy::accept::serve as serve_tls;
use crate::proxy::connection::Connection;
use crate::proxy::state::Worker;
use crate::timer::TICK_MS;

/// Names a bound address among its workers' listeners; the caller's choice, unique while it listens.
pub type BindId = u64;

/// How often pools are looked over for connections that targets have closed.
const POOL_SWEEP_TICKS: u64 = 1000 / TICK_MS;
/// After accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

enum Command {
    /// dropping the sender says that it is in force
    Install(Arc<Compiled>, mpsc::Sender<()>),
    Listen(BindId, TcpListener, Serves),
    Unlisten(BindId),
    Drain(Duration),
}

struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// All worker threads.
pub struct Workers {
    handles: Vec<Handle>,
}

impl Workers {
    /// Starts `count` threads (0 = one per core) that serve nothing yet.
    ///
    /// # Errors
    /// The system refuses a thread or an epoll instance.
    pub fn start(count: usize, counters: Arc<Counters>) -> io::Result<Workers> {
        Workers::start_logging(count, counters, None)
    }

    /// As `start`; access log records go to `log`.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_logging(
        count: usize,
        counters: Arc<Counters>,
        log: Option<access_log::Sender>,
    ) -> io::Result<Workers> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            asked => asked,
        };
        let mut handles = Vec::with_capacity(count);
        for index in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let seed = seed()?;
            let (counters, log) = (counters.clone(), log.clone());
            let (commands, received) = mpsc::unbounded_channel();
            let thread = std::thread::Builder::new()
                .name(format!("elba-worker-{index}"))
                .spawn(move || {
                    let local = LocalSet::new();
                    local.block_on(&runtime, run(index, counters, seed, log, received));
                })?;
            handles.push(Handle { commands, thread });
        }
        Ok(Workers { handles })
    }

    /// How many threads there are, which is how many listeners `listen` wants.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for handle in &self.handles {
            // a worker that has ended needs no commands
            let _ = handle.commands.send(command());
        }
    }

    /// Gives every worker this configuration for its next request; requests in flight keep the one they began with,
    /// except those on a target in `compiled.cut`, which end with 502 (or a closed connection).
    pub fn install(&self, compiled: Arc<Compiled>) {
        drop(self.install_and_tell(compiled));
    }

    /// As `install`; the result is ready once every worker has the configuration.
    pub fn install_and_tell(&self, compiled: Arc<Compiled>) -> impl Future<Output = ()> + 'static {
        for target in &compiled.cut {
            target.set_cut(true);
        }
        let (done, mut all_done) = mpsc::channel(1);
        self.tell(|| Command::Install(compiled.clone(), done.clone()));
        async move {
            drop(done);
            // nobody sends: it ends when the last sender is dropped
            let _ = all_done.recv().await;
        }
    }

    /// Accepts connections from `listeners`, one for each worker (SO_REUSEPORT, listening, any blocking mode).
    pub fn listen(&self, bind: BindId, listeners: Vec<TcpListener>, serves: Serves) {
        for (handle, listener) in self.handles.iter().zip(listeners) {
            let _ = handle
                .commands
                .send(Command::Listen(bind, listener, serves.clone()));
        }
    }

    /// Stops accepting there: what waits in the accept queues is still taken, then the sockets are closed. Open
    /// connections are served on while their listener is in the configuration.
    pub fn unlisten(&self, bind: BindId) {
        self.tell(|| Command::Unlisten(bind));
    }

    /// Stops accepting anywhere, closes idle connections, lets requests in flight finish for at most `limit`.
    /// Returns at once; `join` waits for the end.
    pub fn drain(&self, limit: Duration) {
        self.tell(|| Command::Drain(limit));
    }

    /// Waits until all workers have ended, which they do after `drain`.
    pub fn join(self) {
        for handle in self.handles {
            drop(handle.commands);
            // a worker that panicked has said so on stderr
            let _ = handle.thread.join();
        }
    }
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and length are those of `bytes`.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if count != bytes.len() as isize {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from_ne_bytes(bytes))
}

/// Listeners by their bind; a dropped sender makes the accepting task drain its queue and end.
type Listeners = HashMap<BindId, oneshot::Sender<()>>;

async fn run(
    index: usize,
    counters: Arc<Counters>,
    seed: u64,
    log: Option<access_log::Sender>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let worker = Rc::new(Worker::logging(index, counters, seed, log));
    spawn_local(tick(worker.clone()));
    let mut listeners = Listeners::new();
    let limit = loop {
        match commands.recv().await {
            Some(Command::Install(compiled, done)) => {
                worker.install(compiled);
                drop(done);
            }
            Some(Command::Listen(bind, listener, serves)) => {
                let (stop, stopped) = oneshot::channel();
                listeners.insert(bind, stop);
                spawn_local(accept(worker.clone(), listener, Rc::new(serves), stopped));
            }
            Some(Command::Unlisten(bind)) => {
                listeners.remove(&bind);
            }
            Some(Command::Drain(limit)) => break limit,
            // without a drain there is nobody left to give commands: end as told by nobody, at once
            None => break Duration::ZERO,
        }
    };
    let end = Instant::now() + limit;
    drop(listeners);
    // lets the accepting tasks empty their queues before what is idle is closed
    tokio::task::yield_now().await;
    worker.drain();
    while worker.timers.count() > 0 && Instant::now() < end {
        sleep_until((Instant::now() + Duration::from_millis(10)).min(end)).await;
        // a connection may have become idle meanwhile
        worker.timers.drain(false);
    }
    worker.timers.drain(true);
    // their last words
    let end = Instant::now() + Duration::from_millis(100);
    while worker.timers.count() > 0 && Instant::now() < end {
        sleep(Duration::from_millis(5)).await;
    }
    worker.log.flush();
}

async fn tick(worker: Rc<Worker>) {
    let mut ticks = interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 1u64.. {
        ticks.tick().await;
        worker.tick();
        if count % POOL_SWEEP_TICKS == 0 {
            worker.sweep_pools();
        }
    }
}

async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    serves: Rc<Serves>,
    mut stop: oneshot::Receiver<()>,
) {
    let prepared = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match prepared {
        Ok(listener) => listener,
        Err(error) => {
            crate::log::error(
                "listener_unusable",
                serde_json::json!({"reason": error.to_string()}),
            );
            return;
        }
    };
    let most = most_descriptor();
    let serve = |stream: TcpStream, peer: SocketAddr| {
        if stream.as_raw_fd() >= most {
            reject(&worker, &serves);
            return;
        }
        // a client that is gone already is found out by reading
        let _ = stream.set_nodelay(true);
        let compiled = &worker.config().compiled;
        let is_tls = match &*serves {
            Serves::Listener { load_balancer, port } => compiled
                .find_listener(load_balancer, *port)
                .is_some_and(|place| compiled.listener_at(place).tls.is_some()),
            Serves::FrontDoor { port } => compiled.speaks(*port, true),
        };
        if is_tls {
            spawn_local(serve_tls(worker.clone(), stream, peer, serves.clone()));
        } else {
            spawn_local(Connection::new(worker.clone(), stream, peer, serves.clone()).run());
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => serve(stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
    // what is in the queue was promised to its client: closing the socket would reset it
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, peer)) = listener.accept() {
            if let Ok(stream) = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream))
            {
                serve(stream, peer);
            }
        }
    }
}

/// The highest descriptor that a client's connection may have. The system gives out the lowest that is free, so the
/// number says how many are in use; an eighth of them is kept for connections to targets, checks and files.
fn most_descriptor() -> RawFd {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call only writes the struct it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return RawFd::MAX;
    }
    RawFd::try_from(limit.rlim_cur - limit.rlim_cur / 8).unwrap_or(RawFd::MAX)
}

/// Counts a connection that is closed for want of descriptors, for the load balancer that it was meant for, if that
/// can be told.
fn reject(worker: &Worker, serves: &Serves) {
    let config = worker.config();
    let place = match serves {
        Serves::Listener { load_balancer, port } => config.compiled.find_listener(load_balancer, *port),
        Serves::FrontDoor { port } => [false, true]
            .into_iter()
            .find_map(|tls| config.compiled.find_front_door(*port, None, tls)),
    };
    if let Some(place) = place {
        let runtime = &config.balancers[place.load_balancer as usize];
        runtime.cells.add(Balancer::RejectedConnectionCount, 1);
    }
}

/// Whether accept failed for the connection that was to be accepted, not for the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
