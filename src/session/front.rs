//! Who guards the terminal? The shell's child: it knows no PAM, outlives whatever the monitor's modules do, gives the
//! terminal back whatever died, and goes to sleep with the shell's job while the monitor watches on.
//!
//! MUST: an explicit message for a verdict; every wait for the monitor bounded, except while the person's program runs.

mod turns;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::termios::Termios;
use nix::unistd::{self, Pid};

use super::link::{self, Downward, Gone, ToFront, ToMonitor, Upward};
use super::reset;
use crate::sys::entry;
use crate::sys::ids;
use crate::sys::process::{self, Brood, Process};
use crate::sys::tty::Tty;

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The monitor said so; it has told the person and the record.
    Over(u8),
    /// The person's program ended with this status; the monitor did not get its session closed.
    Unclosed(u8),
    /// The monitor said nothing and is gone; nobody was let in, or what ran was ended.
    NoVerdict(NoVerdict),
}

/// Why the monitor said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoVerdict {
    /// It took longer than the limit, at work and not at a prompt, and was killed.
    TimedOut,
    /// It died: a module crashed or called exit(3), or root killed it.
    Died,
    /// Ctrl-C or a signal while PAM was at work, outside any prompt.
    Interrupted,
    /// The terminal hung up.
    HungUp,
    /// PAM said yes, and the lookups and modules after it took too long.
    Late,
    /// PAM said yes, and the session's modules crashed.
    Unopened,
    /// It died while the person's program ran, which was ended.
    Cut,
}

/// What the monitor is doing, as far as the front was told.
enum Phase {
    Judging(Instant, Option<Brood>),
    Opening(Instant),
    Waiting,
    Running(Process),
    Closing(Instant, u8),
}

struct Front<'a> {
    tty: &'a Tty,
    link: Downward,
    monitor: Process,
    signals: SignalFd,
    modes: Termios,
    limit: Duration,
    phase: Phase,
    /// The process group of the person's program, once there was one.
    program: Option<Pid>,
    hung_up: bool,
    /// What puts the terminal right, and what is told then, where somebody is told why it ended.
    farewell: Option<(&'static [u8], String)>,
    /// Ctrl-C came after the verdict: it ends a wait, and nothing else.
    interrupted: bool,
    /// Why the monitor was told to give up while it judges: it has a moment to say so itself, to the person and the record.
    giving_up: Option<NoVerdict>,
    /// The link is closed since then: nothing more is heard, the monitor is waited for.
    deaf: Option<Instant>,
}

/// How long the monitor has to say by itself that the time is over, or that it gives up.
const MOMENT: Duration = Duration::from_millis(200);

/// Forks the monitor and guards it and the terminal until both are done. `limit` holds for the verdict, for the opening
/// of the session after it, and for its closing, each.
///
/// # Errors
/// Before the fork: a system call failed.
pub fn guard(tty: &Tty, limit: Duration, monitor: impl FnOnce(Upward) -> u8) -> io::Result<Ending> {
    let modes = tty.modes()?;
    SigSet::all().thread_block()?;
    let brood = Brood::adopt();
    let (link, upward) = link::pair()?;
    let watched = [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP];
    let signals = process::signals(&watched)?;
    let child = process::fork(&[link.as_fd(), signals.as_fd()], || {
        process::show_role("tmux-gate:mon");
        match put_right(Stage::Judging) {
            Ok(()) => monitor(upward),
            Err(_) => 1,
        }
    })?;
    process::show_role("tmux-gate:front");
    let phase = Phase::Judging(Instant::now() + limit + MOMENT, brood);
    let front = Front {
        tty,
        link,
        monitor: child,
        signals,
        modes,
        limit,
        phase,
        program: None,
        hung_up: false,
        farewell: None,
        interrupted: false,
        giving_up: None,
        deaf: None,
    };
    Ok(front.run())
}

