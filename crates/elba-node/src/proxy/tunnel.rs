//! After a 101: bytes both ways until both sides have ended or nothing moved for the idle time-out.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::ClientStream;
use crate::buffers::{Buffers, Input, BLOCK};
use crate::pool::Upstream;

/// One direction of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// the source has ended, the sink is still to be told
    Ending,
    Ended,
}

impl<S: ClientStream> Connection<S> {
    /// Sends the response head in the output, then carries bytes. Ends with the connection.
    pub(super) async fn tunnel(&mut self, upstream: &mut Upstream, from_target: &mut Input) {
        self.timer.reset();
        self.progress();
        // counted again as it is passed on
        self.received = self.received.wrapping_sub(self.input.len() as u64);
        let (mut up, mut down) = (Way::Open, Way::Open);
        let worker = self.worker.clone();
        poll_fn(|context| {
            // a target's deregistration does not reach in here before the delay is over; then it does
            if self.timer.fired().is_some() {
                return Poll::Ready(());
            }
            match self.poll_send(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            let moved_up = poll_way(
                context,
                &mut up,
                &mut self.input,
                &mut self.stream,
                upstream,
                &worker.buffers,
            );
            let moved_down = poll_way(
                context,
                &mut down,
                from_target,
                upstream,
                &mut self.stream,
                &worker.buffers,
            );
            match (moved_up, moved_down) {
                (Ok(moved_up), Ok(moved_down)) => {
                    if moved_up + moved_down > 0 {
                        self.bytes += moved_up + moved_down;
                        self.received = self.received.wrapping_add(moved_up);
                        self.sent_total += moved_down;
                        self.count_bytes();
                        self.progress();
                    }
                    if up == Way::Ended && down == Way::Ended {
                        return Poll::Ready(());
                    }
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
        self.received = self.received.wrapping_add(self.input.len() as u64);
    }
}

/// Moves bytes until either side makes it wait; returns how many were written.
fn poll_way<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    context: &mut Context<'_>,
    way: &mut Way,
    input: &mut Input,
    source: &mut R,
    sink: &mut W,
    buffers: &Buffers,
) -> std::io::Result<u64> {
    let mut moved = 0;
    loop {
        if !input.is_empty() {
            match Pin::new(&mut *sink).poll_write(context, input.bytes()) {
                Poll::Ready(count) => {
                    let count = count?;
                    if count == 0 {
                        return Err(std::io::ErrorKind::WriteZero.into());
                    }
                    input.consume(count);
                    moved += count as u64;
                }
                Poll::Pending => return Ok(moved),
            }
            continue;
        }
        match way {
            Way::Ended => return Ok(moved),
            Way::Ending => match Pin::new(&mut *sink).poll_shutdown(context) {
                Poll::Ready(result) => {
                    result?;
                    *way = Way::Ended;
                }
                Poll::Pending => return Ok(moved),
            },
            Way::Open => match input.poll_fill(context, source, buffers, BLOCK) {
                Poll::Ready(count) => {
                    if count? == 0 {
                        *way = Way::Ending;
                    }
                }
                Poll::Pending => {
                    input.release(buffers);
                    return Ok(moved);
                }
            },
        }
    }
}
