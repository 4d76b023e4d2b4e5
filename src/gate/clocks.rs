//! What ends a grant while somebody is in by it? Both clocks, and what changes in the store and in the configuration: to be
//! watched by whoever let him in. Never: what follows.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use super::parties;
use crate::config;
use crate::grants::{Moment, Store};
use crate::sys::clock::Alarm;
use crate::sys::files::Watch;

/// A moment on both clocks: whichever is there first.
pub(super) struct Clocks {
    boot: Alarm,
    wall: Alarm,
}

impl Clocks {
    /// Readable from `end` on.
    ///
    /// # Errors
    /// No clock, or none to be had.
    pub(super) fn until(end: &Moment) -> Result<Self, Error> {
        let boot = Alarm::after(Duration::from_millis(end.left(&parties::now()?))).map_err(Error::Session)?;
        Ok(Self { boot, wall: Alarm::at_wall(end.wall).map_err(Error::Session)? })
    }

    /// The two.
    pub(super) fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.boot.as_fd(), self.wall.as_fd()]
    }
}

/// Files of the users database, as far as it is files.
const PEOPLE: [&str; 2] = ["group", "passwd"];

/// Whatever changes in the store, in the configuration, or in the users database as far as it is files.
///
/// # Errors
/// inotify(7) says no.
pub(super) fn changes() -> Result<Watch, Error> {
    let places = [Path::new(Store::directory()), Path::new("/etc/tmux-gate"), Path::new("/etc")];
    Watch::on(&places).map_err(Error::Session)
}

/// What something that changed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// Other people.
    Nothing,
    /// A file of the store that is meant.
    Store,
    /// The rules or the people, or so much that nobody knows.
    Rules,
}

/// What has changed since the last call.
pub(super) fn concern(changes: &Watch, meant: impl Fn(&str) -> bool) -> Concern {
    let configuration = Path::new(config::PATH).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_of_rules = |name: &String| name == configuration || PEOPLE.contains(&name.as_str());
    match changes.changed() {
        Some(names) if !names.iter().any(is_of_rules) => {
            if names.iter().any(|name| meant(name)) {
                Concern::Store
            } else {
                Concern::Nothing
            }
        }
        Some(_) | None => Concern::Rules,
    }
}
