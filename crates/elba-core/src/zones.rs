//! Which zones of a load balancer DNS answers with: target group health thresholds. Pure.
//!
//! Source: user guide, "Target group health": when fewer targets are healthy than
//! `target_group_health.dns_failover.*` asks, the zone's address leaves DNS; if no zone is left, all are answered.

use std::collections::{BTreeSet, HashSet};

use crate::protocol::{LoadBalancer, TargetGroup};

/// The ARNs of the target groups that some rule of some listener of `balancer` forwards to.
pub fn groups_in_use(balancer: &LoadBalancer) -> BTreeSet<&str> {
    balancer
        .listeners
        .iter()
        .flat_map(|listener| &listener.rules)
        .flat_map(|rule| &rule.actions)
        .flat_map(|action| &action.target_groups)
        .map(|group| group.arn.as_str())
        .collect()
}

/// One target as the thresholds see it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// "" or "all" = any zone
    pub zone: &'a str,
    pub healthy: bool,
}

fn is_of_zone(target_zone: &str, zone: &str) -> bool {
    target_zone.is_empty() || target_zone == "all" || target_zone == zone
}

/// Whether `group`, whose active targets are `targets`, leaves `zone` in DNS; None = it has no say (no targets, lambda).
///
/// With cross-zone off only the zone's own targets count, so a group with targets elsewhere only is unhealthy here.
pub fn group_is_healthy_in(group: &TargetGroup, targets: &[Seen<'_>], zone: &str) -> Option<bool> {
    if targets.is_empty() || group.target_type == "lambda" {
        return None;
    }
    let counted = || {
        targets
            .iter()
            .filter(|t| group.cross_zone || is_of_zone(t.zone, zone))
    };
    let registered = counted().count() as f64;
    let healthy = counted().filter(|t| t.healthy).count() as f64;
    let enough = |minimum: f64| healthy >= minimum;
    let by_count = group
        .dns_minimum_healthy_count
        .is_none_or(|n| enough(f64::from(n)));
    let by_share = group
        .dns_minimum_healthy_percentage
        .is_none_or(|percent| registered > 0.0 && enough(registered * percent / 100.0));
    Some(by_count && by_share)
}

/// The zones of `balancer` that DNS answers with, in the order of its addresses.
///
/// A zone stays while at least one of its groups with targets is healthy, its node is up (`is_up`) and no zonal shift
/// is in force for it.
/// No zone healthy = all zones whose node is up; no node up = all zones.
pub fn zones_to_answer<'a>(
    balancer: &'a LoadBalancer,
    groups: &[(&TargetGroup, Vec<Seen<'_>>)],
    is_up: impl Fn(&str) -> bool,
) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    let zones: Vec<&str> = balancer
        .addresses
        .iter()
        .map(|a| a.zone.as_str())
        .filter(|zone| seen.insert(*zone))
        .collect();
    let is_healthy = |zone: &str| {
        if zone == balancer.shifted_zone {
            return false;
        }
        let mut verdicts = groups
            .iter()
            .filter_map(|(g, t)| group_is_healthy_in(g, t, zone))
            .peekable();
        verdicts.peek().is_none() || verdicts.any(|healthy| healthy)
    };
    let up: Vec<&str> = zones.iter().copied().filter(|zone| is_up(zone)).collect();
    let good: Vec<&str> = up.iter().copied().filter(|zone| is_healthy(zone)).collect();
    if !good.is_empty() {
        good
    } else if !up.is_empty() {
        up
    } else {
        zones
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Action, Listener, Rule, WeightedTargetGroup, ZoneAddress};

    fn balancer(zones: &[&str]) -> LoadBalancer {
        LoadBalancer {
            addresses: zones
                .iter()
                .map(|z| ZoneAddress {
                    zone: (*z).into(),
                    address: "127.1.0.1".into(),
                })
                .collect(),
            ..LoadBalancer::default()
        }
    }

    fn group(count: Option<u32>, percentage: Option<f64>, cross_zone: bool) -> TargetGroup {
        TargetGroup {
            dns_minimum_healthy_count: count,
            dns_minimum_healthy_percentage: percentage,
            cross_zone,
            ..TargetGroup::default()
        }
    }

    /// "a+ a- b+": a target in zone a healthy, one not, one healthy in b.
    fn targets(text: &str) -> Vec<Seen<'_>> {
        text.split_whitespace()
            .map(|t| Seen {
                zone: &t[..t.len() - 1],
                healthy: t.ends_with('+'),
            })
            .collect()
    }

    #[test]
    fn zones_follow_the_table() {
        let lb = balancer(&["a", "b"]);
        for (count, percent, cross, seen, expected) in [
            (Some(1), None, true, "a+ b-", "a b"),
            (Some(1), None, true, "a- b-", "a b"), // none healthy = all
            (Some(1), None, false, "a+ b-", "a"),
            (Some(1), None, false, "a-", "a b"),
            (Some(1), None, false, "b+", "b"), // nothing registered in a: no healthy target there
            (Some(1), None, false, "all+", "a b"),
            (Some(2), None, false, "a+ a+ b+", "a"),
            (None, None, false, "a- b+", "a b"), // off = never leaves
            (None, Some(50.0), false, "a+ a- b- b- b+", "a"),
            (Some(1), Some(100.0), false, "a+ a- b+", "b"), // whichever is breached first
            (Some(1), None, true, "", "a b"),
        ] {
            let g = group(count, percent, cross);
            let answer = zones_to_answer(&lb, &[(&g, targets(seen))], |_| true).join(" ");
            assert_eq!(answer, expected, "{count:?} {percent:?} {cross} {seen}");
        }
    }

    #[test]
    fn one_healthy_group_keeps_the_zone_and_empty_groups_have_no_say() {
        let lb = balancer(&["a", "b"]);
        let g = group(Some(1), None, false);
        let mixed = [(&g, targets("a- b-")), (&g, targets("a+ b-")), (&g, vec![])];
        assert_eq!(zones_to_answer(&lb, &mixed, |_| true), ["a"]);
    }

    #[test]
    fn a_down_node_leaves_even_if_its_targets_are_healthy() {
        let lb = balancer(&["a", "b"]);
        let g = group(Some(1), None, true);
        assert_eq!(
            zones_to_answer(&lb, &[(&g, targets("a+ b+"))], |z| z == "b"),
            ["b"]
        );
        assert_eq!(
            zones_to_answer(&lb, &[(&g, targets("a+ b+"))], |_| false),
            ["a", "b"]
        );
        let zonal = group(Some(1), None, false);
        // b's targets are healthy but its node is down; a's node is up but its targets are not: a, as all that is up.
        assert_eq!(
            zones_to_answer(&lb, &[(&zonal, targets("a- b+"))], |z| z == "a"),
            ["a"]
        );
    }

    #[test]
    fn a_shifted_zone_leaves_unless_nothing_else_is_left() {
        let lb = LoadBalancer {
            shifted_zone: "a".into(),
            ..balancer(&["a", "b"])
        };
        let g = group(Some(1), None, false);
        for (seen, up, expected) in [
            ("a+ b+", "a b", "b"),
            ("", "a b", "b"),
            ("a+ b-", "a b", "a b"), // none healthy = all
            ("a+ b+", "a", "a"),
        ] {
            let answer = zones_to_answer(&lb, &[(&g, targets(seen))], |zone| up.contains(zone));
            assert_eq!(answer.join(" "), expected, "{seen} {up}");
        }
    }

    #[test]
    fn lambda_groups_have_no_say() {
        let lb = balancer(&["a", "b"]);
        let lambda = TargetGroup {
            target_type: "lambda".into(),
            ..TargetGroup::default()
        };
        assert_eq!(
            zones_to_answer(&lb, &[(&lambda, targets("-"))], |_| true),
            ["a", "b"]
        );
    }

    #[test]
    fn groups_in_use_come_from_every_rule() {
        let forward = |arn: &str| Rule {
            actions: vec![Action {
                kind: "forward".into(),
                target_groups: vec![WeightedTargetGroup {
                    arn: arn.into(),
                    weight: 0,
                }],
                ..Action::default()
            }],
            ..Rule::default()
        };
        let lb = LoadBalancer {
            listeners: vec![
                Listener {
                    rules: vec![forward("one"), forward("two")],
                    ..Listener::default()
                },
                Listener {
                    rules: vec![forward("two"), Rule::default()],
                    ..Listener::default()
                },
            ],
            ..LoadBalancer::default()
        };
        assert_eq!(groups_in_use(&lb).into_iter().collect::<Vec<_>>(), ["one", "two"]);
    }
}
