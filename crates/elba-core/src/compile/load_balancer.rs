//! A load balancer with its listeners.

use std::net::IpAddr;
use std::sync::Arc;

use super::attributes::{response_headers, LoadBalancerAttributes, RequestNames};
use super::network::Sources;
use crate::guard::jwt::Signer;
use crate::protocol;
use crate::routing::Router;
use crate::stickiness::CookieKeys;
use crate::target_tls::TargetTls;
use crate::tls::Tls;

/// One listener with its rules. The node serves it if `supported`; otherwise `Compiled::problems` says why not.
#[derive(Debug)]
pub struct Listener {
    pub arn: String,
    pub port: u16,
    pub protocol: String,
    pub supported: bool,
    /// of an HTTPS listener that is supported
    pub tls: Option<Arc<Tls>>,
    /// how its requests are carried to targets that want TLS
    pub target_tls: Option<&'static TargetTls>,
    pub request_names: RequestNames,
    pub router: Router,
    /// `Server: awselb/2.0` on answers of our own
    pub server_header: bool,
    /// header fields added to every response: name as sent, name in lower case, value
    pub response_headers: Vec<(String, String, String)>,
    /// whom security groups let in; None = everybody
    sources: Option<Sources>,
}

impl Listener {
    /// Whether the load balancer's security groups let this client in.
    pub fn allows(&self, client: IpAddr) -> bool {
        self.sources
            .as_ref()
            .is_none_or(|sources| sources.contain(client))
    }

    /// Whether it lets in addresses of instances that it would not let in otherwise.
    pub fn allows_instances(&self) -> bool {
        self.sources.as_ref().is_some_and(Sources::name_instances)
    }
}

#[derive(Debug)]
pub struct LoadBalancer {
    pub source: protocol::LoadBalancer,
    pub attributes: LoadBalancerAttributes,
    pub listeners: Vec<Listener>,
    /// zone and address
    pub addresses: Vec<(String, IpAddr)>,
    pub cookie_keys: CookieKeys,
    pub signer: Option<Signer>,
    pub(super) problems: Vec<String>,
    /// every target group its rules name, with the slot it was resolved to
    pub(super) references: Vec<(String, Option<u32>)>,
}

impl LoadBalancer {
    pub fn listener(&self, port: u16) -> Option<(usize, &Listener)> {
        self.listeners
            .iter()
            .enumerate()
            .find(|(_, listener)| listener.port == port)
    }

    /// The slots of the target groups that its rules name.
    pub fn group_slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.references.iter().filter_map(|(_, slot)| *slot)
    }

    pub fn address_in(&self, zone: &str) -> Option<IpAddr> {
        self.addresses
            .iter()
            .find(|(name, _)| name == zone)
            .map(|(_, address)| *address)
    }
}

pub(super) fn compile_load_balancer(
    source: &protocol::LoadBalancer,
    scale: f64,
    resolve: &dyn Fn(&str) -> Option<u32>,
    before: Option<&LoadBalancer>,
) -> LoadBalancer {
    let mut problems = Vec::new();
    let attributes = LoadBalancerAttributes::parse(&source.attributes, &mut problems);
    let mut references: Vec<(String, Option<u32>)> = Vec::new();
    let mut listeners = Vec::with_capacity(source.listeners.len());
    for listener in &source.listeners {
        let mut note = |arn: &str| {
            let slot = resolve(arn);
            if !references.iter().any(|(known, _)| known == arn) {
                references.push((arn.to_owned(), slot));
            }
            slot
        };
        let router = Router::compile(listener, scale, &mut note, &mut problems);
        let is_application = source.kind == "application";
        let mut supported = is_application && listener.protocol == "HTTP";
        let mut tls = None;
        if is_application && listener.protocol == "HTTPS" {
            let known = before
                .and_then(|before| before.listeners.iter().find(|known| known.arn == listener.arn))
                .and_then(|known| known.tls.as_ref());
            match Tls::compile(listener, attributes.http2, known, &mut problems) {
                Ok(compiled) => {
                    tls = Some(compiled);
                    supported = true;
                }
                Err(reason) => {
                    problems.push(format!("listener {} is not served: {reason}", listener.arn));
                }
            }
        } else if !supported {
            problems.push(format!(
                "listener {}: {} listeners of {} load balancers are not served by this node",
                listener.arn, listener.protocol, source.kind
            ));
        }
        listeners.push(Listener {
            arn: listener.arn.clone(),
            port: listener.port,
            protocol: listener.protocol.clone(),
            supported,
            tls,
            target_tls: TargetTls::of_policy(&listener.ssl_policy),
            request_names: RequestNames::parse(&listener.attributes),
            router,
            server_header: listener
                .attributes
                .get("routing.http.response.server.enabled")
                .is_none_or(|value| value != "false"),
            response_headers: response_headers(&listener.attributes),
            sources: listener
                .allowed_sources
                .as_deref()
                .map(|texts| Sources::parse(texts, &listener.arn, &mut problems)),
        });
    }
    let mut addresses = Vec::with_capacity(source.addresses.len());
    for place in &source.addresses {
        match place.address.parse::<IpAddr>() {
            Ok(address) => addresses.push((place.zone.clone(), address)),
            Err(_) => problems.push(format!(
                "{}: {:?} is not an IP address (zone {})",
                source.arn, place.address, place.zone
            )),
        }
    }
    let cookie_keys = CookieKeys::parse(&source.cookie_keys, &mut problems);
    LoadBalancer {
        source: source.clone(),
        attributes,
        listeners,
        addresses,
        cookie_keys,
        signer: source.identity_key.as_ref().and_then(Signer::parse),
        problems,
        references,
    }
}
