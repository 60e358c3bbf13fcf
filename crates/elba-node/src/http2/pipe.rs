//! One direction of a body between two streams: data and trailers pass as they come, no further than the other side has
//! room for.

use std::task::{ready, Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};

/// What was received and is not yet sent.
pub struct Pipe {
    /// goes next
    waiting: Bytes,
    /// came while that had no room. Small frames are put together here: each that stays with `h2` costs more than it
    /// says, and it ends a connection on which too many do. Their window opens only when they are sent.
    behind: BytesMut,
    /// data are over, trailers may come
    no_more_data: bool,
    is_done: bool,
    has_begun: bool,
}

/// Which side is to blame.
#[derive(Debug)]
pub enum PipeError {
    From,
    To,
}

impl Pipe {
    /// `is_done`: there is no body.
    pub fn new(is_done: bool) -> Pipe {
        Pipe {
            waiting: Bytes::new(),
            behind: BytesMut::new(),
            no_more_data: is_done,
            is_done,
            has_begun: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Something has been taken from the receiving side.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The receiving side has begun, and it is its turn.
    pub fn waits_for_more(&self) -> bool {
        !self.is_done && self.has_begun && self.waiting.is_empty()
    }

    /// Takes no more: the other side wants none.
    pub fn end(&mut self) {
        self.is_done = true;
    }

    /// Moves what there is until the end; counts it in `moved`.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut RecvStream,
        to: &mut SendStream<Bytes>,
        moved: &mut u64,
    ) -> Poll<Result<(), PipeError>> {
        while !self.is_done {
            if self.waiting.is_empty() && !self.behind.is_empty() {
                self.waiting = self.behind.split().freeze();
            }
            if !self.waiting.is_empty() {
                to.reserve_capacity(self.waiting.len());
                let mut room = to.capacity();
                if room == 0 {
                    room = match to.poll_capacity(context) {
                        Poll::Ready(Some(Ok(room))) => room,
                        Poll::Ready(_) => return Poll::Ready(Err(PipeError::To)),
                        Poll::Pending => 0,
                    };
                }
                if room == 0 {
                    self.gather(context, from)?;
                    return Poll::Pending;
                }
                let part = self.waiting.split_to(room.min(self.waiting.len()));
                let count = part.len();
                to.send_data(part, false).map_err(|_| PipeError::To)?;
                from.flow_control()
                    .release_capacity(count)
                    .map_err(|_| PipeError::From)?;
                *moved += count as u64;
                continue;
            }
            if !self.no_more_data {
                match ready!(from.poll_data(context)) {
                    Some(Ok(data)) => {
                        self.has_begun = true;
                        self.waiting = data;
                        self.put_together(context, from)?;
                    }
                    Some(Err(_)) => return Poll::Ready(Err(PipeError::From)),
                    None => self.no_more_data = true,
                }
                continue;
            }
            self.has_begun = true;
            match ready!(from.poll_trailers(context)) {
                Ok(Some(trailers)) => to.send_trailers(trailers).map_err(|_| PipeError::To)?,
                Ok(None) => to.send_data(Bytes::new(), true).map_err(|_| PipeError::To)?,
                Err(_) => return Poll::Ready(Err(PipeError::From)),
            }
            self.is_done = true;
        }
        Poll::Ready(Ok(()))
    }

    /// A small piece goes with those that have come behind it.
    fn put_together(&mut self, context: &mut Context<'_>, from: &mut RecvStream) -> Result<(), PipeError> {
        const SMALL: usize = 1024;
        if self.waiting.len() >= SMALL {
            return Ok(());
        }
        self.gather(context, from)?;
        if !self.behind.is_empty() {
            let mut all = BytesMut::with_capacity(self.waiting.len() + self.behind.len());
            all.extend_from_slice(&self.waiting);
            all.extend_from_slice(&self.behind);
            self.behind.clear();
            self.waiting = all.freeze();
        }
        Ok(())
    }

    /// Takes what has come, no more than the window lets come.
    fn gather(&mut self, context: &mut Context<'_>, from: &mut RecvStream) -> Result<(), PipeError> {
        while !self.no_more_data {
            match from.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => self.behind.extend_from_slice(&data),
                Poll::Ready(Some(Err(_))) => return Err(PipeError::From),
                Poll::Ready(None) => self.no_more_data = true,
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}
