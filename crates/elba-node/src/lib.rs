//! The zone node: sockets, threads and clocks around `elba-core`, which decides.

pub mod buffers;
pub mod pool;
pub mod proxy;
pub mod counters;
pub mod timer;
pub mod worker;
pub mod binds;
pub mod clock;
pub mod config_store;
pub mod control;
pub mod dns;
pub mod handover;
pub mod health;
pub mod instance;
pub mod link;
pub mod log;
pub mod peers;
pub mod problems;
pub mod report;
