//! What a version wants bound, and which load balancer a request on the front door means.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::load_balancer::{Listener, LoadBalancer};
use super::Compiled;

/// What one bound socket serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Serves {
    Listener {
        load_balancer: String,
        port: u16,
    },
    /// every load balancer with a listener on this port, chosen by Host header (`Compiled::find_front_door`)
    FrontDoor {
        port: u16,
    },
}

/// An address that the node has to listen on while this version is in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bind {
    pub address: SocketAddr,
    pub serves: Serves,
}

/// A load balancer's listener in a `Compiled`, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub load_balancer: u32,
    pub listener: u32,
}

impl Compiled {
    pub fn find_listener(&self, load_balancer: &str, port: u16) -> Option<Place> {
        let index = *self.load_balancer_by_arn.get(load_balancer)?;
        let (listener, _) = self.load_balancers[index as usize].listener(port)?;
        Some(Place {
            load_balancer: index,
            listener: listener as u32,
        })
    }

    /// The load balancer that a request with this Host (port and case ignored) means on the front door of `port`:
    /// the one whose DNS name it is; else the only one with a listener on that port; else the only one that has a
    /// rule on that listener whose host-header condition matches. None = nobody can tell; the request is then
    /// answered 421 (Misdirected Request), for the wrong load balancer's 404 would be more puzzling. With `tls` only TLS
    /// listeners count, `host` is the name of the client hello, and the last resort is the only one with a certificate
    /// for it; without, only plain ones.
    pub fn find_front_door(&self, port: u16, host: Option<&[u8]>, tls: bool) -> Option<Place> {
        let mut places = self.by_port.get(&port)?.clone();
        places.retain(|place| self.listener_at(*place).tls.is_some() == tls);
        let host = host.map(|host| crate::forwarded::without_port(host).to_ascii_lowercase());
        if let Some(index) = host
            .as_deref()
            .and_then(|host| std::str::from_utf8(host).ok())
            .and_then(|host| self.by_dns_name.get(host.trim_end_matches('.')))
        {
            return places.iter().find(|place| place.load_balancer == *index).copied();
        }
        if let [only] = places.as_slice() {
            return Some(*only);
        }
        let host = host?;
        let mut matching = places
            .iter()
            .filter(|place| self.listener_at(**place).router.names_host(&host));
        match (matching.next(), matching.next()) {
            (Some(place), None) => Some(*place),
            (None, None) if tls => {
                let name = std::str::from_utf8(&host).ok()?;
                let named = |place: &&Place| {
                    let tls = self.listener_at(**place).tls.as_ref();
                    tls.is_some_and(|tls| tls.covers(name))
                };
                let mut matching = places.iter().filter(named);
                match (matching.next(), matching.next()) {
                    (Some(place), None) => Some(*place),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether a listener on this port speaks TLS (plain HTTP).
    pub fn speaks(&self, port: u16, tls: bool) -> bool {
        let places = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        places
            .iter()
            .any(|place| self.listener_at(*place).tls.is_some() == tls)
    }

    pub fn load_balancer_at(&self, place: Place) -> &Arc<LoadBalancer> {
        &self.load_balancers[place.load_balancer as usize]
    }

    pub fn listener_at(&self, place: Place) -> &Listener {
        &self.load_balancers[place.load_balancer as usize].listeners[place.listener as usize]
    }

    /// Every address that this node listens on for the sake of this version: each supported listener on its load
    /// balancer's address in the node's zone, and each port once on the front door. Sorted, without duplicates.
    pub fn binds(&self) -> Vec<Bind> {
        let mut binds = Vec::new();
        for balancer in &self.load_balancers {
            let Some(address) = balancer.address_in(&self.node.zone) else {
                continue;
            };
            for listener in balancer.listeners.iter().filter(|listener| listener.supported) {
                binds.push(Bind {
                    address: SocketAddr::new(address, listener.port),
                    serves: Serves::Listener {
                        load_balancer: balancer.source.arn.clone(),
                        port: listener.port,
                    },
                });
            }
        }
        if let Ok(address) = self.node.front_door.parse::<IpAddr>() {
            binds.extend(self.by_port.keys().map(|port| Bind {
                address: SocketAddr::new(address, *port),
                serves: Serves::FrontDoor { port: *port },
            }));
        }
        binds.sort();
        binds.dedup();
        binds
    }
}
