//! Which escape and control sequences pass? Those that tmux writes to draw (tty.c and tty-features.c of tmux 3.2 to
//! 3.7, and the terminfo entries of terminals that are used), and modes that the end of the session puts back.
//! Never: a sequence that a terminal answers, or by which it prints, changes its size, or keeps something for later.

use vte::Params;

/// No screen has more rows or columns (tmux's own limit is 10,000), and some terminals do 65535 of anything one by one.
const MOST: u16 = 9_999;

/// In one sequence; vte reads no more.
const MOST_NUMBERS: usize = 32;

/// Save and restore the cursor, the keypad's two modes, line feeds up and down; and line drawing, as G0 or G1.
pub fn escape_passes(intermediates: &[u8], last: u8) -> bool {
    match intermediates {
        b"" => matches!(last, b'7' | b'8' | b'=' | b'>' | b'D' | b'E' | b'M'),
        b"(" | b")" => matches!(last, b'0' | b'B'),
        _ => false,
    }
}

/// As tmux writes the cursor's colour: `rgb:ff/00/7f`. Not the name of a colour, and not `?`, which asks for it.
pub fn is_colour(text: &[u8]) -> bool {
    let Some(digits) = text.strip_prefix(b"rgb:") else { return false };
    let parts: Vec<&[u8]> = digits.split(|byte| *byte == b'/').collect();
    parts.len() == 3 && parts.iter().all(|part| part.len() == 2 && part.iter().all(u8::is_ascii_hexdigit))
}

/// Appends the control sequence to `out` if it passes.
pub fn write(params: &Params, intermediates: &[u8], last: char, out: &mut Vec<u8>) {
    let mut numbers = [0; MOST_NUMBERS];
    for (number, param) in numbers.iter_mut().zip(params) {
        let [value] = param else { return };
        *number = (*value).min(MOST);
    }
    let Some(numbers) = numbers.get(..params.iter().count()) else { return };
    let passes = match (intermediates, last) {
        // Insert, move by, erase, move to, scroll.
        (b"", '@'..='G' | 'I' | 'L' | 'M' | 'P' | 'S' | 'T' | 'X' | 'Z' | '`' | 'a' | 'd' | 'e') => numbers.len() == 1,
        // Move to; the scrolling region's rows, and columns (or the cursor is saved).
        (b"", 'H' | 'f' | 'r' | 's') => numbers.len() <= 2,
        // Not 3, which erases what has scrolled away: it is the guest's.
        (b"", 'J' | 'K') => matches!(numbers, [0..=2]),
        (b"" | b"?", 'h' | 'l') => return modes(numbers, intermediates, last, out),
        // The cursor's shape.
        (b" ", 'q') => matches!(numbers, [0..=6]),
        // A rectangle is filled with blanks.
        (b"$", 'x') => matches!(numbers, [32, _, _, _, _]),
        _ => false,
    };
    if passes {
        out.extend_from_slice(b"\x1b[");
        // Terminals disagree on the cursor's shape when there is no number.
        if numbers != [0] || last == 'q' {
            list(numbers, b';', out);
        }
        out.extend_from_slice(intermediates);
        out.extend(u8::try_from(last));
    }
}

/// Those of the modes that pass, one by one.
fn modes(numbers: &[u16], intermediates: &[u8], last: char, out: &mut Vec<u8>) {
    for mode in numbers.iter().filter(|mode| mode_passes(intermediates, **mode)) {
        out.extend_from_slice(b"\x1b[");
        out.extend_from_slice(intermediates);
        number(*mode, out);
        out.extend(u8::try_from(last));
    }
}

/// Not the alternate screen: the relay entered it before the first byte, and only the end goes back. Entered twice, some
/// terminals forget where the guest's cursor was.
fn mode_passes(intermediates: &[u8], mode: u16) -> bool {
    match (intermediates, mode) {
        // Application cursor keys; the cursor blinks, is visible; columns as a scrolling region; mouse; bracketed
        // paste; updates in one piece.
        (b"?", 1 | 12 | 25 | 69 | 1000 | 1002 | 1003 | 1005 | 1006 | 2004 | 2026) => true,
        // The cursor is less visible, in screen and tmux.
        (b"", 34) => true,
        _ => false,
    }
}

/// Numbers in decimal, with `between` between them.
pub fn list(numbers: &[u16], between: u8, out: &mut Vec<u8>) {
    for (index, value) in numbers.iter().enumerate() {
        if index > 0 {
            out.push(between);
        }
        number(*value, out);
    }
}

/// In decimal.
pub fn number(value: u16, out: &mut Vec<u8>) {
    if value >= 10 {
        number(value / 10, out);
    }
    out.extend(u8::try_from(value % 10).map(|digit| b'0' + digit));
}
