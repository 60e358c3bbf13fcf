//! The sockets that carry traffic: which addresses are listened on, kept equal to the configuration in force.
//!
//! A bind that fails is a standing problem, retried until it works or is no longer wanted; all others are untouched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener};

use elba_core::compile::Bind;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::log;
use crate::problems::Problems;
use crate::worker::{BindId, Workers};

/// The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 65535;

pub struct Binds {
    wanted: BTreeSet<Bind>,
    bound: BTreeMap<Bind, BindId>,
    next: BindId,
    problems: Problems,
}

/// One listening socket per worker: the kernel spreads connections among them.
fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            Ok(socket)
        })
        .collect::<io::Result<Vec<Socket>>>()?
        .into_iter()
        .map(|socket| {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

impl Binds {
    pub fn new(problems: Problems) -> Self {
        Binds {
            wanted: BTreeSet::new(),
            bound: BTreeMap::new(),
            next: 1,
            problems,
        }
    }

    /// Listens on what is wanted and not yet bound, and gives up what is no longer wanted.
    pub fn reconcile(&mut self, wanted: impl IntoIterator<Item = Bind>, workers: &Workers) {
        self.wanted = wanted.into_iter().collect();
        self.retry(workers);
        // After the new ones: an address that only changed hands is never without a listener.
        let wanted = &self.wanted;
        self.bound.retain(|bind, id| {
            let stays = wanted.contains(bind);
            if !stays {
                workers.unlisten(*id);
                log::info("unbound", json!({"address": bind.address.to_string()}));
            }
            stays
        });
    }

    /// Tries again what could not be bound.
    pub fn retry(&mut self, workers: &Workers) {
        let missing: Vec<Bind> = self
            .wanted
            .iter()
            .filter(|b| !self.bound.contains_key(b))
            .cloned()
            .collect();
        let known = self.problems.all();
        let mut failed = Vec::new();
        for wanted in missing {
            match bind(wanted.address, workers.count()) {
                Ok(listeners) => {
                    workers.listen(self.next, listeners, wanted.serves.clone());
                    log::info("bound", json!({"address": wanted.address.to_string()}));
                    self.bound.insert(wanted, self.next);
                    self.next += 1;
                }
                Err(error) => {
                    let text = format!("cannot bind {}: {error}", wanted.address);
                    if !known.contains(&text) {
                        log::warning(
                            "bind_failed",
                            json!({"address": wanted.address.to_string(), "reason": text}),
                        );
                    }
                    failed.push(text);
                }
            }
        }
        self.problems.replace("bind.", failed);
    }

    pub fn is_complete(&self) -> bool {
        self.wanted.iter().all(|bind| self.bound.contains_key(bind))
    }
}
