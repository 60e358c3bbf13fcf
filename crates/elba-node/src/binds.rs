//! The sockets that carry traffic: which addresses are listened on, kept equal to the configuration in force.
//!
//! A bind that fails is a standing problem, retried until it works or is no longer wanted; all others are untouched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener};

use elba_core::compile::{Bind, Serves};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::handover::Listeners;
use crate::log;
use crate::problems::Problems;
use crate::worker::{BindId, Workers};

/// The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 65535;

struct Bound {
    id: BindId,
    /// The same sockets, kept to be handed to a successor; to be dropped before `unlisten` or `drain`.
    duplicates: Vec<TcpListener>,
}

pub struct Binds {
    wanted: BTreeSet<Bind>,
    bound: BTreeMap<Bind, Bound>,
    /// Sockets of a predecessor that are still to be taken up.
    inherited: BTreeMap<Bind, Vec<TcpListener>>,
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

fn describe(serves: &Serves) -> &str {
    match serves {
        Serves::Listener { load_balancer, .. } => load_balancer,
        Serves::FrontDoor { .. } => "the front door",
    }
}

impl Binds {
    pub fn new(inherited: Listeners, problems: Problems) -> Self {
        Binds {
            wanted: BTreeSet::new(),
            bound: BTreeMap::new(),
            inherited: inherited.into_iter().collect(),
            next: 1,
            problems,
        }
    }

    /// Listens on what is wanted and not yet bound, and gives up what is no longer wanted.
    pub fn reconcile(&mut self, wanted: impl IntoIterator<Item = Bind>, workers: &Workers) {
        let mut taken: BTreeMap<SocketAddr, Bind> = BTreeMap::new();
        let mut conflicts = Vec::new();
        // Sorted, so that it is always the same one that wins.
        for bind in wanted.into_iter().collect::<BTreeSet<Bind>>() {
            match taken.get(&bind.address) {
                Some(first) => conflicts.push(format!(
                    "{} is wanted twice, for {} and for {}: the first has it",
                    bind.address,
                    describe(&first.serves),
                    describe(&bind.serves)
                )),
                None => drop(taken.insert(bind.address, bind)),
            }
        }
        self.problems.replace("address.", conflicts);
        self.wanted = taken.into_values().collect();
        self.retry(workers);
        // After the new ones: an address that only changed hands is never without a listener.
        let wanted = &self.wanted;
        self.bound.retain(|bind, bound| {
            let stays = wanted.contains(bind);
            if !stays {
                bound.duplicates.clear();
                workers.unlisten(bound.id);
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
            match self.open(&wanted, workers.count()) {
                Ok((listeners, duplicates)) => {
                    let id = self.next;
                    self.next += 1;
                    workers.listen(id, listeners, wanted.serves.clone());
                    log::info("bound", json!({"address": wanted.address.to_string()}));
                    self.bound.insert(wanted, Bound { id, duplicates });
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
        // What the predecessor served and this configuration does not want is closed.
        self.inherited.clear();
    }

    /// The sockets of one address, inherited ones first, and their duplicates.
    fn open(&mut self, wanted: &Bind, count: usize) -> io::Result<(Vec<TcpListener>, Vec<TcpListener>)> {
        let mut listeners = self.inherited.remove(wanted).unwrap_or_default();
        listeners.truncate(count);
        if listeners.len() < count {
            listeners.extend(bind(wanted.address, count - listeners.len())?);
        }
        let duplicates = listeners
            .iter()
            .map(TcpListener::try_clone)
            .collect::<io::Result<Vec<_>>>()?;
        Ok((listeners, duplicates))
    }

    /// All sockets, for a successor.
    ///
    /// # Errors
    /// When file descriptors are short.
    pub fn listeners(&self) -> io::Result<Listeners> {
        let copy = |sockets: &[TcpListener]| {
            sockets
                .iter()
                .map(TcpListener::try_clone)
                .collect::<io::Result<Vec<TcpListener>>>()
        };
        self.bound
            .iter()
            .map(|(bind, bound)| Ok((bind.clone(), copy(&bound.duplicates)?)))
            .collect()
    }

    /// Leaves the sockets to the workers alone, before they drain.
    pub fn release(&mut self) {
        self.bound.values_mut().for_each(|bound| bound.duplicates.clear());
    }

    pub fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }

    pub fn is_complete(&self) -> bool {
        self.wanted.iter().all(|bind| self.bound.contains_key(bind))
    }
}
