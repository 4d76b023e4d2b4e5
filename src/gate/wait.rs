//! request --wait: what becomes of a request? Whoever asked waits at his terminal until somebody has decided, and enters then if
//! he said so.
//!
//! MUST: everything judged anew after the wait. Never: the lock of the store, or a time limit that holds nobody.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use super::entrance::{self, Entered};
use super::error::{Error, Status};
use super::{answer_with, join, parties};
use crate::cli::{Patience, Way};
use crate::grants::{Grant, Standing, Store};
use crate::session::{Escort, Happening, Upward};
use crate::sys::clock::Alarm;
use crate::sys::files::Watch;
use crate::sys::process::Doom;

/// Waits as long as was asked for, and does what was asked for then.
///
/// # Errors
/// Status 77 for a request that was not approved, 75 for one that waits on without us.
pub(super) fn wait(mut entered: Entered<'_>, grant: &Grant, patience: Patience) -> Result<u8, Error> {
    if patience == Patience::None {
        return Ok(Status::DONE);
    }
    let limit = entered.judged.settings.time_limit;
    // Nothing but people is waited for.
    drop(entered.doom);
    entered.link.waiting();
    let decided = decision(entered.link, grant);
    entered.link.waited();
    entered.doom = Doom::after(limit).map_err(Error::Session)?;
    let grant = decided?;
    let terms = grant.terms();
    answer_with(&format!("{}: approved, {} for {}\n", grant.id, terms.access, terms.lifetime))?;
    if patience == Patience::ToKnow {
        answer_with(&format!("enter with: tmux-gate join {}\n", grant.id))?;
        return Ok(Status::DONE);
    }
    let name = &entered.ready.visit.caller.name;
    entered.vouched.account_again().map_err(|error| Error::Pam(name.clone(), error))?;
    entered.judged = entrance::judge_again(entered.ready)?;
    join::enter(entered, &Way::Grant(grant.id))
}

/// The grant once it is approved.
fn decision(link: &Upward, grant: &Grant) -> Result<Grant, Error> {
    let watch = Watch::on(&[Path::new(Store::directory())]).map_err(Error::Session)?;
    let nobody = Escort::new(link).map_err(Error::Session)?;
    loop {
        let current = parties::grant(&Store::open()?, &grant.id)?;
        let left = match current.standing(&parties::now()?) {
            Standing::Open(_) => return Ok(current),
            Standing::Over(how) => return Err(Error::Decided(grant.id.clone(), how)),
            Standing::Pending(left) => left,
        };
        let lapse = Alarm::after(Duration::from_millis(left)).map_err(Error::Session)?;
        match nobody.wait(&[lapse.as_fd(), watch.as_fd()]) {
            Happening::Gone | Happening::Killed | Happening::Asked => return Err(Error::NotYet(grant.id.clone())),
            Happening::Readable(_) => drop(watch.changed()),
        }
    }
}
