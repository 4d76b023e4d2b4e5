//! How do bytes get from one terminal to the other, both ways, when either may stop taking any?
//!
//! MUST: never wait for one side alone; every buffer bounded; the monitor heard before anything is passed on. The session
//! waits for a terminal that is behind, but not for long: then its output is left out, and drawn anew when the terminal
//! has caught up.

use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::unistd;

use super::filter::Filter;
use super::keys::{Keys, Pressed};
use super::link::{RelayEnd, ToMonitor, ToRelay};
use super::queue::Queue;
use super::{Place, fit, notice};
use crate::ident::{Access, Visible};
use crate::sys::process;
use crate::sys::pty::Master;
use crate::sys::tty::Tty;

/// What a terminal gives in one read(2).
const CHUNK: usize = 4096;
/// Chunks from one side before the other has its turn.
const CHUNKS: usize = 16;
/// How long the session waits for a terminal that takes nothing.
const HOLD: Duration = Duration::from_secs(1);
/// How long a terminal may take nothing of what is left when the session is at its end.
const LAST: Duration = Duration::from_secs(3);
/// How long a session may take nothing of what is typed; then the rest is only looked through for a way out.
const DEAF: Duration = Duration::from_secs(5);
/// How long a line of the gate's stays.
const NOTICE: Duration = Duration::from_secs(5);
/// Between two sizes: each makes the owner's server draw.
const RESIZE: Duration = Duration::from_millis(50);
/// prefix `d` in a row that end what a session does not.
const DETACHES: u32 = 3;
/// Before any byte of the session: keeps the title and enters the other screen. Whoever forked the relay puts both back.
pub(super) const BEGIN: &[u8] = b"\x1b[22;0t\x1b[?1049h";

/// Goes on, or ends with a last word.
type Turn = ControlFlow<Option<ToMonitor>>;

/// What becomes of the session's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// It is passed on.
    Passing,
    /// The terminal is behind: since then the session waits.
    Held(Instant),
    /// It is left out until the terminal has taken what was passed on before.
    Dropping,
    /// Nobody prints any more: the rest is passed on, of which the terminal took something at that time.
    Ending(Instant),
}

/// Relays.
pub struct Pump<'a> {
    tty: &'a Tty,
    master: &'a Master,
    link: &'a RelayEnd,
    signals: &'a SignalFd,
    access: Access,
    keys: Keys,
    filter: Filter,
    /// For the session.
    typed: Queue,
    /// Since when the session takes nothing of that.
    deaf: Option<Instant>,
    /// For the terminal.
    printed: Queue,
    chunk: [u8; CHUNK],
    flow: Flow,
    /// All that the session printed was read.
    read_out: bool,
    /// A line of the gate's, shown until then.
    notice: Option<(Visible, Instant)>,
    resized: Instant,
    resize: Option<Instant>,
}

impl<'a> Pump<'a> {
    /// At a place, with SIGWINCH and SIGHUP to be read from `signals`.
    pub fn new(place: &Place<'a>, signals: &'a SignalFd) -> Self {
        Self {
            tty: place.tty,
            master: place.master,
            link: place.link,
            signals,
            access: place.access,
            keys: Keys::new(place.prefixes),
            filter: Filter::new(),
            typed: Queue::new(),
            deaf: None,
            printed: Queue::new(),
            chunk: [0; CHUNK],
            flow: Flow::Passing,
            read_out: false,
            notice: None,
            resized: Instant::now(),
            resize: None,
        }
    }

    /// Relays until there is nothing to relay, and exits. Nothing is dropped any more: the sandbox knows no close(2).
    pub fn run(mut self) -> ! {
        self.pass_size();
        self.printed.bytes.extend_from_slice(BEGIN);
        self.link.send(ToMonitor::Ready);
        let last_word = loop {
            if let Break(last_word) = self.turn() {
                break last_word;
            }
        };
        if let Some(word) = last_word {
            self.link.send(word);
        }
        process::exit_now(0)
    }

