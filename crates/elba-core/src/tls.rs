//! What a TLS listener presents: certificates by name, protocol versions and suites by security policy.
//! Source: alb.md section 15. Handshakes and records are rustls's work, on the node's sockets.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring::{cipher_suite, default_provider, sign::any_supported_type, Ticketer};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets, ResolvesServerCert,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, NamedGroup, ProtocolVersion, ServerConfig, SignatureAlgorithm, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::client_certificate::{Mode, Verifier};
use crate::protocol;

const PREFIX: &str = "ELBSecurityPolicy-";
/// What the API takes when nothing is said.
const DEFAULT_POLICY: &str = "2016-08";

const TLS13_SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];
const TLS12_SUITES: [SupportedCipherSuite; 4] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// Security policies without their prefix that end in no family name below.
const OLDER: [&str; 10] = [
    "2016-08",
    "2015-05",
    "FS-1-2-Res-2020-10",
    "FS-1-2-Res-2019-08",
    "FS-1-2-2019-08",
    "FS-1-1-2019-08",
    "FS-2018-06",
    "TLS-1-2-Ext-2018-06",
    "TLS-1-2-2017-01",
    "TLS-1-1-2017-01",
];

/// What a security policy allows, as far as there is an implementation: TLS 1.2 and 1.3 with AEAD suites. Older
/// versions, CBC, RSA key exchange and post-quantum groups of a policy are left out.
pub(crate) struct Policy {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub suites: Vec<SupportedCipherSuite>,
}

impl Policy {
    /// None for a name that AWS does not have.
    pub fn parse(name: &str) -> Option<Policy> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        let name = if name.is_empty() { DEFAULT_POLICY } else { name };
        if OLDER.contains(&name) || name == "TLS-1-0-2015-04" {
            return Some(Policy {
                versions: vec![&TLS12],
                suites: TLS12_SUITES.to_vec(),
            });
        }
        let rest = name.strip_prefix("TLS13-1-")?;
        let (level, fips) = if let Some(level) = rest.strip_suffix("-PQ-2025-09") {
            match level.strip_suffix("-FIPS") {
                Some(level) => (level, true),
                None => (level, false),
            }
        } else if let Some(level) = rest.strip_suffix("-FIPS-2023-04") {
            (level, true)
        } else {
            (rest.strip_suffix("-2021-06")?, false)
        };
        if !matches!(
            level,
            "3" | "2" | "2-Res" | "2-Ext0" | "2-Ext1" | "2-Ext2" | "1" | "0"
        ) {
            return None;
        }
        let mut suites = TLS13_SUITES[..if fips { 2 } else { 3 }].to_vec();
        let mut versions = vec![&TLS13];
        if level != "3" {
            suites.extend(TLS12_SUITES);
            versions.push(&TLS12);
        }
        Some(Policy { versions, suites })
    }
}

/// Whether `pattern` covers `name`, both in lower case; a wildcard stands for one left-most label.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == name,
    }
}

#[derive(Debug)]
struct Choice {
    arn: Arc<str>,
    names: Vec<String>,
    parsed: Arc<CertifiedKey>,
    is_ecdsa: bool,
    /// grows with the length of the key
    key_bytes: usize,
}

impl Choice {
    fn parse(source: &protocol::Certificate) -> Result<Choice, String> {
        let chain = CertificateDer::pem_slice_iter(source.chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("its chain is not PEM: {error}"))?;
        if chain.is_empty() {
            return Err("it holds no certificate".into());
        }
        // what is wrong with a key is not quoted: it could hold a part of it
        let key = PrivateKeyDer::from_pem_slice(source.private_key.as_bytes())
            .map_err(|_| "its private key is not PEM".to_owned())?;
        let key = any_supported_type(&key).map_err(|_| "its private key is of no usable kind".to_owned())?;
        let is_ecdsa = key.algorithm() == SignatureAlgorithm::ECDSA;
        let key_bytes = key.public_key().map_or(0, |key| key.len());
        let parsed = CertifiedKey::new(chain, key);
        parsed
            .keys_match()
            .map_err(|error| format!("certificate and private key do not go together: {error}"))?;
        Ok(Choice {
            arn: Arc::from(source.arn.as_str()),
            names: source
                .names
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            parsed: Arc::new(parsed),
            is_ecdsa,
            key_bytes,
        })
    }

