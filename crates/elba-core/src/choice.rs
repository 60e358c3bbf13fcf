//! Which target of a group a request goes to. Source: alb.md sections 7 and 10.

use crate::anomaly::FULL_WEIGHT;
use crate::compile::{Algorithm, TargetGroup};

/// After so many throws of dice any target will do.
const MOST_THROWS: u32 = 16;

/// What a worker knows against a target beyond its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    None,
    /// failed a moment ago: taken only if nothing better is left
    Suspect,
    /// tried for this request already: not taken
    Tried,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// into `TargetGroup::targets`
    pub index: u32,
    /// the group has too few healthy targets: health was not regarded (UnhealthyRoutingRequestCount)
    pub failed_open: bool,
}

/// A worker's list of a group's candidates, made anew when the health of a target or the group has changed.
#[derive(Debug, Default)]
pub struct Chooser {
    /// the group's generation it was made for, plus 1; 0 = never made
    made_for: u64,
    candidates: Vec<u32>,
    failed_open: bool,
}

impl Chooser {
    fn refresh(&mut self, group: &TargetGroup) {
        let generation = group.state.generation().wrapping_add(1);
        if self.made_for == generation {
            return;
        }
        self.made_for = generation;
        let takes = |index: &u32| group.targets[*index as usize].state.health().takes_traffic();
        self.candidates.clear();
        self.candidates
            .extend(group.eligible.iter().copied().filter(takes));
        self.failed_open = !group.eligible.is_empty() && group.fails_open(self.candidates.len());
        if self.failed_open {
            self.candidates.clear();
            self.candidates.extend(&group.eligible);
        }
    }

    /// Whether a sticky request may go to this target (by index) now.
    pub fn allows(&mut self, group: &TargetGroup, index: u32) -> bool {
        self.refresh(group);
        self.candidates.contains(&index)
    }

    pub fn failed_open(&self) -> bool {
        self.failed_open
    }

