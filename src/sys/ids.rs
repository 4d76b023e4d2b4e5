//! Who is this process, and how does it become somebody else for good?
//!
//! MUST: groups, then gid, then uid; every call checked; the result read back; root tried to be regained.
//! Never: setuid(2) and friends elsewhere; setters of single threads (rustix).

use std::io;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{self, Gid};

use crate::ident::Uid;

/// The ids that the caller's process had.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Real uid: who called.
    pub uid: Uid,
    /// Real gid.
    pub gid: u32,
}

/// Why a change of identity did not hold. The process must end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A system call said no.
    #[error("{0}: {1}")]
    Call(&'static str, io::Error),
    /// The calls succeeded and the ids are still others.
    #[error("the ids are not what was set")]
    NotHeld,
    /// setuid(0) worked after the drop.
    #[error("root could be had back")]
    Regained,
}

/// The caller's real ids; `None` for uid 4294967295.
pub fn caller() -> Option<Caller> {
    let uid = Uid::new(unistd::getuid().as_raw())?;
    Some(Caller { uid, gid: unistd::getgid().as_raw() })
}

/// Did the kernel honour the setuid bit?
pub fn is_effectively_root() -> bool {
    unistd::geteuid().is_root()
}

/// Drops the caller's groups while his real uid stays: PAM modules look at it (pam_rootok).
///
/// # Errors
/// [`Broken`]: end the process.
pub fn shed_groups() -> Result<(), Broken> {
    unistd::setgroups(&[]).map_err(|e| Broken::Call("setgroups", e.into()))?;
    let root = Gid::from_raw(0);
    unistd::setresgid(root, root, root).map_err(|e| Broken::Call("setresgid", e.into()))?;
    not_dumpable()
}

/// A change of effective ids sets it to fs.suid_dumpable, which may be any (prctl(2)).
fn not_dumpable() -> Result<(), Broken> {
    prctl::set_dumpable(false).map_err(|e| Broken::Call("prctl", e.into()))
}

/// Root wholly, so that the caller can neither stop nor kill this process.
///
/// # Errors
/// [`Broken`]: end the process.
pub fn become_root() -> Result<(), Broken> {
    let root = unistd::Uid::from_raw(0);
    unistd::setresuid(root, root, root).map_err(|e| Broken::Call("setresuid", e.into()))?;
    not_dumpable()?;
    let now = unistd::getresuid().map_err(|e| Broken::Call("getresuid", e.into()))?;
    if now.real == root && now.effective == root && now.saved == root { Ok(()) } else { Err(Broken::NotHeld) }
}

/// What initgroups(3) does with groups that were looked up already: before pam_setcred(3), which may add to them.
///
/// # Errors
/// [`Broken::Call`].
pub fn init_groups(groups: &[u32]) -> Result<(), Broken> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups).map_err(|e| Broken::Call("setgroups", e.into()))
}

/// This process's supplementary groups now.
///
/// # Errors
/// [`Broken::Call`].
pub fn groups() -> Result<Vec<u32>, Broken> {
    let groups = unistd::getgroups().map_err(|e| Broken::Call("getgroups", e.into()))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Whom to become.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Real, effective and saved uid.
    pub uid: Uid,
    /// Real gid.
    pub gid: u32,
    /// Effective and saved gid: the same as `gid`, or another, and then the kernel keeps everybody of that uid from
    /// tracing what is executed (ptrace(2): the ids must match; execve(2) makes it not dumpable).
    pub effective_gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Becomes `identity` for good and proves it.
///
/// # Errors
/// [`Broken`]: end the process.
pub fn become_for_good(identity: &Identity) -> Result<(), Broken> {
    init_groups(&identity.groups)?;
    become_caller(identity.uid, identity.gid, identity.effective_gid)
}

/// The same for a program of somebody else's than the caller: the caller's session keyring (keyrings(7)), with his tickets in it,
/// stays behind.
///
/// # Errors
/// [`Broken`]: end the process.
pub fn become_another_for_good(identity: &Identity) -> Result<(), Broken> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: keyctl(2) with numbers and no name: a new, empty keyring takes the place of the inherited one.
    match unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) } {
        // A kernel without keyrings, or a container that keeps everybody from them.
        -1 if [Errno::ENOSYS, Errno::EPERM].contains(&Errno::last()) => {}
        -1 => return Err(Broken::Call("keyctl", io::Error::last_os_error())),
        _ => {}
    }
    become_for_good(identity)
}

/// Becomes `uid` for good with the supplementary groups that are there, and proves it.
///
/// # Errors
/// [`Broken`]: end the process.
pub fn become_caller(uid: Uid, gid: u32, effective_gid: u32) -> Result<(), Broken> {
    let (gid, effective) = (Gid::from_raw(gid), Gid::from_raw(effective_gid));
    let uid = unistd::Uid::from_raw(uid.raw());
    unistd::setresgid(gid, effective, effective).map_err(|e| Broken::Call("setresgid", e.into()))?;
    unistd::setresuid(uid, uid, uid).map_err(|e| Broken::Call("setresuid", e.into()))?;
    let uids = unistd::getresuid().map_err(|e| Broken::Call("getresuid", e.into()))?;
    let gids = unistd::getresgid().map_err(|e| Broken::Call("getresgid", e.into()))?;
    let held = [uids.real, uids.effective, uids.saved].iter().all(|u| *u == uid)
        && gids.real == gid
        && [gids.effective, gids.saved].iter().all(|g| *g == effective);
    if !held {
        return Err(Broken::NotHeld);
    }
    let root = unistd::Uid::from_raw(0);
    if !uid.is_root() && (unistd::setuid(root).is_ok() || unistd::setresuid(root, root, root).is_ok()) {
        return Err(Broken::Regained);
    }
    Ok(())
}
