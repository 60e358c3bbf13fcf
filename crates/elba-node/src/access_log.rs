//! The access log's thread: takes the workers' records, formats them, and keeps for each load balancer a compressed
//! file, which goes into its bucket's folder every five clock minutes, and an uncompressed tail of bounded size for
//! those who watch. The workers never wait for it: what does not fit into its queue is dropped and counted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::Arc;
use std::time::{Duration, Instant};

use elba_core::access_log::{push_line, root, FileName, Kind, Line, Second};
use elba_core::client_certificate::Facts;
use elba_core::compile::{AccessLog, Compiled, LoadBalancer, Place};
use elba_core::health::Outcome;
use elba_core::http1::push_number;
use elba_core::http1::request::Version;
use elba_core::lines::Lines;
use elba_core::log_gzip::Gzip;
use elba_core::protocol::NodeClock;
use elba_core::{access_log, connection_log, health_check_log};
use serde_json::json;
use tokio::sync::watch;

use crate::problems::Problems;
use crate::proxy::logging::{Batch, Record};
use crate::{clock, log};

/// Batches that wait at most, of all workers together.
const QUEUE: usize = 256;
/// Clock seconds that one file covers.
const INTERVAL: u64 = 300;
/// How often the thread looks for ended intervals and new load balancers when nothing is logged.
const LOOK: Duration = Duration::from_millis(200);
/// After each turn of writing.
const PAUSE: Duration = Duration::from_millis(20);
/// A tail longer than this becomes `.1`, which replaces the one before.
const TAIL_BYTES: u64 = 8 << 20;
/// Compressed bytes that are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// Compressed bytes that are held while the disk takes none; what is logged beyond is lost.
const UNWRITTEN_MOST: usize = 1 << 20;

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
    dropped: Arc<AtomicU64>,
}

impl Sender {
    /// Never waits.
    pub fn send(&self, batch: Batch) {
        let count = batch.records.len() as u64;
        self.put(Item::Requests(batch), count);
    }

    /// Never waits.
    pub fn send_connection(&self, record: ConnectionRecord) {
        self.put(Item::Connection(Box::new(record)), 1);
    }

    /// Never waits.
    pub fn send_check(&self, record: CheckRecord) {
        self.put(Item::Check(Box::new(record)), 1);
    }

    fn put(&self, item: Item, count: u64) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(item) {
            self.dropped.fetch_add(count, Relaxed);
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
    let dropped = Arc::new(AtomicU64::new(0));
    let ending = Arc::new(AtomicBool::new(false));
    let mut logger = Logger {
        ending: ending.clone(),
        folder: folder.to_owned(),
        compiled,
        files: HashMap::new(),
        tested: Vec::new(),
        seen_version: None,
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
    Ok((Sender { queue, dropped }, handle))
}

/// The log of one load balancer.
struct Log {
    kind: Kind,
    balancer: Arc<LoadBalancer>,
    /// number of the interval, counted from the epoch
    interval: u64,
    part: Option<Part>,
    tail: Option<(File, u64)>,
    tail_path: PathBuf,
    lines: Lines,
}

/// An unfinished compressed file.
struct Part {
    path: PathBuf,
    file: File,
    gzip: Gzip,
}

impl Part {
    fn create(folder: &Path) -> io::Result<Part> {
        let path = folder.join(format!("{}.{}.part", std::process::id(), random_name()));
        Ok(Part {
            file: File::create(&path)?,
            path,
            gzip: Gzip::default(),
        })
    }

    /// Writes what is compressed; what could not be written is written the next time.
    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            let rest = &self.gzip.output[written..];
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.gzip.output.drain(..written);
        result
    }
}

struct Logger {
    folder: PathBuf,
    compiled: watch::Receiver<Arc<Compiled>>,
    files: HashMap<(Kind, String), Log>,
    /// places whose test object is there
    tested: Vec<AccessLog>,
    seen_version: Option<Arc<Compiled>>,
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

/// The path without what would lead out of where it is put.
fn inside(path: &str) -> PathBuf {
    Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn random_name() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and length are those of `bytes`. Without random bytes the name is only less unique.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 31)]))
        .collect()
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

    /// Unfinished files of a process that is no more.
    fn remove_leftovers(&self) {
        let folders = Kind::ALL.map(|kind| fs::read_dir(self.folder.join(kind.name())));
        for entry in folders.into_iter().flatten().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let pid = name.strip_suffix(".part").and_then(|name| name.split('.').next());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
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
            Item::Requests(batch) => self.take_requests(batch),
            Item::Connection(record) => self.take_connection(record),
            Item::Check(record) => self.take_check(record),
            Item::End => {}
        }
    }

    /// The log of the load balancer, made if it is new.
    fn file(&mut self, kind: Kind, balancer: &Arc<LoadBalancer>, interval: u64) -> &mut Log {
        let folder = self.folder.join(kind.name());
        let key = (kind, balancer.source.arn.clone());
        let log = self.files.entry(key).or_insert_with(|| {
            let name = balancer.source.resource_id.trim_start_matches("app/");
            Log {
                kind,
                balancer: balancer.clone(),
                interval,
                part: None,
                tail: None,
                tail_path: folder.join(format!("{}.log", name.replace('/', "."))),
                lines: Lines::new(match kind {
                    Kind::Access => access_log::FIELDS,
                    Kind::Connection => connection_log::FIELDS,
                    Kind::HealthCheck => health_check_log::FIELDS,
                }),
            }
        });
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

    /// Publishes the files whose interval has ended, or all.
    fn rotate(&mut self, all: bool) {
        let compiled = self.compiled.borrow().clone();
        let now = to_clock(&compiled.node.clock, clock::world_now()).max(0.0) as u64;
        let mut result = Ok(());
        let mut published = false;
        self.files.retain(|(kind, arn), log| {
            let known = compiled.load_balancer(arn);
            let logs = known.is_some_and(|balancer| balancer.attributes.log(*kind).is_some());
            if !all && logs && now / INTERVAL == log.interval {
                return true;
            }
            published = true;
            let end = (log.interval + 1) * INTERVAL;
            let done = log.publish(&compiled, end.min(now));
            if let Err(error) = done {
                result = Err(error);
            }
            false
        });
        if published {
            self.result("publish", result);
        }
    }
}

