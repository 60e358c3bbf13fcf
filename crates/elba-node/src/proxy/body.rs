//! What is still to come of a body, and how it is written anew for the other side.

use elba_core::http1::chunked::{push_chunk_head, BadChunk, ChunkedReader, Piece, LAST_CHUNK};

/// What is still to come of a body.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Done,
    Length(u64),
    Chunked(ChunkedReader),
    UntilClose,
}

impl Body {
    pub fn is_done(&self) -> bool {
        matches!(self, Body::Done)
    }

    /// Appends what `input` holds of the body to `out` in the form it is sent on (chunks stay chunks, written anew),
    /// a plain body up to `limit` bytes. Returns how much of the input that was.
    ///
    /// # Errors
    /// The chunks are malformed.
    pub fn take(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<usize, BadChunk> {
        match self {
            Body::Done | Body::UntilClose => Ok(0),
            Body::Length(rest) => {
                let count = (*rest).min(input.len() as u64).min(limit as u64) as usize;
                out.extend_from_slice(&input[..count]);
                *rest -= count as u64;
                if *rest == 0 {
                    *self = Body::Done;
                }
                Ok(count)
            }
            Body::Chunked(reader) => {
                let used = copy_chunks(reader, input, out, true)?;
                if reader.is_done() {
                    *self = Body::Done;
                }
                Ok(used)
            }
        }
    }
}

impl Body {
    /// Appends what `input` holds of the body to `out`, without chunks. Returns how much of the input that was.
    ///
    /// # Errors
    /// The chunks are malformed.
    pub fn take_plain(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, BadChunk> {
        let Body::Chunked(reader) = self else {
            return self.take(input, out, usize::MAX);
        };
        let used = copy_chunks(reader, input, out, false)?;
        if reader.is_done() {
            *self = Body::Done;
        }
        Ok(used)
    }
}

/// Appends the data in `input` as one chunk (or plain), and the last chunk if it ends there.
pub(super) fn copy_chunks(
    reader: &mut ChunkedReader,
    input: &[u8],
    out: &mut Vec<u8>,
    chunked: bool,
) -> Result<usize, BadChunk> {
    if chunked {
        let mut ahead = reader.clone();
        let (mut at, mut total) = (0, 0);
        while let Piece::Data { start, end } = ahead.next(input, &mut at)? {
            total += end - start;
        }
        if total > 0 {
            push_chunk_head(out, total);
        }
    }
    let (mut at, mut copied) = (0, false);
    while let Piece::Data { start, end } = reader.next(input, &mut at)? {
        out.extend_from_slice(&input[start..end]);
        copied = true;
    }
    if chunked && copied {
        out.extend_from_slice(b"\r\n");
    }
    if chunked && reader.is_done() {
        out.extend_from_slice(LAST_CHUNK);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_written_anew() {
        let mut body = Body::Chunked(ChunkedReader::default());
        let mut out = Vec::new();
        let input = b"2;ext=1\r\nab\r\n3\r\ncde\r\n0\r\nTrailer: x\r\n\r\nGET /";
        assert_eq!(body.take(input, &mut out, 1), Ok(input.len() - 5));
        assert_eq!(out, b"5\r\nabcde\r\n0\r\n\r\n");
        assert!(body.is_done());

        let mut body = Body::Length(5);
        let mut out = Vec::new();
        assert_eq!(body.take(b"abcdefg", &mut out, 3), Ok(3));
        assert_eq!(body.take(b"defg", &mut out, 30), Ok(2));
        assert!(body.is_done() && out == b"abcde");
    }

    #[test]
    fn chunks_can_be_taken_off() {
        let mut reader = ChunkedReader::default();
        let mut out = Vec::new();
        copy_chunks(&mut reader, b"2\r\nab\r\n1\r\nc", &mut out, false).unwrap();
        copy_chunks(&mut reader, b"\r\n0\r\n\r\n", &mut out, false).unwrap();
        assert!(reader.is_done() && out == b"abc");
    }
}
