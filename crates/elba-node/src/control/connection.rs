//! The connection to the control plane: one at a time, the newest.

use elba_core::protocol::{Ack, Hello, Up, PROTOCOL_VERSION};
use serde_json::json;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{Connection, Control, Event, Outgoing};
use crate::{link, log};

impl Control {
    /// Takes a new connection in place of any older one: of two control planes, the newer is the living one.
    pub(super) fn connect(&mut self, stream: UnixStream) {
        let uid = match link::authorize(&stream) {
            Ok(uid) => uid,
            Err(reason) => {
                log::warning("control_refused", json!({"reason": reason}));
                return;
            }
        };
        if self.connection.is_some() {
            self.disconnect("replaced by a newer connection");
        }
        self.connections += 1;
        let number = self.connections;
        let (mut incoming, mut outwards) = stream.into_split();
        let (outgoing, mut frames) = mpsc::unbounded_channel::<Outgoing>();
        let events = self.events.clone();
        let reader = tokio::task::spawn_local(async move {
            loop {
                let event = match link::read(&mut incoming).await {
                    Ok(message) => Event::Message(number, Box::new(message)),
                    Err(error) => Event::Lost(number, error.to_string()),
                };
                let is_last = matches!(event, Event::Lost(..));
                if events.send(event).is_err() || is_last {
                    return;
                }
            }
        });
        let events = self.events.clone();
        let writer = tokio::task::spawn_local(async move {
            while let Some(Outgoing { frame, is_report }) = frames.recv().await {
                if let Err(error) = link::write(&mut outwards, &frame).await {
                    let _ = events.send(Event::Lost(number, error.to_string()));
                    return;
                }
                if is_report {
                    let _ = events.send(Event::Written(number));
                }
            }
        });
        self.connection = Some(Connection {
            number,
            outgoing,
            reader,
            writer,
            health_told: false,
        });
        log::info("control_connected", json!({"connection": number, "uid": uid}));
        self.send(&Up::Hello(Hello {
            protocol: PROTOCOL_VERSION,
            node_id: self.id.clone(),
            pid: std::process::id(),
            program_version: env!("CARGO_PKG_VERSION").into(),
            config_version: self.version(),
            started_at: self.started_at,
        }));
        self.report();
    }

    pub(super) fn disconnect(&mut self, reason: &str) {
        if let Some(connection) = self.connection.take() {
            log::info(
                "control_disconnected",
                json!({"connection": connection.number, "reason": reason}),
            );
        }
        // What was not surely written is told again.
        if let Some(unwritten) = self.in_flight.take() {
            let newer = std::mem::replace(&mut self.pending, unwritten);
            let (balancers, targets) = newer.reports();
            self.pending.add(balancers, targets);
        }
    }

    pub(super) fn send(&mut self, message: &Up) {
        self.send_outgoing(message, false);
    }

    pub(super) fn send_outgoing(&mut self, message: &Up, is_report: bool) {
        let Some(connection) = &self.connection else {
            return;
        };
        match link::frame(message) {
            // A writer that has ended has told its loss.
            Ok(frame) => drop(connection.outgoing.send(Outgoing { frame, is_report })),
            Err(error) => log::error("message_not_sent", json!({"reason": error.to_string()})),
        }
    }

    /// Says that `version` is in force, once every worker has it.
    pub(super) fn acknowledge(&mut self, version: u64) {
        let installed = self.installed.take();
        let Some(connection) = &self.connection else {
            return;
        };
        let outgoing = connection.outgoing.clone();
        tokio::task::spawn_local(async move {
            if let Some(installed) = installed {
                installed.await;
            }
            if let Ok(frame) = link::frame(&Up::Ack(Ack { version })) {
                let is_report = false;
                let _ = outgoing.send(Outgoing { frame, is_report });
            }
        });
    }

    pub(super) fn is_current(&self, number: u64) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.number == number)
    }
}
