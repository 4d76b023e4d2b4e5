//! How do people learn, where they work, what concerns them? A line, or a menu, on the clients of their own servers.
//!
//! MUST: in a process of its own, for which nobody waits: a server may hang. As the person whose server it is.
//! Never: to a guest's client; a word that is not fixed but ids, names, access and times.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::unistd;

use super::caller::{self, Caller};
use super::error::Error;
use super::parties::{self, Part};
use crate::config::Settings;
use crate::grants::{Grant, State, Store, presence};
use crate::ident::Uid;
use crate::policy;
use crate::sys::process::{self, Doom};
use crate::sys::{entry, files};
use crate::tmux::guests::{self, Weight};
use crate::tmux::{self, Runtime, Socket};

/// How long a request that was not approved keeps the next one quiet, in milliseconds.
const PEACE: u64 = 60_000;

/// How long telling may take, lookups of people included.
const PATIENCE: Duration = Duration::from_secs(60);

/// How people's servers are reached.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub settings: &'a Settings,
    pub gate_group: u32,
    pub runtime: &'a Runtime,
}

impl Teller<'_> {
    /// Runs `work` in the background, with nothing of this process but its memory.
    fn later(&self, work: impl FnOnce()) {
        let life = || {
            process::show_role("tmux-gate:tell");
            // Whoever is to be cut off comes before whoever is to be told.
            process::go_last();
            let Ok(_doom) = Doom::after(PATIENCE) else { return 1 };
            let Ok(null) = files::null() else { return 1 };
            let streams = [unistd::dup2_stdin(&null), unistd::dup2_stdout(&null), unistd::dup2_stderr(&null)];
            let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
            let kept = [input.as_fd(), output.as_fd(), errors.as_fd(), self.runtime.as_fd()];
            let alone = unistd::setsid().is_ok() && streams.iter().all(Result::is_ok);
            if alone && entry::close_all_but(&kept).is_ok() {
                work();
            }
            0
        };
        // A grandchild: nobody waits for it, and it is no zombie for as long as a visit lasts.
        let orphaned = process::fork(&[], || process::fork(&[], life).map_or(1, |_| 0));
        // Whoever is not told finds it in `list`.
        if let Ok(child) = orphaned {
            process::reap(child.pid);
        }
    }

    /// Shows this person a line, if he is there.
    pub(super) fn line(&self, person: &Caller, line: &str) {
        self.later(|| self.show(person, line, Weight::Passing));
    }

    /// Shows the owner a line when a guest has gone, after a command of his server's.
    pub(super) fn gone(&self, owner: &Caller, command: &[String], line: &str) {
        let line = format!("tmux-gate: {line}");
        self.later(|| {
            let _ = self.on_clients(owner, |socket, clients| {
                guests::show_after(socket, command, clients, &line, Weight::Passing)
            });
        });
    }

    /// Shows this person a line that must not be missed, if he is there.
    pub(super) fn important(&self, person: &Caller, line: &str) {
        self.later(|| self.show(person, line, Weight::Important));
    }

    /// Runs one tmux command on this person's server.
    pub(super) fn command(&self, person: &Caller, command: Vec<String>) {
        self.later(|| {
            if let Ok(home) = self.runtime.home(person.uid) {
                let _ = tmux::as_owner(&self.settings.tmux, &person.asking(self.gate_group, &home), &command);
            }
        });
    }

    fn show(&self, person: &Caller, line: &str, weight: Weight) {
        let line = format!("tmux-gate: {line}");
        let _ = self.on_clients(person, |socket, clients| guests::show(socket, clients, &line, weight));
    }

    /// Of a new request learn its owner and whoever else may approve it.
    pub(super) fn requested(&self, grant: &Grant) {
        self.later(|| {
            let _ = self.tell_approvers(grant);
        });
    }

    fn tell_approvers(&self, grant: &Grant) -> Result<(), Error> {
        let rules = parties::rules(self.settings)?;
        let part = Part::of(grant, &rules)?;
        let owner = parties::caller_of(&grant.owner)?;
        if is_pressing(grant)? {
            return Ok(());
        }
        let approves = part.rule.approvers.contains(&policy::Approver::Owner)
            || policy::is_approver(&part.rule, &parties::person(&owner)?);
        if approves && grant.asked_by.uid != owner.uid {
            self.offer(&owner, grant)?;
        }
        for uid in self.runtime.everybody()? {
            if self.is_other_approver(&part, grant, uid) {
                let place = place(grant);
                let line = format!(
                    "{id}: {guest} asks for {place}; tmux-gate approve {id}",
                    id = grant.id,
                    guest = grant.guest.name
                );
                self.show(&caller::look_up(uid)?, &line, Weight::Passing);
            }
        }
        Ok(())
    }

    fn is_other_approver(&self, part: &Part, grant: &Grant, uid: Uid) -> bool {
        if [grant.owner.uid, grant.guest.uid, grant.asked_by.uid].contains(&uid) {
            return false;
        }
        let person = caller::look_up(uid).and_then(|found| parties::person(&found));
        person.is_ok_and(|person| policy::is_approver(&part.rule, &person))
    }

    /// The menu. Whoever has no room for one has the line below it.
    fn offer(&self, owner: &Caller, grant: &Grant) -> Result<(), Error> {
        let (guest, terms) = (&grant.guest.name, grant.terms());
        let line = format!("{id}: {guest} asks for {}; tmux-gate approve {id}", place(grant), id = grant.id);
        self.show(owner, &line, Weight::Passing);
        let title = format!("{guest}, {}, {}", terms.access, terms.lifetime);
        let program = files::this_program().unwrap_or_else(|| "tmux-gate".to_owned());
        let request = guests::Request { id: &grant.id, title: &title, access: terms.access, program: &program };
        self.on_clients(owner, |socket, clients| guests::ask(socket, clients, &request))
    }

    /// What became of a request, or of a grant, is told to the guest who is not at the gate now.
    pub(super) fn decided(&self, grant: &Grant) {
        let (id, owner, terms) = (&grant.id, &grant.owner.name, grant.terms());
        let line = match &grant.state {
            State::Approved { .. } if grant.asked_by.uid == grant.owner.uid => {
                format!("{id}: {owner} invites you, {}, {}; tmux-gate join {id}", terms.access, terms.lifetime)
            }
            State::Approved { .. } => {
                format!("{id}: approved, {}, {}; tmux-gate join {id}", terms.access, terms.lifetime)
            }
            State::Ended { how, .. } => format!("{id}: {how}, it was for {}", place(grant)),
            State::Requested {} => return,
        };
        if let Ok(guest) = parties::caller_of(&grant.guest) {
            self.line(&guest, &line);
        }
    }

    /// Runs a command on this person's server, made for the clients that are his own.
    fn on_clients(&self, person: &Caller, command: impl Fn(&str, &[String]) -> Vec<String>) -> Result<(), Error> {
        let home = self.runtime.home(person.uid)?;
        if home.socket()? == Socket::Absent {
            return Ok(());
        }
        let (path, identity) = (&self.settings.tmux, person.asking(self.gate_group, &home));
        let socket = tmux::socket(person.uid);
        let answer = tmux::as_owner(path, &identity, &guests::list_clients(&socket))?;
        let inside = presence::inside().map_err(Error::Session)?;
        let mut clients = guests::clients(&answer);
        clients.retain(|client| inside.iter().all(|guest| guest.inner != *client));
        let command = command(&socket, &clients);
        // Nothing, if there is nobody to show it to.
        if command.len() > guests::EMPTY {
            tmux::as_owner(path, &identity, &command)?;
        }
        Ok(())
    }
}

/// Did this guest ask the same owner a moment ago, and was not approved? Then nobody is disturbed again: asking until somebody
/// says yes to have his peace must not pay.
fn is_pressing(grant: &Grant) -> Result<bool, Error> {
    if grant.asked_by != grant.guest {
        return Ok(false);
    }
    let asked_before = |one: &Grant| {
        let since = grant.asked_at.wall.checked_sub(one.asked_at.wall);
        // Of two at the same moment one comes first.
        let came_before = (one.asked_at.wall, one.id.as_str()) < (grant.asked_at.wall, grant.id.as_str());
        let is_alike = one.guest == grant.guest && one.approvals.is_empty();
        is_alike && came_before && since.is_some_and(|since| since < PEACE)
    };
    Ok(Store::open()?.of_owner(grant.owner.uid)?.iter().any(asked_before))
}

/// Where a grant leads, in words.
pub(super) fn place(grant: &Grant) -> String {
    let owner = &grant.owner.name;
    grant.session.as_ref().map_or_else(|| format!("all of {owner}"), |session| format!("{owner}/{session}"))
}
