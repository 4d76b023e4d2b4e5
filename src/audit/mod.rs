//! What must be remembered? One enum variant a fact, written to syslog (authpriv), one line each.
//! Never: a decision, a byte from outside that was not escaped, a connection that blocks.

mod syslog;

use std::io;

use crate::ident::{Access, GrantId, Lifetime, Name, Reason, SessionName, Uid, Visible};

/// Whom a fact is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The caller's name, once the users database gave it.
    pub user: Option<Name>,
    /// The caller's real uid.
    pub uid: Uid,
    /// The terminal, if there is one.
    pub tty: Option<String>,
    /// The fingerprints of the keys that sshd took, as the caller's environment claims.
    pub ssh_key: Option<String>,
}

/// A fact.
#[derive(Debug)]
pub enum Event<'a> {
    /// PAM's authentication and account management said yes. Written before the session is opened: no record, no entry.
    Authenticated,
    /// The session is open, and the person's tmux starts.
    Attached {
        /// The own session.
        session: &'a SessionLabel,
        /// By which grant, where it takes one.
        grant: Option<&'a GrantId>,
    },
    /// The session was left. Written before the session's modules run again: they may crash.
    Detached {
        /// The own session.
        session: &'a SessionLabel,
        /// How long it was, whole seconds on the clock that counts suspend.
        seconds: u64,
        /// tmux's exit status.
        status: u8,
        /// By which grant he was in last, and, where that ended it, how.
        grant: Option<(&'a GrantId, Option<&'a str>)>,
    },
    /// Everything inside somebody's sessions was ended, the grant for the own session being over.
    Ended {
        /// How many processes had to be killed.
        killed: usize,
        /// How many were left all the same.
        left: usize,
    },
    /// The session was ended because its monitor died.
    Cut,
    /// The session was left, and its PAM modules did not close it: they crashed or hung.
    Unclosed,
    /// Something was done about a grant.
    Grant(Step, &'a Deal<'a>),
    /// A guest left, or was cut off.
    Left {
        /// By which grant.
        deal: &'a Deal<'a>,
        /// How it ended, in one word.
        how: &'a str,
        /// How long he was in, whole seconds.
        seconds: u64,
        /// What is different at the owner's since then, if the guest could type.
        changed: Option<&'a str>,
    },
    /// Nobody entered.
    Refused {
        /// Why: what the caller was told.
        reason: String,
        /// PAM's code, where PAM decided.
        pam: Option<String>,
    },
}

/// What was done about a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Asked for by the guest.
    Requested,
    /// Offered by the owner.
    Invited,
    /// One approval; the last one starts the clock.
    Approved,
    /// Refused by somebody who could have approved.
    Denied,
    /// Taken back by whoever asked.
    Cancelled,
    /// Taken away.
    Revoked,
    /// Given other terms.
    Changed,
    /// The guest is about to be let in.
    Joined,
}

/// A grant, as the record names it.
#[derive(Debug)]
pub struct Deal<'a> {
    /// Its id.
    pub grant: &'a GrantId,
    /// Who gets in.
    pub guest: &'a Name,
    /// Into whose sessions.
    pub owner: &'a Name,
    /// Which one; all of them, if none is named.
    pub session: Option<&'a SessionName>,
    /// How much.
    pub access: Access,
    /// How long.
    pub lifetime: Lifetime,
    /// Why.
    pub reason: &'a Reason,
}

/// A session as it is known before tmux is asked: by name, or by tmux's id for one that the gate did not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionLabel {
    /// By its name.
    Name(SessionName),
    /// By its id, `$3`.
    Id(u32),
}

impl std::fmt::Display for SessionLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Id(id) => write!(f, "${id}"),
        }
    }
}

