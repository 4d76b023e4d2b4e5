//! A guest's visit: the owner's tmux client on an inner terminal, the relay between it and the guest, and the monitor that
//! watches both, the clocks, the grant and the rules. The end asks nobody.
//!
//! MUST: nobody is in whom the store, the rules and both clocks do not let in now.
//! Never: a byte of either terminal; waiting for the owner's server.

use std::os::fd::AsFd;

use nix::unistd;

use super::entrance::{Judged, Ready};
use super::error::Error;
use super::join::{self, Going};
use super::limit::{Limit, News, Over};
use super::tell::Teller;
use super::{caller, parties, surroundings, who};
use crate::grants::presence::{Guest, Presence};
use crate::grants::{Grant, How};
use crate::ident::{Access, Visible};
use crate::relay::{self, Gone, MonitorEnd, Place, RelayEnd, ToMonitor, ToRelay};
use crate::session::{Escort, Happening, Upward};
use crate::sys::entry::{self, Inheritance};
use crate::sys::ids::{self, Identity};
use crate::sys::process;
use crate::sys::pty::{Master, Slave};
use crate::tmux;
use crate::tmux::guests;
use crate::tmux::visit::{self, Client, Scope};

/// Everything that a visit is made of.
pub(super) struct Visiting<'a> {
    pub ready: &'a Ready<'a>,
    pub judged: &'a Judged,
    pub link: &'a Upward,
    pub going: &'a Going,
    pub inheritance: Inheritance,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The guest left.
    Left,
    /// The session is there no more.
    Ended,
    /// The session is there still: its owner detached the guest, or the guest went to one that was not granted.
    Detached,
    /// A process of the visit was killed.
    Cut,
    /// The guest's terminal is gone, or a shutdown.
    HungUp,
    /// The time is over.
    Expired,
    /// Somebody took the grant away, or gave another one in its place.
    Taken(How),
    /// The rules became stricter.
    Forbidden,
}

impl End {
    /// For the record.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Ended => "ended",
            Self::Detached => "detached",
            Self::Cut => "cut",
            Self::HungUp => "hung-up",
            Self::Expired => "expired",
            Self::Taken(How::Replaced) => "replaced",
            Self::Taken(_) => "revoked",
            Self::Forbidden => "forbidden",
        }
    }

    /// A line for the guest, if it was not he who ended it.
    pub(super) fn farewell(self) -> Option<&'static str> {
        match self {
            Self::Left | Self::HungUp => None,
            Self::Ended => Some("the session has ended"),
            Self::Detached => Some("you were detached, by the owner or for a session that was not granted"),
            Self::Cut => Some("a process of the gate's was killed; join again"),
            Self::Expired => Some("the grant's time is over"),
            Self::Taken(How::Replaced) => Some("the grant was changed; join again by the new one (tmux-gate list)"),
            Self::Taken(_) => Some("the grant was taken away"),
            Self::Forbidden => Some("the rules do not let you in any more"),
        }
    }

    /// For the owner, after the guest's name.
    fn of_guest(self) -> &'static str {
        match self {
            Self::Left | Self::Ended | Self::Detached | Self::HungUp | Self::Cut => "has left",
            Self::Expired => "is out: the time is over",
            Self::Taken(_) => "is out: the grant was taken away",
            Self::Forbidden => "is out: the rules do not let him in any more",
        }
    }

    /// The exit status: a guest who was cut off was refused.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Left | Self::Ended | Self::Detached => 0,
            Self::HungUp | Self::Cut => 1,
            Self::Expired | Self::Taken(_) | Self::Forbidden => 77,
        }
    }
}

