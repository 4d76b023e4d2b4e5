//! How is a person asked on the controlling terminal? Hidden and visible, with an end to every wait.
//!
//! MUST: never standard input; echo off before the prompt appears; the modes given back on every way out; what was typed
//! and not read thrown away after a question that failed (CVE-2025-64170).

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, Termios};
use nix::unistd;
use zeroize::Zeroizing;

use crate::ident::Visible;
use crate::sys::tty::Tty;

/// The longest answer in bytes: PAM_MAX_RESP_SIZE less its NUL.
const LONGEST: usize = 511;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Ctrl-C, a signal, or whoever watches over the question gave it up.
    Interrupted,
    /// Ctrl-D on an empty line, or the terminal is gone.
    EndOfInput,
    /// More than 511 bytes.
    TooLong,
    /// The time for it is over.
    TooLate,
    /// tcsetattr(3), read(2) or write(2) failed.
    Broken,
}

/// May the answer be seen?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Typed text is shown.
    Shown,
    /// Nothing is shown.
    Hidden,
}

/// A terminal for questions.
pub struct Terminal<'a> {
    tty: &'a Tty,
    /// Ends a question when it becomes readable or hangs up: the other side is the process that guards this one.
    guard: BorrowedFd<'a>,
    /// No question waits longer.
    until: Instant,
}

impl<'a> Terminal<'a> {
    /// Questions on `tty`, given up when something happens on `guard`, or at `until`.
    pub fn new(tty: &'a Tty, guard: BorrowedFd<'a>, until: Instant) -> Self {
        Self { tty, guard, until }
    }

    /// Writes text and a newline; a terminal that is gone is no error.
    pub fn say(&self, text: &Visible) {
        let _ = self.write(format!("{text}\n").as_bytes());
    }

    /// Prints the prompt as it is and reads one line.
    ///
    /// # Errors
    /// [`NoAnswer`]; the modes are as they were, and nothing that was typed is left for the next reader.
    pub fn ask(&self, prompt: &Visible, echo: Echo) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
        let before = self.tty.modes().map_err(|_| NoAnswer::Broken)?;
        self.tty.set_modes_and_flush(&asking(&before)).map_err(|_| NoAnswer::Broken)?;
        let answer = self.write(prompt.as_str().as_bytes()).and_then(|()| self.read_line(echo));
        let newline = self.write(b"\n");
        let restored = match &answer {
            Ok(_) => self.tty.set_modes(&before),
            Err(_) => {
                self.swallow();
                self.tty.set_modes_and_flush(&before)
            }
        };
        let answer = answer?;
        restored.map_err(|_| NoAnswer::Broken).and(newline).map(|()| answer)
    }

    fn read_line(&self, echo: Echo) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
        loop {
            match self.read_byte()? {
                b'\r' | b'\n' => return Ok(line),
                0x03 => return Err(NoAnswer::Interrupted),
                0x04 if line.is_empty() => return Err(NoAnswer::EndOfInput),
                0x08 | 0x7f => self.erase(&mut line, echo)?,
                0x15 => {
                    while !line.is_empty() {
                        self.erase(&mut line, echo)?;
                    }
                }
                0x00 | 0x04 | 0x1a | 0x1c => {}
                _ if line.len() == LONGEST => {
                    // The rest of it is not for whoever reads next.
                    while !matches!(self.read_byte()?, b'\r' | b'\n' | 0x03 | 0x04) {}
                    return Err(NoAnswer::TooLong);
                }
                byte => {
                    line.push(byte);
                    if echo == Echo::Shown && byte >= 0x20 {
                        self.write(&[byte])?;
                    }
                }
            }
        }
    }

    /// Reads what is still on its way through the kernel, which a flush does not reach, until nothing came for a moment.
    fn swallow(&self) {
        let mut late = [0; 256];
        for _ in 0..10 {
            match poll(&mut [PollFd::new(self.tty.as_fd(), PollFlags::POLLIN)], 10_u8) {
                Ok(1) if matches!(unistd::read(self.tty, &mut late), Ok(1..)) => {}
                _ => return,
            }
        }
    }

    /// Takes one character back, all its bytes.
    fn erase(&self, line: &mut Vec<u8>, echo: Echo) -> Result<(), NoAnswer> {
        let Some(mut last) = line.pop() else {
            return Ok(());
        };
        let seen = last >= 0x20;
        while last & 0xc0 == 0x80 {
            let Some(byte) = line.pop() else { break };
            last = byte;
        }
        if echo == Echo::Shown && seen { self.write(b"\x08 \x08") } else { Ok(()) }
    }

    fn read_byte(&self) -> Result<u8, NoAnswer> {
        loop {
            let on = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut fds = [on(self.tty.as_fd()), on(self.guard)];
            // Rounded up: poll(2) counts whole milliseconds.
            let left = self.until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(_) if self.until <= Instant::now() => return Err(NoAnswer::TooLate),
                Ok(_) => {}
                // The process's handlers do nothing, but whoever sends a signal wants no answer any more.
                Err(Errno::EINTR) => return Err(NoAnswer::Interrupted),
                Err(_) => return Err(NoAnswer::Broken),
            }
            if fds.last().and_then(PollFd::any).unwrap_or(true) {
                return Err(NoAnswer::Interrupted);
            }
            let mut byte = [0];
            match unistd::read(self.tty, &mut byte) {
                Ok(1) => return Ok(byte[0]),
                Ok(_) | Err(Errno::EIO) => return Err(NoAnswer::EndOfInput),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return Err(NoAnswer::Broken),
            }
        }
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), NoAnswer> {
        while !bytes.is_empty() {
            match unistd::write(self.tty, bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait_writable()?,
                Err(_) => return Err(NoAnswer::EndOfInput),
            }
        }
        Ok(())
    }

    fn wait_writable(&self) -> Result<(), NoAnswer> {
        let mut fds = [PollFd::new(self.tty.as_fd(), PollFlags::POLLOUT), PollFd::new(self.guard, PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::NONE);
        if fds.last().and_then(PollFd::any).unwrap_or(true) { Err(NoAnswer::Interrupted) } else { Ok(()) }
    }
}

/// No echo, byte by byte, and the keys that make signals are bytes: they are read here, not obeyed.
fn asking(before: &Termios) -> Termios {
    let mut modes = before.clone();
    modes
        .local_flags
        .remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN);
    for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
        if let Some(slot) = modes.control_chars.get_mut(index as usize) {
            *slot = value;
        }
    }
    modes
}