fn put_test_object(compiled: &Compiled, balancer: &LoadBalancer, place: &AccessLog) -> io::Result<()> {
    let folder = Path::new(&compiled.node.log_directory)
        .join(inside(&place.bucket))
        .join(inside(&root(&place.prefix, &balancer.source.account)));
    let path = folder.join("ELBAccessLogTestFile");
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let now = to_clock(&compiled.node.clock, clock::world_now());
    let (name, time) = (&balancer.source.name, clock::format_utc(now));
    fs::write(path, format!("Enable AccessLog for ELB: {name} at {time}"))
}

impl Log {
    fn write(&mut self, folder: &Path, has_buckets: bool) -> io::Result<()> {
        let tail = self.write_tail(folder);
        let part = match has_buckets {
            true => self.write_part(folder),
            false => Ok(()),
        };
        // what the file did not take is not in it, nor anything before: nothing may be said by it
        if !self.lines.fresh().is_empty() {
            self.lines.use_up(0);
        }
        tail.and(part)
    }

    fn write_part(&mut self, folder: &Path) -> io::Result<()> {
        let part = match &mut self.part {
            Some(part) => part,
            None => {
                fs::create_dir_all(folder)?;
                self.part.insert(Part::create(folder)?)
            }
        };
        if part.gzip.output.len() < UNWRITTEN_MOST {
            part.gzip.add(&mut self.lines);
        }
        if part.gzip.output.len() >= WRITE_BYTES {
            part.write()?;
        }
        Ok(())
    }

    fn write_tail(&mut self, folder: &Path) -> io::Result<()> {
        let (tail, length) = match &mut self.tail {
            Some(tail) => tail,
            None => {
                fs::create_dir_all(folder)?;
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.tail_path)?;
                let length = file.metadata()?.len();
                self.tail.insert((file, length))
            }
        };
        let lines = self.lines.fresh();
        tail.write_all(lines)?;
        *length += lines.len() as u64;
        if *length > TAIL_BYTES {
            self.tail = None;
            // some file systems write a file to the disk at once that is renamed over another
            let _ = fs::remove_file(self.tail_path.with_extension("log.1"));
            fs::rename(&self.tail_path, self.tail_path.with_extension("log.1"))?;
        }
        Ok(())
    }

    /// Moves the compressed file to its bucket's folder. `end`: clock seconds.
    fn publish(&mut self, compiled: &Compiled, end: u64) -> io::Result<()> {
        let Some(mut part) = self.part.take() else {
            return Ok(());
        };
        part.gzip.finish();
        part.write()?;
        let part = part.path;
        let Some(place) = self.balancer.attributes.log(self.kind) else {
            return fs::remove_file(part);
        };
        let source = &self.balancer.source;
        let address = self.balancer.address_in(&compiled.node.zone);
        let key = FileName {
            kind: self.kind,
            prefix: &place.prefix,
            account: &source.account,
            region: &compiled.node.region,
            load_balancer: &source.resource_id,
            end,
            address: &address.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string()),
            random: &random_name(),
        }
        .key();
        let path = Path::new(&compiled.node.log_directory)
            .join(inside(&place.bucket))
            .join(inside(&key));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if fs::rename(&part, &path).is_err() {
            // another file system
            let half = path.with_extension("half");
            fs::copy(&part, &half)?;
            fs::rename(&half, &path)?;
            fs::remove_file(&part)?;
        }
        Ok(())
    }
}