/// Lets the guest in, and waits until it is over. The end, and the grant that held last.
///
/// # Errors
/// Nobody was in: a system call failed, or there is no sandbox.
pub(super) fn live(visiting: &Visiting<'_>) -> Result<(End, Grant), Error> {
    let limit = Limit::on(visiting.going.grant.clone())?;
    let (master, slave) = relay::open(&visiting.ready.tty).map_err(Error::Session)?;
    let inner = master.name().map_err(Error::Session)?;
    let presence = visiting.list(&limit, &inner)?;
    let (monitor_end, relay_end) = relay::pair().map_err(Error::Session)?;
    let escort = visiting.start(&inner, limit.access, (master, slave), relay_end)?;
    let mut visit = Visit { visiting, limit, inner, relay: monitor_end, presence, hears: true };
    loop {
        let mut watched = visit.limit.watched().to_vec();
        watched.extend(visit.hears.then(|| visit.relay.as_fd()));
        let end = match escort.wait(&watched) {
            Happening::Gone => match visit.heard()? {
                None if escort.was_killed() => Some(End::Cut),
                said => Some(said.unwrap_or(End::Detached)),
            },
            Happening::Killed => Some(visit.heard()?.unwrap_or(End::Cut)),
            Happening::Asked => Some(End::HungUp),
            Happening::Readable(4) => visit.heard()?,
            Happening::Readable(place) => visit.look(place),
        };
        if let Some(end) = end {
            // The relay stops by itself if it can; with the escort's drop it is killed, and the client with it.
            let _ = visit.relay.send(&ToRelay::End);
            drop(escort);
            let end = visit.looked_into(end);
            let line = format!("{} {}", visit.limit.grant.guest.name, end.of_guest());
            visiting.teller().gone(&visiting.going.owner, &visit::forget(&visiting.client(&visit.inner)), &line);
            return Ok((end, visit.limit.grant));
        }
    }
}

/// A guest who is inside.
struct Visit<'a> {
    visiting: &'a Visiting<'a>,
    limit: Limit,
    inner: String,
    relay: MonitorEnd,
    presence: Presence,
    /// The relay may have more to say.
    hears: bool,
}

impl Visit<'_> {
    /// What the relay has to say.
    fn heard(&mut self) -> Result<Option<End>, Error> {
        // A relay that talks on and on keeps nobody from looking at the clocks.
        for _ in 0..8 {
            if !self.hears {
                break;
            }
            match self.relay.heard() {
                Ok(Some(ToMonitor::Ready)) => {
                    // From now on the screen is the session's, and what is said to the guest comes after it.
                    self.visiting.link.farewell("");
                    self.tell(&self.arrival());
                }
                Ok(Some(ToMonitor::Behind)) => {}
                Ok(Some(ToMonitor::Left)) => return Ok(Some(End::Left)),
                Ok(Some(ToMonitor::HungUp)) => return Ok(Some(End::HungUp)),
                Ok(Some(ToMonitor::Refused(why))) => return Err(Error::Unsandboxed(why)),
                Ok(None) => return Ok(None),
                // It has ended, or ends: how is seen then.
                Err(Gone) => self.hears = false,
            }
        }
        Ok(None)
    }

    /// Something happened to the clocks, the grant or the rules.
    fn look(&mut self, place: usize) -> Option<End> {
        let access = self.limit.access;
        let said = match self.limit.look(place) {
            News::Nothing => Ok(()),
            News::Warning(left) => self.say(&format!("{} is over in {}", self.limit.grant.id, who::short(left))),
            News::Changed => self.change(access),
            News::Over(Over::Grant(How::Expired)) => return Some(End::Expired),
            News::Over(Over::Grant(how)) => return Some(End::Taken(how)),
            News::Over(Over::Forbidden) => return Some(End::Forbidden),
        };
        // A relay that does not hear may relay still.
        said.err().map(|Gone| End::Cut)
    }

    /// The client has ended: because the session has?
    fn looked_into(&self, end: End) -> End {
        let going = self.visiting.going;
        let question = tmux::list_sessions(&tmux::socket(going.owner.uid), tmux::SESSIONS);
        let owner = going.owner.asking(self.visiting.ready.gate_group, &going.home);
        let is_there = || {
            let answer = tmux::as_owner(&self.visiting.judged.settings.tmux, &owner, &question);
            // A server that hangs is there.
            answer.map_or(true, |answer| tmux::has_session(&answer, going.session.0))
        };
        if end == End::Detached && !is_there() { End::Ended } else { end }
    }

    fn say(&self, line: &str) -> Result<(), Gone> {
        self.relay.send(&ToRelay::Say(Visible::line(format!("tmux-gate: {line}").as_bytes())))
    }

    /// The grant gives something else now. Less is so at once; more once the guest is listed with it.
    fn change(&mut self, before: Access) -> Result<(), Gone> {
        let access = self.limit.access;
        if access < before {
            self.relay.send(&ToRelay::Access(access))?;
        }
        self.presence = self.visiting.list(&self.limit, &self.inner).map_err(|_| Gone)?;
        if access != before {
            self.visiting.set_access(&self.inner, access);
            self.relay.send(&ToRelay::Access(access))?;
        }
        self.tell(&self.arrival());
        self.say(&format!("{}: {access}, {} left", self.limit.grant.id, who::short(self.limit.left())))
    }

    fn arrival(&self) -> String {
        let Limit { grant, access, .. } = &self.limit;
        let (guest, session) = (&grant.guest.name, &self.visiting.going.session.1);
        format!("{guest} is in {session}, {access}, {} left ({})", who::short(self.limit.left()), grant.id)
    }

    /// The owner is told where he works.
    fn tell(&self, line: &str) {
        self.visiting.teller().line(&self.visiting.going.owner, line);
    }
}

