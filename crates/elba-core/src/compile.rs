//! A snapshot made ready for the request path: names resolved, numbers parsed, patterns compiled, once per version.
//!
//! `compile` is pure: it has no effect on anything until the node installs its result. `Compiled` is immutable and
//! shared by `Arc`; only `TargetState` and `GroupState` change, by relaxed atomics, and they live on from version to
//! version, so that a new rule disturbs neither health nor the count of outstanding requests.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::Arc;

use crate::desync::DesyncMode;
use crate::forwarded::XffMode;
use crate::protocol;
use crate::routing::Router;
use crate::stickiness::CookieKeys;
use crate::tls::Tls;

/// Why a snapshot cannot be taken at all. What concerns one listener or target only is a problem
/// (`Compiled::problems`) and leaves the rest working.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CompileError {
    #[error("two {kind}s have the ARN {arn}")]
    Duplicate { kind: &'static str, arn: String },
}

/// Health of a target as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    Initial = 0,
    Healthy = 1,
    Unhealthy = 2,
    /// health checks are disabled: it takes traffic
    Unavailable = 3,
}

impl Health {
    /// The state as DescribeTargetHealth names it.
    pub fn name(self) -> &'static str {
        match self {
            Health::Initial => "initial",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Unavailable => "unavailable",
        }
    }

    /// None for a name that says nothing about health ("", draining, unused).
    pub fn parse(name: &str) -> Option<Health> {
        Some(match name {
            "initial" => Health::Initial,
            "healthy" => Health::Healthy,
            "unhealthy" => Health::Unhealthy,
            "unavailable" => Health::Unavailable,
            _ => return None,
        })
    }

    pub fn takes_traffic(self) -> bool {
        matches!(self, Health::Healthy | Health::Unavailable)
    }

    fn from_u8(value: u8) -> Health {
        match value {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            3 => Health::Unavailable,
            _ => Health::Initial,
        }
    }
}

/// What all targets of a group share and what lasts as long as the group (by ARN).
#[derive(Debug, Default)]
pub struct GroupState {
    /// changes whenever the health of a target does: workers then make their list of candidates anew
    generation: AtomicU64,
    /// the node's round robin: one rotation for all workers, so that N requests over n targets spread evenly
    turn: AtomicU64,
}

impl GroupState {
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Relaxed)
    }
}

/// One target's moving parts. Kept across versions while (group ARN, key, address) stay the same.
#[derive(Debug)]
pub struct TargetState {
    /// `<id>:<port>`, as reports name it
    pub key: String,
    pub address: SocketAddr,
    group: Arc<GroupState>,
    health: AtomicU8,
    outstanding: AtomicU32,
    /// set when a draining target has left its group: requests in flight on it are to be cut (502)
    cut: AtomicBool,
    /// slow start: when the ramp began, in ms of the node's own clock; 0 = no ramp
    ramp_from_ms: AtomicU64,
}

impl TargetState {
    fn new(key: String, address: SocketAddr, group: Arc<GroupState>, health: Health) -> TargetState {
        TargetState {
            key,
            address,
            group,
            health: AtomicU8::new(health as u8),
            outstanding: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            ramp_from_ms: AtomicU64::new(0),
        }
    }

    pub fn health(&self) -> Health {
        Health::from_u8(self.health.load(Relaxed))
    }

    /// Takes effect with the next request of every worker. For groups with slow start use `TargetGroup::set_health`.
    pub fn set_health(&self, health: Health) {
        if self.health.swap(health as u8, Relaxed) != health as u8 {
            self.group.generation.fetch_add(1, Relaxed);
        }
    }

    /// Requests (and open tunnels) in flight, all workers together.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Relaxed)
    }

    pub fn request_began(&self) {
        self.outstanding.fetch_add(1, Relaxed);
    }

    pub fn request_ended(&self) {
        self.outstanding.fetch_sub(1, Relaxed);
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// Called by the node when it installs a version that lists this target in `Compiled::cut`.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Relaxed);
    }

    pub fn ramp_from_ms(&self) -> u64 {
        self.ramp_from_ms.load(Relaxed)
    }
}

/// A target in one version of its group.
#[derive(Debug, Clone)]
pub struct Target {
    pub state: Arc<TargetState>,
    /// as the control plane sent it (zone, host_header, known_health …)
    pub source: protocol::Target,
    pub draining: bool,
}

/// How a group picks among its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
}

#[derive(Debug)]
pub struct TargetGroup {
    pub source: protocol::TargetGroup,
    pub state: Arc<GroupState>,
    /// all of them, draining ones too, in the order of the snapshot
    pub targets: Vec<Target>,
    /// indexes into `targets` that this node may give requests to when they are healthy: not draining, and in its
    /// own zone if cross-zone is off
    pub eligible: Vec<u32>,
    pub algorithm: Algorithm,
    /// this node can send requests to its targets (else 502, and `Compiled::problems` says why)
    pub is_supported: bool,
    /// lookups of sticky cookies
    by_key: HashMap<String, u32>,
}

