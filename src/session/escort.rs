//! How does a guest's visit run and end? The monitor watches over the processes that make it up, and over whatever may end it;
//! the end asks none of them. Never: a byte of the terminal, why it ends.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::link::{ToMonitor, Upward};
use crate::sys::process::{self, Change, Process};

/// How long what was killed may take to end.
const GRACE: Duration = Duration::from_secs(1);
/// How long the last member may go on without one of the others: it shows what they left, and then ends by itself.
const FINISH: Duration = Duration::from_secs(5);

/// How long a process that has let go of its terminal may take to be gone, in milliseconds.
const DYING: u16 = 100;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The last process of the visit ended by itself, or another one, and the last took too long over what it left.
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
    /// Since when one of them is gone, and the last goes on.
    bereft: Cell<Option<Instant>>,
}

impl<'a> Escort<'a> {
    /// Before the first process is forked: its end is not missed.
    ///
    /// # Errors
    /// sigprocmask(2), signalfd(2).
    pub fn new(link: &'a Upward) -> io::Result<Self> {
        let signals = process::signals(&[Signal::SIGCHLD, Signal::SIGTERM])?;
        Ok(Self { link, signals, members: Vec::new(), bereft: Cell::new(None) })
    }

    /// Forks one more process of the visit, which has our descriptors, but for the link's and the signals', until it closes them.
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
            let _ = poll(&mut fds, self.patience());
            let readable: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
            while let Ok(Some(signal)) = self.signals.read_signal() {
                if signal.ssi_signo == Signal::SIGTERM as u32 {
                    return Happening::Asked;
                }
            }
            if let Some(end) = self.end() {
                return end;
            }
            if self.link.heard() == Some(ToMonitor::End) {
                return Happening::Asked;
            }
            if let Some(place) = readable.iter().skip(2).position(|readable| *readable) {
                return Happening::Readable(place);
            }
        }
    }

    /// The last member has ended by itself: because a signal ended another one, which may be about to be gone?
    pub fn was_killed(&self) -> bool {
        let Some((_, others)) = self.members.split_last() else { return false };
        others.iter().any(|member| {
            let _ = poll(&mut [PollFd::new(member.as_fd(), PollFlags::POLLIN)], DYING);
            end_of(member) == Some(Happening::Killed)
        })
    }

    fn patience(&self) -> PollTimeout {
        let Some(since) = self.bereft.get() else { return PollTimeout::NONE };
        let left = (since + FINISH).saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)
    }

    fn end(&self) -> Option<Happening> {
        let (last, others) = self.members.split_last()?;
        // All are looked at: each may be stopped.
        let ends: Vec<Happening> = others.iter().filter_map(end_of).collect();
        if ends.contains(&Happening::Killed) {
            return Some(Happening::Killed);
        }
        if !ends.is_empty() && self.bereft.get().is_none() {
            self.bereft.set(Some(Instant::now()));
        }
        let late = self.bereft.get().is_some_and(|since| since + FINISH <= Instant::now());
        end_of(last).or(late.then_some(Happening::Gone))
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
