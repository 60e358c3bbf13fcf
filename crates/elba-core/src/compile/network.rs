//! Networks, for source-ip conditions and security groups.

use std::collections::HashSet;
use std::net::IpAddr;

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// None when it is not an address or `address/prefix`.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().ok()?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(text) => text.parse::<u8>().ok().filter(|bits| *bits <= longest)?,
            None => longest,
        };
        Some(Cidr { network, prefix })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = (u32::MAX).checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = (u128::MAX).checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

/// Many networks as one question. Rules that let in all, and single addresses (the members of a security group),
/// cost no search: it is asked with every request.
#[derive(Debug, Default)]
pub struct Sources {
    every_v4: bool,
    every_v6: bool,
    hosts: HashSet<IpAddr>,
    networks: Vec<Cidr>,
    /// host addresses of a VPC are among them
    name_instances: bool,
}

impl Sources {
    /// What is not a network is left out and named in `problems`, as said of `of`.
    pub(super) fn parse(texts: &[String], of: &str, problems: &mut Vec<String>) -> Sources {
        let mut sources = Sources::default();
        for text in texts {
            let cidr = Cidr::parse(text);
            // 127.0.0.0/16 is no VPC's
            sources.name_instances |= cidr.is_some_and(|cidr| match cidr.network {
                IpAddr::V4(network) => network.octets()[0] == 127 && network.octets()[1] != 0,
                IpAddr::V6(_) => false,
            });
            match cidr {
                Some(Cidr { network, prefix: 0 }) if network.is_ipv4() => sources.every_v4 = true,
                Some(Cidr { prefix: 0, .. }) => sources.every_v6 = true,
                Some(cidr) if cidr.prefix == if cidr.network.is_ipv4() { 32 } else { 128 } => {
                    sources.hosts.insert(cidr.network);
                }
                Some(cidr) => sources.networks.push(cidr),
                None => problems.push(format!("{of}: {text:?} is not a CIDR")),
            }
        }
        sources
    }

    pub fn name_instances(&self) -> bool {
        self.name_instances
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        let every = if address.is_ipv4() {
            self.every_v4
        } else {
            self.every_v6
        };
        every
            || self.hosts.contains(&address)
            || self.networks.iter().any(|network| network.contains(address))
    }
}
