//! Mutual TLS through real sockets: who is let in, and what targets are told.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/http2.rs"]
mod support_http2;
#[path = "support/logs.rs"]
mod support_logs;
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
use support_http2::{client_as, get, run};
use support_logs::*;
use support_tls::{certificate, client_config, https};

struct Authority {
    pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    authority_of(name, |_| {})
}

fn authority_of(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let key = KeyPair::generate().unwrap();
    let params = authority_params(name, change);
    let made = params.self_signed(&key).unwrap();
    Authority {
        pem: made.pem(),
        der: made.der().to_vec(),
        issuer: Issuer::new(params, key),
    }
}

fn authority_params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CountryName, "US");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    params
}

/// Certificate and key of a client.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    /// An authority that this one has signed.
    fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name, change);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Authority {
            pem: made.pem(),
            der: made.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

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

fn with_mutual_tls(mut snapshot: protocol::Snapshot, mutual: protocol::MutualTls) -> protocol::Snapshot {
    let (one, _) = certificate(&["one.example"]);
    snapshot = https(snapshot, vec![one]);
    snapshot.load_balancers[0].listeners[0].mutual_tls = Some(mutual);
    snapshot
}

fn start(snapshot: protocol::Snapshot, mutual: protocol::MutualTls) -> Node {
    Node::start_as(
        with_mutual_tls(snapshot, mutual),
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
    config_speaking("http/1.1", chain, more)
}

fn config_speaking(protocol: &str, chain: Option<Identity>, more: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = (*client_config(&[])).clone();
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
    config.alpn_protocols = vec![protocol.into()];
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

fn http2(chain: Option<Identity>, more: &[&[u8]]) -> Arc<ClientConfig> {
    config_speaking("h2", chain, more)
}

/// The statuses of two requests on one HTTP/2 connection; 0 = it ended instead.
fn ask_http2(node: &Node, config: Arc<ClientConfig>) -> [u16; 2] {
    run(async {
        let send = client_as(node, config).await;
        let mut statuses = [0; 2];
        for status in &mut statuses {
            let request = get("/")
                .header("x-amzn-mtls-clientcert-subject", "CN=forged")
                .header("x-amzn-mtls-clientcert", "forged");
            if let Ok(answer) = support_http2::ask(&send, request, b"").await {
                *status = answer.status();
            }
        }
        statuses
    })
}

#[test]
fn http2_clients_are_verified_and_told_of() {
    let target = Target::saying("x");
    let (root, other) = (authority("Root"), authority("Other"));
    let node = start(snapshot(&[target.address]), verify(&root));
    for _ in 0..2 {
        assert_eq!(
            ask_http2(&node, http2(Some(root.client(|_| {})), &[])),
            [200, 200]
        );
    }
    assert_eq!(target.count(), 4);
    let known = [
        ("serial-number", "03A5B1"),
        ("issuer", "CN=Root,O=Example\\, Inc.,C=US"),
        ("subject", "CN=client.example,O=Shop"),
        (
            "validity",
            "NotBefore=2023-09-21T00:00:00Z;NotAfter=2123-09-20T00:00:00Z",
        ),
    ];
    for request in target.requests.lock().unwrap().iter() {
        let told = request
            .fields
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-amzn-mtls"));
        assert_eq!(told.count(), 5, "{:?}", request.fields);
        for (name, value) in known {
            assert_eq!(
                request.field(&format!("x-amzn-mtls-clientcert-{name}")),
                Some(value)
            );
        }
        let leaf = request.field("x-amzn-mtls-clientcert-leaf").unwrap();
        assert!(leaf.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{leaf}");
    }
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    for refused in [None, Some(other.client(|_| {})), Some(root.client(expired))] {
        assert_eq!(ask_http2(&node, http2(refused, &[])), [0, 0]);
    }
    assert_eq!(node.counted("ClientTLSNegotiationErrorCount", 3.0), 3.0);
    assert_eq!(target.count(), 4);
}

#[test]
fn http2_clients_are_passed_through() {
    let target = Target::saying("x");
    let root = authority("Root");
    let mutual = protocol::MutualTls {
        mode: "passthrough".into(),
        ..Default::default()
    };
    let node = start(snapshot(&[target.address]), mutual);
    assert_eq!(ask_http2(&node, http2(None, &[])), [200, 200]);
    assert_eq!(target.last().field("x-amzn-mtls-clientcert"), None);
    // nobody judges it
    let identity = root.client(|params| params.not_after = rcgen::date_time_ymd(2024, 1, 1));
    assert_eq!(ask_http2(&node, http2(Some(identity), &[&root.der])), [200, 200]);
    let chain = target.last().field("x-amzn-mtls-clientcert").unwrap().to_owned();
    assert_eq!(chain.matches("-----BEGIN%20CERTIFICATE-----%0A").count(), 2);
    assert_eq!(target.last().field("x-amzn-mtls-clientcert-subject"), None);
    assert_eq!(node.counted("ClientTLSNegotiationErrorCount", 0.0), 0.0);
}

#[test]
fn limits_of_certificates() {
    let folder = Folder::new("limits");
    let target = Target::saying("x");
    let long_ago = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    let later = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2120, 1, 1);
    let root = authority("Root");
    let expired = authority_of("Expired", long_ago);
    let early = authority_of("Early", later);
    let mut mutual = verify(&root);
    mutual.ca_bundle += &expired.pem;
    mutual.ca_bundle += &early.pem;
    let mut logged = Logged::start(
        &folder,
        with_connection_log(with_mutual_tls(snapshot(&[target.address]), mutual), &folder),
    );
    let one = root.below("One", |_| {});
    let two = one.below("Two", |_| {});
    let three = two.below("Three", |_| {});
    let four = three.below("Four", |_| {});
    let stale = root.below("Stale", long_ago);
    let many: Vec<&[u8]> = vec![&one.der; 200];
    let cases: [(&str, Identity, Vec<&[u8]>); 8] = [
        ("Success", root.client(|_| {}), vec![]),
        // the client's own and three more, the root beside
        (
            "Success",
            three.client(|_| {}),
            vec![&three.der, &two.der, &one.der, &root.der],
        ),
        (
            "ClientCertMaxChainDepthExceeded",
            four.client(|_| {}),
            vec![&four.der, &three.der, &two.der, &one.der],
        ),
        ("ClientCertUntrusted", two.client(|_| {}), vec![&two.der]),
        ("ClientCertExpired", stale.client(|_| {}), vec![&stale.der]),
        // the trust store's own certificate
        ("ClientCertExpired", expired.client(|_| {}), vec![]),
        ("ClientCertNotYetValid", early.client(|_| {}), vec![]),
        ("ClientCertMaxSizeExceeded", one.client(|_| {}), many),
    ];
    let mut wanted = Vec::new();
    for (code, identity, more) in cases {
        let is_let_in = code == "Success";
        let status = ask(logged.node(), config_of(Some(identity), &more));
        assert_eq!(status, if is_let_in { 200 } else { 0 }, "{code}");
        wanted.push(if is_let_in {
            code.to_owned()
        } else {
            format!("Failed:{code}")
        });
    }
    assert_eq!(target.count(), 2);
    logged.stop();
    let lines = connection_lines(&folder);
    let codes: Vec<&String> = lines.iter().map(|line| &line[10]).collect();
    assert_eq!(codes, wanted.iter().collect::<Vec<_>>());
    // who was refused is named, as far as it was read
    assert!(lines[..7]
        .iter()
        .all(|line| line[7] == "CN=client.example,O=Shop" && line[9] == "03A5B1"));
    assert_eq!(lines[7][7..10], ["-", "-", "-"]);
}

#[test]
fn the_dates_of_the_trust_store_do_not_count_if_none_do() {
    let target = Target::saying("x");
    let expired = authority_of("Expired", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let mut mutual = verify(&expired);
    mutual.ignore_expiry = true;
    let node = start(snapshot(&[target.address]), mutual);
    assert_eq!(ask(&node, config_of(Some(expired.client(|_| {})), &[])), 200);
}
