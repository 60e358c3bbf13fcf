//! Bodies on their way between a client and a target, both ways at once: through one block per direction; what one side
//! does not take, the other is not asked for.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use elba_core::http1::chunked::{push_chunk_head, BadChunk, ChunkedReader, LAST_CHUNK};
use elba_core::http1::response::ResponseHead;
use elba_core::http1::Framing;
use tokio::io::AsyncWrite;

use super::attempt::Flight;
use super::body::{copy_chunks, Body};
use super::connection::{Connection, Next};
use super::decide::Plan;
use super::exchange::HeadForm;
use super::state::Worker;
use super::ClientStream;
use crate::buffers::{Input, BLOCK};
use crate::pool::Upstream;

/// Body bytes that come with a response head are copied behind it up to here, beyond they are sent from where they
/// are, in the same system call.
const COPY_LIMIT: usize = 4096;
/// A body that moves faster than the others wait lets them have their turn after so many bytes.
const TURN_BYTES: usize = 1 << 20;

/// The way of the request's body.
pub(super) struct Upload {
    /// what is still to come after what is in the output buffer
    pub body: Body,
    /// everything was sent, or the target takes no more
    pub is_finished: bool,
    /// the output buffer holds no longer what it began with: the request cannot be sent again
    pub(super) is_streaming: bool,
    /// the target closed its ear; what it says is still read
    pub(super) is_broken: bool,
    pub(super) waits_for_client: bool,
    /// once the response is in the output buffer: what was there of the request, and how much of it is sent
    pub(super) aside: Vec<u8>,
    pub(super) sent_aside: usize,
}

impl Upload {
    pub fn new(body: Body) -> Upload {
        Upload {
            body,
            is_finished: false,
            is_streaming: false,
            is_broken: false,
            waits_for_client: false,
            aside: Vec::new(),
            sent_aside: 0,
        }
    }

    /// All of it has come from the client and gone to the target.
    fn is_complete(&self) -> bool {
        self.is_finished && !self.is_broken
    }
}

pub(super) enum UploadError {
    /// the client closed or reset
    Client,
    Target,
    BadBody,
}

/// The way of the response's body.
pub(super) struct Download {
    body: Body,
    /// sent to the client in chunks
    chunked: bool,
    /// the target's connection can be used again once the body has ended
    reuse: bool,
    keep: bool,
}

pub(super) enum DownloadError {
    Client,
    /// the target ended or broke the body early
    Target,
}

impl<S: ClientStream> Connection<S> {
    pub(super) fn begin_download(
        &mut self,
        worker: &Worker,
        plan: &mut Plan,
        head: &ResponseHead,
        from_target: &mut Input,
        used: usize,
    ) -> Result<Download, BadChunk> {
        let framing = head.framing(plan.to_head);
        let unframed = matches!(framing, Framing::Chunked | Framing::UntilClose);
        let chunked = unframed && plan.client_is_http11;
        // an answer that overtakes the request's body ends the connection: where the next request begins on it
        // would depend on who stops reading first
        let keep = plan.keep && plan.upload.is_complete() && !worker.is_draining() && (!unframed || chunked);
        if !plan.upload.is_finished {
            // both bodies are under way: each needs an output buffer of its own
            plan.upload.aside = std::mem::replace(&mut self.output, worker.buffers.output());
            plan.upload.sent_aside = self.sent;
        }
        let form = HeadForm {
            chunked,
            keep_alive: keep,
            upgrades: false,
        };
        self.put_head(worker, plan, from_target.bytes(), head, form);
        from_target.consume(used);
        let mut download = Download {
            body: match framing {
                Framing::None => Body::Done,
                Framing::Length(length) => Body::Length(length),
                Framing::Chunked => Body::Chunked(ChunkedReader::default()),
                Framing::UntilClose => Body::UntilClose,
            },
            chunked,
            reuse: head.keeps_alive() && !plan.close_target && framing != Framing::UntilClose,
            keep,
        };
        // a small body goes with the head in one piece
        if let Body::Length(length) = download.body {
            if length <= COPY_LIMIT as u64 {
                let taken = download
                    .body
                    .take(from_target.bytes(), &mut self.output, COPY_LIMIT)?;
                from_target.consume(taken);
            }
        } else if !from_target.is_empty() {
            self.put_body(&mut download, from_target)?;
        }
        Ok(download)
    }

