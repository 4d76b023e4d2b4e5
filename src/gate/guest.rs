//! A guest's visit: the owner's tmux client on an inner terminal, the relay between it and the guest, and the monitor that
//! watches both, the clocks, the grant and the rules. The end asks nobody.
//!
//! MUST: nobody is in whom the store, the rules and both clocks do not let in now.
//! Never: a byte of either terminal; waiting for the owner's server.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::unistd;

use super::caller;
use super::entrance::{Judged, Ready};
use super::error::Error;
use super::join::{self, Going};
use super::parties;
use crate::config;
use crate::grants::presence::{Guest, Presence};
use crate::grants::{Grant, How, Moment, Standing, Store};
use crate::ident::Access;
use crate::relay::{self, MonitorEnd, Place, RelayEnd, Sandbox, ToMonitor, ToRelay};
use crate::session::{Escort, Happening, Upward};
use crate::sys::clock::Alarm;
use crate::sys::entry::{self, Inheritance};
use crate::sys::files::Watch;
use crate::sys::ids::{self, Identity};
use crate::sys::process;
use crate::sys::pty::{Master, Slave};
use crate::tmux;

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
    /// The session, its server or the client ended, or the owner detached the guest.
    Closed,
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
            Self::Closed => "closed",
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
            Self::Closed => Some("the session has ended, or its owner has detached you"),
            Self::Expired => Some("the grant's time is over"),
            Self::Taken(How::Replaced) => Some("the grant was changed; join again by the new one (tmux-gate list)"),
            Self::Taken(_) => Some("the grant was taken away"),
            Self::Forbidden => Some("the rules do not let you in any more"),
        }
    }

    /// The exit status: a guest who was cut off was refused.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Left | Self::Closed => 0,
            Self::HungUp => 1,
            Self::Expired | Self::Taken(_) | Self::Forbidden => 77,
        }
    }
}

/// Lets the guest in, and waits until it is over.
///
/// # Errors
/// Nobody was in: a system call failed, or there is no sandbox.
pub(super) fn live(visiting: &Visiting<'_>) -> Result<End, Error> {
    let Going { grant, until, .. } = visiting.going;
    let watch = Watch::on(&[Path::new(Store::directory()), Path::new("/etc/tmux-gate")]).map_err(Error::Session)?;
    let now = parties::now()?;
    let alarm = Alarm::after(Duration::from_millis(until.left(&now))).map_err(Error::Session)?;
    let wall = Alarm::at_wall(until.wall).map_err(Error::Session)?;
    // What changed before the watch began is seen here, what changes after it wakes us.
    let mut access = standing(grant)?.map_err(|_| Error::NotNow(grant.id.clone(), "it is over"))?;
    let _presence = Presence::enter(&listed(visiting, access, now)).map_err(Error::Session)?;
    let (monitor_end, relay_end) = relay::pair().map_err(Error::Session)?;
    let escort = visiting.start(&monitor_end, relay_end)?;
    loop {
        let happening = escort.wait(&[alarm.as_fd(), wall.as_fd(), watch.as_fd(), monitor_end.as_fd()]);
        let end = match happening {
            Happening::Gone => Some(last_word(&monitor_end)?),
            Happening::Asked => Some(End::HungUp),
            Happening::Readable(0 | 1) => Some(End::Expired),
            Happening::Readable(2) => looked_again(grant, &watch, &monitor_end, &mut access),
            Happening::Readable(_) => heard(&monitor_end)?,
        };
        if let Some(end) = end {
            // The relay stops by itself if it can; with the escort's drop it is killed, and the client with it.
            let _ = monitor_end.send(&ToRelay::End);
            return Ok(end);
        }
    }
}

/// What the relay said before it ended.
fn last_word(relay: &MonitorEnd) -> Result<End, Error> {
    Ok(heard(relay)?.unwrap_or(End::Closed))
}

fn heard(relay: &MonitorEnd) -> Result<Option<End>, Error> {
    loop {
        match relay.heard() {
            Ok(Some(ToMonitor::Ready | ToMonitor::Behind)) => {}
            Ok(Some(ToMonitor::Left)) => return Ok(Some(End::Left)),
            Ok(Some(ToMonitor::HungUp)) => return Ok(Some(End::HungUp)),
            Ok(Some(ToMonitor::Refused(why))) => return Err(Error::Unsandboxed(why)),
            Ok(None) => return Ok(None),
            Err(_) => return Ok(Some(End::Closed)),
        }
    }
}

