//! Certificates of clients (mutual TLS): who is let in, and (`told`) what targets and logs hear of them. Source: alb.md
//! section 16.

mod told;

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

pub use self::told::{Facts, Told, FIELDS};
use crate::protocol;

/// The chain from the client's certificate on, without the root.
const MAX_DEPTH: usize = 4;
const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
/// P-256, P-384, P-521
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// clients are asked for a certificate; targets judge it
    Passthrough,
    Verify,
}

/// Why a client's certificate was refused, and that certificate.
#[derive(Debug)]
pub struct Rejected {
    /// as in the connection log: "ClientCertUntrusted" …
    pub code: &'static str,
    pub leaf: Vec<u8>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code)
    }
}

impl StdError for Rejected {}

impl Rejected {
    fn error(code: &'static str, leaf: &CertificateDer<'_>) -> Error {
        let leaf = leaf.to_vec();
        CertificateError::Other(OtherError(Arc::new(Rejected { code, leaf }))).into()
    }
}

/// The code of the connection log for a handshake that failed, and the client's certificate if it was the cause.
pub fn failure(error: &Error) -> (&'static str, Option<&[u8]>) {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error {
        if let Some(rejected) = other.downcast_ref::<Rejected>() {
            return (rejected.code, Some(&rejected.leaf));
        }
    }
    let code = match error {
        Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge) => {
            "ClientCertMaxSizeExceeded"
        }
        Error::InvalidCertificate(_) => "ClientCertInvalid",
        _ => "UnmappedConnectionError",
    };
    (code, None)
}

fn code_of(error: &Error) -> &'static str {
    let error = match error {
        Error::InvalidCertificate(error) => error,
        Error::InvalidCertRevocationList(_) => return "ClientCertCrlProcessingError",
        _ => return "ClientCertInvalid",
    };
    match error {
        CertificateError::UnknownIssuer => "ClientCertUntrusted",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "ClientCertExpired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "ClientCertNotYetValid"
        }
        CertificateError::Revoked => "ClientCertCrlHit",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "ClientCertCrlProcessingError",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "ClientCertPurposeInvalid"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "ClientCertTypeUnsupported"
        }
        _ => "ClientCertInvalid",
    }
}

/// RSA of 2,048 to 8,192 bits, or ECDSA on one of three curves. Source: alb.md section 16.
fn is_key_supported(key: &SubjectPublicKeyInfo) -> bool {
    let kind = key.algorithm.algorithm.to_id_string();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if kind == RSA => {
            let modulus = rsa.modulus.iter().skip_while(|byte| **byte == 0);
            let bits = modulus
                .clone()
                .next()
                .map_or(0, |byte| 8 - byte.leading_zeros() as usize);
            (2048..=8192).contains(&((modulus.count().max(1) - 1) * 8 + bits))
        }
        Ok(PublicKey::EC(_)) if kind == EC => {
            let curve = key
                .algorithm
                .parameters
                .as_ref()
                .and_then(|one| one.as_oid().ok());
            curve.is_some_and(|curve| CURVES.contains(&curve.to_id_string().as_str()))
        }
        _ => false,
    }
}

/// A certificate of a trust store.
#[derive(Debug)]
struct Root {
    der: CertificateDer<'static>,
    /// seconds since the epoch
    not_before: i64,
    not_after: i64,
}

impl Root {
    fn read(der: CertificateDer<'static>) -> Result<Root, String> {
        RootCertStore::empty()
            .add(der.clone())
            .map_err(|error| error.to_string())?;
        let (not_before, not_after) = {
            let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
            let validity = parsed.validity();
            (validity.not_before.timestamp(), validity.not_after.timestamp())
        };
        Ok(Root {
            der,
            not_before,
            not_after,
        })
    }

    fn has_expired(&self, now: i64) -> bool {
        self.not_after < now
    }

    fn is_early(&self, now: i64) -> bool {
        self.not_before > now
    }
}

fn store<'a>(roots: impl Iterator<Item = &'a Root>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for root in roots {
        // it was taken before
        let _ = store.add(root.der.clone());
    }
    store
}