    /// Moves what has come of a body without known length into the output.
    fn put_body(&mut self, download: &mut Download, from_target: &mut Input) -> Result<(), BadChunk> {
        match &mut download.body {
            Body::Done | Body::Length(_) => {}
            Body::Chunked(reader) => {
                let used = copy_chunks(reader, from_target.bytes(), &mut self.output, download.chunked)?;
                if reader.is_done() {
                    download.body = Body::Done;
                }
                from_target.consume(used);
            }
            Body::UntilClose => {
                if download.chunked && !from_target.is_empty() {
                    push_chunk_head(&mut self.output, from_target.len());
                }
                self.output.extend_from_slice(from_target.bytes());
                if download.chunked && !from_target.is_empty() {
                    self.output.extend_from_slice(b"\r\n");
                }
                from_target.consume(usize::MAX);
            }
        }
        Ok(())
    }

    /// Sends the rest of the response, and of the request if that is not through yet.
    pub(super) async fn finish(
        &mut self,
        mut plan: Plan,
        mut download: Download,
        mut upstream: Upstream,
        mut from_target: Input,
        flight: &Flight,
    ) -> Next {
        self.progress();
        let ended = poll_fn(|context| {
            if self.timer.fired().is_some() {
                return Poll::Ready(Err(DownloadError::Target));
            }
            if !plan.upload.is_finished {
                // its failure is no failure of the response
                std::mem::swap(&mut self.output, &mut plan.upload.aside);
                let sent = std::mem::replace(&mut self.sent, plan.upload.sent_aside);
                let upload = self.poll_upload(context, &mut plan.upload, &mut upstream);
                plan.upload.sent_aside = std::mem::replace(&mut self.sent, sent);
                std::mem::swap(&mut self.output, &mut plan.upload.aside);
                if let Poll::Ready(Err(_)) = upload {
                    plan.upload.is_finished = true;
                    plan.upload.is_broken = true;
                }
            }
            self.poll_download(context, &mut download, &mut upstream, &mut from_target)
        })
        .await;
        self.stream.end_answer(ended.is_ok());
        if plan.upload.aside.capacity() > 0 {
            self.worker
                .buffers
                .give_back_output(std::mem::take(&mut plan.upload.aside));
        }
        let clean = ended.is_ok() && from_target.is_empty();
        if clean && download.reuse && plan.upload.is_complete() {
            flight.target.keep(upstream, self.worker.now_ms());
        }
        from_target.consume(usize::MAX);
        from_target.release(&self.worker.buffers);
        match ended {
            Ok(()) if download.keep => Next::Again,
            Ok(()) if plan.upload.is_complete() => Next::Close,
            Ok(()) => Next::Linger,
            // a response that has begun and breaks is cut short by closing: the client must not take it for whole
            Err(_) => Next::Close,
        }
    }

