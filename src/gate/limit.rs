//! How long, and how much, does an approved grant hold from now on? Both clocks, the grant's file and the rules are watched.
//!
//! MUST: whoever asks waits for all of it. Never: a wait of its own; an end that asks anybody.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::clocks::{self, Clocks, Concern};
use super::error::Error;
use super::parties::Part;
use super::{join, parties};
use crate::config;
use crate::grants::{self, Grant, How, Moment, Store};
use crate::ident::Access;
use crate::policy::ShareRule;
use crate::sys::clock::Alarm;
use crate::sys::files::Watch;
use crate::sys::process::Doom;

/// How long before the end it is announced, in milliseconds.
const WARNINGS: [u64; 2] = [300_000, 60_000];

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that concerns this grant.
    Nothing,
    /// So many milliseconds are left.
    Warning(u64),
    /// The grant, or the one that took its place, gives something else now.
    Changed,
    /// It is over.
    Over(Over),
}

/// How it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// In the grant's own way.
    Grant(How),
    /// The rules, or the people, are others than they were.
    Forbidden,
}

/// A grant and its end.
pub(super) struct Limit {
    pub grant: Grant,
    pub access: Access,
    until: Moment,
    rule: ShareRule,
    watch: Watch,
    end: Clocks,
    warning: Alarm,
}

impl Limit {
    /// Watches first and looks then: what changed before is seen here, what changes later wakes us.
    ///
    /// # Errors
    /// [`Error::NotNow`] for a grant that is over already; what the rules say; system calls.
    pub(super) fn on(grant: Grant) -> Result<Self, Error> {
        let watch = clocks::changes()?;
        let rule = rule_of(&grant)?;
        let (grant, access, until) =
            standing(&grant, &rule)?.map_err(|_| Error::NotNow(grant.id.clone(), "it is over"))?;
        let (end, warning) = alarms(&until)?;
        Ok(Self { grant, access, until, rule, watch, end, warning })
    }

    /// What is to be waited for; the place that [`Limit::look`] is told of.
    pub(super) fn watched(&self) -> [BorrowedFd<'_>; 4] {
        let [boot, wall] = self.end.fds();
        [boot, wall, self.warning.as_fd(), self.watch.as_fd()]
    }

    /// What it means that something is to be read at that place of [`Limit::watched`]. Whatever is not understood is the end.
    pub(super) fn look(&mut self, place: usize) -> News {
        match place {
            2 => self.warn(),
            3 => self.look_again(),
            _ => News::Over(Over::Grant(How::Expired)),
        }
    }

    /// Milliseconds until the end.
    pub(super) fn left(&self) -> u64 {
        parties::now().map_or(0, |now| self.until.left(&now))
    }

    fn warn(&mut self) -> News {
        let left = self.left();
        match next_warning(left) {
            Ok(alarm) => {
                self.warning = alarm;
                News::Warning(left)
            }
            Err(_) => News::Over(Over::Forbidden),
        }
    }

    fn look_again(&mut self) -> News {
        let own = Store::file_of(&self.grant);
        let now = match clocks::concern(&self.watch, |name| name == own) {
            Concern::Nothing => return News::Nothing,
            Concern::Store => standing(&self.grant, &self.rule),
            // What was taken away is over whoever answers, or does not.
            Concern::Rules => match standing(&self.grant, &self.rule) {
                Ok(Ok(_)) => self.judge_again(),
                over => over,
            },
        };
        match now {
            Ok(Ok((grant, access, until))) => self.take(grant, access, until),
            Ok(Err(how)) => News::Over(Over::Grant(how)),
            Err(_) => News::Over(Over::Forbidden),
        }
    }

    /// By the rules and the people of now. A users database that is silent gives nobody more time: then this process ends, and
    /// the guest with it.
    fn judge_again(&mut self) -> Result<Standing, Error> {
        let left = Duration::from_millis(self.left()).saturating_sub(Duration::from_secs(1));
        let _doom = Doom::after(left.min(config::TIME_LIMIT)).map_err(Error::Session)?;
        self.rule = rule_of(&self.grant)?;
        standing(&self.grant, &self.rule)
    }

    fn take(&mut self, grant: Grant, access: Access, until: Moment) -> News {
        // More than it gave comes by another grant alone.
        let is_another = grant.id != self.grant.id;
        let access = if is_another { access } else { access.min(self.access) };
        let until = if is_another { until } else { until.earlier(&self.until) };
        let is_the_same = (&grant.id, access, &until) == (&self.grant.id, self.access, &self.until);
        if is_the_same {
            return News::Nothing;
        }
        let Ok((end, warning)) = alarms(&until) else { return News::Over(Over::Forbidden) };
        (self.end, self.warning) = (end, warning);
        (self.grant, self.access, self.until) = (grant, access, until);
        News::Changed
    }
}

fn alarms(until: &Moment) -> Result<(Clocks, Alarm), Error> {
    Ok((Clocks::until(until)?, next_warning(until.left(&parties::now()?))?))
}

/// The next announcement's; after the last one it never rings before the end does.
fn next_warning(left: u64) -> Result<Alarm, Error> {
    // Less than this is one that was just made.
    let until = WARNINGS.iter().filter_map(|before| left.checked_sub(*before)).find(|until| *until > 500);
    Alarm::after(Duration::from_millis(until.unwrap_or(left.saturating_add(60_000)))).map_err(Error::Session)
}

/// The grant that holds now, with what store and rule say of it; or how it ended.
type Standing = Result<(Grant, Access, Moment), How>;

fn rule_of(grant: &Grant) -> Result<ShareRule, Error> {
    Ok(Part::of(grant, &parties::rules_now()?)?.rule)
}

/// This grant, or the one that took its place.
fn standing(grant: &Grant, rule: &ShareRule) -> Result<Standing, Error> {
    let store = Store::open()?;
    let mut current = store.find(&grant.id)?.ok_or_else(|| Error::NoGrant(grant.id.clone()))?;
    let now = parties::now()?;
    // Each change makes one more link.
    for _ in 0..16 {
        let how = match current.standing(&now) {
            grants::Standing::Open(_) => {
                let (terms, until) = join::within(&current, rule)?;
                return Ok(if until.left(&now) == 0 { Err(How::Expired) } else { Ok((current, terms.access, until)) });
            }
            grants::Standing::Pending(_) => return Ok(Err(How::Revoked)),
            grants::Standing::Over(how) => how,
        };
        let was_approved = |one: &Grant| match one.standing(&now) {
            grants::Standing::Open(_) | grants::Standing::Over(How::Replaced) => true,
            grants::Standing::Pending(_) | grants::Standing::Over(_) => false,
        };
        let follows = |one: &Grant| one.follows.as_ref() == Some(&current.id) && one.owner == current.owner;
        let next = |one: &Grant| follows(one) && was_approved(one);
        match store.of_guest(current.guest.uid)?.into_iter().find(next).filter(|_| how == How::Replaced) {
            Some(follower) => current = follower,
            None => return Ok(Err(how)),
        }
    }
    Ok(Err(How::Replaced))
}
