//! Elba's deciding code, pure: bytes and values in, decisions out. No sockets, no clock, no randomness of its own;
//! time and random numbers come in as arguments, so that every decision can be tested, simulated and fuzzed.

pub mod access_log;
pub mod anomaly;
pub mod choice;
pub mod client_certificate;
pub mod compile;
pub mod connection_log;
pub mod delta;
pub mod desync;
pub mod dns;
pub mod forwarded;
pub mod guard;
pub mod health;
pub mod health_check_log;
pub mod http1;
pub mod lines;
pub mod log_gzip;
pub mod pages;
pub mod protocol;
pub mod routing;
pub mod stickiness;
pub mod target_tls;
pub mod tls;
pub mod wildcard;
pub mod zones;