    /// Moves the request to the target: the output buffer, then the rest of the body.
    pub(super) fn poll_upload(
        &mut self,
        context: &mut Context<'_>,
        upload: &mut Upload,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), UploadError>> {
        let mut moved = 0;
        loop {
            upload.waits_for_client = false;
            let direct = match &upload.body {
                Body::Length(rest) if self.sent == self.output.len() => {
                    (*rest).min(self.input.len() as u64) as usize
                }
                _ => 0,
            };
            if self.sent < self.output.len() || direct > 0 {
                let from_output = self.sent < self.output.len();
                let bytes = if from_output {
                    &self.output[self.sent..]
                } else {
                    &self.input.bytes()[..direct]
                };
                let count = match ready!(Pin::new(&mut *upstream).poll_write(context, bytes)) {
                    Ok(count) if count > 0 => count,
                    _ => return Poll::Ready(Err(UploadError::Target)),
                };
                self.progress();
                if from_output {
                    self.sent += count;
                } else {
                    self.input.consume(count);
                    if let Body::Length(rest) = &mut upload.body {
                        *rest -= count as u64;
                        if *rest == 0 {
                            upload.body = Body::Done;
                        }
                    }
                }
                continue;
            }
            if upload.body.is_done() {
                upload.is_finished = true;
                return Poll::Ready(Ok(()));
            }
            upload.is_streaming = true;
            self.output.clear();
            self.sent = 0;
            if moved >= TURN_BYTES {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if matches!(upload.body, Body::Length(rest) if rest > BLOCK as u64) {
                self.input.widen(&self.worker.buffers);
            }
            if !self.input.is_empty() {
                // chunks
                match upload.body.take(self.input.bytes(), &mut self.output, BLOCK) {
                    Ok(used) => self.input.consume(used),
                    Err(BadChunk) => return Poll::Ready(Err(UploadError::BadBody)),
                }
                if !self.output.is_empty() || upload.body.is_done() {
                    continue;
                }
            }
            match self
                .input
                .poll_fill(context, &mut self.stream, &self.worker.buffers, BLOCK)
            {
                Poll::Ready(Ok(count)) if count > 0 => {
                    moved += count;
                    self.bytes += count as u64;
                    self.received += count as u64;
                    self.progress();
                }
                Poll::Ready(_) => return Poll::Ready(Err(UploadError::Client)),
                Poll::Pending => {
                    upload.waits_for_client = true;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Moves the response to the client: the output buffer, then the rest of the body.
    fn poll_download(
        &mut self,
        context: &mut Context<'_>,
        download: &mut Download,
        upstream: &mut Upstream,
        from_target: &mut Input,
    ) -> Poll<Result<(), DownloadError>> {
        let mut moved = 0;
        loop {
            let direct = match &download.body {
                Body::Length(rest) => (*rest).min(from_target.len() as u64) as usize,
                Body::UntilClose if !download.chunked => from_target.len(),
                _ => 0,
            };
            if self.sent < self.output.len() || direct > 0 {
                let body = &from_target.bytes()[..direct];
                let stream = Pin::new(&mut self.stream);
                let ahead = self.output.len() - self.sent;
                let written = if ahead == 0 {
                    stream.poll_write(context, body)
                } else if direct == 0 {
                    stream.poll_write(context, &self.output[self.sent..])
                } else {
                    let slices = [
                        io::IoSlice::new(&self.output[self.sent..]),
                        io::IoSlice::new(body),
                    ];
                    stream.poll_write_vectored(context, &slices)
                };
                let count = match ready!(written) {
                    Ok(count) if count > 0 => count,
                    _ => return Poll::Ready(Err(DownloadError::Client)),
                };
                self.bytes += count as u64;
                self.sent_total += count as u64;
                self.progress();
                let from_output = count.min(ahead);
                self.sent += from_output;
                let from_body = count - from_output;
                from_target.consume(from_body);
                if let Body::Length(rest) = &mut download.body {
                    *rest -= from_body as u64;
                    if *rest == 0 {
                        download.body = Body::Done;
                    }
                }
                continue;
            }
            if download.body.is_done() {
                return Poll::Ready(Ok(()));
            }
            self.output.clear();
            self.sent = 0;
            if moved >= TURN_BYTES {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if matches!(download.body, Body::Length(rest) if rest > BLOCK as u64) {
                from_target.widen(&self.worker.buffers);
            }
            match from_target.poll_fill(context, upstream, &self.worker.buffers, BLOCK) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => {
                    moved += count;
                    self.progress();
                }
                Poll::Ready(Ok(_)) if matches!(download.body, Body::UntilClose) => {
                    if download.chunked {
                        self.output.extend_from_slice(LAST_CHUNK);
                    }
                    download.body = Body::Done;
                    continue;
                }
                Poll::Ready(_) => return Poll::Ready(Err(DownloadError::Target)),
            }
            let encodes = download.chunked || matches!(download.body, Body::Chunked(_));
            if encodes && self.put_body(download, from_target).is_err() {
                return Poll::Ready(Err(DownloadError::Target));
            }
        }
    }
}
