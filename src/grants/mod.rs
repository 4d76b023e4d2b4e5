//! Who has been granted what? A grant's life: requested, approved, ended. The store keeps one file a grant.
//! Never: who should have it (policy/ says that), a clock of its own, a grant without an end.

pub mod presence;
mod store;

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
        let more = lifetime.seconds().saturating_mul(1000);
        Self {
            wall: self.wall.saturating_add(more),
            boot: self.boot.clone(),
            since_boot: self.since_boot.saturating_add(more),
        }
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

    /// Does it open this session of its owner's?
    #[must_use]
    pub fn covers(&self, session: &SessionName) -> bool {
        self.session.as_ref().is_none_or(|named| named == session)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn party(uid: u32, name: &str) -> Party {
        Party { uid: Uid::new(uid).expect("a uid"), name: Name::parse(name.as_bytes()).expect("a name") }
    }

    pub(crate) fn moment(seconds: u64) -> Moment {
        Moment { wall: 1_700_000_000_000 + seconds * 1000, boot: "b".to_owned(), since_boot: seconds * 1000 }
    }

    pub(crate) fn grant(id: &str, owner: u32, guest: u32) -> Grant {
        Grant {
            id: GrantId::parse(id).expect("an id"),
            guest: party(guest, "guest"),
            owner: party(owner, "owner"),
            session: SessionName::parse("work").ok(),
            access: Access::ReadWrite,
            lifetime: Lifetime::try_from(600).expect("a lifetime"),
            reason: Reason::parse("the disk is full again").expect("a reason"),
            asked_by: party(guest, "guest"),
            asked_at: moment(0),
            approvals: Vec::new(),
            state: State::Requested {},
            follows: None,
            seal: None,
        }
    }

    fn approval(uid: u32, at: u64, access: Access, seconds: u64) -> Approval {
        let lifetime = Lifetime::try_from(seconds).expect("a lifetime");
        Approval { by: party(uid, "x"), at: moment(at), access, lifetime }
    }

    #[test]
    fn a_request_waits_an_hour_and_lapses() {
        let grant = grant("k7q2mx", 1001, 1002);
        assert_eq!(grant.standing(&moment(1)), Standing::Pending(3_599_000));
        assert_eq!(grant.standing(&moment(3600)), Standing::Over(How::Lapsed));
    }

    #[test]
    fn the_clock_starts_when_enough_have_approved_and_each_may_only_narrow() {
        let mut grant = grant("k7q2mx", 1001, 1002);
        grant.approve(approval(1003, 10, Access::ReadOnly, 600), 2);
        grant.approve(approval(1003, 11, Access::ReadWrite, 600), 2);
        assert!(matches!(grant.standing(&moment(12)), Standing::Pending(_)), "one person is one, however often");
        grant.approve(approval(1003, 13, Access::ReadOnly, 300), 2);
        grant.approve(approval(1004, 100, Access::ReadWrite, 500), 2);
        assert_eq!(grant.standing(&moment(100)), Standing::Open(300_000));
        assert!(matches!(grant.state, State::Approved { access: Access::ReadOnly, .. }));
        assert_eq!(grant.standing(&moment(400)), Standing::Over(How::Expired));
    }

    #[test]
    fn whichever_clock_says_that_it_is_over_is_right() {
        let mut grant = grant("k7q2mx", 1001, 1002);
        grant.approve(approval(1001, 0, Access::ReadOnly, 600), 1);
        let now = |wall: u64, since_boot: u64, boot: &str| Moment {
            wall: moment(wall).wall,
            boot: boot.to_owned(),
            since_boot: since_boot * 1000,
        };
        assert_eq!(grant.standing(&now(0, 600, "b")), Standing::Over(How::Expired), "the wall clock was set back");
        assert_eq!(grant.standing(&now(600, 1, "b")), Standing::Over(How::Expired), "the wall clock was set forward");
        assert_eq!(grant.standing(&now(500, 3, "c")), Standing::Open(100_000), "rebooted");
        assert_eq!(grant.standing(&now(601, 3, "c")), Standing::Over(How::Expired));
        grant.approvals[0].at = now(300, 300, "b");
        assert_eq!(grant.standing(&now(299, 3, "c")), Standing::Over(How::Expired), "rebooted, and the clock set back");
    }

    #[test]
    fn no_way_to_set_the_wall_clock_gives_anybody_more_time() {
        for lifetime in [1, 600, 30 * 24 * 3600] {
            let mut grant =
                Grant { lifetime: Lifetime::try_from(lifetime).expect("a lifetime"), ..grant("k7q2mx", 1, 2) };
            grant.approve(approval(1, 0, Access::ReadOnly, lifetime), 1);
            for really in [0, 1, lifetime / 2, lifetime - 1, lifetime, lifetime + 1, 2 * lifetime] {
                for (set, boot) in
                    [-86_400_i64, -3600, -1, 0, 1, 3600, 86_400].into_iter().flat_map(|s| [(s, "b"), (s, "c")])
                {
                    let wall = moment(really).wall.saturating_add_signed(set * 1000);
                    let since_boot = if boot == "b" { really * 1000 } else { 5000 };
                    let left = match grant.standing(&Moment { wall, boot: boot.to_owned(), since_boot }) {
                        Standing::Open(left) => left,
                        Standing::Pending(_) | Standing::Over(_) => 0,
                    };
                    let honest = lifetime.saturating_sub(really) * 1000;
                    let most = if boot == "b" { honest } else { lifetime * 1000 };
                    assert!(left <= most, "{lifetime} s, {really} s later, set by {set} s, boot {boot}: {left} ms");
                }
            }
        }
    }

    #[test]
    fn what_does_not_wait_any_more_is_not_approved() {
        let mut lapsed = grant("k7q2mx", 1001, 1002);
        lapsed.approve(approval(1001, 3600, Access::ReadOnly, 60), 1);
        assert_eq!(lapsed.standing(&moment(3600)), Standing::Over(How::Lapsed));
        let mut revoked = grant("k7q2mx", 1001, 1002);
        revoked.end(How::Cancelled, moment(5), None);
        revoked.approve(approval(1001, 6, Access::ReadOnly, 60), 1);
        assert_eq!(revoked.standing(&moment(7)), Standing::Over(How::Cancelled));
    }

    #[test]
    fn an_approved_grant_can_be_lowered_and_never_raised() {
        let mut grant = grant("k7q2mx", 1001, 1002);
        let minutes = |minutes: u64| Lifetime::try_from(minutes * 60).ok();
        assert!(!grant.covers_less(Access::ReadOnly, None, &moment(0)), "it is not approved yet");
        grant.approve(approval(1001, 0, Access::ReadWrite, 600), 1);
        assert!(grant.covers_less(Access::ReadOnly, minutes(5), &moment(300)));
        assert!(!grant.covers_less(Access::ReadOnly, minutes(6), &moment(300)));
        grant.lower(Access::ReadOnly, minutes(1), &moment(300));
        assert_eq!((grant.terms().access, grant.standing(&moment(300))), (Access::ReadOnly, Standing::Open(60_000)));
        assert!(!grant.covers_less(Access::ReadWrite, None, &moment(300)));
        grant.lower(Access::ReadWrite, minutes(60), &moment(300));
        assert_eq!((grant.terms().access, grant.standing(&moment(300))), (Access::ReadOnly, Standing::Open(60_000)));
    }

    #[test]
    fn what_ended_stays_as_it_ended() {
        let mut grant = grant("k7q2mx", 1001, 1002);
        grant.end(How::Denied, moment(5), Some(party(1001, "owner")));
        grant.end(How::Revoked, moment(6), None);
        assert_eq!(grant.standing(&moment(7)), Standing::Over(How::Denied));
    }
}