impl<'a> Visiting<'a> {
    fn teller(&self) -> Teller<'_> {
        let ready = self.ready;
        Teller { settings: &self.judged.settings, gate_group: ready.gate_group, runtime: &ready.runtime }
    }

    fn list(&self, limit: &Limit, inner: &str) -> Result<Presence, Error> {
        let (grant, subject) = (&limit.grant, &self.ready.visit.subject);
        let guest = Guest {
            grant: grant.id.clone(),
            guest: grant.guest.clone(),
            owner: grant.owner.clone(),
            session: self.going.session.1.clone(),
            access: limit.access,
            since: parties::now()?,
            tty: subject.tty.clone().unwrap_or_default(),
            inner: inner.to_owned(),
        };
        Presence::enter(&guest).map_err(Error::Session)
    }

    fn client<'c>(&self, inner: &'c str) -> Client<'c> {
        let scope = if self.going.grant.session.is_some() { Scope::ThatSession } else { Scope::EverySession };
        Client { session: self.going.session.0, tty: inner, scope }
    }

    /// tmux is asked to see it the same way as the relay, which does not wait for it.
    fn set_access(&self, inner: &str, access: Access) {
        let command = visit::set_access(&tmux::socket(self.going.owner.uid), &self.client(inner), access);
        self.teller().command(&self.going.owner, command);
    }

    /// Client first, relay second: whatever dies, the other is killed.
    fn start(
        &self,
        inner: &str,
        access: Access,
        terminal: (Master, Slave),
        relay_end: RelayEnd,
    ) -> Result<Escort<'a>, Error> {
        let (master, slave) = terminal;
        let owner = self.going.owner.asking(self.ready.gate_group, &self.going.home);
        let preparing = visit::receive(&tmux::socket(self.going.owner.uid), &self.client(inner));
        let answer = tmux::as_owner(&self.judged.settings.tmux, &owner, &preparing);
        let prefixes = guests::prefix_bytes(&answer.map_err(|error| join::of_server(error, &self.going.owner.name))?);
        let identity = relay_identity()?;

        let own = unistd::getpid();
        let mut escort = Escort::new(self.link).map_err(Error::Session)?;
        escort.add(|| self.become_client(&slave, own, access)).map_err(Error::Session)?;
        drop(slave);
        escort
            .add(|| {
                relay::live(Place {
                    tty: &self.ready.tty,
                    master: &master,
                    link: &relay_end,
                    monitor: own,
                    identity: &identity,
                    access,
                    prefixes: &prefixes,
                    sandbox: surroundings::sandbox(&self.judged.settings),
                })
            })
            .map_err(Error::Session)?;
        escort.announce().map_err(Error::Session)?;
        Ok(escort)
    }

    /// The owner's client, wholly as the owner, with an environment made from nothing.
    fn become_client(&self, slave: &Slave, monitor: unistd::Pid, access: Access) -> u8 {
        let (owner, kept) = (&self.going.owner, &self.ready.visit.environment);
        let prepared = || -> Option<()> {
            slave.take().ok()?;
            self.inheritance.give().ok()?;
            entry::leave_nothing_of_ours();
            ids::become_another_for_good(&owner.asking(self.ready.gate_group, &self.going.home)).ok()?;
            process::die_with(monitor).ok()
        };
        if prepared().is_some() {
            let socket = tmux::socket(owner.uid);
            let arguments = visit::attach(&socket, self.going.session.0, access);
            let _ = process::exec(&self.judged.settings.tmux.to_string_lossy(), &arguments, &kept.for_guest());
        }
        69
    }
}

/// The system user that relays are.
fn relay_identity() -> Result<Identity, Error> {
    let name = crate::ident::Name::parse(b"tmux-gate").map_err(|_| Error::NoGroup)?;
    let found = caller::look_up_name(&name).map_err(|_| Error::NoGroup)?;
    Ok(Identity { uid: found.uid, gid: found.gid, effective_gid: found.gid, groups: Vec::new() })
}
