//! Does somebody need a grant for the own session, and has he one? Judged before PAM, after it, and whenever store or
//! configuration change.
//!
//! Never: a rule that cannot be read taken for none.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd;
use serde::{Deserialize, Serialize};

use super::caller::{self, Caller, Fault};
use super::error::Error;
use super::{join, parties};
use crate::config::{self, Settings};
use crate::grants::{Grant, Moment, Standing, Store};
use crate::ident::{Access, GrantId, SessionName, Uid};
use crate::policy::{self, Need, Who};
use crate::sys::process::{self, Process};

/// A grant for the own session that is good now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Own {
    /// Its id.
    pub grant: GrantId,
    /// The one session that it opens; all, if none is named.
    pub session: Option<SessionName>,
    /// Its end, by the rules of now.
    pub until: Moment,
}

/// Which of the own sessions is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whichever a grant opens.
    Any,
    /// That one.
    Named(SessionName),
    /// One that the gate knows no name of: only a grant for all opens it.
    Unnamed,
}

/// What holds for somebody now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// He needs no grant.
    Free,
    /// He has one.
    Open(Own),
    /// He needs one.
    Shut,
}

/// Does he need one, by the configuration? `groups` is asked only where an entry wants it.
///
/// # Errors
/// [`Fault::Outage`].
pub(super) fn need(
    settings: &Settings,
    caller: &Caller,
    groups: impl FnOnce() -> Result<Vec<u32>, Fault>,
) -> Result<Need, Fault> {
    let entries = settings.grant_required.iter().map(caller::resolve).collect::<Result<Vec<Who>, _>>()?;
    let mut person = caller.alone();
    if entries.iter().any(|who| matches!(who, Who::Group(_))) {
        person.gids = groups()?;
    }
    Ok(policy::needs_grant(&entries, &person))
}

/// The grant by which the caller may be in his own session; `None` where he needs none.
///
/// # Errors
/// [`Error::NeedsGrant`], [`Error::AwaitsApproval`]: he needs one and has none.
pub(super) fn admit(
    settings: &Settings,
    caller: &Caller,
    groups: impl FnOnce() -> Result<Vec<u32>, Fault>,
    wanted: &Wanted,
) -> Result<Option<Own>, Error> {
    if need(settings, caller, groups)? == Need::Nothing {
        return Ok(None);
    }
    let (grants, now) = (Store::open()?.of_oneself(caller.uid)?, parties::now()?);
    if let Some(own) = best(&grants, wanted, &now)? {
        return Ok(Some(own));
    }
    let waits = grants.iter().filter(|grant| matches!(grant.standing(&now), Standing::Pending(_)));
    match waits.into_iter().find(|grant| wanted.is_opened_by(grant)) {
        Some(grant) => Err(Error::AwaitsApproval(caller.name.clone(), grant.id.clone())),
        None => Err(Error::NeedsGrant(caller.name.clone())),
    }
}

/// The same, for whoever watches over somebody who is in, or was: with everything as it is now.
///
/// # Errors
/// What is not known now: an outage, a configuration that is wrong.
pub(super) fn judge(caller: &Caller, wanted: &Wanted) -> Result<Verdict, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    match admit(&settings, caller, || caller.groups(), wanted) {
        Ok(None) => Ok(Verdict::Free),
        Ok(Some(own)) => Ok(Verdict::Open(own)),
        Err(Error::NeedsGrant(_) | Error::AwaitsApproval(..)) => Ok(Verdict::Shut),
        Err(error) => Err(error),
    }
}

/// Of those that are good now the one for all sessions, where any will do; then the one that lasts longest.
fn best(grants: &[Grant], wanted: &Wanted, now: &Moment) -> Result<Option<Own>, Error> {
    let mut found: Vec<Own> = Vec::new();
    for grant in grants.iter().filter(|grant| is_open(grant, now) && wanted.is_opened_by(grant)) {
        match join::limits(grant) {
            Ok((terms, until)) if terms.access == Access::ReadWrite && until.left(now) > 0 => {
                found.push(Own { grant: grant.id.clone(), session: grant.session.clone(), until });
            }
            // By the rules of now it gives nothing.
            Ok(_) | Err(Error::Sharing(_) | Error::NotNow(..)) => {}
            Err(error) => return Err(error),
        }
    }
    let for_all = |own: &Own| *wanted == Wanted::Any && own.session.is_none();
    Ok(found.into_iter().max_by_key(|own| (for_all(own), own.until.left(now))))
}

