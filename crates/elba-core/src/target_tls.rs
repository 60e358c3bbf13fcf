//! TLS to targets: which versions and suites are offered, and that no certificate is asked for its credentials (AWS
//! accepts expired and self-signed ones). Source: alb.md section 6.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::ring::default_provider;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::tls::Policy;

/// Targets whose sessions are remembered, per family of policies.
const SESSIONS: usize = 4096;

/// Accepts whoever answers, whatever it shows: neither names, dates nor signatures are looked at.
#[derive(Debug)]
pub struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]
    }
}

/// The client's side of TLS to targets, for all workers: they share the sessions that targets offer to resume.
#[derive(Debug)]
pub struct TargetTls {
    /// speaks HTTP/1.1; no ALPN, which every server takes
    pub http1: Arc<ClientConfig>,
    /// offers `h2` and nothing else
    pub http2: Arc<ClientConfig>,
}

impl TargetTls {
    fn new(policy: &str) -> Option<TargetTls> {
        let policy = Policy::parse(policy)?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: policy.suites,
            ..default_provider()
        });
        let mut http1 = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&policy.versions)
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        http1.enable_sni = false;
        let sessions = || Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS)));
        http1.resumption = sessions();
        let mut http2 = http1.clone();
        http2.resumption = sessions();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Some(TargetTls {
            http1: Arc::new(http1),
            http2: Arc::new(http2),
        })
    }

    /// What a request is carried on with that came through a listener with this security policy; "" = a plain one.
    /// Post-quantum groups are not to be had: those families are served like the ones without.
    pub fn of_policy(policy: &str) -> Option<&'static TargetTls> {
        static FIPS: LazyLock<Option<TargetTls>> = LazyLock::new(|| TargetTls::new("TLS13-1-0-FIPS-2023-04"));
        static TLS13: LazyLock<Option<TargetTls>> = LazyLock::new(|| TargetTls::new("TLS13-1-0-2021-06"));
        static OLDER: LazyLock<Option<TargetTls>> = LazyLock::new(|| TargetTls::new("2016-08"));
        let family = if policy.contains("-FIPS-") {
            &FIPS
        } else if policy.contains("TLS13-") {
            &TLS13
        } else {
            &OLDER
        };
        family.as_ref()
    }

    /// What checks are made with: whatever a target can speak with some listener.
    pub fn of_checks() -> Option<&'static TargetTls> {
        TargetTls::of_policy("TLS13-1-0-2021-06")
    }
}

/// By which name the sessions of a target are remembered. It is not sent.
///
/// # Errors
/// Not for any address.
pub fn session_name(address: SocketAddr) -> Result<ServerName<'static>, Error> {
    let name: String = address
        .to_string()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    ServerName::try_from(format!("t{name}.target")).map_err(|error| Error::General(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::ClientConnection;

    #[test]
    fn families() {
        let versions = |policy| {
            let config = &TargetTls::of_policy(policy).unwrap().http1;
            let suites = config.crypto_provider().cipher_suites.len();
            let name = session_name("127.0.0.1:443".parse().unwrap()).unwrap();
            ClientConnection::new(config.clone(), name).unwrap();
            suites
        };
        assert_eq!(versions(""), 4);
        assert_eq!(versions("ELBSecurityPolicy-2016-08"), 4);
        assert_eq!(versions("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"), 7);
        assert_eq!(versions("ELBSecurityPolicy-TLS13-1-2-FIPS-PQ-2025-09"), 6);
    }

    #[test]
    fn every_address_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = [
            "127.0.0.1:443",
            "127.0.0.1:8443",
            "[::1]:443",
            "[2001:db8::1]:443",
        ]
        .iter()
        .map(|address| session_name(address.parse().unwrap()).unwrap())
        .collect();
        assert_eq!(names.len(), 4);
    }
}
