//! What do we have an owner's server do about guests, and show to people where they work?
//!
//! MUST: text from people in single quotes, where tmux reads a command, and with every `#` and `%` doubled.
//! Never: the reason of a request, which is anybody's text: whoever is told looks it up.

use super::words;
use crate::ident::{Access, GrantId};

/// The terminals of the clients that are attached to a server, as tmux tells them.
#[must_use]
pub fn list_clients(socket: &str) -> Vec<String> {
    words(&["tmux", "-N", "-S", socket, "list-clients", "-F", "#{client_tty}"])
}

/// The answer to [`list_clients`], but for what no terminal is called.
#[must_use]
pub fn clients(answer: &[u8]) -> Vec<String> {
    let plain = |name: &&str| {
        name.starts_with("/dev/") && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    String::from_utf8_lossy(answer).lines().filter(plain).map(str::to_owned).collect()
}

/// How long a line is shown, or until a key is pressed: a client draws nothing else meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As long as their owner's `display-time` says.
    Passing,
    /// Ten seconds.
    Important,
}

/// Shows a line on these clients.
#[must_use]
pub fn show(socket: &str, clients: &[String], line: &str, weight: Weight) -> Vec<String> {
    let line = literal(line);
    let command = |client: &String| match weight {
        Weight::Passing => words(&["display-message", "-c", client, "--", &line]),
        Weight::Important => words(&["display-message", "-d", "10000", "-c", client, "--", &line]),
    };
    in_one(socket, clients.iter().map(command))
}

/// Opens a menu on these clients about a request. The choices to approve open the gate's own prompt in a popup; `program` is
/// the gate. In the background: display-menu is done when somebody has chosen.
#[must_use]
pub fn ask(socket: &str, clients: &[String], request: &Request<'_>) -> Vec<String> {
    let Request { id, program, access, .. } = request;
    let title = literal(&format!(" {id}: {} ", request.title));
    let approve = |less: &str| format!("display-popup -E -E -w 90% -h 75% \"{program} approve {id}{less}\"");
    // What Enter chooses comes first, and no letter chooses: whoever is typing when the menu comes has chosen nothing.
    let mut items = vec![("Later", String::new()), ("Approve, to see it", approve(" --read-only"))];
    if *access == Access::ReadWrite {
        items.push(("Approve, to type into it", approve("")));
    }
    items.push(("Deny", format!("run-shell -b \"{program} deny {id} >/dev/null 2>&1\"")));
    let items: String = items.iter().map(|(text, command)| format!(" '{text}' '' '{command}'")).collect();
    let menu = |client: &String| format!("display-menu -c {client} -T '{title}'{items}");
    in_one(socket, clients.iter().map(|client| words(&["run-shell", "-b", "-C", &menu(client)])))
}

/// What a menu is about.
pub struct Request<'a> {
    /// Of the request.
    pub id: &'a GrantId,
    /// Who asks for what, in a few words.
    pub title: &'a str,
    /// How much was asked for.
    pub access: Access,
    /// The gate's path.
    pub program: &'a str,
}

fn in_one(socket: &str, commands: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut all = words(&["tmux", "-N", "-S", socket]);
    for command in commands {
        all.extend(command);
        all.push(";".to_owned());
    }
    all
}

/// A text that tmux shows as it is, in formats and in strftime(3)'s.
fn literal(text: &str) -> String {
    text.replace('#', "##").replace('%', "%%")
}

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
#[must_use]
pub fn is_own_hook(line: &str) -> bool {
    let number =
        line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).and_then(|(index, _)| index.parse().ok());
    number.is_some_and(|number: u32| number >= HOOKS)
}

