//! Who is in now? A file for each guest who is inside, held locked by his monitor: whatever becomes of the monitor, the lock goes
//! with it, and a file that nobody holds is nobody.
//!
//! MUST: a name that is seen is a file that is held and whole. Anybody may look at any time, and be stopped while he does.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{Moment, Party};
use crate::ident::{Access, GrantId, SessionName};
use crate::sys::files;

/// Below root's own runtime directory: gone at the next boot, as the guests are.
const DIRECTORY: &str = "/run/tmux-gate/guests";
/// In front of a name until the file is held and written.
const NEW: &str = ".new.";
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
        Self::enter_at(Path::new(DIRECTORY), guest)
    }

    fn enter_at(directory: &Path, guest: &Guest) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        // Never one that was there before: whoever saw that one as nobody's may be about to remove it.
        let name = format!("{}.{}.{:x}", guest.grant, std::process::id(), files::random()?);
        let (path, new) = (directory.join(&name), directory.join(format!("{NEW}{name}")));
        let flags = libc::O_NOFOLLOW;
        let file = File::options().write(true).create_new(true).mode(0o600).custom_flags(flags).open(&new)?;
        let listed = || -> io::Result<Flock<File>> {
            let mut held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
            held.write_all(&serde_json::to_vec(guest)?)?;
            fs::rename(&new, &path)?;
            Ok(held)
        };
        let held = listed().inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })?;
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
    inside_at(Path::new(DIRECTORY))
}

fn inside_at(directory: &Path) -> io::Result<Vec<Guest>> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut guests = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_being_written(&path) {
            continue;
        }
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
                guests.push(serde_json::from_str(&text)?);
            }
            Err((_, errno)) => return Err(errno.into()),
        }
    }
    Ok(guests)
}

/// By a monitor that lives; what a dead one left of it is removed.
fn is_being_written(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(name) = name.strip_prefix(NEW) else { return false };
    let pid = name.split('.').nth(1).unwrap_or_default();
    if !Path::new("/proc").join(pid).exists() {
        let _ = fs::remove_file(path);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{moment, party};
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn guest(since: u64) -> Guest {
        let (guest, owner) = (party(1002, "bob"), party(1001, "alice"));
        let (grant, session) = (GrantId::parse("k7q2mx").expect("an id"), SessionName::parse("work").expect("a name"));
        let since = moment(since);
        let (tty, inner) = ("/dev/pts/0".to_owned(), "/dev/pts/9".to_owned());
        Guest { grant, guest, owner, session, access: Access::ReadOnly, since, tty, inner }
    }

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tmux-gate-presence-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn whoever_looks_at_the_wrong_moment_hides_nobody_and_keeps_nobody_out() {
        let place = place("races");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        inside_at(&place).expect("readable at any time");
                    }
                });
            }
            let listed = (0..2000).all(|round| {
                let held = Presence::enter_at(&place, &guest(round));
                held.is_ok() && inside_at(&place).is_ok_and(|guests| guests == [guest(round)])
            });
            done.store(true, Ordering::Relaxed);
            assert!(listed);
        });
        assert!(inside_at(&place).expect("readable").is_empty());
        let _ = fs::remove_dir_all(&place);
    }

    #[test]
    fn what_a_dead_monitor_left_is_nobody_and_is_removed() {
        let place = place("dead");
        drop(Presence::enter_at(&place, &guest(1)).expect("listed"));
        let left = [place.join("k7q2mx.1.5"), place.join(".new.k7q2mx.4294967295.5")];
        for path in &left {
            fs::write(path, serde_json::to_vec(&guest(5)).expect("JSON")).expect("written");
        }
        assert!(inside_at(&place).expect("readable").is_empty());
        assert!(left.iter().all(|path| !path.exists()));
        let _ = fs::remove_dir_all(&place);
    }
}
