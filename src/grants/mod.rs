//! Who has been granted what? A grant's life: requested, approved, ended. The store keeps one file a grant.
//! Never: who should have it (policy/ says that), a clock of its own, a grant without an end.

pub mod presence;
mod store;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use store::{Error, Locked, Store};

use crate::ident::{Access, GrantId, Lifetime, Name, Reason, SessionName, Uid};
use crate::policy::Terms;

/// How long a request waits for its approval, in seconds.
pub const LAPSE: u64 = 3600;
/// How many requests of one person may wait, or have come to nothing within an hour.
pub const MOST_PENDING: usize = 16;
/// How many grants one person may have asked for within an hour, or have open, in all.
pub const MOST_IN_AN_HOUR: usize = 256;

/// Somebody, as he was called then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Decides.
    pub uid: Uid,
    /// For people.
    pub name: Name,
}

/// A moment on both clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Milliseconds since 1970 on the wall clock, which can be set.
    pub wall: u64,
    /// The boot during which `since_boot` counts (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// Milliseconds on the clock that counts suspend and cannot be set.
    pub since_boot: u64,
}

impl Moment {
    /// The moment so much later.
    #[must_use]
    pub fn after(&self, lifetime: Lifetime) -> Self {
        self.later(lifetime.duration())
    }

    /// The same, with what is no lifetime of a grant.
    #[must_use]
    pub fn later(&self, more: Duration) -> Self {
        let more = u64::try_from(more.as_millis()).unwrap_or(u64::MAX);
        Self {
            wall: self.wall.saturating_add(more),
            boot: self.boot.clone(),
            since_boot: self.since_boot.saturating_add(more),
        }
    }

    /// The earlier of the two on each clock.
    #[must_use]
    pub fn earlier(&self, other: &Self) -> Self {
        let same = self.boot == other.boot;
        let since_boot = if same { self.since_boot.min(other.since_boot) } else { self.since_boot };
        Self { wall: self.wall.min(other.wall), boot: self.boot.clone(), since_boot }
    }

    /// Milliseconds from `now` until this moment, by whichever clock says less; of another boot only the wall clock counts.
    #[must_use]
    pub fn left(&self, now: &Self) -> u64 {
        let wall = self.wall.saturating_sub(now.wall);
        if self.boot == now.boot { wall.min(self.since_boot.saturating_sub(now.since_boot)) } else { wall }
    }
}

/// One approval: who, when, and what he narrowed it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The approver.
    pub by: Party,
    /// When.
    pub at: Moment,
    /// The most that he approved.
    pub access: Access,
    /// The longest that he approved.
    pub lifetime: Lifetime,
}

/// How a grant or a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its time was over.
    Expired,
    /// Somebody took it away.
    Revoked,
    /// Nobody wanted to approve it.
    Denied,
    /// Whoever asked took it back.
    Cancelled,
    /// Nobody approved it in time.
    Lapsed,
    /// A grant with other terms took its place.
    Replaced,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Lapsed => "lapsed",
            Self::Replaced => "replaced",
        })
    }
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum State {
    /// Waiting for approval.
    Requested {},
    /// Approved by as many as it takes.
    Approved {
        /// The end, on both clocks.
        until: Moment,
        /// What all approvers gave.
        access: Access,
    },
    /// Over.
    Ended {
        /// In which way.
        how: How,
        /// When.
        at: Moment,
        /// Who did it, if somebody did.
        by: Option<Party>,
    },
}

/// The code that goes with a grant, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The grant that it was made for: one that takes its place has the same code.
    pub of: GrantId,
    /// SHA-256 of id and code, in hexadecimal.
    pub digest: String,
    /// How many wrong codes are left.
    pub tries: u8,
}

/// A grant, from the request to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who gets in.
    pub guest: Party,
    /// Into whose sessions.
    pub owner: Party,
    /// Which session; all of them, if none is named.
    pub session: Option<SessionName>,
    /// What was asked for.
    pub access: Access,
    /// For how long.
    pub lifetime: Lifetime,
    /// Why.
    pub reason: Reason,
    /// Who asked: the guest, or the owner who invited him.
    pub asked_by: Party,
    /// When.
    pub asked_at: Moment,
    /// Who approved so far.
    pub approvals: Vec<Approval>,
    /// How far it has come.
    pub state: State,
    /// The grant that this one extends or changes.
    pub follows: Option<GrantId>,
    /// The code without which nobody enters by it.
    pub seal: Option<Seal>,
}

