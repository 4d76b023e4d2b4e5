//! How does a guest's visit run and end? The monitor watches over the processes that make it up, and over whatever may end it;
//! the end asks none of them. Never: a byte of the terminal, why it ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::link::{ToMonitor, Upward};
use crate::sys::process::{self, Change, Process};

/// How long what was killed may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// A process of the visit ended by itself.
    Gone,
    /// A signal ended a process of the visit, and not ours.
    Killed,
    /// The front, or root, asks for the end: the terminal hung up, or a shutdown.
    Asked,
    /// Something is to be read from the watched descriptor at this place.
    Readable(usize),
}

/// The processes of a visit. Killed on drop.
pub struct Escort<'a> {
    link: &'a Upward,
    signals: SignalFd,
    members: Vec<Process>,
}

impl<'a> Escort<'a> {
    /// Before the first process is forked: its end is not missed.
    ///
    /// # Errors
    /// sigprocmask(2), signalfd(2).
    pub fn new(link: &'a Upward) -> io::Result<Self> {
        let signals = process::signals(&[Signal::SIGCHLD, Signal::SIGTERM])?;
        Ok(Self { link, signals, members: Vec::new() })
    }

    /// Forks one more process of the visit, which keeps `keep` of our descriptors open until it closes them itself.
    ///
    /// # Errors
    /// fork(2), pidfd_open(2).
    pub fn add(&mut self, life: impl FnOnce() -> u8) -> io::Result<()> {
        let child = process::fork(&[self.link.as_fd(), self.signals.as_fd()], life)?;
        self.members.push(child);
        Ok(())
    }

    /// Hands the last process that was added to the front, which kills it should we die.
    ///
    /// # Errors
    /// sendmsg(2): nobody guards the terminal.
    pub fn announce(&self) -> io::Result<()> {
        let last = self.members.last().ok_or(io::ErrorKind::NotFound)?;
        self.link.running(last)
    }

    /// Waits until something happens; `watched` are asked last, so that an end comes before its reasons.
    pub fn wait(&self, watched: &[BorrowedFd<'_>]) -> Happening {
        loop {
            let on = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut fds = vec![on(self.signals.as_fd()), on(self.link.as_fd())];
            fds.extend(watched.iter().map(|fd| on(*fd)));
            let _ = poll(&mut fds, PollTimeout::NONE);
            let readable: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
            while let Ok(Some(signal)) = self.signals.read_signal() {
                if signal.ssi_signo == Signal::SIGTERM as u32 {
                    return Happening::Asked;
                }
            }
            let ends: Vec<Happening> = self.members.iter().filter_map(end_of).collect();
            if let Some(end) = ends.iter().find(|end| **end == Happening::Killed).or(ends.first()) {
                return *end;
            }
            if self.link.heard() == Some(ToMonitor::End) {
                return Happening::Asked;
            }
            if let Some(place) = readable.iter().skip(2).position(|readable| *readable) {
                return Happening::Readable(place);
            }
        }
    }
}

/// A stopped one goes on: whoever stopped it has gained nothing.
fn end_of(member: &Process) -> Option<Happening> {
    match process::change_of(member.pid)? {
        Change::Exited(_) => Some(Happening::Gone),
        Change::Killed => Some(Happening::Killed),
        Change::Stopped | Change::Frozen => {
            member.signal(Signal::SIGCONT);
            None
        }
    }
}

impl Drop for Escort<'_> {
    fn drop(&mut self) {
        for member in &self.members {
            member.signal(Signal::SIGKILL);
        }
        // The owner may trace her client, and wait for it no more.
        process::reap_killed(&self.members, GRACE);
    }
}
