//! Who called? The real uid, found in the users database; an outage is not a stranger, and neither gets in.
//! Never: names from the environment, groups of the caller's process.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::unistd;

use super::error::Status;
use crate::config::Entry;
use crate::ident::{Name, Uid, Visible};
use crate::policy::{Person, Who};
use crate::sys::process::Patience;

/// A caller whom the users database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name, which leads back to the same uid.
    pub name: Name,
    /// The real uid.
    pub uid: Uid,
    /// The primary group.
    pub gid: u32,
    /// The home directory, as it is written.
    pub home: String,
    /// The login shell, as it is written.
    pub shell: String,
}

/// Why nobody can say who called.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No entry.
    #[error("uid {0}: not in the users database; ask your administrator for an account")]
    Stranger(Uid),
    /// An entry that no program should be given.
    #[error(
        "uid {0}: name, home or shell in the users database cannot be used ({1}); ask your administrator to mend them"
    )]
    Unusable(Uid, String),
    /// Two databases disagree (CVE-2019-14287's relatives: a name decided, another uid was meant).
    #[error("uid {0}: its name \"{1}\" belongs to another uid as well; ask your administrator to make it unique")]
    Ambiguous(Uid, Name),
    /// The users database does not answer.
    #[error("the users database does not answer ({0}); try again later")]
    Outage(String),
}

/// Ends this process after `limit`, unless what it gives is dropped: a name service that is silent holds up every lookup for
/// as long as it likes.
pub fn no_longer_than(limit: Duration) -> Patience {
    let fault = Fault::Outage("no answer within the time limit".to_owned());
    Patience::of(limit, &format!("tmux-gate: {fault}"), Status::NOT_YET)
}

/// Looks the caller up: name, home, shell.
///
/// # Errors
/// [`Fault`]: status 77, or 75 for an outage.
pub fn look_up(uid: Uid) -> Result<Caller, Fault> {
    let outage = |errno: nix::errno::Errno| Fault::Outage(errno.desc().to_owned());
    let found = unistd::User::from_uid(unistd::Uid::from_raw(uid.raw())).map_err(outage)?;
    let found = found.ok_or(Fault::Stranger(uid))?;
    // nix puts U+FFFD for what is not UTF-8, which is in no valid name.
    let name = Name::parse(found.name.as_bytes()).map_err(|e| Fault::Unusable(uid, e.to_string()))?;
    let text = |raw: &std::ffi::OsStr| {
        let plain = raw.to_str().filter(|t| !t.chars().any(char::is_control));
        plain.map(str::to_owned).ok_or_else(|| Fault::Unusable(uid, Visible::line(raw.as_bytes()).to_string()))
    };
    match unistd::User::from_name(name.as_str()).map_err(outage)?.map(|back| back.uid.as_raw()) {
        Some(back) if back == uid.raw() => {}
        Some(_) => return Err(Fault::Ambiguous(uid, name)),
        None => return Err(Fault::Outage("a name without its entry".to_owned())),
    }
    let (home, shell) = (text(found.dir.as_os_str())?, text(found.shell.as_os_str())?);
    Ok(Caller { uid, gid: found.gid.as_raw(), home, shell, name })
}

/// The same by name, which must be the database's own spelling of it or lead to it.
///
/// # Errors
/// [`Fault`]; a name that is nobody's is [`Fault::Unusable`].
pub fn look_up_name(name: &Name) -> Result<Caller, Fault> {
    let found = unistd::User::from_name(name.as_str()).map_err(|errno| Fault::Outage(errno.desc().to_owned()))?;
    let uid =
        found.and_then(|user| Uid::new(user.uid.as_raw())).ok_or_else(|| Fault::Unusable(Uid::ROOT, String::new()))?;
    look_up(uid)
}

impl Caller {
    /// As rules judge him where no group counts.
    pub fn alone(&self) -> Person {
        Person { uid: self.uid, gids: Vec::new() }
    }

    /// All groups of the users database now, the primary one included: a lookup that can take its time with LDAP.
    ///
    /// # Errors
    /// [`Fault::Outage`].
    pub fn groups(&self) -> Result<Vec<u32>, Fault> {
        let outage = |text: &str| Fault::Outage(format!("groups: {text}"));
        let name = CString::new(self.name.as_str()).map_err(|_| outage("NUL"))?;
        let groups = unistd::getgrouplist(&name, unistd::Gid::from_raw(self.gid)).map_err(|e| outage(e.desc()))?;
        Ok(groups.into_iter().map(unistd::Gid::as_raw).collect())
    }
}

/// The ids behind an entry of the configuration: decided by uid and gid, never by walking a group's members.
///
/// # Errors
/// [`Fault::Outage`]: a rule that cannot be read lets nobody in.
pub fn resolve(entry: &Entry) -> Result<Who, Fault> {
    let outage = |errno: nix::errno::Errno| Fault::Outage(errno.desc().to_owned());
    match entry {
        Entry::Uid(uid) => Ok(Who::User(*uid)),
        Entry::User(name) => {
            let user = unistd::User::from_name(name.as_str()).map_err(outage)?;
            Ok(user.and_then(|u| Uid::new(u.uid.as_raw())).map_or(Who::Nobody, Who::User))
        }
        Entry::Group(name) => Ok(group(name.as_str())?.map_or(Who::Nobody, |g| Who::Group(g.gid.as_raw()))),
    }
}

/// A group's entry, with the members that are written in it.
///
/// # Errors
/// [`Fault::Outage`].
pub fn group(name: &str) -> Result<Option<unistd::Group>, Fault> {
    unistd::Group::from_name(name).map_err(|errno| Fault::Outage(errno.desc().to_owned()))
}
