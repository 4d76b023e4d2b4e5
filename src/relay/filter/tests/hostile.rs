//! Bytes by chance, biased towards what terminals obey, the same in every run.

use vte::Parser;

use super::{Terminal, grammar, passed, passed_in, text};

const LETTERS: &[u8] = b"text| |\r\n|\x07|\x0e|\x0f|\x05|\x7f|\0|\x18|\x1a|\x08|\t|;|?|rgb:00/ff/7f\
    |\xd0\x96|\xe6\xbc\xa2|\xf0\x9f\x98\x80|\xca\x9c|\xe2\x80\xae|\xc2\x85\
    |\xd0|\xe2\x82|\xf0\x9f\x98|\x9b|\x9c|\x84|\xc0\x80|\xff";
const NUMBERS: &[u8] =
    b"|0|1|2|3|4|5|25|38|47|48|52|58|69|255|256|1000|1004|1006|1049|2004|2026|9999|10000|65535|65536\
    |99999999999999999999999999";
const MARKS: &[u8] = b"||||?|?|?|>|=|<";
const BETWEEN: &[u8] = b";|;|;|;|:||\n|\x1b|\x18|\xff|\xc2\x9b";
const INTERMEDIATES: &[u8] = b"||||| |$|!|\"|'|*|#|$ ";
const WHOLE: &[u8] = b"\x1b[c|\x1b[6n|\x1b[21t|\x1b[?1049h|\x1b[?1049l|\x1bc|\x1bZ|\x1b(0|\x1b(B|\x1b7|\x1bM|\x1b[m\
    |\x1b[38;2;1;2;3m|\x1b[4:3m|\x1b[1;1H|\x1b[2J|\x1b[3J|\x1b[5i|\x1b[32;1;1;2;2$x|\x1b[2 q";
const BEGINNINGS: &[u8] = b"\x1b|\x1b[|\x1b]|\x1bP|\x1b(|\x1b[?|\x1b[1;|\x1b\x1b|\x1b%|\x1b_|\x1b]2|\x9b";
const STRINGS: &[u8] = b"\x1b]0;|\x1b]2;|\x1b]12;|\x1b]112|\x1b]52;c;|\x1b]8;;|\x1b]|\x1bP|\x1b_|\x1b^|\x1bX|\x9d2;";
const ENDS: &[u8] = b"\x07|\x07|\x1b\\|\x1b\\|\x9c|\x18|\x1b||?\x07|\xc2\x9c";

/// xorshift64*, so that a failure comes again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    /// One of `choice`, which has bars between what is to be chosen from.
    fn of(&mut self, choice: &'static [u8]) -> &'static [u8] {
        let count = choice.split(|byte| *byte == b'|').count();
        choice.split(|byte| *byte == b'|').nth(self.below(count)).unwrap()
    }

    /// About `length` bytes.
    fn stream(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 64);
        while bytes.len() < length {
            match self.below(8) {
                0 => (0..self.below(6)).for_each(|_| bytes.push(self.below(256) as u8)),
                1 => bytes.extend_from_slice(self.of(LETTERS)),
                2 => bytes.extend_from_slice(self.of(WHOLE)),
                3..=5 => self.control_sequence(&mut bytes),
                6 => self.string(&mut bytes),
                _ => bytes.extend_from_slice(self.of(BEGINNINGS)),
            }
        }
        // Ends a letter that is not complete.
        bytes.push(b'.');
        bytes
    }

    fn control_sequence(&mut self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(b"\x1b[");
        bytes.extend_from_slice(self.of(MARKS));
        for _ in 0..self.below(6) {
            bytes.extend_from_slice(self.of(NUMBERS));
            bytes.extend_from_slice(self.of(BETWEEN));
        }
        bytes.extend_from_slice(self.of(INTERMEDIATES));
        bytes.push(0x40 + self.below(0x3f) as u8);
    }

    fn string(&mut self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.of(STRINGS));
        for _ in 0..self.below(5) {
            bytes.extend_from_slice(self.of(LETTERS));
            bytes.extend_from_slice(self.of(NUMBERS));
        }
        bytes.extend_from_slice(self.of(ENDS));
    }
}

/// In one call of the parser, without the way that text takes past it.
fn through_the_parser_alone(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut terminal = Terminal { out: &mut out, before: 0, offset: 0, next_bell: 0, dispatched: false };
    Parser::new().advance(&mut terminal, String::from_utf8_lossy(bytes).as_bytes());
    out
}

#[test]
fn whatever_the_owner_sends_only_the_allow_list_comes_out() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut sent, mut came) = (0, 0);
    for round in 0..1200 {
        let stream = chance.stream(2000);
        let out = passed(&stream);
        assert_eq!(grammar::breach(&out).map(|at| text(&out[at..])), None, "round {round}");
        assert!(out.len() <= 3 * stream.len(), "round {round}: {} from {}", out.len(), stream.len());
        assert_eq!(text(&passed(&out)), text(&out), "round {round}, filtered again");
        assert_eq!(text(&through_the_parser_alone(&stream)), text(&out), "round {round}, text and sequences in one");
        assert_eq!(text(&passed_in(stream.chunks(1))), text(&out), "round {round}, byte by byte");
        let longest = 1 + chance.below(200);
        let pieces = stream.chunk_by(|_, _| chance.below(longest) > 0);
        assert_eq!(text(&passed_in(pieces)), text(&out), "round {round}, in pieces");
        (sent, came) = (sent + stream.len(), came + out.len());
    }
    // A filter that drops everything keeps to the list as well.
    assert!(sent > 2_000_000 && came > sent / 4, "{came} bytes of {sent}");
}
