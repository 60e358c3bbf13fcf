//! The prefix codes of a block (RFC 1951, sections 3.2.5 to 3.2.7).

/// Literals, the end of a block, lengths.
const SYMBOLS: usize = 286;
const END: usize = 256;
const DISTANCES: usize = 30;
/// A code is not longer: four literals, or a copy, fit into 56 bits with their extra bits.
const LONGEST_CODE: usize = 12;
/// The order in which the lengths of the code of lengths are told.
const LENGTHS_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What is met how often.
pub struct Frequencies {
    symbols: [u32; SYMBOLS],
    distances: [u32; DISTANCES],
}

impl Default for Frequencies {
    /// What a log is like before anything is known of it; nothing is impossible.
    fn default() -> Frequencies {
        let mut symbols = [1; SYMBOLS];
        for (symbol, frequency) in symbols.iter_mut().enumerate() {
            *frequency = match u8::try_from(symbol) {
                Ok(b'0'..=b'9' | b'a'..=b'f') => 16,
                Ok(b' '..=b'~') => 4,
                Ok(_) => 1,
                Err(_) => 4,
            };
        }
        symbols[END] = 1;
        Frequencies {
            symbols,
            distances: [1; DISTANCES],
        }
    }
}

impl Frequencies {
    pub fn count(&mut self, literals: &[u8], lengths: impl Iterator<Item = u32>, distance: u32) {
        for byte in literals {
            self.symbols[usize::from(*byte)] += 1;
        }
        for length in lengths {
            self.symbols[length_symbol(length).0] += 1;
            self.distances[distance_symbol(distance).0] += 1;
        }
    }
}

/// Symbol, extra bits and how many, of a length from 3 to 258.
fn length_symbol(length: u32) -> (usize, u32, u32) {
    match length {
        258 => (285, 0, 0),
        3..=10 => (254 + length as usize, 0, 0),
        _ => {
            // four symbols for each power of two
            let rest = length - 3;
            let extra = rest.ilog2() - 2;
            let symbol = 257 + 4 * (extra + 1) + ((rest >> extra) & 3);
            (symbol as usize, rest & ((1 << extra) - 1), extra)
        }
    }
}

/// Symbol, extra bits and how many, of a distance from 1 to 32,768.
fn distance_symbol(distance: u32) -> (usize, u32, u32) {
    let rest = distance - 1;
    if rest < 4 {
        return (rest as usize, 0, 0);
    }
    // two symbols for each power of two
    let extra = rest.ilog2() - 1;
    let symbol = 2 * (extra + 1) + ((rest >> extra) & 1);
    (symbol as usize, rest & ((1 << extra) - 1), extra)
}

/// Bits and how many, the first to be sent lowest.
type Code = (u32, u32);

/// The codes of a block.
pub struct Codes {
    /// by byte, and by length with its extra bits
    literals: [Code; 256],
    lengths: [Code; 259],
    end: Code,
    distances: [Code; DISTANCES],
    /// lengths of the codes, as they are told
    told: Vec<u8>,
}

impl Codes {
    pub fn new(frequencies: &Frequencies) -> Codes {
        let (mut told, distances_told) = (
            code_lengths(&frequencies.symbols),
            code_lengths(&frequencies.distances),
        );
        let symbols = codes(&told);
        let mut literals = [(0, 0); 256];
        literals.copy_from_slice(&symbols[..256]);
        let mut lengths = [(0, 0); 259];
        for (length, code) in lengths.iter_mut().enumerate().skip(3) {
            let (symbol, more, extra) = length_symbol(length as u32);
            let (bits, count) = symbols[symbol];
            *code = (bits | more << count, count + extra);
        }
        let mut distances = [(0, 0); DISTANCES];
        distances.copy_from_slice(&codes(&distances_told));
        told.extend(distances_told);
        Codes {
            literals,
            lengths,
            end: symbols[END],
            distances,
            told,
        }
    }

    /// What tells of the codes at the beginning of a block, after its kind: each code's length in four bits.
    pub fn header(&self) -> impl Iterator<Item = (u64, u32)> + use<> {
        let counts = [
            ((SYMBOLS - 257) as u64, 5),
            ((DISTANCES - 1) as u64, 5),
            ((LENGTHS_ORDER.len() - 4) as u64, 4),
        ];
        let of_lengths = LENGTHS_ORDER.map(|symbol| if symbol < 16 { (4, 3) } else { (0, 3) });
        let nibbles = codes(&[4; 16]);
        let told: Vec<_> = self
            .told
            .iter()
            .map(|length| nibbles[usize::from(*length)])
            .map(|(bits, count)| (u64::from(bits), count))
            .collect();
        counts.into_iter().chain(of_lengths).chain(told)
    }

    #[inline]
    pub fn literal(&self, byte: u8) -> Code {
        self.literals[usize::from(byte)]
    }

    #[inline]
    pub fn length(&self, length: u32) -> Code {
        self.lengths[length as usize]
    }

    #[inline]
    pub fn distance(&self, distance: u32) -> Code {
        let (symbol, more, extra) = distance_symbol(distance);
        let (bits, count) = self.distances[symbol];
        (bits | more << count, count + extra)
    }

    pub fn end(&self) -> (u64, u32) {
        (u64::from(self.end.0), self.end.1)
    }
}

/// The canonical codes of these lengths.
fn codes(lengths: &[u8]) -> Vec<Code> {
    let mut next = 0u32;
    let mut codes = vec![(0, 0); lengths.len()];
    for length in 1..=15 {
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, own)| **own == length) {
            let count = u32::from(length);
            *code = (next.reverse_bits() >> (32 - count), count);
            next += 1;
        }
        next <<= 1;
    }
    codes
}

/// Lengths of a complete prefix code for symbols that are all met: Huffman's, none longer than `LONGEST_CODE`.
fn code_lengths(frequencies: &[u32]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..frequencies.len()).collect();
    order.sort_by_key(|symbol| frequencies[*symbol]);
    // nodes: the symbols from the rarest on, then pairs, which come in the order of their weight too
    let count = order.len();
    let mut weights: Vec<u64> = order
        .iter()
        .map(|symbol| u64::from(frequencies[*symbol]))
        .collect();
    let mut parents = vec![0; 2 * count - 1];
    let (mut leaf, mut pair) = (0, count);
    for node in count..2 * count - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let is_leaf = leaf < count && (pair >= node || weights[leaf] <= weights[pair]);
            let next = if is_leaf { &mut leaf } else { &mut pair };
            parents[*next] = node;
            weight += weights[*next];
            *next += 1;
        }
        weights.push(weight);
    }
    let mut depths = vec![0; 2 * count - 1];
    for node in (0..2 * count - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    let mut of_length = [0u32; LONGEST_CODE + 1];
    for depth in &depths[..count] {
        of_length[LONGEST_CODE.min(*depth)] += 1;
    }
    // what was cut short takes more room than there is: others are made longer for it
    let mut room: u32 = (1..=LONGEST_CODE)
        .map(|length| of_length[length] << (LONGEST_CODE - length))
        .sum();
    while room > 1 << LONGEST_CODE {
        of_length[LONGEST_CODE] -= 1;
        if let Some(length) = (1..LONGEST_CODE).rev().find(|length| of_length[*length] > 0) {
            of_length[length] -= 1;
            of_length[length + 1] += 2;
        }
        room -= 1;
    }
    let mut lengths = vec![0; count];
    let mut rarest_first = order.into_iter();
    for length in (1..=LONGEST_CODE).rev() {
        for symbol in rarest_first.by_ref().take(of_length[length] as usize) {
            lengths[symbol] = length as u8;
        }
    }
    lengths
}