    fn turn(&mut self) -> Turn {
        let (terminal, session) = self.wait();
        let now = Instant::now();
        self.obey(now)?;
        self.heed_signals(now)?;
        if terminal.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Break(Some(ToMonitor::HungUp));
        }
        self.keep_time(now);
        if terminal.contains(PollFlags::POLLIN) {
            self.read_terminal(now)?;
        }
        if !session.is_empty() {
            self.read_session(now);
        }
        self.write_session(now);
        self.write_terminal(now)?;
        self.settle(now)
    }

    /// Waits for whatever happens next, on the terminal and the session.
    fn wait(&self) -> (PollFlags, PollFlags) {
        let wanted = |input, output| {
            let input = if input { PollFlags::POLLIN } else { PollFlags::empty() };
            if output { input | PollFlags::POLLOUT } else { input }
        };
        let terminal = wanted(self.reads_terminal(Instant::now()), !self.printed.is_empty());
        let session = wanted(self.reads_session(), !self.typed.is_empty());
        let mut fds = [
            PollFd::new(self.link.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.tty.as_fd(), terminal),
            PollFd::new(self.master.as_fd(), session),
        ];
        // A session at its end says so for ever: it is not asked while the answer can wait.
        let asked = if session.is_empty() { 3 } else { 4 };
        let patience = self.next_deadline().map_or(PollTimeout::NONE, |when| {
            let left = when.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let _ = poll(fds.split_at_mut(asked).0, patience);
        let [_, _, terminal, session] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        (terminal, session)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let flow = match self.flow {
            Flow::Held(since) => Some(since + HOLD),
            Flow::Ending(since) => Some(since + LAST),
            Flow::Passing | Flow::Dropping => None,
        };
        let notice = self.notice.as_ref().map(|(_, until)| *until);
        let deaf = self.deaf.filter(|_| self.typed.is_full()).map(|since| since + DEAF);
        let deaf = deaf.filter(|when| *when > Instant::now());
        [flow, notice, deaf, self.resize].into_iter().flatten().min()
    }

    fn obey(&mut self, now: Instant) -> Turn {
        while let Some(word) = self.link.heard() {
            match word {
                ToRelay::End => return Break(None),
                ToRelay::Say(line) => {
                    self.notice = Some((line, now + NOTICE));
                    self.draw_notice();
                }
                ToRelay::Access(access) if access == self.access => {}
                ToRelay::Access(access) => {
                    self.access = access;
                    self.typed.clear();
                    self.swallow(now);
                }
            }
        }
        Continue(())
    }

    /// What was typed for one access is not meant for another.
    fn swallow(&mut self, now: Instant) {
        for _ in 0..CHUNKS {
            let Ok(length @ 1..) = unistd::read(self.tty, &mut self.chunk) else { return };
            let _ = self.keys.typed(self.chunk.get(..length).unwrap_or_default(), now);
        }
    }

    fn heed_signals(&mut self, now: Instant) -> Turn {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGHUP as u32 {
                return Break(Some(ToMonitor::HungUp));
            }
            self.resize.get_or_insert(now.max(self.resized + RESIZE));
        }
        Continue(())
    }

    /// Does what is due.
    fn keep_time(&mut self, now: Instant) {
        if self.resize.is_some_and(|when| when <= now) {
            (self.resize, self.resized) = (None, now);
            self.pass_size();
        }
        if self.notice.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.notice = None;
            let _ = self.master.have_redrawn();
        }
    }

    fn pass_size(&self) {
        if let Ok(size) = self.tty.size() {
            let _ = self.master.set_size(fit(size));
        }
    }

    fn draw_notice(&mut self) {
        if let (Flow::Passing, Some((line, _)), Ok(size)) = (self.flow, &self.notice, self.tty.size()) {
            self.printed.bytes.extend(notice::shown(line, fit(size)));
        }
    }

    /// Nobody types more than the session takes; but a session that takes nothing keeps nobody from leaving.
    fn reads_terminal(&self, now: Instant) -> bool {
        !self.typed.is_full() || self.deaf.is_some_and(|since| since + DEAF <= now)
    }

    fn read_terminal(&mut self, now: Instant) -> Turn {
        for _ in 0..CHUNKS {
            if !self.reads_terminal(now) {
                break;
            }
            match unistd::read(self.tty, &mut self.chunk) {
                Ok(length @ 1..) => self.type_chunk(length, now)?,
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // Gone, or somebody else's: whoever took the foreground from us reads it now.
                Ok(0) | Err(_) => return Break(Some(ToMonitor::HungUp)),
            }
        }
        Continue(())
    }

    fn type_chunk(&mut self, length: usize, now: Instant) -> Turn {
        let bytes = self.chunk.get(..length).unwrap_or_default();
        let leaves = match (self.access, self.keys.typed(bytes, now)) {
            (Access::ReadOnly, pressed) => pressed.is_some(),
            (Access::ReadWrite, Some(Pressed::Detach(times))) => times >= DETACHES,
            (Access::ReadWrite, Some(Pressed::Quit) | None) => false,
        };
        if leaves {
            return Break(Some(ToMonitor::Left));
        }
        match self.access {
            Access::ReadOnly => {}
            Access::ReadWrite if self.typed.is_full() => {}
            Access::ReadWrite => self.typed.bytes.extend_from_slice(bytes),
        }
        Continue(())
    }

    fn reads_session(&self) -> bool {
        let room = match self.flow {
            Flow::Passing | Flow::Ending(_) => !self.printed.is_full(),
            Flow::Dropping => true,
            Flow::Held(_) => false,
        };
        room && !self.read_out
    }

    /// Does nobody hold the session's terminal any more, though it may not be read out?
    fn session_is_over(&self) -> bool {
        let mut session = [PollFd::new(self.master.as_fd(), PollFlags::empty())];
        poll(&mut session, PollTimeout::ZERO).is_ok_and(|events| events > 0)
    }

    fn read_session(&mut self, now: Instant) {
        let before = self.printed.bytes.len();
        for _ in 0..CHUNKS {
            if !self.reads_session() {
                break;
            }
            match unistd::read(self.master, &mut self.chunk) {
                Ok(length @ 1..) => self.print_chunk(length),
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Ok(0) | Err(_) => (self.read_out, self.flow) = (true, Flow::Ending(now)),
            }
        }
        if self.printed.bytes.len() > before {
            self.draw_notice();
        }
    }

    /// What is left out goes through the filter too, which then knows what it is in the middle of.
    fn print_chunk(&mut self, length: usize) {
        let bytes = self.chunk.get(..length).unwrap_or_default();
        let before = self.printed.bytes.len();
        self.filter.pass(bytes, &mut self.printed.bytes);
        if self.flow == Flow::Dropping {
            self.printed.bytes.truncate(before);
        }
    }

    fn write_session(&mut self, now: Instant) {
        if self.typed.is_empty() {
            return;
        }
        match unistd::write(self.master, self.typed.waiting()) {
            Ok(taken) => {
                self.typed.take(taken);
                self.deaf = None;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => _ = self.deaf.get_or_insert(now),
            // At its end: there is nobody to type for.
            Err(_) => self.typed.clear(),
        }
    }

    fn write_terminal(&mut self, now: Instant) -> Turn {
        if self.printed.is_empty() {
            return Continue(());
        }
        match unistd::write(self.tty, self.printed.waiting()) {
            Ok(taken) => {
                self.printed.take(taken);
                if let Flow::Ending(since) = &mut self.flow {
                    *since = now;
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return Break(Some(ToMonitor::HungUp)),
        }
        Continue(())
    }

    /// What follows from how much the terminal has taken.
    fn settle(&mut self, now: Instant) -> Turn {
        match self.flow {
            Flow::Passing if self.printed.is_full() => self.flow = Flow::Held(now),
            Flow::Held(_) if !self.printed.is_full() => {
                self.flow = Flow::Passing;
                self.draw_notice();
            }
            // To wait costs nobody anything.
            Flow::Held(since) if since + HOLD <= now && self.session_is_over() => self.flow = Flow::Ending(since),
            Flow::Held(since) if since + HOLD <= now => {
                self.flow = Flow::Dropping;
                self.link.send(ToMonitor::Behind);
            }
            Flow::Dropping if self.printed.is_empty() => {
                self.flow = Flow::Passing;
                let _ = self.master.have_redrawn();
            }
            Flow::Ending(_) if self.read_out && self.printed.is_empty() => return Break(None),
            Flow::Ending(since) if since + LAST <= now => return Break(None),
            Flow::Passing | Flow::Held(_) | Flow::Dropping | Flow::Ending(_) => {}
        }
        Continue(())
    }
}

#[cfg(test)]
mod tests;