fn is_open(grant: &Grant, now: &Moment) -> bool {
    matches!(grant.standing(now), Standing::Open(_))
}

/// What the store alone says of the grants that somebody has for the own session: some file reads, and no lookup that could
/// take its time.
pub(super) struct InStore {
    /// That one is good.
    pub this: bool,
    /// Another one is that opens the same.
    pub another: bool,
}

impl InStore {
    /// Looked up now; what cannot be read is not good.
    pub(super) fn look(person: Uid, id: &GrantId, wanted: &Wanted) -> Self {
        let read = || -> Result<_, Error> { Ok((Store::open()?.of_oneself(person)?, parties::now()?)) };
        let Ok((grants, now)) = read() else { return Self { this: false, another: false } };
        let mut open = grants.iter().filter(|grant| is_open(grant, &now)).peekable();
        let this = open.clone().any(|grant| grant.id == *id);
        Self { this, another: open.any(|grant| grant.id != *id && wanted.is_opened_by(grant)) }
    }
}

impl Wanted {
    /// What was named, or any.
    pub(super) fn of(session: Option<&SessionName>) -> Self {
        session.cloned().map_or(Self::Any, Self::Named)
    }

    fn is_opened_by(&self, grant: &Grant) -> bool {
        match self {
            Self::Any => true,
            Self::Named(session) => grant.covers(session),
            Self::Unnamed => grant.session.is_none(),
        }
    }
}

/// [`judge`], done by a process of its own: who has an end to keep waits for no name service.
pub(super) struct Judging {
    child: Process,
    answer: File,
}

impl Judging {
    /// Begins.
    ///
    /// # Errors
    /// pipe(2), fork(2).
    pub(super) fn start(caller: &Caller, wanted: &Wanted) -> Result<Self, Error> {
        let pipe = unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK);
        let (reader, writer) = pipe.map_err(|errno| Error::Session(errno.into()))?;
        let asking = unistd::getpid();
        let child = process::fork(&[reader.as_fd()], || {
            if process::die_with(asking).is_err() {
                return 1;
            }
            let said = judge(caller, wanted).ok().and_then(|verdict| serde_json::to_vec(&verdict).ok());
            u8::from(said.is_none_or(|bytes| File::from(writer).write_all(&bytes).is_err()))
        });
        Ok(Self { child: child.map_err(Error::Session)?, answer: reader.into() })
    }

    /// Readable when it is done.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }

    /// Its answer, in one piece; none where it could not say.
    pub(super) fn answer(mut self) -> Option<Verdict> {
        let mut bytes = [0; 2048];
        let length = self.answer.read(&mut bytes).ok()?;
        serde_json::from_slice(bytes.get(..length)?).ok()
    }
}

impl Drop for Judging {
    fn drop(&mut self) {
        self.child.signal(Signal::SIGKILL);
        process::reap(self.child.pid);
    }
}

/// A grant for the own session is never for seeing only.
///
/// # Errors
/// [`Error::Whole`].
pub(super) fn whole(grant: &Grant, access: Access) -> Result<(), Error> {
    match access {
        Access::ReadOnly if grant.is_own() => Err(Error::Whole(grant.id.clone())),
        Access::ReadOnly | Access::ReadWrite => Ok(()),
    }
}

/// May somebody ask for the own session at all?
///
/// # Errors
/// [`Error::NeedsNoGrant`].
pub(super) fn may_ask(settings: &Settings, caller: &Caller, groups: &[u32]) -> Result<(), Error> {
    match need(settings, caller, || Ok(groups.to_vec()))? {
        Need::Nothing => Err(Error::NeedsNoGrant(caller.name.clone())),
        Need::Grant(_) => Ok(()),
    }
}

/// Nobody joins himself: what ends an attach would not end that.
///
/// # Errors
/// [`Error::Own`].
pub(super) fn not_to_join(grant: &Grant) -> Result<(), Error> {
    if grant.is_own() { Err(Error::Own(grant.id.clone())) } else { Ok(()) }
}
