//! What a terminal shows: as much of an xterm as tmux needs, for tests to look at.

pub struct Screen {
    rows: usize,
    columns: usize,
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    saved: (usize, usize),
    top: usize,
    bottom: usize,
    /// An escape sequence that is not complete yet.
    pending: Vec<u8>,
}

impl Screen {
    pub fn new(rows: usize, columns: usize) -> Self {
        let cells = vec![vec![' '; columns]; rows];
        let bottom = rows - 1;
        Screen { rows, columns, cells, row: 0, column: 0, saved: (0, 0), top: 0, bottom, pending: Vec::new() }
    }

    pub fn resize(&mut self, rows: usize, columns: usize) {
        self.cells.resize(rows, Vec::new());
        self.cells.iter_mut().for_each(|row| row.resize(columns, ' '));
        (self.rows, self.columns, self.top, self.bottom) = (rows, columns, 0, rows - 1);
        self.row = self.row.min(rows - 1);
        self.column = self.column.min(columns - 1);
    }

    pub fn text(&self) -> String {
        self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.pending.push(byte);
            if self.digest() {
                self.pending.clear();
            }
        }
    }

    /// True when the pending bytes are used up.
    fn digest(&mut self) -> bool {
        match self.pending[..] {
            [0x1b] | [0x1b, b'[' | b']' | b'P' | b'(' | b')' | b'#'] => false,
            [0x1b, b'[', .., last] => {
                let complete = (0x40..0x7f).contains(&last);
                if complete {
                    self.control_sequence(last);
                }
                complete
            }
            [0x1b, b']' | b'P', .., 0x1b, b'\\'] | [0x1b, b']', .., 7] => true,
            [0x1b, b']' | b'P', ..] => false,
            [0x1b, b'(' | b')' | b'#', _] => true,
            [0x1b, letter] => {
                self.escape(letter);
                true
            }
            [byte] if byte < 0x80 => {
                self.character(byte as char);
                true
            }
            _ => match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    let letter = text.chars().next().unwrap_or(' ');
                    self.character(letter);
                    true
                }
                Err(error) => error.error_len().is_some() || self.pending.len() > 4,
            },
        }
    }

    fn character(&mut self, letter: char) {
        match letter {
            '\r' => self.column = 0,
            '\n' | '\x0b' | '\x0c' => self.line_feed(),
            '\x08' => self.column = self.column.min(self.columns).saturating_sub(1),
            '\t' => self.column = ((self.column / 8 + 1) * 8).min(self.columns - 1),
            letter if letter < ' ' => (),
            letter => {
                if self.column >= self.columns {
                    self.column = 0;
                    self.line_feed();
                }
                self.cells[self.row][self.column] = letter;
                self.column += 1;
            }
        }
    }

    fn line_feed(&mut self) {
        if self.row == self.bottom {
            self.scroll(self.top, 1);
        } else {
            self.row = (self.row + 1).min(self.rows - 1);
        }
    }

    /// Lines from `from` to the region's end move up.
    fn scroll(&mut self, from: usize, count: usize) {
        for _ in 0..count.min(self.rows) {
            self.cells.remove(from);
            self.cells.insert(self.bottom, vec![' '; self.columns]);
        }
    }

    fn scroll_down(&mut self, from: usize, count: usize) {
        for _ in 0..count.min(self.rows) {
            self.cells.remove(self.bottom);
            self.cells.insert(from, vec![' '; self.columns]);
        }
    }

    fn escape(&mut self, letter: u8) {
        match letter {
            b'7' => self.saved = (self.row, self.column),
            b'8' => (self.row, self.column) = self.saved,
            b'M' if self.row == self.top => self.scroll_down(self.top, 1),
            b'M' => self.row = self.row.saturating_sub(1),
            b'D' => self.line_feed(),
            b'c' => *self = Screen::new(self.rows, self.columns),
            _ => (),
        }
    }

    fn control_sequence(&mut self, last: u8) {
        let body = String::from_utf8_lossy(&self.pending[2..self.pending.len() - 1]).into_owned();
        if let Some(modes) = body.strip_prefix('?') {
            // The main screen is not kept: whoever changes screens starts with an empty one.
            let screens = ["1049h", "1049l", "47h", "47l"];
            if screens.contains(&format!("{modes}{}", char::from(last)).as_str()) {
                self.cells = vec![vec![' '; self.columns]; self.rows];
            }
            return;
        }
        let numbers: Vec<usize> = body.split(';').map(|word| word.parse().unwrap_or(0)).collect();
        let first = numbers.first().copied().unwrap_or(0);
        let second = numbers.get(1).copied().unwrap_or(0);
        let count = first.max(1);
        match last {
            b'A' => self.row = self.row.saturating_sub(count),
            b'B' => self.row = (self.row + count).min(self.rows - 1),
            b'C' => self.column = (self.column + count).min(self.columns - 1),
            b'D' => self.column = self.column.saturating_sub(count),
            b'G' => self.column = (count - 1).min(self.columns - 1),
            b'd' => self.row = (count - 1).min(self.rows - 1),
            b'H' | b'f' => self.move_to(count - 1, second.max(1) - 1),
            b'r' => self.region(count - 1, if second == 0 { self.rows } else { second } - 1),
            b'L' => self.scroll_down(self.row, count),
            b'M' => self.scroll(self.row, count),
            b'S' => self.scroll(self.top, count),
            b'T' => self.scroll_down(self.top, count),
            _ => self.edit(last, first),
        }
    }

    fn edit(&mut self, last: u8, first: usize) {
        let (row, column) = (self.row, self.column.min(self.columns));
        let count = first.max(1).min(self.columns - column.min(self.columns));
        match (last, first) {
            (b'J', 0) => self.blank(row, column, self.rows - 1, self.columns),
            (b'J', 1) => self.blank(0, 0, row, column + 1),
            (b'J', _) => self.blank(0, 0, self.rows - 1, self.columns),
            (b'K', 0) => self.blank(row, column, row, self.columns),
            (b'K', 1) => self.blank(row, 0, row, column + 1),
            (b'K', _) => self.blank(row, 0, row, self.columns),
            (b'X', _) => self.blank(row, column, row, column + count),
            (b'P', _) => {
                self.cells[row].drain(column..column + count);
                self.cells[row].resize(self.columns, ' ');
            }
            (b'@', _) => {
                self.cells[row].splice(column..column, std::iter::repeat_n(' ', count));
                self.cells[row].truncate(self.columns);
            }
            _ => (),
        }
    }

    fn blank(&mut self, from_row: usize, from: usize, to_row: usize, to: usize) {
        for row in from_row..=to_row {
            let start = if row == from_row { from } else { 0 };
            let end = if row == to_row { to } else { self.columns };
            self.cells[row][start..end.min(self.columns)].fill(' ');
        }
    }

    fn move_to(&mut self, row: usize, column: usize) {
        (self.row, self.column) = (row.min(self.rows - 1), column.min(self.columns - 1));
    }

    fn region(&mut self, top: usize, bottom: usize) {
        if top < bottom && bottom < self.rows {
            (self.top, self.bottom) = (top, bottom);
        }
        self.move_to(0, 0);
    }
}
