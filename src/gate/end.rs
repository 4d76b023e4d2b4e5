//! deny and revoke: access is taken away, at once, without a password. Who is in is cut off by his own monitor, which watches
//! the store.

use super::error::{Error, Status};
use super::parties::{self, Part};
use super::tell::Teller;
use super::{Visit, answer_with, caller};
use crate::audit::{self, Event, Step};
use crate::cli::Target;
use crate::config::{self, Record, Settings};
use crate::grants::{Grant, How, Standing, Store};
use crate::ident::{GrantId, Reason};
use crate::policy::{self, Person};
use crate::tmux::Runtime;
use std::path::Path;

/// Refuses a request.
///
/// # Errors
/// Status 77 where there is none that the caller may refuse.
pub fn deny(visit: &Visit, id: &GrantId, reason: Option<&Reason>) -> Result<u8, Error> {
    let ended = end(visit, |grant| grant.id == *id, How::Denied)?;
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
    let ended = match target {
        Target::Grant(id) => end(visit, |grant| grant.id == *id, How::Revoked)?,
        Target::User(name) => end(visit, |grant| grant.guest.name == *name, How::Revoked)?,
    };
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

/// Ends each grant that is not over, that is `wanted`, and that the caller may end.
fn end(visit: &Visit, wanted: impl Fn(&Grant) -> bool, how: How) -> Result<Vec<Grant>, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let (rules, caller, now) = (parties::rules(&settings)?, parties::person(&visit.caller)?, parties::now()?);
    let store = Store::open()?;
    let locked = store.lock()?;
    let mut ended = Vec::new();
    for mut grant in store.all()?.into_iter().filter(wanted) {
        let over = matches!(grant.standing(&now), Standing::Over(_));
        if over || !may_end(&grant, &rules, &caller) {
            continue;
        }
        let own = grant.asked_by.uid == caller.uid && how == How::Revoked && grant.approvals.is_empty();
        let (how, step) = match how {
            How::Denied => (How::Denied, Step::Denied),
            _ if own => (How::Cancelled, Step::Cancelled),
            _ => (How::Revoked, Step::Revoked),
        };
        grant.end(how, now.clone(), Some(parties::party(&visit.caller)));
        // Taking access away does not wait for a record.
        locked.put(&grant)?;
        let recorded = audit::record(&visit.subject, &Event::Grant(step, &parties::deal(&grant, grant.terms())));
        if settings.record == Record::Required {
            recorded?;
        }
        ended.push(grant);
    }
    drop(locked);
    tell(visit, &settings, &ended)?;
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

/// May this person take it away?
pub(super) fn may_end(grant: &Grant, rules: &[policy::ShareRule], caller: &Person) -> bool {
    let rule = Part::of(grant, rules).ok().map(|part| part.rule);
    policy::may_revoke(rule.as_ref(), grant.owner.uid, grant.guest.uid, caller)
}
