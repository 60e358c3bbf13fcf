//! The zone node: sockets, threads and clocks around `elba-core`, which decides.

pub mod counters;
pub mod timer;
pub mod worker;