/// Something changed in the store or in the configuration: does the guest still belong here, and how much may he do?
fn looked_again(grant: &Grant, watch: &Watch, relay: &MonitorEnd, access: &mut Access) -> Option<End> {
    let own = Store::file_of(grant);
    let configuration = Path::new(config::PATH).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some(names) = watch.changed()
        && !names.iter().any(|name| *name == own || name == configuration)
    {
        return None;
    }
    match standing(grant) {
        Ok(Ok(now)) => {
            if now < *access && relay.send(&ToRelay::Access(now)).is_err() {
                return Some(End::Closed);
            }
            *access = now.min(*access);
            None
        }
        Ok(Err(how)) => Some(End::Taken(how)),
        Err(_) => Some(End::Forbidden),
    }
}

/// What store and rules say of the grant now: how much it gives, or how it ended.
fn standing(grant: &Grant) -> Result<Result<Access, How>, Error> {
    let current = Store::open()?.find(&grant.id)?.ok_or_else(|| Error::NoGrant(grant.id.clone()))?;
    match current.standing(&parties::now()?) {
        Standing::Open(_) => Ok(Ok(join::limits(&current)?.0.access)),
        Standing::Pending(_) => Ok(Err(How::Revoked)),
        Standing::Over(how) => Ok(Err(how)),
    }
}

fn listed(visiting: &Visiting<'_>, access: Access, since: Moment) -> Guest {
    let (grant, subject) = (&visiting.going.grant, &visiting.ready.visit.subject);
    Guest {
        grant: grant.id.clone(),
        guest: grant.guest.clone(),
        owner: grant.owner.clone(),
        session: visiting.going.session.1.clone(),
        access,
        since,
        tty: subject.tty.clone().unwrap_or_default(),
    }
}

impl<'a> Visiting<'a> {
    /// Client first, relay second: whatever dies, the other is killed.
    fn start(&self, monitor_end: &MonitorEnd, relay_end: RelayEnd) -> Result<Escort<'a>, Error> {
        let owner = self.going.owner.asking(self.ready.gate_group, &self.going.home);
        let socket = tmux::socket(self.going.owner.uid);
        let tmux_path = &self.judged.settings.tmux;
        let session = self.going.session.0;
        tmux::as_owner(tmux_path, &owner, &tmux::detach_on_destroy(&socket, session))?;
        let prefixes = tmux::as_owner(tmux_path, &owner, &tmux::show_prefixes(&socket, session))?;
        let prefixes = tmux::prefix_bytes(&prefixes);
        let identity = relay_identity()?;

        let (master, slave) = relay::open(&self.ready.tty).map_err(Error::Session)?;
        let own = unistd::getpid();
        let mut escort = Escort::new(self.link).map_err(Error::Session)?;
        escort.add(|| self.become_client(&master, &slave, own)).map_err(Error::Session)?;
        drop(slave);
        escort
            .add(|| {
                relay::live(Place {
                    tty: &self.ready.tty,
                    master: &master,
                    link: &relay_end,
                    monitor: own,
                    identity: &identity,
                    access: self.going.terms.access,
                    prefixes: &prefixes,
                    sandbox: Sandbox::Required,
                })
            })
            .map_err(Error::Session)?;
        escort.announce().map_err(Error::Session)?;
        self.link.farewell("");
        let _ = monitor_end;
        Ok(escort)
    }

    /// The owner's client, wholly as the owner, with an environment made from nothing.
    fn become_client(&self, _master: &Master, slave: &Slave, monitor: unistd::Pid) -> u8 {
        let (owner, kept) = (&self.going.owner, &self.ready.visit.environment);
        let prepared = || -> Option<()> {
            slave.take().ok()?;
            self.inheritance.give().ok()?;
            entry::leave_nothing_of_ours();
            ids::become_for_good(&owner.asking(self.ready.gate_group, &self.going.home)).ok()?;
            process::die_with(monitor).ok()
        };
        if prepared().is_some() {
            let socket = tmux::socket(owner.uid);
            let arguments = tmux::attach_guest(&socket, self.going.session.0, self.going.terms.access);
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
