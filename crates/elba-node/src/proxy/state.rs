//! What the connections of one worker share. Single-threaded throughout: `Rc`, `Cell`, `RefCell`; no borrow is held
//! across a wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use elba_core::choice::Chooser;
use elba_core::compile::{Compiled, Listener, LoadBalancer, TargetGroup};
use elba_core::forwarded::TraceSeed;
use elba_core::http1::date::http_date;
use elba_core::http1::request::RequestHead;
use elba_core::http1::response::ResponseHead;

use super::logging::Log;
use crate::access_log;
use crate::buffers::Buffers;
use crate::caller;
use crate::counters::{BalancerCells, Counters};
use crate::idp;
use crate::pool::TargetRuntime;
use crate::timer::{now_ms, Timers};

/// How often a second a worker finds out which instance a refused client is.
const MOST_LOOKUPS_A_SECOND: u32 = 20;

/// A load balancer with this worker's counters.
pub struct BalancerRuntime {
    pub balancer: Arc<LoadBalancer>,
    pub cells: Arc<BalancerCells>,
}

/// A target group with this worker's candidates and pools.
pub struct GroupRuntime {
    pub group: Arc<TargetGroup>,
    pub chooser: RefCell<Chooser>,
    /// as in `TargetGroup::targets`
    pub targets: Vec<Rc<TargetRuntime>>,
}

/// One version of the configuration as one worker uses it. A request keeps the one it began with.
pub struct Config {
    pub compiled: Arc<Compiled>,
    /// as in `Compiled::load_balancers`
    pub balancers: Vec<Rc<BalancerRuntime>>,
    /// by slot
    pub groups: Vec<Option<Rc<GroupRuntime>>>,
}

/// Heads are parsed into these; used within one step only, never across a wait.
#[derive(Default)]
pub struct Scratch {
    pub request: RequestHead,
    pub response: ResponseHead,
}

pub struct Worker {
    pub index: usize,
    pub counters: Arc<Counters>,
    pub timers: Rc<Timers>,
    pub buffers: Buffers,
    pub scratch: RefCell<Scratch>,
    pub log: Log,
    pub idp: idp::Client,
    config: RefCell<Rc<Config>>,
    now_ms: Cell<u64>,
    epoch_seconds: Cell<u64>,
    date: RefCell<Rc<str>>,
    random: Cell<u64>,
    draining: Cell<bool>,
    /// the second of the last look-ups of callers, and how many they were
    lookups: Cell<(u64, u32)>,
}

impl Worker {
    /// `seed` differs from worker to worker and from start to start.
    pub fn new(index: usize, counters: Arc<Counters>, seed: u64) -> Worker {
        Worker::logging(index, counters, seed, None)
    }

    /// As `new`, with a place for access log records.
    pub fn logging(
        index: usize,
        counters: Arc<Counters>,
        seed: u64,
        log: Option<access_log::Sender>,
    ) -> Worker {
        let worker = Worker {
            index,
            counters,
            timers: Rc::default(),
            buffers: Buffers::default(),
            scratch: RefCell::default(),
            log: Log::new(log),
            idp: idp::Client::default(),
            config: RefCell::new(Rc::new(Config {
                compiled: Arc::new(Compiled::empty()),
                balancers: Vec::new(),
                groups: Vec::new(),
            })),
            now_ms: Cell::new(now_ms()),
            epoch_seconds: Cell::new(u64::MAX),
            date: RefCell::new(Rc::from("")),
            random: Cell::new(seed),
            draining: Cell::new(false),
            lookups: Cell::new((0, 0)),
        };
        worker.tick();
        worker
    }

