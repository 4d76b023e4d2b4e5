//! attach: the own session, behind PAM. Steps 5 to 11 of the order, from top to bottom.
//!
//! MUST: judged before PAM and again after it; recorded before the session is opened; root wholly before credentials.
//! Never: a tmux client as root.

use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::asking::AtTerminal;
use super::caller::{self, Caller, Fault};
use super::error::{Error, Status};
use super::{Visit, complain, refuse};
use crate::audit::{self, Event, SessionLabel};
use crate::config::{self, Record, Settings};
use crate::ident::SessionName;
use crate::pam::{self, Items, Started};
use crate::policy::{self, AttachRule, Decision, Who};
use crate::session::{self, Ending, NoVerdict, Stage, Upward};
use crate::sys::clock;
use crate::sys::entry::Inheritance;
use crate::sys::files;
use crate::sys::ids::{self, Identity};
use crate::sys::process::Doom;
use crate::sys::tty::Tty;
use crate::tmux::{self, Home, Runtime, Socket, Target};

/// What was found right before anybody is asked for a password.
struct Ready<'a> {
    visit: &'a Visit,
    settings: Settings,
    gate_group: u32,
    runtime: Runtime,
    tty: Rc<Tty>,
    session: Option<SessionName>,
}

/// Attaches the caller to his own session and waits until he leaves it.
///
/// # Errors
/// Whatever came before PAM, and what the front found; the monitor reports its own.
pub fn run(visit: &Visit, session: Option<SessionName>) -> Result<u8, Error> {
    let ready = prepare(visit, session)?;
    let limit = ready.settings.time_limit;
    let ending = session::guard(&ready.tty, limit, |link| monitor(&ready, &Rc::new(link)));
    match ending.map_err(Error::Session)? {
        Ending::Over(status) => Ok(status),
        Ending::Unclosed(status) => {
            let _ = audit::record(&visit.subject, &Event::Unclosed);
            Ok(status)
        }
        Ending::NoVerdict(NoVerdict::TimedOut) => Err(Error::TimedOut(limit)),
        Ending::NoVerdict(NoVerdict::Died) => Err(Error::NoVerdict),
        Ending::NoVerdict(NoVerdict::Interrupted) => Err(Error::Interrupted),
        Ending::NoVerdict(NoVerdict::HungUp) => Err(Error::HungUp),
        Ending::NoVerdict(NoVerdict::Late) => Err(Error::Late(limit)),
        Ending::NoVerdict(NoVerdict::Unopened) => Err(Error::Unopened),
        Ending::NoVerdict(NoVerdict::Cut) => {
            let _ = audit::record(&visit.subject, &Event::Cut);
            Err(Error::MonitorDied)
        }
    }
}

fn prepare(visit: &Visit, session: Option<SessionName>) -> Result<Ready<'_>, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let patience = caller::no_longer_than(settings.time_limit);
    admit(&settings, &visit.caller, || visit.caller.groups())?;
    let gate_group = caller::group("tmux-gate")?.ok_or(Error::NoGroup)?.gid.as_raw();
    drop(patience);
    let tty = Rc::new(Tty::controlling().map_err(|_| Error::NoTerminal)?);
    if !tty.is_on_standard_streams() {
        return Err(Error::NoTerminal);
    }
    if !session::is_in_foreground(&tty) {
        return Err(Error::Background);
    }
    let socket = tmux::socket(visit.caller.uid);
    if visit.environment.is_inside(&socket) {
        return Err(Error::Inside(socket));
    }
    let runtime = Runtime::check(gate_group)?;
    tmux::usable(&settings.tmux)?;
    pam::service::find(pam::SERVICE)?;
    ids::shed_groups()?;
    Ok(Ready { visit, settings, gate_group, runtime, tty, session })
}

/// The policy's word on the caller as the users database knows him now; `groups` is asked only where a rule wants it.
pub(super) fn admit(
    settings: &Settings,
    caller: &Caller,
    groups: impl FnOnce() -> Result<Vec<u32>, Fault>,
) -> Result<Decision, Error> {
    let Some(entries) = &settings.users else { return Ok(policy::may_attach(&AttachRule::Everybody, &caller.alone())) };
    let mut person = caller.alone();
    let (mut groups, mut rule) = (Some(groups), Vec::new());
    // One after the other: who is named before a group that cannot be read now passes.
    for entry in entries {
        let who = caller::resolve(entry)?;
        if matches!(who, Who::Group(_))
            && let Some(groups) = groups.take()
        {
            person.gids = groups()?;
        }
        rule.push(who);
        match policy::may_attach(&AttachRule::Only(rule.clone()), &person) {
            Decision::Refused => {}
            allowed @ (Decision::AllowedToAll | Decision::AllowedBy(_)) => return Ok(allowed),
        }
    }
    Err(Error::NotAllowed(caller.name.clone()))
}

/// The monitor's life: it tells the person and the record what went wrong, and the front only that it is over.
fn monitor(ready: &Ready<'_>, link: &Rc<Upward>) -> u8 {
    let status = judge_and_live(ready, link).unwrap_or_else(|error| {
        // Once it is written down it is also said: no signal comes between, and the front need not say it again. First the
        // record: whoever reads our standard error may be slow on purpose.
        let _ = session::put_right(Stage::Judged);
        refuse(&ready.visit.subject, &error);
        complain(&error);
        error.status()
    });
    link.over(status);
    Status::DONE
}

