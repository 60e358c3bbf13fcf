//! A node's configuration and its changes. Pure: what a `Snapshot` is after a `Delta`, and the law that binds them:
//! old + diff(old, new) = new.
//!
//! Everything is kept in one order (by ARN; targets by id and port), so that equal configurations are equal values.
//! A delta is checked first and then applied in place, so a burst of deltas to a large configuration costs what
//! changed, not what there is; `apply` hands back the delta that undoes it, for when a later stage refuses the result.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::protocol::{Delta, LoadBalancer, Snapshot, Target, TargetChange, TargetGroup};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The word the control plane knows: it answers with a snapshot.
    #[error("base")]
    Base,
    #[error("{0}")]
    Invalid(String),
}

fn invalid<T>(reason: String) -> Result<T, ApplyError> {
    Err(ApplyError::Invalid(reason))
}

/// `<id>:<port>`, as reports name a target.
pub fn target_key(target: &Target) -> String {
    format!("{}:{}", target.id, target.port)
}

fn order(target: &Target) -> (&str, u16) {
    (&target.id, target.port)
}

/// The id and port of a target's key; None if it is no key.
fn parse_key(key: &str) -> Option<(&str, u16)> {
    let (id, port) = key.rsplit_once(':')?;
    Some((id, port.parse().ok()?))
}

fn check_targets(group: &str, targets: &[Target]) -> Result<(), ApplyError> {
    let mut keys = HashSet::with_capacity(targets.len());
    for target in targets {
        if target.id.is_empty() {
            return invalid(format!("a target of {group} has no id"));
        }
        if !matches!(target.state.as_str(), "active" | "draining") {
            return invalid(format!(
                "target {} of {group} has the unknown state {:?}",
                target_key(target),
                target.state
            ));
        }
        // Lambda targets are functions: they have no address.
        if !target.id.starts_with("arn:") && target.address.parse::<IpAddr>().is_err() {
            return invalid(format!(
                "target {} of {group} has the address {:?}, which is no IP address",
                target_key(target),
                target.address
            ));
        }
        if !keys.insert(order(target)) {
            return invalid(format!("target {} stands twice in {group}", target_key(target)));
        }
    }
    Ok(())
}

fn check_group(group: &TargetGroup) -> Result<(), ApplyError> {
    if group.arn.is_empty() {
        return invalid("a target group has no ARN".into());
    }
    let check = &group.health_check;
    if check.enabled {
        for (what, seconds) in [
            ("interval", check.interval_seconds),
            ("timeout", check.timeout_seconds),
        ] {
            if !(seconds.is_finite() && seconds > 0.0) {
                return invalid(format!(
                    "{} has a health check {what} of {seconds} seconds",
                    group.arn
                ));
            }
        }
        if check.healthy_threshold == 0 || check.unhealthy_threshold == 0 {
            return invalid(format!("{} has a health check threshold of 0", group.arn));
        }
        if let Err(error) = crate::health::Matcher::parse(&check.matcher) {
            return invalid(format!("{}: {error}", group.arn));
        }
        if check.path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return invalid(format!(
                "{} has a health check path with spaces or control characters",
                group.arn
            ));
        }
    }
    check_targets(&group.arn, &group.targets)
}

fn check_balancer(balancer: &LoadBalancer) -> Result<(), ApplyError> {
    if balancer.arn.is_empty() {
        return invalid("a load balancer has no ARN".into());
    }
    let mut zones = HashSet::new();
    for address in &balancer.addresses {
        if address.address.parse::<IpAddr>().is_err() {
            return invalid(format!(
                "{} has the address {:?}, which is no IP address",
                balancer.arn, address.address
            ));
        }
        if !zones.insert(&address.zone) {
            return invalid(format!(
                "{} has two addresses in zone {}",
                balancer.arn, address.zone
            ));
        }
    }
    let mut ports = HashSet::new();
    for listener in &balancer.listeners {
        if listener.port == 0 || !ports.insert(listener.port) {
            return invalid(format!(
                "{} has port {} twice, or as 0",
                balancer.arn, listener.port
            ));
        }
    }
    Ok(())
}

