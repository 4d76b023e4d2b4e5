//! Where is a user's socket, and can anybody else get there? `/run/tmux-gate` is root:tmux-gate 0710; a user's directory in
//! it is root's, 0770, and its group is nobody's: a number drawn when the directory is made, at the first entry since boot,
//! and given to what the gate starts for that user, with the group tmux-gate. So neither a file that another person made
//! set-group-id opens it, nor one of the owner's from before the last boot, nor the working directory of a process in it.
//!
//! MUST: directories through descriptors; what is wrong is refused by name, never repaired.
//! Never: a connection to the socket.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, UnlinkatFlags, fchown, unlinkat};

use crate::ident::Uid;
use crate::sys::files;

pub(super) const RUNTIME: &str = "/run/tmux-gate";
pub(super) const SOCKET: &str = "default";
const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The groups that users' directories are given are drawn from these: past what systemd, SSSD and FreeIPA assign, below
/// systemd's foreign ids.
const DRAWN: RangeInclusive<u32> = 0x7800_0000..=0x7bff_ffff;

/// What is wrong with a directory or with what is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there: the installation makes it, and tmpfiles.d at each boot.
    #[error("{0}: missing; run: systemd-tmpfiles --create tmux-gate.conf (or install the package again)")]
    Missing(String),
    /// A link, a file or something else stands there.
    #[error("{0}: not a directory; find out who put it there, then remove it")]
    NotDirectory(String),
    /// Not whose it must be.
    #[error(
        "{path}: owner {uid}:{gid}, not {want_uid}:{want_gid}; find out why, then run: chown {want_uid}:{want_gid} {path}"
    )]
    Owner {
        /// The directory.
        path: String,
        /// Whose it is.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Whose it must be.
        want_uid: u32,
        /// Its group, as it must be.
        want_gid: u32,
    },
    /// Others can get in, or the owner cannot.
    #[error("{0}: mode {1:04o}, not {2:04o}; find out why, then run: chmod {2:04o} {0}")]
    Mode(String, u32, u32),
    /// A user's directory that the gate did not make, or that was changed.
    #[error("{path}: {uid}:{gid} with mode {mode:04o}, not as tmux-gate makes it; find out why, then remove it")]
    Foreign {
        /// The directory.
        path: String,
        /// Whose it is.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its mode.
        mode: u32,
    },
    /// A user namespace that knows too few groups.
    #[error(
        "{0}: group {1} is not mapped in this user namespace; map the gids up to 2080374783, or run the gate outside"
    )]
    Unmapped(String, u32),
    /// Something that is not the user's socket has the socket's name.
    #[error("{0}: not a socket of uid {1}; as root find out who put it there, then remove it")]
    NotSocket(String, Uid),
    /// The file system said no.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// `/run/tmux-gate`, found right.
pub struct Runtime {
    directory: OwnedFd,
}

/// A user's directory, found as the gate makes it.
pub struct Home {
    directory: OwnedFd,
    path: String,
    uid: Uid,
    /// The group that opens it, for what the gate starts for this user.
    pub group: u32,
}

impl Runtime {
    /// Looks at `/run/tmux-gate`; `group` is the gid of the group tmux-gate.
    ///
    /// # Errors
    /// [`Error`]: status 78.
    pub fn check(group: u32) -> Result<Self, Error> {
        let directory = openat(AT_FDCWD, RUNTIME, DIRECTORY, Mode::empty()).map_err(|e| refused(RUNTIME, e))?;
        let found = fstat(&directory).map_err(|e| Error::Io(RUNTIME.to_owned(), e.into()))?;
        judge(&found, group)?;
        Ok(Self { directory })
    }

    /// Looks at the user's directory.
    ///
    /// # Errors
    /// [`Error`]: status 78; [`Error::Missing`] for somebody who never passed the gate since boot.
    pub fn home(&self, uid: Uid) -> Result<Home, Error> {
        let path = format!("{RUNTIME}/{uid}");
        let name = uid.to_string();
        let directory =
            openat(&self.directory, name.as_str(), DIRECTORY, Mode::empty()).map_err(|e| refused(&path, e))?;
        let found = fstat(&directory).map_err(|e| Error::Io(path.clone(), e.into()))?;
        let (gid, mode) = (found.st_gid, found.st_mode & 0o7777);
        if found.st_uid != 0 || !DRAWN.contains(&gid) || mode != 0o770 {
            return Err(Error::Foreign { path, uid: found.st_uid, gid, mode });
        }
        Ok(Home { directory, path, uid, group: gid })
    }

