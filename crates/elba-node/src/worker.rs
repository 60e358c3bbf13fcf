//! The worker threads: thread per core, each with its own runtime, listeners, pools and counters.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use elba_core::compile::{Compiled, Serves};

use crate::counters::Counters;

/// Names a bound address among its workers' listeners; the caller's choice, unique while it listens.
pub type BindId = u64;

pub struct Workers {}

impl Workers {
    /// Starts `count` threads (0 = one per core) that serve nothing yet.
    ///
    /// # Errors
    /// The system refuses a thread or an epoll instance.
    pub fn start(_count: usize, _counters: Arc<Counters>) -> io::Result<Workers> {
        Ok(Workers {})
    }

    /// How many threads there are, which is how many listeners `listen` wants.
    pub fn count(&self) -> usize {
        0
    }

    /// Gives every worker this configuration for its next request; requests in flight keep the one they began with,
    /// except those on a target in `compiled.cut`, which end with 502 (or a closed connection).
    pub fn install(&self, _compiled: Arc<Compiled>) {}

    /// Accepts connections from `listeners`, one for each worker (SO_REUSEPORT, listening, any blocking mode).
    pub fn listen(&self, _bind: BindId, _listeners: Vec<TcpListener>, _serves: Serves) {}

    /// Stops accepting there: what waits in the accept queues is still taken, then the sockets are closed. Open
    /// connections are served on while their listener is in the configuration.
    pub fn unlisten(&self, _bind: BindId) {}

    /// Stops accepting anywhere, closes idle connections, lets requests in flight finish for at most `limit`.
    /// Returns at once; `join` waits for the end.
    pub fn drain(&self, _limit: Duration) {}

    /// Waits until all workers have ended, which they do after `drain`.
    pub fn join(self) {}
}
