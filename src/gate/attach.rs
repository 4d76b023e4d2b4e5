//! attach: the own session, behind PAM. Steps 8 to 11 of the order, from top to bottom.
//!
//! MUST: recorded before the session is opened; root wholly before credentials.
//! Never: a tmux client as root.

use std::path::Path;

use super::Visit;
use super::caller::Caller;
use super::entrance::{self, Entered, Judged, Ready};
use super::error::{Error, Status};
use super::own::{self, Wanted};
use super::stay::{Over, Stay};
use crate::audit::{Event, SessionLabel};
use crate::ident::{GrantId, SessionName};
use crate::pam;
use crate::session::{self, Limit, Stage, Unlimited, Upward};
use crate::sys::clock;
use crate::sys::entry::Inheritance;
use crate::sys::files;
use crate::sys::ids::{self, Identity};
use crate::sys::process::Doom;
use crate::tmux::{self, Home, Socket, Target};

/// Attaches the caller to his own session and waits until he leaves it.
///
/// # Errors
/// Whatever came before PAM, and what the front found; the monitor reports its own.
pub fn run(visit: &Visit, session: Option<SessionName>) -> Result<u8, Error> {
    let ready = entrance::prepare(visit)?;
    let socket = tmux::socket(visit.caller.uid);
    if visit.environment.is_inside(&socket) {
        return Err(Error::Inside(socket));
    }
    // Without a grant, where it takes one, nobody is asked for a password.
    own::admit(&ready.settings, &visit.caller, || visit.caller.groups(), &Wanted::of(session.as_ref()))?;
    // Without a grant, where it takes one, nobody is asked for a password.
    own::admit(&ready.settings, &visit.caller, || visit.caller.groups(), &Wanted::of(session.as_ref()))?;
    entrance::pass(&ready, |entered| live(entered, session))
}

fn live(entered: Entered<'_>, session: Option<SessionName>) -> Result<u8, Error> {
    let Entered { ready, link, vouched, judged, doom } = entered;
    let caller = &ready.visit.caller;
    let mut place = judged.place(ready, session)?;

    ids::init_groups(&judged.groups)?;
    ready.visit.inheritance.offer_umask();
    let mut inheritance = Ok(ready.visit.inheritance);
    let opened = vouched.open(|| inheritance = ready.visit.inheritance.after_session_modules());
    let opened = opened.map_err(|error| Error::Pam(caller.name.clone(), error))?;
    drop(doom);
    let inheritance = inheritance.map_err(Error::Entry)?;
    judged.record(ready, &Event::Attached { session: &place.label, grant: place.grant().map(|(id, _)| id) })?;
    let started = clock::since_boot();
    let status = judged.live(ready, link, &mut Session { place: &mut place, inheritance, opened: &opened })?;
    // Whatever comes now, the session is closed.
    let _ = session::put_right(Stage::Judged);
    let seconds = clock::since_boot().saturating_sub(started).as_secs();
    if let Some(over) = place.over() {
        link.last_line(&over.line(caller, judged.settings.afterwards));
    }
    let status = place.over().map_or(status, |_| Status::REFUSED);
    link.left(status);
    let _ = judged.record(ready, &Event::Detached { session: &place.label, seconds, status, grant: place.grant() });
    let doom = Doom::after(judged.settings.time_limit);
    opened.close();
    drop(doom);
    Ok(status)
}

/// Where the person goes, and how long he may stay.
struct Place<'a> {
    home: Home,
    target: Target,
    label: SessionLabel,
    /// `None`: he needs no grant.
    stay: Option<Stay<'a>>,
}

impl Place<'_> {
    /// The grant by which he is in, and how it ended if that was his end.
    fn grant(&self) -> Option<(&GrantId, Option<&'static str>)> {
        let own = self.stay.as_ref()?.own()?;
        Some((&own.grant, self.over().map(Over::word)))
    }

    fn over(&self) -> Option<Over> {
        self.stay.as_ref().and_then(Stay::over)
    }
}

impl Judged {
    fn place<'a>(&'a self, ready: &'a Ready<'a>, session: Option<SessionName>) -> Result<Place<'a>, Error> {
        let (caller, groups) = (&ready.visit.caller, || Ok(self.groups.clone()));
        let own = own::admit(&self.settings, caller, groups, &Wanted::of(session.as_ref()))?;
        let home = ready.runtime.make_home(caller.uid)?;
        let opened = own.as_ref().and_then(|own| own.session.clone());
        let target = self.target(ready, &home, opened.or(session))?;
        let wanted = match &target {
            Target::Named(name) => Wanted::Named(name.clone()),
            Target::Existing(_) => Wanted::Unnamed,
        };
        let stay = own.map(|own| Stay::begin((ready, self), &home, own, wanted)).transpose()?;
        Ok(Place { home, label: label(&target), target, stay })
    }

    /// The session that was named, else the last used one, else `main`.
    fn target(&self, ready: &Ready<'_>, home: &Home, session: Option<SessionName>) -> Result<Target, Error> {
        let caller = &ready.visit.caller;
        let socket = home.socket()?;
        match (session, socket) {
            (Some(name), _) => Ok(Target::Named(name)),
            (None, Socket::Absent) => Ok(Target::Named(SessionName::main())),
            (None, Socket::Present) => {
                let question = tmux::list_sessions(&tmux::socket(caller.uid), tmux::LAST_USED);
                let answer = tmux::as_owner(&self.settings.tmux, &caller.asking(ready.gate_group, home), &question)?;
                Ok(tmux::last_used(&answer).map_or(Target::Named(SessionName::main()), Target::Existing))
            }
        }
    }

    fn live(&self, ready: &Ready<'_>, link: &Upward, session: &mut Session<'_, '_>) -> Result<u8, Error> {
        let caller = &ready.visit.caller;
        session::put_right(Stage::Judged).map_err(Error::Entry)?;
        // What initgroups gave and pam_group added, and what opens the way to the socket.
        let mut groups = ids::groups()?;
        groups.retain(|gid| *gid != ready.gate_group);
        groups.extend([ready.gate_group, session.place.home.group]);
        let shell = if files::is_this_program(Path::new(&caller.shell)) {
            &self.settings.shell
        } else {
            Path::new(&caller.shell)
        };
        let command = session::Command {
            path: self.settings.tmux.to_string_lossy().into_owned(),
            arguments: tmux::attach(&tmux::socket(caller.uid), &session.place.target),
            environment: ready.visit.environment.for_session(caller, shell, session.opened.environment()),
            directory: caller.home.clone(),
            identity: Identity { uid: caller.uid, gid: caller.gid, effective_gid: caller.gid, groups },
            inheritance: session.inheritance,
        };
        let limit: &mut dyn Limit = match &mut session.place.stay {
            Some(stay) => stay,
            None => &mut Unlimited,
        };
        session::live(link, &ready.tty, &command, limit).map_err(Error::Session)
    }
}

fn label(target: &Target) -> SessionLabel {
    match target {
        Target::Named(name) => SessionLabel::Name(name.clone()),
        Target::Existing(id) => SessionLabel::Id(*id),
    }
}

/// What the person's program is started in.
struct Session<'a, 'b> {
    place: &'a mut Place<'b>,
    inheritance: Inheritance,
    opened: &'a pam::Opened,
}

impl Caller {
    /// Who asks this person's own server: himself, with the group of the sockets as effective gid, so that no process of
    /// his outside can trace the asking client and take the groups from it.
    pub(super) fn asking(&self, gate_group: u32, home: &Home) -> Identity {
        Identity { uid: self.uid, gid: self.gid, effective_gid: gate_group, groups: vec![home.group] }
    }
}