impl TargetGroup {
    pub fn target(&self, key: &str) -> Option<&Target> {
        self.by_key.get(key).map(|index| &self.targets[*index as usize])
    }

    pub fn target_index(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Whether requests go to the eligible targets regardless of their health, `healthy` of them being well
    /// (target_group_health.unhealthy_state_routing.*: count or percentage, whichever is breached first).
    pub fn fails_open(&self, healthy: usize) -> bool {
        if healthy < self.source.routing_minimum_healthy_count as usize {
            return true;
        }
        match self.source.routing_minimum_healthy_percentage {
            Some(percent) => (healthy as f64) * 100.0 < percent * self.eligible.len() as f64,
            None => false,
        }
    }

    /// Sets the health of the target with this key and starts or ends its slow start. `now_ms` is the node's own
    /// clock (never 0). A target ramps when it becomes healthy while another healthy target is past its ramp.
    pub fn set_health(&self, key: &str, health: Health, now_ms: u64) {
        let Some(target) = self.target(key) else { return };
        let before = target.state.health();
        if before != health {
            let ramps = self.source.slow_start_seconds > 0.0
                && health == Health::Healthy
                && self.targets.iter().any(|other| {
                    !Arc::ptr_eq(&other.state, &target.state)
                        && !other.draining
                        && other.state.health().takes_traffic()
                        && self.ramp_share(&other.state, now_ms) >= 1.0
                });
            target
                .state
                .ramp_from_ms
                .store(if ramps { now_ms } else { 0 }, Relaxed);
        }
        target.state.set_health(health);
    }

    /// The share of its normal traffic that a target in slow start gets, 0 to 1. Durations are those of the
    /// snapshot divided by `scale` beforehand (see `compile`).
    pub fn ramp_share(&self, state: &TargetState, now_ms: u64) -> f64 {
        let from = state.ramp_from_ms();
        if from == 0 || self.source.slow_start_seconds <= 0.0 {
            return 1.0;
        }
        let elapsed = now_ms.saturating_sub(from) as f64 / 1000.0;
        (elapsed / self.source.slow_start_seconds).min(1.0)
    }
}

/// Attributes of a load balancer that the request path reads, parsed. Source: alb.md section 17.1.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancerAttributes {
    pub idle_timeout_ms: u64,
    pub client_keep_alive_ms: u64,
    pub desync_mode: DesyncMode,
    pub drop_invalid_header_fields: bool,
    pub preserve_host_header: bool,
    pub xff_client_port: bool,
    pub xff_mode: XffMode,
    pub tls_headers: bool,
    pub http2: bool,
    /// None = off
    pub access_log: Option<AccessLog>,
}

/// access_logs.s3.*: where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    pub bucket: String,
    pub prefix: String,
}

impl LoadBalancerAttributes {
    fn parse(attributes: &std::collections::BTreeMap<String, String>, problems: &mut Vec<String>) -> Self {
        let mut flag = |key: &str, default: bool| match attributes.get(key).map(String::as_str) {
            Some("true") => true,
            Some("false") => false,
            None | Some("") => default,
            Some(other) => {
                problems.push(format!("attribute {key}={other} is neither true nor false"));
                default
            }
        };
        let drop_invalid_header_fields = flag("routing.http.drop_invalid_header_fields.enabled", false);
        let preserve_host_header = flag("routing.http.preserve_host_header.enabled", false);
        let xff_client_port = flag("routing.http.xff_client_port.enabled", false);
        let tls_headers = flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", false);
        let http2 = flag("routing.http2.enabled", true);
        let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        let access_log = flag("access_logs.s3.enabled", false).then(|| AccessLog {
            bucket: text("access_logs.s3.bucket"),
            prefix: text("access_logs.s3.prefix"),
        });
        let mut seconds = |key: &str, default: u64| match attributes.get(key) {
            None => default,
            Some(text) => text.parse::<u64>().unwrap_or_else(|_| {
                problems.push(format!("attribute {key}={text} is not a number of seconds"));
                default
            }),
        };
        LoadBalancerAttributes {
            idle_timeout_ms: seconds("idle_timeout.timeout_seconds", 60).max(1) * 1000,
            client_keep_alive_ms: seconds("client_keep_alive.seconds", 3600).max(1) * 1000,
            desync_mode: DesyncMode::parse(
                attributes
                    .get("routing.http.desync_mitigation_mode")
                    .map(String::as_str)
                    .unwrap_or("defensive"),
            ),
            drop_invalid_header_fields,
            preserve_host_header,
            xff_client_port,
            xff_mode: XffMode::parse(
                attributes
                    .get("routing.http.xff_header_processing.mode")
                    .map(String::as_str)
                    .unwrap_or("append"),
            ),
            tls_headers,
            http2,
            access_log,
        }
    }
}

