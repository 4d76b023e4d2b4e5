//! What is set up in an owner's server for a visit, and taken back after it? By the server itself, whatever dies of ours.
//!
//! MUST: a hook a session and not a guest: a hundred of them would each look at a hundred events. Taking back twice is as good as
//! once.

use super::guests::{in_one, prefix_line};
use super::words;
use crate::ident::Access;

/// A guest's client, as the owner's server knows it.
pub struct Client<'a> {
    /// The session that it is attached to.
    pub session: u32,
    /// Its terminal, the inner one.
    pub tty: &'a str,
    /// May it be in another session as well?
    pub scope: Scope,
}

/// Where a grant leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To one session.
    ThatSession,
    /// To all of its owner's.
    EverySession,
}

/// Hooks of the gate's have the session's number and this.
const HOOKS: u32 = 760_000;

/// Is this line of show-hooks about a hook of the gate's own?
pub(super) fn is_own_hook(line: &str) -> bool {
    let index = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(index, _)| index);
    index.and_then(|index| index.parse().ok()).is_some_and(|number: u32| number >= HOOKS)
}

/// The client that a hook runs for, where tmux says so.
const HOOKED: &str = "#{hook_client}";

impl Client<'_> {
    fn target(&self) -> String {
        format!("${}:", self.session)
    }

    fn hook(&self, name: &str) -> String {
        format!("{name}[{}]", HOOKS.saturating_add(self.session))
    }

    /// Commands that take a guest off the session's list, and with the last one take back what was done to the session.
    fn gone(&self, tty: &str) -> String {
        let target = self.target();
        let (detached, changed) = (self.hook("client-detached"), self.hook("client-session-changed"));
        let was = "#{@tmux-gate-was}";
        format!(
            "set-option -F -t '{target}' @tmux-gate-guests '#{{s|<{tty}>||:@tmux-gate-guests}}' ; \
             if-shell -F -t '{target}' '#{{@tmux-gate-guests}}' '' {{ set-option -u -t '{target}' @tmux-gate-guests ; \
             set-hook -gu '{detached}' ; set-hook -gu '{changed}' ; \
             if-shell -F -t '{target}' '{was}' {{ set-option -u -t '{target}' detach-on-destroy ; \
             if-shell -F -t '{target}' '#{{!=:#{{detach-on-destroy}},{was}}}' \
             {{ set-option -F -t '{target}' detach-on-destroy '{was}' }} ; \
             set-option -u -t '{target}' @tmux-gate-was }} }}"
        )
    }

    /// A hook's command that does something if the client that it runs for is a guest of this session.
    fn if_guest(&self, command: &str) -> String {
        let listed = format!("#{{m:*<{HOOKED}>*,#{{@tmux-gate-guests}}}}");
        format!("if-shell -F -t '{}' '{listed}' {{ {command} }}", self.target())
    }
}

/// Prepares a session for a guest, and prints its prefix keys. While guests are in, nobody is carried elsewhere when the session
/// ends; a guest who goes to a session that was not granted is detached. When the guest's client is gone, by whatever end, the
/// server takes all of it back.
#[must_use]
pub fn receive(socket: &str, client: &Client<'_>) -> Vec<String> {
    let target = client.target();
    let keep = format!(
        "set-option -F -t '{target}' @tmux-gate-was '#{{detach-on-destroy}}' ; \
         set-option -t '{target}' detach-on-destroy on"
    );
    let elsewhere = format!("#{{!=:#{{session_id}},${}}}", client.session);
    let leave = client.if_guest(&format!("run-shell -C \"detach-client -t '{HOOKED}'\""));
    let listed = format!("#{{@tmux-gate-guests}}<{}>", client.tty);
    let mut commands = vec![
        words(&["if-shell", "-F", "-t", &target, "#{==:#{detach-on-destroy},on}", "", &keep]),
        words(&["set-option", "-F", "-t", &target, "@tmux-gate-guests", &listed]),
        words(&["set-hook", "-g", &client.hook("client-detached"), &client.if_guest(&client.gone(HOOKED))]),
    ];
    if client.scope == Scope::ThatSession {
        let stay = format!("if-shell -F '{elsewhere}' {{ {leave} }}");
        commands.push(words(&["set-hook", "-g", &client.hook("client-session-changed"), &stay]));
    }
    commands.push(prefix_line(&target));
    in_one(socket, commands.into_iter())
}

/// The command that takes back what [`receive`] did, for a client that never came, or a tmux that does not say for whom a hook runs.
#[must_use]
pub fn forget(client: &Client<'_>) -> Vec<String> {
    words(&["if-shell", "-F", "1", &client.gone(client.tty)])
}

/// Attaches a guest's client, as the owner, with nothing of the guest's environment (`-E`); never starts a server. Of a guest who
/// only sees, tmux takes no key and no size (as far as others are there whose size counts).
#[must_use]
pub fn attach(socket: &str, session: u32, access: Access) -> Vec<String> {
    let target = format!("${session}");
    match access {
        Access::ReadOnly => words(&["tmux", "-N", "-S", socket, "attach-session", "-E", "-r", "-t", &target]),
        Access::ReadWrite => words(&["tmux", "-N", "-S", socket, "attach-session", "-E", "-t", &target]),
    }
}

/// Makes the guest's client one for that access from now on, in the session that it came for. tmux lets go of its own flag for
/// reading on the way of a switch alone.
#[must_use]
pub fn set_access(socket: &str, client: &Client<'_>, access: Access) -> Vec<String> {
    let (target, tty) = (client.target(), client.tty);
    match access {
        Access::ReadOnly => {
            words(&["tmux", "-N", "-S", socket, "refresh-client", "-t", tty, "-f", "read-only,ignore-size"])
        }
        Access::ReadWrite => {
            words(&["tmux", "-N", "-S", socket, "switch-client", "-E", "-r", "-c", tty, "-t", &target])
        }
    }
}