fn check_node(node: &crate::protocol::Node) -> Result<(), ApplyError> {
    if !(node.clock.scale.is_finite() && node.clock.scale > 0.0) {
        return invalid(format!("the node's clock scale is {}", node.clock.scale));
    }
    if !(node.report_interval_seconds.is_finite() && node.report_interval_seconds > 0.0) {
        return invalid(format!(
            "the node's report interval is {} seconds",
            node.report_interval_seconds
        ));
    }
    Ok(())
}

fn check_distinct<'a>(what: &str, arns: impl Iterator<Item = &'a str>) -> Result<(), ApplyError> {
    let mut seen = HashSet::new();
    for arn in arns {
        if !seen.insert(arn) {
            return invalid(format!("{what} {arn} stands twice"));
        }
    }
    Ok(())
}

fn sort_targets(group: &mut TargetGroup) {
    group.targets.sort_by(|a, b| order(a).cmp(&order(b)));
}

/// `snapshot` checked, in the order that makes equal configurations equal.
///
/// # Errors
/// `ApplyError::Invalid` with a reason for a person.
pub fn accept(mut snapshot: Snapshot) -> Result<Snapshot, ApplyError> {
    check_node(&snapshot.node)?;
    check_distinct(
        "load balancer",
        snapshot.load_balancers.iter().map(|b| b.arn.as_str()),
    )?;
    check_distinct(
        "target group",
        snapshot.target_groups.iter().map(|g| g.arn.as_str()),
    )?;
    snapshot.load_balancers.iter().try_for_each(check_balancer)?;
    snapshot.target_groups.iter().try_for_each(check_group)?;
    snapshot.load_balancers.sort_by(|a, b| a.arn.cmp(&b.arn));
    snapshot.target_groups.sort_by(|a, b| a.arn.cmp(&b.arn));
    snapshot.target_groups.iter_mut().for_each(sort_targets);
    Ok(snapshot)
}

fn find_group(groups: &[TargetGroup], arn: &str) -> Result<usize, usize> {
    groups.binary_search_by(|g| g.arn.as_str().cmp(arn))
}

fn find_balancer(balancers: &[LoadBalancer], arn: &str) -> Result<usize, usize> {
    balancers.binary_search_by(|b| b.arn.as_str().cmp(arn))
}

/// The ARNs of all load balancers and target groups that `delta` names: no others differ after it.
pub fn touched(delta: &Delta) -> HashSet<String> {
    let balancers = delta
        .put_load_balancers
        .iter()
        .map(|b| &b.arn)
        .chain(&delta.removed_load_balancers);
    let groups = delta
        .put_target_groups
        .iter()
        .map(|g| &g.arn)
        .chain(&delta.removed_target_groups);
    let targets = delta.targets.iter().map(|change| &change.target_group);
    balancers.chain(groups).chain(targets).cloned().collect()
}

