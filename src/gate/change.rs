//! change: an approved grant on other terms, also while its guest is in. Less is what a revocation is: done at once, by whoever may
//! revoke. More is an approval, and a grant of its own, linked to the first, whose place it takes.
//!
//! Never: more without the approver's password; a longer time for the grant that there is.

use std::path::Path;

use super::approve::{concealed, outcome};
use super::entrance::{self, Entered};
use super::error::{Error, Status};
use super::parties::{self, Part};
use super::{Visit, answer_with, caller, end, facts, own};
use crate::audit::{self, Event, Step};
use crate::cli::Adjustment;
use crate::config::{self, Record, Settings};
use crate::grants::{Approval, Grant, Moment, Standing, State, Store};
use crate::ident::{GrantId, Lifetime};
use crate::policy::Terms;

/// Gives a grant other terms.
///
/// # Errors
/// Status 77 for whoever may not, 1 for a grant that is over, 75 for one that waits.
pub fn change(visit: &Visit, id: &GrantId, into: Adjustment) -> Result<u8, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let (grant, now) = (parties::grant(&Store::open()?, id)?, parties::now()?);
    let patience = caller::no_longer_than(settings.time_limit);
    let (rules, caller) = (parties::rules(&settings)?, parties::person(&visit.caller)?);
    // Whoever has no part in it learns nothing, whatever he asks for; and looked up before the lock is taken, a directory that
    // does not answer keeps nobody else from taking access away.
    if !end::may_end(&grant, &rules, &caller) {
        return Err(Error::NoGrant(id.clone()));
    }
    drop(patience);
    if is_less(&grant, into, &now) { lower(visit, &settings, id, into) } else { raise(visit, &grant, into) }
}

fn is_less(grant: &Grant, into: Adjustment, now: &Moment) -> bool {
    grant.covers_less(into.access.unwrap_or(grant.terms().access), into.lifetime, now)
}

fn lower(visit: &Visit, settings: &Settings, id: &GrantId, into: Adjustment) -> Result<u8, Error> {
    let store = Store::open()?;
    let (locked, now) = (store.lock()?, parties::now()?);
    let mut grant = parties::grant(&store, id)?;
    open(&grant, &now)?;
    if !is_less(&grant, into, &now) {
        return Err(Error::NotNow(id.clone(), "it changed meanwhile; look at it again"));
    }
    own::whole(&grant, into.access.unwrap_or(grant.terms().access))?;
    let (access, before) = (into.access.unwrap_or(grant.terms().access), grant.clone());
    grant.lower(access, into.lifetime, &now);
    if grant == before {
        return Err(Error::NotNow(id.clone(), "it is so already"));
    }
    // Taking access away does not wait for a record.
    locked.put(&grant)?;
    drop(locked);
    let terms = Terms { access, lifetime: into.lifetime.unwrap_or(grant.terms().lifetime) };
    let recorded = audit::record(&visit.subject, &Event::Grant(Step::Changed, &parties::deal(&grant, terms)));
    if settings.record == Record::Required {
        recorded?;
    }
    let time = into.lifetime.map(|lifetime| format!(", for {lifetime} from now")).unwrap_or_default();
    answer_with(&format!("{id}: {access}{time}\n"))?;
    Ok(Status::DONE)
}

fn raise(visit: &Visit, grant: &Grant, into: Adjustment) -> Result<u8, Error> {
    let ready = entrance::prepare(visit)?;
    let patience = caller::no_longer_than(ready.settings.time_limit);
    let (caller, now) = (parties::person(&visit.caller)?, parties::now()?);
    let part = Part::of(grant, &parties::rules(&ready.settings)?)?;
    let left = open(grant, &now).map(|left| Lifetime::try_from((left / 1000).max(1)));
    let current = grant.terms();
    // Another access alone changes nothing about the end.
    let lifetime = into.lifetime.or(left.as_ref().ok().and_then(|left| left.as_ref().ok()).copied());
    let wanted =
        Terms { access: into.access.unwrap_or(current.access), lifetime: lifetime.unwrap_or(current.lifetime) };
    part.approvable(&caller, wanted).map_err(|refusal| concealed(grant, &caller, refusal))?;
    drop(patience);
    own::whole(grant, wanted.access)?;
    left?.map_err(|_| Error::NotNow(grant.id.clone(), "it is over"))?;
    facts::away_from_guests(&ready, grant)?;
    answer_with(&facts::text(&ready, grant, &part.rule, wanted))?;
    entrance::pass(&ready, |entered| {
        let part = Part::of(grant, &parties::rules(&entered.judged.settings)?)?;
        part.approvable(&entered.caller(), wanted)?;
        facts::away_from_guests(&ready, grant)?;
        let next = put(&entered, grant, (wanted, into), part.rule.approvals)?;
        match next.state {
            State::Approved { .. } => entered.teller().decided(&next),
            State::Requested {} | State::Ended { .. } => entered.teller().requested(&next),
        }
        answer_with(&outcome(&next))?;
        Ok(Status::DONE)
    })
}

fn put(
    entered: &Entered<'_>,
    grant: &Grant,
    (wanted, into): (Terms, Adjustment),
    needed: usize,
) -> Result<Grant, Error> {
    let (store, now) = (Store::open()?, parties::now()?);
    let locked = store.lock()?;
    let current = parties::grant(&store, &grant.id)?;
    open(&current, &now)?;
    if current != *grant {
        return Err(Error::NotNow(grant.id.clone(), "it changed meanwhile; look at it again"));
    }
    let by = parties::party(&entered.ready.visit.caller);
    // The code of a request has done its work; that of an invitation is asked for at each join.
    let seal = current.seal.clone().filter(|_| current.asked_by.uid != current.guest.uid);
    let mut next = Grant {
        id: locked.new_id()?,
        access: wanted.access,
        lifetime: wanted.lifetime,
        asked_by: by.clone(),
        asked_at: now.clone(),
        approvals: Vec::new(),
        state: State::Requested {},
        follows: Some(current.id.clone()),
        seal,
        ..current.clone()
    };
    next.approve(Approval { by, at: now, access: wanted.access, lifetime: wanted.lifetime }, needed);
    if into.lifetime.is_none() {
        next.end_with(&current);
    }
    let event = Event::Grant(Step::Changed, &parties::deal(&next, wanted));
    entered.judged.record(entered.ready, &event)?;
    locked.put(&next)?;
    Ok(next)
}

/// Milliseconds that an open grant has left.
fn open(grant: &Grant, now: &Moment) -> Result<u64, Error> {
    match grant.standing(now) {
        Standing::Open(left) => Ok(left),
        Standing::Pending(_) => Err(Error::NotYet(grant.id.clone())),
        Standing::Over(_) => Err(Error::NotNow(grant.id.clone(), "it is over")),
    }
}
