//! The zone node: sockets, threads and clocks around `elba-core`, which decides.

pub mod access_log;
pub mod anomaly;
pub mod binds;
pub mod buffers;
pub mod caller;
pub mod client;
pub mod clock;
pub mod config_store;
pub mod control;
pub mod counters;
pub mod dns;
pub mod handover;
pub mod health;
pub mod http2;
pub mod idp;
pub mod instance;
pub mod link;
pub mod log;
pub mod peers;
pub mod pool;
pub mod problems;
pub mod proxy;
pub mod report;
pub mod timer;
pub mod tls;
pub mod worker;
