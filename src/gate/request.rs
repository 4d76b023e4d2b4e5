//! request and invite: a grant is asked for, or offered. An invitation is a request and the owner's approval in one step, and
//! needs what the rule asks besides.

use super::entrance::{self, Entered};
use super::error::{Error, Status};
use super::{Visit, answer_with, facts, own, parties, seal, wait};
use crate::audit::{Event, Step};
use crate::cli::{Patience, Place, Sealing, Wish};
use crate::grants::{Approval, Grant, Party, State, Store};
use crate::ident::{Access, Name, SessionName};
use crate::policy::{self, Pair, Terms};

/// Asks for a part in somebody else's session.
///
/// # Errors
/// Status 77 where no rule gives so much; the store's.
pub fn request(visit: &Visit, place: Place, wish: Wish, patience: Patience) -> Result<u8, Error> {
    let ready = entrance::prepare(visit)?;
    entrance::pass(&ready, |entered| {
        let owner = parties::named(&place.owner)?;
        if owner.uid == visit.caller.uid {
            return request_own(&entered, place.session, wish);
        }
        let asked =
            Asked { owner: parties::party(&owner), guest: parties::party(&visit.caller), session: place.session };
        let (rules, terms) = (parties::rules(&entered.judged.settings)?, terms(&wish));
        policy::may_request(&rules, &parties::person(&owner)?, &entered.caller(), terms)?;
        let (grant, said) = asked.add(&entered, wish, None)?;
        let (id, owner) = (&grant.id, &grant.owner.name);
        answer_with(&format!("{id}: requested; {owner} may approve it with: tmux-gate approve {id}\n{said}"))?;
        entered.teller().requested(&grant);
        wait::wait(entered, &grant, patience)
    })
}

/// Asks for the own session, where it takes a grant. Read-write, whatever was said: only to see what is one's own makes no sense.
fn request_own(entered: &Entered<'_>, session: Option<SessionName>, wish: Wish) -> Result<u8, Error> {
    let (caller, settings) = (&entered.ready.visit.caller, &entered.judged.settings);
    own::may_ask(settings, caller, &entered.judged.groups)?;
    policy::may_request_own(&parties::rules(settings)?, &entered.caller(), wish.lifetime)?;
    let oneself = parties::party(caller);
    let asked = Asked { owner: oneself.clone(), guest: oneself, session };
    let (grant, said) = asked.add(entered, Wish { access: Access::ReadWrite, ..wish }, None)?;
    let id = &grant.id;
    answer_with(&format!(
        "{id}: requested; somebody else may approve it with: tmux-gate approve {id}\n\
         {id}: come then with: tmux-gate attach\n{said}"
    ))?;
    Ok(Status::DONE)
}

/// Offers somebody a part in the own session.
///
/// # Errors
/// As above.
pub fn invite(visit: &Visit, user: &Name, session: Option<SessionName>, wish: Wish) -> Result<u8, Error> {
    let ready = entrance::prepare(visit)?;
    if let Some(guest) = facts::looking_on(&ready)? {
        return Err(Error::InvitesWatched(guest));
    }
    entrance::pass(&ready, |entered| {
        let guest = parties::named(user)?;
        let (owner_person, guest_person) = (entered.caller(), parties::person(&guest)?);
        let (rules, terms) = (parties::rules(&entered.judged.settings)?, terms(&wish));
        let place = policy::may_request(&rules, &owner_person, &guest_person, terms)?;
        let rule = rules.get(place).ok_or(policy::Refusal::NoRule)?;
        let pair = Pair { owner: &owner_person, guest: &guest_person };
        policy::may_approve(rule, &pair, &owner_person, &parties::behind()?, terms)?;
        let asked = Asked { owner: parties::party(&visit.caller), guest: parties::party(&guest), session };
        let (grant, said) = asked.add(&entered, wish, Some(rule.approvals))?;
        let (id, guest) = (&grant.id, &grant.guest.name);
        let standing = match grant.state {
            State::Approved { .. } => format!("{guest} may come with: tmux-gate join {id}"),
            State::Requested {} | State::Ended { .. } => "others have to approve it as well".to_owned(),
        };
        answer_with(&format!("{id}: invited; {standing}\n{said}"))?;
        match grant.state {
            State::Approved { .. } => entered.teller().decided(&grant),
            State::Requested {} | State::Ended { .. } => entered.teller().requested(&grant),
        }
        Ok(Status::DONE)
    })
}

fn terms(wish: &Wish) -> Terms {
    Terms { access: wish.access, lifetime: wish.lifetime }
}

struct Asked {
    owner: Party,
    guest: Party,
    session: Option<SessionName>,
}

impl Asked {
    /// Records it and puts it into the store; `approvals` of the owner's invitation, if it is one. What is to be said besides.
    fn add(self, entered: &Entered<'_>, wish: Wish, approvals: Option<usize>) -> Result<(Grant, String), Error> {
        let (store, now) = (Store::open()?, parties::now()?);
        let asked_by = parties::party(&entered.ready.visit.caller);
        let locked = store.lock()?;
        locked.room_for(asked_by.uid, &now)?;
        let id = locked.new_id()?;
        let (seal, said) = match wish.sealing {
            Sealing::WithCode => seal::new(&id)?,
            Sealing::Plain => (None, String::new()),
        };
        let mut grant = Grant {
            id,
            guest: self.guest,
            owner: self.owner,
            session: self.session,
            access: wish.access,
            lifetime: wish.lifetime,
            reason: wish.reason,
            asked_by: asked_by.clone(),
            asked_at: now.clone(),
            approvals: Vec::new(),
            state: State::Requested {},
            follows: None,
            seal,
        };
        let mut step = Step::Requested;
        if let Some(needed) = approvals {
            let (access, lifetime) = (grant.access, grant.lifetime);
            grant.approve(Approval { by: asked_by, at: now.clone(), access, lifetime }, needed);
            step = Step::Invited;
        }
        entered.judged.record(entered.ready, &Event::Grant(step, &parties::deal(&grant, grant.terms())))?;
        locked.add(&grant, &now)?;
        Ok((grant, said))
    }
}
