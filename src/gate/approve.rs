//! approve: the facts first, then the approver is asked who he is, then it is so. What was shown is what is approved: a grant that
//! changed meanwhile is shown again.
//!
//! Never: an approval from inside the session while somebody else is in there, or by whoever asked.

use super::entrance::{self, Entered};
use super::error::{Error, Status};
use super::parties::{self, Part};
use super::{Visit, answer_with, caller, facts, own, seal};
use crate::audit::{Event, Step};
use crate::cli::Adjustment;
use crate::grants::{Approval, Grant, Moment, Standing, State, Store};
use crate::ident::GrantId;
use crate::policy::{Person, Refusal, Terms};

/// Approves a request, for as much as was asked or less.
///
/// # Errors
/// Status 77 for whoever may not, 1 for what cannot be approved any more.
pub fn approve(visit: &Visit, id: &GrantId, less: Adjustment) -> Result<u8, Error> {
    let ready = entrance::prepare(visit)?;
    let patience = caller::no_longer_than(ready.settings.time_limit);
    let grant = parties::grant(&Store::open()?, id)?;
    let terms = narrowed(&grant, less);
    let caller = parties::person(&visit.caller)?;
    let part = Part::of(&grant, &parties::rules(&ready.settings)?)?;
    part.approvable(&caller, terms).map_err(|refusal| concealed(&grant, &caller, refusal))?;
    own::whole(&grant, terms.access)?;
    drop(patience);
    pending(&grant, &parties::now()?)?;
    follows_what_is_open(&Store::open()?, &grant, &parties::now()?)?;
    facts::away_from_guests(&ready, &grant)?;
    answer_with(&facts::text(&ready, &grant, &part.rule, terms))?;
    entrance::pass(&ready, |entered| {
        unsealed(&entered, &grant)?;
        let part = Part::of(&grant, &parties::rules(&entered.judged.settings)?)?;
        part.approvable(&entered.caller(), terms)?;
        facts::away_from_guests(&ready, &grant)?;
        let (store, now) = (Store::open()?, parties::now()?);
        let locked = store.lock()?;
        let mut current = parties::grant(&store, id)?;
        if current != grant {
            return Err(Error::NotNow(id.clone(), "it changed meanwhile; look at it again"));
        }
        pending(&current, &now)?;
        follows_what_is_open(&store, &current, &now)?;
        let by = parties::party(&visit.caller);
        let approval = Approval { by, at: now, access: terms.access, lifetime: terms.lifetime };
        current.approve(approval, part.rule.approvals);
        let event = Event::Grant(Step::Approved, &parties::deal(&current, current.terms()));
        entered.judged.record(entered.ready, &event)?;
        locked.put(&current)?;
        drop(locked);
        entered.teller().decided(&current);
        answer_with(&outcome(&current))?;
        Ok(Status::DONE)
    })
}

/// Whoever has no part in a grant learns nothing of it, not even that it is there.
pub(super) fn concealed(grant: &Grant, caller: &Person, error: Error) -> Error {
    let has_part = caller.uid == grant.owner.uid || caller.uid == grant.guest.uid;
    match error {
        Error::Sharing(Refusal::NotApprover | Refusal::NoRule) if !has_part => Error::NoGrant(grant.id.clone()),
        error => error,
    }
}

/// What was to change a grant that is over, or was changed otherwise since, changes nothing any more.
fn follows_what_is_open(store: &Store, grant: &Grant, now: &Moment) -> Result<(), Error> {
    let Some(id) = &grant.follows else { return Ok(()) };
    match parties::grant(store, id)?.standing(now) {
        Standing::Open(_) => Ok(()),
        Standing::Pending(_) | Standing::Over(_) => {
            Err(Error::NotNow(grant.id.clone(), "what it was to change is over"))
        }
    }
}

fn narrowed(grant: &Grant, less: Adjustment) -> Terms {
    let asked = grant.terms();
    Terms {
        access: less.access.map_or(asked.access, |access| access.min(asked.access)),
        lifetime: less.lifetime.map_or(asked.lifetime, |lifetime| lifetime.min(asked.lifetime)),
    }
}

fn pending(grant: &Grant, now: &Moment) -> Result<(), Error> {
    match grant.standing(now) {
        Standing::Pending(_) => Ok(()),
        Standing::Open(_) => Err(Error::NotNow(grant.id.clone(), "it is approved already")),
        Standing::Over(_) => Err(Error::NotNow(grant.id.clone(), "it is over")),
    }
}

/// A request with a code is approved by whoever was told the code.
fn unsealed(entered: &Entered<'_>, grant: &Grant) -> Result<(), Error> {
    if grant.asked_by.uid != grant.guest.uid { Ok(()) } else { seal::ask(entered, grant) }
}

pub(super) fn outcome(grant: &Grant) -> String {
    let (id, guest, terms) = (&grant.id, &grant.guest.name, grant.terms());
    let way = if grant.is_own() { "attach".to_owned() } else { format!("join {id}") };
    match grant.state {
        State::Approved { .. } => {
            format!("{id}: approved, {} for {}; {guest} may come with: tmux-gate {way}\n", terms.access, terms.lifetime)
        }
        State::Requested {} | State::Ended { .. } => {
            format!("{id}: one more approval is noted; it takes others besides\n")
        }
    }
}