/// Everything that could refuse `delta`, so that applying it cannot fail half-way.
fn check(snapshot: &Snapshot, delta: &Delta) -> Result<(), ApplyError> {
    if delta.base != snapshot.version {
        return Err(ApplyError::Base);
    }
    if let Some(node) = &delta.node {
        check_node(node)?;
    }
    let balancers = delta
        .put_load_balancers
        .iter()
        .map(|b| &b.arn)
        .chain(&delta.removed_load_balancers);
    check_distinct("load balancer", balancers.map(String::as_str))?;
    let groups = delta
        .put_target_groups
        .iter()
        .map(|g| &g.arn)
        .chain(&delta.removed_target_groups);
    check_distinct("target group", groups.map(String::as_str))?;
    delta.put_load_balancers.iter().try_for_each(check_balancer)?;
    delta.put_target_groups.iter().try_for_each(check_group)?;
    for arn in &delta.removed_load_balancers {
        if find_balancer(&snapshot.load_balancers, arn).is_err() {
            return invalid(format!("cannot remove load balancer {arn}: it is not there"));
        }
    }
    for arn in &delta.removed_target_groups {
        if find_group(&snapshot.target_groups, arn).is_err() {
            return invalid(format!("cannot remove target group {arn}: it is not there"));
        }
    }
    check_distinct(
        "the targets of",
        delta.targets.iter().map(|t| t.target_group.as_str()),
    )?;
    for change in &delta.targets {
        let arn = &change.target_group;
        let replaced = delta.put_target_groups.iter().find(|g| g.arn == *arn);
        let group = match (replaced, find_group(&snapshot.target_groups, arn)) {
            (Some(group), _) => group,
            (None, Ok(at)) if !delta.removed_target_groups.contains(arn) => &snapshot.target_groups[at],
            _ => {
                return invalid(format!(
                    "targets changed of target group {arn}, which is not there"
                ))
            }
        };
        check_targets(arn, &change.put)?;
        for key in &change.removed {
            let Some((id, port)) = parse_key(key) else {
                return invalid(format!("{key:?} is no target's key"));
            };
            if !group.targets.iter().any(|t| order(t) == (id, port)) {
                return invalid(format!("cannot remove target {key} from {arn}: it is not there"));
            }
            if change.put.iter().any(|t| order(t) == (id, port)) {
                return invalid(format!("target {key} of {arn} is both put and removed"));
            }
        }
    }
    Ok(())
}

/// Applies `delta` to `snapshot`, whole or not at all, and returns the delta that undoes it.
///
/// `snapshot` must be in the order of `accept`.
///
/// # Errors
/// `ApplyError::Base` if the delta starts from another version; `ApplyError::Invalid` with a reason for a person.
/// `snapshot` is untouched then.
pub fn apply(snapshot: &mut Snapshot, delta: Delta) -> Result<Delta, ApplyError> {
    check(snapshot, &delta)?;
    let mut undo = Delta {
        base: delta.version,
        version: snapshot.version,
        ..Delta::default()
    };
    snapshot.version = delta.version;
    if let Some(node) = delta.node {
        undo.node = Some(std::mem::replace(&mut snapshot.node, node));
    }
    for arn in delta.removed_load_balancers {
        if let Ok(at) = find_balancer(&snapshot.load_balancers, &arn) {
            undo.put_load_balancers.push(snapshot.load_balancers.remove(at));
        }
    }
    for balancer in delta.put_load_balancers {
        match find_balancer(&snapshot.load_balancers, &balancer.arn) {
            Ok(at) => {
                undo.put_load_balancers
                    .push(std::mem::replace(&mut snapshot.load_balancers[at], balancer));
            }
            Err(at) => {
                undo.removed_load_balancers.push(balancer.arn.clone());
                snapshot.load_balancers.insert(at, balancer);
            }
        }
    }
    for arn in delta.removed_target_groups {
        if let Ok(at) = find_group(&snapshot.target_groups, &arn) {
            undo.put_target_groups.push(snapshot.target_groups.remove(at));
        }
    }
    for mut group in delta.put_target_groups {
        sort_targets(&mut group);
        match find_group(&snapshot.target_groups, &group.arn) {
            Ok(at) => undo
                .put_target_groups
                .push(std::mem::replace(&mut snapshot.target_groups[at], group)),
            Err(at) => {
                undo.removed_target_groups.push(group.arn.clone());
                snapshot.target_groups.insert(at, group);
            }
        }
    }
    for change in delta.targets {
        let Ok(at) = find_group(&snapshot.target_groups, &change.target_group) else {
            continue; // `check` refused it
        };
        let back = change_targets(&mut snapshot.target_groups[at].targets, change);
        // The undo of a group that was put whole restores its targets with it.
        let is_whole = undo.put_target_groups.iter().any(|g| g.arn == back.target_group)
            || undo.removed_target_groups.contains(&back.target_group);
        if !is_whole {
            undo.targets.push(back);
        }
    }
    Ok(undo)
}

