//! The node as a client of identity providers: one request over HTTPS, with a time limit, and the key sets that were
//! fetched. Nothing of it is on the path of a request that does not have to wait for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use elba_core::guard::jwt::{KeySet, MAX_KEY_SET};
use elba_core::guard::Failure;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::client::{self, Limits, Reply};

/// Source: alb.md sections 5.4 and 5.5.
pub const LIMIT: Duration = Duration::from_secs(5);
/// Token and user info answers; what is allowed of them is far less.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a key set is used, and how long one that could not be had is not asked for again.
const KEYS_MS: u64 = 300_000;
const RETRY_MS: u64 = 1_000;
/// A token of an unknown key has the set fetched anew, but not more often than this.
const UNKNOWN_KEY_MS: u64 = 10_000;

struct Keys {
    set: Result<Rc<KeySet>, Failure>,
    fetched_ms: u64,
}

/// A worker's side of it.
#[derive(Default)]
pub struct Client {
    /// made of these trusted roots (PEM)
    config: RefCell<Option<(String, Arc<ClientConfig>)>>,
    keys: RefCell<HashMap<String, Keys>>,
}

impl Client {
    /// The key set of this address, if it is at hand and, should it lack `key_id`, too young to ask again.
    pub fn keys(&self, url: &str, key_id: &str, now_ms: u64) -> Option<Result<Rc<KeySet>, Failure>> {
        let keys = self.keys.borrow();
        let known = keys.get(url)?;
        let age = now_ms.saturating_sub(known.fetched_ms);
        let lasts = match &known.set {
            Ok(set) if set.has(key_id) || key_id.is_empty() => KEYS_MS,
            Ok(_) => UNKNOWN_KEY_MS,
            Err(_) => RETRY_MS,
        };
        (age < lasts).then(|| known.set.clone())
    }

    /// Fetches a key set; `keys` has it, or why it could not be had, from then on.
    pub async fn fetch_keys(&self, roots: &str, url: &str, now_ms: u64) {
        let set = match self.ask(roots, "GET", url, "", b"", MAX_KEY_SET).await {
            Ok(reply) if reply.status == 200 => KeySet::parse(&reply.body)
                .map(Rc::new)
                .ok_or(Failure::new(500, "JWKSRequestFailed")),
            Ok(_) => Err(Failure::new(500, "JWKSRequestFailed")),
            Err(error) => Err(Failure::new(
                500,
                match error {
                    client::Failure::Timeout | client::Failure::ConnectTimeout => "JWKSRequestTimeout",
                    client::Failure::TooLarge => "JWKSResponseSizeExceeded",
                    _ => "JWKSRequestFailed",
                },
            )),
        };
        let keys = Keys {
            set,
            fetched_ms: now_ms,
        };
        self.keys.borrow_mut().insert(url.to_owned(), keys);
    }

    /// The token endpoint's answer to a form.
    ///
    /// # Errors
    /// As `client::ask`.
    pub async fn post(
        &self,
        roots: &str,
        url: &str,
        authorization: &str,
        form: &str,
    ) -> Result<Reply, client::Failure> {
        let fields =
            format!("Authorization: {authorization}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        self.ask(roots, "POST", url, &fields, form.as_bytes(), MAX_ANSWER)
            .await
    }

    /// The user info endpoint's answer.
    ///
    /// # Errors
    /// As `client::ask`.
    pub async fn get(&self, roots: &str, url: &str, authorization: &str) -> Result<Reply, client::Failure> {
        let fields = format!("Authorization: {authorization}\r\n");
        self.ask(roots, "GET", url, &fields, b"", MAX_ANSWER).await
    }

    /// `roots`: PEM of the authorities that are trusted beside the system's.
    async fn ask(
        &self,
        roots: &str,
        method: &str,
        url: &str,
        fields: &str,
        body: &[u8],
        bytes: usize,
    ) -> Result<Reply, client::Failure> {
        let config = self.config(roots).map_err(client::Failure::Connect)?;
        let fields = format!("Accept: application/json\r\nUser-Agent: ELB-Auth/1.0\r\n{fields}");
        let limits = Limits {
            connect: LIMIT,
            whole: LIMIT,
            bytes,
        };
        client::ask(method, url, &fields, body, Some(&config), limits).await
    }

    fn config(&self, roots: &str) -> io::Result<Arc<ClientConfig>> {
        let mut known = self.config.borrow_mut();
        match &*known {
            Some((made_of, config)) if made_of == roots => Ok(config.clone()),
            _ => {
                let config = Arc::new(client_config(roots)?);
                *known = Some((roots.to_owned(), config.clone()));
                Ok(config)
            }
        }
    }
}

fn client_config(roots: &str) -> io::Result<ClientConfig> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let own = CertificateDer::pem_slice_iter(roots.as_bytes());
    store.add_parsable_certificates(own.filter_map(Result::ok));
    Ok(ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(store)
        .with_no_client_auth())
}
