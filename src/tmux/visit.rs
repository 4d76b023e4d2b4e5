//! What is set up in an owner's server for a visit, and taken back after it? By the server itself, whatever dies of ours.
//!
//! MUST: nothing that tmux 3.2 does not know (it has no `hook_client`); taking back twice is as good as once.

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

/// Hooks of the gate's have the guest's terminal's number and this.
const HOOKS: u32 = 760_000;

/// Is this line of show-hooks about a hook of the gate's own?
pub(super) fn is_own_hook(line: &str) -> bool {
    let index = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(index, _)| index);
    index.and_then(|index| index.parse().ok()).is_some_and(|number: u32| number >= HOOKS)
}

impl Client<'_> {
    fn target(&self) -> String {
        format!("${}:", self.session)
    }

    fn hook(&self, name: &str) -> String {
        let number: u32 = self.tty.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        format!("{name}[{}]", HOOKS.saturating_add(number))
    }

    /// A format: is it attached, to a session of which this other format holds?
    fn is_in(&self, session: &str) -> String {
        let here = format!("#{{m:*#,{}#,*,#,#{{session_attached_list}}#,}}", self.tty);
        format!("#{{S:#{{?#{{&&:{session},{here}}},1,}}}}")
    }

    /// Commands that take everything back.
    fn gone(&self) -> String {
        let (target, tty) = (self.target(), self.tty);
        let hooks = ["client-attached", "client-detached", "client-session-changed"].map(|name| self.hook(name));
        let unhook: String = hooks.iter().map(|hook| format!("set-hook -gu '{hook}' ; ")).collect();
        let was = "#{@tmux-gate-was}";
        format!(
            "{unhook}set-option -F -t '{target}' @tmux-gate-guests '#{{s|<{tty}>||:@tmux-gate-guests}}' ; \
             if-shell -F -t '{target}' '#{{@tmux-gate-guests}}' '' {{ set-option -u -t '{target}' @tmux-gate-guests ; \
             if-shell -F -t '{target}' '{was}' {{ set-option -u -t '{target}' detach-on-destroy ; \
             if-shell -F -t '{target}' '#{{!=:#{{detach-on-destroy}},{was}}}' \
             {{ set-option -F -t '{target}' detach-on-destroy '{was}' }} ; \
             set-option -u -t '{target}' @tmux-gate-was }} }}"
        )
    }
}

/// Prepares a session for a guest, and prints its prefix keys. While guests are in, nobody is carried elsewhere when the session
/// ends; a guest who is in a session that was not granted is detached. When the guest's client is gone, by whatever end, the
/// server takes all of it back.
#[must_use]
pub fn receive(socket: &str, client: &Client<'_>) -> Vec<String> {
    let (target, tty) = (client.target(), client.tty);
    let keep = format!(
        "set-option -F -t '{target}' @tmux-gate-was '#{{detach-on-destroy}}' ; \
         set-option -t '{target}' detach-on-destroy on"
    );
    let (detached, changed) = (client.hook("client-detached"), client.hook("client-session-changed"));
    let take_back = format!("if-shell -F '{}' '' {{ {} }}", client.is_in("1"), client.gone());
    // Before it is attached it is nowhere either.
    let come = format!("if-shell -F '{}' {{ set-hook -g '{detached}' {{ {take_back} }} }}", client.is_in("1"));
    let elsewhere = client.is_in(&format!("#{{!=:#{{session_id}},${}}}", client.session));
    let stay = format!("if-shell -F '{elsewhere}' 'detach-client -t {tty}'");
    let listed = format!("#{{@tmux-gate-guests}}<{tty}>");
    let mut commands = vec![
        words(&["if-shell", "-F", "-t", &target, "#{==:#{detach-on-destroy},on}", "", &keep]),
        words(&["set-option", "-F", "-t", &target, "@tmux-gate-guests", &listed]),
        words(&["set-hook", "-g", &client.hook("client-attached"), &come]),
    ];
    if client.scope == Scope::ThatSession {
        commands.push(words(&["set-hook", "-g", &changed, &stay]));
    }
    commands.push(prefix_line(&target));
    in_one(socket, commands.into_iter())
}

/// Takes back what [`receive`] did, for a client that never came.
#[must_use]
pub fn forget(socket: &str, client: &Client<'_>) -> Vec<String> {
    words(&["tmux", "-N", "-S", socket, "if-shell", "-F", "1", &client.gone()])
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
