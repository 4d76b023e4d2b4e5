//! Does the guest want to leave? Looks for the keys that say so in what he types. Never: in the middle of something else
//! that a terminal sends, a paste, a report of the mouse, another key.

use std::time::{Duration, Instant};

/// A key that may mean to leave; the greater says it louder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressed {
    /// `q` or Ctrl-C.
    Quit,
    /// tmux's prefix and `d`, this many times in a row.
    Detach(u32),
}

/// What comes out of a terminal, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After ESC, which is a key as well.
    Escape,
    /// `ESC [`: numbers, and a letter that ends it.
    Sequence,
    /// `ESC O`: a key of the keypad.
    Keypad,
    /// That many bytes follow and mean nothing: where the mouse is (`ESC [ M`), which function key of a console (`ESC [ [`).
    Report(u8),
    /// An answer up to BEL or `ESC \`.
    Answer,
    /// An answer, after ESC.
    AnswerEscape,
    /// A paste, up to [`PASTED`], of which so many bytes were seen.
    Paste(usize),
}

const ESC: u8 = 0x1b;
const CTRL_B: u8 = 0x02;
const CTRL_C: u8 = 0x03;
const PASTED: &[u8] = b"\x1b[201~";

/// The longest numbers of a sequence that are looked at.
const LONGEST: usize = 32;

/// Reads keys.
pub struct Keys {
    prefixes: Vec<u8>,
    state: State,
    numbers: Vec<u8>,
    /// The last key was a prefix.
    prefixed: bool,
    detaches: u32,
    last: Option<Instant>,
}

impl Keys {
    /// `prefixes`: the keys of tmux's `prefix` and `prefix2`, where they are one byte. The owner's server says what they are, and
    /// may say anything: tmux's own C-b is one as well.
    pub fn new(prefixes: &[u8]) -> Self {
        Self {
            prefixes: [prefixes, &[CTRL_B]].concat(),
            state: State::Ground,
            numbers: Vec::with_capacity(LONGEST),
            prefixed: false,
            detaches: 0,
            last: None,
        }
    }

