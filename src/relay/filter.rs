//! What of the owner's bytes may reach the guest's terminal? What tmux itself writes to draw, on an allow list, and
//! written anew from what was parsed: the guest's terminal sees the gate's spelling only, whatever the owner sent.
//!
//! MUST: every sequence whole, within one call; the same output however the input is cut; memory bounded by
//! [`Filter`]'s own size, output by three times the input (a broken byte becomes U+FFFD).
//! Never: what makes a terminal answer, and so type for the guest; what outlives the session and is not in the list of
//! what the end puts right; what reaches the guest's clipboard, printer, files, desktop, or what has scrolled away.

mod rendition;
mod sequences;
#[cfg(test)]
mod tests;

use std::str;

use vte::{Params, Parser, Perform};

/// The fewest bytes between two bells: a flood of them is a murmur beside what is shown, one alone is heard.
const BYTES_PER_BELL: u64 = 256;

/// The longest title, in letters.
const LONGEST_TITLE: usize = 200;

// Without `std` all of vte's memory is in its Parser, with it a title is buffered without end.
const _: () = assert!(size_of::<Parser>() > 1024, "vte has to be built without its feature `std`");

/// The filter of one guest's terminal.
#[derive(Default)]
pub struct Filter {
    parser: Parser,
    /// The parser has seen an escape, and not yet said what came of it.
    in_sequence: bool,
    /// The beginning of a letter whose rest has not come yet: at most three bytes.
    beginning: Vec<u8>,
    /// How many bytes went out so far.
    written: u64,
    /// Where the next bell may ring.
    next_bell: u64,
}

impl Filter {
    /// At the beginning of a session.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `out` what of `bytes` may reach the guest's terminal. A letter or sequence that is not complete waits
    /// for the next call.
    pub fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len());
        let mut rest = self.complete_letter(bytes, out);
        // The parser gets whole letters only: it loses what follows a letter that was cut, and takes the square of the
        // time over bytes that are none.
        while !rest.is_empty() {
            let broken = match str::from_utf8(rest) {
                Ok(text) => return self.advance(text, out),
                Err(broken) => broken,
            };
            let (good, bad) = rest.split_at_checked(broken.valid_up_to()).unwrap_or_default();
            self.advance(str::from_utf8(good).unwrap_or_default(), out);
            let Some(length) = broken.error_len() else {
                self.beginning.extend_from_slice(bad);
                return;
            };
            self.replace(out);
            rest = bad.get(length..).unwrap_or_default();
        }
    }

    /// Ends the letter that the last call began; what is left of `bytes`.
    fn complete_letter<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut rest = bytes;
        while !self.beginning.is_empty() {
            let Some((byte, after)) = rest.split_first() else { break };
            self.beginning.push(*byte);
            let letter = std::mem::take(&mut self.beginning);
            match str::from_utf8(&letter) {
                Ok(letter) => self.advance(letter, out),
                Err(broken) if broken.error_len().is_none() => self.beginning = letter,
                // The byte belongs to something else, and is read again.
                Err(_) => {
                    self.replace(out);
                    break;
                }
            }
            rest = after;
        }
        rest
    }

    /// In place of bytes that are no letter, a C1 control's single byte among them.
    fn replace(&mut self, out: &mut Vec<u8>) {
        self.advance("\u{fffd}", out);
    }

    /// Text goes past the parser, which takes it letter by letter and twice the time.
    fn advance(&mut self, text: &str, out: &mut Vec<u8>) {
        let (before, offset) = (out.len(), self.written);
        let mut terminal = Terminal { out, before, offset, next_bell: self.next_bell, dispatched: false };
        let mut rest = text;
        while !rest.is_empty() {
            if self.in_sequence {
                terminal.dispatched = false;
                let read = self.parser.advance_until_terminated(&mut terminal, rest.as_bytes());
                rest = rest.get(read..).unwrap_or_default();
                self.in_sequence = !terminal.dispatched;
            } else {
                let (plain, sequence) =
                    rest.split_at_checked(rest.find('\x1b').unwrap_or(rest.len())).unwrap_or_default();
                terminal.text(plain);
                rest = sequence;
                self.in_sequence = !sequence.is_empty();
            }
        }
        (self.written, self.next_bell) = (terminal.position(), terminal.next_bell);
    }
}