/// Appends the line of a record. `target` is room for its target's name.
fn format_record(
    out: &mut Lines,
    target: &mut Vec<u8>,
    second: &mut Second,
    batch: &Batch,
    record: &Record,
    at: impl Fn(Instant) -> u64,
) {
    let compiled = &batch.compiled;
    let text = &batch.text;
    let balancer = compiled.load_balancer_at(record.place);
    let listener = compiled.listener_at(record.place);
    let group = record.group.and_then(|slot| compiled.group_in_slot(slot));
    let chosen = group
        .zip(record.target)
        .and_then(|(group, index)| group.targets.get(index as usize));
    if let Some(chosen) = chosen {
        // the private address, as far as it is known; the port is the traffic's, not the health check's
        let private = chosen.source.host_header.as_str();
        match private.rsplit_once(':') {
            Some((address, _)) => target.extend_from_slice(address.as_bytes()),
            None if private.is_empty() => target.extend_from_slice(chosen.source.address.as_bytes()),
            None => target.extend_from_slice(private.as_bytes()),
        }
        target.push(b':');
        push_number(target, u64::from(chosen.source.port));
    }
    let between =
        |from: Instant, to: Instant| to.saturating_duration_since(from).as_micros().min(1 << 60) as u64;
    let was_answered = record.target_status != 0;
    // what the target or its silence spoilt has no times; a client that left has the one that had passed
    let has_request_time = was_answered || matches!(record.status, 400 | 408 | 460);
    let request_time = record
        .dispatched
        .filter(|_| has_request_time)
        .map(|dispatched| between(record.created, dispatched));
    let target_time = record
        .dispatched
        .zip(record.answered)
        .filter(|_| was_answered)
        .map(|(dispatched, answered)| between(dispatched, answered));
    let is_tls = listener.protocol == "HTTPS";
    let kind = match (record.is_websocket, is_tls) {
        (false, false) => "http",
        (false, true) => "https",
        (true, false) => "ws",
        (true, true) => "wss",
    };
    let scheme = kind;
    let to_grpc = group.is_some_and(|group| group.source.protocol_version == "GRPC");
    let kind = match (record.is_http2, to_grpc) {
        (true, true) => "grpcs",
        (true, false) => "h2",
        (false, _) => kind,
    };
    let actions = match (record.guard, record.actions) {
        ("", actions) => Cow::Borrowed(actions),
        (guard, "") => Cow::Borrowed(guard),
        (guard, actions) => Cow::Owned(format!("{guard},{actions}")),
    };
    let line = Line {
        kind,
        time: at(record.ended),
        created: at(record.created),
        load_balancer: &balancer.source.resource_id,
        client: record.client,
        target: target.as_slice(),
        request_time,
        target_time,
        // the head of a response goes on in the same step in which it came
        response_time: target_time.map(|_| 0),
        status: (record.status != 0).then_some(record.status),
        target_status: was_answered.then_some(record.target_status),
        received_bytes: record.received,
        sent_bytes: record.sent,
        method: record.method.of(text),
        scheme,
        host: record.host.of(text),
        port: listener.port,
        uri: record.uri.of(text),
        version: match record.version {
            _ if record.is_http2 => "HTTP/2.0",
            Version::Http09 => "HTTP/0.9",
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        },
        user_agent: record.agent.of(text),
        ssl_cipher: record.tls.map_or("", |(_, cipher)| cipher),
        ssl_protocol: record.tls.map_or("", |(version, _)| version),
        target_group_arn: group.map_or("", |group| group.source.arn.as_str()),
        trace_id: record.trace.of(text),
        domain_name: record.domain.of(text),
        certificate_arn: record.certificate.of(text),
        rule_priority: record.priority,
        actions: &actions,
        redirect_url: record.redirect.of(text),
        error_reason: record.error_reason,
        classification: record.classification.reason(),
        connection_trace: record.connection_trace,
        transformed_host: record.new_host.of(text),
        transformed_uri: record.new_uri.of(text),
        transform_status: record.transform_status,
    };
    push_line(out, second, &line);
}
