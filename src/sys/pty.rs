//! How is a terminal made, given to a program, and resized? Never: by its path, which means another terminal in another
//! namespace (CVE-2025-46803).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd;

use super::tty::Size;

nix::ioctl_write_int_bad!(tiocgptpeer, libc::TIOCGPTPEER);
nix::ioctl_write_int_bad!(tiocsctty, libc::TIOCSCTTY);
nix::ioctl_read_bad!(tiocgwinsz, libc::TIOCGWINSZ, libc::winsize);
nix::ioctl_write_ptr_bad!(tiocswinsz, libc::TIOCSWINSZ, libc::winsize);

/// The side of the terminal that shows and types. Non-blocking.
pub struct Master(PtyMaster);

/// The side that a program runs on. While nobody holds one the master is at its end.
pub struct Slave(OwnedFd);

/// A new terminal that nobody else can open: its file is the caller's, mode 0600.
///
/// # Errors
/// posix_openpt(3), unlockpt(3), ioctl_tty(2) TIOCGPTPEER (Linux 4.13), fchmod(2).
pub fn open() -> io::Result<(Master, Slave)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    unlockpt(&master)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    // SAFETY: takes a number, and gives a descriptor that nobody else knows.
    let slave = unsafe { OwnedFd::from_raw_fd(tiocgptpeer(master.as_raw_fd(), flags.bits())?) };
    fchmod(&slave, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok((Master(master), Slave(slave)))
}

impl Master {
    /// What the terminal is called in this namespace, `/dev/pts/3`: to tell it from others, never to open it.
    ///
    /// # Errors
    /// ptsname_r(3).
    pub fn name(&self) -> io::Result<String> {
        Ok(ptsname_r(&self.0)?)
    }

    /// Resizes the terminal; the kernel sends SIGWINCH if that changed anything.
    ///
    /// # Errors
    /// ioctl_tty(2) TIOCSWINSZ.
    pub fn set_size(&self, size: Size) -> io::Result<()> {
        self.set(libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 })
    }

    /// Sends SIGWINCH to what runs on the terminal, which draws all anew, at the size that it has: one pixel of its width,
    /// of which nobody makes anything, comes or goes.
    ///
    /// # Errors
    /// ioctl_tty(2) TIOCGWINSZ, TIOCSWINSZ.
    pub fn have_redrawn(&self) -> io::Result<()> {
        let mut size = get(self.as_fd())?;
        size.ws_xpixel ^= 1;
        self.set(size)
    }

    fn set(&self, size: libc::winsize) -> io::Result<()> {
        // SAFETY: TIOCSWINSZ reads one winsize from the pointer, which is valid for the call.
        unsafe { tiocswinsz(self.0.as_raw_fd(), &raw const size) }?;
        Ok(())
    }
}

impl Slave {
    /// Makes this process the leader of a session of its own on this terminal, with its standard streams there. It must
    /// not lead a process group.
    ///
    /// # Errors
    /// setsid(2), ioctl_tty(2) TIOCSCTTY, dup2(2).
    pub fn take(&self) -> io::Result<()> {
        unistd::setsid()?;
        // SAFETY: takes a number: 0, take nobody else's terminal away.
        unsafe { tiocsctty(self.0.as_raw_fd(), 0) }?;
        unistd::dup2_stdin(&self.0)?;
        unistd::dup2_stdout(&self.0)?;
        Ok(unistd::dup2_stderr(&self.0)?)
    }
}

pub(super) fn get(fd: BorrowedFd<'_>) -> io::Result<libc::winsize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is valid for the call.
    unsafe { tiocgwinsz(fd.as_raw_fd(), &raw mut size) }?;
    Ok(size)
}

impl AsFd for Master {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Slave {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::fstat;

    use super::*;

    #[test]
    fn a_terminal_is_nobody_elses_to_open() {
        let (_master, slave) = open().unwrap();
        let found = fstat(&slave).unwrap();
        assert_eq!((found.st_mode & 0o7777, found.st_uid), (0o600, unistd::geteuid().as_raw()));
    }

    #[test]
    fn what_is_redrawn_keeps_its_size() {
        let (master, slave) = open().unwrap();
        master.set_size(Size { columns: 132, rows: 43 }).unwrap();
        for pixel in [1, 0, 1] {
            master.have_redrawn().unwrap();
            let size = get(slave.as_fd()).unwrap();
            assert_eq!((size.ws_col, size.ws_row, size.ws_xpixel, size.ws_ypixel), (132, 43, pixel, 0));
        }
    }
}
