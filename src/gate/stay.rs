//! How long may somebody stay in his own session who needs a grant for it? The monitor asks this of both clocks, the store and
//! the rules, and warns him in time.
//!
//! MUST: the end waits for nothing, neither a name service nor a tmux server.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::caller::Caller;
use super::clocks::{self, Clocks, Concern};
use super::entrance::{Judged, Ready};
use super::error::Error;
use super::grace::{self, Here};
use super::own::{InStore, Judging, Own, Verdict, Wanted};
use super::parties;
use crate::config::Afterwards;
use crate::grants::Store;
use crate::session::{self, Limit};
use crate::sys::clock::Alarm;
use crate::sys::files::Watch;
use crate::sys::ids::Identity;
use crate::sys::process::{self, Process};
use crate::tmux::{self, Home};

/// How long before the end he is told, and what.
const WARNINGS: [(u64, &str); 2] = [
    (
        300,
        "tmux-gate: 5 minutes are left of the grant for this session; to stay, ask for a new one (tmux-gate request)",
    ),
    (60, "tmux-gate: 1 minute is left of the grant for this session"),
];
/// How long it may take to find out that another grant is good when the one by which he is in is not.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why he was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The time is over.
    Expired,
    /// Somebody took the grant away.
    Taken,
    /// By the rules of now it gives nothing.
    Forbidden,
}

/// Somebody who is in, or about to be.
pub(super) struct Stay<'a> {
    ready: &'a Ready<'a>,
    judged: &'a Judged,
    asking: Identity,
    /// What another grant has to open for him to stay.
    wanted: Wanted,
    /// `None`: the rules of now want none of him.
    own: Option<Own>,
    clocks: Option<Clocks>,
    changes: Watch,
    judging: Option<Judging>,
    /// The grant is not good any more, and perhaps another one is.
    patience: Option<Alarm>,
    warnings: Vec<(Alarm, &'static str)>,
    told: Vec<Process>,
    over: Option<Over>,
    _here: Here,
}

/// What there is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Clock,
    Changes,
    Judging,
    Patience,
    Warning,
}