/// By the roots that are good at a moment.
#[derive(Debug)]
struct Current {
    /// how many roots have expired, and how many are not valid yet: which they are follows from it
    dates: (usize, usize),
    /// None = no root is good
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// A trust store.
#[derive(Debug)]
struct Trust {
    roots: Vec<Root>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    provider: Arc<CryptoProvider>,
    /// by all roots, whatever their dates: webpki does not look at those
    all: Arc<dyn ClientCertVerifier>,
    /// as of the last handshake that needed it
    current: Mutex<Option<Current>>,
}

impl Trust {
    fn new(
        roots: Vec<Root>,
        lists: Vec<CertificateRevocationListDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Trust, String> {
        let all = verifier(store(roots.iter()), &lists, &provider)?;
        Ok(Trust {
            roots,
            lists,
            provider,
            all,
            current: Mutex::default(),
        })
    }

    /// Whether a chain that is good otherwise leads to a root that is neither too old nor too young.
    fn judge_dates(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), &'static str> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let expired = self.roots.iter().filter(|root| root.has_expired(seconds)).count();
        let early = self.roots.iter().filter(|root| root.is_early(seconds)).count();
        let dates = (expired, early);
        if dates == (0, 0) {
            return Ok(());
        }
        let current = {
            let mut kept = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.as_ref().is_none_or(|kept| kept.dates != dates) {
                let good = |root: &&Root| !root.has_expired(seconds) && !root.is_early(seconds);
                let store = store(self.roots.iter().filter(good));
                let verifier = verifier(store, &self.lists, &self.provider).ok();
                *kept = Some(Current { dates, verifier });
            }
            kept.as_ref().and_then(|kept| kept.verifier.clone())
        };
        if current.is_some_and(|current| current.verify_client_cert(leaf, others, now).is_ok()) {
            return Ok(());
        }
        // those that are only too young would do: then that is why
        let young = store(self.roots.iter().filter(|root| !root.has_expired(seconds)));
        let young = verifier(young, &self.lists, &self.provider);
        Err(match young {
            Ok(young) if young.verify_client_cert(leaf, others, now).is_ok() => "ClientCertNotYetValid",
            _ => "ClientCertExpired",
        })
    }
}

fn verifier(
    roots: RootCertStore,
    lists: &[CertificateRevocationListDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls(lists.iter().cloned())
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| error.to_string())
}

/// Judges clients' certificates for one listener.
#[derive(Debug)]
pub struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None = whoever comes is let in (passthrough)
    trusted: Option<Trust>,
    hints: Vec<DistinguishedName>,
    ignore_expiry: bool,
}

impl Verifier {
    pub fn passthrough(provider: Arc<CryptoProvider>) -> Verifier {
        Verifier {
            provider,
            trusted: None,
            hints: Vec::new(),
            ignore_expiry: false,
        }
    }

    /// # Errors
    /// Why nobody could be judged by the trust store, for a person. What cannot be used of it without letting anybody
    /// in who should not be is a problem.
    pub fn of_trust_store(
        source: &protocol::MutualTls,
        provider: Arc<CryptoProvider>,
        problems: &mut Vec<String>,
    ) -> Result<Verifier, String> {
        let mut roots = Vec::new();
        for (index, read) in CertificateDer::pem_slice_iter(source.ca_bundle.as_bytes()).enumerate() {
            match read
                .map_err(|error| error.to_string())
                .and_then(|der| Root::read(der.into_owned()))
            {
                Ok(root) => roots.push(root),
                Err(reason) => problems.push(format!(
                    "trust store {}: certificate {} is left out: {reason}",
                    source.trust_store_arn,
                    index + 1
                )),
            }
        }
        if roots.is_empty() {
            return Err(format!(
                "trust store {} holds no usable certificate",
                source.trust_store_arn
            ));
        }
        let mut lists = Vec::new();
        for text in &source.crls {
            for list in CertificateRevocationListDer::pem_slice_iter(text.as_bytes()) {
                lists.push(list.map_err(|error| {
                    format!(
                        "a revocation list of {} is not PEM: {error}",
                        source.trust_store_arn
                    )
                })?);
            }
        }
        let hints = if source.advertise_names {
            store(roots.iter()).subjects()
        } else {
            Vec::new()
        };
        let trusted = Trust::new(roots, lists, provider.clone())
            .map_err(|error| format!("trust store {}: {error}", source.trust_store_arn))?;
        Ok(Verifier {
            provider,
            trusted: Some(trusted),
            hints,
            ignore_expiry: source.ignore_expiry,
        })
    }

