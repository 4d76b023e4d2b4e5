//! What does an approver see before he approves? Who, whom, which session, how much, how long, why, by which rule, and what runs
//! there now. Never: a word of it raw, a tmux command as root.

use super::entrance::Ready;
use super::error::Error;
use super::parties;
use crate::grants::presence::{self, Guest};
use crate::grants::{Grant, State};
use crate::ident::{Access, Name, Visible};
use crate::policy::{ShareRule, Terms};
use crate::sys::process;
use crate::tmux::{self, CustodyError, Home, Socket};

/// One pane, the running program last: it is the user's text.
const PANES: &str = "#{session_name} #{window_index}.#{pane_index} #{pane_pid} #{pane_current_command}";

/// The facts, for a terminal.
pub(super) fn text(ready: &Ready<'_>, grant: &Grant, rule: &ShareRule, terms: Terms) -> String {
    let (guest, owner) = (&grant.guest.name, &grant.owner.name);
    let place = match &grant.session {
        Some(session) if grant.is_own() => format!("the own session {session}"),
        None if grant.is_own() => "every session of the own".to_owned(),
        Some(session) => format!("session {session} of {owner}"),
        None => format!("every session of {owner}"),
    };
    let wish = match grant.state {
        State::Requested {} => "wants into",
        State::Approved { .. } | State::Ended { .. } => "is to have other terms in",
    };
    let mut text = format!("{}: {guest} {wish} {place}, {}, for {}\n", grant.id, terms.access, terms.lifetime);
    text += &format!("  reason: {}\n", grant.reason);
    text +=
        &format!("  rule: {} at most, {} at most, {} of its approvers\n", rule.access, rule.longest, rule.approvals);
    for line in running(ready, grant).unwrap_or_else(|why| vec![format!("not known: {why}")]) {
        text += &format!("  running: {line}\n");
    }
    if terms.access == Access::ReadWrite && !grant.is_own() {
        text += &format!("  To type into it is to have the whole account {owner}: files, keys, whatever runs there.\n");
    }
    text
}

/// An approval is not given where a guest types, who could be the one that approves; nor where a guest looks on. A popup of the
/// approver's own client is not seen by guests who only see.
///
/// # Errors
/// [`Error::Watched`].
pub(super) fn away_from_guests(ready: &Ready<'_>, grant: &Grant) -> Result<(), Error> {
    match looking_on(ready)? {
        Some(guest) => Err(Error::Watched(grant.id.clone(), guest)),
        None => Ok(()),
    }
}

/// The guest who looks on, or types, where the caller is.
///
/// # Errors
/// What cannot be looked at is not taken for nobody.
pub(super) fn looking_on(ready: &Ready<'_>) -> Result<Option<Name>, Error> {
    let approver = &ready.visit.caller;
    let home = match ready.runtime.home(approver.uid) {
        Ok(home) => home,
        Err(CustodyError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !ready.groups.contains(&home.group) {
        return Ok(None);
    }
    let mut guests = presence::inside().map_err(Error::Session)?;
    guests.retain(|one| one.owner.uid == approver.uid);
    guests.sort_by_key(|one| std::cmp::Reverse(one.access));
    match guests.first() {
        Some(Guest { access: Access::ReadOnly, .. }) if is_in_popup(ready, &home)? => Ok(None),
        first => Ok(first.map(|guest| guest.guest.name.clone())),
    }
}

/// Is this the program that tmux runs on a terminal which is none of its panes?
fn is_in_popup(ready: &Ready<'_>, home: &Home) -> Result<bool, Error> {
    let approver = &ready.visit.caller;
    let question = tmux::list_panes(&tmux::socket(approver.uid), "#{pid} #{pane_tty}");
    let answer = tmux::as_owner(&ready.settings.tmux, &approver.asking(ready.gate_group, home), &question)?;
    let panes = String::from_utf8_lossy(&answer);
    let mut panes = panes.lines().filter_map(|line| line.split_once(' '));
    let Some((server, first)) = panes.next() else { return Ok(false) };
    let own = ready.visit.subject.tty.as_deref();
    let above = process::session_leader_parent().map_err(Error::Ancestry)?;
    Ok(own.is_some() && own != Some(first) && panes.all(|(_, tty)| own != Some(tty)) && server == above.to_string())
}

/// A line a pane of the granted session, programs of root's and ways to other hosts marked.
fn running(ready: &Ready<'_>, grant: &Grant) -> Result<Vec<String>, Error> {
    let owner = parties::caller_of(&grant.owner)?;
    let home = match ready.runtime.home(owner.uid) {
        Ok(home) => home,
        Err(CustodyError::Missing(_)) => return Ok(vec!["nothing; there is no session".to_owned()]),
        Err(error) => return Err(error.into()),
    };
    if home.socket()? == Socket::Absent {
        return Ok(vec!["nothing; there is no session".to_owned()]);
    }
    let question = tmux::list_panes(&tmux::socket(owner.uid), PANES);
    let answer = tmux::as_owner(&ready.settings.tmux, &owner.asking(ready.gate_group, &home), &question)?;
    let lines = String::from_utf8_lossy(&answer);
    let panes = lines.lines().filter_map(|line| pane(line, grant));
    Ok(panes.take(20).collect())
}

fn pane(line: &str, grant: &Grant) -> Option<String> {
    let mut fields = line.splitn(4, ' ');
    let (session, place) = (fields.next()?, fields.next()?);
    let (pid, program) = (fields.next()?.parse::<u32>().ok()?, fields.next()?);
    if grant.session.as_ref().is_some_and(|named| named.as_str() != session) {
        return None;
    }
    let below = process::family(pid);
    let mut marks = String::new();
    if below.iter().any(|one| one.uid.raw() == 0) {
        marks += " [root]";
    }
    if below.iter().any(|one| one.name == "ssh") {
        marks += " [ssh]";
    }
    let shown = |text: &str| Visible::line(text.as_bytes());
    Some(format!("{}:{} {}{marks}", shown(session), shown(place), shown(program)))
}