/// The guest's terminal, as the parser drives it.
struct Terminal<'a> {
    out: &'a mut Vec<u8>,
    /// How long `out` was, and how much had been written by then.
    before: usize,
    offset: u64,
    next_bell: u64,
    /// A sequence came to its end with the byte that was read last, and text follows.
    dispatched: bool,
}

impl Terminal<'_> {
    fn position(&self) -> u64 {
        self.offset + (self.out.len() - self.before) as u64
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn letter(&mut self, letter: char) {
        self.put(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn text(&mut self, text: &str) {
        for piece in text.split_inclusive(|letter| !is_shown(letter)) {
            match piece.chars().next_back() {
                Some(last) if !is_shown(last) => {
                    self.put(piece.strip_suffix(last).unwrap_or_default().as_bytes());
                    self.print(last);
                }
                _ => self.put(piece.as_bytes()),
            }
        }
    }

    fn bell(&mut self) {
        if self.position() >= self.next_bell {
            self.put(b"\x07");
            self.next_bell = self.position() + BYTES_PER_BELL;
        }
    }

    /// `number` is 0, 1 or 2: the icon's name and the window's, or one of them.
    fn title(&mut self, number: &[u8], parts: &[&[u8]]) {
        self.put(b"\x1b]");
        self.put(number);
        self.put(b";");
        let title = parts.join(&b';');
        for letter in String::from_utf8_lossy(&title).chars().filter(|c| is_shown(*c)).take(LONGEST_TITLE) {
            self.letter(letter);
        }
        self.put(b"\x1b\\");
    }
}

/// Text, and no control that comes as a letter. What gives the letters after it another order is none: the guest would
/// read a line that is not the line that is there (CVE-2021-42574), and tmux counts no cell for it.
fn is_shown(letter: char) -> bool {
    match letter {
        ' '..='~' => true,
        '\0'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        _ => true,
    }
}

impl Perform for Terminal<'_> {
    fn print(&mut self, letter: char) {
        if is_shown(letter) {
            self.letter(letter);
        } else if let Ok(control) = u8::try_from(letter) {
            self.execute(control);
        }
    }

    fn execute(&mut self, control: u8) {
        match control {
            0x07 => self.bell(),
            // Backspace, tab, line feed, carriage return, and the two that change to line drawing and back.
            0x08 | b'\t' | b'\n' | b'\r' | 0x0e | 0x0f => self.out.push(control),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignored: bool, last: u8) {
        self.dispatched = true;
        if !ignored && sequences::escape_passes(intermediates, last) {
            self.put(b"\x1b");
            self.put(intermediates);
            self.put(&[last]);
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignored: bool, last: char) {
        self.dispatched = true;
        match (ignored, intermediates, last) {
            (true, ..) => {}
            (false, b"", 'm') => rendition::write(params, self.out),
            (false, ..) => sequences::write(params, intermediates, last, self.out),
        }
    }

    fn osc_dispatch(&mut self, parts: &[&[u8]], bell_terminated: bool) {
        // Else it was an escape that ended it, and begins another sequence.
        self.dispatched = bell_terminated;
        match parts {
            [number @ (b"0" | b"1" | b"2"), title @ ..] if !title.is_empty() => self.title(number, title),
            [b"12", colour] if sequences::is_colour(colour) => {
                self.put(b"\x1b]12;");
                self.put(colour);
                self.put(b"\x1b\\");
            }
            [b"112"] | [b"112", b""] => self.put(b"\x1b]112\x1b\\"),
            _ => {}
        }
    }

    fn terminated(&self) -> bool {
        self.dispatched
    }
}