/// The record could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "/dev/log: the record cannot be written ({0}); start the syslog service, or see audit.required in tmux-gate.toml(5)"
)]
pub struct Error(#[from] io::Error);

/// Writes one fact; when it returns, the syslog socket has taken it.
///
/// # Errors
/// [`Error`] after at most a second: nobody listens, or the listener is stuck.
pub fn record(subject: &Subject, event: &Event<'_>) -> Result<(), Error> {
    let severity = match event {
        Event::Authenticated | Event::Attached { .. } | Event::Detached { .. } => syslog::Severity::Info,
        Event::Grant(..) | Event::Left { .. } => syslog::Severity::Info,
        Event::Refused { .. } | Event::Cut | Event::Unclosed | Event::Ended { .. } => syslog::Severity::Warning,
    };
    Ok(syslog::send(severity, &line(subject, event))?)
}

/// The longest value, in bytes, before it is cut.
const LONGEST: usize = 512;

fn line(subject: &Subject, event: &Event<'_>) -> String {
    let mut line = String::new();
    let mut put = |key: &str, value: &str| {
        let space = if line.is_empty() { "" } else { " " };
        line += &format!("{space}{key}={}", quoted(value));
    };
    put("event", event.name());
    if let Some(user) = &subject.user {
        put("user", user.as_str());
    }
    put("uid", &subject.uid.to_string());
    if let Some(tty) = &subject.tty {
        put("tty", tty);
    }
    if let Some(fingerprints) = &subject.ssh_key {
        put("ssh_key", fingerprints);
    }
    match event {
        Event::Authenticated | Event::Cut | Event::Unclosed => {}
        Event::Attached { session, grant } => {
            put("session", &session.to_string());
            if let Some(grant) = grant {
                put("grant", grant.as_str());
            }
        }
        Event::Detached { session, seconds, status, grant } => {
            put("session", &session.to_string());
            put("seconds", &seconds.to_string());
            put("status", &status.to_string());
            if let Some((grant, how)) = grant {
                put("grant", grant.as_str());
                put("how", how.unwrap_or("left"));
            }
        }
        Event::Ended { killed, left } => {
            put("killed", &killed.to_string());
            put("left", &left.to_string());
        }
        Event::Grant(_, deal) => deal.put(&mut put),
        Event::Left { deal, how, seconds, changed } => {
            deal.put(&mut put);
            put("how", how);
            put("seconds", &seconds.to_string());
            if let Some(changed) = changed {
                put("changed", changed);
            }
        }
        Event::Refused { reason, pam } => {
            put("reason", reason);
            if let Some(code) = pam {
                put("pam", code);
            }
        }
    }
    line
}

impl Deal<'_> {
    fn put(&self, put: &mut impl FnMut(&str, &str)) {
        put("grant", self.grant.as_str());
        put("guest", self.guest.as_str());
        put("owner", self.owner.as_str());
        if let Some(session) = self.session {
            put("session", session.as_str());
        }
        put("access", &self.access.to_string());
        put("for", &self.lifetime.to_string().replace(' ', ""));
        put("why", self.reason.as_str());
    }
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Attached { .. } => "attached",
            Self::Detached { .. } => "detached",
            Self::Ended { .. } => "ended",
            Self::Cut => "cut",
            Self::Unclosed => "unclosed",
            Self::Grant(Step::Requested, _) => "requested",
            Self::Grant(Step::Invited, _) => "invited",
            Self::Grant(Step::Approved, _) => "approved",
            Self::Grant(Step::Denied, _) => "denied",
            Self::Grant(Step::Cancelled, _) => "cancelled",
            Self::Grant(Step::Revoked, _) => "revoked",
            Self::Grant(Step::Changed, _) => "changed",
            Self::Grant(Step::Joined, _) => "joined",
            Self::Left { .. } => "left",
            Self::Refused { .. } => "refused",
        }
    }
}

/// A value that cannot be taken for another field or another line: printable ASCII, quoted where it holds more than
/// names do.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+-$".contains(c);
    if !value.is_empty() && value.len() <= LONGEST && value.chars().all(plain) {
        return value.to_owned();
    }
    let cut = (0..=LONGEST.min(value.len())).rev().find_map(|end| value.get(..end)).unwrap_or_default();
    let mut safe = String::from("\"");
    for c in Visible::line(cut.replace('\\', "\\\\").replace('"', "\\\"").as_bytes()).as_str().chars() {
        if c.is_ascii() {
            safe.push(c);
        } else {
            safe += &format!("\\u{{{:x}}}", u32::from(c));
        }
    }
    safe.push('"');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> String {
        let subject = Subject {
            user: Name::parse(b"alice").ok(),
            uid: Uid::ROOT,
            tty: Some("/dev/pts/3".to_owned()),
            ssh_key: None,
        };
        line(&subject, &Event::Refused { reason: reason.to_owned(), pam: Some("AUTH_ERR".to_owned()) })
    }

    #[test]
    fn a_line_is_key_value_in_fixed_order() {
        assert_eq!(refused("no"), "event=refused user=alice uid=0 tty=/dev/pts/3 reason=no pam=AUTH_ERR");
    }

    #[test]
    fn no_value_can_forge_a_field_or_a_line() {
        let line = refused("x\" event=attached \\\" user=root\nNov 1 tmux-gate: event=\x1b[2J\u{2028}\u{9b}é");
        assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
        let value = line.split_once("reason=").map(|(_, rest)| rest).unwrap_or_default();
        let inside = value.strip_prefix('"').and_then(|v| v.strip_suffix("\" pam=AUTH_ERR")).expect("one quoted value");
        let unescaped = inside.replace("\\\\", "").replace("\\\"", "");
        assert!(!unescaped.contains('"'), "{line:?}");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert!(refused(&"é\"".repeat(5000)).len() < 6000);
    }
}
