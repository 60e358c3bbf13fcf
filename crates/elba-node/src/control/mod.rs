//! The node's own loop, off the request path: takes configurations from the control plane (or the disk), puts them in
//! force, and reports. One thread; it outlives any control plane.

mod connection;
mod ending;
mod reporting;

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use elba_core::compile::{compile, compile_where, Compiled};
use elba_core::delta::{self, ApplyError};
use elba_core::protocol::{Current, Delta, Down, Nack, Snapshot, Up};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, Instant};

use crate::anomaly;
use crate::binds::Binds;
use crate::config_store::{Change, Writer};
use crate::counters::Counters;
use crate::handover::{Leftover, Listeners, Stream};
use crate::peers::DownZones;
use crate::problems::Problems;
use crate::report::Pending;
use crate::worker::Workers;
use crate::{access_log, clock, health, link, log};

const BIND_RETRY: Duration = Duration::from_secs(1);
/// Changes of health that come together are told together.
const HEALTH_PAUSE: Duration = Duration::from_millis(3);
/// Seen health goes to disk at most this often.
const HEALTH_STORE_INTERVAL: Duration = Duration::from_secs(2);
/// How long requests in flight may take after SIGTERM.
const SIGNAL_DRAIN: Duration = Duration::from_secs(30);
/// How long a last report may take at the end.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the last log files may take to be written.
const LOG_END: Duration = Duration::from_secs(5);

/// What the loop is told by its tasks. A connection's events carry its number: those of a replaced one are void.
enum Event {
    Message(u64, Box<Down>),
    Written(u64),
    Lost(u64, String),
    /// A successor asks for the sockets; has served on them; has gone away.
    SuccessorAsks(Stream),
    SuccessorServes(Stream),
    SuccessorGone(String),
    /// What a predecessor counted last.
    Leftover(Leftover),
    Drained,
}

/// A frame on its way out; `is_report` asks for `Event::Written`.
struct Outgoing {
    frame: Vec<u8>,
    is_report: bool,
}

