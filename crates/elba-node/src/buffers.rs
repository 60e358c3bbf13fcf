//! Buffers that connections hold only while a message is in flight: an idle keep-alive connection has none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// What one read takes at most. A head that is larger makes its buffer grow.
pub const BLOCK: usize = 16 * 1024;
/// What one read of a large body takes at most: fewer, larger system calls.
pub const WIDE_BLOCK: usize = 128 * 1024;
/// Blocks kept for later; more are given back to the allocator.
const MAX_FREE: usize = 1024;
const MAX_FREE_WIDE: usize = 64;
/// An output buffer that has grown beyond this is not kept.
const MAX_KEPT_OUTPUT: usize = 64 * 1024;

/// A worker's free lists.
#[derive(Default)]
pub struct Buffers {
    blocks: RefCell<Vec<Vec<u8>>>,
    wide_blocks: RefCell<Vec<Vec<u8>>>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    fn block(&self) -> Vec<u8> {
        self.blocks.borrow_mut().pop().unwrap_or_else(|| vec![0; BLOCK])
    }

    fn give_back(&self, block: Vec<u8>) {
        let (kept, limit) = match block.len() {
            BLOCK => (&self.blocks, MAX_FREE),
            WIDE_BLOCK => (&self.wide_blocks, MAX_FREE_WIDE),
            _ => return,
        };
        let mut kept = kept.borrow_mut();
        if kept.len() < limit {
            kept.push(block);
        }
    }

    /// An empty output buffer.
    pub fn output(&self) -> Vec<u8> {
        self.outputs
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    pub fn give_back_output(&self, mut output: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if output.capacity() <= MAX_KEPT_OUTPUT && outputs.len() < MAX_FREE {
            output.clear();
            outputs.push(output);
        }
    }
}

/// Bytes read from a socket and not yet used. Holds a block only while there are some, or while it reads.
#[derive(Default)]
pub struct Input {
    block: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub fn bytes(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Gives the block back if nothing is in it.
    pub fn release(&mut self, buffers: &Buffers) {
        if self.is_empty() && !self.block.is_empty() {
            buffers.give_back(std::mem::take(&mut self.block));
            self.start = 0;
            self.end = 0;
        }
    }

    /// Puts bytes behind what is there.
    pub fn put(&mut self, buffers: &Buffers, bytes: &[u8]) {
        if self.block.is_empty() {
            self.block = buffers.block();
        }
        let end = self.end + bytes.len();
        if end > self.block.len() {
            self.block.resize(end, 0);
        }
        self.block[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Goes on with a larger block, if nothing is in the one it has.
    pub fn widen(&mut self, buffers: &Buffers) {
        if self.is_empty() && self.block.len() < WIDE_BLOCK {
            let wide = buffers.wide_blocks.borrow_mut().pop();
            let narrow = std::mem::replace(&mut self.block, wide.unwrap_or_else(|| vec![0; WIDE_BLOCK]));
            buffers.give_back(narrow);
        }
    }

    /// Whether another byte fits without growing beyond `limit` bytes.
    pub fn has_room(&self, limit: usize) -> bool {
        self.len() < limit.max(BLOCK)
    }

    /// Reads once, behind what is there; makes room first, growing to at most about `limit` bytes if need be.
    /// 0 = the peer has closed (or there is no room).
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
        buffers: &Buffers,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if self.block.is_empty() {
            self.block = buffers.block();
        }
        if self.end == self.block.len() {
            if self.start > 0 {
                self.block.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else if self.block.len() < limit {
                let grown = (self.block.len() * 2).min(limit.max(BLOCK));
                self.block.resize(grown, 0);
            } else {
                return Poll::Ready(Ok(0));
            }
        }
        let mut into = ReadBuf::new(&mut self.block[self.end..]);
        let result = Pin::new(stream).poll_read(context, &mut into);
        let count = into.filled().len();
        ready!(result)?;
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn fill(input: &mut Input, mut from: &[u8], buffers: &Buffers, limit: usize) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        match input.poll_fill(&mut context, &mut from, buffers, limit) {
            Poll::Ready(Ok(count)) => count,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn grows_to_its_limit_and_no_further() {
        let buffers = Buffers::default();
        let mut input = Input::default();
        let bytes = vec![7u8; 100_000];
        let mut total = 0;
        loop {
            let count = fill(&mut input, &bytes, &buffers, 40_000);
            if count == 0 {
                break;
            }
            total += count;
        }
        assert_eq!((total, input.len()), (40_000, 40_000));
        assert!(!input.has_room(40_000));
        input.consume(1);
        assert_eq!(fill(&mut input, &bytes, &buffers, 40_000), 1);
    }

    #[test]
    fn an_empty_input_holds_no_block() {
        let buffers = Buffers::default();
        let mut input = Input::default();
        fill(&mut input, b"abc", &buffers, 0);
        input.release(&buffers);
        assert_eq!(input.bytes(), b"abc");
        input.consume(3);
        input.release(&buffers);
        assert!(input.block.is_empty());
        assert_eq!(buffers.blocks.borrow().len(), 1);
        fill(&mut input, b"x", &buffers, 0);
        assert!(buffers.blocks.borrow().is_empty());
    }

    #[test]
    fn a_wide_block_takes_the_place_of_an_empty_one_only() {
        let buffers = Buffers::default();
        let mut input = Input::default();
        let bytes = vec![7u8; WIDE_BLOCK];
        assert_eq!(fill(&mut input, &bytes, &buffers, BLOCK), BLOCK);
        input.widen(&buffers);
        assert_eq!(input.len(), BLOCK);
        input.consume(usize::MAX);
        input.widen(&buffers);
        assert_eq!(fill(&mut input, &bytes, &buffers, BLOCK), WIDE_BLOCK);
        assert_eq!(buffers.blocks.borrow().len(), 1);
        input.consume(usize::MAX);
        input.release(&buffers);
        assert_eq!(buffers.wide_blocks.borrow().len(), 1);
    }
}
