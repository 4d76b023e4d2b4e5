//! Where are the grants? One file each in a directory of root's: read, changed and written back under one lock, written
//! beside and renamed, on the disk before anybody is told. A full disk refuses the new and harms nothing old.
//!
//! MUST: names made of ids and uids alone; what does not parse is refused by name, never guessed at.
//! Never: the lock held while somebody is asked something.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use super::{Grant, MOST_PENDING, Moment, Standing};
use crate::ident::{GrantId, Uid};
use crate::sys::files;

const DIRECTORY: &str = "/var/lib/tmux-gate/grants";
const LOCK: &str = ".lock";
const NEW: &str = ".new.";
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
    #[error("{MOST_PENDING} requests of yours wait already; cancel one (tmux-gate revoke ID), or wait")]
    Full,
}

/// The grants, to be read.
pub struct Store {
    directory: OwnedFd,
}

/// The grants, to be changed: nobody else changes them meanwhile.
pub struct Locked<'a> {
    store: &'a Store,
    _lock: Flock<File>,
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
        Ok(self.read_all(named)?.pop())
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

    /// The name of the grant's file, as inotify(7) tells of its change.
    #[must_use]
    pub fn file_of(grant: &Grant) -> String {
        FileName::of(grant).to_string()
    }

    /// Where they are, for whoever watches them.
    #[must_use]
    pub fn directory() -> &'static str {
        DIRECTORY
    }

    fn read_all(&self, wanted: impl Fn(&FileName) -> bool) -> Result<Vec<Grant>, Error> {
        let names = files::names_in(self.directory.as_fd()).map_err(|e| Error::Io(String::new(), e))?;
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
        let text = match files::read_small_at(self.directory.as_fd(), &shown, LONGEST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::Io(shown, e)),
        };
        match serde_json::from_str::<Grant>(&text) {
            Ok(grant) if FileName::of(&grant) == *name => Ok(Some(grant)),
            Ok(_) | Err(_) => Err(Error::Foreign(shown)),
        }
    }

    /// Waits, five seconds at most, until nobody else changes grants.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Io`].
    pub fn lock(&self) -> Result<Locked<'_>, Error> {
        let fault = |errno: Errno| Error::Io(LOCK.to_owned(), errno.into());
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.directory, LOCK, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(fault)?;
        let (mut file, until) = (File::from(file), Instant::now() + PATIENCE);
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Locked { store: self, _lock: lock }.tidied()),
                Err((back, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < until => file = back,
                Err((_, Errno::EAGAIN)) => return Err(Error::Busy),
                Err((_, errno)) => return Err(fault(errno)),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Locked<'_> {
    /// What a writer that was killed left: nobody knows of it.
    fn tidied(self) -> Self {
        for name in files::names_in(self.store.directory.as_fd()).unwrap_or_default() {
            if name.starts_with(NEW) {
                files::remove_at(self.store.directory.as_fd(), &name);
            }
        }
        self
    }

    /// An id that no grant has.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new_id(&self) -> Result<GrantId, Error> {
        let taken = files::names_in(self.fd()).map_err(|e| Error::Io(String::new(), e))?;
        loop {
            let random = files::random().map_err(|e| Error::Io(String::new(), e))?;
            let id = GrantId::from_random(random);
            if !taken.iter().any(|name| name.starts_with(id.as_str())) {
                return Ok(id);
            }
        }
    }

    /// Takes a new request, unless too many of that guest's wait.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error`].
    pub fn add(&self, grant: &Grant, now: &Moment) -> Result<(), Error> {
        let own = self.store.of_guest(grant.guest.uid)?;
        let pending = own.iter().filter(|one| matches!(one.standing(now), Standing::Pending(_))).count();
        if pending >= MOST_PENDING { Err(Error::Full) } else { self.put(grant) }
    }

    /// Writes it: when this returns it is on the disk, whole, or nothing is changed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put(&self, grant: &Grant) -> Result<(), Error> {
        let name = FileName::of(grant).to_string();
        let fault = |e| Error::Io(name.clone(), e);
        let text = serde_json::to_vec(grant).map_err(|e| fault(e.into()))?;
        files::replace_at(self.fd(), &format!("{NEW}{name}"), &name, &text).map_err(fault)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.store.directory.as_fd()
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
mod tests {
    use super::super::tests::{grant, moment};
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tmux-gate-store-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).expect("a directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
            Self(path)
        }

        fn store(&self) -> Store {
            Store::at(self.0.to_str().expect("UTF-8")).unwrap_or_else(|e| panic!("{e}"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_put_is_found_by_id_by_owner_and_by_guest() {
        let place = Place::new("found");
        let store = place.store();
        let (one, two) = (grant("k7q2mx", 1001, 1002), grant("aaaaaa", 1003, 1002));
        let locked = store.lock().expect("the lock");
        locked.put(&one).expect("put");
        locked.put(&two).expect("put");
        assert_eq!(store.find(&one.id).expect("readable"), Some(one.clone()));
        assert_eq!(store.of_owner(one.owner.uid).expect("readable"), vec![one.clone()]);
        assert_eq!(store.of_guest(one.guest.uid).expect("readable").len(), 2);
        assert_eq!(store.find(&GrantId::parse("zzzzzz").expect("an id")).expect("readable"), None);
        let mode = fs::metadata(place.0.join("k7q2mx.1001.1002")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_grant_is_named_and_what_a_killed_writer_left_is_nothing() {
        let place = Place::new("foreign");
        let store = place.store();
        for text in ["", "{", "{\"id\":\"k7q2mx\"}", "null"] {
            fs::write(place.0.join("k7q2mx.1001.1002"), text).expect("written");
            let error = store.of_owner(grant("k7q2mx", 1001, 1002).owner.uid).expect_err(text);
            assert!(error.to_string().contains("k7q2mx.1001.1002"), "{error}");
        }
        let other = serde_json::to_vec(&grant("k7q2mx", 1001, 1009)).expect("JSON");
        fs::write(place.0.join("k7q2mx.1001.1002"), other).expect("written");
        assert!(store.all().is_err(), "a grant under another name");
        fs::remove_file(place.0.join("k7q2mx.1001.1002")).expect("removed");
        fs::write(place.0.join(".new.k7q2mx.1001.1002"), "{").expect("written");
        let _locked = store.lock().expect("the lock");
        assert!(store.all().expect("readable").is_empty());
        assert!(!place.0.join(".new.k7q2mx.1001.1002").exists());
    }

    #[test]
    fn sixteen_requests_wait_and_no_more() {
        let place = Place::new("many");
        let store = place.store();
        let locked = store.lock().expect("the lock");
        for _ in 0..MOST_PENDING {
            let id = locked.new_id().expect("an id");
            locked.add(&Grant { id, ..grant("aaaaaa", 1001, 1002) }, &moment(1)).expect("room");
        }
        let one_more = Grant { id: locked.new_id().expect("an id"), ..grant("aaaaaa", 1001, 1002) };
        assert!(matches!(locked.add(&one_more, &moment(1)), Err(Error::Full)));
        locked.add(&one_more, &moment(3600)).expect("the others have lapsed");
        let other = Grant { id: locked.new_id().expect("an id"), ..grant("aaaaaa", 1001, 1003) };
        locked.add(&other, &moment(1)).expect("another guest's");
    }

    #[test]
    fn others_wait_for_the_lock_and_a_directory_that_others_can_read_is_refused() {
        let place = Place::new("weak");
        let store = place.store();
        let locked = store.lock().expect("the lock");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| place.store().lock().map(|_| ()).is_ok());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!other.is_finished());
            drop(locked);
            assert!(other.join().expect("a thread"));
        });
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).expect("its mode");
        assert!(matches!(Store::at(place.0.to_str().expect("UTF-8")), Err(Error::Weak)));
        assert!(matches!(Store::at("/nowhere/at/all"), Err(Error::Missing)));
    }
}
