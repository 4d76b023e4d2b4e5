//! What is at this path, and who besides root may change it? Never: what follows from the answer.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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

/// The first component of `path`, links followed as the kernel would, that somebody besides root may change.
///
/// # Errors
/// lstat(2), realpath(3).
pub fn weakness(path: &Path) -> io::Result<Option<Weakness>> {
    let mut steps: Vec<&Path> = path.ancestors().collect();
    steps.reverse();
    let mut links = false;
    for step in steps {
        let found = fs::symlink_metadata(step)?;
        if found.uid() != 0 {
            return Ok(Some(Weakness::Owner(step.to_owned(), found.uid())));
        }
        if found.is_symlink() {
            links = true;
            continue;
        }
        if found.mode() & 0o022 != 0 {
            return Ok(Some(Weakness::Mode(step.to_owned(), found.mode() & 0o7777)));
        }
        if !(found.is_dir() || (step == path && found.is_file())) {
            return Ok(Some(Weakness::Kind(step.to_owned())));
        }
    }
    // Every link is root's, so it leads where root said: the same questions there.
    if links { weakness(&fs::canonicalize(path)?) } else { Ok(None) }
}

/// Reads a regular file of at most `limit` bytes without following a last link and without ever blocking on what is
/// not a file (CVE-2024-22365). Call [`weakness`] first: it is what makes the file's name mean the file.
///
/// # Errors
/// open(2), read(2); `InvalidData` for what is not a regular file, is larger than `limit`, or is not UTF-8.
pub fn read_small(path: &Path, limit: u64) -> io::Result<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let size = file.metadata()?;
    if !size.is_file() || size.len() > limit {
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