    /// Milliseconds on the node's clock as of the last tick: good enough for deadlines.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    pub fn date(&self) -> Rc<str> {
        self.date.borrow().clone()
    }

    /// splitmix64: fast and well mixed; nothing here has to be unpredictable.
    pub fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The name of a connection in logs.
    pub fn connection_trace(&self) -> u128 {
        u128::from(self.random()) << 64 | u128::from(self.random()) | 1
    }

    /// World time as of the last tick.
    pub fn epoch_seconds(&self) -> u64 {
        self.epoch_seconds.get()
    }

    /// A nonce from the system: unlike `random`, never seen before even across workers, nodes and restarts.
    pub fn nonce(&self) -> Option<[u8; 12]> {
        let mut nonce = [0u8; 12];
        // SAFETY: the pointer and length are those of `nonce`.
        let count = unsafe { libc::getrandom(nonce.as_mut_ptr().cast(), nonce.len(), 0) };
        (count == nonce.len() as isize).then_some(nonce)
    }

    /// Whether the listener's security groups let in the client `peer`, who is `known` by this address so far: its own,
    /// or the instance's whose program it turns out to be.
    pub fn lets_in(&self, listener: &Listener, peer: SocketAddr, known: &Cell<IpAddr>) -> bool {
        if listener.allows(known.get()) {
            return true;
        }
        if !listener.allows_instances() || known.get() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return false;
        }
        // It costs milliseconds: clients that are turned away again and again must not slow down the others.
        let (second, count) = self.lookups.get();
        let now = self.epoch_seconds();
        let count = if second == now { count + 1 } else { 1 };
        self.lookups.set((now, count));
        if count > MOST_LOOKUPS_A_SECOND {
            return false;
        }
        match caller::instance_address(peer, listener.port) {
            Some(address) => {
                known.set(address);
                listener.allows(address)
            }
            None => false,
        }
    }

    pub fn trace_seed(&self) -> TraceSeed {
        TraceSeed {
            epoch_seconds: self.epoch_seconds.get() as u32,
            random: u128::from(self.random()) << 64 | u128::from(self.random()),
        }
    }

    pub fn config(&self) -> Rc<Config> {
        self.config.borrow().clone()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Idle connections end now, the others with their next response.
    pub fn drain(&self) {
        self.draining.set(true);
        self.timers.drain(false);
        for group in self.config().groups.iter().flatten() {
            group.targets.iter().for_each(|target| target.forget_idle());
        }
    }

    /// Moves the clock and wakes what is late. Called every `TICK_MS`.
    pub fn tick(&self) {
        let now = now_ms();
        self.now_ms.set(now);
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        if self.epoch_seconds.replace(epoch) != epoch {
            *self.date.borrow_mut() = Rc::from(http_date(epoch));
        }
        self.timers.sweep(now);
        self.log.flush();
    }

    /// Closes pooled connections that the targets have closed, or that nobody used for the idle time-out.
    pub fn sweep_pools(&self) {
        let config = self.config();
        let mut idle_ms = vec![u64::MAX; config.groups.len()];
        for balancer in &config.compiled.load_balancers {
            for slot in balancer.group_slots() {
                let shortest = &mut idle_ms[slot as usize];
                *shortest = (*shortest).min(balancer.attributes.idle_timeout_ms);
            }
        }
        for (group, idle_ms) in config.groups.iter().zip(idle_ms) {
            let oldest = self.now_ms().saturating_sub(idle_ms);
            for target in group.iter().flat_map(|group| &group.targets) {
                target.sweep(self.now_ms(), oldest);
            }
        }
    }

    /// Takes a new configuration. Groups that did not change keep all of their runtime; targets that stay keep
    /// their pools. Costs what changed, not what there is: this runs between requests, on every worker.
    pub fn install(&self, compiled: Arc<Compiled>) {
        let before = self.config();
        let mut groups = Vec::with_capacity(compiled.target_groups.len());
        for (slot, group) in compiled.target_groups.iter().enumerate() {
            let same = before.groups.get(slot).and_then(Option::as_ref);
            let fresh = match (same, group) {
                (Some(same), Some(group)) if Arc::ptr_eq(&same.group, group) => Some(same.clone()),
                (same, group) => replace_group(same.map(Rc::as_ref), group.as_ref()),
            };
            groups.push(fresh);
        }
        let known: HashMap<*const LoadBalancer, &Rc<BalancerRuntime>> = before
            .balancers
            .iter()
            .map(|runtime| (Arc::as_ptr(&runtime.balancer), runtime))
            .collect();
        let balancers =
            compiled
                .load_balancers
                .iter()
                .map(|balancer| match known.get(&Arc::as_ptr(balancer)) {
                    Some(runtime) => Rc::clone(runtime),
                    None => Rc::new(BalancerRuntime {
                        balancer: balancer.clone(),
                        cells: self.counters.balancer(self.index, &balancer.source.arn),
                    }),
                });
        let config = Config {
            balancers: balancers.collect(),
            groups,
            compiled: compiled.clone(),
        };
        *self.config.borrow_mut() = Rc::new(config);
        if !compiled.cut.is_empty() {
            let cut: Vec<usize> = compiled
                .cut
                .iter()
                .map(|state| Arc::as_ptr(state) as usize)
                .collect();
            self.timers.cut(&cut);
        }
    }
}

