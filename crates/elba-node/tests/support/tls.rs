//! What clients and listeners of TLS need in tests.

use std::sync::Arc;

use elba_core::protocol;
use elba_core::target_tls::AnyCertificate;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::ServerCertVerifier;
use rustls::ClientConfig;

/// What a client that takes any certificate verifies with.
pub fn anybody() -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyCertificate)
}

/// A client that takes any certificate and offers these protocols.
pub fn client_config(alpn: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anybody())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A certificate for these names that signs itself, and its bytes.
pub fn certificate(names: &[&str]) -> (protocol::Certificate, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = CertificateParams::new(names.clone())
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let der = made.der().to_vec();
    let certificate = protocol::Certificate {
        arn: names[0].clone(),
        chain: made.pem(),
        private_key: key.serialize_pem(),
        names,
    };
    (certificate, der)
}

/// The first listener, on port 443 with these certificates.
pub fn https(
    mut snapshot: protocol::Snapshot,
    certificates: Vec<protocol::Certificate>,
) -> protocol::Snapshot {
    let listener = &mut snapshot.load_balancers[0].listeners[0];
    listener.protocol = "HTTPS".into();
    listener.port = 443;
    listener.ssl_policy = "ELBSecurityPolicy-TLS13-1-2-2021-06".into();
    listener.certificates = certificates;
    snapshot
}
