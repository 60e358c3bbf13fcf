//! What the workers count, under AWS's metric names.
//!
//! Every worker writes cells of its own, so that no cache line is shared on a request's path: a count is a relaxed
//! load and a relaxed store (one writer). Cells only grow; `Counters::take` remembers what it saw last and reports
//! the difference, so nothing is lost and the workers never notice.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use elba_core::anomaly::Count;
use elba_core::protocol::{bucket_index, Histogram, LoadBalancerReport, TargetReport};

/// Counts of a load balancer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Balancer {
    /// requests for which a target was chosen
    RequestCount,
    IPv6RequestCount,
    NewConnectionCount,
    RejectedConnectionCount,
    ProcessedBytes,
    IPv6ProcessedBytes,
    RuleEvaluations,
    Elb3xx,
    Elb4xx,
    Elb5xx,
    Elb500,
    Elb502,
    Elb503,
    Elb504,
    FixedResponse,
    Redirect,
    RedirectUrlLimitExceeded,
    DesyncNonCompliant,
    DroppedInvalidHeaderRequest,
    ForwardedInvalidHeaderRequest,
    NonStickyRequest,
    ClientTlsNegotiationError,
    LambdaTargetProcessedBytes,
    AuthSuccess,
    AuthFailure,
    AuthError,
    AuthRefreshTokenSuccess,
    AuthUserClaimsSizeExceeded,
    JwtValidationSuccess,
    JwtValidationFailure,
    /// connections of clients and to targets; opened minus closed are open now, together ActiveConnectionCount
    Opened,
    Closed,
    TargetOpened,
    TargetClosed,
}

const BALANCER_CELLS: usize = Balancer::TargetClosed as usize + 1;

/// By `Balancer`; the last four make up the gauge ActiveConnectionCount.
const BALANCER_NAMES: [&str; BALANCER_CELLS - 4] = [
    "RequestCount",
    "IPv6RequestCount",
    "NewConnectionCount",
    "RejectedConnectionCount",
    "ProcessedBytes",
    "IPv6ProcessedBytes",
    "RuleEvaluations",
    "HTTPCode_ELB_3XX_Count",
    "HTTPCode_ELB_4XX_Count",
    "HTTPCode_ELB_5XX_Count",
    "HTTPCode_ELB_500_Count",
    "HTTPCode_ELB_502_Count",
    "HTTPCode_ELB_503_Count",
    "HTTPCode_ELB_504_Count",
    "HTTP_Fixed_Response_Count",
    "HTTP_Redirect_Count",
    "HTTP_Redirect_Url_Limit_Exceeded_Count",
    "DesyncMitigationMode_NonCompliant_Request_Count",
    "DroppedInvalidHeaderRequestCount",
    "ForwardedInvalidHeaderRequestCount",
    "NonStickyRequestCount",
    "ClientTLSNegotiationErrorCount",
    "LambdaTargetProcessedBytes",
    "ELBAuthSuccess",
    "ELBAuthFailure",
    "ELBAuthError",
    "ELBAuthRefreshTokenSuccess",
    "ELBAuthUserClaimsSizeExceeded",
    "JWTValidationSuccessCount",
    "JWTValidationFailureCount",
];

/// Counts of one target of one group behind one load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Target {
    RequestCount,
    IPv6RequestCount,
    GrpcRequest,
    Target2xx,
    Target3xx,
    Target4xx,
    Target5xx,
    TargetConnectionError,
    TargetTlsNegotiationError,
    UnhealthyRoutingRequest,
    LambdaUserError,
    LambdaInternalError,
    /// requests begun and ended: their difference is the gauge `outstanding`
    Begun,
    Ended,
}

const TARGET_CELLS: usize = Target::Ended as usize + 1;

