//! Who is in now? A file for each guest who is inside, held locked by his monitor: whatever becomes of the monitor, the lock goes
//! with it, and a file that nobody holds is nobody.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{Moment, Party};
use crate::ident::{Access, GrantId, SessionName};

/// Below root's own runtime directory: gone at the next boot, as the guests are.
const DIRECTORY: &str = "/run/tmux-gate/guests";
const LONGEST: u64 = 16 * 1024;

/// A guest who is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// By which grant.
    pub grant: GrantId,
    /// Who.
    pub guest: Party,
    /// In whose session.
    pub owner: Party,
    /// Which.
    pub session: SessionName,
    /// How much he may do.
    pub access: Access,
    /// Since when.
    pub since: Moment,
    /// His terminal.
    pub tty: String,
    /// The inner terminal, on which his client is.
    pub inner: String,
}

/// Being listed, until dropped or dead.
pub struct Presence {
    path: PathBuf,
    _held: Flock<File>,
}

impl Presence {
    /// Lists a guest, before he is let in. When his grant or his access changes he is listed anew before the old entry goes.
    ///
    /// # Errors
    /// mkdir(2), open(2), flock(2), write(2).
    pub fn enter(guest: &Guest) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(DIRECTORY) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let path = PathBuf::from(format!("{DIRECTORY}/{}.{}.{}", guest.grant, std::process::id(), guest.access));
        // Of a process that had this pid before, and is gone.
        let _ = fs::remove_file(&path);
        let flags = libc::O_NOFOLLOW;
        let file = File::options().write(true).create_new(true).mode(0o600).custom_flags(flags).open(&path)?;
        let mut held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        held.write_all(&serde_json::to_vec(guest)?)?;
        Ok(Self { path, _held: held })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// All guests who are inside, whoever's. Needs root. What dead monitors left is removed.
///
/// # Errors
/// readdir(3), open(2).
pub fn inside() -> io::Result<Vec<Guest>> {
    let entries = match fs::read_dir(DIRECTORY) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut guests = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Ok(file) = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path) else {
            continue;
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => {
                let _ = fs::remove_file(&path);
            }
            Err((file, Errno::EAGAIN)) => {
                let mut text = String::new();
                file.take(LONGEST).read_to_string(&mut text)?;
                // A guest who is just being listed is not in yet.
                guests.extend(serde_json::from_str::<Guest>(&text).ok());
            }
            Err((_, errno)) => return Err(errno.into()),
        }
    }
    Ok(guests)
}
