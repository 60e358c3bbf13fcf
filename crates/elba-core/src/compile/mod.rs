//! A snapshot made ready for the request path: names resolved, numbers parsed, patterns compiled, once per version.
//!
//! `compile` is pure: it has no effect on anything until the node installs its result. `Compiled` is immutable and
//! shared by `Arc`; only `TargetState` and `GroupState` change, by relaxed atomics, and they live on from version to
//! version, so that a new rule disturbs neither health nor the count of outstanding requests.

mod attributes;
mod front_door;
mod load_balancer;
mod network;
mod state;
mod target_group;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use attributes::{AccessLog, LoadBalancerAttributes};
pub use front_door::{Bind, Place, Serves};
pub use load_balancer::{Listener, LoadBalancer};
pub use network::{Cidr, Sources};
pub use state::{GroupState, Health, TargetState};
pub use target_group::{Algorithm, Target, TargetGroup};

use load_balancer::compile_load_balancer;
use target_group::{compile_group, unscaled_group};

use crate::protocol;

/// Why a snapshot cannot be taken at all. What concerns one listener or target only is a problem
/// (`Compiled::problems`) and leaves the rest working.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CompileError {
    #[error("two {kind}s have the ARN {arn}")]
    Duplicate { kind: &'static str, arn: String },
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
