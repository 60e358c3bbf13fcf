//! Mutual TLS through real sockets: who is let in, and what targets are told.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/tls.rs"]
mod support_tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use elba_core::compile::Serves;
use elba_core::protocol;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use support::*;
use support_tls::{certificate, client_config, https};

struct Authority {
    pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CountryName, "US");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CommonName, name);
    let made = params.self_signed(&key).unwrap();
    Authority {
        pem: made.pem(),
        der: made.der().to_vec(),
        issuer: Issuer::new(params, key),
    }
}

/// Certificate and key of a client.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Shop");
        params
            .distinguished_name
            .push(DnType::CommonName, "client.example");
        params.serial_number = Some(SerialNumber::from(vec![0x03, 0xa5, 0xb1]));
        params.not_before = rcgen::date_time_ymd(2023, 9, 21);
        params.not_after = rcgen::date_time_ymd(2123, 9, 20);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        (CertificateDer::from(made.der().to_vec()), key)
    }

    fn revoking(&self, serial: &[u8]) -> String {
        CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial.to_vec()),
                revocation_time: rcgen::date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .pem()
        .unwrap()
    }
}

fn start(mut snapshot: protocol::Snapshot, mutual: protocol::MutualTls) -> Node {
    let (one, _) = certificate(&["one.example"]);
    snapshot = https(snapshot, vec![one]);
    snapshot.load_balancers[0].listeners[0].mutual_tls = Some(mutual);
    Node::start_as(
        snapshot,
        1,
        Serves::Listener {
            load_balancer: LB.into(),
            port: 443,
        },
    )
}

fn verify(authority: &Authority) -> protocol::MutualTls {
    protocol::MutualTls {
        mode: "verify".into(),
        trust_store_arn: "store".into(),
        ca_bundle: authority.pem.clone(),
        ..Default::default()
    }
}

fn config_of(chain: Option<Identity>, more: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = (*client_config(&["http/1.1"])).clone();
    if let Some((leaf, key)) = chain {
        let mut chain = vec![leaf];
        chain.extend(more.iter().map(|der| CertificateDer::from(der.to_vec())));
        config = ClientConfig::builder_with_provider(config.crypto_provider().clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(support_tls::anybody())
            .with_client_auth_cert(chain, key)
            .unwrap();
    }
    Arc::new(config)
}

const GET: &[u8] =
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Amzn-Mtls-Clientcert-Subject: CN=forged\r\nx-amzn-mtls-clientcert: forged\r\n\r\n";

/// The status of an answer; 0 = the connection ended instead.
fn ask(node: &Node, config: Arc<ClientConfig>) -> u16 {
    let name = ServerName::try_from("one.example").unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    let stream = TcpStream::connect(node.address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let mut head = [0; 12];
    match stream.write_all(GET).and_then(|()| stream.read_exact(&mut head)) {
        Ok(()) => std::str::from_utf8(&head[9..]).unwrap().parse().unwrap(),
        Err(error) => {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
            0
        }
    }
}

#[test]
fn verified_clients_are_told_of() {
    let target = Target::saying("x");
    let root = authority("Root");
    let node = start(snapshot(&[target.address]), verify(&root));
    let identity = root.client(|_| {});
    let config = config_of(Some((identity.0.clone(), identity.1.clone_key())), &[]);
    for _ in 0..2 {
        // no session is resumed: the second is verified as the first was
        assert_eq!(ask(&node, config.clone()), 200);
    }
    let request = target.last();
    let field = |name: &str| request.field(&format!("x-amzn-mtls-clientcert{name}"));
    assert_eq!(field("-serial-number"), Some("03A5B1"));
    assert_eq!(field("-issuer"), Some("CN=Root,O=Example\\, Inc.,C=US"));
    assert_eq!(field("-subject"), Some("CN=client.example,O=Shop"));
    assert_eq!(
        field("-validity"),
        Some("NotBefore=2023-09-21T00:00:00Z;NotAfter=2123-09-20T00:00:00Z")
    );
    let leaf = field("-leaf").unwrap();
    assert!(leaf.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{leaf}");
    let pem = leaf.replace("%20", " ").replace("%0A", "\n");
    assert_eq!(
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(),
        identity.0
    );
    assert_eq!(field(""), None);
    let subjects = request
        .fields
        .iter()
        .filter(|(name, _)| name.to_ascii_lowercase().ends_with("subject"));
    assert_eq!(subjects.count(), 1);
}

#[test]
fn who_is_not_let_in() {
    let target = Target::saying("x");
    let (root, other) = (authority("Root"), authority("Other"));
    let mut node = start(snapshot(&[target.address]), verify(&root));
    let mut refused = 0.0;
    let mut refuse = |node: &Node, what: &str, config: Arc<ClientConfig>| {
        assert_eq!(ask(node, config), 0, "{what}");
        refused += 1.0;
    };
    refuse(&node, "none", config_of(None, &[]));
    refuse(&node, "untrusted", config_of(Some(other.client(|_| {})), &[]));
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    refuse(&node, "expired", config_of(Some(root.client(expired)), &[]));
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2120, 1, 1);
    refuse(&node, "early", config_of(Some(root.client(early)), &[]));
    let server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    refuse(&node, "purpose", config_of(Some(root.client(server)), &[]));
    assert_eq!(target.count(), 0);
    assert_eq!(node.counted("ClientTLSNegotiationErrorCount", refused), refused);

    // the trust store changes: for new connections at once
    assert_eq!(ask(&node, config_of(Some(root.client(|_| {})), &[])), 200);
    node.install(|snapshot| {
        let listener = &mut snapshot.load_balancers[0].listeners[0];
        let mutual = listener.mutual_tls.as_mut().unwrap();
        mutual.ignore_expiry = true;
        mutual.crls = vec![root.revoking(&[0x03, 0xa5, 0xb1])];
        mutual.ca_bundle += &other.pem;
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(ask(&node, config_of(Some(root.client(|_| {})), &[])), 0);
    let good = |params: &mut CertificateParams| {
        params.serial_number = Some(SerialNumber::from(7));
        params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    };
    assert_eq!(ask(&node, config_of(Some(root.client(good)), &[])), 200);
    assert_eq!(ask(&node, config_of(Some(other.client(|_| {})), &[])), 200);
}

#[test]
fn passed_through() {
    let target = Target::saying("x");
    let root = authority("Root");
    let mutual = protocol::MutualTls {
        mode: "passthrough".into(),
        ..Default::default()
    };
    let mut snapshot = snapshot(&[target.address]);
    snapshot.load_balancers[0].listeners[0].attributes.insert(
        "routing.http.request.x_amzn_mtls_clientcert.header_name".into(),
        "X-Chain".into(),
    );
    let node = start(snapshot, mutual);
    assert_eq!(ask(&node, config_of(None, &[])), 200);
    assert_eq!(target.last().field("x-chain"), None);
    assert_eq!(target.last().field("x-amzn-mtls-clientcert-subject"), None);
    let identity = root.client(|params| params.not_after = rcgen::date_time_ymd(2024, 1, 1));
    assert_eq!(ask(&node, config_of(Some(identity), &[&root.der])), 200);
    let chain = target.last().field("x-chain").unwrap().to_owned();
    assert_eq!(chain.matches("-----BEGIN%20CERTIFICATE-----%0A").count(), 2);
    assert_eq!(target.last().field("x-amzn-mtls-clientcert-subject"), None);
}
