//! The node's own clock: milliseconds since the process began to use it. Never goes back, never 0.

use std::sync::OnceLock;
use std::time::Instant;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Milliseconds on the node's own clock, from 1. What `TargetGroup::set_health` and slow start count in.
pub fn now_ms() -> u64 {
    ORIGIN.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}
