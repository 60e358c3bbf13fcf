//! The header fields a load balancer adds or changes on the way to the target.

/// routing.http.xff_header_processing.mode
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XffMode {
    Append,
    Preserve,
    Remove,
}

impl XffMode {
    /// An unknown name is the default, append.
    pub fn parse(name: &str) -> XffMode {
        match name {
            "preserve" => XffMode::Preserve,
            "remove" => XffMode::Remove,
            _ => XffMode::Append,
        }
    }
}

/// The host of a Host field or authority without its port; brackets of an IPv6 address stay.
pub fn without_port(host: &[u8]) -> &[u8] {
    let from = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    match memchr::memchr(b':', &host[from..]) {
        Some(colon) => &host[..from + colon],
        None => host,
    }
}