/// Who may send the monitor signals, and what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The real uid is the caller's: his signals may end what judges him, and nothing less. One that only interrupted a
    /// system call (EINTR) could shorten a module's delay after a wrong password, or make a second factor look away.
    Judging,
    /// Only root, the terminal and a shutdown are left: obeyed by nobody, for half a session would stay open.
    Judged,
}

/// Puts the monitor's process right, before PAM modules run and after they did.
///
/// # Errors
/// sigprocmask(2), chdir(2), prctl(2).
pub fn put_right(stage: Stage) -> io::Result<()> {
    let deadly = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
    // Of a terminal that hung up the front tells: a module whose question is given up can still tidy up after itself.
    let others = [Signal::SIGHUP, Signal::SIGTSTP, Signal::SIGPIPE, Signal::SIGXFSZ];
    // With a handler for these the terminal would refuse its modes to a process in the background (termios(3)).
    let blocked: SigSet = [Signal::SIGTTIN, Signal::SIGTTOU].into_iter().collect();
    let last = Signal::SIGSYS as i32;
    match stage {
        Stage::Judging => entry::put_right(&others, &[], &blocked, last),
        Stage::Judged => entry::put_right(&[], &[deadly.as_slice(), &others].concat(), &blocked, last),
    }
}

/// Stops while this process is in the background, as every program that asks would; false where nobody brings it to the
/// foreground.
#[must_use]
pub fn is_in_foreground(tty: &Tty) -> bool {
    for _ in 0..16 {
        if tty.foreground() == Some(unistd::getpgrp()) {
            return true;
        }
        let _ = nix::sys::signal::raise(Signal::SIGTTIN);
    }
    false
}