struct Connection {
    number: u64,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
    health_told: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

/// What the node is made of when it starts.
pub struct Parts {
    pub id: String,
    pub control_path: PathBuf,
    pub folder: PathBuf,
    /// None = held by the predecessor
    pub lock: Option<File>,
    pub predecessor: Option<(Stream, Listeners)>,
    pub stored: Option<Snapshot>,
    pub store: Writer,
    pub compiled: watch::Sender<Arc<Compiled>>,
    pub health: health::Table,
    pub down: watch::Receiver<DownZones>,
    pub stopping: watch::Sender<bool>,
    pub problems: Problems,
    pub access_log: (access_log::Sender, access_log::Handle),
}

struct Control {
    id: String,
    started_at: f64,
    snapshot: Snapshot,
    compiled: watch::Sender<Arc<Compiled>>,
    workers: Option<Workers>,
    counters: Arc<Counters>,
    binds: Binds,
    folder: PathBuf,
    lock: Option<File>,
    /// None while a successor has the files
    store: Option<Writer>,
    health: health::Table,
    down: watch::Receiver<DownZones>,
    stopping: watch::Sender<bool>,
    problems: Problems,
    /// for the workers; None once they have it
    log_sender: Option<access_log::Sender>,
    log: access_log::Handle,
    events: mpsc::UnboundedSender<Event>,
    connection: Option<Connection>,
    connections: u64,
    sequence: u64,
    /// when the last report was handed over, and when the next is looked at
    reported_at: Instant,
    next_tick: Instant,
    /// a report was due while the one before was still being written
    report_waits: bool,
    /// counted, not yet given to a connection
    pending: Pending,
    /// given to a connection, not yet known to be written
    in_flight: Option<Pending>,
    health_is_stored: bool,
    is_draining: bool,
    is_handing_over: bool,
    /// ready once every worker has the newest configuration
    installed: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// serves in our place
    successor: Option<Stream>,
}

/// Runs the node until it is told to end and has drained.
///
/// # Errors
/// When signals or the control socket cannot be listened on, or a predecessor does not make way.
pub async fn run(parts: Parts) -> Result<(), String> {
    use tokio::signal::unix::{signal, SignalKind};
    let signal = |kind| signal(kind).map_err(|error| format!("cannot take signals: {error}"));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Taken and ignored: a closed terminal does not end a node.
    let mut hang_up = signal(SignalKind::hangup())?;

    let (events, mut received) = mpsc::unbounded_channel();
    let (log_sender, log) = parts.access_log;
    let (predecessor, inherited) = parts.predecessor.unzip();
    let was_empty = inherited.as_ref().is_none_or(Vec::is_empty);
    let mut health_changes = parts.health.subscribe();
    let mut control = Control {
        id: parts.id,
        started_at: clock::world_now(),
        snapshot: Snapshot::default(),
        compiled: parts.compiled,
        workers: None,
        counters: Counters::new(),
        binds: Binds::new(inherited.unwrap_or_default(), parts.problems.clone()),
        folder: parts.folder,
        lock: parts.lock,
        store: Some(parts.store),
        health: parts.health,
        down: parts.down,
        stopping: parts.stopping,
        problems: parts.problems,
        log_sender: Some(log_sender),
        log,
        events,
        connection: None,
        connections: 0,
        sequence: 0,
        reported_at: Instant::now(),
        next_tick: Instant::now(),
        report_waits: false,
        pending: Pending::default(),
        in_flight: None,
        health_is_stored: true,
        is_draining: false,
        is_handing_over: false,
        installed: None,
        successor: None,
    };
    let (watched, counters, table) = (
        control.compiled.subscribe(),
        control.counters.clone(),
        control.health.clone(),
    );
    tokio::task::spawn_local(anomaly::run(watched, counters, table));
    if let Some(stored) = parts.stored {
        control.load_stored(stored);
    }
    if let Some(predecessor) = predecessor {
        if !control.binds.is_complete() || control.binds.is_empty() != was_empty {
            return Err("this node cannot serve all that the running one serves".into());
        }
        control.replace_predecessor(predecessor)?;
    }
    let path = &parts.control_path;
    let listener = link::listen(path).await;
    let mut listener =
        Some(listener.map_err(|error| format!("cannot listen on {}: {error}", path.display()))?);
    control.wait_for_successor();
    let mut bind_retry = Instant::now() + BIND_RETRY;
    let mut health_store = Instant::now() + HEALTH_STORE_INTERVAL;
    let mut health_due: Option<Instant> = None;
    loop {
        let report_due = control.next_report(health_due);
        tokio::select! {
            biased;
            Some(event) = received.recv() => match event {
                Event::Drained => break,
                event => control.handle(event),
            },
            stream = accept(listener.as_ref()) => control.connect(stream),
            _ = terminate.recv() => if control.handle_signal("SIGTERM") { break },
            _ = interrupt.recv() => if control.handle_signal("SIGINT") { break },
            _ = hang_up.recv() => log::info("hang_up_ignored", json!({})),
            _ = health_changes.changed() => {
                control.health_is_stored = false;
                health_due.get_or_insert_with(|| Instant::now() + HEALTH_PAUSE);
            }
            () = sleep_until(report_due) => {
                health_due = None;
                control.report();
            }
            () = sleep_until(bind_retry) => {
                bind_retry = Instant::now() + BIND_RETRY;
                control.retry_binds();
            }
            () = sleep_until(health_store) => {
                health_store = Instant::now() + HEALTH_STORE_INTERVAL;
                control.store_health();
            }
        }
        if control.successor.is_some() && listener.is_some() {
            listener = None;
            control.make_way(&mut received).await;
        }
    }
    control.finish(&mut received).await;
    if listener.is_some() {
        let _ = std::fs::remove_file(&parts.control_path);
    }
    Ok(())
}

/// The next connection; never, without a listener.
async fn accept(listener: Option<&UnixListener>) -> UnixStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                log::warning("control_accept_failed", json!({"reason": error.to_string()}));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
impl Control {
    fn version(&self) -> u64 {
        self.snapshot.version
    }

