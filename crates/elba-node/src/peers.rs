//! Which zones' nodes are up: each node has a liveness listener and probes those of its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use elba_core::compile::Compiled;
use elba_core::protocol::Peer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout, MissedTickBehavior};

use crate::log;

/// What a liveness listener says, followed by its zone and a line feed.
pub const GREETING: &str = "elba-node ";
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// A node counts as down after so many probes in a row have failed.
const MISSES: u32 = 3;

/// Zones whose nodes are down. Absent = up: what has not been proven dead keeps its traffic.
pub type DownZones = Arc<BTreeSet<String>>;

/// Probes the peers of the configuration in force. Ends when the configuration's sender is gone.
pub async fn run(mut compiled: watch::Receiver<Arc<Compiled>>, down: watch::Sender<DownZones>) {
    let mut probes: BTreeMap<String, (Peer, JoinHandle<()>)> = BTreeMap::new();
    loop {
        let peers = compiled.borrow_and_update().node.peers.clone();
        probes.retain(|_, (peer, task)| {
            let stays = peers.contains(peer);
            if !stays {
                task.abort();
                set_down(&down, &peer.zone, false);
            }
            stays
        });
        for peer in peers {
            let down = down.clone();
            probes.entry(peer.zone.clone()).or_insert_with(|| {
                let task = tokio::task::spawn_local(probe_for_ever(peer.clone(), down));
                (peer, task)
            });
        }
        if compiled.changed().await.is_err() {
            return;
        }
    }
}

fn set_down(down: &watch::Sender<DownZones>, zone: &str, is_down: bool) -> bool {
    down.send_if_modified(|zones| {
        if zones.contains(zone) == is_down {
            return false;
        }
        let mut changed = BTreeSet::clone(zones);
        if is_down {
            changed.insert(zone.to_owned());
        } else {
            changed.remove(zone);
        }
        *zones = Arc::new(changed);
        true
    })
}

async fn probe_for_ever(peer: Peer, down: watch::Sender<DownZones>) {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0;
    loop {
        ticks.tick().await;
        misses = if is_alive(&peer).await { 0 } else { misses + 1 };
        let is_down = match misses {
            0 => false,
            MISSES.. => true,
            _ => continue,
        };
        if set_down(&down, &peer.zone, is_down) {
            let event = if is_down { "peer_down" } else { "peer_up" };
            log::warning(event, json!({"zone": peer.zone, "address": peer.address}));
        }
    }
}

async fn is_alive(peer: &Peer) -> bool {
    let probe = async {
        let mut stream = TcpStream::connect(&peer.address).await.ok()?;
        let mut text = String::new();
        (&mut stream).take(256).read_to_string(&mut text).await.ok()?;
        (text.strip_prefix(GREETING)?.trim_end() == peer.zone).then_some(())
    };
    matches!(timeout(PROBE_TIMEOUT, probe).await, Ok(Some(())))
}

/// Answers one probe.
pub async fn greet(mut stream: TcpStream, zone: &str) {
    let greeting = format!("{GREETING}{zone}\n");
    let _ = timeout(PROBE_TIMEOUT, async {
        stream.write_all(greeting.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}
