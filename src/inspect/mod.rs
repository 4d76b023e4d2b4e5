//! What does `check` see of the host? Never: changes, or anything that needs root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::ident::Visible;

/// Something that is wrong, with its cure.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// The binary cannot say where it is.
    #[error("/proc/self/exe: {0}; mount /proc")]
    NoProc(std::io::Error),
    /// Not root's.
    #[error("{0}: owned by uid {1}; run: chown root {0} && chmod 4755 {0}")]
    Owner(String, u32),
    /// No setuid bit, or writable by others.
    #[error("{0}: mode {1:04o}, not setuid root and safe; run: chmod 4755 {0}")]
    Mode(String, u32),
    /// The mount ignores the bit.
    #[error("{0}: on a file system mounted nosuid; install it on another, or remount that one with suid")]
    NoSuid(String),
    /// Somebody is a member.
    #[error(
        "group tmux-gate: has members ({0}), who reach everybody's sockets' directory; run: gpasswd -d NAME tmux-gate"
    )]
    Members(Visible),
    /// tmux is too old, or says something else.
    #[error(
        "{0}: \"{1}\" is not tmux 3.2 or newer; install a newer one, or set [tmux] path in /etc/tmux-gate/config.toml"
    )]
    Version(String, Visible),
}

/// Is this binary installed so that it can work?
pub fn program() -> Vec<Finding> {
    let path: PathBuf = match fs::read_link("/proc/self/exe") {
        Ok(path) => path,
        Err(error) => return vec![Finding::NoProc(error)],
    };
    let shown = Visible::line(path.as_os_str().as_encoded_bytes()).to_string();
    let found = match fs::metadata("/proc/self/exe") {
        Ok(found) => found,
        Err(error) => return vec![Finding::NoProc(error)],
    };
    let mode = found.permissions().mode() & 0o7777;
    let nosuid = statvfs("/proc/self/exe").is_ok_and(|s| s.flags().contains(FsFlags::ST_NOSUID));
    let owner = (found.uid() != 0).then(|| Finding::Owner(shown.clone(), found.uid()));
    let mode = (mode & 0o4000 == 0 || mode & 0o022 != 0).then(|| Finding::Mode(shown.clone(), mode));
    owner.into_iter().chain(mode).chain(nosuid.then_some(Finding::NoSuid(shown))).collect()
}

/// The group of the sockets has no members: the gate adds it to what it starts.
pub fn members(members: &[String]) -> Option<Finding> {
    (!members.is_empty()).then(|| Finding::Members(Visible::line(members.join(" ").as_bytes())))
}

/// Who has this group for a primary one, besides the user tmux-gate: as far as /etc/passwd tells.
pub fn primary_members(gid: u32) -> Vec<String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entries = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let theirs = entries.filter(|e| e.get(3).and_then(|g| g.parse().ok()) == Some(gid));
    theirs.filter_map(|e| e.first().map(|name| (*name).to_owned())).filter(|name| name != "tmux-gate").collect()
}

/// Asks tmux for its version: 3.2 or newer.
///
/// # Errors
/// [`Finding::Version`].
pub fn tmux_version(path: &Path) -> Result<(), Finding> {
    let asked = Command::new(path).arg("-V").env_clear().stdin(Stdio::null()).stderr(Stdio::null()).output();
    let answer = asked.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&answer);
    if is_new_enough(text.trim()) {
        Ok(())
    } else {
        Err(Finding::Version(path.display().to_string(), Visible::line(text.trim().as_bytes())))
    }
}

/// `tmux 3.3a`, `tmux next-3.5`, `tmux 3.10-rc`.
fn is_new_enough(version: &str) -> bool {
    let Some(version) = version.strip_prefix("tmux ") else {
        return false;
    };
    if version.starts_with("openbsd-") || version == "master" {
        return true;
    }
    let version = version.strip_prefix("next-").unwrap_or(version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) >= (3, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmux_before_3_2_is_too_old() {
        for good in ["tmux 3.2", "tmux 3.3a", "tmux next-3.5", "tmux 3.10", "tmux 4.0-rc", "tmux master"] {
            assert!(is_new_enough(good), "{good}");
        }
        for bad in ["tmux 3.1c", "tmux 2.9", "tmux", "", "screen 5.0", "tmux next", "tmux 3"] {
            assert!(!is_new_enough(bad), "{bad}");
        }
    }
}
