//! gzip of a log (RFC 1951, 1952), for a fraction of what a compressor for any text costs: a line is like the one
//! before it field for field, so that it is compared with that and not searched for.
//!
//! A field that differs is looked for by its next 8 bytes where one such differed before (a client, a user agent, a
//! path that comes again). The codes are made of what was met so far, and made anew as the file grows 16-fold.

mod codes;

use crate::lines::Lines;
use codes::{Codes, Frequencies};

/// As far as a copy may reach back.
const WINDOW: usize = 32 * 1024;
/// What is kept of the lines before; more than that is let go of in one go.
const KEPT: usize = 4 * WINDOW;
/// A shorter copy costs as much as what it stands for.
const SHORTEST: usize = 5;
const LONGEST: u32 = 258;
/// Bytes by which a field is looked for.
const KEY: usize = 8;
const TABLE_BITS: u32 = 12;
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// So many bytes as they are, then a copy of `length` bytes from `distance` back (0 = none).
#[derive(Debug, Clone, Copy)]
struct Step {
    literals: u32,
    length: u32,
    distance: u32,
}

/// Where a field differed: in the text and among the fields, both counted from the beginning of the log.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    at: u32,
    field: u32,
}

/// The compressed log of some lines.
pub struct Gzip {
    /// compressed, to be taken by the owner
    pub output: Vec<u8>,
    steps: Vec<Step>,
    seen: Box<[Seen]>,
    codes: Option<Box<Codes>>,
    /// length at which the codes are made anew
    renew_at: u64,
    bits: u64,
    bit_count: u32,
    sum: crc32fast::Hasher,
    length: u64,
}

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip {
            output: HEADER.to_vec(),
            steps: Vec::new(),
            seen: vec![Seen::default(); 1 << TABLE_BITS].into(),
            codes: None,
            renew_at: 0,
            bits: 0,
            bit_count: 0,
            sum: crc32fast::Hasher::new(),
            length: 0,
        }
    }
}

/// How many bytes are alike from `from` and from `at` on, which is the later.
fn alike(text: &[u8], from: usize, at: usize) -> usize {
    let (one, other) = (&text[from..], &text[at..]);
    let mut length = 0;
    for (one, other) in one.chunks_exact(16).zip(other.chunks_exact(16)) {
        let mut words = [[0; 16]; 2];
        words[0].copy_from_slice(one);
        words[1].copy_from_slice(other);
        let difference = u128::from_le_bytes(words[0]) ^ u128::from_le_bytes(words[1]);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 16;
    }
    let rest = one[length..].iter().zip(&other[length..]);
    length + rest.take_while(|(one, other)| one == other).count()
}

fn key(bytes: &[u8]) -> usize {
    let mut word = [0; KEY];
    word.copy_from_slice(&bytes[..KEY]);
    (u64::from_le_bytes(word).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TABLE_BITS)) as usize
}

impl Gzip {
    /// Compresses what is fresh of the lines, and uses it up. What they keep of their past has to be the end of what
    /// went into this file; it must not have any when the file begins.
    pub fn add(&mut self, lines: &mut Lines) {
        debug_assert!(lines.fresh_from as u64 <= self.length);
        let fresh = lines.fresh();
        if fresh.is_empty() {
            return;
        }
        self.sum.update(fresh);
        self.find(lines);
        self.renew_codes(lines);
        self.write(lines);
        self.length += lines.fresh().len() as u64;
        lines.use_up(if lines.text.len() > KEPT { WINDOW } else { KEPT });
    }

    /// Ends the file: `output` is the rest of it.
    pub fn finish(&mut self) {
        if let Some(codes) = self.codes.take() {
            let (bits, count) = codes.end();
            self.put(bits, count);
        }
        // the last block: empty, in the fixed codes
        self.put(0b011, 3);
        self.put(0, 7);
        let odd = self.bit_count % 8;
        self.put(0, (8 - odd) % 8);
        self.output
            .extend_from_slice(&self.sum.clone().finalize().to_le_bytes());
        self.output.extend_from_slice(&(self.length as u32).to_le_bytes());
    }

    fn put(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.bit_count;
        self.bit_count += count;
        while self.bit_count >= 8 {
            self.output.push(self.bits as u8);
            self.bits >>= 8;
            self.bit_count -= 8;
        }
    }

    /// Fills `steps` with what makes the fresh text.
    fn find(&mut self, lines: &Lines) {
        self.steps.clear();
        let Lines {
            text, ends, per_line, ..
        } = lines;
        let (forgotten, forgotten_fields) = lines.forgotten;
        let mut place = Place::new(lines);
        let last = ends.len() - 1;
        // where that begins which no step makes yet
        let mut pending = place.at;
        while place.field < last {
            let begin = place.at;
            let from = place
                .field
                .checked_sub(place.back)
                .map(|field| ends[field] as usize);
            if let Some(from) = from.filter(|from| begin - from <= WINDOW) {
                let length = alike(text, from, begin);
                if length >= SHORTEST {
                    let before = text[pending..begin].iter().rev().zip(text[..from].iter().rev());
                    let more = before.take_while(|(one, other)| one == other).count();
                    self.step(begin - more - pending, length + more, begin - from);
                    place.advance(length, lines);
                    pending = place.at;
                    if place.field == last || place.at == ends[place.field] as usize {
                        continue;
                    }
                }
            }
            let differs = place.at;
            if ends[place.field + 1] as usize - differs >= KEY {
                let now = Seen {
                    at: forgotten.wrapping_add(differs as u32),
                    field: forgotten_fields.wrapping_add(place.field as u32),
                };
                let seen = std::mem::replace(&mut self.seen[key(&text[differs..])], now);
                let distance = now.at.wrapping_sub(seen.at) as usize;
                if (1..=WINDOW.min(differs)).contains(&distance) {
                    let length = alike(text, differs - distance, differs);
                    if length >= KEY {
                        self.step(differs - pending, length, distance);
                        let back = now.field.wrapping_sub(seen.field) as usize;
                        if back % per_line == 0 && back <= place.field {
                            place.back = back;
                        }
                        place.advance(length, lines);
                        pending = place.at;
                        if place.field == last || place.at == ends[place.field] as usize {
                            continue;
                        }
                    }
                }
            }
            // the rest of the field goes as it is
            place.advance(ends[place.field + 1] as usize - place.at, lines);
        }
        self.step(text.len() - pending, 0, 0);
    }

