//! What do we say to tmux? Command lines and where its socket is.
//!
//! Never: a tmux client as root, a target that tmux could read as a prefix or a pattern, a socket path of the caller's.

mod ask;
mod custody;
pub mod guests;
mod state;
pub mod visit;

use std::path::Path;

pub use ask::{Error as AskError, LONGEST as LONGEST_ANSWER, as_owner, start_as_owner};
pub use custody::{Error as CustodyError, Home, Runtime, Socket};
pub use state::{Panes, Setting, Settings, list_keys, read_keys, read_settings, show_panes, show_settings};

use crate::ident::{SessionName, Uid};
use crate::sys::files::{self, Weakness};

/// Which session to attach to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By name; made if it is not there.
    Named(SessionName),
    /// By tmux's own id, `$3`.
    Existing(u32),
}

/// tmux cannot be run safely.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is nothing at that path.
    #[error("{0}: tmux is not there; install tmux 3.2 or newer, or set [tmux] path in /etc/tmux-gate/config.toml")]
    Missing(String),
    /// Somebody besides root could replace it.
    #[error("{0}: others than root may change it; run: chown root {0} and chmod go-w {0}, up to /")]
    Weak(String),
}

/// Is tmux at `path`, and can nobody but root have put something else there?
///
/// # Errors
/// [`Unusable`]: status 69 if it is missing, else 78.
pub fn usable(path: &Path) -> Result<(), Unusable> {
    match files::resolve(path) {
        Ok(Ok(real)) if real.is_file() => Ok(()),
        Ok(Ok(_)) | Err(_) => Err(Unusable::Missing(path.display().to_string())),
        Ok(Err(Weakness::Owner(at, _) | Weakness::Mode(at, _) | Weakness::Kind(at))) => {
            Err(Unusable::Weak(at.display().to_string()))
        }
    }
}

/// The socket of a user.
#[must_use]
pub fn socket(uid: Uid) -> String {
    format!("{}/{uid}/{}", custody::RUNTIME, custody::SOCKET)
}

/// Attaches to `target`.
#[must_use]
pub fn attach(socket: &str, target: &Target) -> Vec<String> {
    match target {
        Target::Named(name) => words(&["tmux", "-S", socket, "new-session", "-A", "-s", name.as_str()]),
        Target::Existing(id) => words(&["tmux", "-N", "-S", socket, "attach-session", "-t", &format!("${id}")]),
    }
}

/// Prints a line a session, in `format`. `-u`: names as they are, whatever the locale.
#[must_use]
pub fn list_sessions(socket: &str, format: &str) -> Vec<String> {
    words(&["tmux", "-u", "-N", "-S", socket, "list-sessions", "-F", format])
}

/// The format of [`find_session`] and [`last_used`].
pub const SESSIONS: &str = "#{session_activity} #{session_id} #{session_name}";

/// The session of that name, or the one that was used last, from the answer to [`SESSIONS`]: its id and its name.
#[must_use]
pub fn find_session(answer: &[u8], named: Option<&SessionName>) -> Option<(u32, SessionName)> {
    let lines = std::str::from_utf8(answer).ok()?.lines();
    let parse = |line: &str| {
        let mut fields = line.splitn(3, ' ');
        let when: u64 = fields.next()?.parse().ok()?;
        let id: u32 = fields.next()?.strip_prefix('$')?.parse().ok()?;
        Some((when, id, SessionName::parse(fields.next()?).ok()?))
    };
    let found = lines.filter_map(parse).filter(|(_, _, name)| named.is_none_or(|named| named == name));
    found.max_by_key(|(when, id, _)| (*when, *id)).map(|(_, id, name)| (id, name))
}

/// Is a session of that id in the answer to [`SESSIONS`]?
#[must_use]
pub fn has_session(answer: &[u8], session: u32) -> bool {
    let id = format!("${session}");
    String::from_utf8_lossy(answer).lines().any(|line| line.split(' ').nth(1) == Some(id.as_str()))
}

/// Prints a line a pane of all sessions, in `format`.
#[must_use]
pub fn list_panes(socket: &str, format: &str) -> Vec<String> {
    words(&["tmux", "-u", "-N", "-S", socket, "list-panes", "-a", "-F", format])
}

/// Shows `text`, in which tmux expands `#` and `%`, for ten seconds to the client on that terminal.
#[must_use]
pub fn show_message(socket: &str, tty: &str, text: &str) -> Vec<String> {
    words(&["tmux", "-N", "-S", socket, "display-message", "-c", tty, "-d", "10000", text])
}

/// Ends the server and what runs in its panes.
#[must_use]
pub fn kill_server(socket: &str) -> Vec<String> {
    words(&["tmux", "-N", "-S", socket, "kill-server"])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// The format of [`last_used`]: numbers only, so that nothing of a user's text is parsed.
pub const LAST_USED: &str = "#{session_activity} #{session_id}";

/// The session that was used last, from the answer to [`LAST_USED`].
#[must_use]
pub fn last_used(answer: &[u8]) -> Option<u32> {
    let lines = std::str::from_utf8(answer).ok()?.lines();
    let parse = |line: &str| {
        let (when, id) = line.split_once(" $")?;
        Some((when.parse::<u64>().ok()?, id.parse::<u32>().ok()?))
    };
    lines.filter_map(parse).max().map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_used_last_wins_and_a_hostile_answer_is_nothing() {
        assert_eq!(last_used(b"17 $1\n18 $0\n9 $7\n"), Some(0));
        assert_eq!(last_used(b""), None);
        assert_eq!(last_used(b"x $1\n17 $1;kill-server\n17 -t\n\xff"), None);
    }

    #[test]
    fn no_target_is_a_prefix_or_a_pattern() {
        let name = SessionName::main();
        assert_eq!(attach("/s", &Target::Named(name)).join(" "), "tmux -S /s new-session -A -s main");
        assert_eq!(attach("/s", &Target::Existing(3)).join(" "), "tmux -N -S /s attach-session -t $3");
    }
}