    fn covers(&self, name: &str) -> bool {
        if !self.names.is_empty() {
            return self.names.iter().any(|pattern| covers(pattern, name));
        }
        let (Some(leaf), Ok(name)) = (self.parsed.cert.first(), ServerName::try_from(name)) else {
            return false;
        };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

/// A listener's certificates: the default first, then the others in the order in which they are preferred.
#[derive(Debug)]
struct Certificates {
    default: Choice,
    /// all, the default included, best first
    ranked: Vec<usize>,
    others: Vec<Choice>,
}

impl Certificates {
    fn new(default: Choice, others: Vec<Choice>) -> Certificates {
        let mut certificates = Certificates {
            default,
            ranked: Vec::new(),
            others,
        };
        let mut ranked: Vec<usize> = (0..=certificates.others.len()).collect();
        ranked.sort_by_key(|index| {
            let choice = certificates.at(*index);
            (!choice.is_ecdsa, std::cmp::Reverse(choice.key_bytes))
        });
        certificates.ranked = ranked;
        certificates
    }

    fn at(&self, index: usize) -> &Choice {
        match index {
            0 => &self.default,
            other => &self.others[other - 1],
        }
    }

    fn matching<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Choice> + use<'a, 'n> {
        self.ranked
            .iter()
            .map(|index| self.at(*index))
            .filter(move |choice| choice.covers(name))
    }

    /// The certificate for a client that asks for `name` and understands `schemes`: the best that covers the name and
    /// that it can verify, else the best that covers the name, else the default.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Choice {
        let Some(name) = name.map(str::to_ascii_lowercase) else {
            return &self.default;
        };
        let usable = |choice: &&Choice| choice.parsed.key.choose_scheme(schemes).is_some();
        let best = self.matching(&name).find(usable);
        let covering = self.matching(&name).next();
        best.or(covering).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.choose(hello.server_name(), hello.signature_schemes())
                .parsed
                .clone(),
        )
    }
}

/// A TLS listener ready for handshakes. All workers share it, and so its session tickets.
#[derive(Debug)]
pub struct Tls {
    pub config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    tickets: Arc<dyn ProducesTickets>,
    source: Vec<protocol::Certificate>,
    policy: String,
    http2: bool,
    /// whether and how clients show certificates
    pub mode: Option<Mode>,
    mutual: Option<protocol::MutualTls>,
}

