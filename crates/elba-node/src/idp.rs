//! The node as a client of identity providers: one request over HTTPS, with a time limit, and the key sets that were
//! fetched. Nothing of it is on the path of a request that does not have to wait for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use elba_core::guard::jwt::{KeySet, MAX_KEY_SET};
use elba_core::guard::Failure;
use elba_core::http1::chunked::{ChunkedReader, Piece};
use elba_core::http1::response::{ResponseHead, MAX_HEAD};
use elba_core::http1::Framing;
use http::Uri;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tls::TlsStream;

/// Source: alb.md sections 5.4 and 5.5.
const LIMIT: Duration = Duration::from_secs(5);
/// Token and user info answers; what is allowed of them is far less.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a key set is used, and how long one that could not be had is not asked for again.
const KEYS_MS: u64 = 300_000;
const RETRY_MS: u64 = 1_000;
/// A token of an unknown key has the set fetched anew, but not more often than this.
const UNKNOWN_KEY_MS: u64 = 10_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no answer in {} s", LIMIT.as_secs())]
    Timeout,
    #[error("the answer is too large")]
    TooLarge,
    #[error("{0}")]
    Failed(#[from] io::Error),
}

/// One request to a provider.
#[derive(Debug, Default)]
pub struct Ask<'a> {
    pub url: &'a str,
    /// of a POST
    pub form: Option<String>,
    pub authorization: Option<String>,
}

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
        let ask = Ask {
            url,
            ..Ask::default()
        };
        let set = match self.fetch(roots, &ask, MAX_KEY_SET).await {
            Ok((200, document)) => KeySet::parse(&document)
                .map(Rc::new)
                .ok_or(Failure::new(500, "JWKSRequestFailed")),
            Ok(_) | Err(FetchError::Failed(_)) => Err(Failure::new(500, "JWKSRequestFailed")),
            Err(FetchError::Timeout) => Err(Failure::new(500, "JWKSRequestTimeout")),
            Err(FetchError::TooLarge) => Err(Failure::new(500, "JWKSResponseSizeExceeded")),
        };
        let keys = Keys {
            set,
            fetched_ms: now_ms,
        };
        self.keys.borrow_mut().insert(url.to_owned(), keys);
    }

    /// Status and body of the answer. `roots`: PEM of the authorities that are trusted beside the system's.
    ///
    /// # Errors
    /// Any `FetchError`.
    pub async fn ask(&self, roots: &str, ask: &Ask<'_>) -> Result<(u16, Vec<u8>), FetchError> {
        self.fetch(roots, ask, MAX_ANSWER).await
    }

    async fn fetch(&self, roots: &str, ask: &Ask<'_>, limit: usize) -> Result<(u16, Vec<u8>), FetchError> {
        let config = self.config(roots)?;
        match timeout(LIMIT, fetch(config, ask, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout),
        }
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

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

async fn fetch(config: Arc<ClientConfig>, ask: &Ask<'_>, limit: usize) -> Result<(u16, Vec<u8>), FetchError> {
    let uri: Uri = ask
        .url
        .parse()
        .map_err(|_| invalid("its address cannot be read"))?;
    let host = uri.host().ok_or_else(|| invalid("its address names no host"))?;
    let port = uri.port_u16().unwrap_or(443);
    // as curl and browsers do: names below localhost are this machine
    let place = if host.ends_with(".localhost") {
        "127.0.0.1"
    } else {
        host
    };
    let stream = TcpStream::connect((place.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = TlsStream::new(stream, session);
    poll_fn(|context| stream.poll_handshake(context)).await?;
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    stream.write_all(&request(ask, &uri, authority)).await?;

    let mut head = ResponseHead::default();
    let mut input = Vec::with_capacity(8 * 1024);
    let used = loop {
        match head
            .parse(&input)
            .map_err(|_| invalid("it does not answer in HTTP"))?
        {
            Some(used) if head.status >= 200 => break used,
            Some(used) => {
                input.drain(..used);
                continue;
            }
            None => {}
        }
        if input.len() > MAX_HEAD + limit || stream.read_buf(&mut input).await? == 0 {
            return Err(invalid("its answer breaks off").into());
        }
    };
    let mut body = input.split_off(used);
    let framing = head.framing(false);
    let mut chunks = ChunkedReader::default();
    let mut plain = Vec::new();
    loop {
        match framing {
            Framing::None => return Ok((head.status, Vec::new())),
            Framing::Length(length) if body.len() as u64 >= length => {
                body.truncate(length as usize);
                return Ok((head.status, body));
            }
            Framing::Length(length) if length > limit as u64 => return Err(FetchError::TooLarge),
            Framing::Chunked => {
                let mut at = 0;
                while let Piece::Data { start, end } = chunks
                    .next(&body, &mut at)
                    .map_err(|_| invalid("its answer is framed badly"))?
                {
                    plain.extend_from_slice(&body[start..end]);
                }
                body.drain(..at);
                if chunks.is_done() {
                    return Ok((head.status, plain));
                }
            }
            Framing::Length(_) | Framing::UntilClose => {}
        }
        if body.len().max(plain.len()) > limit {
            return Err(FetchError::TooLarge);
        }
        if stream.read_buf(&mut body).await? == 0 {
            if framing == Framing::UntilClose {
                return Ok((head.status, body));
            }
            return Err(invalid("its answer breaks off").into());
        }
    }
}

fn request(ask: &Ask, uri: &Uri, authority: &str) -> Vec<u8> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let method = if ask.form.is_some() { "POST" } else { "GET" };
    let mut out = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json\r\nConnection: close\r\n\
         User-Agent: ELB-Auth/1.0\r\n"
    );
    if let Some(authorization) = &ask.authorization {
        out.push_str(&format!("Authorization: {authorization}\r\n"));
    }
    match &ask.form {
        Some(form) => out.push_str(&format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )),
        None => out.push_str("\r\n"),
    }
    out.into_bytes()
}