    fn judge(
        &self,
        trust: &Trust,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), &'static str> {
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
            return Err("ClientCertInvalid");
        };
        if !is_key_supported(parsed.public_key()) {
            return Err("ClientCertTypeUnsupported");
        }
        let is_root = |der: &&CertificateDer<'_>| {
            X509Certificate::from_der(der).is_ok_and(|(_, one)| one.issuer() == one.subject())
        };
        if 1 + others.iter().filter(|der| !is_root(der)).count() > MAX_DEPTH {
            return Err("ClientCertMaxChainDepthExceeded");
        }
        let trusted = &trust.all;
        let Err(error) = trusted.verify_client_cert(leaf, others, now) else {
            if self.ignore_expiry {
                return Ok(());
            }
            return trust.judge_dates(leaf, others, now);
        };
        let code = code_of(&error);
        if !self.ignore_expiry || !matches!(code, "ClientCertExpired" | "ClientCertNotYetValid") {
            return Err(code);
        }
        // dates do not count: is there a moment at which all of them were good?
        for der in std::iter::once(leaf).chain(others) {
            let Ok((_, one)) = X509Certificate::from_der(der) else {
                continue;
            };
            for moment in [one.validity().not_before, one.validity().not_after] {
                let moment = Duration::from_secs(moment.timestamp().max(0) as u64);
                match trusted.verify_client_cert(leaf, others, UnixTime::since_unix_epoch(moment)) {
                    Ok(_) => return Ok(()),
                    Err(error)
                        if !matches!(code_of(&error), "ClientCertExpired" | "ClientCertNotYetValid") =>
                    {
                        return Err(code_of(&error));
                    }
                    Err(_) => {}
                }
            }
        }
        Err(code)
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.trusted.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(trusted) = &self.trusted {
            self.judge(trusted, leaf, others, now)
                .map_err(|code| Rejected::error(code, leaf))?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            leaf,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            leaf,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tag, length, content (DER).
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(short) if short < 128 => out.push(short),
            _ => out.extend_from_slice(&[&[0x82][..], &(content.len() as u16).to_be_bytes()].concat()),
        }
        out.extend(content);
        out
    }

    fn key(algorithm: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
        let algorithm = der(0x30, &[&der(6, &[algorithm]), parameters]);
        der(0x30, &[&algorithm, &der(3, &[&[0], key])])
    }

    #[test]
    fn keys() {
        let is_supported = |der: &[u8]| is_key_supported(&SubjectPublicKeyInfo::from_der(der).unwrap().1);
        let rsa = |bits: usize| {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            modulus[0] >>= bits.next_multiple_of(8) - bits;
            let modulus = der(2, &[&[0], &modulus]);
            let numbers = der(0x30, &[&modulus, &der(2, &[&[1, 0, 1]])]);
            key(
                &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
                &der(5, &[]),
                &numbers,
            )
        };
        for (bits, supported) in [
            (1024, false),
            (2047, false),
            (2048, true),
            (3072, true),
            (8192, true),
            (8193, false),
            (16_384, false),
        ] {
            assert_eq!(is_supported(&rsa(bits)), supported, "{bits}");
        }
        let ec = |curve: &[u8]| {
            let algorithm = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
            key(&algorithm, &der(6, &[curve]), &[&[4][..], &[1; 64]].concat())
        };
        let p256 = ec(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        assert!(is_supported(&p256) && is_supported(&ec(&[0x2b, 0x81, 4, 0, 0x22])));
        let secp256k1 = ec(&[0x2b, 0x81, 4, 0, 0x0a]);
        assert!(!is_supported(&secp256k1));
        let ed25519 = key(&[0x2b, 0x65, 0x70], &[], &[1; 32]);
        assert!(!is_supported(&ed25519));
    }
}
