//! What moves: health, slow start and the count of outstanding requests, by relaxed atomics. It lives on from
//! version to version.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::Arc;

use crate::anomaly::FULL_WEIGHT;

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
    pub(super) generation: AtomicU64,
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
    /// security groups keep this node from its port: connecting to it would time out
    refused: AtomicBool,
    /// of `anomaly::FULL_WEIGHT`: how much of its share weighted_random gives it
    weight: AtomicU32,
    /// slow start: when the ramp began, in ms of the node's own clock; 0 = no ramp
    pub(super) ramp_from_ms: AtomicU64,
}

impl TargetState {
    pub(super) fn new(
        key: String,
        address: SocketAddr,
        group: Arc<GroupState>,
        health: Health,
    ) -> TargetState {
        TargetState {
            key,
            address,
            group,
            health: AtomicU8::new(health as u8),
            outstanding: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            weight: AtomicU32::new(FULL_WEIGHT),
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

    pub fn is_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    pub(super) fn set_refused(&self, refused: bool) {
        self.refused.store(refused, Relaxed);
    }

    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
    }

    pub fn ramp_from_ms(&self) -> u64 {
        self.ramp_from_ms.load(Relaxed)
    }
}
