//! join: somebody else's session, by an approved grant. Steps 8 to 11 of the order, for a guest.
//!
//! MUST: the grant found and judged after PAM, by the rules of now; recorded before the session is opened.
//! Never: a tmux command as root or as the guest.

use super::entrance::{self, Entered, Ready};
use super::error::{Error, Status};
use super::guest::{self, End, Visiting};
use super::parties::{self, Part};
use super::{Visit, caller, changes, own, seal, surroundings};
use crate::audit::{Event, Step};
use crate::cli::{Place, Way};
use crate::grants::{Grant, Moment, Standing, State, Store};
use crate::ident::{Access, GrantId, Name, SessionName};
use crate::policy::{self, ShareRule, Terms};
use crate::session::{self, Stage};
use crate::sys::clock;
use crate::sys::ids;
use crate::sys::process::Doom;
use crate::tmux::{self, AskError, CustodyError, Home, Socket};

/// Enters somebody else's session and waits until it is over.
///
/// # Errors
/// Status 77 without a grant that is good now, 69 where the session is not there.
pub fn run(visit: &Visit, way: &Way) -> Result<u8, Error> {
    let ready = entrance::prepare(visit)?;
    surroundings::judge(visit, &ready.settings)?;
    // Without one that is good by the rules of now nobody is asked for a password.
    let patience = caller::no_longer_than(ready.settings.time_limit);
    limits(&open_grant(visit, way)?)?;
    drop(patience);
    entrance::pass(&ready, |entered| enter(entered, way))
}

/// Enters, as somebody whom PAM has judged.
///
/// # Errors
/// As above.
pub(super) fn enter(entered: Entered<'_>, way: &Way) -> Result<u8, Error> {
    let grant = open_grant(entered.ready.visit, way)?;
    if grant.asked_by.uid != grant.guest.uid {
        seal::ask(&entered, &grant)?;
    }
    let going = Going::of(entered.ready, grant, way)?;
    let Entered { ready, link, vouched, judged, doom } = entered;
    let deal = parties::deal(&going.grant, going.terms);
    judged.record(ready, &Event::Grant(Step::Joined, &deal))?;

    ids::init_groups(&judged.groups)?;
    ready.visit.inheritance.offer_umask();
    let mut inheritance = Ok(ready.visit.inheritance);
    let opened = vouched.open(|| inheritance = ready.visit.inheritance.after_session_modules());
    let opened = opened.map_err(|error| Error::Pam(ready.visit.caller.name.clone(), error))?;
    drop(doom);
    let inheritance = inheritance.map_err(Error::Entry)?;
    session::put_right(Stage::Judged).map_err(Error::Entry)?;
    let before = changes::before(ready, &judged, &going);
    let started = clock::since_boot();
    let visiting = Visiting { ready, judged: &judged, link, going: &going, inheritance };
    let ended = guest::live(&visiting);
    // Whatever comes now, the session is closed.
    let _ = session::put_right(Stage::Judged);
    let seconds = clock::since_boot().saturating_sub(started).as_secs();
    let (end, last) =
        (ended.as_ref().ok().map(|(end, _)| *end), ended.as_ref().map_or(&going.grant, |(_, grant)| grant));
    if let Some(line) = end.and_then(End::farewell) {
        link.farewell(&format!("tmux-gate: {line}\n"));
    }
    let changed = match before {
        Some(before) => Some(before.tell(ready, &judged, &going)),
        // What was there before, nobody looked at.
        None if last.terms().access == Access::ReadWrite => {
            Some("not known, he got to type while he was in".to_owned())
        }
        None => None,
    };
    link.left(end.map_or(Status::FAILED, End::status));
    let how = end.map_or("failed", End::word);
    let deal = parties::deal(last, last.terms());
    let _ = judged.record(ready, &Event::Left { deal: &deal, how, seconds, changed: changed.as_deref() });
    let doom = Doom::after(judged.settings.time_limit);
    opened.close();
    drop(doom);
    ended.map(|(end, _)| end.status())
}

/// The caller's grant that is meant, good now. What looks like an id and is none may be somebody's name.
fn open_grant(visit: &Visit, way: &Way) -> Result<Grant, Error> {
    let (store, now, uid) = (Store::open()?, parties::now()?, visit.caller.uid);
    match way {
        Way::Grant(id) => match store.find(id)?.filter(|grant| grant.guest.uid == uid) {
            Some(grant) => {
                own::not_to_join(&grant)?;
                open(grant, &now)
            }
            None => {
                let owner = Name::parse(id.as_str().as_bytes()).map_err(|_| Error::NoGrant(id.clone()))?;
                let found = by_place(&store.of_guest(uid)?, &Place { owner, session: None }, &now);
                found.map_err(|error| if let Error::NoneOpen(_) = error { Error::NoGrant(id.clone()) } else { error })
            }
        },
        Way::Place(place) => by_place(&store.of_guest(uid)?, place, &now),
    }
}