impl Tls {
    /// The listener's side of TLS. `before`, what it was until now, is taken over if nothing has changed; its session
    /// tickets live on in any case. What concerns one further certificate only is a problem. `http2`: it is offered
    /// (routing.http2.enabled).
    ///
    /// # Errors
    /// Why the listener cannot be served, for a person.
    pub fn compile(
        listener: &protocol::Listener,
        http2: bool,
        before: Option<&Arc<Tls>>,
        problems: &mut Vec<String>,
    ) -> Result<Arc<Tls>, String> {
        let mutual = listener
            .mutual_tls
            .as_ref()
            .filter(|mutual| mutual.mode != "off" && !mutual.mode.is_empty());
        let is_same = |tls: &&Arc<Tls>| {
            tls.source == listener.certificates
                && tls.policy == listener.ssl_policy
                && tls.http2 == http2
                && tls.mutual.as_ref() == mutual
        };
        if let Some(same) = before.filter(is_same) {
            return Ok(same.clone());
        }
        let policy = Policy::parse(&listener.ssl_policy)
            .ok_or_else(|| format!("security policy {:?} is not known", listener.ssl_policy))?;
        let (first, rest) = listener
            .certificates
            .split_first()
            .ok_or("it has no certificate")?;
        let default =
            Choice::parse(first).map_err(|reason| format!("default certificate {}: {reason}", first.arn))?;
        let mut others = Vec::with_capacity(rest.len());
        for source in rest {
            match Choice::parse(source) {
                Ok(choice) => others.push(choice),
                Err(reason) => problems.push(format!(
                    "listener {}: certificate {} is left out: {reason}",
                    listener.arn, source.arn
                )),
            }
        }
        let tickets = match before {
            Some(before) => before.tickets.clone(),
            None => Ticketer::new().map_err(|error| format!("no session tickets: {error}"))?,
        };
        let certificates = Arc::new(Certificates::new(default, others));
        let provider = Arc::new(CryptoProvider {
            cipher_suites: policy.suites,
            ..default_provider()
        });
        let (mode, verifier) = match mutual {
            None => (None, None),
            Some(source) => match source.mode.as_str() {
                "passthrough" => (
                    Some(Mode::Passthrough),
                    Some(Verifier::passthrough(provider.clone())),
                ),
                "verify" => {
                    let verifier = Verifier::of_trust_store(source, provider.clone(), problems)?;
                    (Some(Mode::Verify), Some(verifier))
                }
                other => return Err(format!("mutual TLS {other:?} is not known")),
            },
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&policy.versions)
            .map_err(|error| error.to_string())?;
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if mode.is_none() {
            config.ticketer = tickets.clone();
            config.send_tls13_tickets = 1;
        } else {
            // whoever was let in before is looked at again
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(Arc::new(Tls {
            config: Arc::new(config),
            certificates,
            tickets,
            source: listener.certificates.clone(),
            policy: listener.ssl_policy.clone(),
            http2,
            mode,
            mutual: mutual.cloned(),
        }))
    }

    /// The ARN of the certificate that this client gets, and whether it is one for the name that the client asks for.
    pub fn chosen(&self, hello: &ClientHello<'_>) -> (Arc<str>, bool) {
        let name = hello.server_name();
        let choice = self.certificates.choose(name, hello.signature_schemes());
        let is_named = name.is_some_and(|name| choice.covers(&name.to_ascii_lowercase()));
        (choice.arn.clone(), is_named)
    }

    /// Whether one of its certificates is for this name (in lower case).
    pub fn covers(&self, name: &str) -> bool {
        self.certificates.matching(name).next().is_some()
    }
}

/// A protocol version as OpenSSL, and so AWS, writes it.
pub fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

/// A group of key exchange by its IANA name.
pub fn group_name(group: NamedGroup) -> Option<&'static str> {
    match group {
        NamedGroup::X25519 => Some("x25519"),
        NamedGroup::secp256r1 => Some("secp256r1"),
        NamedGroup::secp384r1 => Some("secp384r1"),
        other => other.as_str(),
    }
}

/// A cipher suite as OpenSSL, and so AWS, writes it; "" for one that no policy has.
pub fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        // name, versions, suites
        for (name, versions, suites) in [
            ("", 1, 4),
            ("ELBSecurityPolicy-2016-08", 1, 4),
            ("ELBSecurityPolicy-TLS13-1-2-2021-06", 2, 7),
            ("ELBSecurityPolicy-TLS13-1-3-2021-06", 1, 3),
            ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", 2, 7),
            ("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04", 1, 2),
            ("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-PQ-2025-09", 2, 6),
            ("ELBSecurityPolicy-FS-1-2-Res-2020-10", 1, 4),
        ] {
            let policy = Policy::parse(name).unwrap();
            assert_eq!(
                (policy.versions.len(), policy.suites.len()),
                (versions, suites),
                "{name}"
            );
        }
        for name in [
            "ELBSecurityPolicy-TLS13-1-9-2021-06",
            "other",
            "ELBSecurityPolicy-TLS13-1-2",
        ] {
            assert!(Policy::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn names() {
        assert!(covers("*.shop.example", "www.shop.example") && covers("a.b", "a.b"));
        assert!(!covers("*.shop.example", "shop.example") && !covers("*.shop.example", ".shop.example"));
        assert!(!covers("*.shop.example", "a.b.shop.example") && !covers("a.b", "x.a.b"));
    }
}
