//! Who are the people of a grant, what do the rules say of them, and what time is it? Lookups for the verbs between people.
//! Never: a word about somebody who may not be known; a decision, which is policy's.

use std::path::Path;

use super::caller::{self, Caller, Fault};
use super::error::Error;
use crate::audit::Deal;
use crate::config::{self, ApproverEntry, Entry, Settings, Share};
use crate::grants::{Grant, Moment, Party, Store};
use crate::ident::{GrantId, Name, Uid};
use crate::policy::{self, Approver, Pair, People, Person, Refusal, ShareRule, Terms};
use crate::sys::{clock, process};

/// Now, on both clocks.
///
/// # Errors
/// [`Error::Clock`]: nothing can be limited without.
pub(super) fn now() -> Result<Moment, Error> {
    let boot = clock::boot_id().map_err(Error::Clock)?;
    let (wall, since_boot) = (clock::wall_ms(), clock::since_boot().as_millis());
    Ok(Moment { wall, boot, since_boot: u64::try_from(since_boot).unwrap_or(u64::MAX) })
}

/// As a grant names them.
pub(super) fn party(caller: &Caller) -> Party {
    Party { uid: caller.uid, name: caller.name.clone() }
}

/// As rules judge them: a lookup of all groups.
///
/// # Errors
/// [`Fault::Outage`].
pub(super) fn person(caller: &Caller) -> Result<Person, Fault> {
    Ok(Person { uid: caller.uid, gids: caller.groups()? })
}

/// The owner or guest that the caller names. Whoever is not there looks like somebody whom no rule is about.
///
/// # Errors
/// [`Refusal::NoRule`], [`Fault::Outage`].
pub(super) fn named(name: &Name) -> Result<Caller, Error> {
    match caller::look_up_name(name) {
        Ok(found) => Ok(found),
        Err(Fault::Stranger(_) | Fault::Unusable(..) | Fault::Ambiguous(..)) => Err(Error::Sharing(Refusal::NoRule)),
        Err(outage @ Fault::Outage(_)) => Err(outage.into()),
    }
}

/// The same for somebody in a grant, who may be gone since: then nobody is him any more.
///
/// # Errors
/// As above.
pub(super) fn of(party: &Party) -> Result<Person, Error> {
    Ok(person(&caller_of(party)?)?)
}

/// As the users database knows him.
///
/// # Errors
/// As above.
pub(super) fn caller_of(party: &Party) -> Result<Caller, Error> {
    match caller::look_up(party.uid) {
        Ok(found) if found.name == party.name => Ok(found),
        Ok(_) | Err(Fault::Stranger(_) | Fault::Unusable(..) | Fault::Ambiguous(..)) => {
            Err(Error::Sharing(Refusal::NoRule))
        }
        Err(outage @ Fault::Outage(_)) => Err(outage.into()),
    }
}

/// The configuration's `[[share]]` with ids for names, read now.
///
/// # Errors
/// The configuration's, or [`Fault::Outage`]: a rule that cannot be read lets nobody in.
pub(super) fn rules(settings: &Settings) -> Result<Vec<ShareRule>, Fault> {
    settings.shares.iter().map(rule).collect()
}

/// The same, with the configuration as it is now.
///
/// # Errors
/// As above.
pub(super) fn rules_now() -> Result<Vec<ShareRule>, Error> {
    Ok(rules(&config::load(Path::new(config::PATH))?)?)
}

fn rule(share: &Share) -> Result<ShareRule, Fault> {
    let approver = |entry: &ApproverEntry| match entry {
        ApproverEntry::Owner => Ok(Approver::Owner),
        ApproverEntry::Other(entry) => caller::resolve(entry).map(Approver::Other),
    };
    Ok(ShareRule {
        owners: people(share.owners.as_deref())?,
        guests: people(share.guests.as_deref())?,
        access: share.access,
        longest: share.max_duration,
        approvers: share.approvers.iter().map(approver).collect::<Result<_, _>>()?,
        approvals: share.approvals,
    })
}

fn people(entries: Option<&[Entry]>) -> Result<People, Fault> {
    match entries {
        None => Ok(People::Everybody),
        Some(entries) => Ok(People::Of(entries.iter().map(caller::resolve).collect::<Result<_, _>>()?)),
    }
}

/// Whose log-in, and whose processes, stand behind this one.
///
/// # Errors
/// [`Error::Ancestry`]: who cannot be told apart from the requester is not told apart.
pub(super) fn behind() -> Result<Vec<Uid>, Error> {
    process::uids_behind().map_err(Error::Ancestry)
}

/// The grant of that id, if this person has a part in it; else there is none.
///
/// # Errors
/// [`Error::NoGrant`], the store's.
pub(super) fn grant(store: &Store, id: &GrantId) -> Result<Grant, Error> {
    store.find(id)?.ok_or_else(|| Error::NoGrant(id.clone()))
}

/// The two of a grant, and the rule about them.
pub(super) struct Part {
    pub owner: Person,
    pub guest: Person,
    pub rule: ShareRule,
}

impl Part {
    /// Looked up now; somebody who is gone has no part.
    pub(super) fn of(grant: &Grant, rules: &[ShareRule]) -> Result<Self, Error> {
        let (owner, guest) = (of(&grant.owner)?, of(&grant.guest)?);
        let rule = policy::rule_for(rules, &owner, &guest).and_then(|place| rules.get(place));
        let rule = rule.ok_or(Refusal::NoRule)?.clone();
        Ok(Self { owner, guest, rule })
    }

    /// May this person approve it on these terms?
    pub(super) fn approvable(&self, approver: &Person, terms: Terms) -> Result<(), Error> {
        let pair = Pair { owner: &self.owner, guest: &self.guest };
        policy::may_approve(&self.rule, &pair, approver, &behind()?, terms)?;
        Ok(())
    }
}

/// As the record names it, on these terms.
pub(super) fn deal<'a>(grant: &'a Grant, terms: Terms) -> Deal<'a> {
    Deal {
        grant: &grant.id,
        guest: &grant.guest.name,
        owner: &grant.owner.name,
        session: grant.session.as_ref(),
        access: terms.access,
        lifetime: terms.lifetime,
        reason: &grant.reason,
    }
}
