//! How does a grant change? Under the lock, one file after the other, so that a crash between any two steps leaves what was
//! there before or what was meant, and the next who has the lock puts the rest right.
//!
//! MUST: access can be taken away on a full disk.
//! Never: a grant that a crash left half-written, lost, or beside the one whose place it took.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{Flock, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd;

use super::super::{Grant, How, MOST_IN_AN_HOUR, MOST_PENDING, Moment, Standing, State};
use super::{ENDED, Error, FileName, NEW, REPLACING, Store, Unstoppable};
use crate::ident::{GrantId, Uid};
use crate::sys::files;

/// How many grants are put away at a time: each takes some disk operations, and others wait for the lock.
const PUT_AWAY: usize = 8;

/// The grants, to be changed: nobody else changes them meanwhile.
pub struct Locked<'a> {
    store: &'a Store,
    // In this order: signals are taken again when the lock is gone.
    _lock: Flock<File>,
    _unstoppable: Unstoppable,
}

impl<'a> Locked<'a> {
    /// What a writer that was killed left is put right first.
    pub(super) fn begin(store: &'a Store, lock: Flock<File>, unstoppable: Unstoppable) -> Self {
        let locked = Self { store, _lock: lock, _unstoppable: unstoppable };
        // While there is room for it.
        let _ = mkdirat(&store.directory, ENDED, Mode::S_IRWXU);
        let names = store.names().unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(NEW)) {
            files::remove_at(locked.fd(), name);
        }
        for mark in &names {
            if let Some(next) = mark.strip_prefix(REPLACING) {
                locked.go_on_replacing(next, mark);
            }
        }
        locked
    }

    /// An id that no grant has, and none had.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new_id(&self) -> Result<GrantId, Error> {
        loop {
            let random = files::random().map_err(|e| Error::Io(String::new(), e))?;
            let id = GrantId::from_random(random);
            if self.store.find(&id)?.is_none() {
                return Ok(id);
            }
        }
    }

    /// Takes a new request or invitation, unless too many of that person's are there.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error`].
    pub fn add(&self, grant: &Grant, now: &Moment) -> Result<(), Error> {
        self.room_for(grant.asked_by.uid, now)?;
        self.put(grant)
    }

    /// May this person ask for one more? Requests that wait are counted, and those of the last hour that nobody approved: who
    /// takes back and asks again troubles the owner as much. Everything else that he has or had in the last hour has a limit as
    /// well, for everybody reads it who lists.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error`].
    pub fn room_for(&self, asker: Uid, now: &Moment) -> Result<(), Error> {
        self.put_away_old(now);
        let mut own = self.store.read_all(|name| name.owner == asker || name.guest == asker)?;
        own.retain(|grant| grant.asked_by.uid == asker);
        let over = |grant: &Grant| matches!(grant.standing(now), Standing::Over(_));
        own.retain(|grant| !over(grant) || grant.lapse().left(now) > 0);
        let troubles = |grant: &&Grant| match grant.standing(now) {
            Standing::Pending(_) => true,
            Standing::Over(_) => grant.approvals.is_empty(),
            Standing::Open(_) => false,
        };
        let full = own.len() >= MOST_IN_AN_HOUR || own.iter().filter(troubles).count() >= MOST_PENDING;
        if full { Err(Error::Full) } else { Ok(()) }
    }

    /// Writes it: when this returns it is on the disk, whole, or nothing is changed. One that is approved and follows another
    /// takes its place. One that ended is put away where there is no room to write it: taking access away needs none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put(&self, grant: &Grant) -> Result<(), Error> {
        match self.followed(grant)? {
            Some(old) => self.replace(old, grant),
            None => self.write(grant).or_else(|error| match grant.state {
                State::Ended { .. } => self.put_away(grant).map_err(|_| error),
                State::Requested {} | State::Approved { .. } => Err(error),
            }),
        }
    }

    /// The grant whose place this one takes, if it is not taken yet.
    fn followed(&self, grant: &Grant) -> Result<Option<Grant>, Error> {
        let (State::Approved { .. }, Some(id)) = (&grant.state, &grant.follows) else { return Ok(None) };
        let old = self.store.find(id)?;
        Ok(old.filter(|old| !matches!(old.state, State::Ended { .. })))
    }

    /// Both or neither: what is begun is marked, and whoever has the lock after a crash goes on with it.
    fn replace(&self, mut old: Grant, next: &Grant) -> Result<(), Error> {
        let name = FileName::of(next).to_string();
        let mark = format!("{REPLACING}{name}");
        self.write_file(&mark, b"")?;
        self.write(next).inspect_err(|_| files::remove_at(self.fd(), &mark))?;
        end_for(&mut old, next);
        if let Err(error) = self.put(&old) {
            files::remove_at(self.fd(), &name);
            files::remove_at(self.fd(), &mark);
            return Err(error);
        }
        files::remove_at(self.fd(), &mark);
        Ok(())
    }

    fn go_on_replacing(&self, name: &str, mark: &str) {
        let next = FileName::parse(name).and_then(|name| self.store.read(&name).ok().flatten());
        if let Some(next) = next
            && let Ok(Some(mut old)) = self.followed(&next)
        {
            end_for(&mut old, &next);
            if self.put(&old).is_err() {
                return;
            }
        }
        files::remove_at(self.fd(), mark);
    }

    /// What is over, and was asked for longer than an hour ago.
    fn put_away_old(&self, now: &Moment) {
        let mut left = PUT_AWAY;
        for name in self.store.names().unwrap_or_default().iter().filter_map(|name| FileName::parse(name)) {
            let Ok(Some(mut grant)) = self.store.read(&name) else { continue };
            let Standing::Over(how) = grant.standing(now) else { continue };
            if left == 0 || grant.lapse().left(now) > 0 {
                continue;
            }
            left -= 1;
            let ended = matches!(grant.state, State::Ended { .. });
            grant.end(how, now.clone(), None);
            if ended || self.write(&grant).is_ok() {
                let _ = self.put_away(&grant);
            }
        }
    }

    fn put_away(&self, grant: &Grant) -> Result<(), Error> {
        let (name, place) = (FileName::of(grant).to_string(), format!("{ENDED}/{}", grant.id));
        let moved = || -> nix::Result<()> {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let ended = openat(self.fd(), ENDED, flags, Mode::empty())?;
            renameat(self.fd(), name.as_str(), &ended, grant.id.as_str())?;
            unistd::fsync(&ended)?;
            unistd::fsync(self.fd())
        };
        moved().map_err(|errno: Errno| Error::Io(place, errno.into()))
    }

    fn write(&self, grant: &Grant) -> Result<(), Error> {
        let name = FileName::of(grant).to_string();
        let text = serde_json::to_vec(grant).map_err(|e| Error::Io(name.clone(), io::Error::from(e)))?;
        self.write_file(&name, &text)
    }

    fn write_file(&self, name: &str, text: &[u8]) -> Result<(), Error> {
        let fault = |e| Error::Io(name.to_owned(), e);
        files::replace_at(self.fd(), &format!("{NEW}{name}"), name, text).map_err(fault)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.store.directory.as_fd()
    }
}

fn end_for(old: &mut Grant, next: &Grant) {
    let last = next.approvals.last();
    let at = last.map_or(&next.asked_at, |approval| &approval.at).clone();
    old.end(How::Replaced, at, last.map(|approval| approval.by.clone()));
}