    /// Everybody whose directory is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn everybody(&self) -> Result<Vec<Uid>, Error> {
        let names = files::names_in(self.directory.as_fd()).map_err(|e| Error::Io(RUNTIME.to_owned(), e))?;
        Ok(names.iter().filter_map(|name| Uid::parse(name).ok()).collect())
    }

    /// Looks at the user's directory and makes it first if it is not there. Needs root.
    ///
    /// # Errors
    /// [`Error`]: status 78.
    pub fn make_home(&self, uid: Uid) -> Result<Home, Error> {
        match self.home(uid) {
            Err(Error::Missing(_)) => {}
            found => return found,
        }
        let path = format!("{RUNTIME}/{uid}");
        let group = draw_group().map_err(|e| Error::Io(path.clone(), e))?;
        self.make(uid, group).map_err(|errno| match errno {
            Errno::EINVAL => Error::Unmapped(path, group),
            errno => Error::Io(path, errno.into()),
        })?;
        self.home(uid)
    }

    /// Made under another name and renamed when it is right, so that a crash between leaves nobody locked out.
    fn make(&self, uid: Uid, group: u32) -> nix::Result<()> {
        let (name, new) = (uid.to_string(), format!(".{uid}.{group}"));
        mkdirat(&self.directory, new.as_str(), Mode::S_IRWXU)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = openat(&self.directory, new.as_str(), flags, Mode::empty())
            .and_then(|directory| {
                fchown(&directory, None, Some(Gid::from_raw(group)))?;
                fchmod(&directory, Mode::S_IRWXU | Mode::S_IRWXG)
            })
            .and_then(|()| {
                let flags = RenameFlags::RENAME_NOREPLACE;
                renameat2(&self.directory, new.as_str(), &self.directory, name.as_str(), flags)
            });
        match made {
            Ok(()) => Ok(()),
            Err(error) => {
                let _ = unlinkat(&self.directory, new.as_str(), UnlinkatFlags::RemoveDir);
                // The same user's other gate was faster.
                if error == Errno::EEXIST { Ok(()) } else { Err(error) }
            }
        }
    }
}

impl AsFd for Runtime {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Is there a socket?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// A socket of the user's: perhaps a server listens on it.
    Present,
    /// Nothing.
    Absent,
}

impl Home {
    /// Looks at the socket's name without following or opening anything.
    ///
    /// # Errors
    /// [`Error::NotSocket`]: status 78.
    pub fn socket(&self) -> Result<Socket, Error> {
        let path = format!("{}/{SOCKET}", self.path);
        match fstatat(&self.directory, SOCKET, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(Socket::Absent),
            Err(errno) => Err(Error::Io(path, errno.into())),
            Ok(found) if is(&found, SFlag::S_IFSOCK) && found.st_uid == self.uid.raw() => Ok(Socket::Present),
            Ok(_) => Err(Error::NotSocket(path, self.uid)),
        }
    }
}

/// A group that no other user's directory has.
fn draw_group() -> io::Result<u32> {
    let taken: Vec<u32> = fs::read_dir(RUNTIME)?.flatten().filter_map(|e| Some(e.metadata().ok()?.gid())).collect();
    loop {
        let group = DRAWN.start() + (files::random()? & (DRAWN.end() - DRAWN.start()));
        if !taken.contains(&group) {
            return Ok(group);
        }
    }
}

fn refused(path: &str, errno: Errno) -> Error {
    match errno {
        Errno::ENOENT => Error::Missing(path.to_owned()),
        Errno::ELOOP | Errno::ENOTDIR => Error::NotDirectory(path.to_owned()),
        errno => Error::Io(path.to_owned(), errno.into()),
    }
}

fn is(found: &FileStat, kind: SFlag) -> bool {
    found.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

fn judge(found: &FileStat, want_gid: u32) -> Result<(), Error> {
    let path = RUNTIME.to_owned();
    if (found.st_uid, found.st_gid) != (0, want_gid) {
        return Err(Error::Owner { path, uid: found.st_uid, gid: found.st_gid, want_uid: 0, want_gid });
    }
    match found.st_mode & 0o7777 {
        0o710 => Ok(()),
        mode => Err(Error::Mode(path, mode, 0o710)),
    }
}