/// Prepares a session for a guest, and prints its prefix keys. While guests are in, nobody is carried elsewhere when the session
/// ends; a guest who switches to a session that was not granted is detached. When the guest's client is gone, by whatever end, the
/// server takes all of it back by itself.
#[must_use]
pub fn receive(socket: &str, client: &Client<'_>) -> Vec<String> {
    let (session, tty) = (format!("${}:", client.session), client.tty);
    let number = tty.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let hook = |name: &str| format!("{name}[{}]", HOOKS.saturating_add(number));
    let (changed, detached) = (hook("client-session-changed"), hook("client-detached"));
    let elsewhere = format!("#{{&&:#{{==:#{{hook_client}},{tty}}},#{{!=:#{{session_id}},${}}}}}", client.session);
    let stay = format!("if-shell -F '{elsewhere}' 'detach-client -t {tty}'");
    let keep = "set-option -F -t '$:' @tmux-gate-was '#{detach-on-destroy}' ; set-option -t '$:' detach-on-destroy on";
    let take_back =
        "set-option -F -t '$:' detach-on-destroy '#{@tmux-gate-was}' ; set-option -u -t '$:' @tmux-gate-was";
    let gone = format!(
        "if-shell -F '#{{==:#{{hook_client}},{tty}}}' {{ set-hook -gu {changed} ; set-hook -gu {detached} ; \
         set-option -F -t '$:' @tmux-gate-guests '#{{e|-:#{{@tmux-gate-guests}},1}}' ; \
         if-shell -F -t '$:' '#{{==:#{{@tmux-gate-guests}},0}}' {{ set-option -u -t '$:' @tmux-gate-guests ; \
         if-shell -F -t '$:' '#{{@tmux-gate-was}}' {{ {take_back} }} }} }}"
    );
    let of_session = |command: &str| command.replace("$:", &session);
    let counted = "#{e|+:0#{@tmux-gate-guests},1}";
    let mut commands = vec![
        words(&["if-shell", "-F", "-t", &session, "#{==:#{detach-on-destroy},on}", "", &of_session(keep)]),
        words(&["set-option", "-F", "-t", &session, "@tmux-gate-guests", counted]),
        words(&["set-hook", "-g", &detached, &of_session(&gone)]),
    ];
    if client.scope == Scope::ThatSession {
        commands.push(words(&["set-hook", "-g", &changed, &stay]));
    }
    commands.push(words(&["display-message", "-p", "-t", &session, "#{prefix} #{prefix2}"]));
    in_one(socket, commands.into_iter())
}

/// The bytes of prefix keys that are one byte: `C-b` is 2.
#[must_use]
pub fn prefix_bytes(answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let byte = |key: &str| match key.as_bytes() {
        [b'C', b'-', letter @ (b'a'..=b'z' | b'@'..=b'_')] => Some(letter & 0x1f),
        [printable @ 0x21..=0x7e] => Some(*printable),
        _ => None,
    };
    text.split_whitespace().filter_map(byte).collect()
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
    let (target, tty) = (format!("${}:", client.session), client.tty);
    match access {
        Access::ReadOnly => {
            words(&["tmux", "-N", "-S", socket, "refresh-client", "-t", tty, "-f", "read-only,ignore-size"])
        }
        Access::ReadWrite => words(&["tmux", "-N", "-S", socket, "switch-client", "-r", "-c", tty, "-t", &target]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_terminal_but_one_of_a_device() {
        let answer = b"/dev/pts/3\n/dev/pts/4 x\n/dev/'#(touch /tmp/x)'\n\n-t\n/dev/tty1\n";
        assert_eq!(clients(answer), ["/dev/pts/3", "/dev/tty1"]);
    }

    #[test]
    fn what_is_shown_is_never_read_as_a_format() {
        let clients = ["/dev/pts/3".to_owned()];
        let line = show("/s", &clients, "#(touch /tmp/x) 100%", Weight::Passing).join(" ");
        assert_eq!(line, "tmux -N -S /s display-message -c /dev/pts/3 -- ##(touch /tmp/x) 100%% ;");
    }

    #[test]
    fn prefix_keys_are_their_bytes_where_they_have_one() {
        assert_eq!(prefix_bytes(b"C-b None\n"), [2]);
        assert_eq!(prefix_bytes(b"C-a `\n"), [1, b'`']);
        assert_eq!(prefix_bytes(b"F12 M-x\n"), [0_u8; 0]);
    }
}
