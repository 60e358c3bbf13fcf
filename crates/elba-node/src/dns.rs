//! The node's own small services beside the traffic: DNS over UDP and TCP, and the liveness listener for peers.
//! Answers are put together by `elba_core::dns`; which zones they name by `elba_core::zones`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use elba_core::compile::Compiled;
use elba_core::dns::{respond, Transport, Zone};
use elba_core::zones::{self, Seen};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{watch, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout, Instant, MissedTickBehavior};

use crate::peers::{self, DownZones};
use crate::problems::Problems;
use crate::{health, log};

const TTL_SECONDS: f64 = 60.0;
const TCP_IDLE: Duration = Duration::from_secs(10);
const UDP_BUFFER_BYTES: usize = 4 << 20;
const MAX_TCP_CONNECTIONS: usize = 256;
/// Changes are gathered so long before the answers are made anew; longer if that takes long, so that a burst of changes
/// to a large configuration costs a tenth of a core at most.
const REBUILD_PAUSE: Duration = Duration::from_millis(10);
const REBUILD_PAUSE_SHARE: u32 = 10;
const BIND_RETRY: Duration = Duration::from_secs(1);

/// The answers of this moment.
pub fn build_zone(compiled: &Compiled, down: &BTreeSet<String>) -> Zone {
    let node = &compiled.node;
    let ttl = (TTL_SECONDS / node.clock.scale).round().clamp(1.0, TTL_SECONDS);
    let mut zone = Zone::new(ttl as u32, compiled.version as u32);
    if !node.region.is_empty() {
        zone.add_domain(&format!("{}.elb.amazonaws.com", node.region));
        zone.add_domain(&format!("elb.{}.amazonaws.com", node.region));
    }
    for balancer in &compiled.load_balancers {
        let name = balancer.source.dns_name.as_str();
        let Some((_, domain)) = name.split_once('.') else {
            continue;
        };
        zone.add_domain(domain);
        let in_use: Vec<_> = zones::groups_in_use(&balancer.source)
            .into_iter()
            .filter_map(|arn| compiled.target_group(arn))
            .map(|group| {
                let active = group.targets.iter().filter(|target| !target.draining);
                let seen = active
                    .filter(|target| {
                        let zone = target.source.zone.as_str();
                        zone.is_empty()
                            || zone == "all"
                            || balancer.addresses.iter().any(|(known, _)| known == zone)
                    })
                    .map(|target| Seen {
                        zone: &target.source.zone,
                        healthy: target.state.health().takes_traffic(),
                    });
                (&group.source, seen.collect::<Vec<_>>())
            })
            .collect();
        let answered = zones::zones_to_answer(&balancer.source, &in_use, |zone| {
            zone == node.zone || !down.contains(zone)
        });
        let address_of = |zone: &str| match balancer.address_in(zone) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        zone.add_name(
            name,
            answered.iter().filter_map(|zone| address_of(zone)).collect(),
        );
        for (place, _) in &balancer.addresses {
            zone.add_name(
                &format!("{place}.{name}"),
                address_of(place).into_iter().collect(),
            );
        }
    }
    zone.finish();
    zone
}

struct Services {
    zone: RefCell<Rc<Zone>>,
    rotation: Cell<usize>,
    tcp_permits: Semaphore,
}

