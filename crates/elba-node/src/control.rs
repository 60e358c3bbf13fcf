//! The node's own loop, off the request path: takes configurations from the control plane (or the disk), puts them in
//! force, and reports. One thread; it outlives any control plane.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use elba_core::compile::{compile, compile_where, Compiled};
use elba_core::delta::{self, ApplyError};
use elba_core::protocol::{Ack, Current, Delta, Down, Hello, Nack, Report, Snapshot, Up, PROTOCOL_VERSION};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, Instant};

use crate::binds::Binds;
use crate::config_store::{Change, Writer};
use crate::counters::Counters;
use crate::handover::{Door, Leftover, Listeners, Stream};
use crate::peers::DownZones;
use crate::problems::Problems;
use crate::report::{cpu_seconds, Pending};
use crate::worker::Workers;
use crate::{clock, health, instance, link, log};

const BIND_RETRY: Duration = Duration::from_secs(1);
/// Changes of health that come together are told together.
const HEALTH_PAUSE: Duration = Duration::from_millis(3);
/// Seen health goes to disk at most this often.
const HEALTH_STORE_INTERVAL: Duration = Duration::from_secs(2);
/// How long requests in flight may take after SIGTERM.
const SIGNAL_DRAIN: Duration = Duration::from_secs(30);
/// How long a last report may take at the end.
const GOODBYE: Duration = Duration::from_secs(1);

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

    fn is_current(&self, number: u64) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.number == number)
    }

    /// Takes a new connection in place of any older one: of two control planes, the newer is the living one.
    fn connect(&mut self, stream: UnixStream) {
        let uid = match link::authorize(&stream) {
            Ok(uid) => uid,
            Err(reason) => {
                log::warning("control_refused", json!({"reason": reason}));
                return;
            }
        };
        if self.connection.is_some() {
            self.disconnect("replaced by a newer connection");
        }
        self.connections += 1;
        let number = self.connections;
        let (mut incoming, mut outwards) = stream.into_split();
        let (outgoing, mut frames) = mpsc::unbounded_channel::<Outgoing>();
        let events = self.events.clone();
        let reader = tokio::task::spawn_local(async move {
            loop {
                let event = match link::read(&mut incoming).await {
                    Ok(message) => Event::Message(number, Box::new(message)),
                    Err(error) => Event::Lost(number, error.to_string()),
                };
                let is_last = matches!(event, Event::Lost(..));
                if events.send(event).is_err() || is_last {
                    return;
                }
            }
        });
        let events = self.events.clone();
        let writer = tokio::task::spawn_local(async move {
            while let Some(Outgoing { frame, is_report }) = frames.recv().await {
                if let Err(error) = link::write(&mut outwards, &frame).await {
                    let _ = events.send(Event::Lost(number, error.to_string()));
                    return;
                }
                if is_report {
                    let _ = events.send(Event::Written(number));
                }
            }
        });
        self.connection = Some(Connection {
            number,
            outgoing,
            reader,
            writer,
            health_told: false,
        });
        log::info("control_connected", json!({"connection": number, "uid": uid}));
        self.send(&Up::Hello(Hello {
            protocol: PROTOCOL_VERSION,
            node_id: self.id.clone(),
            pid: std::process::id(),
            program_version: env!("CARGO_PKG_VERSION").into(),
            config_version: self.version(),
            started_at: self.started_at,
        }));
        self.report();
    }

    fn disconnect(&mut self, reason: &str) {
        if let Some(connection) = self.connection.take() {
            log::info(
                "control_disconnected",
                json!({"connection": connection.number, "reason": reason}),
            );
        }
        // What was not surely written is told again.
        if let Some(unwritten) = self.in_flight.take() {
            let newer = std::mem::replace(&mut self.pending, unwritten);
            let (balancers, targets) = newer.reports();
            self.pending.add(balancers, targets);
        }
    }

    fn send(&mut self, message: &Up) {
        self.send_outgoing(message, false);
    }

    fn send_outgoing(&mut self, message: &Up, is_report: bool) {
        let Some(connection) = &self.connection else {
            return;
        };
        match link::frame(message) {
            // A writer that has ended has told its loss.
            Ok(frame) => drop(connection.outgoing.send(Outgoing { frame, is_report })),
            Err(error) => log::error("message_not_sent", json!({"reason": error.to_string()})),
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

    /// Says that `version` is in force, once every worker has it.
    fn acknowledge(&mut self, version: u64) {
        let installed = self.installed.take();
        let Some(connection) = &self.connection else {
            return;
        };
        let outgoing = connection.outgoing.clone();
        tokio::task::spawn_local(async move {
            if let Some(installed) = installed {
                installed.await;
            }
            if let Ok(frame) = link::frame(&Up::Ack(Ack { version })) {
                let is_report = false;
                let _ = outgoing.send(Outgoing { frame, is_report });
            }
        });
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
                let started = Workers::start(asked, self.counters.clone())
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

    /// When the next report is due: at the interval, or at once for changed health.
    fn next_report(&self, health_due: Option<Instant>) -> Instant {
        health_due.map_or(self.next_tick, |due| due.min(self.next_tick))
    }

    /// Sends a report, if there is a connection and the last one has left. Counts wait otherwise.
    fn report(&mut self) {
        let now = Instant::now();
        let interval = self.snapshot.node.report_interval_seconds;
        self.next_tick = now + clock::duration(interval).max(Duration::from_millis(10));
        let Some(connection) = self.connection.as_mut().filter(|_| self.in_flight.is_none()) else {
            return;
        };
        let full_health = !std::mem::replace(&mut connection.health_told, true);
        let report = self.make_report(now - self.reported_at, full_health);
        self.reported_at = now;
        self.send_outgoing(&Up::Report(report), true);
    }

    fn make_report(&mut self, interval: Duration, full_health: bool) -> Report {
        let (balancers, targets) = self.counters.take();
        self.pending.add(balancers, targets);
        let pending = std::mem::take(&mut self.pending);
        let (load_balancers, targets) = pending.reports();
        self.in_flight = Some(pending);
        self.sequence += 1;
        let health = if full_health {
            self.health.take_all()
        } else {
            self.health.take_changed()
        };
        Report {
            sequence: self.sequence,
            time: clock::world_now(),
            interval_seconds: interval.as_secs_f64(),
            load_balancers,
            targets,
            health,
            full_health,
            zones_up: self.zones_up(),
            cpu_seconds: cpu_seconds(),
            open_connections: self.counters.open_connections(),
            problems: self.problems.all(),
        }
    }

    fn zones_up(&self) -> Vec<String> {
        let down = self.down.borrow();
        let node = &self.snapshot.node;
        let peers = node
            .peers
            .iter()
            .map(|peer| &peer.zone)
            .filter(|zone| !down.contains(*zone));
        let zones: BTreeSet<&String> = peers
            .chain([&node.zone])
            .filter(|zone| !zone.is_empty())
            .collect();
        zones.into_iter().cloned().collect()
    }

    /// True if the node is to end now: it was told twice.
    fn handle_signal(&mut self, name: &str) -> bool {
        log::info("signal", json!({"signal": name}));
        if self.is_draining {
            return true;
        }
        self.drain(SIGNAL_DRAIN);
        false
    }

    fn drain(&mut self, limit: Duration) {
        if std::mem::replace(&mut self.is_draining, true) {
            return;
        }
        log::info("draining", json!({"limit_seconds": limit.as_secs_f64()}));
        self.stopping.send_replace(true);
        self.binds.release();
        let events = self.events.clone();
        let Some(workers) = self.workers.take() else {
            let _ = events.send(Event::Drained);
            return;
        };
        workers.drain(limit);
        let waiting = std::thread::Builder::new().name("elba-drain".into()).spawn({
            let events = events.clone();
            move || {
                workers.join();
                let _ = events.send(Event::Drained);
            }
        });
        if waiting.is_err() {
            let _ = events.send(Event::Drained);
        }
    }

    /// Lets successors ask, on a thread of its own.
    fn wait_for_successor(&self) {
        let events = self.events.clone();
        let folder = self.folder.clone();
        let waiting = Door::open(&folder).and_then(|door| {
            std::thread::Builder::new()
                .name("elba-handover".into())
                .spawn(move || {
                    while let Ok(successor) = door.wait() {
                        if events.send(Event::SuccessorAsks(successor)).is_err() {
                            return;
                        }
                    }
                })
        });
        if let Err(error) = waiting {
            log::warning("handover_unavailable", json!({"reason": error.to_string()}));
        }
    }

    /// Gives a successor the files and the sockets; traffic goes on here until it serves, or for good if it fails.
    fn hand_over(&mut self, successor: Stream) {
        if self.is_draining || self.is_handing_over {
            return;
        }
        let listeners = match self.binds.listeners() {
            Ok(listeners) => listeners,
            Err(error) => {
                log::warning("handover_failed", json!({"reason": error.to_string()}));
                return;
            }
        };
        log::info("handover_begun", json!({"version": self.version()}));
        self.is_handing_over = true;
        self.finish_store();
        let events = self.events.clone();
        let giving = std::thread::Builder::new()
            .name("elba-give".into())
            .spawn(move || {
                let event = match successor.give(&listeners) {
                    Ok(()) => Event::SuccessorServes(successor),
                    Err(error) => Event::SuccessorGone(error.to_string()),
                };
                let _ = events.send(event);
            });
        if let Err(error) = giving {
            self.go_on(&error.to_string());
        }
    }

    /// The successor failed: all is as before.
    fn go_on(&mut self, reason: &str) {
        log::warning("handover_failed", json!({"reason": reason}));
        self.is_handing_over = false;
        let known = (self.version() > 0).then(|| self.snapshot.clone());
        match Writer::start(self.folder.clone(), known, self.problems.clone()) {
            Ok(store) => self.store = Some(store),
            Err(error) => {
                self.problems.set(
                    "config_store.start",
                    format!("nothing is stored any more: {error}"),
                );
            }
        }
    }

    /// The successor serves: lets go of everything but the requests in flight.
    async fn make_way(&mut self, received: &mut mpsc::UnboundedReceiver<Event>) {
        self.wait_until_written(received, Instant::now() + GOODBYE).await;
        self.disconnect("replaced by a successor");
        self.lock = None;
        log::info("handed_over", json!({"version": self.version()}));
        if let Some(Err(error)) = self.successor.as_ref().map(Stream::say_bye) {
            log::warning("successor_lost", json!({"reason": error.to_string()}));
        }
        self.drain(SIGNAL_DRAIN);
    }

    /// Tells the predecessor that this node serves, and takes its place.
    fn replace_predecessor(&mut self, predecessor: Stream) -> Result<(), String> {
        predecessor
            .say_ready()
            .map_err(|error| format!("the running node did not make way: {error}"))?;
        self.lock = Some(instance::lock(&self.folder).map_err(|error| error.to_string())?);
        log::info("taken_over", json!({"version": self.version()}));
        let events = self.events.clone();
        let waiting =
            std::thread::Builder::new()
                .name("elba-leftover".into())
                .spawn(move || match predecessor.wait_for_leftover() {
                    Ok(leftover) => drop(events.send(Event::Leftover(leftover))),
                    Err(error) => log::warning("counts_lost", json!({"reason": error.to_string()})),
                });
        waiting
            .map(drop)
            .map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// The last report and the last writes.
    async fn finish(&mut self, received: &mut mpsc::UnboundedReceiver<Event>) {
        self.is_draining = true;
        let goodbye = Instant::now() + GOODBYE;
        while self.connection.is_some() && Instant::now() < goodbye {
            if self.in_flight.is_none() {
                let interval = self.reported_at.elapsed();
                let full_health = self.connection.as_ref().is_some_and(|c| !c.health_told);
                let report = self.make_report(interval, full_health);
                self.send_outgoing(&Up::Report(report), true);
                self.wait_until_written(received, goodbye).await;
                break;
            }
            self.wait_until_written(received, goodbye).await;
        }
        if let Some(successor) = self.successor.take() {
            let (balancers, targets) = self.counters.take();
            self.pending.add(balancers, targets);
            let (load_balancers, targets) = self.pending.reports();
            if let Err(error) = successor.leave(Leftover {
                load_balancers,
                targets,
            }) {
                log::warning("counts_lost", json!({"reason": error.to_string()}));
            }
        }
        self.finish_store();
        log::info("stopped", json!({}));
    }

    async fn wait_until_written(&mut self, received: &mut mpsc::UnboundedReceiver<Event>, until: Instant) {
        while self.in_flight.is_some() && self.connection.is_some() {
            match tokio::time::timeout_at(until, received.recv()).await {
                Ok(Some(Event::Message(..))) => {}
                Ok(Some(event)) => self.handle(event),
                _ => return,
            }
        }
    }
}