    fn load_stored(&mut self, stored: Snapshot) {
        let version = stored.version;
        match self.replace(stored, false) {
            Ok(()) => log::info("stored_config_loaded", json!({"version": version})),
            Err(reason) => {
                log::error("stored_config_unusable", json!({"reason": reason}));
                self.problems.set(
                    "config_store.load",
                    format!("the stored configuration is unusable: {reason}"),
                );
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message(number, message) if self.is_current(number) => self.handle_message(*message),
            Event::Written(number) if self.is_current(number) => {
                self.in_flight = None;
                if std::mem::take(&mut self.report_waits) {
                    self.report();
                }
            }
            Event::Lost(number, reason) if self.is_current(number) => self.disconnect(&reason),
            Event::SuccessorAsks(stream) => self.hand_over(stream),
            Event::SuccessorServes(stream) => self.successor = Some(stream),
            Event::SuccessorGone(reason) => self.go_on(&reason),
            Event::Leftover(leftover) => self.pending.add(leftover.load_balancers, leftover.targets),
            _ => {}
        }
    }

    fn handle_message(&mut self, message: Down) {
        match message {
            Down::Snapshot(snapshot) => {
                let version = snapshot.version;
                let result = self
                    .refuse_while_draining()
                    .and_then(|()| self.replace(snapshot, true));
                self.answer(version, result);
            }
            Down::Delta(delta) => {
                let version = delta.version;
                let result = self.refuse_while_draining().and_then(|()| self.change(delta));
                self.answer(version, result);
            }
            Down::GetSnapshot(_) => {
                let snapshot = self.snapshot.clone();
                self.send(&Up::Current(Current { snapshot }));
            }
            Down::Shutdown(shutdown) => self.drain(clock::duration(shutdown.drain_seconds)),
        }
    }

    fn answer(&mut self, version: u64, result: Result<(), String>) {
        match result {
            Ok(()) => self.acknowledge(version),
            Err(reason) => {
                log::warning("config_refused", json!({"version": version, "reason": reason}));
                self.send(&Up::Nack(Nack { version, reason }));
            }
        }
    }

    fn refuse_while_draining(&self) -> Result<(), String> {
        if self.is_draining {
            return Err("the node is shutting down".into());
        }
        if self.is_handing_over {
            return Err("the node is being replaced by a successor".into());
        }
        Ok(())
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        if id == self.id {
            return Ok(());
        }
        Err(format!(
            "this is node {}, the configuration is for node {id:?}",
            self.id
        ))
    }

    /// Puts a whole configuration in force. On error the old one stays.
    fn replace(&mut self, snapshot: Snapshot, is_news: bool) -> Result<(), String> {
        self.check_id(&snapshot.node.id)?;
        let snapshot = delta::accept(snapshot).map_err(|error| error.to_string())?;
        let compiled =
            compile(&snapshot, Some(&self.compiled.borrow())).map_err(|error| error.to_string())?;
        self.snapshot = snapshot;
        self.install(compiled)?;
        if is_news {
            self.put(Change::Snapshot(Box::new(self.snapshot.clone())));
            log::info("config_installed", json!({"version": self.version()}));
        }
        Ok(())
    }

    /// Puts a change in force. On error nothing has changed.
    fn change(&mut self, change: Delta) -> Result<(), String> {
        if let Some(node) = &change.node {
            self.check_id(&node.id)?;
        }
        let stored = Change::Delta(Box::new(change.clone()));
        let touched = delta::touched(&change);
        let undo = delta::apply(&mut self.snapshot, change).map_err(|error| match error {
            ApplyError::Base => error.to_string(),
            ApplyError::Invalid(reason) => reason,
        })?;
        let compiled = compile_where(&self.snapshot, Some(&self.compiled.borrow()), &|arn| {
            touched.contains(arn)
        });
        match compiled {
            Ok(compiled) => self.install(compiled)?,
            Err(error) => {
                if let Err(undo_error) = delta::apply(&mut self.snapshot, undo) {
                    log::error("undo_failed", json!({"reason": undo_error.to_string()}));
                }
                return Err(error.to_string());
            }
        }
        self.put(stored);
        log::debug("config_changed", json!({"version": self.version()}));
        Ok(())
    }

    /// Gives a configuration to the workers, opens and closes sockets for it, and tells the other threads.
    fn install(&mut self, compiled: Compiled) -> Result<(), String> {
        let asked = compiled.node.workers as usize;
        let workers = match &self.workers {
            Some(workers) => workers,
            None => {
                let started = Workers::start_logging(asked, self.counters.clone(), self.log_sender.take())
                    .map_err(|error| format!("cannot start worker threads: {error}"))?;
                self.workers.insert(started)
            }
        };
        if asked != 0 && asked != workers.count() {
            let running = workers.count();
            self.problems.set(
                "workers",
                format!("{asked} workers are asked for; {running} run until the next start"),
            );
        } else {
            self.problems.clear("workers");
        }
        self.problems
            .replace("config.", compiled.problems.iter().cloned());
        let compiled = Arc::new(compiled);
        self.installed = Some(Box::pin(workers.install_and_tell(compiled.clone())));
        self.binds.reconcile(compiled.binds(), workers);
        self.compiled.send_replace(compiled);
        Ok(())
    }

    fn retry_binds(&mut self) {
        if let Some(workers) = self
            .workers
            .as_ref()
            .filter(|_| !self.is_draining && !self.binds.is_complete())
        {
            self.binds.retry(workers);
        }
    }

    fn store_health(&mut self) {
        if !self.health_is_stored {
            self.put(Change::Health(self.health.all()));
            self.health_is_stored = true;
        }
    }

    fn put(&self, change: Change) {
        if let Some(store) = &self.store {
            store.put(change);
        }
    }

    /// Writes all that is known, now; nothing is written any more afterwards.
    fn finish_store(&mut self) {
        self.store_health();
        if let Some(store) = self.store.take() {
            store.finish();
        }
    }
}
