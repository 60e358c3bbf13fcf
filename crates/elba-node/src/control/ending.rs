//! How a node ends: it drains, or a successor takes its place.

use std::time::Duration;

use elba_core::protocol::Up;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Control, Event, GOODBYE, LOG_END, SIGNAL_DRAIN};
use crate::config_store::Writer;
use crate::handover::{Door, Leftover, Stream};
use crate::{instance, log};

impl Control {
    /// True if the node is to end now: it was told twice.
    pub(super) fn handle_signal(&mut self, name: &str) -> bool {
        log::info("signal", json!({"signal": name}));
        if self.is_draining {
            return true;
        }
        self.drain(SIGNAL_DRAIN);
        false
    }

    pub(super) fn drain(&mut self, limit: Duration) {
        if std::mem::replace(&mut self.is_draining, true) {
            return;
        }
        log::info("draining", json!({"limit_seconds": limit.as_secs_f64()}));
        self.stopping.send_replace(true);
        self.binds.release();
        let events = self.events.clone();
        let Some(workers) = self.workers.take() else {
            let _ = events.send(Event::Drained);
            return;
        };
        workers.drain(limit);
        let waiting = std::thread::Builder::new().name("elba-drain".into()).spawn({
            let events = events.clone();
            move || {
                workers.join();
                let _ = events.send(Event::Drained);
            }
        });
        if waiting.is_err() {
            let _ = events.send(Event::Drained);
        }
    }

    /// Lets successors ask, on a thread of its own.
    pub(super) fn wait_for_successor(&self) {
        let events = self.events.clone();
        let folder = self.folder.clone();
        let waiting = Door::open(&folder).and_then(|door| {
            std::thread::Builder::new()
                .name("elba-handover".into())
                .spawn(move || {
                    while let Ok(successor) = door.wait() {
                        if events.send(Event::SuccessorAsks(successor)).is_err() {
                            return;
                        }
                    }
                })
        });
        if let Err(error) = waiting {
            log::warning("handover_unavailable", json!({"reason": error.to_string()}));
        }
    }

    /// Gives a successor the files and the sockets; traffic goes on here until it serves, or for good if it fails.
    pub(super) fn hand_over(&mut self, successor: Stream) {
        if self.is_draining || self.is_handing_over {
            return;
        }
        let listeners = match self.binds.listeners() {
            Ok(listeners) => listeners,
            Err(error) => {
                log::warning("handover_failed", json!({"reason": error.to_string()}));
                return;
            }
        };
        log::info("handover_begun", json!({"version": self.version()}));
        self.is_handing_over = true;
        self.finish_store();
        let events = self.events.clone();
        let giving = std::thread::Builder::new()
            .name("elba-give".into())
            .spawn(move || {
                let event = match successor.give(&listeners) {
                    Ok(()) => Event::SuccessorServes(successor),
                    Err(error) => Event::SuccessorGone(error.to_string()),
                };
                let _ = events.send(event);
            });
        if let Err(error) = giving {
            self.go_on(&error.to_string());
        }
    }

    /// The successor failed: all is as before.
    pub(super) fn go_on(&mut self, reason: &str) {
        log::warning("handover_failed", json!({"reason": reason}));
        self.is_handing_over = false;
        let known = (self.version() > 0).then(|| self.snapshot.clone());
        match Writer::start(self.folder.clone(), known, self.problems.clone()) {
            Ok(store) => self.store = Some(store),
            Err(error) => {
                self.problems.set(
                    "config_store.start",
                    format!("nothing is stored any more: {error}"),
                );
            }
        }
    }

    /// The successor serves: lets go of everything but the requests in flight.
    pub(super) async fn make_way(&mut self, received: &mut mpsc::UnboundedReceiver<Event>) {
        self.wait_until_written(received, Instant::now() + GOODBYE).await;
        self.disconnect("replaced by a successor");
        self.lock = None;
        log::info("handed_over", json!({"version": self.version()}));
        if let Some(Err(error)) = self.successor.as_ref().map(Stream::say_bye) {
            log::warning("successor_lost", json!({"reason": error.to_string()}));
        }
        self.drain(SIGNAL_DRAIN);
    }

    /// Tells the predecessor that this node serves, and takes its place.
    pub(super) fn replace_predecessor(&mut self, predecessor: Stream) -> Result<(), String> {
        predecessor
            .say_ready()
            .map_err(|error| format!("the running node did not make way: {error}"))?;
        self.lock = Some(instance::lock(&self.folder).map_err(|error| error.to_string())?);
        log::info("taken_over", json!({"version": self.version()}));
        let events = self.events.clone();
        let waiting =
            std::thread::Builder::new()
                .name("elba-leftover".into())
                .spawn(move || match predecessor.wait_for_leftover() {
                    Ok(leftover) => drop(events.send(Event::Leftover(leftover))),
                    Err(error) => log::warning("counts_lost", json!({"reason": error.to_string()})),
                });
        waiting
            .map(drop)
            .map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// The last report and the last writes.
    pub(super) async fn finish(&mut self, received: &mut mpsc::UnboundedReceiver<Event>) {
        self.is_draining = true;
        let goodbye = Instant::now() + GOODBYE;
        while self.connection.is_some() && Instant::now() < goodbye {
            if self.in_flight.is_none() {
                let interval = self.reported_at.elapsed();
                let full_health = self.connection.as_ref().is_some_and(|c| !c.health_told);
                let report = self.make_report(interval, full_health);
                self.send_outgoing(&Up::Report(report), true);
                self.wait_until_written(received, goodbye).await;
                break;
            }
            self.wait_until_written(received, goodbye).await;
        }
        if let Some(successor) = self.successor.take() {
            let (balancers, targets) = self.counters.take();
            self.pending.add(balancers, targets);
            let (load_balancers, targets) = self.pending.reports();
            if let Err(error) = successor.leave(Leftover {
                load_balancers,
                targets,
            }) {
                log::warning("counts_lost", json!({"reason": error.to_string()}));
            }
        }
        self.finish_store();
        self.log.finish(LOG_END);
        log::info("stopped", json!({}));
    }
}