/// The runtime of the group that now has the slot of `before`. A target is the same if its state is.
fn replace_group(
    before: Option<&GroupRuntime>,
    group: Option<&Arc<TargetGroup>>,
) -> Option<Rc<GroupRuntime>> {
    let before = before.map_or(&[][..], |before| &before.targets);
    let mut known: HashMap<usize, &Rc<TargetRuntime>> = before
        .iter()
        .map(|target| (Arc::as_ptr(&target.state) as usize, target))
        .collect();
    let fresh = group.map(|group| {
        let targets = group.targets.iter().map(|target| {
            let runtime = match known.remove(&(Arc::as_ptr(&target.state) as usize)) {
                Some(runtime) => runtime.clone(),
                None => Rc::new(TargetRuntime::new(target.state.clone())),
            };
            runtime.set_draining(target.draining);
            if target.source.refused {
                runtime.forget_idle();
            }
            runtime
        });
        Rc::new(GroupRuntime {
            group: group.clone(),
            chooser: RefCell::default(),
            targets: targets.collect(),
        })
    });
    for gone in known.values() {
        // it has left: connections still in flight on it are not kept afterwards
        gone.set_draining(true);
    }
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;
    use elba_core::compile::compile;
    use elba_core::protocol;

    fn snapshot(ids: &[&str]) -> protocol::Snapshot {
        protocol::Snapshot {
            target_groups: vec![protocol::TargetGroup {
                arn: "tg".into(),
                targets: ids
                    .iter()
                    .map(|id| protocol::Target {
                        id: (*id).into(),
                        port: 80,
                        address: "127.0.0.1".into(),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn what_stays_keeps_its_runtime() {
        let worker = Worker::new(0, Counters::new(), 1);
        let first = Arc::new(compile(&snapshot(&["a", "b"]), None).unwrap());
        worker.install(first.clone());
        let one = worker.config();
        let second = Arc::new(compile(&snapshot(&["b", "c"]), Some(&first)).unwrap());
        worker.install(second.clone());
        let two = worker.config();
        let target =
            |config: &Config, index: usize| config.groups[0].as_ref().unwrap().targets[index].clone();
        assert!(Rc::ptr_eq(&target(&one, 1), &target(&two, 0)));
        assert!(!Rc::ptr_eq(&target(&one, 1), &target(&two, 1)));
        worker.install(Arc::new(compile(&snapshot(&["b", "c"]), Some(&second)).unwrap()));
        assert!(Rc::ptr_eq(
            two.groups[0].as_ref().unwrap(),
            worker.config().groups[0].as_ref().unwrap()
        ));
    }

    #[test]
    fn random_numbers_differ() {
        let worker = Worker::new(0, Counters::new(), 7);
        let numbers: std::collections::HashSet<u64> = (0..1000).map(|_| worker.random()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}
