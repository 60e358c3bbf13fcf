//! The beginning of a connection where TLS is spoken: the client hello, the load balancer it means, the handshake.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{ready, Context, Poll};
use std::time::Instant;

use elba_core::client_certificate::{failure, Facts, Mode, Told};
use elba_core::compile::{Place, Serves};
use rustls::server::Acceptor;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Connection;
use super::state::{Config, Worker};
use crate::access_log::ConnectionRecord;
use crate::counters::Balancer;
use crate::http2;
use crate::timer::Timer;
use crate::tls::{Agreed, Socket, TlsStream};

/// From the connection to the end of its handshake.
const HANDSHAKE_MS: u64 = 10_000;
const LINGER_MS: u64 = 2_000;
const LINGER_BYTES: usize = 1 << 20;
/// The first byte of a TLS record that holds a handshake message.
const HANDSHAKE_RECORD: u8 = 22;

const PLAIN_TO_TLS: &str =
    "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n\
     <body>\r\n<center><h1>400 Bad Request</h1></center>\r\n\
     <center>The plain HTTP request was sent to HTTPS port</center>\r\n</body>\r\n</html>\r\n";

/// Serves a connection on a socket on which TLS is spoken, perhaps beside plain HTTP (the front door).
pub async fn serve(worker: Rc<Worker>, socket: TcpStream, peer: SocketAddr, serves: Rc<Serves>) {
    let timer = worker.timers.timer();
    timer.set_fresh_until(worker.now_ms() + HANDSHAKE_MS);
    timer.set(worker.now_ms() + HANDSHAKE_MS);
    poll_fn(|context| {
        timer.remember(context);
        Poll::Ready(())
    })
    .await;
    let began = Instant::now();
    let listener = match &*serves {
        Serves::Listener { load_balancer, port } => {
            let config = worker.config();
            let place = config.compiled.find_listener(load_balancer, *port);
            place.map(|place| (config, place))
        }
        Serves::FrontDoor { .. } => None,
    };
    let known_as = Cell::new(peer.ip());
    let is_kept_out = |(config, place): &Meant| {
        let listener = config.compiled.listener_at(*place);
        !worker.lets_in(listener, peer, &known_as)
    };
    if listener.as_ref().is_some_and(is_kept_out) {
        return;
    }
    let mut first = [0];
    let peeked = in_time(&timer, |context| {
        socket.poll_peek(context, &mut ReadBuf::new(&mut first))
    })
    .await;
    if !matches!(peeked, Some(Ok(1))) {
        return log_failed(&worker, listener.as_ref(), peer, began);
    }
    if first[0] != HANDSHAKE_RECORD {
        let port = match &*serves {
            Serves::FrontDoor { port } => *port,
            Serves::Listener { .. } => 0,
        };
        if worker.config().compiled.speaks(port, false) {
            drop(timer);
            return Connection::new(worker, socket, peer, serves).run().await;
        }
        if let Some((config, place)) = &listener {
            config.balancers[place.load_balancer as usize]
                .cells
                .add_answer(400);
        }
        log_failed(&worker, listener.as_ref(), peer, began);
        return refuse_plain(&worker, socket, &timer).await;
    }
    match handshake(&worker, socket, &serves, listener, (peer, began), &timer).await {
        Ok((stream, (config, place))) => {
            drop(timer);
            // whatever Host says later: the certificate was this load balancer's
            let serves = match &*serves {
                Serves::Listener { .. } => serves,
                Serves::FrontDoor { port } => Rc::new(Serves::Listener {
                    load_balancer: config.compiled.load_balancer_at(place).source.arn.clone(),
                    port: *port,
                }),
            };
            if stream.is_http2() {
                let balancer = config.balancers[place.load_balancer as usize].clone();
                drop(config);
                // boxed, for its state is large and most connections are not of its kind
                Box::pin(http2::serve::serve(worker, stream, peer, serves, balancer)).await;
            } else {
                drop(config);
                Connection::new(worker, stream, peer, serves).run().await;
            }
        }
        Err(Some((config, place))) => {
            config.balancers[place.load_balancer as usize]
                .cells
                .add(Balancer::ClientTlsNegotiationError, 1);
        }
        Err(None) => {}
    }
}

/// The listener that a connection is meant for.
type Meant = (Rc<Config>, Place);

/// Writes down an attempt to connect of which no handshake came about, for a reason that AWS has no code of its own for.
fn log_failed(worker: &Worker, meant: Option<&Meant>, peer: SocketAddr, began: Instant) {
    let Some((config, place)) = meant else { return };
    let compiled = &config.compiled;
    worker.log.connected(compiled, *place, || ConnectionRecord {
        status: "Failed:UnmappedConnectionError".to_owned(),
        ..ConnectionRecord::plain(compiled.clone(), *place, peer, began, worker.connection_trace())
    });
}

/// What `poll` gives, or None when the deadline passes or the node ends.
async fn in_time<T>(timer: &Timer, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|context| match timer.fired() {
        Some(_) => Poll::Ready(None),
        None => poll(context).map(Some),
    })
    .await
}

