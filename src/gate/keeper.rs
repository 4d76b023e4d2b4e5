//! What does the keeper of somebody's grace do? It waits for the end of the grant and then for the end of the grace, looks again
//! whenever store or configuration change, and at the end ends everything that was started inside: first the tmux server, by
//! its own command, as the person; then whatever still holds the group that opens the way to the socket, which only the gate
//! hands out. So neither a server that hangs, nor one that was moved to another socket, nor a process that was left behind to let
//! the person in again outlives the grace.
//!
//! Never: a tmux command as root; a signal to what does not hold the group.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::caller::Caller;
use super::clocks::{self, Clocks, Concern};
use super::entrance::Ready;
use super::error::Error;
use super::own::{Judging, Verdict, Wanted};
use super::{grace, parties};
use crate::audit::{self, Event, Subject};
use crate::config::{self, Afterwards, Settings};
use crate::grants::{Moment, Store};
use crate::sys::files::Watch;
use crate::sys::holders;
use crate::sys::process::Process;
use crate::tmux::{self, Home, Runtime, Socket};

/// How often it asks again what could not be said, and looks whether there is anybody yet; nobody's end depends on it.
const TICK: u16 = 2000;
/// How long programs have that are told that their terminal is gone.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long killing may take: what goes on making processes is killed as long.
const LONGEST: Duration = Duration::from_secs(5);

/// The one process.
pub(super) struct Keeper<'a> {
    caller: &'a Caller,
    gate_group: u32,
    settings: Settings,
    home: Home,
    changes: Watch,
    judging: Option<Judging>,
    /// The end of the grant, as far as it is known; past, once it is over.
    until: Option<Moment>,
    task: Task,
    /// It was asked, and could not be said.
    unheard: bool,
    /// Somebody inside: until his end there is no need to look for another.
    inside: Option<Process>,
}

/// What it has to do.
enum Task {
    /// Nobody could say yet.
    Unknown,
    /// To end what is left, then.
    EndAt(Clocks),
    /// Nothing, as things are.
    Nothing,
}

/// What there is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Changes,
    Judging,
    Clock,
    Inside,
}

impl<'a> Keeper<'a> {
    /// To be made in a process of its own.
    ///
    /// # Errors
    /// It could not do its work.
    pub(super) fn new(ready: &'a Ready<'a>) -> Result<Self, Error> {
        let (caller, gate_group) = (&ready.visit.caller, ready.gate_group);
        // First the watch: what changes after it wakes us.
        let changes = clocks::changes()?;
        Ok(Self {
            caller,
            gate_group,
            settings: config::load(Path::new(config::PATH))?,
            home: Runtime::check(gate_group)?.make_home(caller.uid)?,
            changes,
            judging: Some(Judging::start(caller, &Wanted::Any)?),
            until: None,
            task: Task::Unknown,
            unheard: false,
            inside: None,
        })
    }

    /// Until there is nothing left to end, and nobody in.
    pub(super) fn run(mut self) -> u8 {
        loop {
            let happened = self.wait();
            if happened.contains(&Source::Changes) {
                self.look_again();
            }
            if happened.contains(&Source::Judging) {
                self.hear();
            }
            if happened.contains(&Source::Clock) {
                self.finish();
            }
            if happened.contains(&Source::Inside) {
                self.inside = None;
            }
            if happened.is_empty() && self.unheard && self.judging.is_none() {
                self.ask();
            }
            // Looked at again when nobody can come in any more: the lock is given back by the end of this process.
            if self.is_idle()
                && let Some(_deserted) = grace::is_deserted(self.caller.uid)
                && self.is_idle()
            {
                return 0;
            }
        }
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>)> {
        let mut sources = vec![(Source::Changes, self.changes.as_fd())];
        sources.extend(self.judging.iter().map(|judging| (Source::Judging, judging.fd())));
        sources.extend(self.inside.iter().map(|process| (Source::Inside, process.as_fd())));
        if let Task::EndAt(clocks) = &self.task {
            sources.extend(clocks.fds().map(|fd| (Source::Clock, fd)));
        }
        sources
    }

