//! The way in: steps 5 to 8 of the order, for every verb that authenticates. What was judged before PAM is judged again after
//! it, by a process that the caller can neither stop nor kill any more; then the verb does its part, in the monitor.
//!
//! MUST: judged before PAM and again after it; recorded before anything is opened.

use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::asking::AtTerminal;
use super::caller::{self, Caller, Fault};
use super::error::{Error, Status};
use super::tell::Teller;
use super::{Visit, complain, refuse};
use crate::audit::{self, Event};
use crate::config::{self, Record, Settings};
use crate::pam::{self, Conversation, Echo, Items, Started, Vouched};
use crate::policy::{self, AttachRule, Decision, Person, Who};
use crate::session::{self, Ending, NoVerdict, Stage, Upward};
use crate::sys::ids;
use crate::sys::process::Doom;
use crate::sys::tty::Tty;
use crate::tmux::{self, Runtime};

/// What was found right before anybody is asked for a password.
pub(super) struct Ready<'a> {
    pub visit: &'a Visit,
    pub settings: Settings,
    pub gate_group: u32,
    pub runtime: Runtime,
    pub tty: Rc<Tty>,
    /// The supplementary groups that the caller came with: they tell whether he came from inside a session.
    pub groups: Vec<u32>,
}

/// What holds after PAM judged.
pub(super) struct Judged {
    pub settings: Settings,
    pub groups: Vec<u32>,
}

/// A caller who is who he says, in the monitor, root wholly.
pub(super) struct Entered<'a> {
    pub ready: &'a Ready<'a>,
    pub link: &'a Rc<Upward>,
    pub vouched: Vouched,
    pub judged: Judged,
    pub doom: Doom,
}

impl Entered<'_> {
    /// The caller, as rules judge him.
    pub(super) fn caller(&self) -> Person {
        Person { uid: self.ready.visit.caller.uid, gids: self.judged.groups.clone() }
    }

    /// How people are told of what was done.
    pub(super) fn teller(&self) -> Teller<'_> {
        Teller { settings: &self.judged.settings, gate_group: self.ready.gate_group, runtime: &self.ready.runtime }
    }

    /// Asks for one line, which may be seen.
    ///
    /// # Errors
    /// As a PAM question that is not answered.
    pub(super) fn question(&self, prompt: &str) -> Result<String, Error> {
        let until = Instant::now() + self.judged.settings.time_limit;
        let mut terminal = AtTerminal::new(Rc::clone(&self.ready.tty), Rc::clone(self.link), until);
        let answer = terminal.ask(prompt.as_bytes(), Echo::Shown);
        let of_pam = |silence| Error::Pam(self.ready.visit.caller.name.clone(), pam::Error::Silence(silence));
        Ok(String::from_utf8_lossy(&answer.map_err(of_pam)?).trim().to_owned())
    }
}

/// Steps 5 and 6: the configuration, its rule, the terminal, what PAM and tmux need.
///
/// # Errors
/// Whatever is not as it must be.
pub(super) fn prepare(visit: &Visit) -> Result<Ready<'_>, Error> {
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
    let runtime = Runtime::check(gate_group)?;
    tmux::usable(&settings.tmux)?;
    pam::service::find(pam::SERVICE)?;
    Ok(Ready { visit, settings, gate_group, runtime, tty, groups: ids::groups()? })
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

/// Steps 7 and 8, then `act` in the monitor, and waits until it is over.
///
/// # Errors
/// What the front found; the monitor reports its own.
pub(super) fn pass(ready: &Ready<'_>, act: impl FnOnce(Entered<'_>) -> Result<u8, Error>) -> Result<u8, Error> {
    let limit = ready.settings.time_limit;
    ids::shed_groups()?;
    let ending = session::guard(&ready.tty, limit, |link| monitor(ready, &Rc::new(link), act));
    match ending.map_err(Error::Session)? {
        Ending::Over(status) => Ok(status),
        Ending::Unclosed(status) => {
            let _ = audit::record(&ready.visit.subject, &Event::Unclosed);
            Ok(status)
        }
        Ending::NoVerdict(NoVerdict::TimedOut) => Err(Error::TimedOut(limit)),
        Ending::NoVerdict(NoVerdict::Died) => Err(Error::NoVerdict),
        Ending::NoVerdict(NoVerdict::Interrupted) => Err(Error::Interrupted),
        Ending::NoVerdict(NoVerdict::HungUp) => Err(Error::HungUp),
        Ending::NoVerdict(NoVerdict::Late) => Err(Error::Late(limit)),
        Ending::NoVerdict(NoVerdict::Unopened) => Err(Error::Unopened),
        Ending::NoVerdict(NoVerdict::Cut) => {
            let _ = audit::record(&ready.visit.subject, &Event::Cut);
            Err(Error::MonitorDied)
        }
    }
}

/// The monitor's life: it tells the person and the record what went wrong, and the front only that it is over.
fn monitor(ready: &Ready<'_>, link: &Rc<Upward>, act: impl FnOnce(Entered<'_>) -> Result<u8, Error>) -> u8 {
    let status = judge(ready, link).and_then(act).unwrap_or_else(|error| {
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

fn judge<'a>(ready: &'a Ready<'a>, link: &'a Rc<Upward>) -> Result<Entered<'a>, Error> {
    let caller = &ready.visit.caller;
    let limit = ready.settings.time_limit;
    let doom = Doom::after(limit).map_err(Error::Session)?;
    let until = Instant::now() + limit;
    let conversation = AtTerminal::new(Rc::clone(&ready.tty), Rc::clone(link), until);
    let tty = ready.visit.subject.tty.as_deref().unwrap_or("/dev/tty");
    let items = Items { user: &caller.name, tty, front: link.as_fd(), until };
    let of_pam = |error| Error::Pam(caller.name.clone(), error);
    let started = Started::new(&items, Box::new(conversation)).map_err(of_pam)?;
    let vouched = started.vouch(ready.settings.tries).map_err(of_pam)?;

    ids::become_root()?;
    session::put_right(Stage::Judged).map_err(Error::Entry)?;
    link.vouched().map_err(|_| Error::Unguarded)?;
    let doom = doom.put_off(limit).map_err(Error::Session)?;
    let judged = judge_again(ready)?;
    judged.record(ready, &Event::Authenticated)?;
    Ok(Entered { ready, link, vouched, judged, doom })
}

/// Before PAM had judged, the caller could stop this process for as long as he liked: nothing that was found then counts.
pub(super) fn judge_again(ready: &Ready<'_>) -> Result<Judged, Error> {
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
    /// Writes a fact down: no record, no entry, unless the administrator wants it otherwise.
    pub(super) fn record(&self, ready: &Ready<'_>, event: &Event<'_>) -> Result<(), Error> {
        match (audit::record(&ready.visit.subject, event), self.settings.record) {
            (Ok(()), _) | (Err(_), Record::Wanted) => Ok(()),
            (Err(error), Record::Required) => Err(error.into()),
        }
    }
}
