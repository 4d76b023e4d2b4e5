//! How does the monitor wait, and how does it end what must end? It reads its signals, and obeys root's SIGTERM alone.
//! Never: a byte of the terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::unistd;

use super::child::{Command, live_as};
use super::link::{ToMonitor, Upward};
use crate::sys::process::{self, Change, Process};
use crate::sys::tty::Tty;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);
/// The same where its time is over.
const MOMENT: Duration = Duration::from_millis(25);

/// What may end the program, besides itself, its terminal and root.
pub trait Limit {
    /// What is to be looked at for it.
    fn watched(&self) -> Vec<BorrowedFd<'_>>;

    /// Something is to be read from the watched descriptors at these places. It must not be waited for anything here.
    fn judge(&mut self, places: &[usize]) -> Verdict;
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The program goes on.
    GoesOn,
    /// It ends now.
    IsOver,
}

/// For a program that nothing limits.
pub struct Unlimited;

impl Limit for Unlimited {
    fn watched(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn judge(&mut self, _places: &[usize]) -> Verdict {
        Verdict::GoesOn
    }
}

/// Runs `command` in the foreground of `tty` until it ends, by itself or by `limit`, and returns its exit status, 1 if a
/// signal ended it or if it could not even be killed.
///
/// # Errors
/// fork(2), signalfd(2): nothing runs then.
pub fn live(link: &Upward, tty: &Tty, command: &Command, limit: &mut dyn Limit) -> io::Result<u8> {
    let signals = process::signals(&[Signal::SIGCHLD, Signal::SIGTERM])?;
    let own = unistd::getpid();
    let program = process::fork(&[link.as_fd(), signals.as_fd()], || live_as(command, tty, own))?;
    let mut life = Life { link, limit, program, signals, end: None, stopped: false };
    if link.running(&life.program).is_err() {
        life.ask_to_end(GRACE);
    }
    loop {
        if let Some(status) = life.turn() {
            return Ok(status);
        }
    }
}

/// How far the end of the program has come.
#[derive(Clone, Copy)]
enum End {
    /// It was asked to end, and has time until then.
    Asked(Instant),
    /// It was killed. What does not end of that by then is traced or stuck in the kernel, and is waited for no longer.
    Killed(Instant),
}

struct Life<'a> {
    link: &'a Upward,
    limit: &'a mut dyn Limit,
    program: Process,
    signals: SignalFd,
    end: Option<End>,
    /// Said so, and not told to go on yet: said once, however often it happens.
    stopped: bool,
}

impl Life<'_> {
    /// Waits for whatever happens next; the status if that is the end.
    fn turn(&mut self) -> Option<u8> {
        let readable = self.wait();
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                self.ask_to_end(GRACE);
            }
        }
        if self.end.is_none() && !readable.is_empty() && self.limit.judge(&readable) == Verdict::IsOver {
            self.ask_to_end(MOMENT);
        }
        match self.end {
            None => self.listen(),
            Some(End::Asked(when)) if when <= Instant::now() => {
                self.program.signal(Signal::SIGKILL);
                self.end = Some(End::Killed(Instant::now() + GRACE));
            }
            Some(End::Killed(when)) if when <= Instant::now() => return Some(1),
            Some(End::Asked(_) | End::Killed(_)) => {}
        }
        self.look()
    }

    /// Waits; which of the limit's descriptors are to be read?
    fn wait(&self) -> Vec<usize> {
        let on = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![on(self.signals.as_fd())];
        if self.end.is_none() {
            // Once the end was asked for, neither the link nor the limit has more to say, and may be readable for ever.
            fds.push(on(self.link.as_fd()));
            fds.extend(self.limit.watched().into_iter().map(on));
        }
        let _ = poll(&mut fds, self.patience());
        let limits = fds.iter().skip(2).enumerate();
        limits.filter(|(_, fd)| fd.any().unwrap_or(true)).map(|(place, _)| place).collect()
    }

    fn patience(&self) -> PollTimeout {
        let Some(End::Asked(when) | End::Killed(when)) = self.end else { return PollTimeout::NONE };
        let left = when.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)
    }

    fn listen(&mut self) {
        match self.link.heard() {
            Some(ToMonitor::Resume) => {
                self.stopped = false;
                self.program.signal(Signal::SIGCONT);
            }
            Some(ToMonitor::End) => self.ask_to_end(GRACE),
            Some(ToMonitor::Guarding) | None => {}
        }
    }

    /// A tmux client that is hung up on gives the terminal back; a stopped one must go on first.
    fn ask_to_end(&mut self, patience: Duration) {
        if self.end.is_none() {
            self.program.signal(Signal::SIGHUP);
            self.program.signal(Signal::SIGCONT);
            self.end = Some(End::Asked(Instant::now() + patience));
        }
    }

    /// The status, if the program ended.
    fn look(&mut self) -> Option<u8> {
        match process::change_of(self.program.pid)? {
            Change::Exited(status) => Some(u8::try_from(status).unwrap_or(1)),
            Change::Killed => Some(1),
            // tmux did not give the terminal back, so the shell cannot have it.
            Change::Frozen => {
                self.program.signal(Signal::SIGCONT);
                None
            }
            Change::Stopped => {
                if !self.stopped {
                    self.stopped = true;
                    self.link.stopped();
                }
                None
            }
        }
    }
}
