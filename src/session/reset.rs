//! What puts a terminal right that a killed program, or a guest's session, leaves. Never: anything that it would answer.

/// After a person's own tmux: mouse, focus, bracketed paste off; main screen (47: the cursor stays where it is); cursor shown;
/// keypad, colours, margins normal.
pub const OWN: &[u8] = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1005l\x1b[?1004l\x1b[?2004l\x1b[?47l\
    \x1b[?25h\x1b[?1l\x1b>\x1b[0m\x1b[!p\r\n";

/// After somebody else's session, of which only the relay's allow list arrived, on the other screen from its first byte. The end
/// of a string that was cut first; then drawing, mouse and paste, keypad, cursor, title, and last the own screen.
pub const GUEST: &[u8] = b"\x1b\\\x1b[?2026l\x1b[0m\x1b(B\x1b)B\x0f\x1b[?69l\x1b[r\
    \x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?2004l\
    \x1b[?1l\x1b>\x1b[?12l\x1b[34h\x1b[?25h\x1b[0 q\
    \x1b]112\x1b\\\x1b]0;\x1b\\\x1b[23;0t\x1b[H\x1b[2J\x1b[?1049l\x1b[?47l";
