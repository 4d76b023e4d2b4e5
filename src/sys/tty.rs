//! Which terminal is this, in what state, and whose turn is it? Never: what to say on it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::termios::{self, FlushArg, SetArg, Termios};
use nix::unistd::{self, Pid};

/// How large a terminal is, as somebody once told the kernel: anything, 0 included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A process's controlling terminal: opened for ourselves, so that it is non-blocking for nobody else.
pub struct Tty {
    fd: OwnedFd,
}

nix::ioctl_read_bad!(tiocgdev, libc::TIOCGDEV, libc::c_uint);

impl Tty {
    /// Opens `/dev/tty`.
    ///
    /// # Errors
    /// open(2): `ENXIO` without a controlling terminal.
    pub fn controlling() -> io::Result<Self> {
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
        let file = fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")?;
        Ok(Self { fd: file.into() })
    }

    /// Is descriptor `other` this same terminal? Compares device numbers: names can be anything (CVE-2017-1000367).
    pub fn is(&self, other: BorrowedFd<'_>) -> bool {
        let mut device: libc::c_uint = 0;
        // SAFETY: TIOCGDEV writes one unsigned int to the pointer, which is valid for the call.
        let asked = unsafe { tiocgdev(self.fd.as_raw_fd(), &raw mut device) };
        let (Ok(_), Ok(stat)) = (asked, fstat(other)) else {
            return false;
        };
        unistd::isatty(other).unwrap_or(false) && stat.st_rdev == u64::from(device)
    }

    /// Are standard input and output both this terminal?
    pub fn is_on_standard_streams(&self) -> bool {
        self.is(io::stdin().as_fd()) && self.is(io::stdout().as_fd())
    }

    /// The terminal's modes, to be given back.
    ///
    /// # Errors
    /// tcgetattr(3).
    pub fn modes(&self) -> io::Result<Termios> {
        Ok(termios::tcgetattr(&self.fd)?)
    }

    /// Sets modes at once: to wait for output to leave (TCSADRAIN, TCSAFLUSH) is to wait for ever on a stopped terminal.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn set_modes(&self, modes: &Termios) -> io::Result<()> {
        Ok(termios::tcsetattr(&self.fd, SetArg::TCSANOW, modes)?)
    }

    /// Sets modes, then throws away what was typed and not read.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn set_modes_and_flush(&self, modes: &Termios) -> io::Result<()> {
        self.set_modes(modes)?;
        self.flush_input();
        Ok(())
    }

    /// Every byte as it is, both ways: no echo, no keys that make signals, no flow control.
    ///
    /// # Errors
    /// tcgetattr(3), tcsetattr(3).
    pub fn make_raw(&self) -> io::Result<()> {
        let mut modes = self.modes()?;
        termios::cfmakeraw(&mut modes);
        self.set_modes(&modes)
    }

    /// How large it is now.
    ///
    /// # Errors
    /// ioctl_tty(2) TIOCGWINSZ.
    pub fn size(&self) -> io::Result<Size> {
        let size = super::pty::get(self.as_fd())?;
        Ok(Size { columns: size.ws_col, rows: size.ws_row })
    }

    /// Throws away what was typed and not read.
    pub fn flush_input(&self) {
        let _ = termios::tcflush(&self.fd, FlushArg::TCIFLUSH);
    }

    /// Reads and throws away what is typed until nothing came for `quiet`, for `most` at most: a flush does not reach what is
    /// still on its way.
    pub fn swallow(&self, quiet: Duration, most: Duration) {
        let until = Instant::now() + most;
        let mut late = [0; 4096];
        while Instant::now() < until {
            let quiet = PollTimeout::try_from(quiet).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], quiet) {
                Ok(1) if matches!(unistd::read(&self.fd, &mut late), Ok(1..)) => {}
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }

    /// The process group in the foreground; `None` if the terminal is gone.
    pub fn foreground(&self) -> Option<Pid> {
        unistd::tcgetpgrp(&self.fd).ok()
    }

    /// Puts a process group into the foreground. SIGTTOU must be blocked or ignored.
    ///
    /// # Errors
    /// tcsetpgrp(3).
    pub fn set_foreground(&self, group: Pid) -> io::Result<()> {
        Ok(unistd::tcsetpgrp(&self.fd, group)?)
    }
}

impl AsFd for Tty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The path, `/dev/pts/3`, of the controlling terminal, from whichever of descriptors 0 to 2 it is on: ttyname(3) checks
/// that the name leads back to it.
pub fn standard_name() -> Option<String> {
    let tty = Tty::controlling().ok()?;
    let standard: [&dyn AsFd; 3] = [&io::stdin(), &io::stdout(), &io::stderr()];
    let own = standard.iter().map(|fd| fd.as_fd()).find(|fd| tty.is(*fd))?;
    unistd::ttyname(own).ok()?.to_str().map(str::to_owned)
}
