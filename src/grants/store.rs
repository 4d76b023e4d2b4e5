//! Where are the grants? One file each in a directory of root's: read, changed and written back under one lock, written
//! beside and renamed, on the disk before anybody is told. A full disk refuses the new and harms nothing old. What was over for
//! long is put away below: found by its id, and read by nobody who looks for others.
//!
//! MUST: names made of ids and uids alone; what does not parse is refused by name, never guessed at.
//! Never: the lock held while somebody is asked something, or by a process that its caller can stop.

mod locked;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, openat};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::{Mode, fstat};

use super::{Grant, MOST_PENDING};
use crate::ident::{GrantId, Uid};
use crate::sys::{files, ids};

pub use locked::Locked;

const DIRECTORY: &str = "/var/lib/tmux-gate/grants";
const LOCK: &str = ".lock";
const NEW: &str = ".new.";
/// Where grants are put away, each under its id alone.
const ENDED: &str = "ended";
/// In front of the name of a grant that is taking the place of the one that it follows: until both are written.
const REPLACING: &str = ".replacing.";
/// The largest file that is read.
const LONGEST: u64 = 64 * 1024;
/// How long somebody else may have the lock: reading and writing some small files.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installation makes it.
    #[error("{DIRECTORY}: missing; install the package again, or run: install -d -m 700 {DIRECTORY}")]
    Missing,
    /// Others than root could get at it.
    #[error(
        "{DIRECTORY}: not a directory of root's with mode 0700; find out why, then run: chown root {DIRECTORY}; chmod 700 {DIRECTORY}"
    )]
    Weak,
    /// The file system said no.
    #[error("{DIRECTORY}/{0}: {1}; nothing was changed, make it writable and try again")]
    Io(String, io::Error),
    /// Not what the gate writes.
    #[error("{DIRECTORY}/{0}: not a grant as tmux-gate writes it; as root find out who changed it, then remove it")]
    Foreign(String),
    /// Somebody holds the lock.
    #[error("{DIRECTORY}: locked by another tmux-gate; try again")]
    Busy,
    /// Too many requests wait.
    #[error("too many requests of yours, {MOST_PENDING} in an hour that nobody approved; wait for answers, or an hour")]
    Full,
}

/// The grants, to be read.
pub struct Store {
    directory: OwnedFd,
}

impl Store {
    /// Opens the directory, found as the installation makes it. Needs root.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Weak`].
    pub fn open() -> Result<Self, Error> {
        Self::at(DIRECTORY)
    }

