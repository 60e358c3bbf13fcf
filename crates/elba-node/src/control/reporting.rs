//! Reports: what was counted and seen, so that nothing is lost while no control plane listens.

use std::collections::BTreeSet;
use std::time::Duration;

use elba_core::protocol::{Report, Up};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Control, Event};
use crate::clock;
use crate::report::cpu_seconds;

impl Control {
    /// When the next report is due: at the interval, or at once for changed health.
    pub(super) fn next_report(&self, health_due: Option<Instant>) -> Instant {
        health_due.map_or(self.next_tick, |due| due.min(self.next_tick))
    }

    /// Sends a report, if there is a connection and the last one has left. Counts wait otherwise.
    pub(super) fn report(&mut self) {
        let now = Instant::now();
        let interval = self.snapshot.node.report_interval_seconds;
        self.next_tick = now + clock::duration(interval).max(Duration::from_millis(10));
        let Some(connection) = self.connection.as_mut().filter(|_| self.in_flight.is_none()) else {
            return;
        };
        let full_health = !std::mem::replace(&mut connection.health_told, true);
        let report = self.make_report(now - self.reported_at, full_health);
        self.reported_at = now;
        self.send_outgoing(&Up::Report(report), true);
    }

    pub(super) fn make_report(&mut self, interval: Duration, full_health: bool) -> Report {
        let (balancers, targets) = self.counters.take();
        self.pending.add(balancers, targets);
        let pending = std::mem::take(&mut self.pending);
        let (load_balancers, targets) = pending.reports();
        self.in_flight = Some(pending);
        self.sequence += 1;
        let health = if full_health {
            self.health.take_all()
        } else {
            self.health.take_changed()
        };
        Report {
            sequence: self.sequence,
            time: clock::world_now(),
            interval_seconds: interval.as_secs_f64(),
            load_balancers,
            targets,
            health,
            full_health,
            zones_up: self.zones_up(),
            cpu_seconds: cpu_seconds(),
            open_connections: self.counters.open_connections(),
            problems: self.problems.all(),
        }
    }

    pub(super) fn zones_up(&self) -> Vec<String> {
        let down = self.down.borrow();
        let node = &self.snapshot.node;
        let peers = node
            .peers
            .iter()
            .map(|peer| &peer.zone)
            .filter(|zone| !down.contains(*zone));
        let zones: BTreeSet<&String> = peers
            .chain([&node.zone])
            .filter(|zone| !zone.is_empty())
            .collect();
        zones.into_iter().cloned().collect()
    }

    pub(super) async fn wait_until_written(
        &mut self,
        received: &mut mpsc::UnboundedReceiver<Event>,
        until: Instant,
    ) {
        while self.in_flight.is_some() && self.connection.is_some() {
            match tokio::time::timeout_at(until, received.recv()).await {
                Ok(Some(Event::Message(..))) => {}
                Ok(Some(event)) => self.handle(event),
                _ => return,
            }
        }
    }
}
