//! Text of a log as it is written, with the places where the fields of its lines end.

/// Lines, each of the same number of fields. Keeps some of what was used: what comes next resembles it.
#[derive(Debug, Clone)]
pub struct Lines {
    pub(crate) text: Vec<u8>,
    /// where each field ends, its separator included; before them, where the first line begins
    pub(crate) ends: Vec<u32>,
    pub(crate) per_line: usize,
    /// where that begins which is not used yet
    pub(crate) fresh_from: usize,
    /// bytes and fields that were forgotten, as they count on
    pub(crate) forgotten: (u32, u32),
}

impl Lines {
    pub fn new(per_line: usize) -> Lines {
        Lines {
            text: Vec::new(),
            ends: vec![0],
            per_line,
            fresh_from: 0,
            forgotten: (0, 0),
        }
    }

    /// A field with the space behind it.
    pub(crate) fn push_field<const COUNT: usize>(&mut self, field: &[u8; COUNT]) {
        self.text.extend_from_slice(field);
        self.ends.push(self.text.len() as u32);
    }

    /// Puts a space behind a field that was written.
    pub(crate) fn end_field(&mut self) {
        self.text.push(b' ');
        self.ends.push(self.text.len() as u32);
    }

    /// Ends the line behind its last field.
    pub(crate) fn end_line(&mut self) {
        debug_assert_eq!((self.ends.len() - 1) % self.per_line, 0);
        if let Some(last) = self.text.last_mut() {
            *last = b'\n';
        }
    }

    /// What was added since `use_up`.
    pub fn fresh(&self) -> &[u8] {
        &self.text[self.fresh_from..]
    }

    /// All is used; whole lines of no more than `kept` bytes are kept of it.
    pub fn use_up(&mut self, kept: usize) {
        let from = self.text.len().saturating_sub(kept) as u32;
        let fields = self
            .ends
            .partition_point(|end| *end < from)
            .next_multiple_of(self.per_line);
        let cut = self.ends[fields];
        self.ends.drain(..fields);
        for end in &mut self.ends {
            *end -= cut;
        }
        self.text.drain(..cut as usize);
        self.fresh_from = self.text.len();
        self.forgotten.0 = self.forgotten.0.wrapping_add(cut);
        self.forgotten.1 = self.forgotten.1.wrapping_add(fields as u32);
    }
}
