//! deny and revoke: access is taken away, at once, without a password. Who is in is cut off by his own monitor, which watches
//! the store.

use super::error::{Error, Status};
use super::parties::{self, Part};
use super::tell::Teller;
use super::{Visit, answer_with, caller};
use crate::audit::{self, Event, Step};
use crate::cli::Target;
use crate::config::{self, Record, Settings};
use crate::grants::{Grant, How, Moment, Standing, State, Store};
use crate::ident::{GrantId, Reason};
use crate::policy::{self, Person};
use crate::tmux::Runtime;
use std::path::Path;

/// Refuses a request.
///
/// # Errors
/// Status 77 where there is none that the caller may refuse.
pub fn deny(visit: &Visit, id: &GrantId, reason: Option<&Reason>) -> Result<u8, Error> {
    let ended = end(visit, &Target::Grant(id.clone()), How::Denied)?;
    let [grant] = ended.as_slice() else { return Err(Error::NoGrant(id.clone())) };
    let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    answer_with(&format!("{id}: denied to {}{why}\n", grant.guest.name))?;
    Ok(Status::DONE)
}

/// Ends a grant or a request, or all of a guest's.
///
/// # Errors
/// Status 77 where there is none that the caller may end.
pub fn revoke(visit: &Visit, target: &Target) -> Result<u8, Error> {
    let ended = end(visit, target, How::Revoked)?;
    match (ended.as_slice(), target) {
        ([], Target::Grant(id)) => return Err(Error::NoGrant(id.clone())),
        ([], Target::User(_)) => answer_with("nothing to revoke\n")?,
        (ended, _) => {
            let lines = ended.iter().map(|grant| format!("{}: ended for {}\n", grant.id, grant.guest.name));
            answer_with(&lines.collect::<String>())?;
        }
    }
    Ok(Status::DONE)
}

/// Ends each grant that is meant, that is not over, and that the caller may end. Who may is looked up before the lock is taken,
/// and what was ended is recorded after it: neither a directory that does not answer nor a record that cannot be written
/// keeps anybody else from taking access away, or the rest of these.
fn end(visit: &Visit, target: &Target, how: How) -> Result<Vec<Grant>, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let _patience = caller::no_longer_than(settings.time_limit);
    let (rules, caller, store) = (parties::rules(&settings)?, parties::person(&visit.caller)?, Store::open()?);
    let meant: Vec<Grant> = match target {
        Target::Grant(id) => store.find(id)?.into_iter().collect(),
        Target::User(name) => store.readable()?.into_iter().filter(|grant| grant.guest.name == *name).collect(),
    };
    let now = parties::now()?;
    let meant = meant.into_iter().filter(|grant| !is_over(grant, &now) && may_end(grant, &rules, &caller));
    let meant: Vec<GrantId> = meant.map(|grant| grant.id).collect();
    let ended = end_all(&store, &meant, |grant| {
        let own = grant.asked_by.uid == caller.uid && how == How::Revoked && grant.approvals.is_empty();
        grant.end(if own { How::Cancelled } else { how }, now.clone(), Some(parties::party(&visit.caller)));
    })?;
    let record = |grant: &Grant| {
        audit::record(&visit.subject, &Event::Grant(step_of(grant), &parties::deal(grant, grant.terms())))
    };
    let recorded: Vec<_> = ended.iter().map(record).collect();
    // It is done, whoever can be told of it.
    let _ = tell(visit, &settings, &ended);
    if settings.record == Record::Required {
        recorded.into_iter().collect::<Result<Vec<()>, _>>()?;
    }
    Ok(ended)
}

/// Ends those that are not over by now.
fn end_all(store: &Store, ids: &[GrantId], end: impl Fn(&mut Grant)) -> Result<Vec<Grant>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let (locked, now) = (store.lock()?, parties::now()?);
    let mut ended = Vec::new();
    for id in ids {
        let Some(mut grant) = store.find(id)?.filter(|grant| !is_over(grant, &now)) else { continue };
        end(&mut grant);
        locked.put(&grant)?;
        ended.push(grant);
    }
    Ok(ended)
}

/// Tells the guests, unless they did it themselves.
fn tell(visit: &Visit, settings: &Settings, ended: &[Grant]) -> Result<(), Error> {
    let gate_group = caller::group("tmux-gate")?.ok_or(Error::NoGroup)?.gid.as_raw();
    let runtime = Runtime::check(gate_group)?;
    let teller = Teller { settings, gate_group, runtime: &runtime };
    ended.iter().filter(|grant| grant.guest.uid != visit.caller.uid).for_each(|grant| teller.decided(grant));
    Ok(())
}

fn is_over(grant: &Grant, now: &Moment) -> bool {
    matches!(grant.standing(now), Standing::Over(_))
}

fn step_of(grant: &Grant) -> Step {
    match grant.state {
        State::Ended { how: How::Denied, .. } => Step::Denied,
        State::Ended { how: How::Cancelled, .. } => Step::Cancelled,
        State::Ended { .. } | State::Requested {} | State::Approved { .. } => Step::Revoked,
    }
}

/// May this person take it away?
pub(super) fn may_end(grant: &Grant, rules: &[policy::ShareRule], caller: &Person) -> bool {
    let rule = Part::of(grant, rules).ok().map(|part| part.rule);
    policy::may_revoke(rule.as_ref(), grant.owner.uid, grant.guest.uid, caller)
}