const TARGET_NAMES: [&str; TARGET_CELLS - 2] = [
    "RequestCount",
    "IPv6RequestCount",
    "GrpcRequestCount",
    "HTTPCode_Target_2XX_Count",
    "HTTPCode_Target_3XX_Count",
    "HTTPCode_Target_4XX_Count",
    "HTTPCode_Target_5XX_Count",
    "TargetConnectionErrorCount",
    "TargetTLSNegotiationErrorCount",
    "UnhealthyRoutingRequestCount",
    "LambdaUserError",
    "LambdaInternalError",
];

/// Response times beyond 2^32 us (71 minutes, longer than the longest idle time-out) fall into the last bucket.
const BUCKETS: usize = 32 + 28 * 32;

fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
}

fn cells<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

/// One worker's cells of one load balancer. Alone on its cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub struct BalancerCells {
    cells: [AtomicU64; BALANCER_CELLS],
    /// ELBAuthLatency: whoever adds to it has waited for an identity provider, so that a lock costs nothing
    authentication: Mutex<Histogram>,
}

impl BalancerCells {
    pub fn add(&self, what: Balancer, amount: u64) {
        add(&self.cells[what as usize], amount);
    }

    /// Counts an ELBAuthLatency: how long an identity provider was asked.
    pub fn add_authentication_time(&self, micros: u64) {
        let mut times = self.authentication.lock().unwrap_or_else(PoisonError::into_inner);
        let index = bucket_index(micros);
        match times.buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => times.buckets[at].1 += 1,
            Err(at) => times.buckets.insert(at, (index, 1)),
        }
        times.count += 1;
        times.sum += micros as f64 / 1e6;
    }

    /// Counts an answer of the load balancer's own by its status code.
    pub fn add_answer(&self, status: u16) {
        match status {
            300..=399 => self.add(Balancer::Elb3xx, 1),
            400..=499 => self.add(Balancer::Elb4xx, 1),
            500..=599 => self.add(Balancer::Elb5xx, 1),
            _ => {}
        }
        match status {
            500 => self.add(Balancer::Elb500, 1),
            502 => self.add(Balancer::Elb502, 1),
            503 => self.add(Balancer::Elb503, 1),
            504 => self.add(Balancer::Elb504, 1),
            _ => {}
        }
    }
}

/// One worker's cells of one target.
#[derive(Debug)]
#[repr(align(128))]
pub struct TargetCells {
    cells: [AtomicU64; TARGET_CELLS],
    time_sum_micros: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

impl TargetCells {
    pub fn add(&self, what: Target, amount: u64) {
        add(&self.cells[what as usize], amount);
    }

    /// Counts a target's answer by its status code.
    pub fn add_answer(&self, status: u16) {
        match status {
            200..=299 => self.add(Target::Target2xx, 1),
            300..=399 => self.add(Target::Target3xx, 1),
            400..=499 => self.add(Target::Target4xx, 1),
            500..=599 => self.add(Target::Target5xx, 1),
            _ => {}
        }
    }