/// A network, for source-ip conditions and security groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// None when it is not an address or `address/prefix`.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().ok()?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(text) => text.parse::<u8>().ok().filter(|bits| *bits <= longest)?,
            None => longest,
        };
        Some(Cidr { network, prefix })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = (u32::MAX).checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = (u128::MAX).checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

/// One listener with its rules. The node serves it if `supported`; otherwise `Compiled::problems` says why not.
#[derive(Debug)]
pub struct Listener {
    pub arn: String,
    pub port: u16,
    pub protocol: String,
    pub supported: bool,
    /// of an HTTPS listener that is supported
    pub tls: Option<Arc<Tls>>,
    pub router: Router,
    /// `Server: awselb/2.0` on answers of our own
    pub server_header: bool,
    /// header fields added to every response: name as sent, name in lower case, value
    pub response_headers: Vec<(String, String, String)>,
}

#[derive(Debug)]
pub struct LoadBalancer {
    pub source: protocol::LoadBalancer,
    pub attributes: LoadBalancerAttributes,
    pub listeners: Vec<Listener>,
    /// zone and address
    pub addresses: Vec<(String, IpAddr)>,
    pub allowed_sources: Option<Vec<Cidr>>,
    pub cookie_keys: CookieKeys,
    problems: Vec<String>,
    /// every target group its rules name, with the slot it was resolved to
    references: Vec<(String, Option<u32>)>,
}

impl LoadBalancer {
    pub fn listener(&self, port: u16) -> Option<(usize, &Listener)> {
        self.listeners
            .iter()
            .enumerate()
            .find(|(_, listener)| listener.port == port)
    }

    /// The slots of the target groups that its rules name.
    pub fn group_slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.references.iter().filter_map(|(_, slot)| *slot)
    }

    pub fn address_in(&self, zone: &str) -> Option<IpAddr> {
        self.addresses
            .iter()
            .find(|(name, _)| name == zone)
            .map(|(_, address)| *address)
    }

    pub fn allows(&self, client: IpAddr) -> bool {
        match &self.allowed_sources {
            None => true,
            Some(networks) => networks.iter().any(|network| network.contains(client)),
        }
    }
}

/// What one bound socket serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Serves {
    Listener {
        load_balancer: String,
        port: u16,
    },
    /// every load balancer with a listener on this port, chosen by Host header (`Compiled::find_front_door`)
    FrontDoor {
        port: u16,
    },
}

/// An address that the node has to listen on while this version is in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bind {
    pub address: SocketAddr,
    pub serves: Serves,
}

/// A load balancer's listener in a `Compiled`, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub load_balancer: u32,
    pub listener: u32,
}

#[derive(Debug)]
pub struct Compiled {
    pub version: u64,
    pub node: protocol::Node,
    /// in the order of the snapshot
    pub load_balancers: Vec<Arc<LoadBalancer>>,
    /// by slot; a group keeps its slot across versions
    pub target_groups: Vec<Option<Arc<TargetGroup>>>,
    /// targets whose in-flight requests the node cuts when it installs this version
    pub cut: Vec<Arc<TargetState>>,
    /// for people; each one leaves the rest of the snapshot in force
    pub problems: Vec<String>,
    load_balancer_by_arn: HashMap<String, u32>,
    slot_by_arn: HashMap<String, u32>,
    /// load balancers that use the group in this slot
    users: Vec<Vec<u32>>,
    by_dns_name: HashMap<String, u32>,
    by_port: HashMap<u16, Vec<Place>>,
}

impl Compiled {
    /// What a node serves before it has been told anything.
    pub fn empty() -> Compiled {
        compile(&protocol::Snapshot::default(), None).unwrap_or_else(|_| Compiled {
            version: 0,
            node: Default::default(),
            load_balancers: Vec::new(),
            target_groups: Vec::new(),
            cut: Vec::new(),
            problems: Vec::new(),
            load_balancer_by_arn: HashMap::new(),
            slot_by_arn: HashMap::new(),
            users: Vec::new(),
            by_dns_name: HashMap::new(),
            by_port: HashMap::new(),
        })
    }

    pub fn load_balancer(&self, arn: &str) -> Option<&Arc<LoadBalancer>> {
        self.load_balancer_by_arn
            .get(arn)
            .map(|index| &self.load_balancers[*index as usize])
    }

    pub fn target_group(&self, arn: &str) -> Option<&Arc<TargetGroup>> {
        self.slot_by_arn
            .get(arn)
            .and_then(|slot| self.group_in_slot(*slot))
    }

    pub fn group_in_slot(&self, slot: u32) -> Option<&Arc<TargetGroup>> {
        self.target_groups.get(slot as usize).and_then(Option::as_ref)
    }

