//! who, status, and the part of list that is about grants: what concerns the caller, and nothing of strangers.

use std::path::Path;

use humantime::format_duration;
use serde_json::{Value, json};
use std::time::Duration;

use super::error::{Error, Status};
use super::parties::{self, Part};
use super::{Visit, answer_with};
use crate::cli::Output;
use crate::config;
use crate::grants::presence::{self, Guest};
use crate::grants::{self, Grant, Moment, Standing, Store};
use crate::ident::{Access, Uid};
use crate::policy;
use crate::sys::ids;

/// Prints who is in whose session now, as far as it concerns the caller; root sees all.
///
/// # Errors
/// The list cannot be read.
pub fn who(visit: &Visit, output: Output) -> Result<u8, Error> {
    let (guests, store, now) = (concerning(visit)?, open_store()?, parties::now()?);
    let left: Vec<(Guest, u64)> = guests.into_iter().map(|guest| left_of(guest, store.as_ref(), &now)).collect();
    ids::become_caller(visit.ids.uid, visit.ids.gid, visit.ids.gid)?;
    let text = match output {
        Output::Json => json!({ "guests": left.iter().map(guest_json).collect::<Vec<_>>() }).to_string() + "\n",
        Output::Text if left.is_empty() => "nobody is in\n".to_owned(),
        Output::Text => left.iter().map(guest_line).collect(),
    };
    answer_with(&text)?;
    Ok(Status::DONE)
}

/// Prints what fits a status line: `2 guests: bob ro 12m, carol rw 3m; 1 request`; nothing where there is nothing.
///
/// # Errors
/// As above.
pub fn status(visit: &Visit) -> Result<u8, Error> {
    let (guests, store, now) = (concerning(visit)?, open_store()?, parties::now()?);
    let mut own: Vec<String> = Vec::new();
    for guest in guests.into_iter().filter(|guest| guest.owner.uid == visit.caller.uid) {
        let (guest, left) = left_of(guest, store.as_ref(), &now);
        let access = if guest.access == Access::ReadWrite { "rw" } else { "ro" };
        own.push(format!("{} {access} {}", guest.guest.name, short(left)));
    }
    let requests = match &store {
        // His own for the own session he cannot approve.
        Some(store) => store.of_owner(visit.caller.uid)?.into_iter().filter(|grant| !grant.is_own()).collect(),
        None => Vec::new(),
    };
    let waiting = requests.iter().filter(|grant| matches!(grant.standing(&now), Standing::Pending(_))).count();
    ids::become_caller(visit.ids.uid, visit.ids.gid, visit.ids.gid)?;
    let mut parts = Vec::new();
    if !own.is_empty() {
        parts.push(format!("{}: {}", plural(own.len(), "guest"), own.join(", ")));
    }
    if waiting > 0 {
        parts.push(plural(waiting, "request"));
    }
    answer_with(&(parts.join("; ") + if parts.is_empty() { "" } else { "\n" }))?;
    Ok(Status::DONE)
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn concerning(visit: &Visit) -> Result<Vec<Guest>, Error> {
    let uid = visit.caller.uid;
    let mut guests = presence::inside().map_err(Error::Session)?;
    guests.retain(|guest| uid == Uid::ROOT || guest.guest.uid == uid || guest.owner.uid == uid);
    Ok(guests)
}

fn open_store() -> Result<Option<Store>, Error> {
    match Store::open() {
        Ok(store) => Ok(Some(store)),
        Err(grants::Error::Missing) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn left_of(guest: Guest, store: Option<&Store>, now: &Moment) -> (Guest, u64) {
    let grant = store.and_then(|store| store.find(&guest.grant).ok().flatten());
    let left = match grant.map(|grant| grant.standing(now)) {
        Some(Standing::Open(left)) => left,
        Some(Standing::Pending(_) | Standing::Over(_)) | None => 0,
    };
    (guest, left)
}

/// Milliseconds as people read them: the two largest units, whole.
pub(super) fn short(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000);
    let rounded = if seconds >= 600 { seconds / 60 * 60 } else { seconds };
    format_duration(Duration::from_secs(rounded)).to_string().replace(' ', "")
}

fn guest_line((guest, left): &(Guest, u64)) -> String {
    let Guest { guest: who, owner, session, access, tty, grant, .. } = guest;
    format!("{} in {}/{session}: {access}, {} left, on {tty}, by {grant}\n", who.name, owner.name, short(*left))
}

fn guest_json((guest, left): &(Guest, u64)) -> Value {
    json!({
        "grant": guest.grant, "guest": guest.guest.name, "owner": guest.owner.name, "session": guest.session,
        "access": guest.access, "tty": guest.tty, "since": guest.since.wall / 1000, "seconds_left": left.div_ceil(1000),
    })
}

/// The requests and grants that are not over and concern the caller: his own, those into his sessions, and what waits for his
/// approval. Needs root.
///
/// # Errors
/// The store's, the configuration's.
pub(super) fn grants(visit: &Visit) -> Result<Vec<(Grant, Standing)>, Error> {
    let Some(store) = open_store()? else { return Ok(Vec::new()) };
    let (uid, now) = (visit.caller.uid, parties::now()?);
    let mut all = store.readable()?;
    all.retain(|grant| !matches!(grant.standing(&now), Standing::Over(_)));
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let rules = parties::rules(&config::load(Path::new(config::PATH))?)?;
    let caller = parties::person(&visit.caller)?;
    all.retain(|grant| {
        let own = uid == Uid::ROOT || grant.guest.uid == uid || grant.owner.uid == uid;
        own || Part::of(grant, &rules).is_ok_and(|part| policy::is_approver(&part.rule, &caller))
    });
    Ok(all.into_iter().map(|grant| (grant.standing(&now), grant)).map(|(standing, grant)| (grant, standing)).collect())
}

pub(super) fn grant_line((grant, standing): &(Grant, Standing)) -> String {
    let terms = grant.terms();
    let session = grant.session.as_ref().map(|session| format!("/{session}")).unwrap_or_default();
    let how = match standing {
        Standing::Pending(_) => format!("asks for {}", terms.lifetime),
        Standing::Open(left) => format!("{} left", short(*left)),
        Standing::Over(how) => how.to_string(),
    };
    let (id, guest, owner) = (&grant.id, &grant.guest.name, &grant.owner.name);
    let place = if grant.is_own() { format!("the own session{session}") } else { format!("{owner}{session}") };
    format!("{id}: {guest} into {place}, {}, {how}: {}\n", terms.access, grant.reason)
}

pub(super) fn grant_json((grant, standing): &(Grant, Standing)) -> Value {
    let terms = grant.terms();
    let (state, left) = match standing {
        Standing::Pending(left) => ("requested", left.div_ceil(1000)),
        Standing::Open(left) => ("approved", left.div_ceil(1000)),
        Standing::Over(_) => ("ended", 0),
    };
    let approvers: Vec<_> = grant.approvals.iter().map(|one| &one.by.name).collect();
    json!({
        "grant": grant.id, "state": state, "guest": grant.guest.name, "owner": grant.owner.name, "session": grant.session,
        "access": terms.access, "seconds": terms.lifetime, "seconds_left": left, "reason": grant.reason,
        "asked_by": grant.asked_by.name, "asked_at": grant.asked_at.wall / 1000, "approved_by": approvers,
        "follows": grant.follows, "code": grant.seal.is_some(),
    })
}