fn judge_and_live(ready: &Ready<'_>, link: &Rc<Upward>) -> Result<u8, Error> {
    let caller = &ready.visit.caller;
    let of_pam = |error| Error::Pam(caller.name.clone(), error);
    let limit = ready.settings.time_limit;
    let doom = Doom::after(limit).map_err(Error::Session)?;
    let until = Instant::now() + limit;
    let conversation = AtTerminal::new(Rc::clone(&ready.tty), Rc::clone(link), until);
    let tty = ready.visit.subject.tty.as_deref().unwrap_or("/dev/tty");
    let items = Items { user: &caller.name, tty, front: link.as_fd(), until };
    let started = Started::new(&items, Box::new(conversation)).map_err(of_pam)?;
    let vouched = started.vouch(ready.settings.tries).map_err(of_pam)?;

    ids::become_root()?;
    session::put_right(Stage::Judged).map_err(Error::Entry)?;
    link.vouched().map_err(|_| Error::Unguarded)?;
    let doom = doom.put_off(limit).map_err(Error::Session)?;
    let judged = judge_again(ready)?;
    judged.record(ready, &Event::Authenticated)?;
    let home = ready.runtime.make_home(caller.uid)?;
    let target = judged.target(ready, &home)?;
    let label = label(&target);

    ids::init_groups(&judged.groups)?;
    ready.visit.inheritance.offer_umask();
    let mut inheritance = Ok(ready.visit.inheritance);
    let opened = vouched.open(|| inheritance = ready.visit.inheritance.after_session_modules()).map_err(of_pam)?;
    drop(doom);
    let inheritance = inheritance.map_err(Error::Entry)?;
    judged.record(ready, &Event::Attached { session: &label })?;
    let started = clock::since_boot();
    let status = judged.live(ready, link, &Session { home, target, inheritance, opened: &opened })?;
    // Whatever comes now, the session is closed.
    let _ = session::put_right(Stage::Judged);
    let seconds = clock::since_boot().saturating_sub(started).as_secs();
    link.left(status);
    let _ = judged.record(ready, &Event::Detached { session: &label, seconds, status });
    let doom = Doom::after(limit);
    opened.close();
    drop(doom);
    Ok(status)
}

/// What holds after PAM judged.
struct Judged {
    settings: Settings,
    groups: Vec<u32>,
}

/// Before PAM had judged, the caller could stop this process for as long as he liked: nothing that was found then counts.
fn judge_again(ready: &Ready<'_>) -> Result<Judged, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let now = caller::look_up(ready.visit.caller.uid)?;
    if now != ready.visit.caller {
        return Err(Error::Changed(ready.visit.caller.name.clone()));
    }
    let groups = now.groups()?;
    admit(&settings, &now, || Ok(groups.clone()))?;
    tmux::usable(&settings.tmux)?;
    Ok(Judged { settings, groups })
}

impl Judged {
    fn record(&self, ready: &Ready<'_>, event: &Event<'_>) -> Result<(), Error> {
        match (audit::record(&ready.visit.subject, event), self.settings.record) {
            (Ok(()), _) | (Err(_), Record::Wanted) => Ok(()),
            (Err(error), Record::Required) => Err(error.into()),
        }
    }

    /// The session that was named, else the last used one, else `main`.
    fn target(&self, ready: &Ready<'_>, home: &Home) -> Result<Target, Error> {
        let caller = &ready.visit.caller;
        let socket = home.socket()?;
        match (&ready.session, socket) {
            (Some(name), _) => Ok(Target::Named(name.clone())),
            (None, Socket::Absent) => Ok(Target::Named(SessionName::main())),
            (None, Socket::Present) => {
                let question = tmux::list_sessions(&tmux::socket(caller.uid), tmux::LAST_USED);
                let answer = tmux::as_owner(&self.settings.tmux, &caller.asking(ready.gate_group, home), &question)?;
                Ok(tmux::last_used(&answer).map_or(Target::Named(SessionName::main()), Target::Existing))
            }
        }
    }

    fn live(&self, ready: &Ready<'_>, link: &Upward, session: &Session<'_>) -> Result<u8, Error> {
        let caller = &ready.visit.caller;
        session::put_right(Stage::Judged).map_err(Error::Entry)?;
        // What initgroups gave and pam_group added, and what opens the way to the socket.
        let mut groups = ids::groups()?;
        groups.retain(|gid| *gid != ready.gate_group);
        groups.extend([ready.gate_group, session.home.group]);
        let shell = if files::is_this_program(Path::new(&caller.shell)) {
            &self.settings.shell
        } else {
            Path::new(&caller.shell)
        };
        let command = session::Command {
            path: self.settings.tmux.to_string_lossy().into_owned(),
            arguments: tmux::attach(&tmux::socket(caller.uid), &session.target),
            environment: ready.visit.environment.for_session(caller, shell, session.opened.environment()),
            directory: caller.home.clone(),
            identity: Identity { uid: caller.uid, gid: caller.gid, effective_gid: caller.gid, groups },
            inheritance: session.inheritance,
        };
        session::live(link, &ready.tty, &command).map_err(Error::Session)
    }
}

fn label(target: &Target) -> SessionLabel {
    match target {
        Target::Named(name) => SessionLabel::Name(name.clone()),
        Target::Existing(id) => SessionLabel::Id(*id),
    }
}

/// What the person's program is started in.
struct Session<'a> {
    home: Home,
    target: Target,
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
