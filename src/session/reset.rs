//! What puts a terminal right that a killed program, or a guest's session, leaves. Never: anything that it would answer.

use std::os::fd::AsFd;
use std::time::Duration;

use super::Ending;
use crate::sys::files;
use crate::sys::tty::Tty;

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

/// A guest who types on and on has his shell back after this long.
const LONGEST: Duration = Duration::from_secs(2);

/// A guest sees that it is over before the terminal is his shell's: what he types until he can have seen it was meant for the
/// session. The terminal is still raw, so that nothing of it is shown, or a line.
pub fn send_home(tty: &Tty, (reset, line): &(&[u8], String), ending: Ending) {
    let _ = files::write_patiently(tty.as_fd(), reset);
    let _ = files::write_patiently(tty.as_fd(), line.replace('\n', "\r\n").as_bytes());
    let quiet = match ending {
        // He left by himself: perhaps by a letter in the middle of a paste.
        Ending::Over(0) if line.is_empty() => Duration::from_millis(50),
        Ending::Over(_) | Ending::Unclosed(_) | Ending::NoVerdict(_) => Duration::from_millis(400),
    };
    tty.swallow(quiet, LONGEST);
}