/// The stream after its handshake, and whose it is. On failure, the load balancer that it was meant for, if known.
async fn handshake(
    worker: &Rc<Worker>,
    mut socket: TcpStream,
    serves: &Serves,
    listener: Option<Meant>,
    (peer, began): (SocketAddr, Instant),
    timer: &Timer,
) -> Result<(TlsStream<ServerConnection>, Meant), Option<Meant>> {
    let mut acceptor = Acceptor::default();
    let accepted = in_time(timer, |context| loop {
        let mut reading = Socket {
            stream: &mut socket,
            context,
        };
        match acceptor.read_tls(&mut reading) {
            Ok(0) => return Poll::Ready(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(_) => return Poll::Ready(None),
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Poll::Ready(Some(accepted)),
            Err((_, mut alert)) => {
                let _ = alert.write_all(&mut Socket {
                    stream: &mut socket,
                    context,
                });
                return Poll::Ready(None);
            }
        }
    })
    .await
    .flatten();
    let Some(accepted) = accepted else {
        log_failed(worker, listener.as_ref(), peer, began);
        return Err(listener);
    };
    let config = worker.config();
    let place = match serves {
        Serves::Listener { load_balancer, port } => config.compiled.find_listener(load_balancer, *port),
        Serves::FrontDoor { port } => {
            let name = accepted.client_hello().server_name().map(str::to_owned);
            config
                .compiled
                .find_front_door(*port, name.as_deref().map(str::as_bytes), true)
        }
    };
    let Some(place) = place
        .filter(|place| worker.lets_in(config.compiled.listener_at(*place), peer, &Cell::new(peer.ip())))
    else {
        return Err(None);
    };
    let Some(tls) = config.compiled.listener_at(place).tls.clone() else {
        return Err(None);
    };
    let compiled = config.compiled.clone();
    let hello = accepted.client_hello();
    let (certificate, is_named) = tls.chosen(&hello);
    let server_name = hello.server_name().filter(|_| is_named).map(Box::from);
    let session = match accepted.into_connection(tls.config.clone()) {
        Ok(session) => session,
        Err((_, mut alert)) => {
            let mut bytes = Vec::new();
            let _ = alert.write_all(&mut bytes);
            let meant = Some((config, place));
            log_failed(worker, meant.as_ref(), peer, began);
            let _ = in_time(timer, |context| Pin::new(&mut socket).poll_write(context, &bytes)).await;
            return Err(meant);
        }
    };
    let mut stream = TlsStream::new(socket, session);
    let result = in_time(timer, |context| stream.poll_handshake(context)).await;
    let trace = worker.connection_trace();
    {
        worker.log.connected(&compiled, place, || {
            let is_made = matches!(result, Some(Ok(())));
            let (status, refused) = match &result {
                Some(Ok(())) if tls.mode == Some(Mode::Verify) => ("Success".to_owned(), None),
                Some(Ok(())) => (String::new(), None),
                Some(Err(error)) => {
                    let error = error.get_ref().and_then(|error| error.downcast_ref());
                    let (code, leaf) = error.map_or(("UnmappedConnectionError", None), failure);
                    (format!("Failed:{code}"), leaf)
                }
                None => ("Failed:UnmappedConnectionError".to_owned(), None),
            };
            let shown = stream.peer_certificates().first().map(|leaf| leaf.as_ref());
            ConnectionRecord {
                compiled: compiled.clone(),
                place,
                client: peer,
                began,
                handshake: is_made.then(|| began.elapsed()),
                tls: stream.spoken(),
                key_exchange: stream.key_exchange().unwrap_or(""),
                certificate: refused.or(shown).and_then(Facts::parse),
                status,
                trace,
            }
        });
    }
    match result {
        Some(Ok(())) => {
            let (version, cipher) = stream.spoken().unwrap_or_default();
            let chain = stream.peer_certificates();
            stream.agreed = Some(Rc::new(Agreed {
                version,
                cipher,
                server_name,
                certificate: Some(certificate).filter(|_| !stream.is_resumed()),
                client: tls.mode.map(|mode| Told::of(mode, chain)),
                trace,
            }));
            Ok((stream, (config, place)))
        }
        _ => Err(Some((config, place))),
    }
}

/// Tells a client that speaks plain HTTP that this port does not.
async fn refuse_plain(worker: &Worker, mut socket: TcpStream, timer: &Timer) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nServer: awselb/2.0\r\nDate: {}\r\nContent-Type: text/html\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{PLAIN_TO_TLS}",
        worker.date(),
        PLAIN_TO_TLS.len()
    );
    let (mut sent, mut discarded) = (0, 0);
    timer.set(worker.now_ms() + LINGER_MS);
    in_time(timer, |context| {
        while sent < answer.len() {
            match ready!(Pin::new(&mut socket).poll_write(context, &answer.as_bytes()[sent..])) {
                Ok(count) if count > 0 => sent += count,
                _ => return Poll::Ready(()),
            }
        }
        if ready!(Pin::new(&mut socket).poll_shutdown(context)).is_err() {
            return Poll::Ready(());
        }
        // closing with bytes unread would reset the connection, and the answer with it
        let mut rest = [0; 1024];
        while discarded < LINGER_BYTES {
            let mut into = ReadBuf::new(&mut rest);
            match ready!(Pin::new(&mut socket).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => discarded += into.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    })
    .await;
}
