//! HTTP/2, as far as it differs from HTTP/1: frames and header compression are the `h2` crate's, what is done with a
//! request is `proxy`'s. Source: alb.md section 14.
//!
//! A client's stream is given to `proxy` as a connection with one request on it: its head is written as an HTTP/1
//! head (`head`), so that there is one code that decides; its bodies pass through as they come (`stream`, and `pipe` where the target speaks HTTP/2 too). Connections
//! to targets that speak HTTP/2 are `upstream`'s, a request on one is `proxy::multiplexed`'s.

pub mod check;
pub mod head;
pub mod pipe;
pub mod serve;
pub mod stream;
pub mod upstream;