    /// The target for the next request, or None if the group has none that may take it (503 for a first try).
    /// `random` gives uniform numbers; `now_ms` is the node's own clock.
    pub fn choose(
        &mut self,
        group: &TargetGroup,
        now_ms: u64,
        mut random: impl FnMut() -> u64,
        doubt: impl Fn(u32) -> Doubt,
    ) -> Option<Chosen> {
        self.refresh(group);
        let count = self.candidates.len();
        if count == 0 {
            return None;
        }
        if group.algorithm == Algorithm::WeightedRandom {
            // A target that is passed over for its weight leaves its share to all others alike.
            for _ in 0..MOST_THROWS {
                let index = self.candidates[(random() % count as u64) as usize];
                let weight = group.targets[index as usize].state.weight();
                let wins = weight >= FULL_WEIGHT || random() % u64::from(FULL_WEIGHT) < u64::from(weight);
                if wins && doubt(index) == Doubt::None {
                    return Some(Chosen {
                        index,
                        failed_open: self.failed_open,
                    });
                }
            }
        }
        let first = match group.algorithm {
            Algorithm::WeightedRandom => random(),
            Algorithm::RoundRobin | Algorithm::LeastOutstandingRequests => group.state.next_turn(),
        };
        let start = (first % count as u64) as usize;
        let (head, tail) = self.candidates.split_at(start);
        let in_turn = || tail.iter().chain(head).copied();
        let index = if group.algorithm == Algorithm::LeastOutstandingRequests {
            let outstanding = |index: &u32| group.targets[*index as usize].state.outstanding();
            let fewest = |wanted: Doubt| {
                in_turn()
                    .filter(|index| doubt(*index) == wanted)
                    .min_by_key(outstanding)
            };
            fewest(Doubt::None).or_else(|| fewest(Doubt::Suspect))
        } else {
            let ramps = group.source.slow_start_seconds > 0.0 && !self.failed_open;
            let mut passes = |index: u32| {
                let share = if ramps {
                    group.ramp_share(&group.targets[index as usize].state, now_ms)
                } else {
                    1.0
                };
                share >= 1.0 || ((random() >> 11) as f64 / (1u64 << 53) as f64) < share
            };
            in_turn()
                .find(|index| doubt(*index) == Doubt::None && passes(*index))
                .or_else(|| in_turn().find(|index| doubt(*index) == Doubt::None))
                .or_else(|| in_turn().find(|index| doubt(*index) == Doubt::Suspect))
        };
        index.map(|index| Chosen {
            index,
            failed_open: self.failed_open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{compile, Compiled, Health};
    use crate::protocol;
    use std::sync::Arc;

    fn group(count: u32, change: impl Fn(&mut protocol::TargetGroup)) -> (Compiled, Arc<TargetGroup>) {
        let mut source = protocol::TargetGroup {
            arn: "tg".into(),
            targets: (0..count)
                .map(|number| protocol::Target {
                    id: format!("i-{number}"),
                    port: 80,
                    address: format!("127.0.0.{}", number + 1),
                    zone: if number % 2 == 0 { "a".into() } else { "b".into() },
                    known_health: "healthy".into(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        change(&mut source);
        let snapshot = protocol::Snapshot {
            node: protocol::Node {
                zone: "a".into(),
                ..Default::default()
            },
            target_groups: vec![source],
            ..Default::default()
        };
        let compiled = compile(&snapshot, None).unwrap();
        let group = compiled.target_group("tg").unwrap().clone();
        (compiled, group)
    }

    fn picks(chooser: &mut Chooser, group: &TargetGroup, count: usize) -> Vec<u32> {
        let mut seed = 88_172_645_463_325_252u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        (0..count)
            .filter_map(|_| chooser.choose(group, 5_000, &mut random, |_| Doubt::None))
            .map(|chosen| chosen.index)
            .collect()
    }

    #[test]
    fn round_robin_is_even_over_all_workers() {
        let (_compiled, group) = group(3, |_| {});
        let (mut one, mut two) = (Chooser::default(), Chooser::default());
        let mut counts = [0; 3];
        for _ in 0..30 {
            for index in [picks(&mut one, &group, 1)[0], picks(&mut two, &group, 1)[0]] {
                counts[index as usize] += 1;
            }
        }
        assert_eq!(counts, [20, 20, 20]);
    }

    #[test]
    fn only_healthy_targets_until_too_few_are() {
        let (_compiled, group) = group(4, |source| source.routing_minimum_healthy_count = 2);
        let mut chooser = Chooser::default();
        group.targets[0].state.set_health(Health::Unhealthy);
        group.targets[1].state.set_health(Health::Initial);
        let taken = picks(&mut chooser, &group, 10);
        assert!(taken.iter().all(|index| *index >= 2) && !chooser.failed_open());
        group.targets[2].state.set_health(Health::Unhealthy);
        let taken = picks(&mut chooser, &group, 8);
        assert!((0..4).all(|index| taken.contains(&index)) && chooser.failed_open());
        group.targets[0].state.set_health(Health::Healthy);
        assert!(picks(&mut chooser, &group, 8)
            .iter()
            .all(|index| [0, 3].contains(index)));
    }

    #[test]
    fn percentage_counts_too() {
        let (_compiled, group) = group(4, |source| source.routing_minimum_healthy_percentage = Some(75.0));
        let mut chooser = Chooser::default();
        group.targets[0].state.set_health(Health::Unhealthy);
        picks(&mut chooser, &group, 1);
        assert!(!chooser.failed_open());
        group.targets[1].state.set_health(Health::Unhealthy);
        picks(&mut chooser, &group, 1);
        assert!(chooser.failed_open());
    }

    #[test]
    fn zones_and_draining() {
        let (_compiled, across) = group(4, |source| source.targets[0].state = "draining".into());
        assert!(!picks(&mut Chooser::default(), &across, 8).contains(&0));
        let (_compiled, own) = group(4, |source| source.cross_zone = false);
        assert!(picks(&mut Chooser::default(), &own, 8)
            .iter()
            .all(|index| index % 2 == 0));
        let (_compiled, none) = group(1, |source| source.targets[0].state = "draining".into());
        assert_eq!(picks(&mut Chooser::default(), &none, 1), Vec::<u32>::new());
    }

    #[test]
    fn least_outstanding() {
        let (_compiled, group) = group(3, |source| source.algorithm = "least_outstanding_requests".into());
        for (index, count) in [(0, 2), (1, 1), (2, 2)] {
            (0..count).for_each(|_| group.targets[index].state.request_began());
        }
        assert_eq!(picks(&mut Chooser::default(), &group, 4), [1, 1, 1, 1]);
        group.targets[2].state.request_ended();
        let taken = picks(&mut Chooser::default(), &group, 9);
        assert!(taken.contains(&1) && taken.contains(&2) && !taken.contains(&0));
    }

    #[test]
    fn suspects_come_last_and_tried_ones_never() {
        let (_compiled, group) = group(3, |_| {});
        let mut chooser = Chooser::default();
        let doubts = [Doubt::Suspect, Doubt::None, Doubt::Tried];
        for _ in 0..6 {
            let chosen = chooser.choose(&group, 1, || 0, |index| doubts[index as usize]);
            assert_eq!(chosen.map(|chosen| chosen.index), Some(1));
        }
        let doubts = [Doubt::Suspect, Doubt::Tried, Doubt::Tried];
        let chosen = chooser.choose(&group, 1, || 0, |index| doubts[index as usize]);
        assert_eq!(chosen.map(|chosen| chosen.index), Some(0));
        assert_eq!(chooser.choose(&group, 1, || 0, |_| Doubt::Tried), None);
    }

    #[test]
    fn slow_start_grows_linearly() {
        let (_compiled, group) = group(2, |source| {
            source.slow_start_seconds = 10.0;
            source.targets[1].known_health = "unhealthy".into();
        });
        group.set_health("i-1:80", Health::Healthy, 1_000);
        let share = |now_ms: u64| {
            let mut seed = 1u64;
            let mut chooser = Chooser::default();
            let hits = (0..4000)
                .filter(|_| {
                    let random = || {
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        seed
                    };
                    chooser
                        .choose(&group, now_ms, random, |_| Doubt::None)
                        .unwrap()
                        .index
                        == 1
                })
                .count();
            hits as f64 / 4000.0
        };
        assert_eq!(share(1_000), 0.0);
        assert!((share(6_000) - 0.25).abs() < 0.05, "{}", share(6_000));
        assert!((share(11_000) - 0.5).abs() < 0.01);
    }
}