    fn step(&mut self, literals: usize, length: usize, distance: usize) {
        self.steps.push(Step {
            literals: literals as u32,
            length: length as u32,
            distance: distance as u32,
        });
    }

    /// Ends the block and begins one with codes made of the steps, if it is time to.
    fn renew_codes(&mut self, lines: &Lines) {
        if self.codes.is_some() && self.length < self.renew_at {
            return;
        }
        self.renew_at = (self.length * 16).max(64 * 1024);
        let mut frequencies = Frequencies::default();
        let mut rest = lines.fresh();
        for step in &self.steps {
            let (literals, after) = rest.split_at(step.literals as usize);
            frequencies.count(literals, copies(step.length), step.distance);
            rest = &after[step.length as usize..];
        }
        if let Some(codes) = self.codes.take() {
            let (bits, count) = codes.end();
            self.put(bits, count);
        }
        let codes = Box::new(Codes::new(&frequencies));
        // not the last block, codes of its own
        self.put(0b100, 3);
        for (bits, count) in codes.header() {
            self.put(bits, count);
        }
        self.codes = Some(codes);
    }

    /// Appends the steps in the codes of the block.
    fn write(&mut self, lines: &Lines) {
        let Some(codes) = self.codes.take() else { return };
        let mut rest = lines.fresh();
        let mut out = Bits::new(&mut self.output, self.bits, self.bit_count);
        for step in &self.steps {
            let (literals, after) = rest.split_at(step.literals as usize);
            // no byte takes more than 12 bits, no copy of at most 258 more than 48
            out.make_room(literals.len() * 3 / 2 + step.length as usize / 32 + 32);
            let mut groups = literals.chunks_exact(4);
            for group in &mut groups {
                for byte in group {
                    out.add(codes.literal(*byte));
                }
                out.spill();
            }
            for byte in groups.remainder() {
                out.add(codes.literal(*byte));
            }
            out.spill();
            for length in copies(step.length) {
                out.add(codes.length(length));
                out.add(codes.distance(step.distance));
                out.spill();
            }
            rest = &after[step.length as usize..];
        }
        (self.bits, self.bit_count) = out.end();
        self.codes = Some(codes);
    }
}

/// Where the search is: at the byte `at` of a field, which is compared with the one `back` fields before.
struct Place {
    at: usize,
    field: usize,
    back: usize,
    /// first field of the next line
    line_end: usize,
}

impl Place {
    fn new(lines: &Lines) -> Place {
        let at = lines.fresh_from;
        let field = lines.ends.partition_point(|end| (*end as usize) < at);
        Place {
            at,
            field,
            back: lines.per_line,
            line_end: field + lines.per_line,
        }
    }

    fn advance(&mut self, bytes: usize, lines: &Lines) {
        self.at += bytes;
        while lines
            .ends
            .get(self.field + 1)
            .is_some_and(|end| *end as usize <= self.at)
        {
            self.field += 1;
        }
        while self.field >= self.line_end {
            self.line_end += lines.per_line;
            self.back = lines.per_line;
        }
    }
}

/// A copy in the lengths that there are codes for.
fn copies(length: u32) -> impl Iterator<Item = u32> {
    let mut rest = length;
    std::iter::from_fn(move || {
        let next = match rest {
            0 => return None,
            // none is shorter than 3
            259 | 260 => 200,
            more => more.min(LONGEST),
        };
        rest -= next;
        Some(next)
    })
}

/// Room for bits behind what is in a buffer. At most 56 are added between two spills.
struct Bits<'a> {
    buffer: &'a mut Vec<u8>,
    at: usize,
    bits: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(buffer: &'a mut Vec<u8>, bits: u64, count: u32) -> Bits<'a> {
        Bits {
            at: buffer.len(),
            buffer,
            bits,
            count,
        }
    }

    fn make_room(&mut self, bytes: usize) {
        if self.buffer.len() - self.at < bytes {
            self.buffer.resize(self.at + bytes + 4096, 0);
        }
    }

    #[inline]
    fn add(&mut self, (bits, count): (u32, u32)) {
        self.bits |= u64::from(bits) << self.count;
        self.count += count;
    }

    /// Whole bytes go into the buffer.
    #[inline]
    fn spill(&mut self) {
        self.buffer[self.at..self.at + 8].copy_from_slice(&self.bits.to_le_bytes());
        let whole = self.count / 8;
        self.at += whole as usize;
        self.bits >>= whole * 8;
        self.count %= 8;
    }

    fn end(self) -> (u64, u32) {
        self.buffer.truncate(self.at);
        (self.bits, self.count)
    }
}

#[cfg(test)]
mod tests;