/// Applies `change` to `targets` (sorted) and returns the change that undoes it.
fn change_targets(targets: &mut Vec<Target>, change: TargetChange) -> TargetChange {
    let mut undo = TargetChange {
        target_group: change.target_group,
        ..TargetChange::default()
    };
    let find = |targets: &[Target], key: (&str, u16)| targets.binary_search_by(|t| order(t).cmp(&key));
    for key in &change.removed {
        if let Some(Ok(at)) = parse_key(key).map(|key| find(targets, key)) {
            undo.put.push(targets.remove(at));
        }
    }
    for target in change.put {
        match find(targets, order(&target)) {
            Ok(at) => undo.put.push(std::mem::replace(&mut targets[at], target)),
            Err(at) => {
                undo.removed.push(target_key(&target));
                targets.insert(at, target);
            }
        }
    }
    undo
}

/// The smallest delta that leads from `old` to `new` (both in the order of `accept`).
pub fn diff(old: &Snapshot, new: &Snapshot) -> Delta {
    let mut delta = Delta {
        base: old.version,
        version: new.version,
        node: (old.node != new.node).then(|| new.node.clone()),
        ..Delta::default()
    };
    for balancer in &new.load_balancers {
        match find_balancer(&old.load_balancers, &balancer.arn) {
            Ok(at) if old.load_balancers[at] == *balancer => {}
            _ => delta.put_load_balancers.push(balancer.clone()),
        }
    }
    for balancer in &old.load_balancers {
        if find_balancer(&new.load_balancers, &balancer.arn).is_err() {
            delta.removed_load_balancers.push(balancer.arn.clone());
        }
    }
    for group in &old.target_groups {
        if find_group(&new.target_groups, &group.arn).is_err() {
            delta.removed_target_groups.push(group.arn.clone());
        }
    }
    for group in &new.target_groups {
        match find_group(&old.target_groups, &group.arn).map(|at| &old.target_groups[at]) {
            Ok(before) if before == group => {}
            Ok(before) if same_but_targets(before, group) => {
                delta
                    .targets
                    .push(diff_targets(&group.arn, &before.targets, &group.targets));
            }
            _ => delta.put_target_groups.push(group.clone()),
        }
    }
    delta
}

fn same_but_targets(old: &TargetGroup, new: &TargetGroup) -> bool {
    let bare = |group: &TargetGroup| TargetGroup {
        targets: Vec::new(),
        ..group.clone()
    };
    bare(old) == bare(new)
}

