//! An HTTP/2 client of a node, and a target that speaks HTTP/2.
#![allow(clippy::unwrap_used)] // a test's helpers may panic: that is how it fails
#![allow(dead_code)] // each test file uses its part

use std::future::{poll_fn, Future};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use elba_core::compile::Serves;
use elba_core::protocol;
use elba_node::tls::TlsStream;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::support::{Node, LB, LIMIT};
use crate::support_tls::{certificate, client_config, https};

pub fn start(snapshot: protocol::Snapshot) -> Node {
    let (certificate, _) = certificate(&["one.example"]);
    Node::start_as(
        https(snapshot, vec![certificate]),
        1,
        Serves::Listener {
            load_balancer: LB.into(),
            port: 443,
        },
    )
}

/// Runs a client's part with a time limit.
pub fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = LocalSet::new();
    tasks
        .block_on(&runtime, async { tokio::time::timeout(LIMIT, story).await })
        .unwrap()
}

pub async fn handshake(address: SocketAddr, alpn: &[&str]) -> TlsStream<ClientConnection> {
    handshake_as(address, client_config(alpn)).await
}

async fn handshake_as(address: SocketAddr, config: Arc<ClientConfig>) -> TlsStream<ClientConnection> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("one.example").unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    let mut stream = TlsStream::new(stream, session);
    poll_fn(|context| stream.poll_handshake(context)).await.unwrap();
    stream
}

pub async fn client(node: &Node) -> SendRequest<Bytes> {
    client_as(node, client_config(&["h2", "http/1.1"])).await
}

/// With a configuration that offers HTTP/2.
pub async fn client_as(node: &Node, config: Arc<ClientConfig>) -> SendRequest<Bytes> {
    let stream = handshake_as(node.address, config).await;
    assert!(stream.is_http2());
    let (send, connection) = h2::client::Builder::new()
        .data_frame_budget(usize::MAX)
        .handshake(stream)
        .await
        .unwrap();
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    send
}

#[derive(Debug)]
pub struct Answer {
    pub parts: http::response::Parts,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub async fn read_all(answer: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer {
        parts,
        body,
        trailers,
    })
}

pub async fn ask(
    send: &SendRequest<Bytes>,
    request: http::request::Builder,
    body: &[u8],
) -> Result<Answer, h2::Error> {
    let mut send = send.clone().ready().await?;
    let (answer, mut stream) = send.send_request(request.body(()).unwrap(), body.is_empty())?;
    let mut rest = Bytes::copy_from_slice(body);
    let upload = async move {
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let Some(Ok(room)) = poll_fn(|context| stream.poll_capacity(context)).await else {
                return;
            };
            let part = rest.split_to(room.min(rest.len()));
            if stream.send_data(part, rest.is_empty()).is_err() {
                return;
            }
        }
    };
    let download = async { read_all(answer.await?).await };
    tokio::join!(upload, download).1
}

pub fn get(path: &str) -> http::request::Builder {
    Request::get(format!("https://one.example{path}"))
}

pub fn post(path: &str) -> http::request::Builder {
    Request::post(format!("https://one.example{path}"))
}

pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

pub fn of_version(mut snapshot: protocol::Snapshot, version: &str) -> protocol::Snapshot {
    snapshot.target_groups[0].protocol_version = version.into();
    snapshot
}

/// A target that speaks HTTP/2 and says what it got; paths choose how. Ends when it is dropped.
pub struct Http2Target {
    pub address: SocketAddr,
    /// how many it has accepted, and how many of them are open
    pub connections: Arc<AtomicUsize>,
    pub open: Arc<AtomicUsize>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Http2Target {
    /// `streams`: how many it takes at a time on a connection.
    pub fn taking(streams: u32) -> Http2Target {
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let (connections, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (accepted, alive) = (connections.clone(), open.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let stream = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap().0,
                        _ = &mut stopped => return,
                    };
                    accepted.fetch_add(1, Ordering::SeqCst);
                    alive.fetch_add(1, Ordering::SeqCst);
                    let alive = alive.clone();
                    tokio::task::spawn_local(async move {
                        serve_http2(stream, streams).await;
                        alive.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        Http2Target {
            address: told.recv().unwrap(),
            connections,
            open,
            _stop: stop,
        }
    }

    pub fn start() -> Http2Target {
        Http2Target::taking(10)
    }
}

async fn serve_http2(stream: TcpStream, streams: u32) {
    let mut first = [0];
    stream.peek(&mut first).await.unwrap();
    if first[0] != 22 {
        return serve_frames(stream, streams).await;
    }
    let (one, _) = certificate(&["target.example"]);
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(one.chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(one.private_key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut stream = TlsStream::new(stream, ServerConnection::new(Arc::new(config)).unwrap());
    poll_fn(|context| stream.poll_handshake(context)).await.unwrap();
    serve_frames(stream, streams).await;
}

async fn serve_frames(stream: impl AsyncRead + AsyncWrite + Unpin, streams: u32) {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(streams)
        .data_frame_budget(usize::MAX)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::task::spawn_local(answer_http2(request, respond));
    }
}

/// Sends all of it.
pub async fn send_all(send: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let room = poll_fn(|context| send.poll_capacity(context)).await;
        let room = room.ok_or(Reason::CANCEL)??;
        send.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

/// Echoes as it comes, with a trailer.
async fn answer_http2(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (parts, mut body) = request.into_parts();
    if parts.uri.path() == "/reset" {
        return respond.send_reset(Reason::CANCEL);
    }
    if parts.uri.path() == "/early" {
        let hints = Response::builder().status(103).header("link", "x");
        respond.send_informational(hints.body(()).unwrap()).unwrap();
    }
    if parts.uri.path() == "/never" {
        return std::future::pending().await;
    }
    let mut answer = Response::builder()
        .status(200)
        .header("content-type", "application/grpc")
        .header(
            "x-te",
            parts.headers.get("te").map_or("", |te| te.to_str().unwrap()),
        )
        .header(
            "x-authority",
            parts.uri.authority().map_or("", |name| name.as_str()),
        )
        .header("x-proto", parts.headers["x-forwarded-proto"].to_str().unwrap());
    if parts.uri.path() == "/unimplemented" {
        answer = answer.header("grpc-status", "12");
        respond.send_response(answer.body(()).unwrap(), true).unwrap();
        return;
    }
    let mut send = respond.send_response(answer.body(()).unwrap(), false).unwrap();
    let number = |name: &str| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        value.parse::<usize>().ok()
    };
    if let Some(wait) = number("x-wait-ms") {
        tokio::time::sleep(Duration::from_millis(wait as u64)).await;
    }
    // so many pieces of ten bytes, or so many bytes
    let pieces = number("x-pieces").map_or(0..0, |count| 0..count);
    for number in pieces {
        if send_all(&mut send, Bytes::from(format!("{number:010}")))
            .await
            .is_err()
        {
            return;
        }
    }
    if let Some(size) = number("x-bytes") {
        if send_all(&mut send, Bytes::from(vec![b'x'; size])).await.is_err() {
            return;
        }
    }
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        if send_all(&mut send, data).await.is_err() {
            return;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _ = send.send_trailers(trailers);
}