/// What holds of a grant at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits; so many milliseconds until it lapses.
    Pending(u64),
    /// It is good for so many milliseconds.
    Open(u64),
    /// It is over.
    Over(How),
}

impl Grant {
    /// What holds now, whatever the file says of a time that has passed.
    #[must_use]
    pub fn standing(&self, now: &Moment) -> Standing {
        match &self.state {
            State::Requested {} => match self.lapse().left(now) {
                0 => Standing::Over(How::Lapsed),
                left => Standing::Pending(left),
            },
            State::Approved { .. } if self.is_before_its_time(now) => Standing::Over(How::Expired),
            State::Approved { until, .. } => match until.left(now) {
                0 => Standing::Over(How::Expired),
                left => Standing::Open(left),
            },
            State::Ended { how, .. } => Standing::Over(*how),
        }
    }

    /// Since a reboot the wall clock is all there is: one that stands before the approval was set back, and nobody knows how far.
    fn is_before_its_time(&self, now: &Moment) -> bool {
        self.approvals.last().is_some_and(|last| last.at.boot != now.boot && now.wall < last.at.wall)
    }

    /// As one that was put away is read: over, whatever was written of it last.
    fn laid_to_rest(mut self) -> Self {
        let at = self.approvals.last().map_or(&self.asked_at, |last| &last.at).clone();
        self.end(How::Revoked, at, None);
        self
    }

    fn lapse(&self) -> Moment {
        let lapse = LAPSE.saturating_mul(1000);
        Moment {
            wall: self.asked_at.wall.saturating_add(lapse),
            boot: self.asked_at.boot.clone(),
            since_boot: self.asked_at.since_boot.saturating_add(lapse),
        }
    }

    /// What was asked for, less what each approver took off, and what was taken off since.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let most = match &self.state {
            State::Approved { access, .. } => self.access.min(*access),
            State::Requested {} | State::Ended { .. } => self.access,
        };
        let asked = Terms { access: most, lifetime: self.lifetime };
        self.approvals.iter().fold(asked, |terms, one| Terms {
            access: terms.access.min(one.access),
            lifetime: terms.lifetime.min(one.lifetime),
        })
    }

    /// Would this be no more, in access and in time, than what an approved grant gives from `now` on?
    #[must_use]
    pub fn covers_less(&self, access: Access, lifetime: Option<Lifetime>, now: &Moment) -> bool {
        match &self.state {
            State::Approved { until, access: given } => {
                let in_time = lifetime.is_none_or(|lifetime| now.after(lifetime).left(now) <= until.left(now));
                access <= *given && in_time
            }
            State::Requested {} | State::Ended { .. } => false,
        }
    }

    /// Takes something off an approved grant: what [`Grant::covers_less`] says of.
    pub fn lower(&mut self, access: Access, lifetime: Option<Lifetime>, now: &Moment) {
        if let State::Approved { until, access: given } = &mut self.state {
            *given = access.min(*given);
            let sooner = lifetime.map(|lifetime| now.after(lifetime)).filter(|end| end.left(now) < until.left(now));
            *until = sooner.unwrap_or_else(|| until.clone());
        }
    }

    /// Ends no later than the other one, whatever its own time.
    pub fn end_with(&mut self, other: &Self) {
        if let (State::Approved { until, .. }, State::Approved { until: end, .. }) = (&mut self.state, &other.state) {
            *until = until.earlier(end);
        }
    }

    /// Adds an approval, unless it does not wait for one any more; with `needed` of them, by as many people, the clock starts now.
    pub fn approve(&mut self, approval: Approval, needed: usize) {
        if !matches!(self.standing(&approval.at), Standing::Pending(_)) {
            return;
        }
        self.approvals.retain(|one| one.by.uid != approval.by.uid);
        let now = approval.at.clone();
        self.approvals.push(approval);
        if self.approvals.len() >= needed {
            let terms = self.terms();
            self.state = State::Approved { until: now.after(terms.lifetime), access: terms.access };
        }
    }

    /// Ends it, unless it is over.
    pub fn end(&mut self, how: How, at: Moment, by: Option<Party>) {
        if !matches!(self.state, State::Ended { .. }) {
            self.state = State::Ended { how, at, by };
        }
    }

    /// Is it for the own session?
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.owner.uid == self.guest.uid
    }

    /// Does it open this session of its owner's?
    #[must_use]
    pub fn covers(&self, session: &SessionName) -> bool {
        self.session.as_ref().is_none_or(|named| named == session)
    }
}

#[cfg(test)]
pub(crate) mod tests;