fn diff_targets(arn: &str, old: &[Target], new: &[Target]) -> TargetChange {
    let find = |targets: &[Target], of: &Target| targets.binary_search_by(|t| order(t).cmp(&order(of)));
    TargetChange {
        target_group: arn.to_owned(),
        put: new
            .iter()
            .filter(|t| find(old, t).map(|at| &old[at]) != Ok(t))
            .cloned()
            .collect(),
        removed: old
            .iter()
            .filter(|t| find(new, t).is_err())
            .map(target_key)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{self, compile, compile_where, Compiled};
    use crate::protocol::{HealthCheck, Listener, Node, ZoneAddress};

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.0 >> 33) % n
        }
    }

    fn a_target(random: &mut Random, n: u64) -> Target {
        Target {
            id: format!("i-{}", n % 7),
            port: 8000 + (n / 7) as u16,
            address: format!("127.1.0.{}", random.below(3)),
            zone: ["", "a", "b"][random.below(3) as usize].into(),
            state: ["active", "draining"][random.below(2) as usize].into(),
            ..Target::default()
        }
    }

    fn a_snapshot(random: &mut Random, version: u64) -> Snapshot {
        let mut snapshot = Snapshot {
            version,
            node: Node {
                workers: random.below(2) as u32,
                ..Node::default()
            },
            ..Snapshot::default()
        };
        for n in 0..5 {
            if random.below(2) == 0 {
                snapshot.load_balancers.push(LoadBalancer {
                    arn: format!("lb/{n}"),
                    listeners: vec![Listener {
                        port: 80 + random.below(2) as u16,
                        ..Listener::default()
                    }],
                    ..LoadBalancer::default()
                });
            }
            if random.below(3) > 0 {
                let count = random.below(12);
                let targets = (0..count).filter(|_| random.0 % 3 > 0).collect::<Vec<_>>();
                let mut targets: Vec<Target> = targets.into_iter().map(|n| a_target(random, n)).collect();
                targets.retain(|_| random.below(4) > 0);
                snapshot.target_groups.push(TargetGroup {
                    arn: format!("tg/{n}"),
                    health_check: HealthCheck {
                        unhealthy_threshold: 2 + random.below(2) as u32,
                        ..HealthCheck::default()
                    },
                    targets,
                    ..TargetGroup::default()
                });
            }
        }
        snapshot
    }

    #[test]
    fn old_plus_diff_is_new_and_undo_leads_back() {
        let mut random = Random(11);
        for round in 0..3000 {
            let old = accept(a_snapshot(&mut random, round)).unwrap();
            let new = accept(a_snapshot(&mut random, round + 1)).unwrap();
            let mut state = old.clone();
            let delta = diff(&old, &new);
            let touched = touched(&delta);
            let undo = apply(&mut state, delta).unwrap();
            assert_eq!(state, new);
            for group in new
                .target_groups
                .iter()
                .filter(|group| !touched.contains(&group.arn))
            {
                assert!(old.target_groups.contains(group), "untouched is unchanged");
            }
            apply(&mut state, undo).unwrap();
            assert_eq!(state, old);
        }
    }

    /// Compiling only what a delta names gives what compiling everything gives.
    #[test]
    fn a_delta_compiles_to_the_same_as_its_snapshot() {
        let mut random = Random(23);
        let mut state = accept(a_snapshot(&mut random, 0)).unwrap();
        let mut compiled = compile(&state, None).unwrap();
        for round in 1..500 {
            let mut new = a_snapshot(&mut random, round);
            new.node.zone = ["a", "b"][(random.below(20) == 0) as usize].into();
            let delta = diff(&state, &accept(new).unwrap());
            let touched = touched(&delta);
            apply(&mut state, delta).unwrap();
            let small = compile_where(&state, Some(&compiled), &|arn| touched.contains(arn)).unwrap();
            let whole = compile(&state, Some(&compiled)).unwrap();
            assert_eq!(small.version, round);
            let balancers = |c: &Compiled| -> Vec<LoadBalancer> {
                c.load_balancers.iter().map(|b| b.source.clone()).collect()
            };
            assert_eq!(balancers(&small), state.load_balancers);
            assert_eq!(balancers(&small), balancers(&whole));
            for (one, other) in small.target_groups.iter().zip(&whole.target_groups) {
                let view = |group: &Option<std::sync::Arc<compile::TargetGroup>>| {
                    group
                        .as_ref()
                        .map(|g| (g.source.clone(), g.eligible.clone(), g.targets.len()))
                };
                assert_eq!(view(one), view(other));
            }
            assert_eq!(
                small.target_groups.iter().flatten().count(),
                state.target_groups.len()
            );
            compiled = small;
        }
    }

    #[test]
    fn order_does_not_matter() {
        let mut random = Random(5);
        let snapshot = a_snapshot(&mut random, 1);
        let mut reversed = snapshot.clone();
        reversed.load_balancers.reverse();
        reversed.target_groups.reverse();
        reversed
            .target_groups
            .iter_mut()
            .for_each(|g| g.targets.reverse());
        assert_eq!(accept(snapshot).unwrap(), accept(reversed).unwrap());
    }

    fn small() -> Snapshot {
        let target = Target {
            id: "i-1".into(),
            port: 80,
            address: "127.0.0.1".into(),
            ..Target::default()
        };
        let group = TargetGroup {
            arn: "tg".into(),
            targets: vec![target],
            ..TargetGroup::default()
        };
        accept(Snapshot {
            version: 3,
            target_groups: vec![group],
            ..Snapshot::default()
        })
        .unwrap()
    }

    fn change(put: Vec<Target>, removed: &[&str]) -> Delta {
        Delta {
            base: 3,
            version: 4,
            targets: vec![TargetChange {
                target_group: "tg".into(),
                put,
                removed: removed.iter().map(|k| (*k).into()).collect(),
            }],
            ..Delta::default()
        }
    }

    #[test]
    fn a_group_put_and_its_targets_changed_in_one_delta() {
        let mut state = small();
        let mut group = state.target_groups[0].clone();
        group.name = "renamed".into();
        let extra = Target {
            id: "i-0".into(),
            ..group.targets[0].clone()
        };
        let mut delta = change(vec![extra], &["i-1:80"]);
        delta.put_target_groups.push(group);
        let undo = apply(&mut state, delta).unwrap();
        assert_eq!(state.target_groups[0].targets.len(), 1);
        assert_eq!(state.target_groups[0].targets[0].id, "i-0");
        apply(&mut state, undo).unwrap();
        assert_eq!(state, small());
    }

    #[test]
    fn refused_deltas_change_nothing_and_say_why() {
        let good = small().target_groups[0].targets[0].clone();
        let with = |f: fn(&mut Target)| {
            let mut target = good.clone();
            f(&mut target);
            target
        };
        let wrong_base = Delta {
            base: 2,
            ..change(vec![], &[])
        };
        let gone_balancer = Delta {
            base: 3,
            version: 4,
            removed_load_balancers: vec!["lb".into()],
            ..Delta::default()
        };
        let bad_check = Delta {
            base: 3,
            version: 4,
            put_target_groups: vec![TargetGroup {
                arn: "tg2".into(),
                health_check: HealthCheck {
                    matcher: "2xx".into(),
                    ..HealthCheck::default()
                },
                ..TargetGroup::default()
            }],
            ..Delta::default()
        };
        let twice = Delta {
            base: 3,
            version: 4,
            put_load_balancers: vec![LoadBalancer {
                arn: "lb".into(),
                addresses: vec![
                    ZoneAddress {
                        zone: "a".into(),
                        address: "127.0.0.1".into(),
                    };
                    2
                ],
                ..LoadBalancer::default()
            }],
            ..Delta::default()
        };
        for (delta, reason) in [
            (wrong_base, "base"),
            (
                change(vec![], &["i-9:80"]),
                "cannot remove target i-9:80 from tg: it is not there",
            ),
            (change(vec![], &["nonsense"]), "\"nonsense\" is no target's key"),
            (
                change(vec![good.clone()], &["i-1:80"]),
                "target i-1:80 of tg is both put and removed",
            ),
            (
                change(vec![good.clone(), good.clone()], &[]),
                "target i-1:80 stands twice in tg",
            ),
            (
                change(vec![with(|t| t.address = "nowhere".into())], &[]),
                "target i-1:80 of tg has the address \"nowhere\", which is no IP address",
            ),
            (
                change(vec![with(|t| t.state = "lost".into())], &[]),
                "target i-1:80 of tg has the unknown state \"lost\"",
            ),
            (gone_balancer, "cannot remove load balancer lb: it is not there"),
            (
                bad_check,
                "tg2: health check matcher \"2xx\" is not a list of codes and ranges such as 200,202-204",
            ),
            (twice, "lb has two addresses in zone a"),
        ] {
            let mut state = small();
            assert_eq!(apply(&mut state, delta).unwrap_err().to_string(), reason);
            assert_eq!(state, small());
        }
    }
}
