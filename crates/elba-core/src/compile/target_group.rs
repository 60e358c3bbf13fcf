//! A target group with its targets, and which of them requests may go to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use super::state::{GroupState, Health, TargetState};
use crate::protocol;

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
    /// indexes into `targets` that this node may give requests to when they are healthy: not draining, in no zone
    /// that traffic is shifted away from, and in its own zone if cross-zone is off
    pub eligible: Vec<u32>,
    pub algorithm: Algorithm,
    /// this node can send requests to its targets (else 502, and `Compiled::problems` says why)
    pub is_supported: bool,
    /// lookups of sticky cookies
    by_key: HashMap<String, u32>,
}

impl TargetGroup {
    /// TLS is spoken with its targets.
    pub fn is_secured(&self) -> bool {
        self.source.protocol == "HTTPS"
    }

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

fn divided(seconds: f64, scale: f64) -> f64 {
    if scale > 0.0 {
        seconds / scale
    } else {
        seconds
    }
}

/// The group with its [scaled] durations of the request path in real seconds. Health-check durations are left as
/// they came: the health checker divides them itself.
pub(super) fn unscaled_group(group: &protocol::TargetGroup, scale: f64) -> protocol::TargetGroup {
    let mut group = group.clone();
    group.slow_start_seconds = divided(group.slow_start_seconds, scale);
    group.stickiness_seconds = divided(group.stickiness_seconds, scale);
    group
}

pub(super) fn compile_group(
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
        // a function has no address
        let address = if source.target_type == "lambda" {
            Ok(IpAddr::from([0, 0, 0, 0]))
        } else {
            target.address.parse::<IpAddr>()
        };
        let Ok(address) = address else {
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
        state.set_refused(target.refused);
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
            !target.draining && !target.source.shifted && zone_fits
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
    let is_supported = matches!(source.protocol.as_str(), "HTTP" | "HTTPS");
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