    fn wait(&self) -> Vec<Source> {
        let sources = self.sources();
        let mut fds: Vec<_> = sources.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        let asleep = self.inside.is_some() && !self.unheard && !matches!(self.task, Task::Nothing);
        let limit = if asleep { PollTimeout::NONE } else { PollTimeout::from(TICK) };
        if poll(&mut fds, limit).is_err() {
            return Vec::new();
        }
        let readable = fds.iter().map(|fd| fd.any().unwrap_or(true));
        sources.iter().zip(readable).filter(|(_, readable)| *readable).map(|((source, _), _)| *source).collect()
    }

    /// Is there nothing to do, or nobody to do it to? The socket does not tell: tmux leaves it behind, and it can be moved away.
    fn is_idle(&mut self) -> bool {
        if matches!(self.task, Task::Nothing) {
            return true;
        }
        if self.inside.is_none() {
            // What cannot be seen is there.
            let Ok(found) = holders::first(self.caller.uid, self.home.group) else { return false };
            self.inside = found;
        }
        self.inside.is_none()
    }

    fn look_again(&mut self) {
        if clocks::concern(&self.changes, |name| Store::is_own(name, self.caller.uid)) == Concern::Nothing {
            return;
        }
        // One that is wrong says nothing: what was known last holds.
        if let Ok(settings) = config::load(Path::new(config::PATH)) {
            self.settings = settings;
        }
        self.ask();
    }

    fn ask(&mut self) {
        self.judging = Judging::start(self.caller, &Wanted::Any).ok();
        self.unheard = self.judging.is_none();
    }

    fn hear(&mut self) {
        let (verdict, now) = (self.judging.take().and_then(Judging::answer), parties::now());
        let (Some(verdict), Ok(now)) = (verdict, now) else {
            // An outage puts nothing off.
            self.unheard = true;
            return;
        };
        let is_over = |until: &Moment| until.left(&now) == 0;
        let until = match verdict {
            Verdict::Free => return self.task = Task::Nothing,
            Verdict::Open(own) => own.until,
            Verdict::Shut => self.until.take().filter(is_over).unwrap_or(now),
        };
        self.task = match self.settings.afterwards {
            Afterwards::Stays => Task::Nothing,
            Afterwards::Ends(grace) => Clocks::until(&until.later(grace)).map_or(Task::Unknown, Task::EndAt),
        };
        self.until = Some(until);
    }

    /// The grace is over. What the rules say of a change a moment ago is waited for, as long as a lookup may take.
    fn finish(&mut self) {
        if let Some(judging) = &self.judging {
            let _ = poll(&mut [PollFd::new(judging.fd(), PollFlags::POLLIN)], PollTimeout::from(TICK));
            self.hear();
            let (Some(until), Ok(now)) = (&self.until, parties::now()) else { return };
            if until.left(&now) > 0 || matches!(self.task, Task::Nothing) {
                return;
            }
        }
        self.task = Task::Nothing;
        if self.home.socket().is_ok_and(|socket| socket == Socket::Present) {
            let command = tmux::kill_server(&tmux::socket(self.caller.uid));
            let _ = tmux::as_owner(&self.settings.tmux, &self.caller.asking(self.gate_group, &self.home), &command);
        }
        let count = || holders::count(self.caller.uid, self.home.group).unwrap_or(0);
        wait_until(FAREWELL, || count() == 0);
        let mut killed = 0;
        wait_until(LONGEST, || {
            let now = holders::kill(self.caller.uid, self.home.group).unwrap_or(0);
            killed = killed.max(now);
            now == 0
        });
        let subject = Subject { user: Some(self.caller.name.clone()), uid: self.caller.uid, tty: None, ssh_key: None };
        let _ = audit::record(&subject, &Event::Ended { killed, left: count() });
    }
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !done() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
}