    /// All groups, with the load balancers whose rules name them (none = targets are "unused").
    pub fn groups(
        &self,
    ) -> impl Iterator<Item = (&Arc<TargetGroup>, impl Iterator<Item = &Arc<LoadBalancer>>)> {
        self.target_groups
            .iter()
            .enumerate()
            .filter_map(move |(slot, group)| {
                let users = self.users[slot]
                    .iter()
                    .map(|index| &self.load_balancers[*index as usize]);
                group.as_ref().map(|group| (group, users))
            })
    }

    pub fn find_listener(&self, load_balancer: &str, port: u16) -> Option<Place> {
        let index = *self.load_balancer_by_arn.get(load_balancer)?;
        let (listener, _) = self.load_balancers[index as usize].listener(port)?;
        Some(Place {
            load_balancer: index,
            listener: listener as u32,
        })
    }

    /// The load balancer that a request with this Host (port and case ignored) means on the front door of `port`:
    /// the one whose DNS name it is; else the only one with a listener on that port; else the only one that has a
    /// rule on that listener whose host-header condition matches. None = nobody can tell; the request is then
    /// answered 421 (Misdirected Request), for the wrong load balancer's 404 would be more puzzling. With `tls` only TLS
    /// listeners count, `host` is the name of the client hello, and the last resort is the only one with a certificate
    /// for it; without, only plain ones.
    pub fn find_front_door(&self, port: u16, host: Option<&[u8]>, tls: bool) -> Option<Place> {
        let mut places = self.by_port.get(&port)?.clone();
        places.retain(|place| self.listener_at(*place).tls.is_some() == tls);
        let host = host.map(|host| crate::forwarded::without_port(host).to_ascii_lowercase());
        if let Some(index) = host
            .as_deref()
            .and_then(|host| std::str::from_utf8(host).ok())
            .and_then(|host| self.by_dns_name.get(host.trim_end_matches('.')))
        {
            return places.iter().find(|place| place.load_balancer == *index).copied();
        }
        if let [only] = places.as_slice() {
            return Some(*only);
        }
        let host = host?;
        let mut matching = places
            .iter()
            .filter(|place| self.listener_at(**place).router.names_host(&host));
        match (matching.next(), matching.next()) {
            (Some(place), None) => Some(*place),
            (None, None) if tls => {
                let name = std::str::from_utf8(&host).ok()?;
                let named = |place: &&Place| {
                    let tls = self.listener_at(**place).tls.as_ref();
                    tls.is_some_and(|tls| tls.covers(name))
                };
                let mut matching = places.iter().filter(named);
                match (matching.next(), matching.next()) {
                    (Some(place), None) => Some(*place),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether a listener on this port speaks TLS (plain HTTP).
    pub fn speaks(&self, port: u16, tls: bool) -> bool {
        let places = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        places
            .iter()
            .any(|place| self.listener_at(*place).tls.is_some() == tls)
    }

    pub fn load_balancer_at(&self, place: Place) -> &Arc<LoadBalancer> {
        &self.load_balancers[place.load_balancer as usize]
    }

    pub fn listener_at(&self, place: Place) -> &Listener {
        &self.load_balancers[place.load_balancer as usize].listeners[place.listener as usize]
    }

    /// Every address that this node listens on for the sake of this version: each supported listener on its load
    /// balancer's address in the node's zone, and each port once on the front door. Sorted, without duplicates.
    pub fn binds(&self) -> Vec<Bind> {
        let mut binds = Vec::new();
        for balancer in &self.load_balancers {
            let Some(address) = balancer.address_in(&self.node.zone) else {
                continue;
            };
            for listener in balancer.listeners.iter().filter(|listener| listener.supported) {
                binds.push(Bind {
                    address: SocketAddr::new(address, listener.port),
                    serves: Serves::Listener {
                        load_balancer: balancer.source.arn.clone(),
                        port: listener.port,
                    },
                });
            }
        }
        if let Ok(address) = self.node.front_door.parse::<IpAddr>() {
            binds.extend(self.by_port.keys().map(|port| Bind {
                address: SocketAddr::new(address, *port),
                serves: Serves::FrontDoor { port: *port },
            }));
        }
        binds.sort();
        binds.dedup();
        binds
    }
}

/// The snapshot ready for use. What is equal to its counterpart in `previous` is taken over as it is; the moving
/// parts of a target are taken over while its group, key and address stay.
///
/// # Errors
/// An ARN that occurs twice: the snapshot says two things at once. Everything else that cannot be served is left
/// out and named in `problems`.
pub fn compile(snapshot: &protocol::Snapshot, previous: Option<&Compiled>) -> Result<Compiled, CompileError> {
    compile_where(snapshot, previous, &|_| true)
}

/// As `compile`, when it is known that only the load balancers and target groups whose ARNs `may_differ` from
/// `previous`: the others are not even compared, so that a small change to a large snapshot costs little.
///
/// # Errors
/// As `compile`.
pub fn compile_where(
    snapshot: &protocol::Snapshot,
    previous: Option<&Compiled>,
    may_differ: &dyn Fn(&str) -> bool,
) -> Result<Compiled, CompileError> {
    let scale = snapshot.node.clock.scale;
    let same_node = previous.is_some_and(|before| {
        before.node.zone == snapshot.node.zone && before.node.clock.scale == snapshot.node.clock.scale
    });
    let mut problems = Vec::new();
    let mut cut = Vec::new();
    let (slot_by_arn, slots) = assign_slots(snapshot, previous)?;
    let mut target_groups: Vec<Option<Arc<TargetGroup>>> = (0..slots).map(|_| None).collect();
    for group in &snapshot.target_groups {
        let before = previous.and_then(|before| before.target_group(&group.arn));
        let kept = before.filter(|_| same_node && !may_differ(&group.arn));
        let compiled = match kept {
            Some(kept) => kept.clone(),
            None => {
                let unscaled = unscaled_group(group, scale);
                match before {
                    Some(before) if same_node && before.source == unscaled => before.clone(),
                    _ => Arc::new(compile_group(
                        unscaled,
                        &snapshot.node.zone,
                        before.map(Arc::as_ref),
                        &mut cut,
                        &mut problems,
                    )),
                }
            }
        };
        target_groups[slot_by_arn[&group.arn] as usize] = Some(compiled);
    }
    let resolve = |arn: &str| slot_by_arn.get(arn).copied();
    let mut load_balancers = Vec::with_capacity(snapshot.load_balancers.len());
    let mut load_balancer_by_arn = HashMap::new();
    let mut by_dns_name = HashMap::new();
    let mut by_port: HashMap<u16, Vec<Place>> = HashMap::new();
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); slots];
    for (index, balancer) in snapshot.load_balancers.iter().enumerate() {
        let index = index as u32;
        if load_balancer_by_arn.insert(balancer.arn.clone(), index).is_some() {
            return Err(CompileError::Duplicate {
                kind: "load balancer",
                arn: balancer.arn.clone(),
            });
        }
        let before = previous
            .and_then(|before| before.load_balancer(&balancer.arn))
            .filter(|before| {
                same_node
                    && (!may_differ(&balancer.arn) || before.source == *balancer)
                    && before.references.iter().all(|(arn, slot)| resolve(arn) == *slot)
            });
        let compiled = match before {
            Some(before) => before.clone(),
            None => {
                let known = previous.and_then(|before| before.load_balancer(&balancer.arn));
                Arc::new(compile_load_balancer(
                    balancer,
                    scale,
                    &resolve,
                    known.map(Arc::as_ref),
                ))
            }
        };
        problems.extend(compiled.problems.iter().cloned());
        if !balancer.dns_name.is_empty() {
            by_dns_name.insert(balancer.dns_name.to_ascii_lowercase(), index);
        }
        for (listener_index, listener) in compiled.listeners.iter().enumerate() {
            if listener.supported {
                by_port.entry(listener.port).or_default().push(Place {
                    load_balancer: index,
                    listener: listener_index as u32,
                });
            }
        }
        for slot in compiled.references.iter().filter_map(|(_, slot)| *slot) {
            if !users[slot as usize].contains(&index) {
                users[slot as usize].push(index);
            }
        }
        load_balancers.push(compiled);
    }
    Ok(Compiled {
        version: snapshot.version,
        node: snapshot.node.clone(),
        load_balancers,
        target_groups,
        cut,
        problems,
        load_balancer_by_arn,
        slot_by_arn,
        users,
        by_dns_name,
        by_port,
    })
}

/// Slots by ARN: a group that was there keeps its own, new ones take free ones.
fn assign_slots(
    snapshot: &protocol::Snapshot,
    previous: Option<&Compiled>,
) -> Result<(HashMap<String, u32>, usize), CompileError> {
    let mut slots: HashMap<String, u32> = HashMap::with_capacity(snapshot.target_groups.len());
    let mut taken = vec![false; previous.map_or(0, |before| before.target_groups.len())];
    let mut fresh = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for group in &snapshot.target_groups {
        if !seen.insert(group.arn.as_str()) {
            return Err(CompileError::Duplicate {
                kind: "target group",
                arn: group.arn.clone(),
            });
        }
        match previous.and_then(|before| before.slot_by_arn.get(&group.arn)) {
            Some(slot) => {
                taken[*slot as usize] = true;
                slots.insert(group.arn.clone(), *slot);
            }
            None => fresh.push(group.arn.clone()),
        }
    }
    let mut next = 0;
    for arn in fresh {
        while taken.get(next) == Some(&true) {
            next += 1;
        }
        if next == taken.len() {
            taken.push(true);
        } else {
            taken[next] = true;
        }
        slots.insert(arn, next as u32);
    }
    Ok((slots, taken.len()))
}

fn divided(seconds: f64, scale: f64) -> f64 {
    if scale > 0.0 {
        seconds / scale
    } else {
        seconds
    }
}

/// The group with its [scaled] durations of the request path in real seconds. Health-check durations are left as
/// they came: the health checker divides them itself.
fn unscaled_group(group: &protocol::TargetGroup, scale: f64) -> protocol::TargetGroup {
    let mut group = group.clone();
    group.slow_start_seconds = divided(group.slow_start_seconds, scale);
    group.stickiness_seconds = divided(group.stickiness_seconds, scale);
    group
}

fn compile_group(
    source: protocol::TargetGroup,
    zone: &str,
    before: Option<&TargetGroup>,
    cut: &mut Vec<Arc<TargetState>>,
    problems: &mut Vec<String>,
) -> TargetGroup {
    let state = before.map(|before| before.state.clone()).unwrap_or_default();
    // targets, order or zones may have changed: candidate lists are stale in any case
    state.generation.fetch_add(1, Relaxed);
    let mut targets: Vec<Target> = Vec::with_capacity(source.targets.len());
    let mut by_key: HashMap<String, u32> = HashMap::with_capacity(source.targets.len());
    for target in &source.targets {
        let key = format!("{}:{}", target.id, target.port);
        let Ok(address) = target.address.parse::<IpAddr>() else {
            problems.push(format!(
                "target {key} of {}: {:?} is not an IP address",
                source.arn, target.address
            ));
            continue;
        };
        let address = SocketAddr::new(address, target.port);
        if by_key.contains_key(&key) {
            problems.push(format!("target {key} of {} is listed twice", source.arn));
            continue;
        }
        let kept = before
            .and_then(|before| before.target(&key))
            .filter(|known| known.state.address == address)
            .map(|known| known.state.clone());
        let health = if source.health_check.enabled {
            Health::parse(&target.known_health).unwrap_or(Health::Initial)
        } else {
            Health::Unavailable
        };
        let state =
            kept.unwrap_or_else(|| Arc::new(TargetState::new(key.clone(), address, state.clone(), health)));
        by_key.insert(key, targets.len() as u32);
        targets.push(Target {
            state,
            draining: target.state == "draining",
            source: target.clone(),
        });
    }
    if let Some(before) = before {
        cut.extend(
            before
                .targets
                .iter()
                .filter(|gone| gone.draining && !by_key.contains_key(&gone.state.key))
                .map(|gone| gone.state.clone()),
        );
    }
    let eligible = (0..targets.len() as u32)
        .filter(|index| {
            let target = &targets[*index as usize];
            let zone_fits = source.cross_zone
                || target.source.zone.is_empty()
                || target.source.zone == "all"
                || target.source.zone == zone;
            !target.draining && zone_fits
        })
        .collect();
    let algorithm = match source.algorithm.as_str() {
        "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
        "weighted_random" => Algorithm::WeightedRandom,
        "round_robin" => Algorithm::RoundRobin,
        other => {
            problems.push(format!(
                "{}: algorithm {other:?} is not known, round_robin is used",
                source.arn
            ));
            Algorithm::RoundRobin
        }
    };
    let is_supported = source.protocol == "HTTP" && source.target_type != "lambda";
    if !is_supported {
        problems.push(format!(
            "target group {}: {} {} targets are not served by this node",
            source.arn, source.protocol, source.target_type
        ));
    }
    TargetGroup {
        source,
        state,
        targets,
        eligible,
        algorithm,
        is_supported,
        by_key,
    }
}

fn compile_load_balancer(
    source: &protocol::LoadBalancer,
    scale: f64,
    resolve: &dyn Fn(&str) -> Option<u32>,
    before: Option<&LoadBalancer>,
) -> LoadBalancer {
    let mut problems = Vec::new();
    let attributes = LoadBalancerAttributes::parse(&source.attributes, &mut problems);
    let mut references: Vec<(String, Option<u32>)> = Vec::new();
    let mut listeners = Vec::with_capacity(source.listeners.len());
    for listener in &source.listeners {
        let mut note = |arn: &str| {
            let slot = resolve(arn);
            if !references.iter().any(|(known, _)| known == arn) {
                references.push((arn.to_owned(), slot));
            }
            slot
        };
        let router = Router::compile(listener, scale, &mut note, &mut problems);
        let is_application = source.kind == "application";
        let mut supported = is_application && listener.protocol == "HTTP";
        let mut tls = None;
        if is_application && listener.protocol == "HTTPS" {
            let known = before
                .and_then(|before| before.listeners.iter().find(|known| known.arn == listener.arn))
                .and_then(|known| known.tls.as_ref());
            match Tls::compile(listener, known, &mut problems) {
                Ok(compiled) => {
                    tls = Some(compiled);
                    supported = true;
                }
                Err(reason) => {
                    problems.push(format!("listener {} is not served: {reason}", listener.arn));
                }
            }
        } else if !supported {
            problems.push(format!(
                "listener {}: {} listeners of {} load balancers are not served by this node",
                listener.arn, listener.protocol, source.kind
            ));
        }
        listeners.push(Listener {
            arn: listener.arn.clone(),
            port: listener.port,
            protocol: listener.protocol.clone(),
            supported,
            tls,
            router,
            server_header: listener
                .attributes
                .get("routing.http.response.server.enabled")
                .is_none_or(|value| value != "false"),
            response_headers: response_headers(&listener.attributes),
        });
    }
    let mut addresses = Vec::with_capacity(source.addresses.len());
    for place in &source.addresses {
        match place.address.parse::<IpAddr>() {
            Ok(address) => addresses.push((place.zone.clone(), address)),
            Err(_) => problems.push(format!(
                "{}: {:?} is not an IP address (zone {})",
                source.arn, place.address, place.zone
            )),
        }
    }
    let allowed_sources = source.allowed_sources.as_ref().map(|networks| {
        networks
            .iter()
            .filter_map(|text| {
                let parsed = Cidr::parse(text);
                if parsed.is_none() {
                    problems.push(format!("{}: {text:?} is not a CIDR", source.arn));
                }
                parsed
            })
            .collect()
    });
    let cookie_keys = CookieKeys::parse(&source.cookie_keys, &mut problems);
    LoadBalancer {
        source: source.clone(),
        attributes,
        listeners,
        addresses,
        allowed_sources,
        cookie_keys,
        problems,
        references,
    }
}

/// The listener's response-header attributes that are set. Source: alb.md section 17.3.
fn response_headers(
    attributes: &std::collections::BTreeMap<String, String>,
) -> Vec<(String, String, String)> {
    const NAMES: [(&str, &str); 10] = [
        ("strict_transport_security", "Strict-Transport-Security"),
        ("access_control_allow_origin", "Access-Control-Allow-Origin"),
        ("access_control_allow_methods", "Access-Control-Allow-Methods"),
        ("access_control_allow_headers", "Access-Control-Allow-Headers"),
        (
            "access_control_allow_credentials",
            "Access-Control-Allow-Credentials",
        ),
        ("access_control_expose_headers", "Access-Control-Expose-Headers"),
        ("access_control_max_age", "Access-Control-Max-Age"),
        ("content_security_policy", "Content-Security-Policy"),
        ("x_content_type_options", "X-Content-Type-Options"),
        ("x_frame_options", "X-Frame-Options"),
    ];
    NAMES
        .iter()
        .filter_map(|(attribute, name)| {
            let value = attributes.get(&format!("routing.http.response.{attribute}.header_value"))?;
            let safe = !value.is_empty() && value.bytes().all(|byte| byte >= 0x20 && byte != 0x7f);
            safe.then(|| ((*name).to_owned(), name.to_ascii_lowercase(), value.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: &str, state: &str) -> protocol::Target {
        protocol::Target {
            id: id.into(),
            port: 80,
            address: "127.0.0.9".into(),
            state: state.into(),
            ..Default::default()
        }
    }

    fn group(arn: &str, targets: Vec<protocol::Target>) -> protocol::TargetGroup {
        protocol::TargetGroup {
            arn: arn.into(),
            targets,
            ..Default::default()
        }
    }

    fn balancer(name: &str, ports: &[u16], group: &str) -> protocol::LoadBalancer {
        let listener = |port: &u16| protocol::Listener {
            arn: format!("{name}-{port}"),
            port: *port,
            rules: vec![protocol::Rule {
                actions: vec![protocol::Action {
                    kind: "forward".into(),
                    target_groups: vec![protocol::WeightedTargetGroup {
                        arn: group.into(),
                        weight: 1,
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        protocol::LoadBalancer {
            arn: name.into(),
            dns_name: format!("{name}.elb.localhost"),
            addresses: vec![protocol::ZoneAddress {
                zone: "a".into(),
                address: "127.0.1.1".into(),
            }],
            listeners: ports.iter().map(listener).collect(),
            ..Default::default()
        }
    }

    fn snapshot(
        load_balancers: Vec<protocol::LoadBalancer>,
        target_groups: Vec<protocol::TargetGroup>,
    ) -> protocol::Snapshot {
        protocol::Snapshot {
            node: protocol::Node {
                zone: "a".into(),
                ..Default::default()
            },
            load_balancers,
            target_groups,
            ..Default::default()
        }
    }

    #[test]
    fn state_outlives_versions() {
        let one = snapshot(
            vec![balancer("lb", &[80], "tg")],
            vec![group("tg", vec![target("i-1", "active")])],
        );
        let first = compile(&one, None).unwrap();
        let state = first.target_group("tg").unwrap().targets[0].state.clone();
        state.set_health(Health::Healthy);
        state.request_began();
        let same = compile(&one, Some(&first)).unwrap();
        assert!(Arc::ptr_eq(
            first.target_group("tg").unwrap(),
            same.target_group("tg").unwrap()
        ));
        assert!(Arc::ptr_eq(&first.load_balancers[0], &same.load_balancers[0]));

        let mut two = one.clone();
        two.target_groups.insert(0, group("other", vec![]));
        two.target_groups[1].targets.push(target("i-2", "active"));
        let second = compile(&two, Some(&same)).unwrap();
        let kept = &second.target_group("tg").unwrap().targets[0].state;
        assert!(Arc::ptr_eq(kept, &state));
        assert_eq!((kept.health(), kept.outstanding()), (Health::Healthy, 1));
        assert!(
            Arc::ptr_eq(&first.load_balancers[0], &second.load_balancers[0]),
            "the group kept its slot"
        );

        two.target_groups[1].targets[0].address = "127.0.0.10".into();
        let third = compile(&two, Some(&second)).unwrap();
        assert!(!Arc::ptr_eq(
            &third.target_group("tg").unwrap().targets[0].state,
            &state
        ));
    }

    #[test]
    fn a_load_balancer_follows_its_groups() {
        let without = snapshot(vec![balancer("lb", &[80], "tg")], vec![]);
        let first = compile(&without, None).unwrap();
        let with = snapshot(vec![balancer("lb", &[80], "tg")], vec![group("tg", vec![])]);
        let second = compile(&with, Some(&first)).unwrap();
        assert_eq!(second.load_balancers[0].references, [("tg".to_owned(), Some(0))]);
        assert_eq!(second.groups().next().unwrap().1.count(), 1);
    }

    #[test]
    fn a_draining_target_that_leaves_is_cut() {
        let draining = snapshot(
            vec![],
            vec![group(
                "tg",
                vec![target("i-1", "draining"), target("i-2", "active")],
            )],
        );
        let first = compile(&draining, None).unwrap();
        let gone = compile(&snapshot(vec![], vec![group("tg", vec![])]), Some(&first)).unwrap();
        assert_eq!(
            gone.cut
                .iter()
                .map(|state| state.key.as_str())
                .collect::<Vec<_>>(),
            ["i-1:80"]
        );
        let removed = compile(&snapshot(vec![], vec![]), Some(&first)).unwrap();
        assert!(removed.cut.is_empty());
    }

    #[test]
    fn front_door() {
        let all = snapshot(
            vec![
                balancer("one", &[80, 81], "tg"),
                balancer("two", &[80], "tg"),
                balancer("three", &[80], "tg"),
            ],
            vec![],
        );
        let mut all = all;
        all.load_balancers[2].listeners[0].rules.push(protocol::Rule {
            priority: 1,
            conditions: vec![protocol::Condition {
                field: "host-header".into(),
                values: vec!["*.shop.example".into()],
                ..Default::default()
            }],
            ..Default::default()
        });
        let compiled = compile(&all, None).unwrap();
        let found = |port: u16, host: &str| {
            compiled
                .find_front_door(port, (!host.is_empty()).then_some(host.as_bytes()), false)
                .map(|place| compiled.load_balancer_at(place).source.arn.clone())
        };
        assert_eq!(found(80, "TWO.elb.localhost:80").as_deref(), Some("two"));
        assert_eq!(found(81, "two.elb.localhost"), None);
        assert_eq!(found(81, "whatever").as_deref(), Some("one"));
        assert_eq!(found(80, "www.Shop.example").as_deref(), Some("three"));
        assert_eq!(
            (
                found(80, "whatever"),
                found(80, ""),
                found(9, "one.elb.localhost")
            ),
            (None, None, None)
        );
        let binds: Vec<String> = compiled
            .binds()
            .iter()
            .map(|bind| bind.address.to_string())
            .collect();
        assert_eq!(
            binds,
            [
                "127.0.0.1:80",
                "127.0.0.1:81",
                "127.0.1.1:80",
                "127.0.1.1:80",
                "127.0.1.1:80",
                "127.0.1.1:81"
            ]
        );
    }

    #[test]
    fn what_cannot_be_served_is_said_and_left_out() {
        let mut bad = snapshot(
            vec![balancer("lb", &[443], "tg")],
            vec![group("tg", vec![target("i", "active")])],
        );
        bad.load_balancers[0].listeners[0].protocol = "HTTPS".into();
        bad.target_groups[0].targets[0].address = "nowhere".into();
        let compiled = compile(&bad, None).unwrap();
        assert_eq!(compiled.problems.len(), 2, "{:?}", compiled.problems);
        assert_eq!(compiled.binds(), []);
        let twice = snapshot(vec![], vec![group("tg", vec![]), group("tg", vec![])]);
        assert!(compile(&twice, None).is_err());
    }

    #[test]
    fn networks() {
        let inside =
            |network: &str, address: &str| Cidr::parse(network).unwrap().contains(address.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.0.1") && !inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("0.0.0.0/0", "1.2.3.4") && !inside("0.0.0.0/0", "::1"));
        assert!(inside("2001:db8::/32", "2001:db8:1::") && inside("1.2.3.4", "1.2.3.4"));
        assert_eq!((Cidr::parse("10.0.0.0/33"), Cidr::parse("x/8")), (None, None));
    }
}