impl Services {
    fn respond(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let rotation = self.rotation.get();
        self.rotation.set(rotation.wrapping_add(1));
        let zone = self.zone.borrow().clone();
        respond(query, &zone, transport, rotation)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    DnsUdp(String),
    DnsTcp(String),
    /// address, zone to greet with
    Liveness(String, String),
}

impl Service {
    fn describe(&self) -> String {
        match self {
            Service::DnsUdp(address) => format!("DNS address {address} (UDP)"),
            Service::DnsTcp(address) => format!("DNS address {address} (TCP)"),
            Service::Liveness(address, _) => format!("liveness address {address}"),
        }
    }
}

/// Serves DNS and liveness as the configuration in force says, until `stopping` or the configuration's end.
pub async fn run(
    mut compiled: watch::Receiver<Arc<Compiled>>,
    health: health::Table,
    mut down: watch::Receiver<DownZones>,
    mut stopping: watch::Receiver<bool>,
    problems: Problems,
) {
    let services = Rc::new(Services {
        zone: RefCell::default(),
        rotation: Cell::new(0),
        tcp_permits: Semaphore::new(MAX_TCP_CONNECTIONS),
    });
    let mut health_changes = health.subscribe();
    let mut running: BTreeMap<Service, JoinHandle<()>> = BTreeMap::new();
    let mut retry = interval(BIND_RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wanted: BTreeSet<Service> = BTreeSet::new();
    loop {
        let current = compiled.borrow_and_update().clone();
        let down_now = down.borrow_and_update().clone();
        health_changes.mark_unchanged();
        let begun = Instant::now();
        *services.zone.borrow_mut() = Rc::new(build_zone(&current, &down_now));
        let pause = REBUILD_PAUSE.max(begun.elapsed() * REBUILD_PAUSE_SHARE);
        let now_wanted = wanted_services(&current);
        drop(current);
        if now_wanted != wanted {
            wanted = now_wanted;
            reconcile(&services, &wanted, &mut running, &problems);
        }
        loop {
            tokio::select! {
                changed = compiled.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                _ = down.changed() => {}
                _ = health_changes.changed() => {}
                _ = stopping.wait_for(|stop| *stop) => {
                    // Peers and resolvers turn to the other zones while this one drains.
                    running.values().for_each(JoinHandle::abort);
                    return;
                }
                _ = retry.tick() => {
                    reconcile(&services, &wanted, &mut running, &problems);
                    continue;
                }
            }
            break;
        }
        // Before, not after: in the first moments the changed configuration is the workers' and the health checks'.
        sleep(pause).await;
    }
}

fn wanted_services(compiled: &Compiled) -> BTreeSet<Service> {
    let node = &compiled.node;
    let mut wanted = BTreeSet::new();
    for address in &node.dns {
        wanted.insert(Service::DnsUdp(address.clone()));
        wanted.insert(Service::DnsTcp(address.clone()));
    }
    if !node.liveness.is_empty() {
        wanted.insert(Service::Liveness(node.liveness.clone(), node.zone.clone()));
    }
    wanted
}

fn reconcile(
    services: &Rc<Services>,
    wanted: &BTreeSet<Service>,
    running: &mut BTreeMap<Service, JoinHandle<()>>,
    problems: &Problems,
) {
    running.retain(|service, task| {
        let stays = wanted.contains(service);
        if !stays {
            task.abort();
        }
        stays
    });
    let mut failed = Vec::new();
    for service in wanted {
        if running.contains_key(service) {
            continue;
        }
        match start(services, service) {
            Ok(task) => {
                running.insert(service.clone(), task);
            }
            Err(error) => failed.push(format!("cannot bind {}: {error}", service.describe())),
        }
    }
    let known = problems.all();
    for text in failed.iter().filter(|text| !known.contains(text)) {
        log::warning("bind_failed", json!({"reason": text}));
    }
    problems.replace("services.", failed);
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    if kind == Type::DGRAM {
        // Best effort: a burst of queries waits instead of being dropped.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(128)?;
    }
    Ok(socket)
}

fn start(services: &Rc<Services>, service: &Service) -> io::Result<JoinHandle<()>> {
    let parse = |text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not address:port"))
    };
    Ok(match service {
        Service::DnsUdp(address) => {
            let socket =
                UdpSocket::from_std(socket(parse(address)?, Type::DGRAM, Protocol::UDP, true)?.into())?;
            tokio::task::spawn_local(serve_udp(socket, services.clone()))
        }
        Service::DnsTcp(address) => {
            let listener =
                TcpListener::from_std(socket(parse(address)?, Type::STREAM, Protocol::TCP, true)?.into())?;
            tokio::task::spawn_local(serve_tcp(listener, services.clone()))
        }
        Service::Liveness(address, zone) => {
            let listener =
                TcpListener::from_std(socket(parse(address)?, Type::STREAM, Protocol::TCP, false)?.into())?;
            let zone = zone.clone();
            tokio::task::spawn_local(async move {
                loop {
                    let stream = accept(&listener).await;
                    peers::greet(stream, &zone).await;
                }
            })
        }
    })
}

/// The next connection. A shortage (no file descriptors) is waited out, for the listener itself is well.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve_udp(socket: UdpSocket, services: Rc<Services>) {
    let mut packet = vec![0_u8; 4096];
    loop {
        // Errors here are those of earlier answers (port unreachable): nothing to do about them.
        let Ok((length, client)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        if let Some(answer) = services.respond(&packet[..length], Transport::Udp) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, services: Rc<Services>) {
    loop {
        let stream = accept(&listener).await;
        let services = services.clone();
        tokio::task::spawn_local(async move {
            // Beyond the limit a connection is closed at once: its client asks another node.
            if let Ok(_permit) = services.tcp_permits.try_acquire() {
                let _ = serve_connection(stream, &services).await;
            }
        });
    }
}

async fn serve_connection(mut stream: TcpStream, services: &Services) -> io::Result<()> {
    loop {
        let query = timeout(TCP_IDLE, async {
            let length = stream.read_u16().await?;
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await?;
            io::Result::Ok(query)
        })
        .await??;
        let Some(answer) = services.respond(&query, Transport::Tcp) else {
            return Ok(());
        };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        timeout(TCP_IDLE, stream.write_all(&framed)).await??;
    }
}
