//! What targets and logs are told of a client's certificates.

use std::fmt::Write as _;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::Mode;

/// What a certificate says of its owner, as AWS writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// in hex
    pub serial: String,
    /// RFC 2253
    pub issuer: String,
    pub subject: String,
    /// "NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z"
    pub validity: String,
}

impl Facts {
    /// None if it is no certificate.
    pub fn parse(der: &[u8]) -> Option<Facts> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let time = |seconds: i64| crate::access_log::format_second(seconds.max(0) as u64);
        Some(Facts {
            serial: parsed.raw_serial().iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02X}");
                hex
            }),
            issuer: name(parsed.issuer()),
            subject: name(parsed.subject()),
            validity: format!(
                "NotBefore={}Z;NotAfter={}Z",
                time(validity.not_before.timestamp()),
                time(validity.not_after.timestamp())
            ),
        })
    }
}

/// A name as RFC 2253 writes it: the last part first.
fn name(name: &X509Name) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            let kind = attribute.attr_type().to_id_string();
            let keyword = match kind.as_str() {
                "2.5.4.3" => "CN",
                "2.5.4.5" => "serialNumber",
                "2.5.4.6" => "C",
                "2.5.4.7" => "L",
                "2.5.4.8" => "ST",
                "2.5.4.9" => "STREET",
                "2.5.4.10" => "O",
                "2.5.4.11" => "OU",
                "0.9.2342.19200300.100.1.1" => "UID",
                "0.9.2342.19200300.100.1.25" => "DC",
                "1.2.840.113549.1.9.1" => "emailAddress",
                other => other,
            };
            text.push_str(keyword);
            text.push('=');
            match attribute.as_str() {
                Ok(value) => push_value(&mut text, value),
                Err(_) => {
                    text.push('#');
                    for byte in attribute.as_slice() {
                        let _ = write!(text, "{byte:02X}");
                    }
                }
            }
        }
    }
    text
}

/// The value with what would end it escaped, and all that no header field may hold.
fn push_value(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let is_special = matches!(byte, b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';')
            || (at == 0 && matches!(byte, b'#' | b' '))
            || (at == last && byte == b' ');
        if is_special {
            text.push('\\');
            text.push(char::from(byte));
        } else if (b' '..0x7f).contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:02X}");
        }
    }
}

/// Certificates as PEM, percent-encoded but for `+`, `=` and `/`.
fn encoded_pem<'a>(chain: impl Iterator<Item = &'a [u8]>) -> String {
    let mut encoded = String::new();
    for der in chain {
        encoded.push_str("-----BEGIN%20CERTIFICATE-----%0A");
        let base64 = STANDARD.encode(der);
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            encoded.push_str(line);
            encoded.push_str("%0A");
            rest = after;
        }
        encoded.push_str("-----END%20CERTIFICATE-----%0A");
    }
    encoded
}

/// The names of the fields that tell targets of clients' certificates, by `Field`.
pub const FIELDS: [(&str, &str); 6] = [
    (
        "x_amzn_mtls_clientcert_serial_number",
        "X-Amzn-Mtls-Clientcert-Serial-Number",
    ),
    ("x_amzn_mtls_clientcert_issuer", "X-Amzn-Mtls-Clientcert-Issuer"),
    ("x_amzn_mtls_clientcert_subject", "X-Amzn-Mtls-Clientcert-Subject"),
    (
        "x_amzn_mtls_clientcert_validity",
        "X-Amzn-Mtls-Clientcert-Validity",
    ),
    ("x_amzn_mtls_clientcert_leaf", "X-Amzn-Mtls-Clientcert-Leaf"),
    ("x_amzn_mtls_clientcert", "X-Amzn-Mtls-Clientcert"),
];

/// What targets are told of a connection's client.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// by `FIELDS`; empty = not sent
    pub values: [String; 6],
}

impl Told {
    /// Of a chain that was presented, the client's own certificate first.
    pub fn of(mode: Mode, chain: &[CertificateDer<'_>]) -> Told {
        let mut told = Told::default();
        let Some(leaf) = chain.first() else { return told };
        match mode {
            Mode::Passthrough => told.values[5] = encoded_pem(chain.iter().map(AsRef::as_ref)),
            Mode::Verify => {
                let facts = Facts::parse(leaf).unwrap_or_default();
                told.values[0] = facts.serial;
                told.values[1] = facts.issuer;
                told.values[2] = facts.subject;
                told.values[3] = facts.validity;
                told.values[4] = encoded_pem(std::iter::once(leaf.as_ref()));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let escaped = |value| {
            let mut text = String::new();
            push_value(&mut text, value);
            text
        };
        assert_eq!(escaped("Example, Inc."), "Example\\, Inc.");
        assert_eq!(escaped(" #a+b "), "\\ #a\\+b\\ ");
        assert_eq!(escaped("é\r\n"), "\\C3\\A9\\0D\\0A");
        assert_eq!(escaped("#1\"<>;\\"), "\\#1\\\"\\<\\>\\;\\\\");
    }

    #[test]
    fn pem_is_encoded_but_for_three_signs() {
        let encoded = encoded_pem([&[0xfb, 0xff, 0xfe, 0][..]].into_iter());
        assert_eq!(
            encoded,
            "-----BEGIN%20CERTIFICATE-----%0A+//+AA==%0A-----END%20CERTIFICATE-----%0A"
        );
    }
}
