//! The access log's thread: takes the workers' records, formats them, and keeps for each load balancer a compressed
//! file, which goes into its bucket's folder every five clock minutes, and an uncompressed tail of bounded size for
//! those who watch. The workers never wait for it: what does not fit into its queue is dropped and counted.

mod file;
mod format;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use elba_core::access_log::{Kind, Second};
use elba_core::client_certificate::Facts;
use elba_core::compile::{AccessLog, Compiled, LoadBalancer, Place};
use elba_core::health::Outcome;
use elba_core::protocol::NodeClock;
use elba_core::{connection_log, health_check_log};
use serde_json::json;
use tokio::sync::watch;

use self::file::{put_test_object, Log};
use self::format::format_record;
use crate::problems::Problems;
use crate::proxy::logging::{Batch, Record};
use crate::{clock, log};

/// Batches that wait at most, of all workers together, and what waits at most with them: connections and health checks
/// come one by one.
const BATCHES: usize = 256;
const QUEUE: usize = 4096;
/// Clock seconds that one file covers.
const INTERVAL: u64 = 300;
/// How often the thread looks for ended intervals and new load balancers when nothing is logged.
const LOOK: Duration = Duration::from_millis(200);
/// After each turn of writing.
const PAUSE: Duration = Duration::from_millis(20);

/// An attempt to connect to a listener whose load balancer logs them.
#[derive(Debug)]
pub struct ConnectionRecord {
    pub compiled: Arc<Compiled>,
    pub place: Place,
    pub client: SocketAddr,
    pub began: Instant,
    /// of a handshake that was made
    pub handshake: Option<Duration>,
    /// version and cipher suite
    pub tls: Option<(&'static str, &'static str)>,
    pub key_exchange: &'static str,
    pub certificate: Option<Facts>,
    /// "Success", "Failed:<code>", or "" where no certificate is judged
    pub status: String,
    pub trace: u128,
}

impl ConnectionRecord {
    /// Of a connection without TLS.
    pub fn plain(
        compiled: Arc<Compiled>,
        place: Place,
        client: SocketAddr,
        began: Instant,
        trace: u128,
    ) -> ConnectionRecord {
        ConnectionRecord {
            compiled,
            place,
            client,
            began,
            handshake: None,
            tls: None,
            key_exchange: "",
            certificate: None,
            status: String::new(),
            trace,
        }
    }
}

/// What the thread is told.
enum Item {
    Requests(Batch),
    Connection(Box<ConnectionRecord>),
    Check(Box<CheckRecord>),
    /// wakes the thread, to end
    End,
}

/// A health check that was made.
#[derive(Debug)]
pub struct CheckRecord {
    /// ARN of the target group, and key of the target
    pub group: String,
    pub target: String,
    pub kind: &'static str,
    pub latency: Duration,
    pub outcome: Outcome,
    pub code: Option<u16>,
}

/// Where workers send their records.
#[derive(Clone)]
pub struct Sender {
    queue: SyncSender<Item>,
    /// batches in the queue
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

impl Sender {
    /// Never waits.
    pub fn send(&self, batch: Batch) {
        let count = batch.records.len() as u64;
        let has_room = self.waiting.fetch_add(1, Relaxed) < BATCHES;
        if !has_room || self.queue.try_send(Item::Requests(batch)).is_err() {
            self.waiting.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(count, Relaxed);
        }
    }

    /// Never waits.
    pub fn send_connection(&self, record: ConnectionRecord) {
        self.put(Item::Connection(Box::new(record)));
    }

    /// Never waits.
    pub fn send_check(&self, record: CheckRecord) {
        self.put(Item::Check(Box::new(record)));
    }