impl<'a> Stay<'a> {
    /// Begins to watch, and sees to it that his server is ended after the grace, whatever becomes of us.
    ///
    /// # Errors
    /// It cannot be seen to: nobody may be let in.
    pub(super) fn begin(
        (ready, judged): (&'a Ready<'a>, &'a Judged),
        home: &Home,
        own: Own,
        wanted: Wanted,
    ) -> Result<Self, Error> {
        let here = grace::begin(ready, judged)?;
        let mut stay = Self {
            ready,
            judged,
            asking: ready.visit.caller.asking(ready.gate_group, home),
            wanted,
            own: None,
            clocks: None,
            changes: clocks::changes()?,
            judging: None,
            patience: None,
            warnings: Vec::new(),
            told: Vec::new(),
            over: None,
            _here: here,
        };
        // What changed before the watch began is seen here, what changes after it wakes us.
        if !InStore::look(ready.visit.caller.uid, &own.grant, &Wanted::Any).this {
            return Err(Error::NeedsGrant(ready.visit.caller.name.clone()));
        }
        stay.goes_by(own)?;
        Ok(stay)
    }

    /// The grant by which he is in, or was.
    pub(super) fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// Why he was cut off, if he was.
    pub(super) fn over(&self) -> Option<Over> {
        self.over
    }

    fn goes_by(&mut self, own: Own) -> Result<(), Error> {
        if self.own.as_ref() == Some(&own) {
            return Ok(());
        }
        self.clocks = Some(Clocks::until(&own.until)?);
        let left = Duration::from_millis(own.until.left(&parties::now()?));
        self.warnings.clear();
        for (before, text) in WARNINGS {
            if let Some(until) = left.checked_sub(Duration::from_secs(before)) {
                self.warnings.push((Alarm::after(until).map_err(Error::Session)?, text));
            }
        }
        self.own = Some(own);
        Ok(())
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>)> {
        let mut sources = vec![(Source::Changes, self.changes.as_fd())];
        sources.extend(self.clocks.iter().flat_map(Clocks::fds).map(|fd| (Source::Clock, fd)));
        sources.extend(self.patience.iter().map(|alarm| (Source::Patience, alarm.as_fd())));
        sources.extend(self.judging.iter().map(|judging| (Source::Judging, judging.fd())));
        sources.extend(self.warnings.first().map(|(alarm, _)| (Source::Warning, alarm.as_fd())));
        sources
    }

    /// Store or configuration changed. What the store says holds at once; what the rules say is being found out.
    fn look_again(&mut self) {
        let caller = &self.ready.visit.caller;
        if clocks::concern(&self.changes, |name| Store::is_own(name, caller.uid)) == Concern::Nothing {
            return;
        }
        if let Some(own) = &self.own {
            let found = InStore::look(caller.uid, &own.grant, &self.wanted);
            if !found.this && !found.another {
                self.over = Some(Over::Taken);
                return;
            }
            if !found.this && self.patience.is_none() {
                self.patience = Alarm::after(PATIENCE).ok();
            }
        }
        self.judging = Judging::start(caller, &self.wanted).ok();
        if self.judging.is_none() && self.own.is_some() {
            // Nobody can say that he may stay.
            self.over = Some(Over::Taken);
        }
    }

    fn obey(&mut self, verdict: Option<Verdict>) {
        let is_waited_for = self.patience.take().is_some();
        match verdict {
            Some(Verdict::Free) => {
                self.own = None;
                self.clocks = None;
                self.warnings.clear();
            }
            Some(Verdict::Open(own)) => self.over = self.goes_by(own).err().map(|_| Over::Taken),
            Some(Verdict::Shut) => self.over = Some(if is_waited_for { Over::Taken } else { Over::Forbidden }),
            // An outage takes nobody's grant away, and gives nobody one.
            None if is_waited_for => self.over = Some(Over::Taken),
            None => {}
        }
    }

    fn warn(&mut self) {
        let (_, text) = self.warnings.remove(0);
        let Some(tty) = &self.ready.visit.subject.tty else { return };
        let message = tmux::show_message(&tmux::socket(self.ready.visit.caller.uid), tty, text);
        self.told.extend(tmux::start_as_owner(&self.judged.settings.tmux, &self.asking, &message).ok());
    }
}

impl Limit for Stay<'_> {
    fn watched(&self) -> Vec<BorrowedFd<'_>> {
        self.sources().into_iter().map(|(_, fd)| fd).collect()
    }

    fn judge(&mut self, places: &[usize]) -> session::Verdict {
        let happened: Vec<Source> = {
            let sources = self.sources();
            places.iter().filter_map(|place| sources.get(*place).map(|(source, _)| *source)).collect()
        };
        let has = |source| happened.contains(&source);
        if has(Source::Clock) {
            self.over = Some(Over::Expired);
        } else if has(Source::Patience) {
            self.over = Some(Over::Taken);
        }
        if self.over.is_none() && has(Source::Changes) {
            self.look_again();
        } else if self.over.is_none() && has(Source::Judging) {
            let answer = self.judging.take().and_then(Judging::answer);
            self.obey(answer);
        }
        if self.over.is_none() && has(Source::Warning) && !self.warnings.is_empty() {
            self.warn();
        }
        self.told.retain(|one| process::change_of(one.pid).is_none());
        if self.over.is_some() { session::Verdict::IsOver } else { session::Verdict::GoesOn }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        for one in &self.told {
            one.signal(Signal::SIGKILL);
            process::reap(one.pid);
        }
    }
}

impl Over {
    /// For the record.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Taken => "revoked",
            Self::Forbidden => "forbidden",
        }
    }

    /// What he is told: why, and what is to be done.
    pub(super) fn line(self, caller: &Caller, afterwards: Afterwards) -> String {
        let why = match self {
            Self::Expired => "the time of the grant for your own session is over",
            Self::Taken => "the grant for your own session was taken away",
            Self::Forbidden => "the rules do not let you into your own session any more",
        };
        let then = match afterwards {
            Afterwards::Ends(grace) => {
                format!("what runs there ends in {} without a new one", humantime::format_duration(grace))
            }
            Afterwards::Stays => "what runs there goes on, locked".to_owned(),
        };
        format!("tmux-gate: {why}; {then}: tmux-gate request {} --for 30m --reason TEXT\n", caller.name)
    }
}
