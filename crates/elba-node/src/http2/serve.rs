//! A client's HTTP/2 connection: takes its streams and ends it when its time has come.

use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use elba_core::compile::Serves;
use h2::server::{Builder, Connection as Http2, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request};

use super::head::push_request;
use super::stream::ClientStream2;
use crate::proxy::connection::{Connection, Open};
use crate::proxy::state::{BalancerRuntime, Worker};
use crate::proxy::ClientStream as _;
use crate::timer::{Fired, Timer};
use crate::tls::{Agreed, ClientTls};

/// Source of the first two: alb.md section 14.
const MAX_STREAMS: u32 = 128;
const MAX_REQUESTS: u64 = 10_000;
/// What one stream, and all together, may send ahead of what a target has taken.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What one answer may have waiting for its client.
const SEND_BUFFER: usize = 64 * 1024;
/// How much small frames may cost (256 bytes each, less what they say) before their target has taken them: a stream's
/// window full of frames of eight bytes is in it.
const SMALL_FRAMES: usize = 4 * 1024 * 1024;
/// All fields of a request, as they are counted for HTTP/2 (32 bytes more each): twice what a request may have, so
/// that what is too much gets our own answer. Source: alb.md section 11.1.
const MAX_HEADER_LIST: u32 = 2 * 64 * 1024;
/// A client that has taken so many requests back before they were answered, more than half of all, is sent away.
const MAX_TAKEN_BACK: u64 = 500;
/// From the end of the TLS handshake to the client's preface.
const PREFACE_MS: u64 = 10_000;
/// After GOAWAY, for streams that were on their way.
const GOODBYE_MS: u64 = 2_000;

/// What the streams of a connection have in common.
struct Shared {
    active: Cell<u32>,
    /// when a stream last began or ended
    busy_ms: Cell<u64>,
    /// how many requests the client has taken back
    taken_back: Rc<Cell<u64>>,
}

/// A stream that counts as active.
struct Active {
    shared: Rc<Shared>,
    worker: Rc<Worker>,
}

impl Active {
    fn new(shared: &Rc<Shared>, worker: &Rc<Worker>) -> Active {
        shared.active.set(shared.active.get() + 1);
        shared.busy_ms.set(worker.now_ms());
        Active {
            shared: shared.clone(),
            worker: worker.clone(),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.shared.active.set(self.shared.active.get() - 1);
        self.shared.busy_ms.set(self.worker.now_ms());
    }
}

/// Serves a connection whose TLS handshake chose h2, until either side ends it.
pub async fn serve(
    worker: Rc<Worker>,
    stream: ClientTls,
    peer: SocketAddr,
    serves: Rc<Serves>,
    balancer: Rc<BalancerRuntime>,
) {
    let timer = worker.timers.timer();
    timer.set(worker.now_ms() + PREFACE_MS);
    timer.set_fresh_until(worker.now_ms() + PREFACE_MS);
    let tls = stream.tls().cloned();
    let attributes = &balancer.balancer.attributes;
    let open = Rc::new(Open::new(balancer.cells.clone()));
    let idle_ms = attributes.idle_timeout_ms;
    let keep_until_ms = worker.now_ms() + attributes.client_keep_alive_ms;
    drop(balancer);
    let mut handshake = std::pin::pin!(Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES)
        .handshake::<_, Bytes>(stream));
    let connection = poll_fn(|context| {
        timer.remember(context);
        match timer.fired() {
            Some(_) => Poll::Ready(None),
            None => handshake.as_mut().poll(context).map(Result::ok),
        }
    })
    .await;
    let Some(mut connection) = connection else { return };
    // a drain wakes it at once, whatever its streams do: they have timers of their own
    timer.set_idle(true);
    timer.set_fresh_until(0);
    timer.set(worker.now_ms() + idle_ms);
    let shared = Rc::new(Shared {
        active: Cell::new(0),
        busy_ms: Cell::new(worker.now_ms()),
        taken_back: Rc::default(),
    });
    let mut leaving = false;
    let mut requests = 0;
    while let Some((request, respond)) =
        next(&mut connection, &worker, &timer, &shared, idle_ms, &mut leaving).await
    {
        requests += 1;
        let taken_back = shared.taken_back.get();
        if taken_back > MAX_TAKEN_BACK && taken_back > requests / 2 {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        if !leaving && (requests >= MAX_REQUESTS || worker.now_ms() >= keep_until_ms || worker.is_draining())
        {
            leaving = true;
            connection.graceful_shutdown();
        }
        let active = Active::new(&shared, &worker);
        begin(
            &worker,
            request,
            respond,
            tls.clone(),
            peer,
            &serves,
            &open,
            active,
        );
    }
}

/// The next stream; None when the connection has ended.
async fn next(
    connection: &mut Http2<ClientTls, Bytes>,
    worker: &Worker,
    timer: &Timer,
    shared: &Shared,
    idle_ms: u64,
    leaving: &mut bool,
) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
    poll_fn(|context| {
        match timer.fired() {
            None => {}
            Some(_) if *leaving && shared.active.get() == 0 => return Poll::Ready(None),
            Some(Fired::Timeout) => {
                timer.reset();
                let idle_until = shared.busy_ms.get() + idle_ms;
                if shared.active.get() > 0 {
                    timer.set(worker.now_ms() + GOODBYE_MS.min(idle_ms));
                } else if !*leaving && worker.now_ms() < idle_until {
                    timer.set(idle_until);
                } else {
                    *leaving = true;
                    connection.graceful_shutdown();
                    timer.set(worker.now_ms() + GOODBYE_MS);
                }
            }
            Some(_) => {
                timer.reset();
                if !std::mem::replace(leaving, true) {
                    connection.graceful_shutdown();
                }
                timer.set(worker.now_ms() + GOODBYE_MS);
            }
        }
        match connection.poll_accept(context) {
            Poll::Ready(Some(Ok(accepted))) => Poll::Ready(Some(accepted)),
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Starts the request of a stream.
#[allow(clippy::too_many_arguments)] // all are of one stream, and named once
fn begin(
    worker: &Rc<Worker>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    tls: Option<Rc<Agreed>>,
    peer: SocketAddr,
    serves: &Rc<Serves>,
    open: &Rc<Open>,
    active: Active,
) {
    let (parts, receive) = request.into_parts();
    let mut head = worker.buffers.output();
    let Ok(form) = push_request(&mut head, &parts, receive.is_end_stream()) else {
        worker.buffers.give_back_output(head);
        return respond.send_reset(Reason::PROTOCOL_ERROR);
    };
    let to_head = parts.method == Method::HEAD;
    let stream = ClientStream2::new(
        worker.clone(),
        tls,
        receive,
        form,
        respond,
        to_head,
        active.shared.taken_back.clone(),
    );
    let connection = Connection::of_stream(worker.clone(), stream, peer, serves.clone(), open.clone(), &head);
    worker.buffers.give_back_output(head);
    tokio::task::spawn_local(async move {
        connection.run_stream().await;
        drop(active);
    });
}
