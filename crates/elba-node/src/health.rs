//! Health checks: a thread of its own that probes every target in use and puts what it finds into the targets' shared
//! state, where the workers see it with their next request, and into the `Table`, from which reports are made.
//!
//! What an outcome means is decided in `elba_core::health`; here are sockets and timers only.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elba_core::compile::{Compiled, Health, TargetGroup, TargetState};
use elba_core::health::{self as core, Matcher, Outcome, State, TargetHealth, Thresholds};
use elba_core::protocol::{HealthReport, Node};
use elba_core::target_tls::TargetTls;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{watch, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout, Instant};

use crate::access_log::{CheckRecord, Sender};
use crate::client::{ask, Failure, Limits};
use crate::proxy::function;
use crate::{clock, http2, log, timer, tls};

/// Checks under way at once. More would crowd out the file descriptors of the traffic itself.
const MAX_CONCURRENT_CHECKS: usize = 512;
/// A clock that runs very fast must not turn checks into a busy loop.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// An answer's head has to end within this.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// After the status is known, the rest of the answer is read so far and so long, to spare the target a reset.
const MAX_REST_BYTES: usize = 256 * 1024;
const MAX_REST_TIME: Duration = Duration::from_millis(250);

type Groups = BTreeMap<String, BTreeMap<String, HealthReport>>;

#[derive(Debug, Default)]
struct Rows {
    groups: Groups,
    changed: BTreeSet<(String, String)>,
}

/// Every checked target's health as this node sees it, for reports and for the disk.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Arc<Mutex<Rows>>,
    /// counts changes, for those who wait for one
    changes: watch::Sender<u64>,
}

