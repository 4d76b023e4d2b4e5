//! What is at this path, who besides root may change it, and how are bytes read and written? Never: what follows from the
//! answer.

use std::fs;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd;

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
