//! What waits for a terminal. Never: more than so much.

/// What waits for either side at most, and one chunk: a slow line shows what is old for as long as this takes.
pub const CAPACITY: usize = 32 << 10;

/// Bytes that wait to be taken.
pub struct Queue {
    pub bytes: Vec<u8>,
    taken: usize,
}

impl Queue {
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(2 * CAPACITY), taken: 0 }
    }

    pub fn waiting(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.waiting().len() >= CAPACITY
    }

    pub fn take(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            self.clear();
        } else if self.taken >= CAPACITY / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.taken = 0;
    }
}