/// Of the grants for that place the one that is open and gives the most.
fn by_place(grants: &[Grant], place: &Place, now: &Moment) -> Result<Grant, Error> {
    let covers = |grant: &Grant| place.session.as_ref().is_none_or(|session| grant.covers(session));
    let fitting = grants.iter().filter(|grant| !grant.is_own() && grant.owner.name == place.owner && covers(grant));
    let standing = |grant: &&Grant| match grant.standing(now) {
        Standing::Open(_) => Some(2),
        Standing::Pending(_) => Some(1),
        Standing::Over(_) => None,
    };
    let best =
        fitting.filter(|grant| standing(grant).is_some()).max_by_key(|grant| (standing(grant), grant.terms().access));
    open(best.cloned().ok_or_else(|| Error::NoneOpen(place.owner.clone()))?, now)
}

fn open(grant: Grant, now: &Moment) -> Result<Grant, Error> {
    let not_now = |id: &GrantId, why| Err(Error::NotNow(id.clone(), why));
    match grant.standing(now) {
        Standing::Open(_) => Ok(grant),
        Standing::Pending(_) => Err(Error::NotYet(grant.id.clone())),
        Standing::Over(_) => not_now(&grant.id, "it is over"),
    }
}

/// A grant that is good, and where it leads.
pub(super) struct Going {
    pub grant: Grant,
    pub terms: Terms,
    pub owner: super::caller::Caller,
    pub home: Home,
    pub session: (u32, SessionName),
}

impl Going {
    fn of(ready: &Ready<'_>, grant: Grant, way: &Way) -> Result<Self, Error> {
        let (terms, _) = limits(&grant)?;
        let owner = parties::caller_of(&grant.owner)?;
        let none = || Error::NoSession(owner.name.clone());
        let home = match ready.runtime.home(owner.uid) {
            Err(CustodyError::Missing(_)) => return Err(none()),
            home => home?,
        };
        if home.socket()? == Socket::Absent {
            return Err(none());
        }
        let named = match (&grant.session, way) {
            (Some(session), _) => Some(session),
            (None, Way::Place(place)) => place.session.as_ref(),
            (None, Way::Grant(_)) => None,
        };
        let question = tmux::list_sessions(&tmux::socket(owner.uid), tmux::SESSIONS);
        let answer = tmux::as_owner(&ready.settings.tmux, &owner.asking(ready.gate_group, &home), &question);
        let answer = answer.map_err(|error| of_server(error, &owner.name))?;
        let session = tmux::find_session(&answer, named).ok_or_else(none)?;
        Ok(Self { grant, terms, owner, home, session })
    }
}

/// What a guest is told of an owner's server that hangs: he can do nothing about it.
pub(super) fn of_server(error: AskError, owner: &Name) -> Error {
    match error {
        AskError::Hung => Error::Silent(owner.clone()),
        error @ AskError::Start(_) => error.into(),
    }
}

/// What the grant gives by the rules of now, and its end.
///
/// # Errors
/// Nothing: by the rules, or because the grant is over.
pub(super) fn limits(grant: &Grant) -> Result<(Terms, Moment), Error> {
    within(grant, &Part::of(grant, &parties::rules_now()?)?.rule)
}

/// What the grant gives under this rule, and its end. Nobody is looked up.
///
/// # Errors
/// As above.
pub(super) fn within(grant: &Grant, rule: &ShareRule) -> Result<(Terms, Moment), Error> {
    let granted = grant.terms();
    let terms = policy::still_gives(rule, granted, grant.approvals.len())?;
    let State::Approved { until, .. } = &grant.state else {
        return Err(Error::NotNow(grant.id.clone(), "it is over"));
    };
    // A rule that became shorter shortens what it gave, and gives nobody back what was taken off since.
    let started = grant.approvals.last().map(|last| &last.at);
    let shortened = started.filter(|_| terms.lifetime < granted.lifetime).map(|at| at.after(terms.lifetime));
    Ok((terms, shortened.map_or_else(|| until.clone(), |shortened| until.earlier(&shortened))))
}
