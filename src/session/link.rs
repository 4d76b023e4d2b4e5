//! What do front and monitor say to each other? Two enums, one for each direction, over a socket that keeps messages
//! whole. Never: a verdict by exit status (a PAM module may call exit(0)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, send, sendmsg, socketpair};
use nix::unistd::Pid;

use crate::sys::process::{self, Process};

/// From the monitor.
pub enum ToFront {
    /// PAM judged: the monitor is root wholly, the person may not kill either of us from now on.
    Vouched,
    /// The person's program runs; the front may kill it too.
    Running(Process),
    /// It was stopped.
    Stopped,
    /// It ended with this exit status; the session is being closed.
    Left(u8),
    /// It waits for people, as long as that takes.
    Waiting,
    /// The waiting is over.
    Waited,
    /// A line for the person once the terminal is given back.
    Farewell(String),
    /// The same after the person's own program, whose screen it leaves.
    LastLine(String),
    /// Everything is closed, or nobody was let in. The exit status.
    Over(u8),
}

/// From the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToMonitor {
    /// The front is root as well, and guards the terminal.
    Guarding,
    /// Continue what was stopped.
    Resume,
    /// End it.
    End,
}

/// The other side will say nothing more.
#[derive(Debug)]
pub struct Gone;

/// The monitor's end.
pub struct Upward(OwnedFd);

/// The front's end.
pub struct Downward(OwnedFd);

/// A name and what is to be done.
const FAREWELL: usize = 500;

/// A connected pair.
///
/// # Errors
/// socketpair(2).
pub fn pair() -> io::Result<(Downward, Upward)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (front, monitor) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((Downward(front), Upward(monitor)))
}

impl Upward {
    /// PAM judged. Waits until the front, which the person could stop or kill so far, is root as well.
    ///
    /// # Errors
    /// [`Gone`]: it does not answer within a second. Nobody may be let in.
    pub fn vouched(&self) -> Result<(), Gone> {
        self.send(b"V");
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            match self.heard() {
                Some(ToMonitor::Guarding) => return Ok(()),
                Some(ToMonitor::Resume | ToMonitor::End) => return Err(Gone),
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Gone);
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], left);
        }
    }

    /// Something that people decide is waited for: until [`Upward::waited`] the front has no time limit, and Ctrl-C asks for
    /// the end.
    pub fn waiting(&self) {
        self.send(b"W");
    }

    /// The waiting is over, the time limit begins again.
    pub fn waited(&self) {
        self.send(b"D");
    }

    /// The program was stopped.
    pub fn stopped(&self) {
        self.send(b"S");
    }

    /// The program ended.
    pub fn left(&self, status: u8) {
        self.send(&[b'L', status]);
    }

    /// A line, of 500 bytes at most, for the person once the terminal is given back.
    pub fn farewell(&self, line: &str) {
        self.send(&[b"F", line.as_bytes().get(..FAREWELL).unwrap_or(line.as_bytes())].concat());
    }

    /// The same where the person's own program was ended.
    pub fn last_line(&self, line: &str) {
        self.send(&[b"W", line.as_bytes().get(..FAREWELL).unwrap_or(line.as_bytes())].concat());
    }

    /// The last word.
    pub fn over(&self, status: u8) {
        self.send(&[b'O', status]);
    }

    /// The program runs; hands its pidfd over.
    ///
    /// # Errors
    /// sendmsg(2): nobody guards the terminal, and the program must end.
    pub fn running(&self, program: &Process) -> io::Result<()> {
        let [a, b, c, d] = program.pid.as_raw().to_be_bytes();
        let fd = [program.as_fd().as_raw_fd()];
        let message = [b'R', a, b, c, d];
        let message = [io::IoSlice::new(&message)];
        let rights = [ControlMessage::ScmRights(&fd)];
        sendmsg::<()>(self.0.as_raw_fd(), &message, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// A front that is gone hears nothing; the monitor sees that by itself.
    fn send(&self, message: &[u8]) {
        let _ = send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
    }

    /// The next word of the front's; `Some(End)` when the front is gone.
    pub fn heard(&self) -> Option<ToMonitor> {
        let mut message = [0; 1];
        match recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(1) if message == *b"G" => Some(ToMonitor::Guarding),
            Ok(1) if message == *b"R" => Some(ToMonitor::Resume),
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            _ => Some(ToMonitor::End),
        }
    }
}

impl Downward {
    /// Tells the monitor.
    pub fn send(&self, word: ToMonitor) {
        let message = match word {
            ToMonitor::Guarding => b"G",
            ToMonitor::Resume => b"R",
            ToMonitor::End => b"E",
        };
        let _ = send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
    }

    /// The next word of the monitor's, if there is one.
    ///
    /// # Errors
    /// [`Gone`] when there will be no more, or when a message is none of ours: a module broke the monitor.
    pub fn heard(&self) -> Result<Option<ToFront>, Gone> {
        let mut message = [0; FAREWELL + 1];
        let (length, rights) = match process::receive(self.0.as_fd(), &mut message) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            // The monitor ended without reading what we said last: told once, and what it said last is still to be read.
            Err(Errno::ECONNRESET) => return self.heard(),
            Err(_) => return Err(Gone),
        };
        match (message.get(..length).unwrap_or_default(), rights) {
            ([b'V'], None) => Ok(Some(ToFront::Vouched)),
            ([b'S'], None) => Ok(Some(ToFront::Stopped)),
            ([b'W'], None) => Ok(Some(ToFront::Waiting)),
            ([b'D'], None) => Ok(Some(ToFront::Waited)),
            ([b'L', status], None) => Ok(Some(ToFront::Left(*status))),
            ([b'O', status], None) => Ok(Some(ToFront::Over(*status))),
            ([b'F', line @ ..], None) => Ok(Some(ToFront::Farewell(String::from_utf8_lossy(line).into_owned()))),
            ([b'W', line @ ..], None) => Ok(Some(ToFront::LastLine(String::from_utf8_lossy(line).into_owned()))),
            ([b'R', a, b, c, d], Some(fd)) => {
                let pid = Pid::from_raw(i32::from_be_bytes([*a, *b, *c, *d]));
                Ok(Some(ToFront::Running(Process::from_parts(pid, fd))))
            }
            _ => Err(Gone),
        }
    }
}

impl AsFd for Upward {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Downward {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
