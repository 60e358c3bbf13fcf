//! Bodies in chunks. Strict: CRLF only, no blanks around the size. Extensions and trailers are checked and dropped,
//! for what a peer behind would make of them is unknown.

use super::has_control;

/// More than 16 hex digits do not fit in 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;
const MAX_EXTENSION_BYTES: u32 = 4096;
const MAX_TRAILER_BYTES: u32 = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed")]
pub struct BadChunk;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastLf,
    Done,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// this part of the input is body
    Data { start: usize, end: usize },
    /// all input is used up, more has to come
    More,
    /// the body and its trailers have ended; input from here on is something else
    End,
}

/// Reads a chunked body piece by piece, however it is cut.
#[derive(Debug, Clone)]
pub struct ChunkedReader {
    state: State,
    digits: u8,
    remaining: u64,
    aside: u32,
}

impl Default for ChunkedReader {
    fn default() -> Self {
        ChunkedReader {
            state: State::Size,
            digits: 0,
            remaining: 0,
            aside: 0,
        }
    }
}

impl ChunkedReader {
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on in `input` from `*at`, which is moved past what was used.
    ///
    /// # Errors
    /// `BadChunk`: nothing after it can be trusted; the connection has to be closed.
    pub fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Piece, BadChunk> {
        while let Some(byte) = input.get(*at).copied() {
            match self.state {
                State::Data => {
                    let here = (input.len() - *at) as u64;
                    let taken = here.min(self.remaining);
                    let start = *at;
                    *at += taken as usize;
                    self.remaining -= taken;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece::Data { start, end: *at });
                }
                State::Done => return Ok(Piece::End),
                _ => {}
            }
            *at += 1;
            self.take(byte)?;
        }
        Ok(if self.state == State::Done {
            Piece::End
        } else {
            Piece::More
        })
    }

    fn take(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > MAX_SIZE_DIGITS {
                    return Err(BadChunk);
                }
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                self.remaining = self.remaining << 4 | u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';') if self.digits > 0 => {
                self.aside = 0;
                State::Extension
            }
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, _) => {
                self.set_aside(byte, MAX_EXTENSION_BYTES)?;
                State::Extension
            }
            (State::SizeEnd, b'\n') => {
                self.digits = 0;
                if self.remaining == 0 {
                    self.aside = 0;
                    State::TrailerStart
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::Trailer, _) if byte != b'\r' => {
                self.set_aside(byte, MAX_TRAILER_BYTES)?;
                State::Trailer
            }
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    fn set_aside(&mut self, byte: u8, limit: u32) -> Result<(), BadChunk> {
        self.aside += 1;
        if self.aside > limit || (byte != b'\t' && has_control(&[byte])) {
            return Err(BadChunk);
        }
        Ok(())
    }
}

/// Appends the head of a chunk of `length` bytes; after the data comes CRLF. `length` is not 0.
pub fn push_chunk_head(out: &mut Vec<u8>, length: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = usize::BITS - length.leading_zeros();
    let digits = bits.div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[length >> (digit * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Body and bytes used; None while incomplete.
    fn read(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, BadChunk> {
        let mut reader = ChunkedReader::default();
        let mut body = Vec::new();
        let mut fed = 0;
        while fed < input.len() {
            let end = (fed + step).min(input.len());
            let mut at = fed;
            loop {
                match reader.next(&input[..end], &mut at)? {
                    Piece::Data { start, end } => body.extend_from_slice(&input[start..end]),
                    Piece::More => break,
                    Piece::End => return Ok(Some((body, at))),
                }
            }
            fed = end;
        }
        Ok(None)
    }

    #[test]
    fn reads_bodies_however_they_are_cut() {
        let input = b"5\r\nhello\r\n1;a=\"b\"\r\n,\r\n00006\r\n world\r\n0\r\nX: y\r\n\r\nGET";
        for step in 1..input.len() {
            let (body, used) = read(input, step).unwrap().unwrap();
            assert_eq!(body, b"hello, world");
            assert_eq!(&input[used..], b"GET");
        }
    }

    #[test]
    fn refuses_what_others_may_read_otherwise() {
        for bad in [
            &b"5 \r\nhello\r\n0\r\n\r\n"[..],
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\rXhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-1\r\nhello\r\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b";x\r\nhello\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;a\0\r\nhello\r\n0\r\n\r\n",
            b"11111111111111111\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX: y\n\r\n",
            b"5\r\nhello\r\n0\n\r\n",
            b"5\r\nhello\r\n0\r\n\n",
        ] {
            for step in [1, 3, bad.len()] {
                assert_eq!(
                    read(bad, step),
                    Err(BadChunk),
                    "{:?}",
                    String::from_utf8_lossy(bad)
                );
            }
        }
    }

    #[test]
    fn limits_what_is_dropped() {
        let mut long = b"1;".to_vec();
        long.resize(6000, b'x');
        assert_eq!(read(&long, 100), Err(BadChunk));
        let mut long = b"0\r\n".to_vec();
        for _ in 0..3000 {
            long.extend_from_slice(b"A: b12\r\n");
        }
        assert_eq!(read(&long, 100), Err(BadChunk));
    }

    #[test]
    fn writes_sizes_in_hex() {
        for (length, text) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0x1234, "1234\r\n"),
            (65536, "10000\r\n"),
        ] {
            let mut out = Vec::new();
            push_chunk_head(&mut out, length);
            assert_eq!(out, text.as_bytes());
        }
    }
}