    fn put(&self, item: Item) {
        if self.queue.try_send(item).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// The running thread.
pub struct Handle {
    queue: SyncSender<Item>,
    ending: Arc<AtomicBool>,
    done: Receiver<()>,
}

impl Handle {
    /// Has all that was sent written and every file published, whoever still holds a sender, and waits for it.
    pub fn finish(&self, limit: Duration) {
        self.ending.store(true, Release);
        // a full queue wakes the thread as well
        let _ = self.queue.try_send(Item::End);
        // ends with the thread: nothing is ever sent
        let _ = self.done.recv_timeout(limit);
    }
}

/// Starts the thread. `folder`: the node's own, for tails and unfinished files.
///
/// # Errors
/// The system refuses a thread.
pub fn start(
    folder: &Path,
    compiled: watch::Receiver<Arc<Compiled>>,
    problems: Problems,
) -> io::Result<(Sender, Handle)> {
    let (queue, batches) = sync_channel(QUEUE);
    let (alive, done) = sync_channel::<()>(1);
    let (waiting, dropped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
    let ending = Arc::new(AtomicBool::new(false));
    let mut logger = Logger {
        ending: ending.clone(),
        folder: folder.to_owned(),
        compiled,
        files: HashMap::new(),
        tested: Vec::new(),
        seen_version: None,
        waiting: waiting.clone(),
        dropped: dropped.clone(),
        dropped_told: 0,
        problems,
        target: Vec::new(),
        second: Second::default(),
    };
    std::thread::Builder::new()
        .name("elba-access-log".into())
        .spawn(move || {
            logger.run(&batches);
            drop(alive);
        })?;
    let handle = Handle {
        queue: queue.clone(),
        ending,
        done,
    };
    let sender = Sender {
        queue,
        waiting,
        dropped,
    };
    Ok((sender, handle))
}

struct Logger {
    folder: PathBuf,
    compiled: watch::Receiver<Arc<Compiled>>,
    files: HashMap<(Kind, String), Log>,
    /// places whose test object is there
    tested: Vec<AccessLog>,
    seen_version: Option<Arc<Compiled>>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    dropped_told: u64,
    problems: Problems,
    target: Vec<u8>,
    second: Second,
}

/// World time as clock time, both in seconds since the epoch.
fn to_clock(clock: &NodeClock, world: f64) -> f64 {
    clock.origin + (world - clock.origin) * clock.scale
}

fn micros(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e6) as u64
}

impl Logger {
    fn run(&mut self, batches: &Receiver<Item>) {
        self.remove_leftovers();
        loop {
            let received = batches.recv_timeout(LOOK);
            let is_alone = matches!(received, Err(RecvTimeoutError::Disconnected));
            // read before the queue: what was sent before the end was told is written below
            let ended = is_alone || self.ending.load(Acquire);
            let mut is_busy = false;
            let mut waiting = received
                .into_iter()
                .chain(batches.try_iter())
                .take(QUEUE + 1)
                .peekable();
            if waiting.peek().is_some() {
                self.rotate(false);
                // what waits is written in one go
                for item in waiting {
                    self.take(&item);
                }
                self.write();
                is_busy = true;
            }
            self.rotate(ended);
            self.look_at_config();
            self.tell_dropped();
            if ended {
                return;
            }
            if is_busy {
                // what comes meanwhile wakes nobody and is written in one go
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Unfinished files of a process that is no more. One with our own number is none of ours: we have none yet.
    fn remove_leftovers(&self) {
        let own = std::process::id().to_string();
        let folders = Kind::ALL.map(|kind| fs::read_dir(self.folder.join(kind.name())));
        for entry in folders.into_iter().flatten().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let pid = name.strip_suffix(".part").and_then(|name| name.split('.').next());
            let is_gone = |pid: &str| pid == own || !Path::new("/proc").join(pid).exists();
            if pid.is_some_and(is_gone) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.dropped.load(Relaxed);
        if dropped > self.dropped_told {
            log::warning(
                "access_log_records_dropped",
                json!({"count": dropped - self.dropped_told}),
            );
            self.dropped_told = dropped;
        }
    }

    fn result(&self, what: &str, result: io::Result<()>) {
        let key = format!("access_log.{what}");
        match result {
            Ok(()) => {
                self.problems.clear(&key);
            }
            Err(error) => {
                let text = format!("the access log cannot be written: {error}");
                if self.problems.set(&key, text.clone()) {
                    log::error("access_log_failed", json!({"what": what, "reason": text}));
                }
            }
        }
    }

    /// Load balancers that log get their test object; those that do not any more, or are gone, their last file.
    fn look_at_config(&mut self) {
        let compiled = self.compiled.borrow().clone();
        let is_seen = self
            .seen_version
            .as_ref()
            .is_some_and(|seen| Arc::ptr_eq(seen, &compiled));
        if is_seen {
            return;
        }
        for balancer in &compiled.load_balancers {
            let Some(place) = &balancer.attributes.access_log else {
                continue;
            };
            if !self.tested.contains(place) && !compiled.node.log_directory.is_empty() {
                let result = put_test_object(&compiled, balancer, place);
                let is_there = result.is_ok();
                self.result("test_object", result);
                if is_there {
                    self.tested.push(place.clone());
                }
            }
        }
        self.seen_version = Some(compiled);
    }

    fn take(&mut self, item: &Item) {
        match item {
            Item::Requests(batch) => {
                self.waiting.fetch_sub(1, Relaxed);
                self.take_requests(batch);
            }
            Item::Connection(record) => self.take_connection(record),
            Item::Check(record) => self.take_check(record),
            Item::End => {}
        }
    }

    /// The log of the load balancer, made if it is new.
    fn file(&mut self, kind: Kind, balancer: &Arc<LoadBalancer>, interval: u64) -> &mut Log {
        let folder = self.folder.join(kind.name());
        let key = (kind, balancer.source.arn.clone());
        let log = self
            .files
            .entry(key)
            .or_insert_with(|| Log::new(kind, &folder, balancer.clone(), interval));
        if !Arc::ptr_eq(&log.balancer, balancer) {
            log.balancer = balancer.clone();
        }
        log
    }

    fn take_check(&mut self, record: &CheckRecord) {
        let compiled = self.compiled.borrow().clone();
        let Some((group, users)) = compiled
            .groups()
            .find(|(group, _)| group.source.arn == record.group)
        else {
            return;
        };
        let clock = &compiled.node.clock;
        let now = to_clock(clock, clock::world_now());
        for balancer in users.filter(|user| user.attributes.health_check_log.is_some()) {
            let target = group.target(&record.target).map_or("", |target| {
                if target.source.host_header.is_empty() {
                    &target.source.id
                } else {
                    &target.source.host_header
                }
            });
            let mut second = std::mem::take(&mut self.second);
            let log = self.file(Kind::HealthCheck, balancer, now.max(0.0) as u64 / INTERVAL);
            let line = health_check_log::Line {
                kind: record.kind,
                time: micros(now),
                latency: record.latency.as_nanos() as u64,
                target,
                target_group: &group.source.name,
                outcome: record.outcome,
                code: record.code,
            };
            health_check_log::push_line(&mut log.lines, &mut second, &line);
            self.second = second;
        }
    }

    fn take_connection(&mut self, record: &ConnectionRecord) {
        let compiled = &record.compiled;
        let clock = &compiled.node.clock;
        let now = to_clock(clock, clock::world_now());
        let began = to_clock(clock, clock::world_now() - record.began.elapsed().as_secs_f64());
        let balancer = compiled.load_balancer_at(record.place);
        let address = balancer.address_in(&compiled.node.zone);
        let mut second = std::mem::take(&mut self.second);
        let log = self.file(Kind::Connection, balancer, now.max(0.0) as u64 / INTERVAL);
        let line = connection_log::Line {
            time: micros(began),
            client: record.client,
            listener_port: compiled.listener_at(record.place).port,
            protocol: record.tls.map_or("", |(version, _)| version),
            cipher: record.tls.map_or("", |(_, cipher)| cipher),
            handshake_time: record.handshake.map(|took| took.as_micros() as u64),
            certificate: record.certificate.as_ref(),
            status: &record.status,
            trace: record.trace,
            key_exchange: record.key_exchange,
            load_balancer: &balancer.source.resource_id,
            address: &address.map_or_else(String::new, |address| address.to_string()),
        };
        connection_log::push_line(&mut log.lines, &mut second, &line);
        self.second = second;
    }

    fn take_requests(&mut self, batch: &Batch) {
        let compiled = &batch.compiled;
        let clock = &compiled.node.clock;
        let (now, world) = (Instant::now(), clock::world_now());
        let interval = to_clock(clock, world).max(0.0) as u64 / INTERVAL;
        let at = |instant: Instant| {
            micros(to_clock(
                clock,
                world - now.saturating_duration_since(instant).as_secs_f64(),
            ))
        };
        let of_one = |one: &Record, other: &Record| one.place.load_balancer == other.place.load_balancer;
        for records in batch.records.chunk_by(of_one) {
            let balancer = compiled.load_balancer_at(records[0].place);
            let (mut second, mut target) =
                (std::mem::take(&mut self.second), std::mem::take(&mut self.target));
            let log = self.file(Kind::Access, balancer, interval);
            for record in records {
                target.clear();
                format_record(&mut log.lines, &mut target, &mut second, batch, record, at);
            }
            (self.second, self.target) = (second, target);
        }
    }

    fn write(&mut self) {
        let has_buckets = !self.compiled.borrow().node.log_directory.is_empty();
        let mut result = Ok(());
        for log in self
            .files
            .values_mut()
            .filter(|log| !log.lines.fresh().is_empty())
        {
            result = log
                .write(&self.folder.join(log.kind.name()), has_buckets)
                .and(result);
        }
        self.result("write", result);
    }

    /// Publishes the files whose interval has ended, or all; and what could not be published before.
    fn rotate(&mut self, all: bool) {
        let compiled = self.compiled.borrow().clone();
        let now = to_clock(&compiled.node.clock, clock::world_now()).max(0.0) as u64;
        let mut result = Ok(());
        let mut published = false;
        self.files.retain(|(kind, arn), log| {
            let known = compiled.load_balancer(arn);
            let logs = known.is_some_and(|balancer| balancer.attributes.log(*kind).is_some());
            let is_over = all || !logs || now / INTERVAL != log.interval;
            if !is_over && log.is_published() {
                return true;
            }
            if is_over {
                log.seal(((log.interval + 1) * INTERVAL).min(now));
                log.interval = now / INTERVAL;
            }
            published = true;
            match log.publish(&compiled) {
                Ok(()) => !is_over,
                Err(error) => {
                    result = Err(error);
                    !all
                }
            }
        });
        if published {
            self.result("publish", result);
        }
    }
}
