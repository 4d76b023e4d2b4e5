//! How does the gate say a line to a guest whose screen is the session's? On the last row, with everything that drawing
//! changes put back. Never: text that was not made safe.

use crate::ident::Visible;
use crate::sys::tty::Size;

/// The bytes that show as much of `line` as fits.
pub fn shown(line: &Visible, size: Size) -> Vec<u8> {
    // One column stays empty: in the last one a terminal would get ready to wrap.
    let mut left = usize::from(size.columns).saturating_sub(1);
    let fitting = line.as_str().chars().take_while(|c| {
        // What is not ASCII may be as wide as two.
        let width = if c.is_ascii() { 1 } else { 2 };
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    });
    let text: String = fitting.collect();
    // Save cursor, colours and character sets; ASCII; the row; reverse; and all of it back.
    format!("\x1b7\x1b(B\x0f\x1b[{};1H\x1b[0;7m{text}\x1b[0m\x1b[K\x1b8", size.rows).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str, columns: u16) -> String {
        let bytes = String::from_utf8(shown(&Visible::line(line.as_bytes()), Size { columns, rows: 24 })).unwrap();
        let (_, rest) = bytes.split_once("\x1b[24;1H\x1b[0;7m").unwrap();
        rest.split_once("\x1b[0m\x1b[K\x1b8").unwrap().0.to_owned()
    }

    #[test]
    fn a_line_never_reaches_the_last_column() {
        assert_eq!(text("ends in 5 minutes", 80), "ends in 5 minutes");
        assert_eq!(text("ends in 5 minutes", 8), "ends in");
        assert_eq!(text("日本語", 6), "日本");
        assert_eq!(text("a日b", 3), "a");
        assert_eq!(text("x", 1), "");
    }

    #[test]
    fn a_line_holds_no_command_for_the_terminal_but_ours() {
        assert_eq!(text("\x1b[2J\u{9b}1m", 80), "\\x1b[2J\\u{9b}1m");
    }
}
