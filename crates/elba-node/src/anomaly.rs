//! Watches how the targets answer, every 5 seconds of clock time, and tells the workers (weights) and the health table
//! (reports). What stands out is decided in `elba_core::anomaly`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use elba_core::anomaly::{Count, Detector, Verdict, PERIOD_SECONDS};
use elba_core::compile::{Algorithm, Compiled, Health};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::counters::Counters;
use crate::health::Table;
use crate::{clock, log};

/// A clock that runs very fast must not turn looking into a busy loop.
const MIN_PERIOD: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Watched {
    detector: Detector,
    seen: HashMap<String, Count>,
    told: HashMap<String, (bool, bool)>,
}

/// Ends when the configuration's sender is gone.
pub async fn run(mut compiled: watch::Receiver<Arc<Compiled>>, counters: Arc<Counters>, table: Table) {
    let mut groups: HashMap<String, Watched> = HashMap::new();
    loop {
        let current = compiled.borrow_and_update().clone();
        let scale = current.node.clock.scale.max(f64::MIN_POSITIVE);
        sleep(clock::duration(PERIOD_SECONDS / scale).max(MIN_PERIOD)).await;
        if compiled.has_changed().is_err() {
            return;
        }
        let current = compiled.borrow_and_update().clone();
        let mut totals = counters.target_outcomes();
        groups.retain(|arn, _| current.target_group(arn).is_some());
        for (group, _) in current.groups() {
            let arn = &group.source.arn;
            let Some(outcomes) = totals.remove(arn) else {
                groups.remove(arn);
                continue;
            };
            let known = groups.entry(arn.clone()).or_default();
            let mut counts = Vec::new();
            for target in &group.targets {
                let key = &target.state.key;
                let total = outcomes.get(key).copied().unwrap_or_default();
                let before = known.seen.insert(key.clone(), total).unwrap_or_default();
                if target.draining || target.state.health() != Health::Healthy {
                    target.state.set_weight(Verdict::NORMAL.weight);
                    continue;
                }
                let count = Count {
                    outcomes: total.outcomes.saturating_sub(before.outcomes),
                    errors: total.errors.saturating_sub(before.errors),
                };
                counts.push((key.clone(), count));
            }
            known.seen.retain(|key, _| group.target(key).is_some());
            let mitigates = group.source.anomaly_mitigation && group.algorithm == Algorithm::WeightedRandom;
            let verdicts = known.detector.look(&counts, mitigates);
            let now: HashMap<String, (bool, bool)> = verdicts
                .iter()
                .map(|(key, verdict)| (key.clone(), (verdict.anomalous, verdict.is_mitigated())))
                .collect();
            for (key, verdict) in &verdicts {
                if let Some(target) = group.target(key) {
                    target.state.set_weight(verdict.weight);
                }
            }
            for key in group.targets.iter().map(|target| &target.state.key) {
                let (anomalous, mitigated) = now.get(key).copied().unwrap_or_default();
                let (was_anomalous, was_mitigated) = known.told.get(key).copied().unwrap_or_default();
                if (anomalous, mitigated) != (was_anomalous, was_mitigated) {
                    table.set_anomaly(arn, key, anomalous, mitigated);
                }
                if anomalous != was_anomalous {
                    log::info(
                        "target_anomaly_changed",
                        json!({"resource": arn, "target": key, "anomalous": anomalous}),
                    );
                }
            }
            known.told = now;
        }
    }
}
