//! What is at this path, who besides root may change it, and how are bytes read and written? Never: what follows from the
//! answer.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::{self, UnlinkatFlags, unlinkat};

use crate::ident::Uid;

/// Somebody besides root may change what a path leads to.
#[derive(Debug)]
pub enum Weakness {
    /// Owned by a user.
    Owner(PathBuf, u32),
    /// Writable by group or others. (An ACL that lets anybody write shows in the group's bits: acl(5), mask.)
    Mode(PathBuf, u32),
    /// Neither a regular file nor, on the way to it, a directory.
    Kind(PathBuf),
}

/// Follows `path` as the kernel would, one link at a time, and judges every step: `Ok(Ok(real))` is a path without links
/// of which nobody besides root can change any part, so its name means the file for as long as root leaves it.
///
/// # Errors
/// lstat(2), readlink(2); `ELOOP` after 40 links.
pub fn resolve(path: &Path) -> io::Result<Result<PathBuf, Weakness>> {
    let steps = |path: &Path| -> Vec<PathBuf> { path.components().rev().map(|step| step.as_os_str().into()).collect() };
    let mut real = PathBuf::new();
    let mut ahead = steps(path);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        if step.as_os_str() == ".." {
            real.pop();
            continue;
        }
        // An absolute step, the root, replaces what came before.
        let at = real.join(step);
        let found = match fs::symlink_metadata(&at) {
            // What a link promises and is not there is not the same as nothing.
            Err(e) if e.kind() == io::ErrorKind::NotFound && links > 0 => {
                return Err(io::Error::from_raw_os_error(libc::ENOLINK));
            }
            found => found?,
        };
        if found.uid() != 0 {
            return Ok(Err(Weakness::Owner(at, found.uid())));
        }
        if found.is_symlink() {
            links += 1;
            if links > 40 {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            ahead.extend(steps(&fs::read_link(&at)?));
            continue;
        }
        if found.mode() & 0o022 != 0 {
            return Ok(Err(Weakness::Mode(at, found.mode() & 0o7777)));
        }
        if !(found.is_dir() || (ahead.is_empty() && found.is_file())) {
            return Ok(Err(Weakness::Kind(at)));
        }
        real = at;
    }
    Ok(Ok(real))
}

/// Reads a regular file of at most `limit` bytes without following a last link and without ever blocking on what is
/// not a file (CVE-2024-22365). Call [`resolve`] first and read what it gives: it is what makes the file's name mean the
/// file.
///
/// # Errors
/// open(2), read(2); `InvalidData` for what is not a regular file, is larger than `limit`, or is not UTF-8.
pub fn read_small(path: &Path, limit: u64) -> io::Result<String> {
    read_if(path, limit, |_| true)
}

/// The same, and only if the file is this user's, under no other name and in nobody else's hands to write: a claim of his,
/// wherever it lies.
///
/// # Errors
/// As above.
pub fn read_claim(path: &Path, limit: u64, owner: Uid) -> io::Result<String> {
    read_if(path, limit, |file| file.uid() == owner.raw() && file.nlink() == 1 && file.mode() & 0o022 == 0)
}

fn read_if(path: &Path, limit: u64, wanted: impl FnOnce(&fs::Metadata) -> bool) -> io::Result<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > limit || !wanted(&found) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// The same, of a file in an open directory.
///
/// # Errors
/// As above.
pub fn read_small_at(directory: BorrowedFd<'_>, name: &str, limit: u64) -> io::Result<String> {
    read_small(&path_at(directory).join(name), limit)
}

fn path_at(directory: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

/// The names of what is in an open directory; names that are not UTF-8 are nobody's.
///
/// # Errors
/// readdir(3).
pub fn names_in(directory: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(path_at(directory))?;
    let names = entries.filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose());
    names.collect()
}

/// Removes a file; one that is not there is none.
pub fn remove_at(directory: BorrowedFd<'_>, name: &str) {
    let _ = unlinkat(directory, name, UnlinkatFlags::NoRemoveDir);
}

/// Whatever is put into a directory, or taken from it, makes this readable.
pub struct Watch(Inotify);

impl Watch {
    /// Watches these directories; those that are not there stay unwatched.
    ///
    /// # Errors
    /// inotify_init1(2), inotify_add_watch(2).
    pub fn on(directories: &[&Path]) -> io::Result<Self> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let changes = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB;
        for directory in directories {
            match watch.add_watch(*directory, changes) {
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self(watch))
    }

    /// The names that something happened to since the last call; none where so much happened that it must be looked at all.
    pub fn changed(&self) -> Option<Vec<String>> {
        let mut names = Vec::new();
        while let Ok(events) = self.0.read_events() {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    return None;
                }
                names.extend(event.name.and_then(|name| name.into_string().ok()));
            }
        }
        Some(names)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Puts a file of mode 0600 in the place of `name`, whole or not at all: written as `new` first, on the disk before it has the
/// name, and the name on the disk when this returns.
///
/// # Errors
/// open(2), write(2), fsync(2), rename(2): what was there before is there still.
pub fn replace_at(directory: BorrowedFd<'_>, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(directory, new, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let mut file = fs::File::from(file);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| Ok(renameat(directory, new, directory, name)?));
    if renamed.is_err() {
        remove_at(directory, new);
        return renamed;
    }
    Ok(unistd::fsync(directory)?)
}

/// Is uid 0 root here? In a user namespace the root directory belongs to somebody who is not mapped.
pub fn root_directory_is_roots() -> bool {
    fs::symlink_metadata("/").is_ok_and(|root| root.uid() == 0)
}

/// Is `path` this very program?
pub fn is_this_program(path: &Path) -> bool {
    let (Ok(own), Ok(other)) = (fs::metadata("/proc/self/exe"), fs::metadata(path)) else {
        return false;
    };
    own.dev() == other.dev() && own.ino() == other.ino()
}

/// Where this very program is, if its path can be written into a command as it is.
pub fn this_program() -> Option<String> {
    let path = fs::read_link("/proc/self/exe").ok()?.into_os_string().into_string().ok()?;
    let plain = path.starts_with('/') && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain.then_some(path)
}

/// Nothing to read, and room for everything.
///
/// # Errors
/// open(2).
pub fn null() -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).open("/dev/null")
}

/// Writes all of it, also to what somebody else made non-blocking (a tmux server does that to the terminal it shares), for
/// a second at most after each byte that was taken.
///
/// # Errors
/// write(2); `EAGAIN` when nothing was taken for a second.
pub fn write_patiently(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match unistd::write(fd, bytes) {
            Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], 1000_u16) {
                Ok(0) => return Err(Errno::EAGAIN),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            },
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A random number from the kernel.
///
/// # Errors
/// open(2), read(2) of /dev/urandom.
pub fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}
