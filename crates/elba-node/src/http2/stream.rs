//! One stream of a client's HTTP/2 connection, in the form in which `proxy` reads and writes connections: the body of
//! the request is read from it (framed as its HTTP/1 head says), the HTTP/1 answer is written to it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use bytes::{Buf, Bytes};
use elba_core::http1::chunked::push_chunk_head;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::{response, RequestBody};
use crate::proxy::state::Worker;
use crate::proxy::ClientStream;
use crate::tls::Agreed;

/// Where the answer is.
enum Answer {
    /// its head has not been written
    Expected(SendResponse<Bytes>),
    /// `rest`: bytes of the body still to come; None = it says by ending
    Body {
        send: SendStream<Bytes>,
        rest: Option<u64>,
    },
    Ended(SendStream<Bytes>),
    Broken,
}

pub struct ClientStream2 {
    worker: Rc<Worker>,
    tls: Option<Rc<Agreed>>,
    receive: RecvStream,
    form: RequestBody,
    /// to be read before `data`: the frame of a chunk
    lead: Vec<u8>,
    data: Bytes,
    began: bool,
    /// the request's way on, if its target speaks HTTP/2 too
    upstream: Option<SendStream<Bytes>>,
    answer: Answer,
    to_head: bool,
    /// counts the requests that the client has taken back; None = this one is counted
    taken_back: Option<Rc<Cell<u64>>>,
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl ClientStream2 {
    pub fn new(
        worker: Rc<Worker>,
        tls: Option<Rc<Agreed>>,
        receive: RecvStream,
        form: RequestBody,
        respond: SendResponse<Bytes>,
        to_head: bool,
        taken_back: Rc<Cell<u64>>,
    ) -> ClientStream2 {
        ClientStream2 {
            worker,
            tls,
            receive,
            form,
            lead: Vec::new(),
            data: Bytes::new(),
            began: false,
            upstream: None,
            answer: Answer::Expected(respond),
            to_head,
            taken_back: Some(taken_back),
        }
    }

    /// The client has reset the stream, or its connection has ended.
    fn given_up(&mut self, error: h2::Error) -> io::Error {
        if let Some(count) = self.taken_back.take() {
            count.set(count.get() + 1);
        }
        broken(error)
    }

    /// Sends the head of the answer; how many of the bytes it was. `ends`: whether a body follows is known; else the
    /// head says it.
    fn send_head(&mut self, bytes: &[u8], ends: Option<bool>) -> io::Result<usize> {
        let Answer::Expected(mut respond) = std::mem::replace(&mut self.answer, Answer::Broken) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut scratch = self.worker.scratch.borrow_mut();
        let head = &mut scratch.response;
        let used = match head.parse(bytes) {
            Ok(Some(used)) => used,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let answer = response(bytes, head).ok_or(io::ErrorKind::InvalidData)?;
        let bodyless =
            ends.unwrap_or(self.to_head || matches!(head.status, 204 | 304) || head.length == Some(0));
        let send = respond.send_response(answer, bodyless).map_err(broken)?;
        self.answer = if bodyless {
            Answer::Ended(send)
        } else {
            Answer::Body {
                send,
                rest: head.length.filter(|_| ends.is_none()),
            }
        };
        Ok(used)
    }

    fn poll_send_body(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Answer::Body { send, rest } = &mut self.answer else {
            // a body where there is none to be, as after HEAD
            return Poll::Ready(Ok(bytes.len()));
        };
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        send.reserve_capacity(bytes.len());
        let mut room = send.capacity();
        if room == 0 {
            room = match ready!(send.poll_capacity(context)) {
                Some(room) => room.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        let count = room.min(bytes.len());
        if count == 0 {
            return Poll::Pending;
        }
        let mut ends = false;
        if let Some(rest) = rest {
            *rest = rest.saturating_sub(count as u64);
            ends = *rest == 0;
        }
        send.send_data(Bytes::copy_from_slice(&bytes[..count]), ends)
            .map_err(broken)?;
        if ends {
            if let Answer::Body { send, .. } = std::mem::replace(&mut self.answer, Answer::Broken) {
                self.answer = Answer::Ended(send);
            }
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for ClientStream2 {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        loop {
            if !stream.lead.is_empty() {
                let count = stream.lead.len().min(into.remaining());
                into.put_slice(&stream.lead[..count]);
                stream.lead.drain(..count);
            }
            if !stream.data.is_empty() && into.remaining() > 0 {
                let count = stream.data.len().min(into.remaining());
                into.put_slice(&stream.data[..count]);
                stream.data.advance(count);
                // the window opens as the data are taken, so that a slow target slows its client
                stream
                    .receive
                    .flow_control()
                    .release_capacity(count)
                    .map_err(broken)?;
            }
            if !into.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if stream.form == RequestBody::None {
                return stream.poll_given_up(context);
            }
            match ready!(stream.receive.poll_data(context)) {
                Some(Ok(data)) => {
                    if data.is_empty() {
                        continue;
                    }
                    if stream.form == RequestBody::Chunked {
                        if std::mem::replace(&mut stream.began, true) {
                            stream.lead.extend_from_slice(b"\r\n");
                        }
                        push_chunk_head(&mut stream.lead, data.len());
                    }
                    stream.data = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(stream.given_up(error))),
                None => {
                    if stream.form == RequestBody::Chunked {
                        let end: &[u8] = if stream.began {
                            b"\r\n0\r\n\r\n"
                        } else {
                            b"0\r\n\r\n"
                        };
                        stream.lead.extend_from_slice(end);
                    }
                    stream.form = RequestBody::None;
                }
            }
        }
    }
}

impl AsyncWrite for ClientStream2 {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if !matches!(stream.answer, Answer::Expected(_)) {
            return stream.poll_send_body(context, bytes);
        }
        let used = stream.send_head(bytes, None)?;
        Poll::Ready(Ok(match stream.poll_send_body(context, &bytes[used..]) {
            Poll::Ready(sent) => used + sent?,
            Poll::Pending => used,
        }))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let mut total = 0;
        for slice in slices {
            match Pin::new(&mut *stream).poll_write(context, slice) {
                Poll::Ready(Ok(count)) => {
                    total += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if total == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl ClientStream for ClientStream2 {
    const MULTIPLEXED: bool = true;

    fn tls(&self) -> Option<&Rc<Agreed>> {
        self.tls.as_ref()
    }

    fn send_continue(&mut self) -> bool {
        let Answer::Expected(respond) = &mut self.answer else {
            return false;
        };
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        respond.send_informational(interim).is_ok()
    }

    fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reset = match &mut self.answer {
            Answer::Expected(respond) => ready!(respond.poll_reset(context)),
            Answer::Body { send, .. } | Answer::Ended(send) => ready!(send.poll_reset(context)),
            Answer::Broken => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        };
        Poll::Ready(Err(
            self.given_up(reset.map_or_else(|error| error, h2::Error::from))
        ))
    }

    fn receive_ended(&self) -> bool {
        self.form == RequestBody::None
    }

    fn set_upstream(&mut self, send: SendStream<Bytes>) {
        self.upstream = Some(send);
    }

    fn upload_ends(&mut self) -> Option<(&mut RecvStream, &mut SendStream<Bytes>)> {
        Some((&mut self.receive, self.upstream.as_mut()?))
    }

    fn answer_end(&mut self) -> Option<&mut SendStream<Bytes>> {
        match &mut self.answer {
            Answer::Body { send, .. } => Some(send),
            _ => None,
        }
    }

    fn send_head_of(&mut self, bytes: &[u8], ends: bool) -> io::Result<()> {
        self.send_head(bytes, Some(ends)).map(|_| ())
    }

    fn end_answer(&mut self, whole: bool) {
        match std::mem::replace(&mut self.answer, Answer::Broken) {
            Answer::Expected(mut respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Answer::Body { mut send, rest: None } if whole => {
                // refused if its last frame, with trailers perhaps, is on its way already
                let _ = send.send_data(Bytes::new(), true);
                self.answer = Answer::Ended(send);
            }
            // a body that breaks must not be taken for whole
            Answer::Body { mut send, .. } => send.send_reset(Reason::INTERNAL_ERROR),
            ended => self.answer = ended,
        }
    }
}
