//! Can a join be what it must be on this kernel, and on this terminal? Known before anybody is asked for a password.
//! Never: a guess; what cannot be known is left to the one who finds out.

use super::Visit;
use super::error::Error;
use super::terminfo::{self, Unfit};
use crate::config::{self, Settings};
use crate::relay::{Refusal, Sandbox};
use crate::sys::kernel;

/// As the relay takes it.
pub(super) fn sandbox(settings: &Settings) -> Sandbox {
    match settings.sandbox {
        config::Sandbox::Required => Sandbox::Required,
        config::Sandbox::Wanted => Sandbox::Wanted,
    }
}

/// What the relay's sandbox needs, and this kernel lacks.
pub(super) fn missing(settings: &Settings) -> Vec<Refusal> {
    if settings.sandbox == config::Sandbox::Wanted {
        return Vec::new();
    }
    let walls = [(kernel::has_landlock(), Refusal::NoLandlock), (kernel::has_seccomp(), Refusal::NoSeccomp)];
    walls.into_iter().filter(|(there, _)| !there).map(|(_, missing)| missing).collect()
}

/// Nobody is asked for a password where no join can be.
///
/// # Errors
/// [`Error::Unsandboxed`], [`Error::Unfit`].
pub(super) fn judge(visit: &Visit, settings: &Settings) -> Result<(), Error> {
    if let Some(missing) = missing(settings).into_iter().next() {
        return Err(Error::Unsandboxed(missing));
    }
    let term = visit.environment.term();
    match terminfo::fits(term) {
        Ok(()) => Ok(()),
        Err(Unfit::Unknown) => Err(Error::Unfit(term.to_owned(), "is not in this host's terminfo")),
        Err(Unfit::NotAnsi) => Err(Error::Unfit(term.to_owned(), "cannot show a session")),
    }
}