    /// Counts a TargetResponseTime: from the request sent to the first byte of the answer.
    pub fn add_response_time(&self, micros: u64) {
        let bucket = (bucket_index(micros) as usize).min(BUCKETS - 1);
        let cell = &self.buckets[bucket];
        cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
        add(&self.time_sum_micros, micros);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TargetName {
    load_balancer: String,
    target_group: String,
    target: String,
}

#[derive(Debug)]
struct Tracked<C, S> {
    /// one for each worker that ever counted for it
    cells: Vec<(usize, Arc<C>)>,
    seen: S,
    /// nobody serves it any more: forgotten after the next take
    idle_takes: u32,
}

#[derive(Debug, Default)]
struct SeenTarget {
    cells: [u64; TARGET_CELLS],
    time_sum_micros: u64,
    buckets: HashMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Registry {
    balancers: HashMap<String, Tracked<BalancerCells, [u64; BALANCER_CELLS]>>,
    targets: HashMap<TargetName, Tracked<TargetCells, SeenTarget>>,
}

/// Takes without change after which cells that no worker holds any longer are dropped.
const IDLE_TAKES: u32 = 2;

/// All cells of all workers. The lock is taken by `take` and by a worker that meets a load balancer or target for
/// the first time, never for a request.
#[derive(Debug, Default)]
pub struct Counters {
    registry: Mutex<Registry>,
}

impl Counters {
    pub fn new() -> Arc<Counters> {
        Arc::new(Counters::default())
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cells in which `worker` counts for this load balancer (ARN).
    pub fn balancer(&self, worker: usize, load_balancer: &str) -> Arc<BalancerCells> {
        let mut registry = self.registry();
        let tracked = registry
            .balancers
            .entry(load_balancer.to_owned())
            .or_insert_with(|| Tracked {
                cells: Vec::new(),
                seen: [0; BALANCER_CELLS],
                idle_takes: 0,
            });
        if let Some((_, cells)) = tracked.cells.iter().find(|(owner, _)| *owner == worker) {
            return cells.clone();
        }
        let fresh = Arc::new(BalancerCells {
            cells: cells(),
            authentication: Mutex::default(),
        });
        tracked.cells.push((worker, fresh.clone()));
        fresh
    }

    /// The cells in which `worker` counts for this target (ARNs, and the target's key).
    pub fn target(
        &self,
        worker: usize,
        load_balancer: &str,
        target_group: &str,
        target: &str,
    ) -> Arc<TargetCells> {
        let name = TargetName {
            load_balancer: load_balancer.to_owned(),
            target_group: target_group.to_owned(),
            target: target.to_owned(),
        };
        let mut registry = self.registry();
        let tracked = registry.targets.entry(name).or_insert_with(|| Tracked {
            cells: Vec::new(),
            seen: SeenTarget::default(),
            idle_takes: 0,
        });
        if let Some((_, cells)) = tracked.cells.iter().find(|(owner, _)| *owner == worker) {
            return cells.clone();
        }
        let fresh = Arc::new(TargetCells {
            cells: cells(),
            time_sum_micros: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
        });
        tracked.cells.push((worker, fresh.clone()));
        fresh
    }

    /// Counts since the last take, by load balancer and by target; what did not change and is at rest is left out.
    /// ActiveConnectionCount and `TargetReport::outstanding` are the values now. To be called by one caller only.
    pub fn take(&self) -> (Vec<LoadBalancerReport>, Vec<TargetReport>) {
        let mut registry = self.registry();
        let mut balancers = Vec::new();
        registry.balancers.retain(|name, tracked| {
            let (report, changed) = take_balancer(name, tracked);
            if !report.counters.is_empty() || report.authentication_time.count > 0 {
                balancers.push(report);
            }
            keep(tracked, changed)
        });
        let mut targets = Vec::new();
        registry.targets.retain(|name, tracked| {
            let (report, changed) = take_target(name, tracked);
            if changed || report.outstanding > 0 {
                targets.push(report);
            }
            keep(tracked, changed)
        });
        balancers.sort_by(|a, b| a.load_balancer.cmp(&b.load_balancer));
        targets.sort_by(|a, b| {
            (&a.load_balancer, &a.target_group, &a.target).cmp(&(
                &b.load_balancer,
                &b.target_group,
                &b.target,
            ))
        });
        (balancers, targets)
    }

    /// How often each target answered or could not be reached, and how often that was an error: by group (ARN) and
    /// target's key, all load balancers together, since it was first counted.
    pub fn target_outcomes(&self) -> HashMap<String, HashMap<String, Count>> {
        const OUTCOMES: [Target; 5] = [
            Target::Target2xx,
            Target::Target3xx,
            Target::Target4xx,
            Target::Target5xx,
            Target::TargetConnectionError,
        ];
        let registry = self.registry();
        let mut groups: HashMap<String, HashMap<String, Count>> = HashMap::new();
        for (name, tracked) in &registry.targets {
            let sum = |what: Target| -> u64 {
                let cells = tracked.cells.iter().map(|(_, cells)| &cells.cells[what as usize]);
                cells.map(|cell| cell.load(Relaxed)).sum()
            };
            let group = groups.entry(name.target_group.clone()).or_default();
            let count = group.entry(name.target.clone()).or_default();
            count.outcomes += OUTCOMES.into_iter().map(sum).sum::<u64>();
            count.errors += sum(Target::Target5xx) + sum(Target::TargetConnectionError);
        }
        groups
    }

    /// Client connections open now, for `Report::open_connections`.
    pub fn open_connections(&self) -> u32 {
        let registry = self.registry();
        let sum = |what: Balancer| -> u64 {
            let blocks = registry
                .balancers
                .values()
                .flat_map(|tracked| tracked.cells.iter());
            blocks
                .map(|(_, cells)| cells.cells[what as usize].load(Relaxed))
                .sum()
        };
        let closed = sum(Balancer::Closed);
        sum(Balancer::Opened)
            .saturating_sub(closed)
            .min(u64::from(u32::MAX)) as u32
    }
}

fn keep<C, S>(tracked: &mut Tracked<C, S>, changed: bool) -> bool {
    let held = tracked
        .cells
        .iter()
        .any(|(_, cells)| Arc::strong_count(cells) > 1);
    if held || changed {
        tracked.idle_takes = 0;
        return true;
    }
    tracked.idle_takes += 1;
    tracked.idle_takes < IDLE_TAKES
}

fn take_balancer(
    name: &str,
    tracked: &mut Tracked<BalancerCells, [u64; BALANCER_CELLS]>,
) -> (LoadBalancerReport, bool) {
    let mut now = [0u64; BALANCER_CELLS];
    for (_, block) in &tracked.cells {
        for (sum, cell) in now.iter_mut().zip(&block.cells) {
            *sum = sum.wrapping_add(cell.load(Relaxed));
        }
    }
    let mut counters = BTreeMap::new();
    for (index, metric) in BALANCER_NAMES.iter().enumerate() {
        let grown = now[index].wrapping_sub(tracked.seen[index]);
        if grown > 0 {
            counters.insert((*metric).to_owned(), grown as f64);
        }
    }
    let mut authentication_time = Histogram::default();
    for (_, block) in &tracked.cells {
        let taken = std::mem::take(
            &mut *block
                .authentication
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        authentication_time.count += taken.count;
        authentication_time.sum += taken.sum;
        authentication_time.buckets.extend(taken.buckets);
    }
    let changed = now != tracked.seen;
    let open = |opened: Balancer, closed: Balancer| now[opened as usize].saturating_sub(now[closed as usize]);
    let active =
        open(Balancer::Opened, Balancer::Closed) + open(Balancer::TargetOpened, Balancer::TargetClosed);
    if active > 0 {
        counters.insert("ActiveConnectionCount".to_owned(), active as f64);
    }
    tracked.seen = now;
    let report = LoadBalancerReport {
        load_balancer: name.to_owned(),
        counters,
        authentication_time,
    };
    (report, changed)
}

fn take_target(name: &TargetName, tracked: &mut Tracked<TargetCells, SeenTarget>) -> (TargetReport, bool) {
    let mut now = [0u64; TARGET_CELLS];
    let mut time_sum = 0u64;
    for (_, block) in &tracked.cells {
        for (sum, cell) in now.iter_mut().zip(&block.cells) {
            *sum = sum.wrapping_add(cell.load(Relaxed));
        }
        time_sum = time_sum.wrapping_add(block.time_sum_micros.load(Relaxed));
    }
    let changed = now != tracked.seen.cells || time_sum != tracked.seen.time_sum_micros;
    let mut counters = BTreeMap::new();
    for (index, metric) in TARGET_NAMES.iter().enumerate() {
        let grown = now[index].wrapping_sub(tracked.seen.cells[index]);
        if grown > 0 {
            counters.insert((*metric).to_owned(), grown as f64);
        }
    }
    let mut response_time = Histogram::default();
    if changed {
        for bucket in 0..BUCKETS as u32 {
            let count = tracked.cells.iter().fold(0u32, |sum, (_, block)| {
                sum.wrapping_add(block.buckets[bucket as usize].load(Relaxed))
            });
            if count == 0 {
                continue;
            }
            let seen = tracked.seen.buckets.entry(bucket).or_default();
            let grown = count.wrapping_sub(*seen);
            if grown > 0 {
                response_time.buckets.push((bucket, u64::from(grown)));
                response_time.count += u64::from(grown);
                *seen = count;
            }
        }
        response_time.sum = time_sum.wrapping_sub(tracked.seen.time_sum_micros) as f64 / 1e6;
    }
    tracked.seen.cells = now;
    tracked.seen.time_sum_micros = time_sum;
    let outstanding = now[Target::Begun as usize].saturating_sub(now[Target::Ended as usize]);
    let report = TargetReport {
        load_balancer: name.load_balancer.clone(),
        target_group: name.target_group.clone(),
        target: name.target.clone(),
        counters,
        response_time,
        outstanding: outstanding.min(u64::from(u32::MAX)) as u32,
    };
    (report, changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_differences_and_gauges() {
        let counters = Counters::new();
        let one = counters.balancer(0, "lb");
        let two = counters.balancer(1, "lb");
        one.add(Balancer::RequestCount, 3);
        two.add(Balancer::RequestCount, 4);
        two.add(Balancer::Opened, 2);
        one.add_answer(502);
        let (balancers, _) = counters.take();
        assert_eq!(balancers[0].counters["RequestCount"], 7.0);
        assert_eq!(balancers[0].counters["ActiveConnectionCount"], 2.0);
        assert_eq!(balancers[0].counters["HTTPCode_ELB_5XX_Count"], 1.0);
        assert_eq!(balancers[0].counters["HTTPCode_ELB_502_Count"], 1.0);
        assert_eq!(counters.open_connections(), 2);
        two.add(Balancer::Closed, 2);
        assert_eq!(counters.take().0, vec![]);
    }

    #[test]
    fn authentication_times_come_once() {
        let counters = Counters::new();
        for worker in 0..2 {
            let cells = counters.balancer(worker, "lb");
            cells.add_authentication_time(2000);
            cells.add_authentication_time(9);
        }
        let times = counters.take().0.remove(0).authentication_time;
        assert_eq!(times.count, 4);
        assert_eq!(times.buckets[..2], [(9, 1), (bucket_index(2000), 1)]);
        assert!((times.sum - 0.004_018).abs() < 1e-9);
        assert_eq!(counters.take().0, vec![]);
    }

    #[test]
    fn response_times_come_once() {
        let counters = Counters::new();
        let cells = counters.target(0, "lb", "tg", "i-1:80");
        cells.add(Target::Begun, 1);
        cells.add_answer(200);
        cells.add_response_time(1500);
        cells.add_response_time(u64::MAX >> 20);
        let (_, targets) = counters.take();
        assert_eq!(targets[0].outstanding, 1);
        assert_eq!(targets[0].response_time.count, 2);
        assert_eq!(targets[0].response_time.buckets[0], (bucket_index(1500), 1));
        cells.add(Target::Ended, 1);
        let (_, targets) = counters.take();
        assert_eq!((targets[0].outstanding, targets[0].response_time.count), (0, 0));
    }

    #[test]
    fn forgets_what_nobody_serves() {
        let counters = Counters::new();
        drop(counters.balancer(0, "lb"));
        for _ in 0..4 {
            counters.take();
        }
        assert!(counters.registry().balancers.is_empty());
    }
}
