//! Counts on their way to the control plane: nothing is forgotten before it has been written to a connection.

use std::collections::BTreeMap;

use elba_core::protocol::{Histogram, LoadBalancerReport, TargetReport};

/// Counters that say how much there is now, not how much was added.
const GAUGES: [&str; 1] = ["ActiveConnectionCount"];

type TargetName = (String, String, String);

#[derive(Debug, Default)]
struct TargetCounts {
    counters: BTreeMap<String, f64>,
    count: u64,
    sum: f64,
    buckets: BTreeMap<u32, u64>,
    outstanding: u32,
}

/// Counts not yet told. Adding is lossless: sums add up, gauges are those of the latest addition.
#[derive(Debug, Default)]
pub struct Pending {
    balancers: BTreeMap<String, BTreeMap<String, f64>>,
    targets: BTreeMap<TargetName, TargetCounts>,
}

impl Pending {
    /// Takes what `Counters::take` gave.
    pub fn add(&mut self, balancers: Vec<LoadBalancerReport>, targets: Vec<TargetReport>) {
        // A gauge that is not there any more is zero now.
        for counters in self.balancers.values_mut() {
            GAUGES.iter().for_each(|gauge| {
                counters.remove(*gauge);
            });
        }
        self.targets
            .values_mut()
            .for_each(|target| target.outstanding = 0);
        for report in balancers {
            let known = self.balancers.entry(report.load_balancer).or_default();
            for (name, value) in report.counters {
                let sum = known.entry(name).or_default();
                *sum += value;
            }
        }
        for report in targets {
            let known = self
                .targets
                .entry((report.load_balancer, report.target_group, report.target))
                .or_default();
            for (name, value) in report.counters {
                *known.counters.entry(name).or_default() += value;
            }
            known.count += report.response_time.count;
            known.sum += report.response_time.sum;
            for (bucket, count) in report.response_time.buckets {
                *known.buckets.entry(bucket).or_default() += count;
            }
            known.outstanding = report.outstanding;
        }
    }

    /// What to report; the pending counts stay until dropped.
    pub fn reports(&self) -> (Vec<LoadBalancerReport>, Vec<TargetReport>) {
        let balancers = self.balancers.iter().filter(|(_, counters)| !counters.is_empty());
        let balancers = balancers.map(|(name, counters)| LoadBalancerReport {
            load_balancer: name.clone(),
            counters: counters.clone(),
            ..LoadBalancerReport::default()
        });
        let targets = self
            .targets
            .iter()
            .map(|((balancer, group, target), counts)| TargetReport {
                load_balancer: balancer.clone(),
                target_group: group.clone(),
                target: target.clone(),
                counters: counts.counters.clone(),
                response_time: Histogram {
                    count: counts.count,
                    sum: counts.sum,
                    buckets: counts
                        .buckets
                        .iter()
                        .map(|(bucket, count)| (*bucket, *count))
                        .collect(),
                },
                outstanding: counts.outstanding,
            });
        (balancers.collect(), targets.collect())
    }
}

/// CPU time of this process, user and system, in seconds.
pub fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the struct it is given, which outlives the call; all-zero is a valid rusage if it fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(values: &[(&str, f64)]) -> Vec<LoadBalancerReport> {
        vec![LoadBalancerReport {
            load_balancer: "lb".into(),
            counters: values.iter().map(|(k, v)| ((*k).into(), *v)).collect(),
            ..LoadBalancerReport::default()
        }]
    }

    fn target(requests: f64, buckets: &[(u32, u64)], outstanding: u32) -> Vec<TargetReport> {
        vec![TargetReport {
            load_balancer: "lb".into(),
            target_group: "tg".into(),
            target: "i-1:80".into(),
            counters: [("RequestCount".to_owned(), requests)].into(),
            response_time: Histogram {
                count: buckets.iter().map(|b| b.1).sum(),
                sum: 0.5,
                buckets: buckets.to_vec(),
            },
            outstanding,
        }]
    }

    #[test]
    fn sums_add_up_and_gauges_are_the_latest() {
        let mut pending = Pending::default();
        pending.add(
            balancer(&[("RequestCount", 2.0), ("ActiveConnectionCount", 9.0)]),
            target(2.0, &[(1, 2)], 5),
        );
        pending.add(
            balancer(&[("RequestCount", 3.0), ("ActiveConnectionCount", 4.0)]),
            target(3.0, &[(0, 1), (1, 2)], 1),
        );
        let (balancers, targets) = pending.reports();
        assert_eq!(
            balancers,
            balancer(&[("RequestCount", 5.0), ("ActiveConnectionCount", 4.0)])
        );
        assert_eq!(targets[0].counters["RequestCount"], 5.0);
        assert_eq!(targets[0].response_time.buckets, [(0, 1), (1, 4)]);
        assert_eq!(
            (
                targets[0].response_time.count,
                targets[0].response_time.sum,
                targets[0].outstanding
            ),
            (5, 1.0, 1)
        );
        pending.add(vec![], vec![]);
        let (balancers, targets) = pending.reports();
        assert_eq!(balancers, balancer(&[("RequestCount", 5.0)]));
        assert_eq!(targets[0].outstanding, 0);
    }

    #[test]
    fn cpu_time_passes() {
        let before = cpu_seconds();
        let mut x = 1_u64;
        while cpu_seconds() - before < 0.001 {
            x = x.wrapping_mul(3);
        }
        assert!(x != 0 && cpu_seconds() > before);
    }
}