impl Default for Table {
    fn default() -> Self {
        Table {
            rows: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Table {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn put(&self, group: &str, target: &str, health: &TargetHealth) {
        let report = HealthReport {
            target_group: group.to_owned(),
            target: target.to_owned(),
            state: health.state.name().to_owned(),
            reason: health.reason.code().to_owned(),
            description: health.reason.description(),
            since: health.since,
            ..HealthReport::default()
        };
        let mut rows = self.rows();
        let row = rows
            .groups
            .entry(group.to_owned())
            .or_default()
            .entry(target.to_owned())
            .or_default();
        *row = HealthReport {
            anomalous: row.anomalous,
            mitigated: row.mitigated,
            ..report
        };
        rows.changed.insert((group.to_owned(), target.to_owned()));
        drop(rows);
        self.changes.send_modify(|n| *n += 1);
    }

    /// What is thought of how the target answers; nothing if the target is not checked.
    pub fn set_anomaly(&self, group: &str, target: &str, anomalous: bool, mitigated: bool) {
        let mut rows = self.rows();
        let row = rows
            .groups
            .get_mut(group)
            .and_then(|targets| targets.get_mut(target));
        let Some(row) = row else { return };
        row.anomalous = anomalous;
        row.mitigated = mitigated;
        rows.changed.insert((group.to_owned(), target.to_owned()));
        drop(rows);
        self.changes.send_modify(|n| *n += 1);
    }

    fn remove(&self, group: &str, target: &str) {
        let mut rows = self.rows();
        if let Some(targets) = rows.groups.get_mut(group) {
            targets.remove(target);
            if targets.is_empty() {
                rows.groups.remove(group);
            }
        }
        rows.changed.remove(&(group.to_owned(), target.to_owned()));
        drop(rows);
        self.changes.send_modify(|n| *n += 1);
    }

    /// All targets; nothing is "changed" afterwards.
    pub fn take_all(&self) -> Vec<HealthReport> {
        let mut rows = self.rows();
        rows.changed.clear();
        rows.groups.values().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn all(&self) -> Vec<HealthReport> {
        self.rows()
            .groups
            .values()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// The targets that changed since the last take.
    pub fn take_changed(&self) -> Vec<HealthReport> {
        let mut rows = self.rows();
        let changed = std::mem::take(&mut rows.changed);
        changed
            .iter()
            .filter_map(|(group, target)| rows.groups.get(group)?.get(target).cloned())
            .collect()
    }
}

/// How one target is checked.
#[derive(Debug, Clone, PartialEq)]
struct Settings {
    address: SocketAddr,
    protocol: Protocol,
    /// over TLS
    secured: bool,
    /// security groups keep the node from that port
    refused: bool,
    request: Vec<u8>,
    matcher: Matcher,
    interval: Duration,
    timeout: Duration,
    thresholds: Thresholds,
    /// for a function: where it is invoked, and with which headers
    invocation: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Function,
    Http,
    Http2,
    Grpc,
    Tcp,
    /// this node cannot make them and says so (`Elb.InternalError`)
    Unsupported,
}

fn settings_of(group: &TargetGroup, target: &elba_core::compile::Target, node: &Node) -> Option<Settings> {
    let scale = node.clock.scale;
    let is_function = group.source.target_type == "lambda";
    let check = &group.source.health_check;
    if !core::is_checked(&group.source) {
        return None;
    }
    let protocol = match check.protocol.as_str() {
        _ if is_function => Protocol::Function,
        "HTTP" | "HTTPS" if check.grpc => Protocol::Grpc,
        "HTTP" | "HTTPS" if group.source.protocol_version == "HTTP2" => Protocol::Http2,
        "HTTP" | "HTTPS" => Protocol::Http,
        "TCP" => Protocol::Tcp,
        _ => Protocol::Unsupported,
    };
    Some(Settings {
        address: SocketAddr::new(target.state.address.ip(), core::check_port(check, &target.source)),
        protocol,
        secured: check.protocol == "HTTPS",
        refused: target.source.check_refused,
        request: core::check_request(check, &target.source),
        // Checked when the configuration was accepted.
        matcher: Matcher::parse(&check.matcher).ok()?,
        interval: clock::duration(check.interval_seconds / scale).max(MIN_INTERVAL),
        timeout: clock::duration(check.timeout_seconds),
        thresholds: Thresholds {
            healthy: check.healthy_threshold,
            unhealthy: check.unhealthy_threshold,
        },
        invocation: is_function.then(|| {
            let url = function::invocation_url(node, &target.source.id);
            (url, function::invocation(node, &group.source.arn, "check"))
        }),
    })
}

/// A connection to a target that is checked.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Settings {
    /// As the health check log names it.
    fn kind(&self) -> &'static str {
        match self.protocol {
            Protocol::Function => "lambda",
            Protocol::Grpc => "grpc",
            Protocol::Http2 => "h2",
            _ if self.secured => "https",
            _ => "http",
        }
    }
}

/// One target being checked. Dropping it stops the checks.
struct Checked {
    state: Arc<TargetState>,
    settings: Option<Settings>,
    health: Rc<RefCell<TargetHealth>>,
    task: Option<JoinHandle<()>>,
}

impl Checked {
    fn is_refused(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.refused)
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct CheckedGroup {
    source: Arc<TargetGroup>,
    zones: BTreeSet<String>,
    node: Node,
    targets: HashMap<String, Checked>,
}

/// What all checks share.
struct Context {
    table: Table,
    log: Sender,
    permits: Semaphore,
    groups: RefCell<HashMap<String, Arc<TargetGroup>>>,
    random: Cell<u64>,
}

impl Context {
    /// Uniform in 0..1; spreads checks, nothing else hangs on it.
    fn random(&self) -> f64 {
        let next = self
            .random
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random.set(next);
        (next >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Makes `health` effective: for the workers at once, for reports, for the log.
    fn publish(&self, group: &str, key: &str, health: &TargetHealth) {
        if let Some(compiled) = self.groups.borrow().get(group) {
            let seen = match health.state {
                State::Initial => Health::Initial,
                State::Healthy => Health::Healthy,
                State::Unhealthy => Health::Unhealthy,
                State::Unavailable => Health::Unavailable,
            };
            compiled.set_health(key, seen, timer::now_ms());
        }
        self.table.put(group, key, health);
    }
}

/// Checks the targets of whatever configuration is in force. `remembered`: health from before a restart, used for
/// the targets of the first configuration. Ends when the configuration's sender is gone.
pub async fn run(
    mut compiled: watch::Receiver<Arc<Compiled>>,
    table: Table,
    remembered: Vec<HealthReport>,
    log: Sender,
) {
    let context = Rc::new(Context {
        table,
        log,
        permits: Semaphore::new(MAX_CONCURRENT_CHECKS),
        groups: RefCell::default(),
        random: Cell::new(RandomState::new().hash_one(clock::world_now().to_bits())),
    });
    let mut remembered: HashMap<(String, String), HealthReport> = remembered
        .into_iter()
        .map(|r| ((r.target_group.clone(), r.target.clone()), r))
        .collect();
    let mut checked: HashMap<String, CheckedGroup> = HashMap::new();
    loop {
        let current = compiled.borrow_and_update().clone();
        if current.version > 0 || !current.load_balancers.is_empty() {
            reconcile(&context, &mut checked, &current, &mut remembered);
            remembered.clear();
        }
        drop(current);
        if compiled.changed().await.is_err() {
            return;
        }
    }
}

/// Starts, restarts and stops checks so that exactly the targets in use are checked as configured.
fn reconcile(
    context: &Rc<Context>,
    checked: &mut HashMap<String, CheckedGroup>,
    compiled: &Compiled,
    remembered: &mut HashMap<(String, String), HealthReport>,
) {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    for (group, users) in compiled.groups() {
        let mut is_used = false;
        let mut zones = BTreeSet::new();
        for balancer in users {
            is_used = true;
            zones.extend(balancer.addresses.iter().map(|(zone, _)| zone.clone()));
        }
        if !is_used {
            continue;
        }
        let arn = group.source.arn.as_str();
        wanted.insert(arn);
        let known = checked.entry(arn.to_owned()).or_insert_with(|| CheckedGroup {
            source: group.clone(),
            zones: BTreeSet::new(),
            node: Node::default(),
            targets: HashMap::new(),
        });
        let is_same =
            Arc::ptr_eq(&known.source, group) && known.zones == zones && known.node == compiled.node;
        known.source = group.clone();
        known.zones = zones;
        if known.node != compiled.node {
            known.node = compiled.node.clone();
        }
        if !is_same {
            context.groups.borrow_mut().insert(arn.to_owned(), group.clone());
            reconcile_group(context, known, remembered);
        }
    }
    let gone: Vec<String> = checked
        .keys()
        .filter(|arn| !wanted.contains(arn.as_str()))
        .cloned()
        .collect();
    for arn in gone {
        if let Some(group) = checked.remove(&arn) {
            for key in group.targets.keys() {
                context.table.remove(&arn, key);
            }
        }
        context.groups.borrow_mut().remove(&arn);
    }
}

fn reconcile_group(
    context: &Rc<Context>,
    group: &mut CheckedGroup,
    remembered: &mut HashMap<(String, String), HealthReport>,
) {
    let source = group.source.clone();
    let arn = source.source.arn.as_str();
    let mut before = std::mem::take(&mut group.targets);
    for target in &source.targets {
        let zone = target.source.zone.as_str();
        let is_in_zone =
            zone.is_empty() || zone == "all" || group.zones.is_empty() || group.zones.contains(zone);
        if target.draining || !is_in_zone {
            continue;
        }
        let key = target.state.key.clone();
        let settings = settings_of(&source, target, &group.node);
        let known = before
            .remove(&key)
            .filter(|known| Arc::ptr_eq(&known.state, &target.state));
        let checked = match known {
            Some(known) if known.settings == settings => known,
            known => {
                let first_delay = match (&known, &settings) {
                    (Some(known), Some(s)) if known.is_refused() && !s.refused => Duration::ZERO,
                    // New settings: soon, but not all targets at one instant.
                    (Some(_), Some(s)) => s.interval.min(Duration::from_secs(1)).mul_f64(context.random()),
                    _ => Duration::ZERO,
                };
                let remembered = remembered.remove(&(arn.to_owned(), key.clone()));
                start(context, arn, target, settings, known, remembered, first_delay)
            }
        };
        group.targets.insert(key, checked);
    }
    for key in before.keys() {
        context.table.remove(arn, key);
    }
}

fn start(
    context: &Rc<Context>,
    group: &str,
    target: &elba_core::compile::Target,
    settings: Option<Settings>,
    known: Option<Checked>,
    remembered: Option<HealthReport>,
    mut first_delay: Duration,
) -> Checked {
    let now = clock::world_now();
    let was_unchecked = known.as_ref().is_some_and(|k| k.settings.is_none());
    let health = match (known, &settings, remembered) {
        (_, None, _) => TargetHealth::unchecked(now),
        (Some(known), Some(_), _) if !was_unchecked => {
            let mut health = known.health.borrow().clone();
            health.handle_settings_changed();
            health
        }
        (_, Some(settings), Some(remembered)) => match recall(&remembered) {
            Some(health) => {
                // After a restart all targets are known: their checks are spread over the interval.
                first_delay = settings.interval.mul_f64(context.random());
                health
            }
            None => TargetHealth::from_control_plane(&target.source.known_health, now),
        },
        _ => TargetHealth::from_control_plane(&target.source.known_health, now),
    };
    let key = target.state.key.clone();
    context.publish(group, &key, &health);
    let health = Rc::new(RefCell::new(health));
    let task = settings.clone().map(|settings| {
        let (context, health, group) = (context.clone(), health.clone(), group.to_owned());
        tokio::task::spawn_local(async move {
            sleep(first_delay).await;
            check_for_ever(&context, &group, &key, &settings, &health).await;
        })
    });
    Checked {
        state: target.state.clone(),
        settings,
        health,
        task,
    }
}

/// Health from before a restart, if it says something.
fn recall(report: &HealthReport) -> Option<TargetHealth> {
    match State::parse(&report.state)? {
        state @ (State::Healthy | State::Unhealthy) => {
            let reason = core::Reason::parse(&report.reason, &report.description)?;
            Some(TargetHealth::known(state, reason, report.since))
        }
        _ => None,
    }
}

async fn check_for_ever(
    context: &Context,
    group: &str,
    key: &str,
    settings: &Settings,
    health: &RefCell<TargetHealth>,
) {
    loop {
        let Ok(permit) = context.permits.acquire().await else {
            return;
        };
        let started = Instant::now();
        if health.borrow_mut().handle_started() {
            context.publish(group, key, &health.borrow());
        }
        let code = Cell::new(None);
        let (outcome, rest) = if settings.refused {
            drop(permit);
            sleep(settings.timeout).await;
            (Outcome::Timeout, None)
        } else {
            let result = check(settings, &code).await;
            drop(permit);
            result
        };
        context.log.send_check(CheckRecord {
            group: group.to_owned(),
            target: key.to_owned(),
            kind: settings.kind(),
            latency: started.elapsed(),
            outcome,
            code: code.get(),
        });
        let before = health.borrow().state;
        let changed = health
            .borrow_mut()
            .handle_outcome(outcome, settings.thresholds, clock::world_now());
        if changed {
            let health = health.borrow();
            context.publish(group, key, &health);
            if health.state != before {
                log::info(
                    "target_health_changed",
                    json!({"resource": group, "target": key, "state": health.state.name(),
                           "reason": health.reason.code(), "description": health.reason.description()}),
                );
            }
        }
        if let Some(stream) = rest {
            read_rest(stream).await;
        }
        // A twentieth of jitter on either side keeps the nodes and targets from marching in step.
        let pause = settings.interval.mul_f64(0.95 + 0.1 * context.random());
        sleep_until(started + pause).await;
    }
}

/// One check; the stream is handed back for `read_rest` when an answer is still coming.
/// `code`: what the target answers is put there.
async fn check(settings: &Settings, code: &Cell<Option<u16>>) -> (Outcome, Option<Box<dyn Stream>>) {
    let judge = |answered: u16| {
        code.set(Some(answered));
        if settings.matcher.matches(answered) {
            Outcome::Pass
        } else {
            Outcome::CodeMismatch(answered)
        }
    };
    let limited = timeout(settings.timeout, async {
        match settings.protocol {
            Protocol::Unsupported => Err(Outcome::Internal),
            Protocol::Function => check_function(settings, judge)
                .await
                .map(|outcome| (outcome, None)),
            Protocol::Tcp => connect(settings.address).await.map(|_| (Outcome::Pass, None)),
            Protocol::Http => check_http(open(settings, false).await?, settings, judge).await,
            Protocol::Http2 | Protocol::Grpc => {
                let stream = open(settings, true).await?;
                let is_grpc = settings.protocol == Protocol::Grpc;
                let outcome = http2::check::check(stream, &settings.request, is_grpc, judge).await?;
                Ok((outcome, None))
            }
        }
    });
    match limited.await {
        Ok(Ok(result)) => result,
        Ok(Err(outcome)) => (outcome, None),
        Err(_) => (Outcome::Timeout, None),
    }
}

/// Whether an error is the node's own shortage and says nothing about the target.
pub fn is_our_fault(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL)
    )
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Outcome> {
    TcpStream::connect(address).await.map_err(|error| {
        if is_our_fault(&error) {
            log::warning(
                "health_check_not_made",
                json!({"target": address.to_string(), "reason": error.to_string()}),
            );
            Outcome::Internal
        } else if error.raw_os_error() == Some(libc::ETIMEDOUT) {
            Outcome::Timeout
        } else {
            Outcome::Failed
        }
    })
}

/// A connection as the check wants it, under TLS perhaps.
async fn open(settings: &Settings, is_http2: bool) -> Result<Box<dyn Stream>, Outcome> {
    let stream = connect(settings.address).await?;
    if !settings.secured {
        return Ok(Box::new(stream));
    }
    let tls = TargetTls::of_checks().ok_or(Outcome::Internal)?;
    let config = if is_http2 { &tls.http2 } else { &tls.http1 };
    let secured = tls::secure(stream, settings.address, config.clone());
    Ok(Box::new(secured.await.map_err(|_| Outcome::Failed)?))
}

/// What a function says to the event of a health check.
async fn check_function(settings: &Settings, judge: impl Fn(u16) -> Outcome) -> Result<Outcome, Outcome> {
    let (url, fields) = settings.invocation.as_ref().ok_or(Outcome::Internal)?;
    let limits = Limits {
        connect: settings.timeout,
        whole: settings.timeout,
        bytes: MAX_REST_BYTES,
    };
    match ask("POST", url, fields, b"", None, limits).await {
        Ok(reply) if reply.status == 200 => {
            let code = core::parse_status(&reply.body)?.ok_or(Outcome::Failed)?;
            Ok(judge(code))
        }
        // the function's own fault, or that of who may not invoke it
        Ok(reply) if reply.status == 502 => Err(Outcome::Failed),
        Ok(_) => Err(Outcome::Internal),
        Err(Failure::Timeout) => Err(Outcome::Timeout),
        Err(Failure::TooLarge | Failure::Malformed) => Err(Outcome::Failed),
        Err(_) => Err(Outcome::Internal),
    }
}

async fn check_http(
    mut stream: Box<dyn Stream>,
    settings: &Settings,
    judge: impl Fn(u16) -> Outcome,
) -> Result<(Outcome, Option<Box<dyn Stream>>), Outcome> {
    stream
        .write_all(&settings.request)
        .await
        .map_err(|_| Outcome::Failed)?;
    let mut head = Vec::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut head).await.map_err(|_| Outcome::Failed)?;
        if let Some(code) = core::parse_status(&head)? {
            return Ok((judge(code), Some(stream)));
        }
        if read == 0 || head.len() > MAX_HEAD_BYTES {
            return Err(Outcome::Failed);
        }
    }
}

async fn read_rest(mut stream: Box<dyn Stream>) {
    let reading = async {
        let mut buffer = [0_u8; 4096];
        let mut total = 0;
        while total < MAX_REST_BYTES {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => total += read,
                _ => return,
            }
        }
    };
    let _ = timeout(MAX_REST_TIME, reading).await;
}