    fn at(path: &str) -> Result<Self, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOENT => Error::Missing,
            _ => Error::Weak,
        })?;
        let found = fstat(&directory).map_err(|errno| Error::Io(String::new(), errno.into()))?;
        let own = nix::unistd::geteuid().as_raw();
        if found.st_uid != own || found.st_mode & 0o7777 != 0o700 {
            return Err(Error::Weak);
        }
        Ok(Self { directory })
    }

    /// The grant of that id, whatever became of it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn find(&self, id: &GrantId) -> Result<Option<Grant>, Error> {
        let named = |name: &FileName| name.id == *id;
        match self.read_all(named)?.pop() {
            Some(grant) => Ok(Some(grant)),
            // It is put away, or was between the two looks: nothing comes back from there.
            None => self.read_put_away(id),
        }
    }

    /// The grants of this owner's sessions.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of_owner(&self, owner: Uid) -> Result<Vec<Grant>, Error> {
        self.read_all(|name| name.owner == owner)
    }

    /// The grants of this guest.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of_guest(&self, guest: Uid) -> Result<Vec<Grant>, Error> {
        self.read_all(|name| name.guest == guest)
    }

    /// All grants that are not put away: for approvers, and for root.
    ///
    /// # Errors
    /// [`Error`].
    pub fn all(&self) -> Result<Vec<Grant>, Error> {
        self.read_all(|_| true)
    }

    /// The same, without those that cannot be read: for whoever takes access away, and is not kept from it by another's damage.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn readable(&self) -> Result<Vec<Grant>, Error> {
        let names = self.names()?;
        let names = names.iter().filter_map(|name| FileName::parse(name));
        Ok(names.filter_map(|name| self.read(&name).ok().flatten()).collect())
    }

    /// The name of the grant's file, as inotify(7) tells of its change.
    #[must_use]
    pub fn file_of(grant: &Grant) -> String {
        FileName::of(grant).to_string()
    }

    /// Is a file of that name a grant of this person's for the own session?
    #[must_use]
    pub fn is_own(name: &str, person: Uid) -> bool {
        FileName::parse(name).is_some_and(|name| name.owner == person && name.guest == person)
    }

    /// The grants of this person for the own session.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of_oneself(&self, person: Uid) -> Result<Vec<Grant>, Error> {
        self.read_all(|name| name.owner == person && name.guest == person)
    }

    /// Where they are, for whoever watches them.
    #[must_use]
    pub fn directory() -> &'static str {
        DIRECTORY
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        files::names_in(self.directory.as_fd()).map_err(|e| Error::Io(String::new(), e))
    }

    fn read_all(&self, wanted: impl Fn(&FileName) -> bool) -> Result<Vec<Grant>, Error> {
        let mut names = self.names()?;
        if names.iter().any(|name| name.starts_with(REPLACING)) {
            // Somebody is at it, or died at it: then whoever has the lock puts it right.
            let _ = self.lock_for(Duration::ZERO);
            names = self.names()?;
        }
        let names = names.iter().filter_map(|name| FileName::parse(name)).filter(wanted);
        let mut grants = Vec::new();
        for name in names {
            grants.extend(self.read(&name)?);
        }
        Ok(grants)
    }

    /// `None` for one that was put away since its name was read.
    fn read(&self, name: &FileName) -> Result<Option<Grant>, Error> {
        let shown = name.to_string();
        let grant = self.read_file(&shown)?;
        if grant.as_ref().is_some_and(|grant| FileName::of(grant) != *name) {
            return Err(Error::Foreign(shown));
        }
        Ok(grant)
    }

    fn read_put_away(&self, id: &GrantId) -> Result<Option<Grant>, Error> {
        let shown = format!("{ENDED}/{id}");
        let grant = self.read_file(&shown)?;
        if grant.as_ref().is_some_and(|grant| grant.id != *id) {
            return Err(Error::Foreign(shown));
        }
        Ok(grant.map(Grant::laid_to_rest))
    }

    fn read_file(&self, shown: &str) -> Result<Option<Grant>, Error> {
        let text = match files::read_small_at(self.directory.as_fd(), shown, LONGEST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(Error::Foreign(shown.to_owned())),
            Err(e) => return Err(Error::Io(shown.to_owned(), e)),
        };
        serde_json::from_str(&text).map(Some).map_err(|_| Error::Foreign(shown.to_owned()))
    }

    /// Waits, five seconds at most, until nobody else changes grants. The process is root's wholly from then on, and takes no
    /// signal while it holds the lock: whoever called it could else stop it there, and nobody could revoke anything.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Io`].
    pub fn lock(&self) -> Result<Locked<'_>, Error> {
        self.lock_for(PATIENCE)
    }

    fn lock_for(&self, patience: Duration) -> Result<Locked<'_>, Error> {
        let fault = |errno: Errno| Error::Io(LOCK.to_owned(), errno.into());
        if !nix::unistd::getuid().is_root() {
            ids::become_root().map_err(|broken| Error::Io(LOCK.to_owned(), io::Error::other(broken)))?;
        }
        let unstoppable = Unstoppable::begin().map_err(fault)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.directory, LOCK, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(fault)?;
        let (mut file, until) = (File::from(file), Instant::now() + patience);
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Locked::begin(self, lock, unstoppable)),
                Err((back, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < until => file = back,
                Err((_, Errno::EAGAIN)) => return Err(Error::Busy),
                Err((_, errno)) => return Err(fault(errno)),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// No signal that can be put off reaches this process, also none of its terminal's, until this is dropped.
struct Unstoppable(SigSet);

impl Unstoppable {
    fn begin() -> nix::Result<Self> {
        SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).map(Self)
    }
}

impl Drop for Unstoppable {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

/// `ID.OWNER.GUEST`: who is looking for a grant need not open those of others.
#[derive(PartialEq, Eq)]
struct FileName {
    id: GrantId,
    owner: Uid,
    guest: Uid,
}

impl FileName {
    fn of(grant: &Grant) -> Self {
        Self { id: grant.id.clone(), owner: grant.owner.uid, guest: grant.guest.uid }
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let (id, owner, guest) = (parts.next()?, parts.next()?, parts.next()?);
        let name =
            Self { id: GrantId::parse(id).ok()?, owner: Uid::parse(owner).ok()?, guest: Uid::parse(guest).ok()? };
        parts.next().is_none().then_some(name)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.id, self.owner, self.guest)
    }
}

#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
