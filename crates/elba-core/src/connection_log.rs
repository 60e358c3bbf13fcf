//! One line of an Application Load Balancer's connection log, as AWS writes it. Source: alb.md section 19.2.

use std::net::SocketAddr;

use crate::access_log::{push_plain, push_quoted, push_trace, Second};
use crate::client_certificate::Facts;
use crate::http1::push_number;
use crate::lines::Lines;

/// An attempt to connect. What was not there is None or empty: `-` in the line.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// microseconds since the epoch
    pub time: u64,
    pub client: SocketAddr,
    pub listener_port: u16,
    pub protocol: &'a str,
    pub cipher: &'a str,
    /// microseconds
    pub handshake_time: Option<u64>,
    pub certificate: Option<&'a Facts>,
    /// "Success", "Failed:ClientCertUntrusted"
    pub status: &'a str,
    pub trace: u128,
    pub key_exchange: &'a str,
    /// "app/<name>/<id>"
    pub load_balancer: &'a str,
    /// the node's
    pub address: &'a str,
}

/// Fields of a line.
pub const FIELDS: usize = 15;

/// Appends the line with its line end.
pub fn push_line(out: &mut Lines, second: &mut Second, line: &Line) {
    second.push_time(&mut out.text, line.time);
    out.end_field();
    push_plain(out, &line.client.ip().to_string());
    for port in [line.client.port(), line.listener_port] {
        push_number(&mut out.text, u64::from(port));
        out.end_field();
    }
    push_plain(out, line.protocol);
    push_plain(out, line.cipher);
    let handshake = line
        .handshake_time
        .map(|micros| format!("{:.3}", micros as f64 / 1e6));
    push_plain(out, handshake.as_deref().unwrap_or(""));
    let fact = |of: fn(&Facts) -> &str| line.certificate.map_or("", of);
    push_quoted(out, fact(|facts| &facts.subject).as_bytes());
    push_plain(out, fact(|facts| &facts.validity));
    push_plain(out, fact(|facts| &facts.serial));
    push_plain(out, line.status);
    push_trace(out, line.trace);
    push_plain(out, line.key_exchange);
    push_plain(out, line.load_balancer);
    push_plain(out, line.address);
    out.end_line();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let facts = Facts {
            serial: "0A1B2C3D4E5F6071".into(),
            subject: "CN=client.example,O=Example".into(),
            validity: "NotBefore=2025-01-01T00:00:00Z;NotAfter=2026-01-01T00:00:00Z".into(),
            ..Facts::default()
        };
        let mut line = Line {
            time: 1_741_944_413_100_000,
            client: SocketAddr::from(([203, 0, 113, 9], 50122)),
            listener_port: 443,
            protocol: "TLSv1.2",
            cipher: "ECDHE-RSA-AES128-GCM-SHA256",
            handshake_time: Some(36_000),
            certificate: Some(&facts),
            status: "Success",
            trace: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
            key_exchange: "x25519",
            load_balancer: "app/one/1",
            address: "10.0.0.1",
        };
        let mut out = Lines::new(FIELDS);
        push_line(&mut out, &mut Second::default(), &line);
        assert_eq!(
            String::from_utf8_lossy(out.fresh()),
            "2025-03-14T09:26:53.100000Z 203.0.113.9 50122 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 0.036 \
             \"CN=client.example,O=Example\" NotBefore=2025-01-01T00:00:00Z;NotAfter=2026-01-01T00:00:00Z \
             0A1B2C3D4E5F6071 Success TID_00112233445566778899aabbccddeeff x25519 app/one/1 10.0.0.1\n"
        );
        (line.protocol, line.cipher, line.handshake_time) = ("", "", None);
        (line.certificate, line.status, line.key_exchange) = (None, "", "");
        out.use_up(0);
        push_line(&mut out, &mut Second::default(), &line);
        assert!(String::from_utf8_lossy(out.fresh()).contains(" 443 - - - \"-\" - - - TID_"));
    }
}