impl Front<'_> {
    fn run(mut self) -> Ending {
        let ending = loop {
            if let Some(ending) = self.wait() {
                break ending;
            }
        };
        self.give_back(ending);
        ending
    }

    /// One turn: what was sent to us and what the monitor said come before what became of it.
    fn wait(&mut self) -> Option<Ending> {
        let mut gone = self.poll();
        while let Ok(Some(signal)) = self.signals.read_signal() {
            self.signalled(signal.ssi_signo);
        }
        while self.deaf.is_none() {
            match self.link.heard() {
                Ok(Some(word)) => {
                    if let Some(status) = self.obey(word) {
                        self.kill_monitor();
                        return Some(Ending::Over(status));
                    }
                }
                Ok(None) => break,
                Err(Gone) => {
                    gone |= self.lose_link();
                    break;
                }
            }
        }
        if gone {
            return Some(self.end(self.giving_up.unwrap_or(NoVerdict::Died)));
        }
        if self.hung_up {
            self.give_up(NoVerdict::HungUp);
        }
        let late = self.deadline().is_some_and(|when| when <= Instant::now());
        late.then(|| self.end(self.giving_up.unwrap_or(NoVerdict::TimedOut)))
    }

    /// Waits for whatever happens next; is the monitor gone?
    fn poll(&mut self) -> bool {
        let limit = self.deadline().map_or(PollTimeout::NONE, |when| {
            // Rounded up: poll(2) counts whole milliseconds.
            let left = when.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let on = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let tty = PollFd::new(self.tty.as_fd(), PollFlags::empty());
        let mut fds = vec![on(self.monitor.as_fd()), on(self.signals.as_fd())];
        // What hung up says so for ever: it is asked until then.
        fds.extend(self.deaf.is_none().then(|| on(self.link.as_fd())));
        fds.extend((!self.hung_up).then_some(tty));
        if let Err(errno) = poll(&mut fds, limit)
            && errno != Errno::EINTR
        {
            return true;
        }
        let happened = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or(false);
        let (monitor, tty) = (happened(fds.first()), !self.hung_up && happened(fds.last()));
        if tty {
            self.hung_up = true;
            self.link.send(ToMonitor::End);
        }
        monitor
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Judging(when, _) | Phase::Opening(when) | Phase::Closing(when, _) => Some(when),
            Phase::Running(_) | Phase::Waiting => self.deaf.map(|since| since + self.limit),
        }
    }

    /// The status, if that was the last word.
    fn obey(&mut self, word: ToFront) -> Option<u8> {
        match word {
            ToFront::Vouched => {
                // A front that the person could stop or kill would leave the monitor without a guard. Whoever stopped it
                // so far has gained no time.
                let now = Instant::now();
                let in_time = self.giving_up.is_none() && self.deadline().is_some_and(|when| now < when);
                if in_time && ids::become_root().is_ok() {
                    self.phase = Phase::Opening(now + self.limit);
                    self.link.send(ToMonitor::Guarding);
                }
            }
            ToFront::Running(program) => {
                self.program = Some(program.pid);
                self.phase = Phase::Running(program);
            }
            ToFront::Stopped => self.suspend(),
            ToFront::Waiting => {
                self.phase = Phase::Waiting;
                self.end_wait();
            }
            ToFront::Waited => self.phase = Phase::Opening(Instant::now() + self.limit),
            ToFront::Left(status) => self.phase = Phase::Closing(Instant::now() + self.limit, status),
            ToFront::Farewell(line) => self.farewell = Some((reset::GUEST, line)),
            ToFront::LastLine(line) => self.farewell = Some((reset::OWN, line)),
            ToFront::Over(status) => return Some(status),
        }
        None
    }

    fn signalled(&mut self, signal: u32) {
        let fatal = signal == Signal::SIGTERM as u32 || signal == Signal::SIGHUP as u32;
        if matches!(self.phase, Phase::Judging(..)) {
            if signal != Signal::SIGCHLD as u32 {
                self.give_up(NoVerdict::Interrupted);
            }
        } else if fatal {
            self.link.send(ToMonitor::End);
        } else if signal != Signal::SIGCHLD as u32 {
            self.interrupted = true;
            self.end_wait();
        }
    }

    /// Also where Ctrl-C came a moment before the wait began.
    fn end_wait(&self) {
        if self.interrupted && matches!(self.phase, Phase::Waiting) {
            self.link.send(ToMonitor::End);
        }
    }

    /// While PAM judges: nobody is let in any more. At a prompt the monitor says so at once; a module that works is not asked.
    fn give_up(&mut self, why: NoVerdict) {
        if let Phase::Judging(when, _) = &mut self.phase
            && self.giving_up.is_none()
        {
            self.giving_up = Some(why);
            *when = (*when).min(Instant::now() + MOMENT);
            self.link.send(ToMonitor::End);
        }
    }

    /// Ends the monitor, and whatever it started: orphans of modules while PAM judges, the program afterwards.
    fn end(&mut self, why: NoVerdict) -> Ending {
        self.kill_monitor();
        match &self.phase {
            Phase::Judging(..) => Ending::NoVerdict(why),
            Phase::Opening(_) if why == NoVerdict::TimedOut => Ending::NoVerdict(NoVerdict::Late),
            Phase::Opening(_) => Ending::NoVerdict(NoVerdict::Unopened),
            Phase::Waiting => Ending::NoVerdict(why),
            Phase::Running(program) => {
                program.signal(Signal::SIGKILL);
                Ending::NoVerdict(NoVerdict::Cut)
            }
            Phase::Closing(_, status) => Ending::Unclosed(*status),
        }
    }

    /// The monitor, and what modules left behind while PAM judged.
    fn kill_monitor(&self) {
        self.monitor.signal(Signal::SIGKILL);
        process::reap(self.monitor.pid);
        if let Phase::Judging(_, Some(brood)) = &self.phase {
            brood.kill();
        }
    }

    /// The monitor dies, or a module closed its end of the link. Before a verdict there will be none; afterwards a monitor
    /// that lives, and cannot go on without the link, gets the time to close what it opened. Is it given up?
    fn lose_link(&mut self) -> bool {
        self.deaf = Some(Instant::now());
        match &self.phase {
            Phase::Judging(..) => true,
            Phase::Opening(_) | Phase::Waiting | Phase::Closing(..) => false,
            Phase::Running(program) => {
                program.signal(Signal::SIGHUP);
                false
            }
        }
    }
}