    /// Looks at the next bytes, that arrived `now`; the loudest of the ways out that are in them.
    pub fn typed(&mut self, bytes: &[u8], now: Instant) -> Option<Pressed> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > self.patience()) {
            self.state = State::Ground;
        }
        self.last = Some(now);
        bytes.iter().filter_map(|byte| self.byte(*byte)).max()
    }

    fn byte(&mut self, byte: u8) -> Option<Pressed> {
        match (self.state, byte) {
            (State::Paste(seen), _) => {
                self.state = after_pasted(seen, byte);
                None
            }
            // Nothing else that a terminal sends holds this byte: there is a way out of a sequence that never ends.
            (_, CTRL_C) => self.key(byte),
            (State::Answer, ESC) => self.go(State::AnswerEscape),
            // Whatever it is in the middle of, another begins.
            (_, ESC) => self.go(State::Escape),
            (State::Ground, _) => self.key(byte),
            (State::Escape | State::AnswerEscape, b'[') => self.begin_sequence(),
            (State::Sequence, _) => self.in_sequence(byte),
            (State::Keypad, b'0'..=b';') => None,
            (State::Keypad, _) => self.other_key(),
            (State::Report(left), _) => self.go(after_report(left, byte)),
            (State::Answer, 0x07) | (State::AnswerEscape, b'\\') => self.go(State::Ground),
            (State::Answer, _) => None,
            (State::Escape | State::AnswerEscape, b'O') => self.go(State::Keypad),
            (State::Escape | State::AnswerEscape, b']' | b'P' | b'X' | b'^' | b'_') => self.go(State::Answer),
            (State::Escape | State::AnswerEscape, _) => self.other_key(),
        }
    }

    /// How long the rest of what has begun may take. A lone ESC is a key, and what comes later is another (tmux waits as
    /// long); whatever else stays without its end was none.
    fn patience(&self) -> Duration {
        Duration::from_millis(if self.state == State::Escape { 500 } else { 2000 })
    }

    fn go(&mut self, state: State) -> Option<Pressed> {
        self.state = state;
        None
    }

    /// A key that is one byte.
    fn key(&mut self, byte: u8) -> Option<Pressed> {
        self.state = State::Ground;
        let after_prefix = std::mem::replace(&mut self.prefixed, false);
        match byte {
            b'd' if after_prefix => {
                self.detaches = self.detaches.saturating_add(1);
                return Some(Pressed::Detach(self.detaches));
            }
            // A prefix after a prefix is for the program inside.
            _ if !after_prefix && self.prefixes.contains(&byte) => self.prefixed = true,
            _ => self.detaches = 0,
        }
        matches!(byte, b'q' | CTRL_C).then_some(Pressed::Quit)
    }

    /// A key that is a sequence, and means nothing here.
    fn other_key(&mut self) -> Option<Pressed> {
        (self.prefixed, self.detaches) = (false, 0);
        self.go(State::Ground)
    }

    fn begin_sequence(&mut self) -> Option<Pressed> {
        self.numbers.clear();
        self.go(State::Sequence)
    }

    fn in_sequence(&mut self, byte: u8) -> Option<Pressed> {
        match byte {
            0x20..=0x3f => {
                if self.numbers.len() < LONGEST {
                    self.numbers.push(byte);
                }
                None
            }
            0x40..=0x7e => self.sequence(byte),
            _ => self.other_key(),
        }
    }

    /// A sequence has come to its last byte.
    fn sequence(&mut self, last: u8) -> Option<Pressed> {
        match (self.numbers.as_slice(), last) {
            (b"", b'M') => self.go(State::Report(3)),
            (b"", b'[') => self.go(State::Report(1)),
            (b"200", b'~') => self.go(State::Paste(0)),
            // The mouse and the focus are no keys.
            (_, b'M' | b'm' | b'I' | b'O') => self.go(State::Ground),
            (numbers, _) => match written_out(numbers, last) {
                Some(byte) => self.key(byte),
                None => self.other_key(),
            },
        }
    }
}

fn after_pasted(seen: usize, byte: u8) -> State {
    match (PASTED.get(seen) == Some(&byte), byte) {
        (true, _) if seen + 1 == PASTED.len() => State::Ground,
        (true, _) => State::Paste(seen + 1),
        (false, ESC) => State::Paste(1),
        (false, _) => State::Paste(0),
    }
}

/// A number of the mouse's is one byte, or one character of two (mode 1005).
fn after_report(left: u8, byte: u8) -> State {
    match left {
        _ if byte & 0xc0 == 0x80 => State::Report(left),
        0 | 1 => State::Ground,
        _ => State::Report(left - 1),
    }
}

/// The byte that a key would be which the terminal writes out as a number, because the session's program wanted it so:
/// `ESC [ 113 u`, `ESC [ 99 ; 5 u`, `ESC [ 27 ; 5 ; 99 ~`. Without it a session could take the ways out from the guest.
fn written_out(numbers: &[u8], last: u8) -> Option<u8> {
    let text = std::str::from_utf8(numbers).ok()?;
    let mut parts = text.split(';');
    let (code, held) = match last {
        b'u' => (parts.next()?, parts.next().unwrap_or("1")),
        b'~' if parts.next() == Some("27") => {
            let held = parts.next()?;
            (parts.next()?, held)
        }
        _ => return None,
    };
    let (held, event) = held.split_once(':').unwrap_or((held, "1"));
    let code: u8 = code.split(':').next()?.parse().ok().filter(u8::is_ascii)?;
    // Less the locks of capitals and numbers.
    let held = held.parse::<u16>().ok()?.checked_sub(1)? & 0x3f;
    match held {
        _ if event == "3" => None,
        0 => Some(code),
        4 if code >= 0x40 => Some(code & 0x1f),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
